//! What can go wrong with the outbox and its cursors.

use crate::model::Epoch;
use std::io;
use std::path::Path;

/// Why the outbox or a cursor did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: Box<str>,
        /// What it said.
        source: io::Error,
    },
    /// `outbox_bytes_max` is reached: the slowest sink holds it.
    #[error("the outbox has reached outbox_bytes_max; the slowest sink holds it")]
    Full,
    /// An epoch does not follow the last one: a mistake of the caller.
    #[error("epoch {given} was given to the outbox, which waits for epoch {expected}")]
    Gap {
        /// What was given.
        given: Epoch,
        /// What comes next.
        expected: Epoch,
    },
    /// An output is longer than a frame may be (4 GiB), or cannot be written.
    #[error("the output of epoch {0} cannot be encoded")]
    Encode(Epoch),
    /// The epoch was removed: every cursor was behind it.
    #[error("epoch {0} is no longer in the outbox; open it with this cursor to derive it again")]
    Gone(Epoch),
    /// Bytes that this process wrote are not what was written.
    #[error(
        "{path} is damaged at byte {offset}; restart: the outbox is derived from the log again"
    )]
    Damaged {
        /// The file.
        path: Box<str>,
        /// Where.
        offset: u64,
    },
    /// A cursor's file is not what was written.
    #[error(
        "cursor {path} is damaged; restore it from a copy, or remove it and let its sink start anew"
    )]
    Cursor {
        /// The file.
        path: Box<str>,
    },
    /// A newer Beckon wrote it.
    #[error("cursor {path} has version {version}, this beckon reads version {known}")]
    CursorVersion {
        /// The file.
        path: Box<str>,
        /// Its version.
        version: u16,
        /// The version that is known.
        known: u16,
    },
    /// A cursor's name is not one to 64 of a-z, 0-9, `-` and `_`.
    #[error("{0:?} is no name of a cursor; use 1 to 64 of a-z, 0-9, - and _")]
    CursorName(Box<str>),
    /// The writer is gone and all was read.
    #[error("the outbox is closed")]
    Closed,
}

pub(super) fn io_error(path: &Path, source: io::Error) -> OutboxError {
    OutboxError::Io { path: path.display().to_string().into(), source }
}
