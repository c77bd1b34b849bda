//! What new rules were shown of what was before them, for those who ask.

use super::Catalog;
use super::held::{self, RulePlace};
use crate::model::ServerTimeMs;
use crate::stage::PartialBackfills;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What one rule was shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleBackfill {
    /// It is shown the log now, and sees nothing else yet.
    pub is_under_way: bool,
    /// From when on it was shown the log: a rule on another window than the visit.
    pub from: Option<ServerTimeMs>,
    /// Visits that had had more events than they keep: it was shown the newest.
    pub partial_visits: u64,
}

/// What all rules were shown.
#[derive(Clone, Debug, Default)]
pub struct Backfills {
    rules: BTreeMap<RulePlace, (u32, RuleBackfill)>,
    partial: Arc<PartialBackfills>,
}

impl Backfills {
    /// Whether any rule is shown the log now.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.rules.values().any(|(_, said)| said.is_under_way)
    }

    /// The rules that are deployed.
    pub fn rules(&self) -> impl Iterator<Item = &RulePlace> {
        self.rules.keys()
    }

    /// Of a rule that runs.
    #[must_use]
    pub fn of(&self, rule: &RulePlace) -> RuleBackfill {
        let Some((slot, said)) = self.rules.get(rule) else { return RuleBackfill::default() };
        RuleBackfill { partial_visits: self.partial.of(*slot), ..*said }
    }
}

impl Catalog {
    /// What the rules were shown of what was before them.
    #[must_use]
    pub fn backfills(&self) -> Backfills {
        let plans = (0_u32..).zip(&self.current.rules.rules().rules);
        let rules = plans.filter(|(_, plan)| !plan.is_vacant()).map(|(slot, plan)| {
            let rule = held::place(plan);
            let said = RuleBackfill {
                is_under_way: self.held.has(slot),
                from: self.backfilled_from.get(&rule).copied(),
                partial_visits: 0,
            };
            (rule, (slot, said))
        });
        Backfills { rules: rules.collect(), partial: Arc::clone(&self.current.partial) }
    }
}
