//! The reference evaluator: what the rules mean, written as plainly as possible.
//!
//! It walks the syntax tree over owned events, keeps everything, and knows no index, no compact
//! state, no partition and no worker. The matcher is held against it in property tests; explain
//! stands on it. It shares with the matcher only the event model, the functions of the rule
//! language, and how ids are hashed.

mod expression;
mod sequence;
mod visits;

pub use visits::{Recorded, Reference, ReferenceConfig, ReferenceMatch, ReferenceOutput};
