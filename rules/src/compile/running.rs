//! What of the language this version does not run: it is refused by name, never ignored.

use crate::plan::{RulePlan, Window};

/// Says what of a rule this version does not run, as in "`until` terms are ...".
///
/// # Errors
/// With the first such thing.
pub fn runs_now(plan: &RulePlan) -> Result<(), &'static str> {
    let keys = [(
        plan.backfill_acts && plan.window != Window::Visit,
        "`backfill` on windows but `visit` is",
    )];
    let key = keys.into_iter().find(|(is_used, _)| *is_used).map(|(_, what)| what);
    key.map_or(Ok(()), Err)
}
