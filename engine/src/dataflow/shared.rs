//! What the workers and those outside share: the queue of epochs, bounds, figures, failure.
//!
//! **Invariant:** `in_flight` lists the epochs between submit and deliver in order; its length and
//! its sum of events are what the bounds bound. Everything that waits here is woken by a delivery,
//! by the end of building, or by a failure.

use super::{Behind, DataflowConfig, DataflowStats, StartError, Stopped, WorkerIndex};
use crate::matcher::{WideSetup, WideStats};
use crate::model::{
    Epoch, EpochInput, EpochMark, LoggedEvent, PackedEvent, PartitionId, partition_of,
};
use crate::snapshot::{Piece, Restored};
use crate::stage::StageStats;
use crate::suppress::{SuppressStats, Suppressor};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use timely::scheduling::SyncActivator;

/// What travels from the feed to the stages.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Feed {
    /// An event, for the worker that has its partition.
    Event(PartitionId, LoggedEvent),
    /// The end of an epoch, for one worker.
    Mark(u64, EpochMark),
}

impl Feed {
    /// Timely takes this modulo the number of workers.
    pub(super) fn route(&self) -> u64 {
        match self {
            Self::Event(partition, _) => u64::from(partition.0),
            Self::Mark(worker, _) => *worker,
        }
    }
}

/// An epoch on its way to the feed, partitions already found out by who submitted it.
#[derive(Debug)]
pub(super) struct Routed {
    pub(super) mark: EpochMark,
    pub(super) events: Vec<Feed>,
}

/// What the feed finds when it looks.
#[derive(Debug)]
pub(super) enum Taken {
    Epoch(Routed),
    Nothing,
    /// Nothing will come any more.
    End,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Closing,
    Failed(Arc<str>),
    GivenUp,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    queue: VecDeque<Routed>,
    in_flight: VecDeque<(Epoch, usize)>,
    /// What is done behind the end of epochs in flight, where something is.
    behind: BTreeMap<Epoch, Behind>,
    last_submitted: Option<Epoch>,
    activators: Vec<SyncActivator>,
    stages: Vec<StageStats>,
    wides: Vec<WideStats>,
    suppressors: Vec<SuppressStats>,
    figures: DataflowStats,
}

/// Shared by the workers' threads and the [`super::Dataflow`].
#[derive(Debug)]
pub(super) struct Shared {
    config: DataflowConfig,
    state: Mutex<State>,
    changed: Condvar,
    stopped: AtomicBool,
    turns: AtomicU64,
}

impl Shared {
    pub(super) fn new(config: DataflowConfig) -> Self {
        let state = State {
            phase: Phase::Running,
            queue: VecDeque::new(),
            in_flight: VecDeque::new(),
            behind: BTreeMap::new(),
            last_submitted: None,
            activators: Vec::new(),
            stages: vec![StageStats::default(); config.workers],
            wides: vec![WideStats::default(); config.workers],
            suppressors: vec![SuppressStats::default(); config.workers],
            figures: DataflowStats::default(),
        };
        Self {
            config,
            state: Mutex::new(state),
            changed: Condvar::new(),
            stopped: AtomicBool::new(false),
            turns: AtomicU64::new(0),
        }
    }

    pub(super) fn workers(&self) -> usize {
        self.config.workers
    }

    /// A worker's panic may poison the lock; what it guards stays whole, as nothing under it panics
    /// half way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room, then queues the epoch and wakes the feed.
    pub(super) fn submit(&self, input: EpochInput, behind: Behind) -> Result<(), Stopped> {
        let routed = route(input, self.config.workers);
        let (epoch, events) = (routed.mark.epoch, routed.events.len());
        let mut state = self.lock();
        loop {
            state.check_open()?;
            if state.has_room(events, &self.config) {
                break;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(last) = state.last_submitted.filter(|last| *last >= epoch) {
            return Err(Stopped::OutOfOrder { given: epoch, last });
        }
        state.last_submitted = Some(epoch);
        let Behind { change, backfill, cuts } = &behind;
        if change.is_some() || backfill.is_some() || !cuts.is_empty() {
            state.behind.insert(epoch, behind);
        }
        state.queue.push_back(routed);
        state.in_flight.push_back((epoch, events));
        let figures = &mut state.figures;
        figures.epochs_submitted += 1;
        figures.events_in_flight += events;
        figures.events_in_flight_peak = figures.events_in_flight_peak.max(figures.events_in_flight);
        wake(state.activators.first());
        Ok(())
    }

    /// The feed's next epoch.
    pub(super) fn take(&self) -> Taken {
        let mut state = self.lock();
        match state.queue.pop_front() {
            Some(routed) => Taken::Epoch(routed),
            None if state.phase == Phase::Running => Taken::Nothing,
            None => Taken::End,
        }
    }

    /// What is done behind the end of an epoch that is not delivered yet.
    pub(super) fn behind(&self, epoch: Epoch) -> Behind {
        self.lock().behind.get(&epoch).cloned().unwrap_or_default()
    }

    /// The oldest epoch that is not delivered yet.
    pub(super) fn oldest(&self) -> Option<Epoch> {
        self.lock().in_flight.front().map(|(epoch, _)| *epoch)
    }

    /// What the dataflow goes on from.
    pub(super) fn restored(&self) -> Option<&Restored> {
        self.config.restored.as_ref()
    }

    /// Whether an epoch was delivered before what is restored was saved.
    pub(super) fn is_said(&self, epoch: Epoch) -> bool {
        self.restored().is_some_and(|restored| epoch <= restored.through.epoch)
    }

    /// Whether a worker has a virtual partition: as timely routes by it.
    pub(super) fn has(&self, worker: WorkerIndex, partition: PartitionId) -> bool {
        usize::from(partition.0) % self.config.workers == worker.0
    }

    /// A piece of a snapshot was taken.
    pub(super) fn give(&self, piece: Piece) {
        (self.config.on_piece)(piece);
    }

    /// Notes that an epoch's output was taken.
    ///
    /// # Panics
    /// When it is not the oldest under way: an epoch was lost or said twice.
    pub(super) fn delivered(&self, epoch: Epoch) {
        let mut state = self.lock();
        let oldest = state.in_flight.pop_front();
        let events = match oldest {
            Some((expected, events)) if expected == epoch => events,
            _ => {
                drop(state);
                panic!("epoch {epoch} was delivered, but {oldest:?} is the oldest under way");
            }
        };
        state.behind.remove(&epoch);
        state.figures.epochs_delivered += 1;
        state.figures.events_in_flight -= events;
        state.figures.last_delivered = Some(epoch);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until no epoch up to this one is under way.
    pub(super) fn wait_for(&self, epoch: Epoch) -> Result<(), Stopped> {
        let mut state = self.lock();
        while state.in_flight.front().is_some_and(|(oldest, _)| *oldest <= epoch) {
            state.check_open()?;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// A worker has built its part of the graph.
    pub(super) fn built(&self, activator: SyncActivator, worker: WorkerIndex) {
        let mut state = self.lock();
        // Worker 0 has the feed: its activator stands first.
        if worker.0 == 0 {
            state.activators.insert(0, activator);
        } else {
            state.activators.push(activator);
        }
        drop(state);
        self.changed.notify_all();
    }

    pub(super) fn wait_until_built(&self) -> Result<(), StartError> {
        let mut state = self.lock();
        loop {
            if let Phase::Failed(reason) = &state.phase {
                return Err(StartError::Failed(Arc::clone(reason)));
            }
            if state.activators.len() == self.config.workers {
                return Ok(());
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn set_stage_stats(&self, worker: WorkerIndex, stats: StageStats) {
        if let Some(slot) = self.lock().stages.get_mut(worker.0) {
            *slot = stats;
        }
    }

    pub(super) fn set_wide_stats(&self, worker: WorkerIndex, stats: WideStats) {
        if let Some(slot) = self.lock().wides.get_mut(worker.0) {
            *slot = stats;
        }
    }

    pub(super) fn set_suppress_stats(&self, worker: WorkerIndex, stats: SuppressStats) {
        if let Some(slot) = self.lock().suppressors.get_mut(worker.0) {
            *slot = stats;
        }
    }

    /// What second stages start as, where there are some.
    pub(super) fn wide(&self) -> Option<&WideSetup> {
        self.config.wide.as_ref()
    }

    /// A suppression stage for one worker, as it starts.
    pub(super) fn suppressor(&self) -> Suppressor {
        self.config.suppressor.clone()
    }

    /// Counts a turn of a worker's loop. `false`: the worker has to drop everything and end.
    pub(super) fn turn(&self) -> bool {
        self.turns.fetch_add(1, Ordering::Relaxed);
        !self.stopped.load(Ordering::Acquire)
    }

    /// No more epochs come; those queued are still delivered.
    pub(super) fn close(&self) {
        self.end(Phase::Closing);
    }

    /// What is under way is dropped.
    pub(super) fn give_up(&self) {
        self.stopped.store(true, Ordering::Release);
        self.end(Phase::GivenUp);
    }

    /// A worker cannot go on. The first reason is told to `on_fatal` and kept.
    pub(super) fn fail(&self, reason: &str) {
        self.stopped.store(true, Ordering::Release);
        if self.end(Phase::Failed(reason.into())) {
            (self.config.on_fatal)(reason);
        }
    }

    /// Enters `phase` unless it ended before, and wakes everything.
    fn end(&self, phase: Phase) -> bool {
        let mut state = self.lock();
        let first = matches!(state.phase, Phase::Running | Phase::Closing);
        if first {
            state.phase = phase;
        }
        for activator in &state.activators {
            wake(Some(activator));
        }
        drop(state);
        self.changed.notify_all();
        first
    }

    pub(super) fn failure(&self) -> Option<Stopped> {
        match &self.lock().phase {
            Phase::Failed(reason) => Some(Stopped::Failed(Arc::clone(reason))),
            Phase::Running | Phase::Closing | Phase::GivenUp => None,
        }
    }

    pub(super) fn stats(&self) -> DataflowStats {
        let state = self.lock();
        let mut figures = state.figures;
        figures.worker_turns = self.turns.load(Ordering::Relaxed);
        figures.stage = state.stages.iter().fold(StageStats::default(), StageStats::sum);
        figures.wide = state.wides.iter().fold(WideStats::default(), WideStats::sum);
        figures.suppress = state.suppressors.iter().copied().sum();
        figures
    }
}

impl State {
    fn check_open(&self) -> Result<(), Stopped> {
        match &self.phase {
            Phase::Running => Ok(()),
            Phase::Failed(reason) => Err(Stopped::Failed(Arc::clone(reason))),
            Phase::Closing | Phase::GivenUp => Err(Stopped::Closed),
        }
    }

    fn has_room(&self, events: usize, config: &DataflowConfig) -> bool {
        self.in_flight.is_empty()
            || (self.in_flight.len() < config.epochs_in_flight_max
                && self.figures.events_in_flight.saturating_add(events)
                    <= config.events_in_flight_max)
    }
}

/// Wakes a worker; one that ended already has nothing to be woken for.
fn wake(activator: Option<&SyncActivator>) {
    if let Some(activator) = activator
        && activator.activate().is_err()
    {
        tracing::debug!("a worker that ended was woken");
    }
}

/// Finds out each event's partition, on the submitting thread. One worker needs none.
fn route(input: EpochInput, workers: usize) -> Routed {
    let partition = |event: &PackedEvent| {
        if workers == 1 {
            return PartitionId(0);
        }
        // Unreadable bytes belong to no visit; the stage that gets them says so.
        event.view().map_or(PartitionId(0), |view| partition_of(view.site, &view.visit()))
    };
    let events =
        input.events.into_iter().map(|event| Feed::Event(partition(&event.event), event)).collect();
    Routed { mark: input.mark, events }
}
