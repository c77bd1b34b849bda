//! The matcher as a dataflow: the only place that names timely or differential.
//!
//! ```text
//! submit -> [feed, worker 0] -(exchange by partition)-> [stage, each worker]
//!               rows --------------------------------------> [collect, worker 0] -> deliver
//!               events of other windows -(by window)-> [wide, each worker]
//!               what it finds of the past -(by visit)-> [visit check, beside the stage]
//!               signed facts, marks -(exchange by visitor)-> [suppress, each worker]
//!                                      rows of actions ------------^
//!               changes of live counts, from both -> [count, by key] -> LiveHandle
//! ```
//!
//! The epoch is timely's time. A worker's stage gets an epoch when timely's frontier says that it is
//! complete, sorted by log sequence: arrival order inside an epoch is not log order. The suppression
//! gets it when all stages have said all of it, and consolidates: a match found and taken back within
//! an epoch is never said. Where people deployed rules in an epoch, each takes them behind its end, so
//! the next epoch meets the same rules everywhere; where a piece of a snapshot is asked for, the worker
//! that has it takes it there. The collector builds one [`EpochOutput`] for each epoch, in order, once
//! the frontier passed it.
//!
//! **Invariants.** Every submitted epoch is delivered exactly once, in order. The output is the same
//! for any number of workers: rows are sorted by keys that say nothing of workers. At most
//! `epochs_in_flight_max` epochs and `events_in_flight_max` events lie between submit and deliver
//! (one larger epoch passes alone): timely's own channels have no bound. No worker spins: each
//! parks, and is woken by timely or by `submit`. A panic in a worker stops all of them and is
//! reported once; nothing waits for a worker that is gone.
//!
//! Differential traces: that of the live counts is compacted by its one reader as the frontier
//! moves; none is held by a handle outside the graph.

mod collect;
mod graph;
mod live;
mod restore;
mod saved_count;
mod shared;
mod stage_operator;
mod suppress_operator;
#[cfg(test)]
pub(crate) mod tests;
mod visit_check;
mod wide_operator;
mod worker;

use crate::live::{LiveConfig, LiveHandle};
use crate::matcher::{BackfillStep, WideSetup, WideStats};
use crate::model::{Epoch, EpochInput, EpochOutput};
use crate::snapshot::{Cut, OnPiece, Restored};
use crate::stage::{RuleChange, Stage, StageStats};
use crate::suppress::{SuppressStats, Suppressor};
use shared::Shared;
use std::fmt;
use std::sync::Arc;

/// One of the dataflow's threads, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerIndex(pub usize);

/// Makes the stage of one worker, on that worker's thread.
pub type MakeStage = Arc<dyn Fn(WorkerIndex) -> Box<dyn Stage> + Send + Sync>;

/// Takes each epoch's output, in order, on worker 0's thread; while it runs, later epochs wait.
pub type Deliver = Box<dyn FnMut(EpochOutput) + Send>;

/// Told once why the dataflow stopped before its end, on the thread that failed. It must not drop
/// the [`Dataflow`]: that waits for this very thread.
pub type OnFatal = Arc<dyn Fn(&str) + Send + Sync>;

/// How a dataflow runs.
#[derive(Clone)]
pub struct DataflowConfig {
    /// Threads; 1 to [`WORKERS_MAX`].
    pub workers: usize,
    /// Epochs between submit and deliver, at most; more of them cost timely and hide lag.
    pub epochs_in_flight_max: usize,
    /// Events between submit and deliver, at most; an epoch with more of them passes alone.
    pub events_in_flight_max: usize,
    /// Bounds of live counts; `None` keeps none (a replay has nobody to watch).
    pub live: Option<LiveConfig>,
    /// What every worker's second stage starts as; `None` where every rule is on the visit.
    pub wide: Option<WideSetup>,
    /// What every worker's suppression starts as: rules and limits.
    pub suppressor: Suppressor,
    /// Takes the pieces of snapshots that are asked for.
    pub on_piece: OnPiece,
    /// What it goes on from; `None`: from nothing.
    pub restored: Option<Restored>,
    /// Told when a worker panics.
    pub on_fatal: OnFatal,
}

/// What is done behind the end of an epoch.
#[derive(Clone, Debug, Default)]
pub struct Behind {
    /// All workers take other rules.
    pub change: Option<Arc<RuleChange>>,
    /// New rules on other windows than the visit are shown more of what was before them.
    pub backfill: Option<Arc<BackfillStep>>,
    /// Pieces of a snapshot are taken.
    pub cuts: Vec<Cut>,
}

/// The most workers; state is divided into 256 virtual partitions, of which each has some.
pub const WORKERS_MAX: usize = 64;

/// One worker, four epochs, 65,536 events, nothing live; a failure is logged.
impl Default for DataflowConfig {
    fn default() -> Self {
        Self {
            workers: 1,
            epochs_in_flight_max: 4,
            events_in_flight_max: 65_536,
            live: None,
            wide: None,
            suppressor: Suppressor::default(),
            on_piece: Arc::new(|_| ()),
            restored: None,
            on_fatal: Arc::new(|reason| tracing::error!(reason, "the dataflow stopped")),
        }
    }
}

impl fmt::Debug for DataflowConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataflowConfig")
            .field("workers", &self.workers)
            .field("epochs_in_flight_max", &self.epochs_in_flight_max)
            .field("events_in_flight_max", &self.events_in_flight_max)
            .field("live", &self.live)
            .finish_non_exhaustive()
    }
}

/// Why an epoch was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Stopped {
    /// A worker failed; what was submitted and not delivered is lost and has to be fed again.
    #[error("the dataflow stopped: {0}")]
    Failed(Arc<str>),
    /// The dataflow was given up.
    #[error("the dataflow is closed")]
    Closed,
    /// Epochs have to ascend.
    #[error("epoch {given} came after epoch {last}; epochs must ascend")]
    OutOfOrder {
        /// The epoch given.
        given: Epoch,
        /// The last one taken.
        last: Epoch,
    },
}

/// Why a dataflow could not be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// `workers` is 0 or more than [`WORKERS_MAX`].
    #[error("dataflow workers must be 1 to {WORKERS_MAX}, not {0}")]
    Workers(usize),
    /// A bound is 0.
    #[error("{0} must be at least 1")]
    Bound(&'static str),
    /// Threads could not be started, or a stage could not be made.
    #[error("the dataflow could not be started: {0}")]
    Failed(Arc<str>),
}

/// What a dataflow holds and has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataflowStats {
    /// The stages' figures, summed over the workers; the earliest of their timers.
    pub stage: StageStats,
    /// The second stages' figures, summed over the workers.
    pub wide: WideStats,
    /// The suppression's figures, summed over the workers.
    pub suppress: SuppressStats,
    /// Epochs submitted.
    pub epochs_submitted: u64,
    /// Epochs delivered; the difference is under way.
    pub epochs_delivered: u64,
    /// Events under way.
    pub events_in_flight: usize,
    /// The most events that were under way at once.
    pub events_in_flight_peak: usize,
    /// The last epoch delivered.
    pub last_delivered: Option<Epoch>,
    /// Turns of all workers' loops: stands still while the dataflow is idle.
    pub worker_turns: u64,
}

/// A running dataflow. Dropping it gives up what is under way; [`Dataflow::finish`] does not.
#[derive(Debug)]
pub struct Dataflow {
    shared: Arc<Shared>,
    threads: worker::Threads,
    live: Option<LiveHandle>,
}

impl Dataflow {
    /// Starts the workers and waits until each has its stage.
    ///
    /// # Errors
    /// [`StartError`] for a bound out of range, or when a stage's maker panics.
    pub fn start(
        config: DataflowConfig,
        make_stage: MakeStage,
        deliver: Deliver,
    ) -> Result<Self, StartError> {
        if config.workers == 0 || config.workers > WORKERS_MAX {
            return Err(StartError::Workers(config.workers));
        }
        if config.epochs_in_flight_max == 0 {
            return Err(StartError::Bound("epochs_in_flight_max"));
        }
        if config.events_in_flight_max == 0 {
            return Err(StartError::Bound("events_in_flight_max"));
        }
        let live = config.live.map(LiveHandle::new);
        let shared = Arc::new(Shared::new(config));
        let threads = worker::start(Arc::clone(&shared), make_stage, deliver, live.clone())?;
        let dataflow = Self { shared, threads, live };
        dataflow.shared.wait_until_built()?;
        Ok(dataflow)
    }

    /// Gives one epoch to the workers. Waits while too much is under way.
    ///
    /// # Errors
    /// [`Stopped`] when a worker failed (also while waiting), or for an epoch out of order.
    pub fn submit(&self, input: EpochInput) -> Result<(), Stopped> {
        self.submit_with(input, Behind::default())
    }

    /// The same, and says what is to be done behind the end of the epoch.
    ///
    /// # Errors
    /// As [`Dataflow::submit`].
    pub fn submit_with(&self, input: EpochInput, behind: Behind) -> Result<(), Stopped> {
        self.shared.submit(input, behind)
    }

    /// Waits until what was submitted up to an epoch is delivered.
    ///
    /// # Errors
    /// [`Stopped`] when a worker failed, also while waiting.
    pub fn wait_for(&self, epoch: Epoch) -> Result<(), Stopped> {
        self.shared.wait_for(epoch)
    }

    /// Delivers everything that was submitted and joins the workers; nothing is taken any more.
    ///
    /// # Errors
    /// [`Stopped::Failed`] when a worker failed.
    pub fn finish(&self) -> Result<DataflowStats, Stopped> {
        self.shared.close();
        self.threads.join();
        self.shared.failure().map_or_else(|| Ok(self.shared.stats()), Err)
    }

    /// What the dataflow holds and has counted.
    #[must_use]
    pub fn stats(&self) -> DataflowStats {
        self.shared.stats()
    }

    /// What is live, where the configuration asks for it.
    #[must_use]
    pub fn live(&self) -> Option<LiveHandle> {
        self.live.clone()
    }
}

impl Drop for Dataflow {
    fn drop(&mut self) {
        self.shared.give_up();
        self.threads.join();
    }
}
