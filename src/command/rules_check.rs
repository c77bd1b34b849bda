//! `beckon rules check`: everything that is wrong with the rules of a folder, drawn in its place,
//! and the rules' own tests.

use crate::{output, replay, rule_tests, rules_dir};
use anyhow::Context;
use beckon_rules::diagnostic::Severity;
use beckon_rules::render::Colors;
use beckon_rules::schema::Schema;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Arguments of `beckon rules check`.
#[derive(Debug, clap::Args)]
pub(crate) struct RulesCheckArgs {
    /// A folder of packages: DIR/com.example.shop/*.toml
    dir: PathBuf,
    /// The source mapping whose fields the rules name [default: Beckon's own event]
    #[arg(long)]
    source: Option<PathBuf>,
    /// Warnings fail the check too
    #[arg(long)]
    deny_warnings: bool,
}

/// Runs the command.
///
/// # Errors
/// When the folder cannot be read, or a rule is wrong.
pub(crate) fn run(args: &RulesCheckArgs) -> anyhow::Result<()> {
    let mapping = args.source.as_deref().map(replay::read_mapping).transpose()?;
    let schema = mapping.as_ref().map_or_else(Schema::event, |mapping| mapping.schema());
    let checked = rules_dir::check(&args.dir, &schema)?;
    let colors = if std::io::stdout().is_terminal() { Colors::Ansi } else { Colors::Plain };
    if !checked.diagnostics.is_empty() {
        output::line(&checked.render(colors))?;
    }
    let (errors, warnings) = (checked.count(Severity::Error), checked.count(Severity::Warning));
    let refused = errors > 0 || (args.deny_warnings && warnings > 0);
    anyhow::ensure!(!refused, "{errors} errors, {warnings} warnings");
    let rules = checked.rules.as_ref().context("rules without errors run")?;
    let config = replay::matcher_config(mapping.as_deref())?;
    let report = rule_tests::run(&checked.packages, rules, config)?;
    for failure in &report.failures {
        output::line(failure)?;
    }
    let (tests, failed) = (report.tests, report.failures.len());
    anyhow::ensure!(failed == 0, "{failed} of {tests} tests of rules failed");
    let count = rules.rules.len();
    output::line(&format!("{count} rules are good, {warnings} warnings, {tests} tests pass"))
}
