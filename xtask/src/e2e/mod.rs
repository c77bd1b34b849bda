//! `cargo xtask e2e`: what needs more than Rust. It fetches what is missing and says what it did.
//!
//! Seven questions: do DuckDB and Spark count in the Parquet what Beckon says it wrote, do the example
//! readers print what the pages show, does an idle server rest, does an overloaded one refuse and stay
//! small, does the library of Standard Webhooks take our calls, does the server answer as `/openapi.json` says,
//! and is a person who clicks in a real browser invited, soon and once?

mod demo;
mod examples;
mod idle;
mod openapi;
mod readers;
pub(crate) mod tools;
mod webhook;

use crate::torture::overload;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Python packages, pinned.
const PYTHON_PACKAGES: &[&str] = &["duckdb==2.0.1", "pyspark==4.3.0", "standardwebhooks==1.1.0"];

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct E2eArgs {
    /// Run only tests whose name contains this
    #[arg(long)]
    filter: Option<String>,
}

/// Runs the end-to-end tests.
///
/// # Errors
/// When one fails, what it needs cannot be had, or none is found.
pub(crate) fn run(root: &Path, args: &E2eArgs) -> anyhow::Result<()> {
    let binary = crate::build_beckon(root)?;
    let mut passed = 0;
    for (name, test) in [
        ("DuckDB and Spark count what Beckon wrote", readers::run as Test),
        ("the example readers print what the pages show", examples::run as Test),
        ("an idle server rests", idle::run as Test),
        ("an overloaded server refuses, stays small and loses nothing", overload::run as Test),
        ("Standard Webhooks' library takes a webhook", webhook::run as Test),
        ("openapi: the server answers as it says", openapi::run as Test),
        ("a visitor in a browser is invited, soon and once", demo::run as Test),
    ] {
        if args.filter.as_ref().is_some_and(|text| !name.contains(text)) {
            continue;
        }
        crate::say(&format!("\ntest: {name}"));
        test(root, &binary)?;
        crate::say(&format!("ok: {name}"));
        passed += 1;
    }
    anyhow::ensure!(passed > 0, "no test has such a name");
    crate::say(&format!("\ne2e: {passed} passed, 0 failed"));
    Ok(())
}

/// A process that is ended when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts a server that nobody hears, over the configuration and the rules that lie in a folder.
fn serve(binary: &Path, folder: &Path, address: &str) -> anyhow::Result<Running> {
    let server = Command::new(binary)
        .args(["serve", "--listen", address, "--data", "data", "--rules", "rules"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Running(server))
}

type Test = fn(&Path, &Path) -> anyhow::Result<()>;

/// A Python with what reads Parquet.
fn python(root: &Path) -> anyhow::Result<PathBuf> {
    let programs = tools::python(&root.join("target/e2e-python"), PYTHON_PACKAGES)?;
    Ok(programs.join("python"))
}
