//! Public EQL cases as golden tests, where they are there.
//!
//! They lie beside the project, not in it (their licence is another); without them the test says
//! so and ends. Each case becomes a rule on one visit that never ends: a source mapping with a
//! constant window key. A case that uses what does not run yet must be refused as `not-yet`, and
//! is counted; every other one must give the expected matches in the expected order. The reference
//! evaluator runs more of them, and is held against them first.

#[path = "../beside/mod.rs"]
mod beside;
mod cases;
mod expressions;
mod run;

use beside::beside;
use cases::{Case, Dataset};
use run::Runner;
use std::collections::BTreeMap;

/// Matches of one case that are compared: the source's own limit.
const SIZE_DEFAULT: usize = 50;
/// Suites of the dialect that the rule language is.
const SUITES: &[&str] = &["test_queries", "additional_test_queries", "test_queries_date"];

#[test]
fn the_engine_gives_what_public_cases_expect() {
    println!("{}", check(Runner::Engine, SUITES, 180));
}

/// Functions, arithmetic and null: each expression has the value that is expected of it.
#[test]
fn constant_expressions_have_the_values_that_public_cases_expect() {
    let Some(folder) = beside("conformance/eql") else { return };
    for (suite, passed_min) in [("functions", 90), ("folding", 192)] {
        let (passed, not_yet) = expressions::check(&folder, suite);
        assert!(passed >= passed_min, "only {passed} cases of {suite} ran");
        println!(
            "{suite}: {passed} passed, {} not yet:\n  {}",
            not_yet.len(),
            not_yet.join("\n  ")
        );
    }
}

/// Without the suite on dates: the reference compares values as JSON has them.
#[test]
fn the_reference_gives_what_public_cases_expect() {
    println!("{}", check(Runner::Reference, &SUITES[..2], 194));
}

#[test]
fn missing_data_is_passed_over_unless_it_is_required() {
    let here = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    assert_eq!(beside::there(here.clone(), true), Ok(here.clone()));
    let missing = here.join("no-such-data");
    let passed_over = beside::there(missing.clone(), false).expect_err("it is missing");
    assert!(passed_over.ends_with("no-such-data is not there"), "{passed_over}");
    let refused = std::panic::catch_unwind(|| beside::there(missing, true));
    let refused = *refused.expect_err("it is required").downcast::<String>().expect("a message");
    assert!(refused.ends_with("no-such-data is not there, and BECKON_REQUIRE_SHARED=1"));
}

/// Runs the cases of some suites; says how many passed and which do not run yet.
fn check(runner: Runner, suites: &[&str], passed_min: usize) -> String {
    let Some(folder) = beside("conformance/eql") else { return "skipped".to_owned() };
    let mut datasets: BTreeMap<String, Dataset> = BTreeMap::new();
    let (mut passed, mut not_yet, mut failed) = (0, Vec::new(), Vec::new());
    for case in cases::read(&folder).into_iter().filter(|case| suites.contains(&&*case.suite)) {
        let dataset = datasets
            .entry(case.dataset.clone())
            .or_insert_with(|| Dataset::read(&folder, &case.dataset));
        match judge(&case, dataset, runner) {
            Verdict::Passed => passed += 1,
            Verdict::NotYet(why) => not_yet.push(format!("{}: {why}", case.name)),
            Verdict::Failed(why) => failed.push(format!("{}/{}: {why}", case.suite, case.name)),
        }
    }
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
    assert!(passed >= passed_min, "only {passed} cases ran");
    let (count, list) = (not_yet.len(), not_yet.join("\n  "));
    format!("{runner:?}: {passed} passed, {count} not yet:\n  {list}")
}

enum Verdict {
    Passed,
    NotYet(String),
    Failed(String),
}

fn judge(case: &Case, dataset: &Dataset, runner: Runner) -> Verdict {
    let rules = match run::compile(case, dataset, runner) {
        Ok(rules) => rules,
        Err(run::Refused::NotYet(what)) => return Verdict::NotYet(what),
        Err(run::Refused::Wrong(what)) => {
            return Verdict::Failed(format!("{}\n    {what}", case.query));
        }
    };
    let mut found = runner.matches(&rules, (case, dataset));
    found.truncate(case.size.unwrap_or(SIZE_DEFAULT));
    if case.accepts(&found) {
        Verdict::Passed
    } else {
        Verdict::Failed(format!(
            "{}\n    expected {:?}\n    found    {found:?}",
            case.query, case.expected
        ))
    }
}
