//! What section 3 and 6 of the rule language say, sentence by sentence, on logs small enough to be
//! worked out by hand.

mod log;
mod progress;
mod properties;
mod samples;
mod sequences;
mod time;
mod windows;

use crate::reference::{Reference, ReferenceOutput};
use beckon_rules::compile::{PackageSources, SourceFile, compile};
use beckon_rules::plan::RuleSet;
use beckon_rules::schema::Schema;

/// The plan of one rule; `keys` are further lines of its file.
fn rule(query: &str, keys: &str) -> RuleSet {
    let text = format!("name = \"r\"\nquery = '''{query}'''\n{keys}\n[action]\ntype = \"none\"\n");
    let package = PackageSources {
        name: "com.example.shop".to_owned(),
        package_file: None,
        rules: vec![SourceFile { file: "r.toml".to_owned(), text }],
        is_operator: true,
        site: None,
    };
    let (rules, diagnostics) = compile(&[package], &Schema::event());
    rules.unwrap_or_else(|| panic!("{query}: {diagnostics:?}"))
}

/// What a log ([`log::epochs`]) means under a rule.
fn output(rules: &RuleSet, log: &str) -> ReferenceOutput {
    let mut reference = Reference::new(log::config());
    for epoch in log::epochs(log) {
        reference.epoch(&epoch);
    }
    reference.finish(rules)
}

/// The asserted matches as places of events in the log from 1, `*` for a made-up one; window by
/// window, in the order in which they were decided.
fn matches(rules: &RuleSet, log: &str) -> Vec<String> {
    let mut reference = Reference::new(log::config());
    for epoch in log::epochs(log) {
        reference.epoch(&epoch);
    }
    let matches = reference.matches_in_order(rules);
    matches.iter().map(|one| log::places(&one.events)).collect()
}

/// Checks a rule that fires for every match.
fn check(query: &str, log: &str, expected: &[&str]) {
    check_rule(query, "fire = \"every\"", log, expected);
}

fn check_rule(query: &str, keys: &str, log: &str, expected: &[&str]) {
    assert_eq!(matches(&rule(query, keys), log), expected, "{query} on {log}");
}

/// Checks a rule that fires once, its log without an end.
fn check_once(query: &str, log: &str, expected: &[&str]) {
    check_rule(query, "fire = \"once\"", log, expected);
}
