//! The HTTP doors of Beckon: events in, administration.

pub mod normalise;
pub mod source;
pub mod tokens;
