//! What of the language this version does not run: it is refused by name, never ignored.

use crate::plan::{Emit, QueryPlan, RulePlan, Window};

/// Says what of a rule this version does not run, as in "`until` terms are ...".
///
/// # Errors
/// With the first such thing.
pub fn runs_now(plan: &RulePlan) -> Result<(), &'static str> {
    let refused = match &plan.query {
        QueryPlan::Event(_) => None,
        QueryPlan::Sequence(sequence) if !sequence.missing.is_empty() => {
            Some("missing events `![...]` are")
        }
        QueryPlan::Sequence(sequence) => sequence.until.as_ref().map(|_| "`until` terms are"),
        QueryPlan::Sample(_) => Some("`sample` queries are"),
    };
    let keys = [
        (plan.window != Window::Visit, "windows but `visit` are"),
        (plan.emit != Emit::Early, "`emit = \"final\"` is"),
        (plan.schedule.is_some(), "`schedule` is"),
        (plan.timezone.is_some(), "`timezone` is"),
        (plan.cooldown_ms.is_some(), "`cooldown` is"),
        (plan.holdout > 0.0, "`holdout` is"),
        (plan.state_max.is_some(), "`state_max` is"),
        (plan.backfill_acts, "`backfill` is"),
        (plan.hosts.is_some(), "`domain_separation` is"),
    ];
    let key = keys.into_iter().find(|(is_used, _)| *is_used).map(|(_, what)| what);
    refused.or(key).map_or(Ok(()), Err)
}
