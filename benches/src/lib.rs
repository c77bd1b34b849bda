//! What the benches share.

pub mod cpu;
pub mod deployments;
pub mod visitors;
