//! The matcher: stage 1, partitioned by visit. Visits, identity, and the rules that see a visit. Those
//! that see another window are [`Wide`]'s.
//!
//! Plain Rust, `(state, event or mark) -> effects`. State is divided into 256 virtual partitions; a
//! matcher holds those that it gets events for, and nothing that it says depends on which they are.
//!
//! What becomes of an event, in this order:
//!
//! 1. bytes that cannot be read: `Unreadable`;
//! 2. `Flags::RECORD_ONLY`: `Unproven`, it belongs to no visit;
//! 3. before the horizon of the last mark: `BeforeHorizon`, it opens no visit;
//! 4. no open visit: it opens one (the longest idle of the partition is evicted if there are too
//!    many), and a missing `VisitStarted` is made up before it;
//! 5. a `VisitStarted` behind a made-up one: `Superseded`, wherever it sorts;
//! 6. it stamps the visitor's identity; the visit had `visit_events_matched_max` before:
//!    `OverVisitLimit`;
//! 7. it sorts before an event of its visit already seen: `PutInPlace` (`late`), or, where the visit
//!    keeps no events so old, `NotCorrectable`;
//! 8. `Matched`: it is kept and tried on the rules.
//!
//! A `VisitEnded` of 6 to 8 then ends the visit, unless it is unproven. Events of 1 to 5 move nothing,
//! but that a superseded one may make the visit last longer. At a mark, first the rules are evaluated
//! again that late events touched; then the matches are asserted that waited for a time before its
//! watermark (the deadline of a missing event) or its horizon (`emit = "final"`); then visits end whose
//! last event plus inactivity lies before the horizon, and all of them where the watermark is the end
//! of time. A visit that ends fulfils what still waits. One that is evicted does not: nothing says that
//! what it waits for will not come, so what the watermark has not passed is dropped, counted.
//!
//! Cost for each event: one pass over its bytes, one look-up for each indexed field (`index`), one
//! look-up of its visit, and then only what the hits touch. Nothing is logged for an event. With many
//! visits most of the time is spent waiting for memory; [`Stage::events`] therefore looks at the visits
//! of some events at once before it takes them one by one, so that the waits overlap.

mod action;
mod changes;
mod closed;
mod config;
mod fields;
mod held;
mod identity;
mod index;
mod kept;
mod keys;
mod late;
mod leaving;
mod life;
mod memory;
mod names;
mod partition;
mod prepared;
mod reach;
mod sample;
mod saved;
mod sequence;
mod standing;
mod turns;
mod visit;
mod waiting;
mod wide;
mod windows;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use changes::CHANGE_EPOCHS;
pub use config::MatcherConfig;
pub use memory::VisitMemory;
pub use prepared::Prepared;
pub use turns::{Turn, Turns};
pub use wide::{
    BackfillStep, OpenVisits, Past, PastEpoch, Router, Wide, WideInput, WideSetup, WideStats,
};

use crate::model::{
    CloseReason, Epoch, EpochMark, EventRow, EventTimeMs, EventView, Fate, Flags, Identity,
    LoggedEvent, PARTITIONS, PartitionId, WindowKey, system, window_hash,
};
use crate::snapshot::{Asleep, Unreadable};
use crate::stage::{Effect, RuleChange, Stage, StageStats};
use beckon_rules::plan::RuleSet;
use changes::Changes;
use fields::{Buffers, Captures};
use index::Hit;
use late::DirtyVisit;
use names::Names;
use partition::Partition;
use sequence::Trial;
use smallvec::SmallVec;
use standing::Found;
use std::sync::Arc;
use visit::Visit;
use windows::Windows;

/// Stage 1 on one worker.
#[derive(Debug)]
pub struct Matcher {
    shared: Shared,
    /// By partition; those that had no event yet are not there.
    partitions: Vec<Option<Box<Partition>>>,
    /// By partition: no open visit's last event is before this. Apart, so that a mark reads 2 KB
    /// and not all partitions.
    first_idle: Vec<EventTimeMs>,
    /// By partition: no match waits for a time before this.
    first_due: Vec<EventTimeMs>,
    /// Restored ones whose time has not come.
    asleep: Asleep<Option<Box<Partition>>>,
}

/// Events that [`Stage::events`] looks at together.
const LOOK_AHEAD: usize = 16;

/// What all partitions of a worker use.
#[derive(Debug)]
struct Shared {
    config: MatcherConfig,
    prepared: Arc<Prepared>,
    sites: Names<Arc<str>>,
    /// Nothing earlier is waited for.
    watermark: EventTimeMs,
    /// What lies before it is final.
    horizon: EventTimeMs,
    changes: Changes,
    /// Visits to be looked at again when the epoch ends, each once.
    dirty: Vec<DirtyVisit>,
    stats: StageStats,
    /// Used again for each event.
    hits: Vec<Hit>,
    /// Used again for each event.
    found: Vec<Found>,
    /// Used again for each event.
    buffers: Buffers,
}

impl Matcher {
    /// A matcher without visits, before the first mark. Of the rules it runs those on the visit.
    #[must_use]
    pub fn new(rules: Arc<RuleSet>, config: MatcherConfig) -> Self {
        Self::with(Arc::new(Prepared::new(rules)), config)
    }

    /// The same, of rules that were made ready before.
    #[must_use]
    pub fn with(prepared: Arc<Prepared>, config: MatcherConfig) -> Self {
        let shared = Shared {
            config,
            prepared,
            sites: Names::default(),
            watermark: EventTimeMs::MIN,
            horizon: EventTimeMs::MIN,
            changes: Changes::default(),
            dirty: Vec::new(),
            stats: StageStats::default(),
            hits: Vec::new(),
            found: Vec::new(),
            buffers: Buffers::default(),
        };
        let never = vec![EventTimeMs::MAX; usize::from(PARTITIONS)];
        Self {
            shared,
            partitions: (0..PARTITIONS).map(|_| None).collect(),
            first_idle: never.clone(),
            first_due: never,
            asleep: Asleep::default(),
        }
    }

    fn arrival(&mut self, arrival: Arrival<'_>, out: &mut Vec<Effect>) {
        let Self { shared, partitions, first_idle, first_due, asleep } = self;
        if asleep.has(PartitionId::of(arrival.hash)) {
            return;
        }
        let index = arrival.partition();
        first_idle[index] = first_idle[index].min(arrival.view.timestamp);
        let partition =
            partitions[index].get_or_insert_with(|| Box::new(Partition::new(&shared.config)));
        shared.event(arrival, partition, out);
        first_due[index] = partition.first_due().unwrap_or(EventTimeMs::MAX);
    }

    /// Corrects what late events of the epoch changed.
    fn correct(&mut self, out: &mut Vec<Effect>) {
        let Self { shared, partitions, first_due, .. } = self;
        for DirtyVisit { partition: index, hash, instance } in std::mem::take(&mut shared.dirty) {
            let Some(partition) = &mut partitions[index] else { continue };
            partition.revise(hash, instance, |visit| shared.correct(visit, out));
            first_due[index] = partition.first_due().unwrap_or(EventTimeMs::MAX);
        }
    }

    /// Asserts the matches whose time the watermark has passed.
    fn fire_due(&mut self, out: &mut Vec<Effect>) {
        let Self { shared, partitions, first_due, .. } = self;
        let watermark = shared.watermark;
        for (partition, first) in partitions.iter_mut().zip(first_due) {
            let Some(partition) = partition.as_mut().filter(|_| watermark > *first) else {
                continue;
            };
            partition.fire_due(watermark, |visit| shared.fire(visit, watermark, true, out));
            *first = partition.first_due().unwrap_or(EventTimeMs::MAX);
        }
    }

    /// Brings the visits of some events into the cache. What lies at one depth is read of all of them
    /// before what lies deeper, so that they do not wait for each other.
    fn look_ahead(&self, arrivals: &[Option<Arrival<'_>>]) {
        let visits = arrivals.iter().flatten().filter_map(|arrival| {
            self.partitions[arrival.partition()].as_ref()?.peek(arrival.hash)
        });
        let visits: SmallVec<[&Visit; LOOK_AHEAD]> = visits.collect();
        let touched = visits.iter().fold(0, |touched, visit| touched ^ visit.touch());
        let touched = visits.iter().fold(touched, |touched, visit| touched ^ visit.touch_parts());
        std::hint::black_box(touched);
    }
}

impl Stage for Matcher {
    fn event(&mut self, event: &LoggedEvent, out: &mut Vec<Effect>) {
        match Arrival::read(event) {
            Some(arrival) => self.arrival(arrival, out),
            None => self.shared.pass_over(event, Fate::Unreadable, out),
        }
    }

    fn events(&mut self, events: &[LoggedEvent], out: &mut Vec<Effect>) {
        for events in events.chunks(LOOK_AHEAD) {
            let arrivals: SmallVec<[Option<Arrival<'_>>; LOOK_AHEAD]> =
                events.iter().map(Arrival::read).collect();
            self.look_ahead(&arrivals);
            for (event, arrival) in events.iter().zip(arrivals) {
                match arrival {
                    Some(arrival) => self.arrival(arrival, out),
                    None => self.shared.pass_over(event, Fate::Unreadable, out),
                }
            }
        }
    }

    fn end_epoch(&mut self, mark: &EpochMark, out: &mut Vec<Effect>) {
        self.correct(out);
        let shared = &mut self.shared;
        let is_end = mark.watermark == EventTimeMs::MAX;
        shared.watermark = shared.watermark.max(mark.watermark);
        shared.horizon =
            shared.horizon.max(config::horizon(mark.watermark, shared.config.lateness_ms));
        self.fire_due(out);
        let Self { shared, partitions, first_idle, .. } = self;
        for (partition, first) in partitions.iter_mut().zip(first_idle) {
            let Some(partition) = partition else { continue };
            if !is_end && !shared.is_over(*first) {
                continue;
            }
            while let Some(ended) = partition.pop_idle(|last| is_end || shared.is_over(last)) {
                let reason = if is_end { CloseReason::EndOfInput } else { CloseReason::Inactive };
                shared.closed(ended, reason, out);
            }
            *first = partition.first_idle().unwrap_or(EventTimeMs::MAX);
        }
        let Self { shared, partitions, first_due, .. } = self;
        shared.spread(mark.epoch, partitions, first_due, out);
        self.wake(mark.epoch);
    }

    fn deploy(&mut self, change: &RuleChange) {
        let Shared { prepared, changes, .. } = &mut self.shared;
        *prepared = Arc::clone(&change.rules);
        changes.add(change);
    }

    fn save(&self, partition: PartitionId, out: &mut Vec<u8>) {
        if let Some(partition) = &self.partitions[usize::from(partition.0)] {
            partition.save(out);
        }
    }

    fn restore(
        &mut self,
        partition: PartitionId,
        saved: Epoch,
        bytes: &[u8],
    ) -> Result<(), Unreadable> {
        let Shared { config, sites, .. } = &mut self.shared;
        let state = match bytes {
            [] => None,
            bytes => Some(Box::new(Partition::restore(bytes, config, sites)?)),
        };
        self.asleep.put(partition, saved, state);
        Ok(())
    }

    fn resume(&mut self, ended: &EpochMark, rules: &RuleChange) {
        let Shared { prepared, changes, watermark, horizon, config, .. } = &mut self.shared;
        *prepared = Arc::clone(&rules.rules);
        changes.resume(rules);
        *watermark = ended.watermark;
        *horizon = config::horizon(ended.watermark, config.lateness_ms);
        self.wake(ended.epoch);
    }

    fn stats(&self) -> StageStats {
        let Self { shared, first_idle, first_due, .. } = self;
        let config = &shared.config;
        let is_open = |_: &&EventTimeMs| shared.stats.visits_open > 0;
        let idle = first_idle.iter().min().filter(is_open).zip(config.inactivity_ms);
        let ends = idle.map(|(last, inactivity_ms)| last.saturating_add(inactivity_ms));
        let due = first_due.iter().min().filter(|due| **due < EventTimeMs::MAX).filter(is_open);
        let due = due.map(|due| due.saturating_add(-config.lateness_ms));
        let first = ends.into_iter().chain(due).min();
        // A time has passed once the horizon lies behind it.
        let next_timer_ms = first.map(|time| time.saturating_add(1).0);
        StageStats { next_timer_ms, ..shared.stats }
    }
}

/// An event that could be read.
#[derive(Clone, Copy, Debug)]
struct Arrival<'a> {
    logged: &'a LoggedEvent,
    view: EventView<'a>,
    /// Of its window key.
    hash: u64,
}

/// What rules read of an event.
#[derive(Debug)]
struct Reading<'a> {
    view: EventView<'a>,
    captures: Captures<'a>,
}

impl<'a> Arrival<'a> {
    /// `None` where the bytes are damaged.
    fn read(logged: &'a LoggedEvent) -> Option<Self> {
        let view = logged.event.view().ok()?;
        let hash = window_hash(view.site, &view.visit().0);
        Some(Self { logged, view, hash })
    }

    fn partition(&self) -> usize {
        usize::from(PartitionId::of(self.hash).0)
    }

    fn row(&self, fate: Fate, visit: Option<&Visit>) -> EventRow {
        EventRow {
            seq: self.logged.seq,
            event: self.logged.event.clone(),
            instance: visit.map(|visit| visit.instance),
            fate,
            identity: visit.map_or_else(Identity::default, |visit| visit.identity.clone()),
        }
    }
}

impl Shared {
    fn event(&mut self, arrival: Arrival<'_>, partition: &mut Partition, out: &mut Vec<Effect>) {
        let Arrival { logged, view, hash } = arrival;
        let entry = self.prepared.index.entry(view.name);
        let buffers = std::mem::take(&mut self.buffers);
        let Ok(captures) = entry.extractor().capture_into(&view, buffers) else {
            return self.pass_over(logged, Fate::Unreadable, out);
        };
        if view.flags.has(Flags::RECORD_ONLY) {
            return self.pass_over(logged, Fate::Unproven, out);
        }
        let id = view.visit();
        if view.timestamp < self.horizon {
            self.stats.events_late += 1;
            let mut visit = partition.find(hash, view.site, &id);
            if let Some(visit) = &mut visit {
                visit.events += 1;
            }
            return out.push(Effect::Event(arrival.row(Fate::BeforeHorizon, visit.as_deref())));
        }
        let visit = match partition.find(hash, view.site, &id) {
            Some(visit) => {
                self.catch_up(visit, true, out);
                visit
            }
            None => self.open(&arrival, partition, out),
        };
        visit.events += 1;
        if visit.is_made_up && view.name == system::VISIT_STARTED {
            visit.newest = visit.newest.max(visit::order(&view, logged.seq));
            return out.push(Effect::Event(arrival.row(Fate::Superseded, Some(visit))));
        }
        let was_dirty = visit.is_dirty();
        self.take(&arrival, captures, visit, out);
        if visit.is_dirty() && !was_dirty {
            let (partition, instance) = (arrival.partition(), visit.instance);
            self.dirty.push(DirtyVisit { partition, hash, instance });
        }
        if visit.unscheduled().is_some() {
            partition.schedule(hash, view.site, &id);
        }
        // Whoever knows no more than a visit's id cannot end it.
        if view.name == system::VISIT_ENDED
            && !view.flags.has(Flags::UNPROVEN)
            && let Some(ended) = partition.remove(hash, view.site, &id)
        {
            self.closed(ended, CloseReason::Ended, out);
        }
    }

    /// Takes an event of a visit, in order or late.
    fn take(
        &mut self,
        arrival: &Arrival<'_>,
        captures: Captures<'_>,
        visit: &mut Visit,
        out: &mut Vec<Effect>,
    ) {
        let order = visit::order(&arrival.view, arrival.logged.seq);
        let is_late = order < visit.newest;
        visit.newest = visit.newest.max(order);
        identity::advance(&mut visit.identity, &arrival.view);
        if let Some(visitor) = arrival.view.visitor() {
            visit.visitor = Some(visitor);
        }
        self.stats.events_late += u64::from(is_late);
        if visit.matchable >= self.config.visit_events_matched_max {
            self.stats.events_over_limit += 1;
            return out.push(Effect::Event(arrival.row(Fate::OverVisitLimit, Some(visit))));
        }
        visit.matchable += 1;
        if is_late {
            return self.put_in_place(arrival, captures, visit, out);
        }
        self.stats.events_matched += 1;
        let row = arrival.row(Fate::Matched, Some(visit));
        self.try_rules(row, Reading { view: arrival.view, captures }, visit, out);
    }

    /// Keeps an event that comes in order, and tries it on the rules.
    fn try_rules(
        &mut self,
        row: EventRow,
        reading: Reading<'_>,
        visit: &mut Visit,
        out: &mut Vec<Effect>,
    ) {
        let before = visit.bytes();
        if visit.kept.is_full(self.config.visit_events_max) {
            self.leave(visit);
        }
        let ordinal = visit.kept.push(row.event.as_bytes(), row.seq, &row.identity);
        let Self { config, prepared, stats, hits, buffers, .. } = self;
        let Reading { view, mut captures } = reading;
        let entry = prepared.index.entry(view.name);
        entry.extractor().stamp(&mut captures, &row.identity);
        prepared.select((&prepared.index, entry), (&view, &captures), hits);
        visit.set_aside(view.timestamp, hits);
        let mut found = std::mem::take(&mut self.found);
        if !hits.is_empty() {
            let mut windows = std::mem::take(&mut visit.windows);
            let fields = entry.fields(&captures);
            let window = &WindowKey::Visit;
            let (row, view) = (&row, &view);
            let trial = Trial { prepared, config, window, row, view, fields, visit, ordinal };
            trial.run(hits, &mut windows, stats, &mut found);
            visit.windows = windows;
        }
        *buffers = captures.into_buffers();
        self.assert(visit, &mut found, true, out);
        self.count_bytes(before, visit);
        self.found = found;
        out.push(Effect::Event(row));
    }

    /// Records an event that belongs to no visit.
    fn pass_over(&mut self, event: &LoggedEvent, fate: Fate, out: &mut Vec<Effect>) {
        self.stats.events_unreadable += u64::from(fate == Fate::Unreadable);
        out.push(Effect::Event(EventRow {
            seq: event.seq,
            event: event.event.clone(),
            instance: None,
            fate,
            identity: Identity::default(),
        }));
    }

    /// Asserts the matches that waited for a time before the watermark, in the order in which they
    /// were decided.
    fn fire(
        &mut self,
        visit: &mut Visit,
        watermark: EventTimeMs,
        is_visit_open: bool,
        out: &mut Vec<Effect>,
    ) {
        self.assert_found(visit, is_visit_open, out, |prepared, windows, found| {
            prepared.pass(windows.take_due(watermark), windows, found);
        });
    }

    /// Asserts the matches of a visit that `find` takes from what is under way in it.
    fn assert_found(
        &mut self,
        visit: &mut Visit,
        is_visit_open: bool,
        out: &mut Vec<Effect>,
        find: impl FnOnce(&Prepared, &mut Windows, &mut Vec<Found>),
    ) {
        let held_bytes = visit.bytes();
        let mut windows = std::mem::take(&mut visit.windows);
        let mut found = std::mem::take(&mut self.found);
        find(&self.prepared, &mut windows, &mut found);
        visit.windows = windows;
        self.assert(visit, &mut found, is_visit_open, out);
        self.count_bytes(held_bytes, visit);
        self.found = found;
    }
}
