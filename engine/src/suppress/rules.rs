//! What a rule's author says about when it may act. A rule of a package of one site is looked up
//! before one of all sites.

use super::SuppressConfig;
use super::visitor::VisitorKey;
use crate::log::PauseKey;
use crate::model::{ActionFact, ServerTimeMs, SuppressReason};
use crate::stage::RuleChange;
use beckon_rules::plan::{RulePlan, RuleSet};
use beckon_rules::schedule::{Schedule, ScheduleError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// All rules, ready to decide by.
#[derive(Debug, Default)]
pub struct SuppressRules {
    of_all_sites: ByName,
    by_site: BTreeMap<Arc<str>, ByName>,
    /// The longest of any rule.
    pub(super) cooldown_max_ms: i64,
    is_control: Option<bool>,
}

/// By package and name.
type ByName = BTreeMap<Arc<str>, BTreeMap<Arc<str>, Rule>>;

#[derive(Clone, Debug)]
struct Rule {
    is_enabled: bool,
    holdout: f64,
    schedule: Option<Schedule>,
    cooldown_ms: Option<i64>,
    backfill_acts: bool,
}

impl SuppressRules {
    /// Reads the schedules of a rule set.
    ///
    /// # Errors
    /// When the configuration's time zone is none.
    pub fn new(rules: &RuleSet, config: &SuppressConfig) -> Result<Self, ScheduleError> {
        // Said at the start, not when a rule comes that needs it.
        Schedule::new("24/7", &config.timezone)?;
        let mut ready = Self { is_control: config.is_control, ..Self::default() };
        for plan in &rules.rules {
            let cooldown_ms = plan.cooldown_ms.unwrap_or_default();
            ready.cooldown_max_ms = ready.cooldown_max_ms.max(cooldown_ms);
            let by_name = match &plan.site {
                Some(site) => ready.by_site.entry(Arc::clone(site)).or_default(),
                None => &mut ready.of_all_sites,
            };
            let rules = by_name.entry(Arc::clone(&plan.package)).or_default();
            rules.insert(Arc::clone(&plan.name), Rule::new(plan, &config.timezone)?);
        }
        Ok(ready)
    }

    /// The reasons that need no memory. A rule that is not known has none of its own.
    pub(super) fn check(
        &self,
        fact: &ActionFact,
        visitor: &VisitorKey,
        now: ServerTimeMs,
        paused: &BTreeSet<PauseKey>,
    ) -> Option<SuppressReason> {
        let rule = self.get(&fact.site, &fact.package, &fact.rule);
        if rule.is_some_and(|rule| !rule.is_enabled) {
            return Some(SuppressReason::Disabled);
        }
        if is_paused(fact, paused) {
            return Some(SuppressReason::Paused);
        }
        if fact.is_backfilled && !rule.is_some_and(|rule| rule.backfill_acts) {
            return Some(SuppressReason::Backfilled);
        }
        let rule = rule?;
        let is_control = || self.is_control.unwrap_or_else(|| share(fact, visitor) < rule.holdout);
        if rule.holdout > 0.0 && is_control() {
            return Some(SuppressReason::Holdout);
        }
        let is_open = rule.schedule.as_ref().is_none_or(|schedule| schedule.is_open(now.0));
        (!is_open).then_some(SuppressReason::Schedule)
    }

    pub(super) fn cooldown_ms(&self, site: &str, package: &str, rule: &str) -> Option<i64> {
        self.get(site, package, rule)?.cooldown_ms
    }

    fn get(&self, site: &str, package: &str, rule: &str) -> Option<&Rule> {
        let of_site = self.by_site.get(site).and_then(|by_name| by_name.get(package));
        of_site.or_else(|| self.of_all_sites.get(package))?.get(rule)
    }
}

/// The reasons that need no memory, for who says matches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    rules: Arc<SuppressRules>,
    paused: Arc<BTreeSet<PauseKey>>,
    /// The server's time at the epoch's mark.
    pub(crate) now: ServerTimeMs,
}

impl Gate {
    /// Other rules are there, or other packages are paused.
    pub(crate) fn take(&mut self, change: &RuleChange) {
        self.rules = Arc::clone(&change.suppress);
        self.paused = Arc::clone(&change.paused);
    }

    /// Whether a match does not act, whatever was said before.
    pub(crate) fn refuses(&self, fact: &ActionFact) -> bool {
        self.rules.check(fact, &VisitorKey::of(fact), self.now, &self.paused).is_some()
    }
}

/// Whether the fact's package is paused, by name or with all others, on its site or on all.
fn is_paused(fact: &ActionFact, paused: &BTreeSet<PauseKey>) -> bool {
    let is_of = |key: &PauseKey| {
        key.package.as_ref().is_none_or(|package| *package == fact.package)
            && key.site.as_ref().is_none_or(|site| *site == fact.site)
    };
    paused.iter().any(is_of)
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
            backfill_acts: plan.backfill_acts,
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
