//! `beckon rules check`: everything that is wrong with the rules of a folder, drawn in its place.

use crate::output;
use crate::rules_dir;
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
    let schema = match &args.source {
        Some(file) => crate::replay::read_mapping(file)?.schema(),
        None => Schema::event(),
    };
    let checked = rules_dir::check(&args.dir, &schema)?;
    let colors = if std::io::stdout().is_terminal() { Colors::Ansi } else { Colors::Plain };
    if !checked.diagnostics.is_empty() {
        output::line(&checked.render(colors))?;
    }
    let (errors, warnings) = (checked.count(Severity::Error), checked.count(Severity::Warning));
    let refused = errors > 0 || (args.deny_warnings && warnings > 0);
    anyhow::ensure!(!refused, "{errors} errors, {warnings} warnings");
    let rules = checked.rules.map_or(0, |rules| rules.rules.len());
    output::line(&format!("{rules} rules are good, {warnings} warnings"))
}
