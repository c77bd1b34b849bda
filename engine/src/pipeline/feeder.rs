//! The thread that turns the log's groups into epochs.

use super::progress::{Ending, Progress};
use super::rounds::Rounds;
use super::{PipelineError, Stopped};
use crate::catalog::{Backfiller, Catalog, PastEpochs};
use crate::dataflow::{Behind, Dataflow, DataflowStats};
use crate::log::{CommitMark, Control, Group, Log, LogError, LogReader, LoggedRecord, RecordBody};
use crate::model::{
    Epoch, EpochInput, EpochMark, EventTimeMs, LoggedEvent, NoticeRow, ServerTimeMs,
};
use std::sync::Arc;
use std::time::Duration;

/// A group of the log, taken apart.
#[derive(Debug)]
pub(super) struct Taken {
    /// What the dataflow gets.
    pub(super) input: EpochInput,
    /// What people decided.
    pub(super) controls: Vec<Arc<Control>>,
    /// What sinks and servers said of messages, which only the sinks get.
    pub(super) notices: Vec<NoticeRow>,
}

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

    /// The same distance, before the first mark.
    fn anew(&self) -> Self {
        Self { watermark: EventTimeMs::MIN, ..*self }
    }

    /// Goes on behind an epoch.
    pub(super) fn resume(&mut self, ended: &EpochMark) {
        self.watermark = ended.watermark;
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
    pub(super) fn epoch(&mut self, group: Group) -> Taken {
        let (mut controls, mut notices) = (Vec::new(), Vec::new());
        let events =
            group.records.into_iter().filter_map(|LoggedRecord { seq, body }| match body {
                RecordBody::Event(event) => Some(LoggedEvent { seq, event }),
                RecordBody::Control(control) => {
                    controls.push(control);
                    None
                }
                RecordBody::Notice(notice) => {
                    notices.push(NoticeRow { seq, notice });
                    None
                }
                RecordBody::Tombstone => None,
            });
        let events = events.collect();
        Taken { input: EpochInput { mark: self.mark(group.mark), events }, controls, notices }
    }
}

/// Between epochs while a deployment is under way: it is to be done within seconds, whoever writes.
const CHANGE_INTERVAL: Duration = Duration::from_millis(1);
/// Epochs under way in the dataflow, over which none is asked for on account of a deployment: events that
/// come meanwhile would wait for all of them.
const CHANGE_EPOCHS_UNDER_WAY_MAX: u64 = 1;

/// Between epochs while a round of a snapshot is under way, which takes a piece behind each: where nobody
/// writes any more a restart would replay all that came since the round before.
const ROUND_INTERVAL: Duration = Duration::from_millis(5);

pub(super) struct Feeder {
    pub(super) log: Arc<dyn Log>,
    pub(super) reader: Box<dyn LogReader>,
    pub(super) dataflow: Arc<Dataflow>,
    pub(super) progress: Arc<Progress>,
    pub(super) marks: Marks,
    /// The last epoch that was fed.
    pub(super) last: Epoch,
    pub(super) catalog: Option<Catalog>,
    /// Shows new rules on other windows than the visit the past, where there are such windows.
    pub(super) backfiller: Option<Backfiller>,
    /// Takes snapshots, where they are asked for.
    pub(super) rounds: Option<Rounds>,
    /// How long the log was silent, at least.
    pub(super) silent: Duration,
    /// Whether the log's last mark is of a time at which this feeder listened. What lies in the log when
    /// it starts may be of long ago.
    pub(super) knows_time: bool,
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
            let patience = self.patience();
            match self.reader.next(patience) {
                Ok(Some(group)) => {
                    self.knows_time |= self.silent > Duration::ZERO;
                    self.silent = Duration::ZERO;
                    self.submit(group)?;
                }
                Ok(None) if self.progress.ending() == Ending::GoOn => {
                    self.silent += patience;
                    self.ask_for_time();
                }
                Ok(None) | Err(LogError::Closed) => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.dataflow.finish()?;
        self.progress.check_sink()
    }

    fn submit(&mut self, group: Group) -> Result<(), PipelineError> {
        let Taken { input, controls, notices } = self.marks.epoch(group);
        let mark = input.mark;
        self.progress.add_notices(mark.epoch, notices);
        self.last = mark.epoch;
        let Some(catalog) = &mut self.catalog else { return Ok(self.dataflow.submit(input)?) };
        let backfiller = self.backfiller.as_mut();
        if let Some(epoch) = backfiller.as_ref().and_then(|it| it.waits_for()) {
            self.dataflow.wait_for(epoch)?;
        }
        let step = backfiller.map(|it| it.read(catalog, &mark)).transpose()?.flatten();
        let change = catalog.apply(&mark, &controls);
        let is_changing = !controls.is_empty() || catalog.is_changing(mark.epoch);
        let rounds = self.rounds.as_mut();
        let cuts = rounds.map_or_else(Vec::new, |rounds| rounds.cuts(&mark, is_changing));
        let is_changed = change.is_some();
        if is_changed {
            self.progress.set_backfills(catalog.backfills());
        }
        let behind = Behind { change, backfill: step.map(Arc::new), cuts };
        self.dataflow.submit_with(input, behind)?;
        if let Some(rounds) = &mut self.rounds {
            rounds.submitted(&mark, catalog);
        }
        if is_changed && let Some(backfiller) = &mut self.backfiller {
            let open = |start| past_epochs(&*self.log, self.marks.anew(), start);
            backfiller.follow(catalog, open)?;
        }
        Ok(())
    }

    /// How long the log may be silent. While epochs are under way the figures are of before: the visit
    /// that waits for a change may open in one of them, so they are looked at again soon.
    fn patience(&self) -> Duration {
        let is_stale = |stats: DataflowStats| stats.epochs_submitted > stats.epochs_delivered;
        if self.has_change() && (self.is_changing() || is_stale(self.dataflow.stats())) {
            return CHANGE_INTERVAL.min(self.tick_interval);
        }
        if self.is_taking() {
            return ROUND_INTERVAL.min(self.tick_interval);
        }
        self.tick_interval
    }

    /// Whether a round of a snapshot waits for the next epoch.
    fn is_taking(&self) -> bool {
        self.rounds.as_ref().is_some_and(Rounds::waits_for_epoch)
    }

    /// Whether open visits and windows wait for a change of the rules to reach them, partition by
    /// partition.
    fn is_changing(&self) -> bool {
        if self.backfiller.as_ref().is_some_and(Backfiller::is_running) {
            return true;
        }
        let is_open = |stats: DataflowStats| stats.stage.visits_open + stats.wide.windows_open > 0;
        self.has_change() && is_open(self.dataflow.stats())
    }

    /// Whether a change of the rules may not have reached all partitions.
    fn has_change(&self) -> bool {
        self.catalog.as_ref().is_some_and(|it| it.is_changing(self.last))
    }

    /// Nobody wrote for a while: somebody may be waited for. What is still under way may open a
    /// visit, and is looked at again after the next silence. Windows that outlive visits may wait for
    /// days: for them time is asked for when it has come; and once behind a start, since nobody knows how
    /// long the server was down.
    fn ask_for_time(&self) {
        let stats = self.dataflow.stats();
        let silent_ms = i64::try_from(self.silent.as_millis()).unwrap_or(i64::MAX);
        let watermark = self.marks.watermark.saturating_add(silent_ms);
        let is_due = stats.wide.due.is_some_and(|due| !self.knows_time || due <= watermark);
        let is_visited = stats.stage.visits_open > 0 || stats.stage.next_timer_ms.is_some();
        let under_way = stats.epochs_submitted - stats.epochs_delivered;
        if self.is_changing() && under_way > CHANGE_EPOCHS_UNDER_WAY_MAX {
            return;
        }
        if is_visited || is_due || self.is_changing() || self.is_taking() {
            self.progress.count_tick();
            self.log.tick();
        }
    }
}

/// The log's epochs from about a time on.
fn past_epochs(
    log: &dyn Log,
    mut marks: Marks,
    start: ServerTimeMs,
) -> Result<PastEpochs, LogError> {
    let mut reader = log.reader(Some(log.epoch_before(start)))?;
    Ok(Box::new(std::iter::from_fn(move || {
        let next = reader.next(Duration::ZERO).transpose()?;
        Some(next.map(|group| marks.epoch(group).input))
    })))
}
