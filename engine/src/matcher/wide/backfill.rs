//! What a new rule on another window than the visit makes of the time before it.
//!
//! A rule on the visit is tried on the events that open visits keep (`changes`). Other windows keep
//! none, so the log is read again from as far back as the rule asks for ([`Past`]: stage 1 once more,
//! without rules of its own), some records behind each epoch ([`BackfillStep`]). What that says goes
//! to windows that lie apart ([`Backfilling`]): they live at the place in the log that the reading has
//! reached. Until it has reached the epoch that ends, the rule sees nothing else; then its windows are
//! joined with those of all other rules, and it goes on as if it had always been there.
//!
//! **Invariant:** the steps depend on the log and on the marks; so does what is said.

use super::partition::Partition;
use super::route::{Router, Sender};
use super::window::{OpenWindow, Waiting};
use super::{Shared, Wide, WideInput, WideStats};
use crate::matcher::kept::Kept;
use crate::matcher::{Matcher, MatcherConfig, Prepared};
use crate::model::{EpochInput, EpochMark, PartitionId, ServerTimeMs};
use crate::stage::{BackfillRules, Effect, RuleChange, Stage};
use std::sync::Arc;

/// Stage 1 over the past, for rules on other windows.
#[derive(Debug)]
pub struct Past {
    matcher: Matcher,
    router: Router,
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
}

/// Open visits that sent events to windows other than their own.
#[derive(Clone, Debug, Default)]
pub struct OpenVisits(Vec<Sender>);

impl Past {
    /// Reads for rules that are made ready in their slots (ascending), each from a time on.
    #[must_use]
    pub fn new(
        rules: Arc<Prepared>,
        config: MatcherConfig,
        from: Vec<(u32, ServerTimeMs)>,
    ) -> Self {
        let matcher = Matcher::new(Arc::default(), config);
        Self { matcher, router: Router::new(rules), from, effects: Vec::new() }
    }

    /// Reads an epoch; all have to be given, in order.
    pub fn epoch(&mut self, input: EpochInput) -> PastEpoch {
        let Self { matcher, router, from, effects } = self;
        let EpochInput { mark, events } = input;
        matcher.events(&events, effects);
        matcher.end_epoch(&mark, effects);
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

    /// The visits that are open behind the last epoch.
    #[must_use]
    pub fn open_visits(&self) -> OpenVisits {
        OpenVisits(self.router.senders().cloned().collect())
    }
}

/// The windows of new rules, at the place in the log that the reading has reached.
#[derive(Debug)]
pub(super) struct Backfilling {
    number: u64,
    slots: Arc<[u32]>,
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
        Self { number: *number, slots: Arc::clone(slots), wide, is_caught_up: false }
    }

    pub(super) fn stats(&self) -> WideStats {
        self.wide.stats()
    }
}

impl Wide {
    /// Takes what is read of the past behind the end of an epoch: what belongs to this worker's
    /// partitions.
    pub fn backfill(
        &mut self,
        step: &BackfillStep,
        is_own: impl Fn(PartitionId) -> bool,
        out: &mut Vec<Effect>,
    ) {
        let Some(backfilling) = &mut self.backfilling else { return };
        for PastEpoch { mark, inputs } in &step.epochs {
            let own = inputs.iter().filter(|input| is_own(input.partition()));
            backfilling.wide.epoch(mark, own.cloned().collect(), out);
        }
        backfilling.is_caught_up |= step.caught_up.is_some();
    }

    /// Joins the windows of rules that have caught up with those of all others.
    fn join(&mut self, backfilling: Backfilling, out: &mut Vec<Effect>) {
        let Backfilling { slots, wide: past, .. } = backfilling;
        let Self { shared, partitions, .. } = self;
        shared.stats = shared.stats.sum(&past.shared.stats.counted());
        for (partition, past) in partitions.iter_mut().zip(past.partitions) {
            let Some(past) = past else { continue };
            let partition = partition.get_or_insert_with(Box::<Partition>::default);
            for (hash, window) in past.into_windows() {
                partition.join((hash, window), &slots, shared, out);
            }
        }
    }

    /// Rules that have caught up are joined with all others, which know them now; other rules are shown
    /// their past, or none.
    pub(super) fn deploy_backfill(&mut self, change: &RuleChange, out: &mut Vec<Effect>) {
        if let Some(caught_up) = self.backfilling.take_if(|it| it.is_caught_up) {
            self.join(*caught_up, out);
        }
        let Self { shared, backfilling, .. } = self;
        match (&change.backfill, backfilling) {
            (Some(rules), Some(it)) if it.number == rules.number => {
                it.slots = Arc::clone(&rules.slots);
                it.wide.shared.prepared = Arc::clone(&rules.rules);
                it.wide.shared.begins = Arc::clone(&change.begins);
                it.wide.leaving.add(&change.retired);
            }
            (Some(rules), it) => *it = Some(Box::new(Backfilling::new(rules, shared))),
            (None, it) => *it = None,
        }
    }
}

impl OpenWindow {
    /// Takes over what a window that lay apart has of some rules; here there is nothing of them.
    pub(super) fn join(
        &mut self,
        mut past: Self,
        rules: &[u32],
        shared: &mut Shared,
        out: &mut Vec<Effect>,
    ) {
        let before = self.bytes();
        self.renumber_if_worn();
        self.join_base(&mut past, rules);
        self.last_event = self.last_event.max(past.last_event);
        let waiting = std::mem::take(&mut past.waiting);
        for (index, waiting) in waiting.into_iter().enumerate() {
            self.join_waiting(waiting, past.state.kept.get(past.ordinal(index)), shared);
        }
        self.limit(shared, out);
        shared.count_bytes(before, self);
        self.say(rules, shared, out);
    }

    /// The window that lay apart is the only one of its key.
    pub(super) fn joined(&mut self, rules: &[u32], shared: &mut Shared, out: &mut Vec<Effect>) {
        self.scheduled = None;
        shared.count_open(self);
        self.say(rules, shared, out);
    }

    /// Says what the rules make of the events that wait and of deadlines, before that is final.
    fn say(&mut self, rules: &[u32], shared: &mut Shared, out: &mut Vec<Effect>) {
        rules.iter().for_each(|rule| self.touch(*rule, shared));
        self.end_epoch(shared, out);
    }

    /// What is under way behind the horizon; the events that it names stand before those that wait.
    fn join_base(&mut self, past: &mut Self, rules: &[u32]) {
        let Some(mut base) = past.state.late_mut().base.take() else { return };
        let named = base.named();
        let ids = named.iter().map(|ordinal| past.state.kept.id(*ordinal)).collect();
        let (first, count) = self.state.kept.remember(ids);
        self.shift(first, count);
        for ordinal in base.ordinals_mut() {
            let place = named.binary_search(ordinal).expect("one of those that are named");
            *ordinal = first + u32::try_from(place).expect("32 bits, as they");
        }
        let joined = self.state.late_mut().base.get_or_insert_default();
        rules.iter().for_each(|rule| joined.reset(*rule, Some(&base)));
    }

    /// An event that waits there and perhaps here.
    fn join_waiting(&mut self, past: Waiting, kept: Option<Kept<'_>>, shared: &mut Shared) {
        let Some(kept) = kept else { return };
        if self.tried.is_some_and(|tried| past.place < tried) {
            shared.stats.events_not_correctable += 1;
            return;
        }
        match self.waiting.binary_search_by_key(&past.place, |waiting| waiting.place) {
            Ok(index) => {
                let hits = &mut self.waiting[index].hits;
                hits.extend(past.hits);
                hits.sort_unstable();
            }
            Err(index) => {
                let ordinal = self.ordinal(index);
                self.state.kept.insert(ordinal, kept.bytes, kept.seq, &kept.identity);
                self.shift(ordinal, 1);
                self.waiting.insert(index, past);
                shared.stats.events_waiting += 1;
            }
        }
    }
}

impl Router {
    /// Takes over which open visits sent events to the windows of rules that have caught up: those of
    /// this worker's partitions.
    pub fn join(&mut self, visits: &OpenVisits, is_own: impl Fn(PartitionId) -> bool) {
        for sender in visits.0.iter().filter(|sender| is_own(sender.partition)) {
            self.join_sender(sender);
        }
    }
}
