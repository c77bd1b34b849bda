//! Where the memory of open visits goes.
//!
//! `state_bytes` is kept up to date event by event and says how much; this walks over all visits and
//! says what for. It is for benches and tests.

use super::Matcher;
use super::visit::Visit;
use std::ops::AddAssign;

/// What the open visits of a matcher hold, in bytes, as far as they are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VisitMemory {
    /// Open visits.
    pub visits: u64,
    /// Events that they keep.
    pub events: u64,
    /// The visits themselves: ids, times, who the visitor is.
    pub own_bytes: u64,
    /// The events that are kept, where they lie, and ids of older ones.
    pub kept_bytes: u64,
    /// Matches under way.
    pub under_way_bytes: u64,
    /// What it takes to correct what was said.
    pub correction_bytes: u64,
}

impl Matcher {
    /// What the open visits hold.
    #[must_use]
    pub fn visit_memory(&self) -> VisitMemory {
        let partitions = self.partitions.iter().flatten();
        let visits = partitions.flat_map(|partition| partition.visits());
        visits.fold(VisitMemory::default(), |mut sum, (_, visit)| {
            sum += visit.memory();
            sum
        })
    }

    /// Frees the visits of a virtual partition: no event comes any more.
    pub(super) fn free(&mut self, partition: usize) {
        self.partitions[partition] = None;
    }
}

impl Visit {
    /// What it holds.
    fn memory(&self) -> VisitMemory {
        let (kept_bytes, under_way_bytes) = (self.kept.bytes(), self.windows.bytes());
        let own_bytes = size_of::<Self>() as u64;
        VisitMemory {
            visits: 1,
            events: self.kept.len(),
            own_bytes,
            kept_bytes,
            under_way_bytes,
            correction_bytes: self.bytes() - own_bytes - kept_bytes - under_way_bytes,
        }
    }
}

impl AddAssign for VisitMemory {
    fn add_assign(&mut self, other: Self) {
        self.visits += other.visits;
        self.events += other.events;
        self.own_bytes += other.own_bytes;
        self.kept_bytes += other.kept_bytes;
        self.under_way_bytes += other.under_way_bytes;
        self.correction_bytes += other.correction_bytes;
    }
}
