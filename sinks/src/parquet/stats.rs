//! What the sink counts, for `/metrics`.

use std::sync::atomic::AtomicU64;

/// Counters and gauges; read them with any ordering. The lag of the sink is the outbox's last epoch
/// less `epoch_durable`.
#[derive(Debug, Default)]
pub struct ParquetStats {
    /// Rows in finished files.
    pub rows: AtomicU64,
    /// Finished files.
    pub files: AtomicU64,
    /// Bytes of finished files.
    pub bytes: AtomicU64,
    /// Finished rounds.
    pub rounds: AtomicU64,
    /// Row groups that were ended early because of `open_bytes_max`.
    pub flushes: AtomicU64,
    /// Events whose name has no folder of its own (`event_folders_max`, or too long a name).
    pub other_events: AtomicU64,
    /// Failures that were followed by another try.
    pub errors: AtomicU64,
    /// Memory of rows and row groups that are open.
    pub open_bytes: AtomicU64,
    /// The last epoch taken.
    pub epoch_written: AtomicU64,
    /// The last epoch in finished files.
    pub epoch_durable: AtomicU64,
}
