//! `cargo xtask e2e`: what needs more than Rust. It fetches what is missing and says what it did.
//!
//! Four questions: do DuckDB and Spark count in the Parquet what Beckon says it wrote, does an idle
//! server rest, does an overloaded one refuse and stay small, and does a person who clicks in a real
//! browser see a rule fire?

mod demo;
mod idle;
mod readers;
mod tools;
mod web_driver;

use crate::torture::overload;
use std::path::Path;

/// Runs the end-to-end tests.
///
/// # Errors
/// When one fails, or what it needs cannot be had.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let binary = crate::build_beckon(root)?;
    let mut passed = 0;
    for (name, test) in [
        ("DuckDB and Spark count what Beckon wrote", readers::run as Test),
        ("an idle server rests", idle::run as Test),
        ("an overloaded server refuses, stays small and loses nothing", overload::run as Test),
        ("a click in a browser makes a rule fire", demo::run as Test),
    ] {
        crate::say(&format!("\ntest: {name}"));
        test(root, &binary)?;
        crate::say(&format!("ok: {name}"));
        passed += 1;
    }
    crate::say(&format!("\ne2e: {passed} passed, 0 failed"));
    Ok(())
}

type Test = fn(&Path, &Path) -> anyhow::Result<()>;
