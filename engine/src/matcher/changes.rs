//! Deployments on their way to the open visits, one virtual partition an epoch.
//!
//! A rule that is new sees what each visit did before, as if it had always been there: the events that
//! the visit keeps are tried on it (backfill). A rule that is gone leaves its state. Doing either for
//! all visits at once would be a stall that grows with their number; so a partition has its turn behind
//! the end of each epoch. A visit whose turn did not come catches up before its next event, and before
//! it ends. Nothing reads what a removed rule left: no event hits a rule that is not there, and matches
//! of one that wait for a time are passed over.
//!
//! Which partition has its turn depends on the epoch alone, so what is said in an epoch is the same
//! for any number of workers.

use super::Shared;
use super::partition::Partition;
use super::standing::Found;
use super::visit::Visit;
use crate::model::EventTimeMs;
use crate::stage::{Effect, RuleBegin, RuleChange};
use std::collections::VecDeque;
use std::sync::Arc;

/// A deployment under way.
#[derive(Clone, Debug)]
struct Change {
    /// Deployments up to this one.
    number: u64,
    /// Slots whose rule is gone.
    retired: Arc<[u32]>,
    /// Slots whose rule is new, sorted.
    fresh: Arc<[u32]>,
    /// The partition whose turn comes.
    next: usize,
}

/// Deployments: those under way, and when the rules began that came with one. A deployment has an
/// epoch of its own, so at most [`CHANGE_EPOCHS`](super::CHANGE_EPOCHS) are under way.
#[derive(Debug, Default)]
pub(super) struct Changes {
    count: u64,
    under_way: VecDeque<Change>,
    /// By slot.
    begins: Arc<[Option<RuleBegin>]>,
}

impl Changes {
    /// How many there were: what a new visit has seen.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Begins behind deployments that have reached all visits.
    pub(super) fn resume(&mut self, change: &RuleChange) {
        self.begins = Arc::clone(&change.begins);
    }

    /// A deployment.
    pub(super) fn add(&mut self, change: &RuleChange) {
        self.begins = Arc::clone(&change.begins);
        let (retired, fresh) = (Arc::clone(&change.retired), Arc::clone(&change.fresh));
        if retired.is_empty() && fresh.is_empty() {
            return;
        }
        self.count += 1;
        self.under_way.push_back(Change { number: self.count, retired, fresh, next: 0 });
    }

    /// Whether a match was complete before its rule was deployed.
    pub(super) fn is_backfilled(&self, found: &Found) -> bool {
        let slot = usize::try_from(found.rule).expect("32 bits");
        let begin = self.begins.get(slot).copied().flatten();
        begin.is_some_and(|begin| {
            if found.is_deadline {
                found.fact.decided < begin.watermark
            } else {
                found.fact.seq <= begin.seq
            }
        })
    }
}

impl Shared {
    /// Brings the deployments to one partition each whose turn it is.
    pub(super) fn spread(
        &mut self,
        partitions: &mut [Option<Box<Partition>>],
        first_due: &mut [EventTimeMs],
        out: &mut Vec<Effect>,
    ) {
        let turns: Vec<usize> = self.changes.under_way.iter().map(|change| change.next).collect();
        for turn in turns {
            let Some(partition) = &mut partitions[turn] else { continue };
            partition.revise_all(|visit| self.catch_up(visit, true, out));
            first_due[turn] = partition.first_due().unwrap_or(EventTimeMs::MAX);
        }
        self.changes.under_way.iter_mut().for_each(|change| change.next += 1);
        self.changes.under_way.retain(|change| change.next < partitions.len());
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
        self.stats.backfills_partial += u64::from(visit.kept.has_left());
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
