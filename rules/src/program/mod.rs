//! Flat programs: conditions compiled to a vector of tests, and what they read.
//!
//! The semantics: three-valued logic, per-operator case, integer
//! division, several-valued fields (a comparison is true if any value satisfies it).
//!
//! `and`, `or` and `not` cost nothing of their own. A test asks whether a term *is true* or *is
//! false* (null is neither) and says where to go on if it is and if it is not. In Kleene's logic
//! `a and b` is true if both are and false if either is, so a `not` only exchanges the two
//! questions on the way down, and every connective becomes a jump. The usual tests (a field
//! against a constant, a list, a pattern, another field) are one operation each and allocate
//! nothing; whatever else stands in a term (arithmetic, functions) is a stretch of postfix
//! operations over a small stack, run by the test that needs its value.
//!
//! **Invariant:** every jump goes forward, so a program ends after at most as many tests as it has.

mod build;
mod date;
mod datum;
mod fold;
mod lucene;
mod node;
mod pattern;
mod reads;
mod run;
mod set;
mod value;

#[cfg(test)]
mod tests;

use crate::ast::Literal;
use crate::functions::Function;
use crate::plan::{BindingSlot, FieldSlot};
use std::sync::Arc;

pub use crate::check::call;
pub(crate) use date::parse_iso_ms;
pub use datum::Datum;
pub(crate) use datum::Relation;
pub(crate) use fold::fold;
pub(crate) use node::{Load, Node};
pub(crate) use pattern::{Case, Network, Pattern, Wildcard};
pub(crate) use set::ConstantSet;
pub use value::results_over_limit;
pub(crate) use value::{Arithmetic, Value};

/// An event, and the events that earlier steps of a partial match took.
pub trait Fields {
    /// A field of the event at hand.
    fn field(&self, slot: FieldSlot) -> Datum<'_>;
    /// A field of an earlier step's event; null where nothing is bound.
    fn bound(&self, step: BindingSlot, slot: FieldSlot) -> Datum<'_>;
}

/// A compiled condition. The default one is always true.
#[derive(Clone, Debug, Default)]
pub struct Program {
    tests: Arc<[Test]>,
    operations: Arc<[Operation]>,
}

/// Where a test goes on: the test of that index, or one of the two ends.
type Target = u32;
/// The condition is true. Lies behind every test, as [`REJECT`] does.
const ACCEPT: Target = u32::MAX;
/// The condition is false or null.
const REJECT: Target = u32::MAX - 1;

/// What a test asks, and where it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Branch {
    /// Whether the term shall be true or shall be false.
    wanted: bool,
    /// Where to go on if it is as wanted.
    holds: Target,
    /// Where to go on if it is not, null included.
    fails: Target,
}

#[derive(Clone, Debug)]
struct Test {
    term: Term,
    branch: Branch,
}

/// What is tested.
#[derive(Clone, Debug)]
enum Term {
    /// A field against a constant.
    Constant { load: Load, relation: Relation, constant: Literal },
    /// A field against a field.
    Fields { left: Load, right: Load, relation: Relation, both_absent: Option<bool> },
    /// A field that has no value.
    IsNull(Load),
    /// A field in a list.
    Member { load: Load, set: Arc<ConstantSet> },
    /// A field against a pattern.
    Fits { load: Load, pattern: Arc<Pattern> },
    /// The value that `operations[start..end]` leaves.
    Value { start: u32, end: u32 },
}

/// Postfix operations: each takes its operands off the stack and puts its result there.
#[derive(Clone, Debug)]
enum Operation {
    Constant(Literal),
    Field(Load),
    Not,
    /// `and` of that many.
    All(u32),
    /// `or` of that many.
    Any(u32),
    Relate {
        relation: Relation,
        both_absent: Option<bool>,
    },
    IsNull,
    Member(Arc<ConstantSet>),
    Fits(Arc<Pattern>),
    Negate,
    Arithmetic(Arithmetic),
    Call {
        function: Function,
        case: Case,
        count: u32,
    },
}
