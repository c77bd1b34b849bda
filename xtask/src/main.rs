//! What developers of Beckon run: `cargo xtask tidy`, `torture`, `e2e`.

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
    /// Kills a server under load and checks that nothing acknowledged is lost or doubled
    Torture(torture::TortureArgs),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Tidy => run_tidy(),
        Command::Torture(args) => torture::run(&root(), &args),
    }
}

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
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
