//! The service around the dataflow: log in, outbox out.
//!
//! One thread, the feeder, reads whole commit groups from the log, makes each group's mark an epoch
//! mark, and submits it; `submit` waits while the dataflow has enough under way, so the log is the
//! only queue, and [`Pipeline::lag_records`] says how long it is. Outputs go to an [`EpochSink`] (the outbox's
//! writer) on the dataflow's thread.
//!
//! **Time.** The watermark is the mark's `now` less `watermark_delay_ms`, never back. Nothing here
//! reads a clock: while a visit is open or a timer pending and no group came for `tick_interval`,
//! the feeder asks the log for an empty group, whose mark then says what time it is. With nothing
//! open it asks for one when the silence has lasted until something is due in a window that outlives
//! visits, and for none where nothing is.
//!
//! **Restart.** The log is read from behind the base of the newest snapshot, without one from its start:
//! the same groups give the same epochs, and the sink passes over those that it holds.
//!
//! **A full sink** holds the dataflow, which holds the feeder, and the log fills up. Stopping does
//! not wait for it: what it has not taken is derived again after the next start.
//!
//! **Failure.** A panic in a stage, damage in the log, a sink that cannot write: told once to
//! `on_fatal`, and nothing is processed any more. There is no way to go on but a restart.

mod feeder;
mod progress;
mod rounds;
mod rule_counts;
#[cfg(test)]
mod tests;

use crate::catalog::{BACKFILL_RECORDS, Backfiller, Catalog, RuleBackfill, RulePlace};
use crate::dataflow::{Dataflow, DataflowConfig, DataflowStats, MakeStage, StartError, Stopped};
use crate::live::{LiveConfig, LiveHandle};
use crate::log::{Log, LogError};
use crate::matcher::WideSetup;
use crate::model::{Epoch, EpochOutput, LogSeq};
use crate::snapshot::{
    Pieces, Rest, Restored, SnapshotFile, SnapshotParts, SnapshotStats, Snapshotter,
};
use progress::Progress;
pub use rounds::SnapshotConfig;
pub use rule_counts::{RULE_COUNTS_MAX, RuleCounts};
use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// What became of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is kept, or was before (after a restart).
    Yes,
    /// There is no room, and nothing of it was kept.
    Full,
}

/// Why a sink cannot go on.
pub type SinkError = Box<dyn std::error::Error + Send + Sync>;

/// Takes each epoch's output, in order.
pub trait EpochSink: Send {
    /// Keeps the output. The pipeline gives one again for which there was no room, and nothing
    /// behind it before.
    ///
    /// # Errors
    /// When it cannot be kept; nothing is appended after that.
    fn append(&mut self, output: &EpochOutput) -> Result<Kept, SinkError>;

    /// Waits up to `wait` until there is room.
    fn wait_for_room(&mut self, wait: Duration);
}

/// How a pipeline runs.
#[derive(Clone, Debug)]
pub struct PipelineConfig {
    /// The dataflow's threads and bounds; its `on_fatal` is told of the pipeline's failures too.
    pub dataflow: DataflowConfig,
    /// How far the watermark lies behind the server's clock.
    pub watermark_delay_ms: u32,
    /// How long the log may be silent before an empty group is asked for, while a visit is open.
    pub tick_interval: Duration,
    /// How often a snapshot is taken.
    pub snapshot: SnapshotConfig,
}

/// Two seconds of delay, a tick a second, live counts.
impl Default for PipelineConfig {
    fn default() -> Self {
        Self {
            dataflow: DataflowConfig {
                live: Some(LiveConfig::default()),
                ..DataflowConfig::default()
            },
            watermark_delay_ms: 2_000,
            tick_interval: Duration::from_secs(1),
            snapshot: SnapshotConfig::default(),
        }
    }
}

/// What a pipeline connects.
pub struct PipelineParts {
    /// Where groups come from.
    pub log: Arc<dyn Log>,
    /// Where outputs go.
    pub sink: Box<dyn EpochSink>,
    /// Makes each worker's matcher.
    pub make_stage: MakeStage,
    /// Follows what people decide; `None`: the rules that the stage was made with stay.
    pub catalog: Option<Catalog>,
    /// Where snapshots go; `None`, and without a catalog: none are taken.
    pub snapshots: Option<SnapshotParts>,
    /// What it goes on from, with the catalog as it was then; `None`: the log's start.
    pub restored: Option<Arc<SnapshotFile>>,
}

impl fmt::Debug for PipelineParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineParts").field("log", &self.log).finish_non_exhaustive()
    }
}

/// Why a pipeline did not start or stopped before its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The dataflow's configuration, or a stage that could not be made.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The feeder's thread could not be started.
    #[error("the feeder's thread could not be started: {0}")]
    Thread(std::io::Error),
    /// The log could not be read.
    #[error("the log cannot be read: {0}")]
    Log(#[from] LogError),
    /// The dataflow stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The sink could not keep an output.
    #[error("the output of epoch {epoch} could not be kept: {what}")]
    Sink {
        /// The first epoch that is not kept.
        epoch: Epoch,
        /// What the sink said.
        what: Arc<str>,
    },
}

/// How far a pipeline has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Processed {
    /// The last epoch that the sink took.
    pub epoch: Epoch,
    /// The last log sequence up to there.
    pub seq: LogSeq,
}

/// What a pipeline has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PipelineStats {
    /// The dataflow's figures.
    pub dataflow: DataflowStats,
    /// How far it has come.
    pub processed: Processed,
    /// Empty groups asked for.
    pub ticks_asked: u64,
    /// Snapshots.
    pub snapshots: SnapshotStats,
}

/// A running pipeline. Dropping it ends it behind what is under way.
pub struct Pipeline {
    log: Arc<dyn Log>,
    /// What was on disk when the pipeline started.
    behind_at_start: Epoch,
    dataflow: Arc<Dataflow>,
    progress: Arc<Progress>,
    feeder: Option<JoinHandle<Result<(), PipelineError>>>,
    /// Ends behind the dataflow, whose pieces it writes.
    snapshotter: Option<Arc<Snapshotter>>,
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("progress", &self.progress).finish_non_exhaustive()
    }
}

impl Pipeline {
    /// Starts the dataflow and the feeder, at the start of the log or behind a snapshot.
    ///
    /// # Errors
    /// [`PipelineError`] when the log cannot be read or the dataflow cannot be started.
    pub fn start(parts: PipelineParts, config: PipelineConfig) -> Result<Self, PipelineError> {
        let PipelineParts { log, sink, make_stage, catalog, snapshots, restored } = parts;
        let PipelineConfig { mut dataflow, watermark_delay_ms, tick_interval, snapshot } = config;
        let behind_at_start = log.durable().map_or(Epoch(0), |mark| mark.epoch);
        let rest = restored.as_ref().map(|file| file.rest());
        let reader = log.reader(rest.map(|rest| rest.base.epoch))?;
        let processed = rest.map_or_else(Processed::default, |rest| Processed {
            epoch: rest.through.epoch,
            seq: rest.through.last_seq,
        });
        let progress = Arc::new(Progress::new(Arc::clone(&dataflow.on_fatal), processed));
        catalog.iter().for_each(|catalog| progress.set_backfills(catalog.backfills()));
        let snapshots = snapshots.filter(|_| catalog.is_some());
        let snapshotter = snapshots.map(|parts| Snapshotter::start(parts, rest)).transpose();
        let snapshotter = snapshotter.map_err(PipelineError::Thread)?.map(Arc::new);
        if let Some(snapshotter) = &snapshotter {
            dataflow.on_piece = snapshotter.on_piece();
        }
        let workers = dataflow.workers;
        let rounds = snapshotter.as_ref().map(|snapshotter| {
            rounds::Rounds::new((snapshot, workers), Arc::clone(snapshotter), rest)
        });
        dataflow.restored = restored.as_ref().zip(catalog.as_ref()).map(|(file, catalog)| {
            let Rest { base, through, .. } = *file.rest();
            let pieces = Arc::clone(file) as Arc<dyn Pieces>;
            Restored { base, through, rules: Arc::new(catalog.rules().clone()), pieces }
        });
        let wide = dataflow.wide.as_ref().map(WideSetup::config);
        let backfiller =
            wide.map(|config| Backfiller::new(config, watermark_delay_ms, BACKFILL_RECORDS));
        let mut marks = feeder::Marks::new(watermark_delay_ms);
        rest.iter().for_each(|rest| marks.resume(&rest.base));
        let deliver = progress::deliver_to(sink, Arc::clone(&progress));
        let dataflow = Arc::new(Dataflow::start(dataflow, make_stage, deliver)?);
        let feeder = feeder::Feeder {
            log: Arc::clone(&log),
            reader,
            dataflow: Arc::clone(&dataflow),
            progress: Arc::clone(&progress),
            marks,
            last: rest.map_or(Epoch(0), |rest| rest.base.epoch),
            catalog,
            backfiller,
            rounds,
            silent: Duration::ZERO,
            knows_time: false,
            tick_interval,
        };
        let feeder = std::thread::Builder::new()
            .name("engine:feeder".to_owned())
            .spawn(move || feeder.run())
            .map_err(PipelineError::Thread)?;
        Ok(Self { log, behind_at_start, dataflow, progress, feeder: Some(feeder), snapshotter })
    }

    /// Processes everything that is on disk, unless the sink is full, then ends. Close the log
    /// before: what is appended meanwhile is processed too, or after the next start.
    ///
    /// # Errors
    /// The [`PipelineError`] that stopped it earlier.
    pub fn stop(mut self) -> Result<PipelineStats, PipelineError> {
        self.progress.end(progress::Ending::Drain);
        if let Some(feeder) = self.feeder.take() {
            feeder.join().expect("the feeder returns its errors")?;
        }
        Ok(self.stats())
    }

    /// How far it has come: what the sink holds.
    #[must_use]
    pub fn processed(&self) -> Processed {
        self.progress.processed()
    }

    /// Records on disk that the sink has not seen the results of.
    #[must_use]
    pub fn lag_records(&self) -> u64 {
        let durable = self.log.durable().map_or(LogSeq(0), |mark| mark.last_seq);
        durable.0.saturating_sub(self.progress.processed().seq.0)
    }

    /// Whether everything that was on disk at the start has been processed: ready to serve.
    #[must_use]
    pub fn has_caught_up(&self) -> bool {
        self.progress.processed().epoch >= self.behind_at_start
    }

    /// What a rule was shown of what was before it.
    #[must_use]
    pub fn backfill(&self, rule: &RulePlace) -> RuleBackfill {
        self.progress.backfills().of(rule)
    }

    /// What became of a rule's matches since the start, on one site or on all together.
    #[must_use]
    pub fn rule_counts(&self, package: &str, rule: &str, site: Option<&str>) -> RuleCounts {
        self.progress.rule_counts().of(package, rule, site)
    }

    /// Whether any rule is shown the log now.
    #[must_use]
    pub fn is_backfilling(&self) -> bool {
        self.progress.backfills().is_under_way()
    }

    /// What is live, where the configuration asks for it.
    #[must_use]
    pub fn live(&self) -> Option<LiveHandle> {
        self.dataflow.live()
    }

    /// What it has counted.
    #[must_use]
    pub fn stats(&self) -> PipelineStats {
        PipelineStats {
            dataflow: self.dataflow.stats(),
            processed: self.progress.processed(),
            ticks_asked: self.progress.ticks_asked(),
            snapshots: self.snapshotter.as_ref().map(|it| it.stats()).unwrap_or_default(),
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if let Some(feeder) = self.feeder.take() {
            self.progress.end(progress::Ending::GiveUp);
            if feeder.join().is_err() {
                tracing::error!("the feeder panicked");
            }
        }
    }
}
