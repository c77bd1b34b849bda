//! Deployments on their way to the open visits, one slice of a virtual partition an epoch.
//!
//! A rule that is new sees what each visit did before, as if it had always been there: the events that
//! the visit keeps are tried on it (backfill). A rule that is gone leaves its state. Doing either for
//! all visits at once would be a stall that grows with their number; so a slice of a partition has its
//! turn behind the end of each epoch, for all deployments under way at once. A visit whose turn did not
//! come catches up before its next event, and before it ends. Nothing reads what a removed rule left: no
//! event hits a rule that is not there, and matches of one that wait for a time are passed over.
//!
//! Which visits have their turn depends on the epoch alone, so what is said in an epoch is the same for
//! any number of workers, and behind a restart.

use super::Shared;
use super::partition::Partition;
use super::standing::Found;
use super::visit::Visit;
use crate::model::{Epoch, EventTimeMs, PARTITIONS};
use crate::stage::{Effect, PartialBackfills, RuleBegin, RuleChange};
use std::collections::VecDeque;
use std::sync::Arc;

/// Slices of a partition.
const SLICES: u64 = 4;
/// Epochs behind the one of a deployment, until it has reached all visits and other windows.
pub const CHANGE_EPOCHS: u64 = PARTITIONS as u64 * SLICES;

/// The windows that have their turn behind the end of an epoch. In [`CHANGE_EPOCHS`] epochs each has one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub(super) partition: usize,
    slice: u64,
}

impl Turn {
    fn of(epoch: Epoch) -> Self {
        Self::nth(epoch.0)
    }

    /// One after the other.
    pub(super) fn nth(number: u64) -> Self {
        let partitions = u64::from(PARTITIONS);
        let partition = usize::try_from(number % partitions).expect("below 256");
        Self { partition, slice: number / partitions % SLICES }
    }

    /// Whether a window of the partition is one of them, by the hash of its key; the lowest byte of
    /// that is the partition.
    pub(super) fn has(self, hash: u64) -> bool {
        (hash >> 8) % SLICES == self.slice
    }
}

/// A deployment under way.
#[derive(Clone, Debug)]
struct Change {
    /// Deployments up to this one.
    number: u64,
    /// Slots whose rule is gone.
    retired: Arc<[u32]>,
    /// Slots whose rule is new, sorted.
    fresh: Arc<[u32]>,
    /// Epochs until it has reached all visits.
    left: u64,
}

/// Deployments: those under way, and when the rules began that came with one. A deployment has an
/// epoch of its own, so at most [`CHANGE_EPOCHS`] are under way.
#[derive(Debug, Default)]
pub(super) struct Changes {
    count: u64,
    under_way: VecDeque<Change>,
    /// By slot.
    begins: Arc<[Option<RuleBegin>]>,
    partial: Arc<PartialBackfills>,
}

impl Changes {
    /// How many there were: what a new visit has seen.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Begins behind deployments that have reached all visits.
    pub(super) fn resume(&mut self, change: &RuleChange) {
        self.begins = Arc::clone(&change.begins);
        self.partial = Arc::clone(&change.partial);
    }

    /// A deployment.
    pub(super) fn add(&mut self, change: &RuleChange) {
        self.resume(change);
        let (retired, fresh) = (Arc::clone(&change.retired), Arc::clone(&change.fresh));
        if retired.is_empty() && fresh.is_empty() {
            return;
        }
        self.count += 1;
        self.under_way.push_back(Change {
            number: self.count,
            retired,
            fresh,
            left: CHANGE_EPOCHS,
        });
    }

    /// Whether a match was complete before its rule was deployed.
    pub(super) fn is_backfilled(&self, found: &Found) -> bool {
        is_backfilled(&self.begins, found)
    }
}

/// Whether a match was complete before its rule began, by slot: all its events were in the log then, the
/// last one and any other, and the watermark had passed the deadline that decided it.
pub(super) fn is_backfilled(begins: &[Option<RuleBegin>], found: &Found) -> bool {
    let slot = usize::try_from(found.rule).expect("32 bits");
    let begin = begins.get(slot).copied().flatten();
    begin.is_some_and(|begin| {
        found.newest <= begin.seq && (!found.is_deadline || found.fact.decided < begin.watermark)
    })
}

impl Shared {
    /// Brings the deployments to the visits whose turn it is behind the end of an epoch.
    pub(super) fn spread(
        &mut self,
        ended: Epoch,
        partitions: &mut [Option<Box<Partition>>],
        first_due: &mut [EventTimeMs],
        out: &mut Vec<Effect>,
    ) {
        if self.changes.under_way.is_empty() {
            return;
        }
        let turn = Turn::of(ended);
        if let Some(partition) = &mut partitions[turn.partition] {
            partition.revise_all(|hash| turn.has(hash), |visit| self.catch_up(visit, true, out));
            first_due[turn.partition] = partition.first_due().unwrap_or(EventTimeMs::MAX);
        }
        self.changes.under_way.iter_mut().for_each(|change| change.left -= 1);
        self.changes.under_way.retain(|change| change.left > 0);
    }

    /// Brings a visit the deployments that it has not seen.
    pub(super) fn catch_up(
        &mut self,
        visit: &mut Visit,
        is_visit_open: bool,
        out: &mut Vec<Effect>,
    ) {
        if visit.changes == self.changes.count {
            return;
        }
        let unseen = self.changes.under_way.iter().filter(|it| it.number > visit.changes);
        let unseen: Vec<Change> = unseen.cloned().collect();
        visit.changes = self.changes.count;
        for Change { retired, fresh, .. } in unseen {
            let held_bytes = visit.bytes();
            retired.iter().for_each(|slot| visit.forget(*slot));
            self.count_bytes(held_bytes, visit);
            self.backfill(visit, &fresh, is_visit_open, out);
        }
    }

    /// Tries the events that a visit keeps on rules that are new to it.
    fn backfill(
        &mut self,
        visit: &mut Visit,
        fresh: &[u32],
        is_visit_open: bool,
        out: &mut Vec<Effect>,
    ) {
        if fresh.is_empty() {
            return;
        }
        self.stats.backfills += 1;
        if visit.kept.has_left() {
            self.stats.backfills_partial += 1;
            self.changes.partial.count(fresh);
        }
        let held_bytes = visit.bytes();
        let mut windows = std::mem::take(&mut visit.windows);
        let mut found = std::mem::take(&mut self.found);
        self.retry_all(visit, fresh, &mut windows, &mut found);
        visit.windows = windows;
        self.assert(visit, &mut found, is_visit_open, out);
        self.count_bytes(held_bytes, visit);
        self.found = found;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PartitionId;

    /// Wherever the epochs begin, each slice of each partition has one turn in [`CHANGE_EPOCHS`], alone.
    #[test]
    fn all_visits_have_one_turn_each() {
        for first in [1, 77, CHANGE_EPOCHS + 3] {
            let mut reached = Vec::new();
            for turn in (first..first + CHANGE_EPOCHS).map(|epoch| Turn::of(Epoch(epoch))) {
                let is_partition =
                    |hash: &u64| usize::from(PartitionId::of(*hash).0) == turn.partition;
                let hashes = (0..CHANGE_EPOCHS).filter(is_partition).filter(|hash| turn.has(*hash));
                let hashes: Vec<u64> = hashes.collect();
                assert_eq!(hashes.len(), 1, "{turn:?} reaches {hashes:?}");
                reached.extend(hashes);
            }
            reached.sort_unstable();
            assert!(reached.into_iter().eq(0..CHANGE_EPOCHS), "each once");
        }
    }
}
