//! What can go wrong with the tables, and whether trying again may help.

use beckon_engine::model::Epoch;
use std::path::Path;

/// Why the tables could not be opened or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParquetError {
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: Box<str>,
        /// What it said.
        source: std::io::Error,
    },
    /// Another process has the tables open.
    #[error("{folder} is being written by another process; stop it, or give another folder")]
    InUse {
        /// The folder.
        folder: Box<str>,
    },
    /// A file could not be encoded or written.
    #[error("{path}: {source}")]
    Encode {
        /// The file.
        path: Box<str>,
        /// What the encoder said.
        source: parquet::errors::ParquetError,
    },
    /// What was synced before is not what is found.
    #[error("{path}: {what}; {advice}")]
    Damaged {
        /// The file.
        path: Box<str>,
        /// What is wrong with it.
        what: Box<str>,
        /// What can be done.
        advice: &'static str,
    },
    /// A column exists with another type or for another field.
    #[error(
        "the column {column} of the table {table} is {found}, and {wanted} is asked for; columns \
         are never retyped: give the field another name"
    )]
    Contradiction {
        /// The table.
        table: Box<str>,
        /// The column.
        column: Box<str>,
        /// What it is.
        found: Box<str>,
        /// What is asked for.
        wanted: Box<str>,
    },
    /// A path that gives no column.
    #[error("`{path}` gives no column name; name a field such as `data.price`")]
    Path {
        /// The path.
        path: Box<str>,
    },
    /// More columns than `typed_columns_max`.
    #[error("{found} typed columns, and typed_columns_max is {max}; declare fewer fields")]
    TooManyColumns {
        /// How many there would be.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// An epoch that the tables hold already.
    #[error(
        "{folder} holds everything through epoch {last}, and epoch {epoch} came; read on behind \
         it, or give an empty folder"
    )]
    Order {
        /// The folder.
        folder: Box<str>,
        /// The epoch that came.
        epoch: Epoch,
        /// The last one taken.
        last: Epoch,
    },
    /// A mark whose `now` is no date of the calendar.
    #[error("{now_ms} ms since 1970 is no date; check the server's clock")]
    Clock {
        /// `now` of the mark.
        now_ms: i64,
    },
    /// A write failed before; what is open is in doubt.
    #[error("a write failed before; open the tables again")]
    Poisoned,
}

impl ParquetError {
    /// Whether opening the tables again and reading on from what is durable may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Encode { .. } | Self::Poisoned)
    }

    /// For `map_err`: the file system's error with the path it is about.
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_string_lossy().into(), source }
    }

    /// For `map_err`: the encoder's error with the file it is about.
    pub(super) fn encode(path: &Path) -> impl FnOnce(parquet::errors::ParquetError) -> Self + '_ {
        move |source| Self::Encode { path: path.to_string_lossy().into(), source }
    }
}
