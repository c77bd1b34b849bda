//! (seed)
fn main() {}
