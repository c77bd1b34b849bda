//! What the engine said, kept until every sink has taken it.
//!
//! The outbox is derived from the log: the same log gives the same records for each epoch. It is
//! therefore written and not synced; a crash may take its end, and may leave holes in what was not
//! on disk yet. Opening keeps the epochs from the slowest cursor up to the first flaw, and the
//! engine, which replays the log, says the rest again. Only cursors are durable ([`Cursor`]).
//!
//! Layout of `DATA/outbox/EPOCH.obx` (EPOCH is the first in the file, 20 digits), version 4,
//! integers little endian:
//!
//! ```text
//! file    = header frame*
//! header    "BECKNOBX"  u16 version  u16 zero  u64 first epoch  u32 CRC32C of all before
//! frame     u32 CRC32C of all behind it  u32 length of the output  u64 epoch  output (postcard)
//! ```
//!
//! Epochs follow each other without gaps, empty ones too. Whole files behind the slowest cursor
//! are removed ([`Outbox::release`]); at `outbox_bytes_max` the writer is told so
//! ([`OutboxError::Full`]), waits for a sink, and takes nothing from the log meanwhile.
//!
//! One process has it open: the one that holds the log's lock.

mod cursor;
mod error;
mod frame;
mod reader;
mod recover;
mod sink;
mod state;
#[cfg(test)]
mod tests;
mod writer;

pub use cursor::{Cursor, Cursors, Position};
pub use error::OutboxError;
pub use reader::OutboxReader;
pub use state::{Outbox, OutboxStats};
pub use writer::{OpenOutbox, OutboxWriter};

/// Bounds of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxConfig {
    /// A file that has this size is followed by the next; at most a quarter of
    /// `outbox_bytes_max`.
    pub file_bytes: u64,
    /// At this size nothing is appended until a sink has moved on.
    pub outbox_bytes_max: u64,
}

impl Default for OutboxConfig {
    fn default() -> Self {
        Self { file_bytes: 64 << 20, outbox_bytes_max: 16 << 30 }
    }
}
