//! What a rule's author says about when it may act.

use super::SuppressConfig;
use super::visitor::VisitorKey;
use crate::model::{ActionFact, ServerTimeMs, SuppressReason};
use beckon_rules::plan::{RulePlan, RuleSet};
use beckon_rules::schedule::{Schedule, ScheduleError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// All rules, by package and name; which packages are paused.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    by_name: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Rule>>,
    paused: BTreeSet<Arc<str>>,
    is_control: Option<bool>,
}

#[derive(Clone, Debug)]
struct Rule {
    is_enabled: bool,
    holdout: f64,
    schedule: Option<Schedule>,
    cooldown_ms: Option<i64>,
}

impl Rules {
    pub(super) fn new(rules: &RuleSet, config: &SuppressConfig) -> Result<Self, ScheduleError> {
        // Said at the start, not when a rule comes that needs it.
        Schedule::new("24/7", &config.timezone)?;
        let mut by_name = BTreeMap::<_, BTreeMap<_, _>>::new();
        for plan in &rules.rules {
            let rules = by_name.entry(Arc::clone(&plan.package)).or_default();
            rules.insert(Arc::clone(&plan.name), Rule::new(plan, &config.timezone)?);
        }
        Ok(Self { by_name, is_control: config.is_control, ..Self::default() })
    }

    pub(super) fn set_paused(&mut self, package: &Arc<str>, is_paused: bool) {
        if is_paused {
            self.paused.insert(Arc::clone(package));
        } else {
            self.paused.remove(package);
        }
    }

    /// The reasons that need no memory. A rule that is not known has none of its own.
    pub(super) fn check(
        &self,
        fact: &ActionFact,
        visitor: &VisitorKey,
        now: ServerTimeMs,
    ) -> Option<SuppressReason> {
        let rule = self.get(&fact.package, &fact.rule);
        if rule.is_some_and(|rule| !rule.is_enabled) {
            return Some(SuppressReason::Disabled);
        }
        if self.paused.contains(&fact.package) {
            return Some(SuppressReason::Paused);
        }
        let rule = rule?;
        let is_control = || self.is_control.unwrap_or_else(|| share(fact, visitor) < rule.holdout);
        if rule.holdout > 0.0 && is_control() {
            return Some(SuppressReason::Holdout);
        }
        let is_open = rule.schedule.as_ref().is_none_or(|schedule| schedule.is_open(now.0));
        (!is_open).then_some(SuppressReason::Schedule)
    }

    pub(super) fn cooldown_ms(&self, package: &str, rule: &str) -> Option<i64> {
        self.get(package, rule)?.cooldown_ms
    }

    fn get(&self, package: &str, rule: &str) -> Option<&Rule> {
        self.by_name.get(package)?.get(rule)
    }
}

impl Rule {
    fn new(plan: &RulePlan, timezone: &str) -> Result<Self, ScheduleError> {
        let zone = plan.timezone.as_deref().unwrap_or(timezone);
        let schedule = plan.schedule.as_deref().map(|hours| Schedule::new(hours, zone));
        Ok(Self {
            is_enabled: plan.enabled,
            holdout: plan.holdout,
            schedule: schedule.transpose()?,
            cooldown_ms: plan.cooldown_ms,
        })
    }
}

/// Where a visitor stands for a rule, from 0 up to 1: the same for every version of the rule.
pub(super) fn share(fact: &ActionFact, visitor: &VisitorKey) -> f64 {
    let seed = xxh3_64_with_seed(fact.package.as_bytes(), visitor.stable_hash());
    let hash = xxh3_64_with_seed(fact.rule.as_bytes(), seed);
    let highest = u32::try_from(hash >> 32).expect("32 of 64 bits");
    f64::from(highest) / (f64::from(u32::MAX) + 1.0)
}
