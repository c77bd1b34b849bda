//! Beckon's engine: event model, log, matcher, reference evaluator, dataflow, snapshots,
//! outbox.
//!
//! Knows no HTTP and no sink. `dataflow` is the only place that names timely or differential.

pub mod catalog;
pub mod clock;
pub mod dataflow;
pub mod disk;
pub mod live;
pub mod log;
pub mod matcher;
pub mod model;
pub mod outbox;
pub mod pipeline;
pub mod reference;
pub mod snapshot;
pub mod stage;
pub mod suppress;
#[cfg(test)]
mod testing;

/// The target of spans that traces are made of; log lines pass over them.
pub const SPANS: &str = "beckon_spans";
