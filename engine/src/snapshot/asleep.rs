//! Restored partitions that wait for their epoch.
//!
//! A round takes each partition behind another epoch. A replay begins behind the first of them, so
//! most partitions get input that their state has in it already: until their own epoch has ended they
//! sleep, and what comes for them is passed over.

use crate::model::{Epoch, PartitionId};
use std::collections::BTreeMap;

/// Those of one stage on one worker, and the epoch that each wakes behind.
#[derive(Clone, Debug)]
pub(crate) struct Asleep<P>(BTreeMap<PartitionId, (Epoch, P)>);

impl<P> Default for Asleep<P> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<P> Asleep<P> {
    /// Lets a partition sleep up to the end of an epoch.
    pub(crate) fn put(&mut self, partition: PartitionId, until: Epoch, state: P) {
        self.0.insert(partition, (until, state));
    }

    /// Whether input for a partition is to be passed over.
    pub(crate) fn has(&self, partition: PartitionId) -> bool {
        !self.0.is_empty() && self.0.contains_key(&partition)
    }

    /// Takes out the partitions that wake behind the end of an epoch, in order.
    pub(crate) fn wake(&mut self, ended: Epoch) -> Vec<(PartitionId, P)> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let all = std::mem::take(&mut self.0).into_iter();
        let (woken, asleep) = all.partition::<Vec<_>, _>(|(_, (until, _))| *until <= ended);
        self.0 = asleep.into_iter().collect();
        woken.into_iter().map(|(partition, (_, state))| (partition, state)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_sleeps_until_its_epoch_has_ended() {
        let mut asleep = Asleep::default();
        for (partition, until) in [(1, 7), (2, 9), (3, 5)] {
            asleep.put(PartitionId(partition), Epoch(until), partition);
        }
        let all = |asleep: &Asleep<u8>| [1, 2, 3].map(|it| asleep.has(PartitionId(it)));
        assert_eq!(asleep.wake(Epoch(4)), []);
        assert_eq!(all(&asleep), [true; 3]);
        assert_eq!(asleep.wake(Epoch(7)), [(PartitionId(1), 1), (PartitionId(3), 3)]);
        assert_eq!(all(&asleep), [false, true, false]);
        assert_eq!(asleep.wake(Epoch(100)), [(PartitionId(2), 2)]);
    }
}
