//! Runs the `[[test]]` tables of rules: each on a fresh engine of its own, with no other rule.
//!
//! All events of a test are of one visit unless they say `visitID`. The clock starts on a Monday,
//! 10:00 in the rule's time zone, or at `start`, and is nobody's: a test of a day takes no longer than
//! one of a second. Lateness, limits and the time zone of rules that name none are those of the
//! configuration.

mod clock;
mod event;
mod json;
mod moment;
mod picture;
#[cfg(test)]
mod tests;

pub(crate) use json::json;
pub(crate) use picture::{failure, text};

use beckon_engine::matcher::MatcherConfig;
use beckon_engine::model::SuppressReason;
use beckon_engine::suppress::SuppressConfig;
use beckon_rules::compile::PackageSources;
use beckon_rules::package::{RuleTest, parse_rule_file};
use beckon_rules::plan::{RulePlan, RuleSet};
use moment::event_text;
use std::sync::Arc;

/// The engine that tests run on.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestEngine {
    /// What a visit is, how late an event may be, and how much is remembered.
    pub(crate) matcher: MatcherConfig,
    /// Which matches act; by which clock and for which visitors, a test says.
    pub(crate) suppress: SuppressConfig,
}

/// What came of all tests.
#[derive(Debug, Default)]
pub(crate) struct TestReport {
    /// Tests that ran, in the order of the files.
    pub(crate) tests: Vec<TestResult>,
    /// Tests that the filter left out.
    pub(crate) filtered_out: usize,
    /// Rules without a test.
    pub(crate) rules_untested: usize,
}

impl TestReport {
    /// The tests that failed.
    pub(crate) fn failures(&self) -> impl Iterator<Item = &TestResult> {
        self.tests.iter().filter(|test| !test.has_passed())
    }
}

/// What came of one test.
#[derive(Debug)]
pub(crate) struct TestResult {
    /// `PACKAGE/RULE: NAME`, in which a filter is looked for.
    pub(crate) title: String,
    package: String,
    rule: String,
    name: String,
    file: String,
    line: usize,
    /// When, and what of it is shown.
    events: Vec<(i64, String)>,
    /// What must act, and nothing else.
    expected: Vec<(i64, Box<str>)>,
    /// What was done, or why the test could not run.
    outcome: Result<Vec<Acted>, String>,
}

impl TestResult {
    /// Whether what acted is what was expected.
    pub(crate) fn has_passed(&self) -> bool {
        self.outcome.is_ok() && self.acted() == self.expected
    }

    /// What acted.
    fn acted(&self) -> Vec<(i64, Box<str>)> {
        let found = self.outcome.as_deref().unwrap_or_default().iter();
        let acts = found.filter(|acted| acted.suppressed.is_none());
        acts.map(|acted| (acted.at_ms, acted.action.clone())).collect()
    }
}

/// A match, and what was done about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Acted {
    /// When it was decided: milliseconds after the start.
    at_ms: i64,
    /// The kind of the action.
    action: Box<str>,
    /// `None` acted; otherwise why not.
    suppressed: Option<SuppressReason>,
}

/// Runs the tests of all rules whose titles contain `filter`.
pub(crate) fn run(
    packages: &[PackageSources],
    rules: &RuleSet,
    engine: &TestEngine,
    filter: &str,
) -> TestReport {
    let mut report = TestReport::default();
    for package in packages {
        for source in &package.rules {
            let (Some(file), _) = parse_rule_file(&source.file, &source.text) else { continue };
            let named = |plan: &&Arc<RulePlan>| {
                *plan.package == *package.name && *plan.name == *file.name.node
            };
            let Some(plan) = rules.rules.iter().find(named) else { continue };
            report.rules_untested += usize::from(file.tests.is_empty());
            for test in &file.tests {
                let title = format!("{}/{}: {}", plan.package, plan.name, test.name.node);
                if !title.contains(filter) {
                    report.filtered_out += 1;
                    continue;
                }
                let outcome = clock::run((plan, rules), test, engine);
                let outcome = outcome.map_err(|error| format!("{error:#}"));
                let line = line(&source.text, test.name.span.start as usize);
                let (package, rule) = (plan.package.to_string(), plan.name.to_string());
                let (name, file) = (test.name.node.to_string(), source.file.clone());
                let (events, expected) = (events(test), expected(test));
                let result = TestResult {
                    title,
                    package,
                    rule,
                    name,
                    file,
                    line,
                    events,
                    expected,
                    outcome,
                };
                report.tests.push(result);
            }
        }
    }
    report
}

/// The line of a byte, from 1.
pub(crate) fn line(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|byte| *byte == b'\n').count() + 1
}

fn events(test: &RuleTest) -> Vec<(i64, String)> {
    let mut events: Vec<_> =
        test.events.iter().map(|event| (event.at_ms, event_text(&event.fields))).collect();
    events.sort_by_key(|(at_ms, _)| *at_ms);
    events
}

fn expected(test: &RuleTest) -> Vec<(i64, Box<str>)> {
    let expect = test.expect.iter().map(|one| (one.at_ms, one.action.as_str().into()));
    let mut expected: Vec<_> = expect.collect();
    expected.sort();
    expected
}
