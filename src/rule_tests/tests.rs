//! The examples' own tests, and how time is told.

use super::*;
use crate::rules_dir;
use beckon_ingest::source::Mapping;
use beckon_rules::compile::Limits;
use beckon_rules::render::Colors;
use beckon_rules::schema::Schema;
use std::path::{Path, PathBuf};

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(path)
}

fn check(directory: &str, schema: &Schema, engine: &TestEngine, tests_min: usize) {
    let directory = example(directory);
    let checked =
        rules_dir::check(&directory, schema, Limits::default()).expect("a folder of packages");
    assert!(checked.diagnostics.is_empty(), "{}", checked.render(Colors::Plain));
    let rules = checked.rules.as_ref().expect("rules without errors");
    let report = run(&checked.packages, rules, engine, "");
    assert_eq!(report.failures().count(), 0, "{}", text(&report, Colors::Plain));
    assert!(report.tests.len() >= tests_min, "{} tests", report.tests.len());
}

#[test]
fn the_rules_for_access_logs_do_what_they_say() {
    check("access-log/rules", &Schema::event(), &TestEngine::default(), 12);
}

#[test]
fn the_rules_for_the_shop_do_what_they_say() {
    let text = std::fs::read_to_string(example("shop/mapping.toml")).expect("a mapping");
    let mapping = Mapping::parse(&text).expect("a mapping");
    let matcher = MatcherConfig { makes_visit_started: false, ..MatcherConfig::default() };
    let engine = TestEngine { matcher, ..TestEngine::default() };
    check("shop/rules", &mapping.schema(), &engine, 7);
}

#[test]
fn the_templates_do_what_they_say() {
    check("templates/rules", &Schema::event(), &TestEngine::default(), 24);
}

#[test]
fn the_clock_starts_at_ten_where_the_rule_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let package = folder.path().join("com.example.tokyo");
    std::fs::create_dir(&package).expect("a folder");
    let rule = r#"
        name = "opens"
        query = "A where true"
        schedule = "Mo 10:00-10:01"
        timezone = "Asia/Tokyo"
        action = { type = "notify", channel = "desk" }
        [[test]]
        name = "ten on a Monday in Tokyo"
        events = [ { at = "0s", eventName = "A" } ]
        expect = [ { at = "0s", action = "notify" } ]
        [[test]]
        name = "a minute later it is closed"
        events = [ { at = "1m", eventName = "A" } ]
        expect = []
    "#;
    std::fs::write(package.join("opens.toml"), rule).expect("written");
    let checked = rules_dir::check(folder.path(), &Schema::event(), Limits::default())
        .expect("a folder of packages");
    let rules = checked.rules.as_ref().expect("rules without errors");
    let report = run(&checked.packages, rules, &TestEngine::default(), "");
    assert_eq!((report.tests.len(), report.failures().count()), (2, 0));
}

#[test]
fn times_are_told_in_the_units_of_rule_files() {
    let cases = [(0, "0s"), (1_500, "1500ms"), (90_000, "90s"), (90_000_000, "25h")];
    for (at_ms, expected) in cases {
        assert_eq!(moment::time(at_ms), expected);
    }
}
