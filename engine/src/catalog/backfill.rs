//! Shows groups of new rules the past, one after the other, some of it behind each epoch.
//!
//! How much depends on the log alone: [`BACKFILL_RECORDS`], or twice what the epoch itself has, so
//! that the past is caught up with whatever comes meanwhile. An epoch of the past counts as those records
//! that the horizon passes in it, where they are more than its own: behind a rush of visitors a
//! minute of silence moves all their windows on. And it counts as a few, whatever it has: each costs the
//! stages something.
//!
//! Visits are followed from before the time that the rules ask for, as long as a visit may be idle and
//! its next event under way: so each visit that is open then is met before, and none is taken for one
//! that begins. Who began earlier and is open still is asked of stage 1 first ([`Inquiry`]), some
//! virtual partitions behind each epoch; the log is read on once those epochs are delivered
//! ([`Backfiller::waits_for`]).

use super::Catalog;
use super::held::Group;
use crate::log::LogError;
use crate::matcher::{BackfillStep, Inquiry, MatcherConfig, Past, PastEpoch};
use crate::model::{Epoch, EpochInput, EpochMark, LogSeq, PARTITIONS, ServerTimeMs};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// Records of the past behind each epoch, at least: they cost 2 ms.
pub const BACKFILL_RECORDS: u64 = 1_000;

/// Epochs of the past behind each epoch, at most, where none has many records.
const EPOCHS_MAX: u64 = 25;

/// The log's epochs from some place on, as far as they are asked for.
pub type PastEpochs = Box<dyn Iterator<Item = Result<EpochInput, LogError>> + Send>;

/// How the past is read.
#[derive(Clone, Copy, Debug)]
struct Read {
    config: MatcherConfig,
    watermark_delay_ms: u32,
    records_min: u64,
}

impl Read {
    /// From when on visits are followed, for rules that ask for what came from a time on.
    fn start(&self, from: ServerTimeMs) -> ServerTimeMs {
        let Self { config, watermark_delay_ms, .. } = self;
        let idle_ms = config.inactivity_ms.unwrap_or(0).saturating_add(config.lateness_ms);
        ServerTimeMs(from.0.saturating_sub(idle_ms).saturating_sub(i64::from(*watermark_delay_ms)))
    }

    /// As so many records an epoch counts, whatever it has.
    fn records_least(&self) -> u64 {
        (self.records_min / EPOCHS_MAX).max(1)
    }
}

/// Shows the groups of a catalog the past.
#[derive(Debug)]
pub struct Backfiller {
    read: Read,
    running: Option<Backfill>,
    ended: Vec<Ended>,
}

/// A stage 1 that is not read on, and how many of its partitions are free.
#[derive(Debug)]
struct Ended {
    past: Past,
    free: usize,
}

impl Backfiller {
    /// For windows of these bounds, and a watermark that is so far behind the server's time; reads at
    /// least so many records behind each epoch.
    #[must_use]
    pub fn new(config: MatcherConfig, watermark_delay_ms: u32, records_min: u64) -> Self {
        let read = Read { config, watermark_delay_ms, records_min };
        Self { read, running: None, ended: Vec::new() }
    }

    /// Whether a group is on its way.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The epoch that is to be delivered before the next is read on: what it was asked for is used then.
    #[must_use]
    pub fn waits_for(&self) -> Option<Epoch> {
        match &self.running.as_ref()?.phase {
            Phase::Asking { left, behind, .. } => left.is_empty().then_some(*behind),
            Phase::Seeking | Phase::Reading => None,
        }
    }

    /// Reads on behind the end of an epoch, and tells the catalog where that has caught up: before it
    /// takes what stands in the epoch.
    ///
    /// # Errors
    /// What the log says.
    pub fn read(
        &mut self,
        catalog: &mut Catalog,
        ended: &EpochMark,
    ) -> Result<Option<BackfillStep>, LogError> {
        self.free();
        let Some(running) = &mut self.running else { return Ok(None) };
        let step = running.step(ended, &self.read)?;
        if step.caught_up.is_some() {
            catalog.caught_up(running.read_from.unwrap_or(running.start));
            self.end();
        }
        Ok(Some(step))
    }

    /// Its visits are as many as those that are open: they are freed one partition an epoch.
    fn end(&mut self) {
        let past = self.running.take().map(|ended| ended.past);
        self.ended.extend(past.map(|past| Ended { past, free: 0 }));
    }

    fn free(&mut self) {
        for Ended { past, free } in &mut self.ended {
            past.free(*free);
            *free += 1;
        }
        self.ended.retain(|ended| ended.free < usize::from(PARTITIONS));
    }

    /// The catalog changed: its group goes on, begins, or is gone. `open` opens the log at a place from
    /// which all can be read that came from a time on, if it is still there.
    ///
    /// # Errors
    /// What the log says.
    pub fn follow(
        &mut self,
        catalog: &Catalog,
        open: impl FnOnce(ServerTimeMs) -> Result<PastEpochs, LogError>,
    ) -> Result<(), LogError> {
        let Some((group, shown)) = catalog.group().zip(catalog.rules().backfill.as_ref()) else {
            self.end();
            return Ok(());
        };
        let rules = Arc::clone(&shown.rules);
        match &mut self.running {
            // Some of its rules may be gone.
            Some(running) if running.number == group.number => {
                running.past.take(rules, from(group));
            }
            _ => {
                self.end();
                let first = group.from.values().min().copied();
                let start = self.read.start(first.unwrap_or(ServerTimeMs(i64::MAX)));
                let past = Past::new(rules, self.read.config, from(group));
                self.running = Some(Backfill::new(group.number, past, start, open(start)?));
            }
        }
        Ok(())
    }
}

/// A group of rules on its way through the past.
struct Backfill {
    number: u64,
    epochs: PastEpochs,
    past: Past,
    /// What came before is passed over.
    start: ServerTimeMs,
    phase: Phase,
    /// The first epoch that is read, until it is.
    next: Option<EpochInput>,
    /// The last epoch that was read.
    at: Epoch,
    /// When epochs came that the horizon has not passed, and how many records they have.
    waiting: VecDeque<(ServerTimeMs, u64)>,
    /// Since when there is nothing that was not read: the start, or when the log's first epoch came that
    /// is still there.
    read_from: Option<ServerTimeMs>,
}

impl fmt::Debug for Backfill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backfill").field("at", &self.at).finish_non_exhaustive()
    }
}

/// What is done behind the end of an epoch.
enum Phase {
    /// The first epoch that is read is looked for.
    Seeking,
    /// Stage 1 is asked for the visits that are open and began before that; then what it said is taken,
    /// in the same order. `behind`: the last epoch behind which it was asked.
    Asking { left: VecDeque<Arc<Inquiry>>, asked: VecDeque<(Arc<Inquiry>, LogSeq)>, behind: Epoch },
    /// The log is read.
    Reading,
}

impl Backfill {
    fn new(number: u64, past: Past, start: ServerTimeMs, epochs: PastEpochs) -> Self {
        Self {
            number,
            epochs,
            past,
            start,
            phase: Phase::Seeking,
            next: None,
            at: Epoch(0),
            waiting: VecDeque::new(),
            read_from: None,
        }
    }

    fn step(&mut self, ended: &EpochMark, read: &Read) -> Result<BackfillStep, LogError> {
        let own = ended.last_seq.0 + 1 - ended.first_seq.0;
        let left = read.records_min.max(2 * own);
        if matches!(self.phase, Phase::Seeking) {
            self.seek(ended, read, left)?;
        }
        if let Phase::Asking { left, asked, behind } = &mut self.phase {
            if let Some(inquiry) = left.pop_front() {
                *behind = ended.epoch;
                asked.push_back((Arc::clone(&inquiry), ended.last_seq));
                return Ok(BackfillStep { inquiry: Some(inquiry), ..BackfillStep::default() });
            }
            if let Some((inquiry, at)) = asked.pop_front() {
                self.past.know(inquiry.take(), at);
                return Ok(BackfillStep::default());
            }
            self.phase = Phase::Reading;
        }
        let mut step = BackfillStep::default();
        if matches!(self.phase, Phase::Reading) {
            step.epochs = self.read(ended, read, left)?;
        }
        if self.at == ended.epoch {
            step.caught_up = Some(self.past.open_visits());
        }
        Ok(step)
    }

    /// Passes over what came before the start.
    fn seek(&mut self, ended: &EpochMark, read: &Read, mut left: u64) -> Result<(), LogError> {
        while self.at < ended.epoch && left > 0 {
            let Some(input) = self.epochs.next().transpose()? else { break };
            self.read_from.get_or_insert(input.mark.now.max(self.start));
            if input.mark.now >= self.start {
                let left = Inquiry::all(input.mark.first_seq).map(Arc::new).collect();
                self.next = Some(input);
                self.phase = Phase::Asking { left, asked: VecDeque::new(), behind: ended.epoch };
                break;
            }
            self.at = input.mark.epoch;
            self.past.pass_over(&input.mark);
            left = left.saturating_sub((input.events.len() as u64).max(read.records_least()));
        }
        Ok(())
    }

    fn read(
        &mut self,
        ended: &EpochMark,
        read: &Read,
        mut left: u64,
    ) -> Result<Vec<PastEpoch>, LogError> {
        let mut epochs = Vec::new();
        while self.at < ended.epoch && left > 0 {
            let next = self.next.take().map(Ok).or_else(|| self.epochs.next());
            let Some(input) = next.transpose()? else { break };
            self.at = input.mark.epoch;
            let records = input.events.len() as u64;
            let passed = self.pass(input.mark.now, records, read.config.lateness_ms);
            left = left.saturating_sub(records.max(passed).max(read.records_least()));
            epochs.push(self.past.epoch(input));
        }
        Ok(epochs)
    }

    /// An epoch came at a time, with so many records. How many the horizon passes then, about.
    fn pass(&mut self, now: ServerTimeMs, records: u64, lateness_ms: i64) -> u64 {
        self.waiting.push_back((now, records));
        let horizon = now.0.saturating_sub(lateness_ms);
        let mut passed = 0;
        while let Some((_, records)) = self.waiting.front().filter(|(came, _)| came.0 < horizon) {
            passed += records;
            self.waiting.pop_front();
        }
        passed
    }
}

fn from(group: &Group) -> Vec<(u32, ServerTimeMs)> {
    group.from.iter().map(|(slot, from)| (*slot, *from)).collect()
}
