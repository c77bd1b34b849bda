//! Flat programs: conditions compiled to a vector of operations, and what they read.
//!
//! The semantics are `rule-language.md` section 6: three-valued logic, per-operator case, integer
//! division, several-valued fields (a comparison is true if any value satisfies it).

use crate::plan::{BindingSlot, FieldSlot};

/// A value that a program reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Datum<'a> {
    /// Absent, or `null`.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Str(&'a str),
    /// Several values, none of them `Many`.
    Many(&'a [Datum<'a>]),
}

/// An event, and the events that earlier steps of a partial match took.
pub trait Fields {
    /// A field of the event at hand.
    fn field(&self, slot: FieldSlot) -> Datum<'_>;
    /// A field of an earlier step's event; null where nothing is bound.
    fn bound(&self, step: BindingSlot, slot: FieldSlot) -> Datum<'_>;
}

/// A compiled condition.
#[derive(Clone, Debug, Default)]
pub struct Program {}

impl Program {
    /// Whether the condition is true (not false and not null).
    #[must_use]
    pub fn matches(&self, _fields: &impl Fields) -> bool {
        false
    }
}
