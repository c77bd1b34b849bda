//! The thread that turns the log's groups into epochs.

use super::progress::{Ending, Progress};
use super::{PipelineError, Stopped};
use crate::dataflow::Dataflow;
use crate::log::{CommitMark, Group, Log, LogError, LogReader, LoggedRecord, RecordBody};
use crate::model::{EpochInput, EpochMark, EventTimeMs, LoggedEvent};
use std::sync::Arc;
use std::time::Duration;

/// Derives epoch marks: the watermark follows the server's clock at a distance and never goes back.
#[derive(Debug)]
pub(super) struct Marks {
    delay_ms: i64,
    watermark: EventTimeMs,
}

impl Marks {
    pub(super) fn new(delay_ms: u32) -> Self {
        Self { delay_ms: i64::from(delay_ms), watermark: EventTimeMs::MIN }
    }

    fn mark(&mut self, mark: CommitMark) -> EpochMark {
        let watermark = EventTimeMs(mark.now.0.saturating_sub(self.delay_ms));
        self.watermark = self.watermark.max(watermark);
        EpochMark {
            epoch: mark.epoch,
            first_seq: mark.first_seq,
            last_seq: mark.last_seq,
            now: mark.now,
            watermark: self.watermark,
        }
    }

    /// A group as an epoch; tombstones keep their numbers and say nothing.
    pub(super) fn epoch(&mut self, group: Group) -> EpochInput {
        let events =
            group.records.into_iter().filter_map(|LoggedRecord { seq, body }| match body {
                RecordBody::Event(event) => Some(LoggedEvent { seq, event }),
                RecordBody::Control(_) | RecordBody::Tombstone => None,
            });
        EpochInput { mark: self.mark(group.mark), events: events.collect() }
    }
}

pub(super) struct Feeder {
    pub(super) log: Arc<dyn Log>,
    pub(super) reader: Box<dyn LogReader>,
    pub(super) dataflow: Arc<Dataflow>,
    pub(super) progress: Arc<Progress>,
    pub(super) marks: Marks,
    pub(super) tick_interval: Duration,
}

impl Feeder {
    pub(super) fn run(mut self) -> Result<(), PipelineError> {
        let fed = self.feed();
        match &fed {
            // The sink and the dataflow have told of their failures themselves.
            Ok(())
            | Err(PipelineError::Sink { .. } | PipelineError::Stopped(Stopped::Failed(_))) => {}
            Err(error) => self.progress.tell(error),
        }
        fed
    }

    fn feed(&mut self) -> Result<(), PipelineError> {
        loop {
            self.progress.check_sink()?;
            if self.progress.ending() == Ending::GiveUp || self.progress.is_cut_off() {
                break;
            }
            match self.reader.next(self.tick_interval) {
                Ok(Some(group)) => self.dataflow.submit(self.marks.epoch(group))?,
                Ok(None) if self.progress.ending() == Ending::GoOn => self.ask_for_time(),
                Ok(None) | Err(LogError::Closed) => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.dataflow.finish()?;
        self.progress.check_sink()
    }

    /// Nobody wrote for a while: somebody may be waited for. What is still under way may open a
    /// visit, and is looked at again after the next silence.
    fn ask_for_time(&self) {
        let stage = self.dataflow.stats().stage;
        if stage.visits_open > 0 || stage.next_timer_ms.is_some() {
            self.progress.count_tick();
            self.log.tick();
        }
    }
}
