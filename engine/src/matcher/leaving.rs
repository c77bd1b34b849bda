//! Rules of other windows than the visit that are no longer deployed: their state leaves one virtual
//! partition an epoch. (What deployments do to visits is in `changes`.)
//!
//! Nothing reads that state meanwhile: no event hits a rule that is not there, and matches of one that
//! wait for a time are passed over. Dropping all of it at once would be a stall that grows with the
//! number of windows. What the partitions say does not depend on when a partition's turn comes, but for one
//! thing: a rule that comes back before that finds who had its actions (`wide::owners`).

use crate::model::PARTITIONS;
use std::collections::VecDeque;
use std::sync::Arc;

/// Slots whose state leaves, and the partition whose turn comes.
#[derive(Debug)]
struct Turn {
    slots: Arc<[u32]>,
    next: usize,
}

/// Rules on their way out. A deployment has an epoch of its own, so there are at most [`PARTITIONS`]
/// turns.
#[derive(Debug, Default)]
pub(super) struct Leaving(VecDeque<Turn>);

impl Leaving {
    /// The rules of these slots are no longer deployed.
    pub(super) fn add(&mut self, slots: &Arc<[u32]>) {
        if !slots.is_empty() {
            self.0.push_back(Turn { slots: Arc::clone(slots), next: 0 });
        }
    }

    /// Lets `forget` free the state of each in one partition.
    pub(super) fn sweep(&mut self, mut forget: impl FnMut(usize, &[u32])) {
        for turn in &mut self.0 {
            forget(turn.next, &turn.slots);
            turn.next += 1;
        }
        self.0.retain(|turn| turn.next < usize::from(PARTITIONS));
    }
}
