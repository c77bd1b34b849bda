//! What a new rule on another window than the visit makes of the time before it.
//!
//! A rule on the visit is tried on the events that open visits keep (`changes`). Other windows keep
//! none, so the log is read again from as far back as the rule asks for ([`Past`]: stage 1 once more,
//! without rules of its own), some records behind each epoch ([`BackfillStep`]). What that says goes
//! to windows that lie apart ([`Backfilling`]): they live at the place in the log that the reading has
//! reached. Until it has reached the epoch that ends, the rule sees nothing else; then its windows are
//! joined with those of all other rules (`joining`), and it goes on as if it had always been there.
//!
//! **Invariant:** the steps depend on the log and on the marks; so does what is said.

use super::joining::Joining;
use super::ongoing::{Inquiry, Ongoing};
use super::route::{OpenVisits, Router};
use super::window::rule_index;
use super::{Shared, Wide, WideInput, WideStats};
use crate::matcher::{Matcher, MatcherConfig, Prepared};
use crate::model::{
    ActionFact, EpochInput, EpochMark, LogSeq, PARTITIONS, PartitionId, ServerTimeMs,
};
use crate::stage::{self, BackfillRules, Effect, RuleChange, Stage};
use std::sync::Arc;

/// Stage 1 over the past, for rules on other windows.
#[derive(Debug)]
pub struct Past {
    matcher: Matcher,
    router: Router,
    ongoing: Ongoing,
    /// By slot, ascending: what came before is not for this rule.
    from: Vec<(u32, ServerTimeMs)>,
    effects: Vec<Effect>,
}

/// What an epoch of the past means to the windows.
#[derive(Clone, Debug)]
pub struct PastEpoch {
    mark: EpochMark,
    inputs: Vec<WideInput>,
}

/// What is read of the past behind the end of an epoch.
#[derive(Clone, Debug, Default)]
pub struct BackfillStep {
    /// In order.
    pub epochs: Vec<PastEpoch>,
    /// The last of them is the epoch that ends: which open visits sent events to windows.
    pub caught_up: Option<OpenVisits>,
    /// What stage 1 is asked behind the end of the epoch, before anything is read.
    pub inquiry: Option<Arc<Inquiry>>,
}

impl Past {
    /// Reads for rules that are made ready in their slots (ascending), each from a time on.
    #[must_use]
    pub fn new(
        rules: Arc<Prepared>,
        config: MatcherConfig,
        from: Vec<(u32, ServerTimeMs)>,
    ) -> Self {
        let matcher = Matcher::new(Arc::default(), config);
        let (router, ongoing) = (Router::new(rules), Ongoing::default());
        Self { matcher, router, ongoing, from, effects: Vec::new() }
    }

    /// Visits began before what is read, and are open up to a place in the log: as one [`Inquiry`] after the
    /// other was answered.
    pub fn know(&mut self, visits: Vec<stage::Ongoing>, open_until: LogSeq) {
        self.ongoing.know(visits, open_until);
    }

    /// An epoch before those that are read: no event counts that came too late for it.
    pub fn pass_over(&mut self, mark: &EpochMark) {
        self.matcher.end_epoch(mark, &mut self.effects);
    }

    /// Reads an epoch; all have to be given, in order.
    pub fn epoch(&mut self, input: EpochInput) -> PastEpoch {
        let Self { matcher, router, ongoing, from, effects } = self;
        let EpochInput { mark, events } = input;
        matcher.events(&events, effects);
        matcher.end_epoch(&mark, effects);
        ongoing.put_right(effects, mark.last_seq, router);
        let mut inputs = Vec::new();
        router.route(effects, &mut inputs);
        effects.clear();
        inputs.retain_mut(|input| {
            let WideInput::Event(_, event) = input else { return true };
            event.hits.retain(|hit| {
                let place = from.binary_search_by_key(&hit.rule_number(), |(slot, _)| *slot);
                place.is_ok_and(|place| from[place].1 <= mark.now)
            });
            !event.hits.is_empty()
        });
        PastEpoch { mark, inputs }
    }

    /// Some rules of the group are gone; those that stay keep their slots.
    pub fn take(&mut self, rules: Arc<Prepared>, from: Vec<(u32, ServerTimeMs)>) {
        self.router.set_rules(rules);
        self.from = from;
    }

    /// The visits that are open behind the last epoch; it is not read on.
    #[must_use]
    pub fn open_visits(&mut self) -> OpenVisits {
        self.router.take_visits()
    }

    /// Frees the visits of one virtual partition: it is not read on.
    pub fn free(&mut self, partition: usize) {
        self.matcher.free(partition);
        self.ongoing.free(usize::from(PARTITIONS).saturating_sub(partition).max(1));
    }
}

/// The windows of new rules, at the place in the log that the reading has reached.
#[derive(Debug)]
pub(super) struct Backfilling {
    number: u64,
    slots: Arc<[u32]>,
    /// Rules that were among them, and are gone.
    gone: Vec<u32>,
    wide: Wide,
    /// They are to be joined with the others once these know the rules.
    is_caught_up: bool,
}

impl Backfilling {
    fn new(rules: &BackfillRules, shared: &Shared) -> Self {
        let BackfillRules { number, rules, slots } = rules;
        let config = MatcherConfig { lateness_ms: shared.lateness_ms, ..shared.config };
        let mut wide = Wide::new(Arc::clone(rules), config);
        wide.shared.begins = Arc::clone(&shared.begins);
        wide.shared.is_past = true;
        let (number, slots) = (*number, Arc::clone(slots));
        Self { number, slots, gone: Vec::new(), wide, is_caught_up: false }
    }

    /// Some of the rules are gone.
    fn take(&mut self, rules: &BackfillRules, change: &RuleChange) {
        let gone = self.slots.iter().filter(|slot| change.retired.contains(slot));
        self.gone.extend(gone);
        self.slots = Arc::clone(&rules.slots);
        self.wide.shared.prepared = Arc::clone(&rules.rules);
        self.wide.shared.begins = Arc::clone(&change.begins);
        self.wide.leaving.add(&change.retired);
    }

    /// The reading is over: they are joined, or freed where the rules went before it had caught up.
    fn end(self) -> Joining {
        let slots = if self.is_caught_up { self.slots.to_vec() } else { Vec::new() };
        Joining::new((slots, self.gone), self.wide)
    }

    pub(super) fn stats(&self) -> WideStats {
        self.wide.stats()
    }

    /// Whether a match may be of one of the rules.
    pub(super) fn has(&self, fact: &ActionFact) -> bool {
        self.wide.shared.is_of(&self.slots, fact)
    }
}

impl Shared {
    /// Whether a match may be of the rule of one of these slots.
    pub(super) fn is_of(&self, slots: &[u32], fact: &ActionFact) -> bool {
        let rules = &self.prepared.rules.rules;
        let mut plans = slots.iter().map(|slot| &rules[rule_index(*slot)]);
        plans.any(|plan| plan.name == fact.rule && plan.package == fact.package)
    }
}

impl Wide {
    /// Whether a match says of its visit what may be so no longer, or not yet be known here: it is of a rule
    /// that has not caught up, or has and not all visits had their turn.
    #[must_use]
    pub fn is_unsure(&self, fact: &ActionFact) -> bool {
        fact.is_visit_open
            && (self.backfilling.iter().any(|it| it.has(fact))
                || self.joining.iter().any(|joining| joining.has(fact)))
    }

    /// Takes what is read of the past behind the end of an epoch: what belongs to this worker's
    /// partitions.
    pub fn backfill(
        &mut self,
        step: &BackfillStep,
        is_own: impl Fn(PartitionId) -> bool,
        out: &mut Vec<Effect>,
    ) {
        let Self { shared, backfilling, .. } = self;
        let Some(backfilling) = backfilling else { return };
        for PastEpoch { mark, inputs } in &step.epochs {
            let own = inputs.iter().filter(|input| is_own(input.partition()));
            let own = own.cloned().collect();
            shared.lend_owners(&mut backfilling.wide, |wide| wide.epoch(mark, own, out));
        }
        backfilling.is_caught_up |= step.caught_up.is_some();
    }

    /// Rules that have caught up are joined with all others, which know them now; other rules are shown
    /// their past, or none.
    pub(super) fn deploy_backfill(&mut self, change: &RuleChange) {
        let Self { shared, backfilling, joining, .. } = self;
        let ended = match (&change.backfill, &mut *backfilling) {
            (Some(rules), Some(it)) if it.number == rules.number => {
                it.take(rules, change);
                None
            }
            (rules, it) => {
                let next = rules.as_ref().map(|rules| Box::new(Backfilling::new(rules, shared)));
                std::mem::replace(it, next)
            }
        };
        joining.extend(ended.map(|ended| ended.end()));
        joining.iter_mut().for_each(|joining| joining.deploy(change));
    }
}
