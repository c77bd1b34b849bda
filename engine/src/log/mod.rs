//! The durable log.

mod api;

pub use api::{
    Acknowledge, Appended, CommitMark, Group, Log, LogError, LogReader, LogStats, LoggedRecord,
    NewRecord, RecordBody, Refused,
};
