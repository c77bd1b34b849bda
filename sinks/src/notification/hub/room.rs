//! The bounds of the hub: what goes where a visit has more than it may, or all have.

use super::held::HELD_BYTES;
use super::{Hub, VisitKey};
use beckon_engine::model::Outcome;
use std::sync::Arc;

impl Hub {
    /// The oldest goes.
    pub(super) fn make_room(&mut self, key: &Arc<VisitKey>) {
        while let Some(mail) = self.visits.get(key)
            && mail.waiting.len() > self.config.visit_messages_max
            && let Some(oldest) = mail.waiting.first().and_then(|place| mail.said.get(place))
        {
            let oldest = *oldest;
            self.stats.over_visit += 1;
            self.end(key, oldest, Outcome::Failed, Some("too_many"));
        }
        let bytes_max = self.config.bytes_max as u64;
        while self.stats.bytes - self.owed_bytes() > bytes_max {
            if let Some((_, key, id)) = self.settled.first().cloned() {
                self.remove(&key, id);
            } else if let Some((key, id)) = self.said.values().next().cloned() {
                self.stats.over_bytes += 1;
                self.end(&key, id, Outcome::Failed, Some("too_many"));
            } else {
                break;
            }
        }
        // What waits for the log alone has as much again, and is given up beyond.
        while self.owed_bytes() > bytes_max
            && let Some((_, key, id)) = self.owed.first().cloned()
        {
            self.remove(&key, id);
        }
    }

    fn owed_bytes(&self) -> u64 {
        (self.owed.len() * HELD_BYTES) as u64
    }
}
