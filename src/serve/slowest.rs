//! How far each sink has taken the outbox: what the slowest has is removed.

use beckon_engine::model::Epoch;
use beckon_engine::outbox::{Outbox, OutboxError};
use std::sync::{Arc, Mutex, PoisonError};

/// A sink that reads the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// The Parquet tables.
    Tables,
    /// Messages to pages.
    Notification,
    /// Calls to other systems.
    Webhook,
}

/// The positions of all sinks.
#[derive(Debug)]
pub(super) struct Slowest {
    outbox: Outbox,
    /// Of the tables, of notifications and of webhooks.
    taken: Mutex<[Epoch; 3]>,
}

impl Slowest {
    /// Sinks that stand where they stood at the start.
    pub(super) fn new(outbox: Outbox, taken: [Epoch; 3]) -> Arc<Self> {
        Arc::new(Self { outbox, taken: Mutex::new(taken) })
    }

    /// A sink has durably taken all up to an epoch.
    ///
    /// # Errors
    /// What the file system says where files are removed.
    pub(super) fn moved(&self, reader: Reader, epoch: Epoch) -> Result<(), OutboxError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let [tables, notification, webhook] = &mut *taken;
        match reader {
            Reader::Tables => *tables = epoch,
            Reader::Notification => *notification = epoch,
            Reader::Webhook => *webhook = epoch,
        }
        let slowest = (*tables).min(*notification).min(*webhook);
        drop(taken);
        self.outbox.release(slowest)
    }
}
