//! `beckon rules test`: runs the tests that rules carry, and shows of each that failed what
//! happened and when.

use crate::command::rules_check::{ReadRules, RulesArgs, colors};
use crate::{output, rule_tests};
use clap::ValueEnum;

/// Arguments of `beckon rules test`.
#[derive(Debug, clap::Args)]
pub(crate) struct RulesTestArgs {
    #[command(flatten)]
    rules: RulesArgs,
    /// Only tests with this in `PACKAGE/RULE: NAME`
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    filter: String,
    /// How the results are printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: TestFormat,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TestFormat {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Runs the command.
///
/// # Errors
/// When the folder cannot be read, a rule is wrong, a test fails, or there is none.
pub(crate) fn run(args: &RulesTestArgs) -> anyhow::Result<()> {
    let ReadRules { folder, checked, engine } = args.rules.read()?;
    let rules = checked.rules.as_ref();
    let run = |rules| rule_tests::run(&checked.packages, rules, &engine, &args.filter);
    let report = rules.map(run);
    match args.format {
        TestFormat::Json => output::line(&rule_tests::json(&checked, report.as_ref())?)?,
        TestFormat::Text => {
            if !checked.diagnostics.is_empty() {
                output::line(&checked.render(colors()))?;
            }
            if let Some(report) = report.as_ref().filter(|report| !report.tests.is_empty()) {
                output::line(&rule_tests::text(report, colors()))?;
            }
        }
    }
    let Some(report) = report else {
        anyhow::bail!("{}{}", checked.summary(), args.rules.advice(&folder))
    };
    let (tests, failed) = (report.tests.len(), report.failures().count());
    let (dir, filter) = (folder.display(), &args.filter);
    anyhow::ensure!(
        tests + report.filtered_out > 0,
        "no tests found: no rule in {dir} has a [[test]] table"
    );
    anyhow::ensure!(
        tests > 0,
        "no tests found: none of {} has \"{filter}\" in its title",
        report.filtered_out
    );
    anyhow::ensure!(failed == 0, "{failed} of {tests} tests of rules failed");
    Ok(())
}
