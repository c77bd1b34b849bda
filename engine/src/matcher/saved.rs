//! Partitions of stage 1 in a snapshot: the open visits, and which ended lately.
//!
//! Both orders (who is idle longest, whose match waits for a time) follow from the visits and are built
//! anew; a visit's place in the deployments is that behind all of them, because no round goes on while
//! one is under way.

use super::Matcher;
use super::closed::ClosedVisits;
use super::config::MatcherConfig;
use super::names::Names;
use super::partition::Partition;
use super::visit::Visit;
use crate::model::{Epoch, EventTimeMs};
use crate::snapshot::{Unreadable, decode, encode};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Serialize)]
struct Saved<'a> {
    /// With the hashes of their window keys, in the order in which they began.
    visits: Vec<(u64, &'a Visit)>,
    /// Hashes, the one that ended first at the front.
    closed: &'a VecDeque<u64>,
}

#[derive(Deserialize)]
struct Restored {
    visits: Vec<(u64, Visit)>,
    closed: VecDeque<u64>,
}

impl Partition {
    /// Appends its state.
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        let mut visits: Vec<_> = self.visits().collect();
        visits.sort_unstable_by_key(|(hash, visit)| (visit.instance, *hash));
        debug_assert!(visits.iter().all(|(_, visit)| visit.is_corrected()), "behind an epoch");
        encode(&Saved { visits, closed: self.closed().hashes() }, out);
    }

    /// A partition as it was saved; limits are those of today.
    pub(super) fn restore(
        bytes: &[u8],
        config: &MatcherConfig,
        sites: &mut Names<Arc<str>>,
    ) -> Result<Self, Unreadable> {
        let Restored { visits, closed } = decode(bytes)?;
        let closed = ClosedVisits::of(closed, config.partition_closed_max());
        let mut partition = Self::with(closed);
        for (hash, mut visit) in visits {
            visit.site = Arc::clone(sites.entry(&visit.site, || Arc::clone(&visit.site)));
            partition.insert_restored(hash, visit);
        }
        Ok(partition)
    }
}

impl Matcher {
    /// Lets the restored partitions go on whose state is that behind the end of an epoch.
    pub(super) fn wake(&mut self, ended: Epoch) {
        for (partition, state) in self.asleep.wake(ended) {
            let index = usize::from(partition.0);
            if let Some(state) = &state {
                self.first_idle[index] = state.first_idle().unwrap_or(EventTimeMs::MAX);
                self.first_due[index] = state.first_due().unwrap_or(EventTimeMs::MAX);
                self.shared.stats.visits_open += state.len() as u64;
                self.shared.stats.state_bytes += state.bytes();
            }
            self.partitions[index] = state;
        }
    }
}
