//! Where Beckon's results go.
//!
//! A sink reads the outbox behind its own durable cursor, off the hot path: it may be down for an
//! hour, and nothing is lost and nothing grows in memory. A sink knows the engine's rows and
//! nothing of ingest.

mod answer;
pub mod notification;
mod object;
pub mod parquet;
mod schemas;
pub mod webhook;

pub use answer::RefusalCode;
pub use schemas::Schemas;
