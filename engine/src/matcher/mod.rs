//! The matcher: stage 1, partitioned by visit. Visits, identity, and the rules that see a visit.
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
//! 6. it sorts before an event of its visit already seen: `LateInVisit`;
//! 7. it stamps the visitor's identity; the visit had `visit_events_matched_max` before:
//!    `OverVisitLimit`;
//! 8. `Matched`: it is kept and tried on the rules.
//!
//! A `VisitEnded` of 7 or 8 then ends the visit, unless it is unproven. Events of 1 to 6 move nothing,
//! but that a superseded one may make the visit last longer. At a mark, first the matches are asserted
//! that waited for a time before its horizon (a missing event at the end, `emit = "final"`); then
//! visits end whose last event plus inactivity lies before the mark's horizon, and all of them where
//! the watermark is the end of time. A visit that ends, in whatever way, fulfils what still waits.
//!
//! Cost for each event: one pass over its bytes, one look-up for each indexed field (`index`), one
//! look-up of its visit, and then only what the hits touch. Nothing is logged for an event. With many
//! visits most of the time is spent waiting for memory; [`Stage::events`] therefore looks at the visits
//! of some events at once before it takes them one by one, so that the waits overlap.

mod action;
mod closed;
mod config;
mod fields;
mod identity;
mod index;
mod kept;
mod keys;
mod leaving;
mod names;
mod partition;
mod prepared;
mod reach;
mod sample;
mod sequence;
mod turns;
mod visit;
mod waiting;
mod windows;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use config::MatcherConfig;
pub use leaving::LEAVING_EPOCHS;
pub use prepared::Prepared;
pub use turns::{Turn, Turns};

use crate::model::{
    CloseReason, EpochMark, EventRow, EventTimeMs, EventView, Fate, Flags, Identity, LogSeq,
    LoggedEvent, PARTITIONS, PackedEvent, PartitionId, VisitChange, WindowKey,
    made_up_visit_started, system, window_hash,
};
use crate::stage::{Effect, RuleChange, Stage, StageStats};
use beckon_rules::plan::RuleSet;
use fields::{Buffers, Captures};
use index::Hit;
use leaving::Leaving;
use names::Names;
use partition::{Ended, Partition};
use sequence::Trial;
use smallvec::SmallVec;
use std::sync::Arc;
use visit::Visit;

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
    /// Rules that are no longer deployed.
    leaving: Leaving,
}

/// Events that [`Stage::events`] looks at together.
const LOOK_AHEAD: usize = 16;

/// What all partitions of a worker use.
#[derive(Debug)]
struct Shared {
    config: MatcherConfig,
    prepared: Arc<Prepared>,
    sites: Names<Arc<str>>,
    /// What lies before it is final.
    horizon: EventTimeMs,
    stats: StageStats,
    /// Used again for each event.
    hits: Vec<Hit>,
    /// Used again for each event.
    buffers: Buffers,
}

impl Matcher {
    /// A matcher without visits, before the first mark.
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
            horizon: EventTimeMs::MIN,
            stats: StageStats::default(),
            hits: Vec::new(),
            buffers: Buffers::default(),
        };
        let never = vec![EventTimeMs::MAX; usize::from(PARTITIONS)];
        Self {
            shared,
            partitions: (0..PARTITIONS).map(|_| None).collect(),
            first_idle: never.clone(),
            first_due: never,
            leaving: Leaving::default(),
        }
    }

    fn arrival(&mut self, arrival: Arrival<'_>, out: &mut Vec<Effect>) {
        let Self { shared, partitions, first_idle, first_due, .. } = self;
        let index = arrival.partition();
        first_idle[index] = first_idle[index].min(arrival.view.timestamp);
        let partition =
            partitions[index].get_or_insert_with(|| Box::new(Partition::new(&shared.config)));
        shared.event(arrival, partition, out);
        first_due[index] = partition.first_due().unwrap_or(EventTimeMs::MAX);
    }

    /// Asserts the matches whose time lies before the horizon.
    fn fire_due(&mut self, out: &mut Vec<Effect>) {
        let Self { shared, partitions, first_due, .. } = self;
        let horizon = shared.horizon;
        for (partition, first) in partitions.iter_mut().zip(first_due) {
            let Some(partition) = partition.as_mut().filter(|_| horizon > *first) else {
                continue;
            };
            partition.fire_due(horizon, |visit| shared.fire(visit, horizon, true, out));
            *first = partition.first_due().unwrap_or(EventTimeMs::MAX);
        }
    }

    /// Brings the visits of some events into the cache: the look-ups do not wait for each other.
    fn look_ahead(&self, arrivals: &[Option<Arrival<'_>>]) {
        let touched = arrivals.iter().flatten().fold(0, |touched, arrival| {
            let partition = self.partitions[arrival.partition()].as_ref();
            touched ^ partition.map_or(0, |partition| partition.touch(arrival.hash))
        });
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
        let shared = &mut self.shared;
        let is_end = mark.watermark == EventTimeMs::MAX;
        let horizon = if is_end {
            mark.watermark
        } else {
            mark.watermark.saturating_add(-shared.config.lateness_ms)
        };
        shared.horizon = shared.horizon.max(horizon);
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
        self.leaving.sweep(partitions, &mut shared.stats.state_bytes);
    }

    fn deploy(&mut self, change: &RuleChange) {
        self.shared.prepared = Arc::clone(&change.rules);
        self.leaving.add(&change.retired);
    }

    fn stats(&self) -> StageStats {
        let Self { shared, first_idle, first_due, .. } = self;
        let config = &shared.config;
        let is_open = |_: &&EventTimeMs| shared.stats.visits_open > 0;
        let idle = first_idle.iter().min().filter(is_open).zip(config.inactivity_ms);
        let ends = idle.map(|(last, inactivity_ms)| last.saturating_add(inactivity_ms));
        let due = first_due.iter().min().filter(|due| **due < EventTimeMs::MAX).filter(is_open);
        let first = ends.into_iter().chain(due.copied()).min();
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
            Some(visit) => visit,
            None => self.open(&arrival, partition, out),
        };
        visit.events += 1;
        let order = visit::order(&view, logged.seq);
        if visit.is_made_up && view.name == system::VISIT_STARTED {
            visit.newest = visit.newest.max(order);
            return out.push(Effect::Event(arrival.row(Fate::Superseded, Some(visit))));
        }
        if order < visit.newest {
            self.stats.events_late += 1;
            return out.push(Effect::Event(arrival.row(Fate::LateInVisit, Some(visit))));
        }
        visit.newest = order;
        self.take(&arrival, captures, visit, out);
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

    /// Takes an event of a visit that comes in order.
    fn take(
        &mut self,
        arrival: &Arrival<'_>,
        captures: Captures<'_>,
        visit: &mut Visit,
        out: &mut Vec<Effect>,
    ) {
        identity::advance(&mut visit.identity, &arrival.view);
        if let Some(visitor) = arrival.view.visitor() {
            visit.visitor = Some(visitor);
        }
        if visit.matchable >= self.config.visit_events_matched_max {
            self.stats.events_over_limit += 1;
            return out.push(Effect::Event(arrival.row(Fate::OverVisitLimit, Some(visit))));
        }
        visit.matchable += 1;
        self.stats.events_matched += 1;
        let row = arrival.row(Fate::Matched, Some(visit));
        self.try_rules(row, Reading { view: arrival.view, captures }, visit, out);
    }

    /// Tries an event on the rules.
    fn try_rules(
        &mut self,
        row: EventRow,
        reading: Reading<'_>,
        visit: &mut Visit,
        out: &mut Vec<Effect>,
    ) {
        let Self { config, prepared, stats, hits, buffers, .. } = self;
        let Reading { view, mut captures } = reading;
        let entry = prepared.index.entry(view.name);
        entry.extractor().stamp(&mut captures, &row.identity);
        prepared.select(entry, (&view, &captures), hits);
        let fields = entry.fields(&captures);
        let before = visit.bytes();
        let window = &WindowKey::Visit;
        let trial = Trial { prepared, config, window, row: &row, view: &view, fields };
        trial.run(hits, visit, stats, out);
        stats.state_bytes = (stats.state_bytes + visit.bytes()).saturating_sub(before);
        out.push(Effect::Event(row));
        *buffers = captures.into_buffers();
    }

    /// Opens the visit of an event, and makes up its beginning if that is missing.
    fn open<'p>(
        &mut self,
        arrival: &Arrival<'_>,
        partition: &'p mut Partition,
        out: &mut Vec<Effect>,
    ) -> &'p mut Visit {
        while partition.len() >= self.config.partition_visits_max()
            && let Some(ended) = partition.pop_idle(|_| true)
        {
            self.stats.visits_evicted += 1;
            self.closed(ended, CloseReason::Evicted, out);
        }
        let Arrival { logged, view, hash } = arrival;
        let site = Arc::clone(self.sites.entry(view.site, || view.site.into()));
        let resumed = partition.is_closed(*hash);
        let visit = partition.insert(*hash, Visit::open(site, view, logged.seq));
        self.stats.visits_open += 1;
        self.stats.state_bytes += visit.bytes();
        visit.visitor = view.visitor();
        visit.events = 1;
        out.push(Effect::Visit(visit.row(VisitChange::Opened { resumed }).into()));
        visit.events = 0;
        if self.config.makes_visit_started && view.name != system::VISIT_STARTED {
            visit.is_made_up = true;
            let event = made_up_visit_started(view, visit.instance);
            self.take_made_up(&event, logged.seq, visit, out);
        }
        visit
    }

    fn take_made_up(
        &mut self,
        event: &PackedEvent,
        seq: LogSeq,
        visit: &mut Visit,
        out: &mut Vec<Effect>,
    ) {
        let view = event.view().expect("just packed");
        let entry = self.prepared.index.entry(view.name);
        let captures = entry.extractor().capture(&view).expect("just packed");
        let row = EventRow {
            seq,
            event: event.clone(),
            instance: Some(visit.instance),
            fate: Fate::Matched,
            identity: visit.identity.clone(),
        };
        self.try_rules(row, Reading { view, captures }, visit, out);
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

    /// Whether a visit with this last event is over by the horizon.
    fn is_over(&self, last_event: EventTimeMs) -> bool {
        self.config
            .inactivity_ms
            .is_some_and(|inactivity_ms| last_event.saturating_add(inactivity_ms) < self.horizon)
    }

    /// Asserts matches that were decided before a time, in that order.
    fn fire(
        &mut self,
        visit: &mut Visit,
        before: EventTimeMs,
        is_visit_open: bool,
        out: &mut Vec<Effect>,
    ) {
        let Self { prepared, stats, .. } = self;
        let held_bytes = visit.bytes();
        for mut held in visit.windows.take_due(before) {
            held.fact.is_visit_open = is_visit_open;
            let rule = usize::try_from(held.of.rule).expect("an index of the rules");
            let plan = &prepared.rules.rules[rule];
            // Its rule was removed, and the state of that is not swept yet.
            if !plan.is_vacant() {
                held.pass(plan, &mut visit.windows, stats, out);
            }
        }
        stats.state_bytes = (stats.state_bytes + visit.bytes()).saturating_sub(held_bytes);
    }

    /// Tells of a visit that was taken out, and asserts the matches that nothing can refuse any more.
    fn closed(&mut self, ended: Ended, reason: CloseReason, out: &mut Vec<Effect>) {
        let Ended { mut visit, is_one_forgotten } = ended;
        self.fire(&mut visit, EventTimeMs::MAX, false, out);
        self.stats.visits_open -= 1;
        self.stats.closed_visits_forgotten += u64::from(is_one_forgotten);
        self.stats.state_bytes = self.stats.state_bytes.saturating_sub(visit.bytes());
        out.push(Effect::Visit(visit.row(VisitChange::Closed(reason)).into()));
    }
}
