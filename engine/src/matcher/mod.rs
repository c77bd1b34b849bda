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
mod arrival;
mod changes;
mod closed;
mod config;
mod epoch;
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
    BackfillStep, Inquiry, OpenVisits, Past, PastEpoch, Router, Wide, WideInput, WideSetup,
    WideStats,
};

use crate::model::{
    Epoch, EpochMark, EventTimeMs, Fate, Instance, LogSeq, LoggedEvent, PARTITIONS, PartitionId,
    VisitId, window_hash,
};
use crate::snapshot::{Asleep, Unreadable};
use crate::stage::{Effect, Ongoing, RuleChange, Stage, StageStats};
use arrival::Arrival;
use beckon_rules::plan::RuleSet;
use changes::Changes;
use fields::Buffers;
use index::Hit;
use late::DirtyVisit;
use names::Names;
use partition::Partition;
use smallvec::SmallVec;
use standing::Found;
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
        self.advance(mark);
        self.fire_due(out);
        self.close(mark.watermark == EventTimeMs::MAX, out);
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

    fn ongoing(&self, partition: PartitionId, before: LogSeq, out: &mut Vec<Ongoing>) {
        let visits = self.partitions[usize::from(partition.0)].iter().flat_map(|it| it.visits());
        let visits = visits.filter(|(_, visit)| visit.instance.0 < before);
        out.extend(visits.map(|(hash, visit)| visit.ongoing(hash)));
    }

    fn open_visits(&self, partition: PartitionId) -> Vec<Instance> {
        let visits = self.partitions[usize::from(partition.0)].iter().flat_map(|it| it.visits());
        let mut open: Vec<Instance> = visits.map(|(_, visit)| visit.instance).collect();
        open.sort_unstable();
        open
    }

    fn is_open(&self, site: &str, visit: &VisitId, instance: Instance) -> bool {
        let hash = window_hash(site, &visit.0);
        let partition = &self.partitions[usize::from(PartitionId::of(hash).0)];
        partition.as_ref().is_some_and(|partition| partition.is_open(hash, instance))
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
