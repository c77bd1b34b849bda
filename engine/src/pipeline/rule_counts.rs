//! What became of each rule's matches since the pipeline started, derived again or new.
//!
//! By the site of the match: who may see one site sees its figures only. **Bound:** rules that are
//! deployed, and [`RULE_COUNTS_MAX`] of them and sites; of those beyond nothing is counted.

use crate::catalog::RulePlace;
use crate::log::PackageKey;
use crate::model::{ActionFact, ActionRow, Op, SuppressReason};
use std::collections::{BTreeMap, BTreeSet};
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

#[derive(Debug, Default)]
struct Counts {
    all: BTreeMap<Place, RuleCounts>,
    /// The rules that stand; `None`: they never change.
    deployed: Option<BTreeSet<RulePlace>>,
}

/// The counts of all rules.
#[derive(Debug, Default)]
pub(super) struct AllRuleCounts(Mutex<Counts>);

impl AllRuleCounts {
    /// Other rules stand: what was counted of those that do no longer is forgotten, and what still comes
    /// of them is not counted.
    pub(super) fn deploy(&self, rules: BTreeSet<RulePlace>) {
        let mut counts = self.lock();
        counts.all.retain(|place, _| stands(&rules, place));
        counts.deployed = Some(rules);
    }

    /// Counts an epoch's rows.
    pub(super) fn count(&self, rows: &[ActionRow]) {
        if rows.is_empty() {
            return;
        }
        let mut counts = self.lock();
        let Counts { all, deployed } = &mut *counts;
        for row in rows {
            let ActionFact { package, rule, site, .. } = &row.fact;
            let place = (Arc::clone(package), Arc::clone(rule), Arc::clone(site));
            if let Some(counts) = all.get_mut(&place) {
                counts.count(row);
            } else if all.len() < RULE_COUNTS_MAX
                && deployed.as_ref().is_none_or(|rules| stands(rules, &place))
            {
                all.entry(place).or_default().count(row);
            }
        }
    }

    /// Those of a rule, on one site or on all together.
    pub(super) fn of(&self, package: &str, rule: &str, site: Option<&str>) -> RuleCounts {
        let first = (package.into(), rule.into(), site.unwrap_or_default().into());
        let counts = self.lock();
        let of_rule = counts.all.range::<Place, _>(first..).take_while(
            |((its_package, its_rule, its_site), _)| {
                **its_package == *package
                    && **its_rule == *rule
                    && site.is_none_or(|site| **its_site == *site)
            },
        );
        of_rule.fold(RuleCounts::default(), |mut total, (_, one)| {
            total.add(one);
            total
        })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the rule of a place is deployed, for its site or for all.
fn stands(rules: &BTreeSet<RulePlace>, (package, rule, site): &Place) -> bool {
    [None, Some(Arc::clone(site))].into_iter().any(|site| {
        let package = PackageKey { name: Arc::clone(package), site };
        rules.contains(&(package, Arc::clone(rule)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher::testing::fact;

    fn place(package: &str, rule: &str, site: Option<&str>) -> RulePlace {
        (PackageKey { name: package.into(), site: site.map(Into::into) }, rule.into())
    }

    /// A row that acts, of a rule and site.
    fn row(package: &str, rule: &str, site: &str) -> ActionRow {
        let (package, rule, site) = (package.into(), rule.into(), site.into());
        let fact = ActionFact { package, rule, site, ..fact() };
        ActionRow { fact, op: Op::Assert, replaced: None }
    }

    fn acted(counts: &AllRuleCounts, package: &str, rule: &str) -> u64 {
        counts.of(package, rule, None).acted
    }

    #[test]
    fn rules_that_are_gone_are_forgotten_with_what_still_comes_of_them() {
        let counts = AllRuleCounts::default();
        let rows = [row("a", "one", "x"), row("a", "one", "y"), row("a", "two", "x")];
        counts.count(&rows);
        assert_eq!((acted(&counts, "a", "one"), acted(&counts, "a", "two")), (2, 1));
        counts.deploy([place("a", "one", None)].into());
        counts.count(&rows);
        assert_eq!((acted(&counts, "a", "one"), acted(&counts, "a", "two")), (4, 0));
        assert_eq!(counts.lock().all.len(), 2);
        counts.deploy([place("a", "one", Some("y")), place("a", "two", None)].into());
        counts.count(&rows);
        assert_eq!(counts.of("a", "one", Some("x")), RuleCounts::default());
        assert_eq!((acted(&counts, "a", "one"), acted(&counts, "a", "two")), (3, 1));
    }

    /// However many rules come and go, those are counted that are there.
    #[test]
    fn names_do_not_add_up() {
        let counts = AllRuleCounts::default();
        for number in 0..100 {
            let rule = format!("rule-{number}");
            counts.deploy([place("a", &rule, None)].into());
            counts.count(&[row("a", &rule, "x")]);
            assert_eq!((acted(&counts, "a", &rule), counts.lock().all.len()), (1, 1));
        }
    }
}
