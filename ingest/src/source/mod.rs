//! Sources of replay: access logs, NDJSON and CSV, from files and standard input, as events.
//!
//! [`SourceReader`] opens inputs, unpacks them, finds out what they are, and gives events with
//! their place; [`Sorter`] puts events in the order of replay. Beckon's own events go through the
//! same normaliser as on the wire; anybody else's JSON or CSV is described by a [`Mapping`]; access
//! logs have a mapping of their own (`access_event.rs`).
//!
//! Events of a replay carry their own timestamp as `serverTimestamp`: there is no server that
//! received them, and the same input gives the same events.

mod access_event;
mod access_log;
mod csv;
mod format;
mod id_name;
mod input;
mod json;
mod mapping;
mod reader;
mod record;
mod report;
mod sort;
mod time;
mod wire;

pub use format::Format;
pub use input::{Input, PEEK_BYTES_MAX};
pub use json::{TooDeep, value_of};
pub use mapping::{Mapping, MappingError, RecordFormat};
pub use reader::{LINE_BYTES_MAX, SourceConfig, SourceError, SourceReader};
pub use report::{BAD_LINES_SHOWN_MAX, BadLine, Dropped, SourceReport};
pub use sort::{SortConfig, Sorted, Sorter};

/// The site of events of a source that names none.
pub const SITE_DEFAULT: &str = "default";

/// Where an event stood: the number of its input (the first has 1) and of its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which input.
    pub input: u32,
    /// Which line, from 1; the last one of a record of several lines.
    pub line: u64,
}
