//! One window: the events that wait for the horizon, and what is under way behind it (the base).
//!
//! The events that wait stand in their order, each at its ordinal among the kept ones; what lies before
//! the horizon goes into the base, one after the other. What is said before that is the head's
//! business (`head`).

use super::super::changes::is_backfilled;
use super::super::index::Hit;
use super::super::sequence::Trial;
use super::super::standing::Found;
use super::super::visit::Visit;
use super::super::windows::Windows;
use super::{Shared, WideEvent, WideKey};
use crate::model::{
    ActionFact, EventRow, EventTimeMs, Fate, Instance, LogSeq, PackedEvent, VisitorId,
};
use crate::stage::{Effect, StageStats};
use beckon_rules::plan::Emit;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;

/// An event's place in the order of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) time: EventTimeMs,
    pub(super) tie: Option<i64>,
    pub(super) seq: LogSeq,
    /// False for one that was made up: it stands before the event that caused it.
    pub(super) is_real: bool,
}

/// An event that waits for the horizon.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) place: Place,
    pub(super) instance: Instance,
    visitor: Option<VisitorId>,
    /// Of rules that were deployed when it came.
    pub(super) hits: Vec<Hit>,
    pub(super) is_visit_open: bool,
    /// It came late in this epoch, and was not tried yet on rules that need no other event.
    #[serde(skip)]
    pub(super) is_late: bool,
}

/// A window in which something is under way, or waits, or fired once.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OpenWindow {
    pub(super) key: WideKey,
    /// Its place in the order of windows in which something waits.
    #[serde(skip)]
    pub(super) scheduled: Option<EventTimeMs>,
    /// It is looked at when the epoch ends.
    #[serde(skip)]
    pub(super) is_listed: bool,
    opened: Instance,
    pub(super) last_event: EventTimeMs,
    /// In order; `state` keeps the events themselves, no others.
    pub(super) waiting: VecDeque<Waiting>,
    /// The last so many of them were not tried on the head: none behind an epoch.
    #[serde(skip)]
    pub(super) untried: usize,
    /// How many are late in this epoch.
    #[serde(skip)]
    pub(super) late: usize,
    /// The last event that went into the base.
    pub(super) tried: Option<Place>,
    /// The rules that the head has, sorted.
    pub(super) ahead: Vec<u32>,
    /// As of a visit: `windows` is the head, the state before the kept events the base. Its visit and
    /// visitor are those of the event that is tried.
    pub(super) state: Visit,
}

impl OpenWindow {
    /// A window whose first event this is.
    pub(super) fn open(key: WideKey, first: &EventRow, shared: &mut Shared) -> Option<Self> {
        let view = first.event.view().ok()?;
        let site = Arc::clone(shared.sites.entry(view.site, || view.site.into()));
        let state = Visit::open(site, &view, first.seq);
        let window = Self {
            key,
            scheduled: None,
            is_listed: false,
            opened: Instance(first.seq),
            last_event: view.timestamp,
            waiting: VecDeque::new(),
            untried: 0,
            late: 0,
            tried: None,
            ahead: Vec::new(),
            state,
        };
        shared.count_open(&window);
        Some(window)
    }

    /// Names the window among those of its key's hash: the log sequence of its first event.
    pub(super) fn opened(&self) -> Instance {
        self.opened
    }

    pub(super) fn last_event(&self) -> EventTimeMs {
        self.last_event
    }

    /// The watermark that something waits for to pass.
    pub(super) fn first_due(&self, lateness_ms: i64) -> Option<EventTimeMs> {
        let event = self.waiting.front().map(|waiting| waiting.place.time);
        let base = self.state.base().and_then(Windows::first_due);
        let by_horizon = event.into_iter().chain(base).min();
        let by_horizon = by_horizon.map(|time| time.saturating_add(lateness_ms));
        by_horizon.into_iter().chain(self.state.windows.first_due()).min()
    }

    /// Lets an event wait for the horizon, in its place. Too many move the horizon up.
    pub(super) fn take(
        &mut self,
        place: Place,
        event: WideEvent,
        shared: &mut Shared,
        out: &mut Vec<Effect>,
    ) {
        let WideEvent { row, hits, visitor } = event;
        let Some(instance) = row.instance else { return };
        if self.tried.is_some_and(|tried| place < tried) {
            shared.stats.events_not_correctable += 1;
            return;
        }
        let before = self.bytes();
        self.last_event = self.last_event.max(place.time);
        shared.stats.events_waiting += 1;
        self.renumber_if_worn();
        let index = self.waiting.partition_point(|waiting| waiting.place < place);
        let ordinal = self.ordinal(index);
        self.state.kept.insert(ordinal, row.event.as_bytes(), row.seq, &row.identity);
        let is_late = index < self.waiting.len() - self.untried;
        if is_late {
            self.late += 1;
            self.shift(ordinal, 1);
            self.touch_open(&hits, shared);
        } else {
            self.untried += 1;
        }
        let waiting = Waiting { place, instance, visitor, hits, is_visit_open: true, is_late };
        self.waiting.insert(index, waiting);
        self.limit(shared, out);
        shared.count_bytes(before, self);
    }

    /// Too many events wait: the horizon moves up.
    pub(super) fn limit(&mut self, shared: &mut Shared, out: &mut Vec<Effect>) {
        let waiting_max = usize::try_from(shared.config.window_events_max).unwrap_or(usize::MAX);
        while self.waiting.len() > waiting_max {
            self.try_first(shared, out);
        }
    }

    /// The events from an ordinal on have one that is larger by so much.
    pub(super) fn shift(&mut self, from: u32, by: u32) {
        let behind = self.state.windows.ordinals_mut().filter(|it| **it >= from);
        behind.for_each(|it| *it += by);
    }

    /// A visit is over: actions for it come too late.
    pub(super) fn visit_ended(&mut self, instance: Instance) {
        for waiting in &mut self.waiting {
            waiting.is_visit_open &= waiting.instance != instance;
        }
        let base = self.state.late_mut().base.as_mut();
        let held = base.and_then(Windows::waiting_mut_if_any);
        held.into_iter().for_each(|waiting| waiting.held.visit_ended(instance));
        let held = self.state.windows.waiting_mut_if_any();
        held.into_iter().for_each(|waiting| waiting.held.visit_ended(instance));
    }

    /// Says what was decided before the watermark, and puts into the base what lies before the horizon.
    pub(super) fn advance(&mut self, shared: &mut Shared, out: &mut Vec<Effect>) {
        let before = self.bytes();
        self.fire(shared, out);
        let horizon = shared.horizon;
        while self.waiting.front().is_some_and(|first| horizon > first.place.time) {
            self.try_first(shared, out);
        }
        self.pass_final(horizon, shared, out);
        if self.waiting.is_empty() {
            self.fall_back();
            self.state.kept.release(&self.named());
        }
        shared.count_bytes(before, self);
    }

    /// Puts the first event that waits into the base.
    fn try_first(&mut self, shared: &mut Shared, out: &mut Vec<Effect>) {
        if self.untried == self.waiting.len() || self.waiting.front().is_some_and(|it| it.is_late) {
            self.try_untried(shared, out);
        }
        let Some(first) = self.waiting.front_mut() else { return };
        let place = first.place;
        let mut hits = std::mem::take(&mut first.hits);
        // What was decided before it is not taken for a second match of a rule that fires once.
        self.pass_final(place.time.min(shared.horizon), shared, out);
        self.tried = Some(place);
        let window = self.key.window();
        hits.retain(|hit| shared.prepared.rules.rules[hit.rule()].window == window);
        if !hits.is_empty() {
            let mut base = self.state.late_mut().base.take().unwrap_or_default();
            let mut found = Vec::new();
            let counted = self.try_one((0, &hits), &mut base, shared, &mut found);
            self.state.late_mut().base = Some(base);
            shared.stats.stage = shared.stats.stage.sum(&counted);
            shared.stats.stage.events_matched += 1;
            self.settle(found, shared, out);
        }
        self.waiting.pop_front();
        self.state.kept.drop_first();
        shared.stats.events_waiting -= 1;
        if self.state.kept.is_sweep_due() {
            self.state.kept.sweep(&self.named());
        }
    }

    /// Tries an event that waits. The result is what was counted.
    pub(super) fn try_one(
        &mut self,
        (index, hits): (usize, &[Hit]),
        windows: &mut Windows,
        shared: &mut Shared,
        found: &mut Vec<Found>,
    ) -> StageStats {
        let mut counted = StageStats::default();
        let Shared { config, prepared, sites, buffers, .. } = shared;
        let ordinal = self.ordinal(index);
        let Some(Waiting { instance, visitor, is_visit_open, .. }) = self.waiting.get(index) else {
            return counted;
        };
        let Some(kept) = self.state.kept.get(ordinal) else { return counted };
        let Some(index) = &prepared.wide else { return counted };
        let view = &kept.view;
        self.state.site = Arc::clone(sites.entry(view.site, || view.site.into()));
        (self.state.id, self.state.instance) = (view.visit(), *instance);
        self.state.visitor.clone_from(visitor);
        let entry = index.entry(view.name);
        let taken = std::mem::take(buffers);
        let Ok(mut captures) = entry.extractor().capture_into(view, taken) else { return counted };
        entry.extractor().stamp(&mut captures, &kept.identity);
        let row = EventRow {
            seq: kept.seq,
            event: PackedEvent::from_bytes(kept.bytes),
            instance: Some(*instance),
            fate: Fate::Matched,
            identity: kept.identity.clone(),
        };
        let (fields, row, visit) = (entry.fields(&captures), &row, &self.state);
        let window = &self.key.key;
        let before = found.len();
        let trial = Trial { prepared, config, window, row, view, fields, visit, ordinal };
        trial.run(hits, windows, &mut counted, found);
        *buffers = captures.into_buffers();
        if !is_visit_open {
            let of_visit = found[before..].iter_mut().filter(|it| it.fact.instance == *instance);
            of_visit.for_each(|one| one.fact.is_visit_open = false);
            if let Some(waiting) = windows.waiting_mut_if_any() {
                waiting.held.visit_ended(*instance);
            }
        }
        counted
    }

    /// The matches of the base that were decided before a time are final.
    fn pass_final(&mut self, before: EventTimeMs, shared: &mut Shared, out: &mut Vec<Effect>) {
        let Some(base) = &mut self.state.late_mut().base else { return };
        if base.first_due().is_none_or(|due| before <= due) {
            return;
        }
        let mut found = Vec::new();
        let decided = base.take_decided(before);
        shared.prepared.pass(decided, base, &mut found);
        self.settle(found, shared, out);
    }

    /// Matches of the base are final. Those of `emit = "early"` were said before.
    fn settle(&mut self, found: Vec<Found>, shared: &mut Shared, out: &mut Vec<Effect>) {
        let (early, last): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|one| shared.is_early(one.rule));
        self.state.late_mut().settle(early);
        shared.stats.stage.matches += last.len() as u64;
        out.extend(last.into_iter().map(|mut one| {
            shared.assign(&self.key, &mut one);
            Effect::Match(one.fact, 1)
        }));
    }

    /// Where the kept events name one that waits.
    pub(super) fn ordinal(&self, index: usize) -> u32 {
        let index = u32::try_from(index).expect("window_events_max has 32 bits");
        self.state.kept.range().start + index
    }

    /// Ordinals that base or head name, sorted.
    fn named(&self) -> Vec<u32> {
        let mut named = self.state.windows.named();
        named.extend(self.state.base().into_iter().flat_map(Windows::named));
        named.sort_unstable();
        named.dedup();
        named
    }

    /// Gives the events small ordinals again, before they are used up.
    pub(super) fn renumber_if_worn(&mut self) {
        if self.state.kept.is_worn() {
            let named = self.named();
            let renumbered = self.state.kept.renumber(&named);
            self.state.windows.ordinals_mut().for_each(|it| *it = renumbered(*it));
            let base = self.state.late_mut().base.iter_mut();
            base.flat_map(Windows::ordinals_mut).for_each(|it| *it = renumbered(*it));
        }
    }

    /// Forgets rules that are no longer deployed: what is under way of them, and what events that wait
    /// would mean to them.
    pub(super) fn forget_rules(&mut self, slots: &[u32], shared: &mut Shared) {
        let before = self.bytes();
        slots.iter().for_each(|slot| self.state.forget(*slot));
        self.ahead.retain(|rule| !slots.contains(rule));
        for waiting in &mut self.waiting {
            waiting.hits.retain(|hit| !slots.contains(&hit.rule_number()));
        }
        shared.count_bytes(before, self);
    }

    /// Whether nothing waits or is under way, nor was done once, and its horizon did not move up.
    pub(super) fn is_empty(&self, shared: &Shared) -> bool {
        self.waiting.is_empty()
            && self.state.windows.bytes() == 0
            && self.state.base().is_none_or(|base| base.bytes() == 0)
            && self.tried.is_none_or(|tried| tried.time < shared.horizon)
            && !shared.owners.has(self.key.stable_hash())
    }

    /// Events that wait in it.
    pub(super) fn events_waiting(&self) -> u64 {
        self.waiting.len() as u64
    }

    /// Bytes, as far as they are counted.
    pub(super) fn bytes(&self) -> u64 {
        self.state.bytes() + (self.waiting.len() * size_of::<Waiting>()) as u64
    }

    /// It is pushed out of memory: what its events mean is said, and what the watermark has passed;
    /// matches that wait for what may still come are dropped.
    pub(super) fn push_out(&mut self, shared: &mut Shared, out: &mut Vec<Effect>) {
        self.end_epoch(shared, out);
        let before = self.bytes();
        self.fire(shared, out);
        while !self.waiting.is_empty() {
            self.try_first(shared, out);
        }
        if let Some(mut base) = self.state.late_mut().base.take() {
            let mut found = Vec::new();
            let dropped = shared.prepared.pass_known(shared.watermark, &mut base, &mut found);
            shared.stats.stage.absences_dropped += dropped;
            self.state.late_mut().base = Some(base);
            self.settle(found, shared, out);
        }
        shared.count_bytes(before, self);
    }

    /// Takes itself out of the figures: it is no more, or lies elsewhere from now on.
    pub(super) fn leave(&self, shared: &mut Shared) {
        let stats = &mut shared.stats;
        stats.windows_open -= 1;
        stats.events_waiting -= self.events_waiting();
        stats.stage.state_bytes = stats.stage.state_bytes.saturating_sub(self.bytes());
    }
}

impl Shared {
    /// Whether a rule says its matches before they are final.
    pub(super) fn is_early(&self, rule: u32) -> bool {
        !self.is_past && self.prepared.rules.rules[rule_index(rule)].emit == Emit::Early
    }

    /// Says of a match of a window what is known of it beside its events.
    pub(super) fn assign(&mut self, window: &WideKey, found: &mut Found) {
        found.fact.is_backfilled = is_backfilled(&self.begins, found);
        let Self { owners, prepared, gate, .. } = self;
        let plan = &prepared.rules.rules[rule_index(found.rule)];
        let acts = |fact: &ActionFact| plan.enabled && !gate.refuses(fact);
        owners.assign(window, plan, &mut found.fact, acts);
    }

    /// A match of a window no longer holds.
    pub(super) fn take_back(&mut self, window: &WideKey, gone: &Found) {
        let plan = &self.prepared.rules.rules[rule_index(gone.rule)];
        self.owners.take_back(window, plan, &gone.fact);
    }

    /// A window is there that was not.
    pub(super) fn count_open(&mut self, window: &OpenWindow) {
        self.stats.windows_open += 1;
        self.stats.events_waiting += window.events_waiting();
        self.count_bytes(0, window);
    }

    /// The state of a window had so many bytes before.
    pub(super) fn count_bytes(&mut self, before: u64, window: &OpenWindow) {
        let bytes = &mut self.stats.stage.state_bytes;
        *bytes = (*bytes + window.bytes()).saturating_sub(before);
    }
}

pub(super) fn rule_index(rule: u32) -> usize {
    usize::try_from(rule).expect("an index of the rules")
}
