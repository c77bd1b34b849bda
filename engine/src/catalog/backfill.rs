//! Shows a group of new rules the past, some of it behind each epoch.
//!
//! How much depends on the log alone: [`BACKFILL_RECORDS`], or twice what the epoch itself has, so
//! that the past is caught up with whatever comes meanwhile. An epoch of the past without records
//! counts as one. Visits are followed from before the time that the rules ask for, as long as a
//! visit may be idle: what is known of a visit that began earlier is what came since.

use super::held::Group;
use crate::log::LogError;
use crate::matcher::{BackfillStep, MatcherConfig, Past, Prepared};
use crate::model::{Epoch, EpochInput, EpochMark, ServerTimeMs};
use std::fmt;
use std::sync::Arc;

/// Records of the past behind each epoch, at least: they cost 2 ms.
pub const BACKFILL_RECORDS: u64 = 1_000;

/// The log's epochs from some place on, as far as they are asked for.
pub type PastEpochs = Box<dyn Iterator<Item = Result<EpochInput, LogError>> + Send>;

/// A group of rules on its way through the past.
pub struct Backfill {
    number: u64,
    epochs: PastEpochs,
    past: Past,
    records_min: u64,
    /// What came before is passed over.
    start: ServerTimeMs,
    /// The last epoch that was read.
    at: Epoch,
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
    /// For a group, made ready to run alone; at least so many records behind each epoch. `open` opens the log at a place from which all can be read
    /// that came from a time on, if it is still there.
    ///
    /// # Errors
    /// What the log says.
    pub fn new(
        group: &Group,
        rules: Arc<Prepared>,
        (config, records_min): (MatcherConfig, u64),
        open: impl FnOnce(ServerTimeMs) -> Result<PastEpochs, LogError>,
    ) -> Result<Self, LogError> {
        let first = group.from.values().min().copied().unwrap_or(ServerTimeMs(i64::MAX));
        let start = ServerTimeMs(first.0.saturating_sub(config.inactivity_ms.unwrap_or(0)));
        let from = from(group);
        Ok(Self {
            number: group.number,
            epochs: open(start)?,
            past: Past::new(rules, config, from),
            records_min,
            start,
            at: Epoch(0),
            read_from: None,
        })
    }

    /// Some rules of the group are gone.
    pub fn take(&mut self, group: &Group, rules: Arc<Prepared>) {
        self.past.take(rules, from(group));
    }

    /// Of which group.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Reads on behind the end of an epoch.
    ///
    /// # Errors
    /// What the log says.
    pub fn step(&mut self, ended: &EpochMark) -> Result<BackfillStep, LogError> {
        let own = ended.last_seq.0 + 1 - ended.first_seq.0;
        let mut left = self.records_min.max(2 * own);
        let mut step = BackfillStep::default();
        while self.at < ended.epoch && left > 0 {
            let Some(input) = self.epochs.next().transpose()? else { break };
            self.at = input.mark.epoch;
            left = left.saturating_sub((input.events.len() as u64).max(1));
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

    /// From when on the past was read.
    #[must_use]
    pub fn read_from(&self) -> ServerTimeMs {
        self.read_from.unwrap_or(self.start)
    }
}

fn from(group: &Group) -> Vec<(u32, ServerTimeMs)> {
    group.from.iter().map(|(slot, from)| (*slot, *from)).collect()
}
