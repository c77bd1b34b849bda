//! What developers of Beckon run: `cargo xtask tidy`, `torture`, `e2e`, `listeners`.

#[path = "../../tests/beside/mod.rs"]
mod beside;
mod deny;
mod e2e;
mod listeners;
mod status;
mod tidy;
mod torture;

use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};

#[derive(Debug, Parser)]
#[command(name = "xtask", about = "What developers of Beckon run")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Checks sizes, heads, directions of dependencies and words that clippy cannot see
    Tidy,
    /// Checks licences, bans and sources of the dependencies
    Deny,
    /// Runs the tests that need more than Rust: DuckDB, Spark, a browser
    E2e(e2e::E2eArgs),
    /// Kills a server under load and checks that nothing acknowledged is lost or doubled
    Torture(torture::TortureArgs),
    /// Measures what idle listeners to messages cost
    Listeners(listeners::ListenersArgs),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Tidy => run_tidy(),
        Command::Deny => deny::run(&root()),
        Command::E2e(args) => e2e::run(&root(), &args),
        Command::Torture(args) => torture::run(&root(), &args),
        Command::Listeners(args) => listeners::run(&root(), &args),
    }
}

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Builds the server and says where it lies.
fn build_beckon(root: &Path) -> anyhow::Result<PathBuf> {
    let status = std::process::Command::new(env!("CARGO"))
        .args(["build", "--bin", "beckon"])
        .current_dir(root)
        .status()?;
    anyhow::ensure!(status.success(), "the build failed");
    let target = std::env::var_os("CARGO_TARGET_DIR");
    Ok(target.map_or_else(|| root.join("target"), PathBuf::from).join("debug/beckon"))
}

/// An address that nobody listens on.
fn free_address() -> anyhow::Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// Prints a line.
#[expect(clippy::print_stdout, reason = "the one place that prints")]
fn say(text: &str) {
    println!("{text}");
}

fn run_tidy() -> anyhow::Result<()> {
    let findings = tidy::check(&root())?;
    for finding in &findings {
        say(&finding.to_string());
    }
    anyhow::ensure!(findings.is_empty(), "{} findings", findings.len());
    say("tidy");
    Ok(())
}
