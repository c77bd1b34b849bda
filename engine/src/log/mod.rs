//! The durable log: what is acknowledged is on disk, in one order, whatever happens.
//!
//! ```text
//!  append (any thread) --> bounded queue --> log thread: deduplicate, number, write, sync
//!                                                         |                       |
//!                             DATA/log/0000000001.seg  <--+      acknowledge  <---+
//!                                      |                             |
//!  readers (any thread)  <-- whole groups that are synced  <---------+ (wakes them)
//! ```
//!
//! **Group commit without waiting.** The log thread takes everything that is queued, writes it with
//! one write and one sync, and acknowledges it; the next group forms while that goes on. A lone
//! append waits for its own sync only; under load an fsync is shared by hundreds. A sleep to
//! gather more made every percentile worse in the prototype.
//!
//! **Every group is an epoch** and ends in a commit record that carries the epoch's number and
//! time: the mark by which the engine's clock goes. Time never goes back in the log, over restarts
//! too. A timer that is due asks for a group without records ([`Log::tick`]).
//!
//! **Crash cases.** A crash during a write leaves at most one group that is not whole, at the end:
//! it was never acknowledged and is cut. A crash between sync and acknowledgement leaves a whole
//! group nobody was told of: it stays, and what its senders send again is a duplicate. Anything
//! else that is not as it was written is damage, and opening refuses with the segment's name and
//! the offset (`recover.rs` has the steps, `format.rs` the layout). A write or sync that fails
//! ends the log: all that waits is told [`Refused::Closed`], and `on_fatal` is called so that the
//! process ends and recovery finds out what is on disk. A failed sync is never tried again.
//!
//! **Digests.** Once a segment has a next one, the keeper's thread writes beside it what recovery
//! would learn from it (`0000000001.ids`, layout in `digest.rs`): a restart reads those and the last
//! segment. A digest that is missing or damaged makes a restart slower and nothing else.
//!
//! **Retention.** What is needed to restart is never removed: whoever keeps snapshots says how far
//! the log is not needed any more ([`Log::release`]). Segments before that go, oldest first, when
//! they are old or the log is half full ([`LogConfig`]); never the last one, and none without a
//! digest on disk, which stays as long as its ids count. Opening then takes what stood behind the
//! removed ones ([`LogBase`]). This is looked at when a segment is sealed or something is released.
//!
//! **Bounds**: see [`LogConfig`]; each has a test at the bound.

mod api;
#[cfg(test)]
pub(crate) mod conformance;
mod control;
mod dedup;
mod dedup_ids;
mod digest;
mod embedded;
mod format;
mod inspect;
mod keeper;
pub(crate) mod notice;
mod reader;
mod recover;
mod scan;
mod segment;
mod state;
#[cfg(test)]
mod tests;
mod writer;

pub use api::{
    Acknowledge, Appended, CommitMark, Group, Log, LogError, LogReader, LogStats, LoggedRecord,
    NewRecord, RecordBody, Refused,
};
pub use control::{Control, ControlError, Deployment, Owner, PackageKey, PauseKey, Standing};
pub use dedup::{DedupIndex, dedup_key};
pub use dedup_ids::DedupIds;
pub use embedded::{EmbeddedLog, OnFatal, OpenLog};
pub use format::RECORD_BYTES_MAX;
pub use inspect::{Inspected, inspect};
pub use notice::NoticeError;
pub use recover::{LogBase, Named};

/// Bounds of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A segment that has this size is followed by the next; the last group may go beyond it.
    pub segment_bytes: u64,
    /// A segment that is released (see [`Log::release`]) is removed when its last group is so old,
    /// or earlier when the log has more than half of `log_bytes_max`.
    pub retention_ms: u64,
    /// At this size of all segments appends are refused ([`Refused::LogFull`]). Groups without
    /// records are still written for another 16 MiB, so that visits end.
    pub log_bytes_max: u64,
    /// With less free space on the file system appends are refused ([`Refused::DiskFull`]).
    pub disk_free_bytes_min: u64,
    /// The free space is asked for at most this often, in milliseconds; in between it is counted
    /// down by what is appended.
    pub disk_check_interval_ms: u32,
    /// More bytes that wait for the disk are refused ([`Refused::Busy`]). Above the largest body
    /// that ingest takes, and at most 256 MiB.
    pub append_queue_bytes_max: usize,
    /// A group takes no further append above this size.
    pub group_bytes_max: usize,
    /// Deduplication ids held; 22 to 28 bytes each, and 16 on disk. The oldest go first.
    pub dedup_ids_max: usize,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 128 << 20,
            retention_ms: 7 * 24 * 60 * 60 * 1_000,
            log_bytes_max: 64 << 30,
            disk_free_bytes_min: 512 << 20,
            disk_check_interval_ms: 250,
            append_queue_bytes_max: 64 << 20,
            group_bytes_max: 8 << 20,
            dedup_ids_max: 20_000_000,
        }
    }
}
