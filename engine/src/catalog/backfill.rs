//! Shows groups of new rules the past, one after the other, some of it behind each epoch.
//!
//! How much depends on the log alone: [`BACKFILL_RECORDS`], or twice what the epoch itself has, so
//! that the past is caught up with whatever comes meanwhile. An epoch of the past counts as those records
//! that the horizon passes in it, where they are more than its own: behind a rush of visitors a
//! minute of silence moves all their windows on. And it counts as a few, whatever it has: each costs the
//! stages something. Visits are followed from before the time that the rules ask for, as long as a
//! visit may be idle: what is known of a visit that began earlier is what came since.

use super::Catalog;
use super::held::Group;
use crate::log::LogError;
use crate::matcher::{BackfillStep, MatcherConfig, Past, Prepared};
use crate::model::{Epoch, EpochInput, EpochMark, PARTITIONS, ServerTimeMs};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// Records of the past behind each epoch, at least: they cost 2 ms.
pub const BACKFILL_RECORDS: u64 = 1_000;

/// Epochs of the past behind each epoch, at most, where none has many records.
const EPOCHS_MAX: u64 = 25;

/// The log's epochs from some place on, as far as they are asked for.
pub type PastEpochs = Box<dyn Iterator<Item = Result<EpochInput, LogError>> + Send>;

/// Shows the groups of a catalog the past.
#[derive(Debug)]
pub struct Backfiller {
    config: MatcherConfig,
    records_min: u64,
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
    /// For windows of these bounds; reads at least so many records behind each epoch.
    #[must_use]
    pub fn new(config: MatcherConfig, records_min: u64) -> Self {
        Self { config, records_min, running: None, ended: Vec::new() }
    }

    /// Whether a group is on its way.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running.is_some()
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
        let step = running.step(ended, self.records_min)?;
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
                self.running = Some(Backfill::new(group, rules, self.config, open)?);
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
    /// The last epoch that was read.
    at: Epoch,
    lateness_ms: i64,
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

impl Backfill {
    fn new(
        group: &Group,
        rules: Arc<Prepared>,
        config: MatcherConfig,
        open: impl FnOnce(ServerTimeMs) -> Result<PastEpochs, LogError>,
    ) -> Result<Self, LogError> {
        let first = group.from.values().min().copied().unwrap_or(ServerTimeMs(i64::MAX));
        let start = ServerTimeMs(first.0.saturating_sub(config.inactivity_ms.unwrap_or(0)));
        Ok(Self {
            number: group.number,
            epochs: open(start)?,
            past: Past::new(rules, config, from(group)),
            start,
            at: Epoch(0),
            lateness_ms: config.lateness_ms,
            waiting: VecDeque::new(),
            read_from: None,
        })
    }

    fn step(&mut self, ended: &EpochMark, records_min: u64) -> Result<BackfillStep, LogError> {
        let own = ended.last_seq.0 + 1 - ended.first_seq.0;
        let mut left = records_min.max(2 * own);
        let least = (records_min / EPOCHS_MAX).max(1);
        let mut step = BackfillStep::default();
        while self.at < ended.epoch && left > 0 {
            let Some(input) = self.epochs.next().transpose()? else { break };
            self.at = input.mark.epoch;
            let records = input.events.len() as u64;
            let passed = self.pass(input.mark.now, records);
            left = left.saturating_sub(records.max(passed).max(least));
            self.read_from.get_or_insert(input.mark.now.max(self.start));
            if input.mark.now >= self.start {
                step.epochs.push(self.past.epoch(input));
            }
        }
        if self.at == ended.epoch {
            step.caught_up = Some(self.past.open_visits());
        }
        Ok(step)
    }

    /// An epoch came at a time, with so many records. How many the horizon passes then, about.
    fn pass(&mut self, now: ServerTimeMs, records: u64) -> u64 {
        self.waiting.push_back((now, records));
        let horizon = now.0.saturating_sub(self.lateness_ms);
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
