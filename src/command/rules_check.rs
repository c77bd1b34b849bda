//! `beckon rules check`: everything that is wrong with the rules of a folder, drawn in its place,
//! and the rules' own tests.

use crate::config::{self, Config, ConfigArgs};
use crate::rule_tests::{self, TestEngine};
use crate::rules_dir::{self, CheckedRules};
use crate::{engine_config, output, replay};
use anyhow::Context;
use beckon_rules::diagnostic::Severity;
use beckon_rules::render::Colors;
use beckon_rules::schema::Schema;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Names under which a source mapping is looked for beside a folder of rules.
const MAPPING_FILES: [&str; 2] = ["mapping.toml", "source.toml"];

/// Which rules, and of what they speak.
#[derive(Debug, clap::Args)]
pub(crate) struct RulesArgs {
    #[command(flatten)]
    folder: RulesFolderArgs,
    /// The source mapping whose fields the rules name [default: Beckon's own event]
    #[arg(long, value_name = "MAPPING.toml")]
    source: Option<PathBuf>,
}

/// A folder of rules, named or that of the configuration.
#[derive(Debug, clap::Args)]
pub(crate) struct RulesFolderArgs {
    /// A folder of packages: DIR/com.example.shop/*.toml [default: the configuration's, `rules` of
    /// `[server]`]
    dir: Option<PathBuf>,
    /// Configuration of the server that will run them [default: beckon.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl RulesFolderArgs {
    /// The configuration, and the folder.
    ///
    /// # Errors
    /// When the configuration cannot be read, or neither it nor the command line names a folder.
    pub(crate) fn read(&self) -> anyhow::Result<(Config, PathBuf)> {
        let args = ConfigArgs { config: self.config.clone(), ..ConfigArgs::default() };
        let config = config::load(&args, std::env::vars())
            .context("the configuration says which limits and time zone rules have")?
            .config;
        let folder = self.dir.clone().or_else(|| config.server.rules.clone());
        let folder = folder.context(
            "no folder of rules: name one, or write `rules = \"DIR\"` under [server] of beckon.toml",
        )?;
        Ok((config, folder))
    }
}

/// Rules of a folder, and what they are tested with.
#[derive(Debug)]
pub(crate) struct ReadRules {
    pub(crate) folder: PathBuf,
    pub(crate) checked: CheckedRules,
    pub(crate) engine: TestEngine,
}

impl RulesArgs {
    /// The rules, checked, and the engine that their tests run on.
    ///
    /// # Errors
    /// When there is no folder, or it, the mapping or the configuration cannot be read.
    pub(crate) fn read(&self) -> anyhow::Result<ReadRules> {
        let (config, folder) = self.folder.read()?;
        let mapping = self.source.as_deref().map(replay::read_mapping).transpose()?;
        let schema = mapping.as_ref().map_or_else(Schema::event, |mapping| mapping.schema());
        let checked = rules_dir::check(&folder, &schema, engine_config::limits(&config))?;
        let matcher = engine_config::matcher_of_source(&config, mapping.as_deref())?;
        let engine = TestEngine { matcher, suppress: engine_config::suppress(&config) };
        Ok(ReadRules { folder, checked, engine })
    }

    /// What to try where rules are wrong: a mapping that lies beside them and was not named.
    pub(crate) fn advice(&self, folder: &Path) -> String {
        let beside = folder.parent().unwrap_or(folder);
        let mut files = MAPPING_FILES.iter().map(|name| beside.join(name));
        match files.find(|file| self.source.is_none() && replay::read_mapping(file).is_ok()) {
            Some(file) => format!(
                "; if the rules are about the events of {0}, say so: --source {0}",
                file.display()
            ),
            None => String::new(),
        }
    }
}

/// Arguments of `beckon rules check`.
#[derive(Debug, clap::Args)]
pub(crate) struct RulesCheckArgs {
    #[command(flatten)]
    rules: RulesArgs,
    /// Warnings fail the check too
    #[arg(long)]
    deny_warnings: bool,
}

/// Whether what is printed has colours.
pub(crate) fn colors() -> Colors {
    if std::io::stdout().is_terminal() { Colors::Ansi } else { Colors::Plain }
}

/// Runs the command.
///
/// # Errors
/// When the folder cannot be read, or a rule is wrong.
pub(crate) fn run(args: &RulesCheckArgs) -> anyhow::Result<()> {
    let ReadRules { folder, checked, engine } = args.rules.read()?;
    if !checked.diagnostics.is_empty() {
        output::line(&checked.render(colors()))?;
    }
    let (errors, warnings) = (checked.count(Severity::Error), checked.count(Severity::Warning));
    let refused = errors > 0 || (args.deny_warnings && warnings > 0);
    anyhow::ensure!(!refused, "{}{}", checked.summary(), args.rules.advice(&folder));
    let rules = checked.rules.as_ref().context("rules without errors run")?;
    let report = rule_tests::run(&checked.packages, rules, &engine, "");
    for failed in report.failures() {
        output::line(&rule_tests::failure(failed, colors()))?;
    }
    let (tests, failed) = (report.tests.len(), report.failures().count());
    anyhow::ensure!(failed == 0, "{failed} of {tests} tests of rules failed");
    let count = rules.rules.len();
    let are = if count == 1 { "is" } else { "are" };
    let rules = output::count(count, "rule");
    let tests = match tests {
        0 => "no tests".to_owned(),
        1 => "1 test passes".to_owned(),
        many => format!("{many} tests pass"),
    };
    let warnings = output::count(warnings, "warning");
    output::line(&format!("{rules} {are} good, {warnings}, {tests}"))
}
