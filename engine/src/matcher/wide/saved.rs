//! Stage 2 in a snapshot: the windows of a partition; and of stage 1's, where its open visits sent events.

use super::Wide;
use super::owners::SavedOwner;
use super::partition::Partition;
use super::route::{Router, Sender};
use super::window::OpenWindow;
use crate::model::{Epoch, EpochMark, PartitionId};
use crate::snapshot::{Unreadable, decode, encode};
use crate::stage::RuleChange;
use std::sync::Arc;

impl Wide {
    /// Appends the state of a virtual partition behind the end of the last epoch; nothing where there
    /// is none. The same state gives the same bytes.
    pub fn save(&self, id: PartitionId, out: &mut Vec<u8>) {
        if let Some(partition) = &self.partitions[usize::from(id.0)] {
            let mut windows: Vec<_> = partition.windows().collect();
            windows.sort_unstable_by_key(|(hash, window)| (window.opened(), *hash));
            let is_corrected = windows.iter().all(|(_, window)| window.state.is_corrected());
            debug_assert!(is_corrected, "behind an epoch");
            encode(&(windows, self.shared.owners.saved(id)), out);
        }
    }

    /// Takes back what was saved behind the end of an epoch; up to there input for the partition is
    /// passed over.
    ///
    /// # Errors
    /// [`Unreadable`], where another version saved it.
    pub fn restore(
        &mut self,
        partition: PartitionId,
        saved: Epoch,
        bytes: &[u8],
    ) -> Result<(), Unreadable> {
        let mut state = None;
        if !bytes.is_empty() {
            let (windows, owners): (Vec<(u64, OpenWindow)>, Vec<SavedOwner>) = decode(bytes)?;
            self.shared.owners.restore(owners);
            let state = state.insert(Box::<Partition>::default());
            let lateness_ms = self.shared.lateness_ms;
            for (hash, window) in windows {
                state.insert(hash, window, lateness_ms);
            }
        }
        self.asleep.put(partition, saved, state);
        Ok(())
    }

    /// Goes on behind the end of an epoch, with the rules of that time, once the partitions are
    /// restored.
    pub fn resume(&mut self, ended: &EpochMark, rules: &RuleChange) {
        self.shared.prepared = Arc::clone(&rules.rules);
        self.shared.begins = Arc::clone(&rules.begins);
        self.shared.gate.take(rules);
        self.shared.take_time(ended);
        self.wake(ended.epoch);
    }

    /// Lets the restored partitions go on whose state is that behind the end of an epoch.
    pub(super) fn wake(&mut self, ended: Epoch) {
        for (partition, state) in self.asleep.wake(ended) {
            let windows = state.iter().flat_map(|state| state.windows());
            windows.for_each(|(_, window)| self.shared.count_open(window));
            self.partitions[usize::from(partition.0)] = state;
        }
    }
}

impl Router {
    /// Appends what is known of the open visits of a virtual partition of stage 1.
    pub fn save(&self, partition: PartitionId, out: &mut Vec<u8>) {
        let mut senders: Vec<&Sender> = self.senders(partition).collect();
        senders.sort_unstable_by_key(|sender| sender.instance);
        encode(&senders, out);
    }

    /// Takes back what was saved. Nothing comes for these visits until their partition wakes.
    ///
    /// # Errors
    /// [`Unreadable`], where another version saved it.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        let senders: Vec<Sender> = decode(bytes)?;
        senders.into_iter().for_each(|sender| self.insert_restored(sender));
        Ok(())
    }
}
