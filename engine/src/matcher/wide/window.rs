//! One window: the events that wait for the horizon, and what is under way behind it.

use super::super::sequence::Trial;
use super::super::standing::Found;
use super::super::visit::Visit;
use super::{Shared, WideEvent, WideKey};
use crate::model::{EventRow, EventTimeMs, Instance, LogSeq};
use crate::stage::{Effect, StageStats};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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
struct Waiting {
    event: WideEvent,
    is_visit_open: bool,
}

/// A window in which something is under way, or waits, or fired once.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OpenWindow {
    pub(super) key: WideKey,
    /// Its place in the order of windows in which something waits.
    #[serde(skip)]
    pub(super) scheduled: Option<EventTimeMs>,
    opened: Instance,
    last_event: EventTimeMs,
    waiting: BTreeMap<Place, Waiting>,
    /// The last event that was tried.
    tried: Option<Place>,
    /// What is under way, as in a visit; its visit and visitor are those of the event that is tried.
    state: Visit,
}

impl OpenWindow {
    /// A window whose first event this is.
    pub(super) fn open(key: WideKey, first: &EventRow, shared: &mut Shared) -> Option<Self> {
        let view = first.event.view().ok()?;
        let site = Arc::clone(shared.sites.entry(view.site, || view.site.into()));
        let state = Visit::open(site, &view, first.seq);
        shared.stats.windows_open += 1;
        shared.stats.stage.state_bytes += state.bytes();
        Some(Self {
            key,
            scheduled: None,
            opened: Instance(first.seq),
            last_event: view.timestamp,
            waiting: BTreeMap::new(),
            tried: None,
            state,
        })
    }

    /// Names the window among those of its key's hash: the log sequence of its first event.
    pub(super) fn opened(&self) -> Instance {
        self.opened
    }

    pub(super) fn last_event(&self) -> EventTimeMs {
        self.last_event
    }

    /// The first time that something waits for.
    pub(super) fn first_due(&self) -> Option<EventTimeMs> {
        let event = self.waiting.first_key_value().map(|(place, _)| place.time);
        event.into_iter().chain(self.state.windows.first_due()).min()
    }

    /// Lets an event wait for the horizon. Too many move the horizon up.
    pub(super) fn take(
        &mut self,
        place: Place,
        event: WideEvent,
        shared: &mut Shared,
        out: &mut Vec<Effect>,
    ) {
        if self.tried.is_some_and(|tried| place < tried) {
            shared.stats.events_not_correctable += 1;
            return;
        }
        self.last_event = self.last_event.max(place.time);
        shared.stats.events_waiting += 1;
        shared.stats.stage.state_bytes += bytes(&event);
        self.waiting.insert(place, Waiting { event, is_visit_open: true });
        let waiting_max = usize::try_from(shared.config.window_events_max).unwrap_or(usize::MAX);
        while self.waiting.len() > waiting_max {
            self.try_first(|_| true, shared, out);
        }
    }

    /// A visit is over: actions for it come too late.
    pub(super) fn visit_ended(&mut self, instance: Instance) {
        for waiting in self.waiting.values_mut() {
            waiting.is_visit_open &= waiting.event.row.instance != Some(instance);
        }
        if let Some(held) = self.state.windows.waiting_mut_if_any() {
            held.visit_ended(instance);
        }
    }

    /// Tries what lies before the horizon, and asserts what was decided before it.
    pub(super) fn advance(
        &mut self,
        horizon: EventTimeMs,
        shared: &mut Shared,
        out: &mut Vec<Effect>,
    ) {
        while self.try_first(|time| horizon > time, shared, out) {}
        self.fire(horizon, shared, out);
    }

    /// Tries the first event that waits, if its time satisfies `is_due`.
    fn try_first(
        &mut self,
        is_due: impl Fn(EventTimeMs) -> bool,
        shared: &mut Shared,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Some(first) = self.waiting.first_entry() else { return false };
        let place = *first.key();
        if !is_due(place.time) {
            return false;
        }
        let waiting = first.remove();
        shared.stats.events_waiting -= 1;
        shared.stats.stage.state_bytes -= bytes(&waiting.event);
        // What was decided before it is not taken for a second match of a rule that fires once.
        self.fire(place.time, shared, out);
        self.tried = Some(place);
        self.try_rules(waiting, shared, out);
        true
    }

    fn try_rules(
        &mut self,
        Waiting { event, is_visit_open }: Waiting,
        shared: &mut Shared,
        out: &mut Vec<Effect>,
    ) {
        let Shared { config, prepared, sites, stats, buffers, .. } = shared;
        let WideEvent { row, mut hits, visitor } = event;
        let Ok(view) = row.event.view() else { return };
        let Some(instance) = row.instance else { return };
        let window = self.key.window();
        hits.retain(|hit| prepared.rules.rules[hit.rule()].window == window);
        let Some(index) = prepared.wide.as_ref().filter(|_| !hits.is_empty()) else { return };
        let entry = index.entry(view.name);
        let taken = std::mem::take(buffers);
        let Ok(mut captures) = entry.extractor().capture_into(&view, taken) else { return };
        entry.extractor().stamp(&mut captures, &row.identity);
        let before = self.state.bytes();
        let state = &mut self.state;
        if state.kept.is_full(config.visit_events_max) {
            state.kept.drop_first();
            if state.kept.is_sweep_due() {
                state.kept.sweep(&state.windows.named());
            }
        }
        if state.kept.is_worn() {
            let renumbered = state.kept.renumber(&state.windows.named());
            state.windows.ordinals_mut().for_each(|ordinal| *ordinal = renumbered(*ordinal));
        }
        let ordinal = state.kept.push(row.event.as_bytes(), row.seq, &row.identity);
        state.site = Arc::clone(sites.entry(view.site, || view.site.into()));
        (state.id, state.instance, state.visitor) = (view.visit(), instance, visitor);
        let fields = entry.fields(&captures);
        let window = &self.key.key;
        stats.stage.events_matched += 1;
        let mut windows = std::mem::take(&mut state.windows);
        let mut found = Vec::new();
        let (row, view) = (&row, &view);
        let trial = Trial { prepared, config, window, row, view, fields, visit: state, ordinal };
        trial.run(&hits, &mut windows, &mut stats.stage, &mut found);
        *buffers = captures.into_buffers();
        if !is_visit_open && let Some(held) = windows.waiting_mut_if_any() {
            held.visit_ended(instance);
        }
        self.state.windows = windows;
        for one in &mut found {
            one.fact.is_visit_open &= is_visit_open || one.fact.instance != instance;
        }
        say(found, &mut stats.stage, out);
        let bytes = &mut stats.stage.state_bytes;
        *bytes = (*bytes + self.state.bytes()).saturating_sub(before);
    }

    /// Asserts matches that were decided before a time, in that order.
    fn fire(&mut self, before: EventTimeMs, shared: &mut Shared, out: &mut Vec<Effect>) {
        if self.state.windows.first_due().is_none_or(|due| before <= due) {
            return;
        }
        let Shared { prepared, stats, .. } = shared;
        let bytes = self.state.bytes();
        let mut found = Vec::new();
        for held in self.state.windows.take_decided(before) {
            let rule = usize::try_from(held.of.rule).expect("an index of the rules");
            let plan = &prepared.rules.rules[rule];
            // Its rule was removed, and the state of that is not swept yet.
            if !plan.is_vacant() {
                held.pass(plan, &mut self.state.windows, &mut found);
            }
        }
        say(found, &mut stats.stage, out);
        let held = &mut stats.stage.state_bytes;
        *held = (*held + self.state.bytes()).saturating_sub(bytes);
    }

    /// Forgets rules that are no longer deployed: what is under way of them, and what events that wait
    /// would mean to them.
    pub(super) fn forget_rules(&mut self, slots: &[u32], shared: &mut Shared) {
        let before = self.state.bytes();
        slots.iter().for_each(|slot| self.state.windows.forget(*slot));
        let bytes = &mut shared.stats.stage.state_bytes;
        *bytes = (*bytes + self.state.bytes()).saturating_sub(before);
        for waiting in self.waiting.values_mut() {
            waiting.event.hits.retain(|hit| {
                !slots
                    .iter()
                    .any(|slot| usize::try_from(*slot).is_ok_and(|slot| slot == hit.rule()))
            });
        }
    }

    /// Whether nothing waits or is under way, nor was done once, and its horizon did not move up.
    pub(super) fn is_empty(&self, horizon: EventTimeMs) -> bool {
        self.waiting.is_empty()
            && self.state.windows.bytes() == 0
            && self.tried.is_none_or(|tried| tried.time < horizon)
    }

    /// Events that wait in it, and bytes, as far as they are counted.
    pub(super) fn held(&self) -> (u64, u64) {
        let waiting: u64 = self.waiting.values().map(|waiting| bytes(&waiting.event)).sum();
        (self.waiting.len() as u64, self.state.bytes() + waiting)
    }

    /// Takes itself out of the figures.
    pub(super) fn close(self, shared: &mut Shared) {
        let (waiting, held) = self.held();
        let stats = &mut shared.stats;
        stats.windows_open -= 1;
        stats.events_waiting -= waiting;
        stats.stage.state_bytes = stats.stage.state_bytes.saturating_sub(held);
    }
}

/// Asserts matches: nothing is ever taken back here.
fn say(found: Vec<Found>, stats: &mut StageStats, out: &mut Vec<Effect>) {
    stats.matches += found.len() as u64;
    out.extend(found.into_iter().map(|one| Effect::Match(one.fact, 1)));
}

/// Bytes of an event that waits.
fn bytes(event: &WideEvent) -> u64 {
    (size_of::<Place>() + size_of::<Waiting>() + event.row.event.as_bytes().len()) as u64
}
