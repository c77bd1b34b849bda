//! Golden trees, messages, the public suite, and random input.

mod golden;
mod messages;
mod random;
mod suite;
