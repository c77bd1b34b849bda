//! New rules on other windows than the visit: they wait until they were shown what was before them.
//!
//! One group at a time is shown the past; rules that come meanwhile are the next group. A rule that
//! goes leaves its group.

use super::Catalog;
use crate::log::PackageKey;
use crate::matcher::Prepared;
use crate::model::ServerTimeMs;
use crate::stage::BackfillRules;
use beckon_rules::plan::{QueryPlan, RulePlan, RuleSet, Window};
use std::collections::BTreeMap;
use std::sync::Arc;

/// As far back as a rule is shown the past, if its own `maxspan` is not shorter.
const LOOK_BACK_MS_MAX: i64 = 24 * 60 * 60 * 1_000;

/// A rule by its package and name.
pub type RulePlace = (PackageKey, Arc<str>);

/// What was shown to the rules on other windows.
pub(super) type BackfilledFrom = BTreeMap<RulePlace, ServerTimeMs>;

/// Rules that are shown the past.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Tells this group from those before.
    pub(super) number: u64,
    /// Its rules, and from when on each is shown it; by slot.
    pub(super) from: BTreeMap<u32, ServerTimeMs>,
}

/// The groups.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    count: u64,
    running: Option<Group>,
    next: BTreeMap<u32, ServerTimeMs>,
    /// A group has caught up, and the rules are not put together anew yet.
    pub(super) is_caught_up: bool,
}

impl Held {
    /// The rules of some slots are gone.
    pub(super) fn retire(&mut self, slots: &[u32]) {
        self.next.retain(|slot, _| !slots.contains(slot));
        if let Some(group) = &mut self.running {
            group.from.retain(|slot, _| !slots.contains(slot));
        }
        if self.running.take_if(|group| group.from.is_empty()).is_some() {
            self.begin();
        }
    }

    /// Those of these are new.
    pub(super) fn add(&mut self, slots: &[u32], rules: &RuleSet, now: ServerTimeMs) {
        self.next.extend(slots.iter().filter_map(|slot| {
            let rule = &rules.rules[usize::try_from(*slot).expect("32 bits")];
            let from = ServerTimeMs(now.0.saturating_sub(look_back_ms(rule)));
            (rule.window != Window::Visit).then_some((*slot, from))
        }));
        if self.running.is_none() {
            self.begin();
        }
    }

    fn begin(&mut self) {
        if !self.next.is_empty() {
            self.count += 1;
            let from = std::mem::take(&mut self.next);
            self.running = Some(Group { number: self.count, from });
        }
    }

    /// Whether a rule sees nothing yet but the past.
    pub(super) fn has(&self, slot: u32) -> bool {
        self.is_running(slot) || self.next.contains_key(&slot)
    }

    /// Whether any does.
    pub(super) fn is_any(&self) -> bool {
        self.running.is_some() || !self.next.is_empty()
    }

    fn is_running(&self, slot: u32) -> bool {
        self.running.as_ref().is_some_and(|group| group.from.contains_key(&slot))
    }

    /// The slots of the group that is shown the past, and of those that wait.
    pub(super) fn slots(&self) -> (Vec<u32>, Vec<u32>) {
        let running = self.running.iter().flat_map(|group| group.from.keys());
        (running.copied().collect(), self.next.keys().copied().collect())
    }

    /// The group, made ready to run alone.
    pub(super) fn prepared(&self, rules: &Arc<RuleSet>) -> Option<Arc<Prepared>> {
        self.running.as_ref()?;
        Some(Arc::new(Prepared::of(Arc::clone(rules), |slot| self.is_running(slot))))
    }

    /// What the workers are to know of the group.
    pub(super) fn backfill(&self, prepared: Option<Arc<Prepared>>) -> Option<BackfillRules> {
        let Group { number, from } = self.running.as_ref()?;
        let slots = from.keys().copied().collect();
        prepared.map(|rules| BackfillRules { number: *number, rules, slots })
    }

    /// Once the group has caught up, if there is one.
    pub(super) fn next(&self) -> Option<Self> {
        self.running.as_ref()?;
        let mut next = Self { running: None, ..self.clone() };
        next.begin();
        Some(next)
    }
}

/// From the first event of a match to its last.
fn look_back_ms(rule: &RulePlan) -> i64 {
    let maxspan = match &rule.query {
        QueryPlan::Sequence(sequence) => sequence.maxspan_ms,
        QueryPlan::Sample(sample) => sample.maxspan_ms,
        QueryPlan::Event(_) => None,
    };
    maxspan.map_or(LOOK_BACK_MS_MAX, |maxspan| maxspan.min(LOOK_BACK_MS_MAX))
}

/// Where a rule stands.
pub(super) fn place(plan: &RulePlan) -> RulePlace {
    let package = PackageKey { name: Arc::clone(&plan.package), site: plan.site.clone() };
    (package, Arc::clone(&plan.name))
}

impl Catalog {
    /// The rules that are to be shown the past, if there are any.
    pub(super) fn group(&self) -> Option<&Group> {
        self.held.running.as_ref()
    }

    /// The group has caught up with the epoch under way; it was shown what came from a time on. To be
    /// called before [`Catalog::apply`] of that epoch.
    pub(super) fn caught_up(&mut self, read_from: ServerTimeMs) {
        let Some(Group { from, .. }) = self.held.running.take() else { return };
        let plans = &self.current.rules.rules().rules;
        self.backfilled_from.extend(from.into_iter().map(|(slot, from)| {
            let plan = &plans[usize::try_from(slot).expect("32 bits")];
            (place(plan), from.max(read_from))
        }));
        self.held.begin();
        self.held.is_caught_up = true;
    }
}
