//! Golden trees, messages, the public suite, and random input.

mod golden;
mod messages;
mod print;
mod random;
mod suite;
