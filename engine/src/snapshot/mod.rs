//! Snapshots: what the engine knows, so that a restart does not begin with the log's first record.
//!
//! A snapshot is a **round**. Taking everything behind one epoch would be a stall that grows with the
//! number of visits; so behind the end of each epoch one piece at most is taken: the virtual partitions
//! of stage 1, then those of stage 2, then those of the suppression, then what is live, and what is not
//! partitioned at last. A later stage is never older than what feeds it, so a replay that begins behind
//! the first piece's epoch gives every partition what it needs; a partition sleeps until its own epoch
//! has ended (`asleep`).
//!
//! **Invariant:** a run that is restored says from the round's last epoch on what the run would have
//! said that took it, byte for byte, with any number of workers.

mod asleep;
mod file;
mod restart;
mod store;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use asleep::Asleep;
pub use file::{Flaw, Rest, SnapshotFile};
pub use restart::{Fitting, Restart, RestartError};
pub use store::{KEPT, SnapshotError, Snapshots};
pub use writer::{
    OnTaken, PIECES_PENDING_MAX, SnapshotParts, SnapshotStats, Snapshotter, SyncOutputs,
};

use crate::model::{Epoch, EpochMark, PartitionId};
use crate::stage::RuleChange;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::{fmt, io};

/// What a piece is of, in the order of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// A virtual partition of stage 1: visits.
    Visits,
    /// One of stage 2: other windows.
    Windows,
    /// One of the suppression: visitors.
    Visitors,
    /// What a worker's stage 1 counted live: events and visits.
    LiveEvents,
    /// What a worker's suppression counted live: actions.
    LiveActions,
}

/// A piece that is taken behind the end of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cut {
    /// What it is of.
    pub part: Part,
    /// Which one of it; of what is live the worker. A cut of that asks all workers for both parts.
    pub partition: PartitionId,
}

impl Cut {
    /// Asks all workers for what is live.
    pub const LIVE: Self = Self { part: Part::LiveEvents, partition: PartitionId(0) };
}

/// A piece, as it was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it is.
    pub cut: Cut,
    /// Behind the end of this epoch.
    pub epoch: Epoch,
    /// Its state; empty where there was none.
    pub bytes: Vec<u8>,
}

/// Takes the pieces, on the threads of the workers; it must not wait.
pub type OnPiece = Arc<dyn Fn(Piece) + Send + Sync>;

/// The pieces of a whole round.
pub trait Pieces: Send + Sync {
    /// Which ones there are of a part, in order.
    fn of(&self, part: Part) -> Vec<Cut>;

    /// Reads one.
    ///
    /// # Errors
    /// What the file system says, or that the piece is not what was written.
    fn read(&self, cut: Cut) -> io::Result<Piece>;
}

/// What a dataflow goes on from.
#[derive(Clone)]
pub struct Restored {
    /// The replay begins behind this epoch: the first piece's.
    pub base: EpochMark,
    /// What was said up to this epoch is not said again: the last piece's.
    pub through: EpochMark,
    /// The rules that ran all the time.
    pub rules: Arc<RuleChange>,
    /// The pieces.
    pub pieces: Arc<dyn Pieces>,
}

impl fmt::Debug for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { base, through, .. } = self;
        f.debug_struct("Restored")
            .field("base", base)
            .field("through", through)
            .finish_non_exhaustive()
    }
}

/// Bytes that are no state of this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state of a partition cannot be read: {0}")]
pub struct Unreadable(postcard::Error);

impl Unreadable {
    /// They end too early.
    pub(crate) const SHORT: Self = Self(postcard::Error::DeserializeUnexpectedEnd);
}

/// Appends a state.
pub(crate) fn encode(state: &impl Serialize, out: &mut Vec<u8>) {
    *out = postcard::to_extend(state, std::mem::take(out)).expect("plain data");
}

/// Reads a state.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    postcard::from_bytes(bytes).map_err(Unreadable)
}
