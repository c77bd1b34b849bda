//! The checker: from a syntax tree to resolved expressions, with everything that is wrong.
//!
//! It goes on after an error (a wrong expression counts as null of any type), so that all findings
//! of a file come at once. What the language has but this version does not run is an error of the
//! code `not-yet`: nothing is silently ignored.

mod call;
mod constant;
mod expression;
mod findings;
mod names;
mod query;
mod terms;

#[cfg(test)]
mod tests;

pub use constant::call;
pub(crate) use findings::Findings;
pub(crate) use names::{Bindings, Slots};
pub(crate) use query::mark_bound;

use crate::plan::Window;
use crate::schema::Schema;

/// What an expression is checked against, and what is found.
pub(crate) struct Checker<'a> {
    /// The fields that may be named, a package's types among them.
    pub(crate) schema: &'a Schema,
    /// The fields that are named, of all rules.
    pub(crate) slots: &'a mut Slots,
    /// The named steps of the query.
    pub(crate) bindings: Bindings,
    /// What bounds a query besides its own text.
    pub(crate) extent: Extent,
    /// What is wrong.
    pub(crate) findings: Findings,
}

/// What the rule file and the server say of how much a query may keep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Whose events the query sees.
    pub(crate) window: Window,
    /// Whether partial matches are bounded by number.
    pub(crate) has_state_max: bool,
    /// How long a window of a visitor or user is remembered without an event, where that is known.
    pub(crate) window_memory_ms: Option<i64>,
}

impl Extent {
    /// A visit, and nothing else that bounds.
    pub(crate) const VISIT: Self =
        Self { window: Window::Visit, has_state_max: false, window_memory_ms: None };
}
