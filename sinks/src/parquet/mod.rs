//! Parquet tables of everything that happened: `events`, `visits`, `actions`, `epochs`, `deliveries`.
//!
//! ```text
//! DIR/events/date=2026-11-25/event=AddToCart/r0000000001-0000.parquet
//! DIR/visits/date=2026-11-25/r0000000001-0001.parquet          the others alike
//! DIR/_manifest/rounds-2026-11-25.txt, columns.json            what counts; columns so far
//! DIR/_tmp/r0000000002-0000.part                               being written
//! ```
//!
//! **Exactly once.** All files that are open together are one round; a round ends at the end of an
//! epoch and becomes part of the tables as a whole, by one line of the manifest (`manifest.rs`).
//! The manifest says through which epoch the tables are durable, and the sink reads the outbox
//! behind it: after any crash no row is doubled and none is lost.
//!
//! **Invariants.** Files in the tables' folders are finished and never change. Columns are appended,
//! never removed or retyped (`catalog.rs`). Memory is bounded by `open_bytes_max` and one epoch,
//! whatever the number of files. The sink never holds up the engine: it reads behind it.
//!
//! **A round ends** at the first of: a file reached `file_rows_max` or `file_bytes_max` (the file
//! ends at once, the round with its epoch); `rotation_ms_max` since its first epoch, by the marks'
//! clock, and by the server's clock while no epoch comes; another load date; a field that is declared
//! (`declared.rs`); the sink's end.

mod catalog;
mod columns;
mod config;
mod declared;
mod error;
mod events;
mod facts;
mod file;
mod folder;
mod hex;
mod layout;
mod manifest;
mod outbox;
mod sink;
mod stats;
mod tables;
#[cfg(test)]
mod tests;
mod typed;

pub use config::{ColumnType, ParquetConfig, TypedColumn};
pub use declared::Declared;
pub use error::ParquetError;
pub use outbox::OutboxSource;
pub use sink::{EpochSource, SinkContext, SinkError, SourceError, Stop, run};
pub use stats::ParquetStats;
pub use tables::ParquetTables;
