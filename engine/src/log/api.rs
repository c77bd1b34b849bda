//! The log as the rest of Beckon sees it: one totally ordered partition.
//!
//! What is appended together is acknowledged together, after it is on disk; a reader sees whole
//! commit groups only, and only what is synced. A second implementation (Kafka) stands behind the
//! same trait later; `conformance` has the tests that any implementation passes.

use super::control::{Control, ControlError};
use super::notice::NoticeError;
use crate::model::{Epoch, LogSeq, Notice, PackedEvent, ServerTimeMs};
use std::sync::Arc;
use std::time::Duration;

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordBody {
    /// An event of a visitor.
    Event(PackedEvent),
    /// What people decided: a deployment, a pause.
    Control(Arc<Control>),
    /// What a sink or a server says of messages.
    Notice(Arc<Notice>),
    /// Taken out by a rewrite; its sequence number stays.
    Tombstone,
}

/// A record to append.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// The site.
    pub site: Arc<str>,
    /// XXH3 of the visitor's (else the visit's) id: lets a rewrite find a person's records.
    pub visitor_hash: u64,
    /// 128 bits of (site, eventID), or of what became of which message; a record whose key was appended within the deduplication
    /// window is a duplicate. `None` is never one.
    pub dedup: Option<u128>,
    /// What it says.
    pub body: RecordBody,
}

/// What became of one appended record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// On disk, at this place.
    Stored(LogSeq),
    /// The first copy is on disk; this one was not appended.
    Duplicate,
}

/// Why an append was not taken. Nothing of it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// More than `append_queue_bytes_max` wait for the disk.
    #[error("the log's queue is full")]
    Busy,
    /// `log_bytes_max` is reached.
    #[error("the log has reached log_bytes_max")]
    LogFull,
    /// Less than `disk_free_bytes_min` is free.
    #[error("the disk is nearly full")]
    DiskFull,
    /// A write or a sync failed, or the log is shutting down; nothing is accepted any more.
    #[error("the log is closed")]
    Closed,
}

/// Called once, on the log's thread, when the records are on disk (or will never be).
pub type Acknowledge = Box<dyn FnOnce(Result<Vec<Appended>, Refused>) + Send>;

/// The mark that ends a commit group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitMark {
    /// The group's epoch.
    pub epoch: Epoch,
    /// First record's number; `last_seq + 1` for a group without records.
    pub first_seq: LogSeq,
    /// Number of the last record up to here.
    pub last_seq: LogSeq,
    /// The server's clock, never going back.
    pub now: ServerTimeMs,
}

/// A record as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedRecord {
    /// Its number.
    pub seq: LogSeq,
    /// What it says.
    pub body: RecordBody,
}

/// A commit group as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its mark.
    pub mark: CommitMark,
    /// Its records, numbers ascending.
    pub records: Vec<LoggedRecord>,
}

/// Why reading failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: Box<str>,
        /// What it said.
        source: std::io::Error,
    },
    /// Bytes that were synced are not what was written.
    #[error(
        "segment {segment} is damaged at byte {offset}: {what}; restore the segment from a copy, or \
         move the whole data folder and that of the reports away to start anew; `beckon log \
         inspect` shows what is readable"
    )]
    Damaged {
        /// The segment's file name.
        segment: Box<str>,
        /// Where.
        offset: u64,
        /// What is wrong.
        what: Box<str>,
    },
    /// Another process has the log open.
    #[error("{path} is locked: another beckon has this data folder open; stop it, or take another")]
    Locked {
        /// The lock file.
        path: Box<str>,
    },
    /// A newer Beckon wrote it.
    #[error(
        "segment {segment} has version {version} in its header (byte 0), this beckon reads version \
         {known}: start the beckon that wrote it, or move the whole data folder and that of the \
         reports away to start anew"
    )]
    Version {
        /// The segment's file name.
        segment: Box<str>,
        /// Its version.
        version: u16,
        /// The version that is known.
        known: u16,
    },
    /// The log ends before what a durable cursor or manifest names.
    #[error(
        "segment {segment} ends at byte {offset}, before {what}; restore the log's folder from a \
         copy, or move the whole data folder and that of the reports away to start anew"
    )]
    Lost {
        /// The last segment's file name.
        segment: Box<str>,
        /// Where its last whole group ends.
        offset: u64,
        /// What is named, and how far the log goes.
        what: Box<str>,
    },
    /// The first segments are not there, and no snapshot stands for them.
    #[error(
        "segments {first} to {last} are missing, so the log begins with epoch {begins}, and {base}; \
         start the beckon that wrote the snapshots if a message tells of another version, restore \
         the snapshots or those segments from a copy, or move the whole data folder and \
         that of the reports away to start anew"
    )]
    Missing {
        /// The first that is missing.
        first: Box<str>,
        /// The last that is missing.
        last: Box<str>,
        /// The first epoch of the first segment that is there.
        begins: Epoch,
        /// How far the base goes.
        base: Box<str>,
    },
    /// A control record that this version cannot read.
    #[error(
        "epoch {0}: {1}; start the beckon that wrote it (`beckon log inspect` shows which segment \
         has the epoch)"
    )]
    Control(Epoch, ControlError),
    /// A notice that this version cannot read.
    #[error(
        "epoch {0}: {1}; start the beckon that wrote it (`beckon log inspect` shows which segment \
         has the epoch)"
    )]
    Notice(Epoch, NoticeError),
    /// The records asked for were deleted by retention.
    #[error("epoch {0} is no longer in the log")]
    Gone(Epoch),
    /// A reader is ahead of the log: the log lost its end, or is another one.
    #[error("epoch {0} is not in the log yet, so nothing can be read behind it")]
    Ahead(Epoch),
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// One totally ordered partition.
pub trait Log: Send + Sync + std::fmt::Debug {
    /// Queues records; they stand next to each other in the log.
    ///
    /// # Errors
    /// [`Refused`], at once and before any work; `done` is then not called.
    fn append(&self, records: Vec<NewRecord>, done: Acknowledge) -> Result<(), Refused>;

    /// Whether records of so many bytes would be taken now.
    ///
    /// # Errors
    /// What [`Log::append`] would say.
    fn admits(&self, bytes: usize) -> Result<(), Refused>;

    /// Asks for an epoch without records at the next occasion (a timer is due).
    fn tick(&self);

    /// The mark of the last group on disk; `None` for an empty log.
    fn durable(&self) -> Option<CommitMark>;

    /// Reads whole groups from the one behind `after` on (`None`: from the start).
    ///
    /// # Errors
    /// [`LogError::Gone`], or what the file system says.
    fn reader(&self, after: Option<Epoch>) -> Result<Box<dyn LogReader>, LogError>;

    /// An epoch behind which everything can be read that is still held and came from `time` on, not
    /// long before that.
    fn epoch_before(&self, time: ServerTimeMs) -> Epoch;

    /// Whatever is at or before `through` is no longer needed to restart; the log may remove it.
    fn release(&self, through: Epoch);

    /// Stops accepting, writes what is queued, syncs, and ends the log's thread.
    fn close(&self);

    /// What the log holds and has counted.
    fn stats(&self) -> LogStats;
}

/// A place in the log that moves forward.
pub trait LogReader: Send {
    /// The next whole group on disk; waits up to `wait` for one. `None`: none came.
    ///
    /// # Errors
    /// [`LogError::Closed`] once the log is closed and all was read; damage.
    fn next(&mut self, wait: Duration) -> Result<Option<Group>, LogError>;
}

/// What the log holds and has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Bytes on disk.
    pub bytes: u64,
    /// Segments.
    pub segments: u64,
    /// The first segment that is held.
    pub oldest_segment: u64,
    /// The first epoch that can be read; 1 for an empty log.
    pub oldest_epoch: u64,
    /// Segments that have a next one and no digest on disk; a restart reads them.
    pub digests_missing: u64,
    /// Bytes that wait to be written.
    pub queued_bytes: u64,
    /// Records appended since start.
    pub records: u64,
    /// Groups (syncs) since start.
    pub groups: u64,
    /// Duplicates since start.
    pub duplicates: u64,
    /// Deduplication ids held.
    pub dedup_ids: u64,
    /// Age of the oldest deduplication id in milliseconds, by the log's clock.
    pub dedup_window_ms: u64,
    /// Nanoseconds spent in sync since start.
    pub sync_nanos: u64,
    /// The slowest sync since start, in nanoseconds.
    pub sync_nanos_max: u64,
}
