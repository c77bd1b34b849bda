//! The rule language of Beckon: EQL for streams, from text to a checked, executable plan.
//!
//! Pure: no I/O, no clock, no async, no timely. A rule file's text goes in, diagnostics and a plan
//! come out; the plan's programs read an event through [`program::Fields`].
//!
//! **Invariant:** what reaches [`plan`] was checked; a plan cannot fail when it runs.

pub mod ast;
#[cfg(test)]
#[path = "../../tests/beside/mod.rs"]
mod beside;
pub mod canonical;
mod check;
pub mod compile;
pub mod diagnostic;
mod functions;
pub mod package;
pub mod plan;
pub mod program;
pub mod render;
pub mod schedule;
pub mod schema;
pub mod suggest;
pub mod syntax;
pub mod template;
