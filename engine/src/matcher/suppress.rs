//! Which matches act: the last thing that a match passes.
//!
//! The seam of the suppression stage, which is keyed by visitor: what decides here sees a match's
//! candidate fact and nothing else of the visit. Now that is `enabled` alone; `once` for each window
//! is the matcher's own, because a rule that is done in a window keeps no state there.

use crate::model::SuppressReason;
use beckon_rules::plan::RulePlan;

/// Why a match of this rule does not act; `None` where it does.
pub(super) fn decide(rule: &RulePlan) -> Option<SuppressReason> {
    (!rule.enabled).then_some(SuppressReason::Disabled)
}
