//! What became of each rule's matches since the pipeline started, derived again or new.
//!
//! By the site of the match: who may see one site sees its figures only. **Bound:**
//! [`RULE_COUNTS_MAX`] rules and sites; of those beyond nothing is counted.

use crate::model::{ActionFact, ActionRow, Op, SuppressReason};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Rules on sites whose matches are counted.
pub const RULE_COUNTS_MAX: usize = 100_000;

/// What became of a rule's matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleCounts {
    /// Those that acted.
    pub acted: u64,
    /// Those that did not act, by the reason.
    pub suppressed: BTreeMap<SuppressReason, u64>,
    /// Those that took the place of another and sent nothing.
    pub corrected: u64,
    /// Those that no longer hold.
    pub retracted: u64,
}

impl RuleCounts {
    fn count(&mut self, row: &ActionRow) {
        match (row.op, row.fact.suppressed) {
            (Op::Suppress, Some(reason)) => *self.suppressed.entry(reason).or_default() += 1,
            (Op::Assert | Op::Suppress, _) => self.acted += 1,
            (Op::Correct, _) => self.corrected += 1,
            (Op::Retract, _) => self.retracted += 1,
        }
    }

    fn add(&mut self, other: &Self) {
        self.acted += other.acted;
        self.corrected += other.corrected;
        self.retracted += other.retracted;
        for (reason, count) in &other.suppressed {
            *self.suppressed.entry(*reason).or_default() += count;
        }
    }
}

/// Package, rule, and the site of the match.
type Place = (Arc<str>, Arc<str>, Arc<str>);

/// The counts of all rules.
#[derive(Debug, Default)]
pub(super) struct AllRuleCounts(Mutex<BTreeMap<Place, RuleCounts>>);

impl AllRuleCounts {
    /// Counts an epoch's rows.
    pub(super) fn count(&self, rows: &[ActionRow]) {
        if rows.is_empty() {
            return;
        }
        let mut all = self.lock();
        for row in rows {
            let ActionFact { package, rule, site, .. } = &row.fact;
            let place = (Arc::clone(package), Arc::clone(rule), Arc::clone(site));
            if all.len() < RULE_COUNTS_MAX || all.contains_key(&place) {
                all.entry(place).or_default().count(row);
            }
        }
    }

    /// Those of a rule, on one site or on all together.
    pub(super) fn of(&self, package: &str, rule: &str, site: Option<&str>) -> RuleCounts {
        let first = (package.into(), rule.into(), site.unwrap_or_default().into());
        let all = self.lock();
        let of_rule =
            all.range::<Place, _>(first..).take_while(|((its_package, its_rule, its_site), _)| {
                **its_package == *package
                    && **its_rule == *rule
                    && site.is_none_or(|site| **its_site == *site)
            });
        of_rule.fold(RuleCounts::default(), |mut total, (_, one)| {
            total.add(one);
            total
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, RuleCounts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
