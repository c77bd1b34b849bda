//! Sequences: which events make a match, as EQL's suite and engine settle it.

use crate::matcher::MatcherConfig;
use crate::matcher::testing::{Rule, Run, Sample, list, rule, rule_set, step, text};
use crate::model::Value;
use crate::stage::Stage;
use beckon_rules::ast::Literal;
use beckon_rules::plan::Fire;

fn config() -> MatcherConfig {
    MatcherConfig { makes_visit_started: false, ..MatcherConfig::default() }
}

/// The matches of one rule over a text of one-letter events, each a second after the one before.
fn check(rule: Rule, events: &str, expected: &[&str]) {
    let mut run = Run::new(&rule_set(vec![rule]), config());
    for (at, name) in (0..).zip(events.chars()) {
        run.event(&Sample::new(&name.to_string(), at * 1_000));
    }
    assert_eq!(run.matches(), expected, "{events}");
}

fn letters(name: &'static str, steps: &[&'static str]) -> Rule {
    let steps: Vec<_> = steps.iter().map(|name| step(name)).collect();
    rule(name, &steps)
}

fn once(rule: Rule) -> Rule {
    Rule { fire: Fire::Once, ..rule }
}

#[test]
fn a_hit_takes_the_newest_partial_match_and_leaves_none() {
    check(letters("r", &["A", "B"]), "AABB", &["r: 2 3"]);
    check(letters("r", &["A", "B"]), "ABAB", &["r: 1 2", "r: 3 4"]);
    check(letters("r", &["A", "B", "C"]), "ABABC", &["r: 3 4 5"]);
    check(letters("r", &["A", "B", "C"]), "AABBCC", &["r: 2 3 5"]);
    check(letters("r", &["A", "B"]), "BxA", &[]);
}

#[test]
fn an_event_never_fills_two_steps_of_one_match() {
    check(letters("r", &["A", "A"]), "A", &[]);
    check(letters("r", &["any", "any"]), "xyz", &["r: 1 2", "r: 2 3"]);
}

#[test]
fn equal_steps_slide_and_fire_on_every_further_event() {
    check(letters("r", &["A", "A", "A"]), "AAxAAA", &["r: 1 2 4", "r: 2 4 5", "r: 4 5 6"]);
}

#[test]
fn once_fires_once_for_each_instance() {
    check(once(letters("r", &["A", "B"])), "ABAB", &["r: 1 2"]);
    let rules = rule_set(vec![once(letters("r", &["A"]))]);
    let mut run = Run::new(&rules, config());
    run.event(&Sample::new("A", 0)).event(&Sample::new("A", 1));
    run.event(&Sample::new("VisitEnded", 2)).event(&Sample::new("A", 3));
    assert_eq!(run.matches(), ["r: 1", "r: 4"]);
}

#[test]
fn maxspan_counts_from_the_first_event_inclusive() {
    let within = |maxspan_ms, steps: &[&'static str]| Rule {
        maxspan_ms: Some(maxspan_ms),
        ..letters("r", steps)
    };
    check(within(2_000, &["A", "B"]), "AxB", &["r: 1 3"]);
    check(within(1_999, &["A", "B"]), "AxB", &[]);
    check(within(2_000, &["A", "B", "C"]), "ABxC", &[]);
    check(within(1_000, &["A", "B"]), "AxBB", &[]);
}

/// A partial match that fails maxspan is gone, and what waited at the next step stays.
#[test]
fn one_that_is_too_old_is_consumed() {
    let rule = Rule { maxspan_ms: Some(3_000), ..letters("r", &["A", "B", "C"]) };
    check(rule, "ABxxxC", &[]);
    let rule = Rule { maxspan_ms: Some(1_500), ..letters("r", &["A", "B", "C"]) };
    check(rule, "AxBABC", &[]);
    let rule = Rule { maxspan_ms: Some(2_000), ..letters("r", &["A", "B", "C"]) };
    check(rule, "AxxBABC", &["r: 5 6 7"]);
}

#[test]
fn keys_join_by_value_across_fields() {
    let steps = [step("A").by("data.sku"), step("B").by("data.item")];
    let mut run = Run::new(&rule_set(vec![rule("r", &steps)]), config());
    run.event(&Sample::new("A", 0).data("sku", Value::Int(1)));
    run.event(&Sample::new("A", 1).data("sku", Value::Int(2)));
    run.event(&Sample::new("A", 2));
    run.event(&Sample::new("B", 3).data("item", Value::Float(1.0)));
    run.event(&Sample::new("B", 4).data("item", text("2")));
    run.event(&Sample::new("B", 5));
    assert_eq!(run.matches(), ["r: 1 4"]);
}

#[test]
fn a_key_of_several_values_matches_for_each_common_one() {
    let steps = [step("A").by("category"), step("B").by("category")];
    let several = |name, timestamp, values: &[&str]| {
        let values: Vec<Value> = values.iter().map(|value| text(value)).collect();
        Sample::new(name, timestamp).with("category", list(&values))
    };
    let mut run = Run::new(&rule_set(vec![rule("r", &steps)]), config());
    run.event(&several("A", 0, &["a", "b", "c"]));
    run.event(&several("A", 1, &["b"]));
    run.event(&several("B", 2, &["c", "d", "b", "c"]));
    assert_eq!(run.matches(), ["r: 1 3", "r: 2 3"]);
}

#[test]
fn partial_matches_of_a_rule_are_bounded() {
    let steps = [step("A").by("data.sku"), step("B").by("data.sku")];
    let config = MatcherConfig { rule_partials_max: 3, ..config() };
    let mut run = Run::new(&rule_set(vec![rule("r", &steps)]), config);
    for sku in 0..5 {
        run.event(&Sample::new("A", sku).data("sku", Value::Int(sku)));
    }
    for sku in 0..5 {
        run.event(&Sample::new("B", 10).data("sku", Value::Int(sku)));
    }
    assert_eq!(run.matches(), ["r: 3 8", "r: 4 9", "r: 5 10"]);
    assert_eq!(run.matcher.stats().partials_dropped, 2);
}

/// Combinations of join keys over the bound are passed over and counted, in the order of the values.
#[test]
fn join_keys_of_an_event_are_bounded() {
    let steps = [step("A").by("category"), step("B").by("category")];
    let config = MatcherConfig { key_combinations_max: 2, ..config() };
    let mut run = Run::new(&rule_set(vec![rule("r", &steps)]), config);
    run.event(&Sample::new("A", 0).with("category", list(&["a", "b", "c"].map(text))));
    assert_eq!(run.matcher.stats().partials_dropped, 1);
    for (at, value) in (1..).zip(["a", "b", "c"]) {
        run.event(&Sample::new("B", at).with("category", text(value)));
    }
    assert_eq!(run.matches(), ["r: 1 2", "r: 1 3"]);
}

#[test]
fn an_event_that_completes_several_keys_fires_once_where_once_is_asked() {
    let steps = [step("A").by("category"), step("B").by("category")];
    let mut run = Run::new(&rule_set(vec![once(rule("r", &steps))]), config());
    for name in ["A", "B"] {
        run.event(&Sample::new(name, 0).with("category", list(&["a", "b"].map(text))));
    }
    assert_eq!(run.matches(), ["r: 1 2"]);
    assert_eq!(run.matcher.stats().matches, 1);
}

#[test]
fn equalities_select_and_several_values_are_tried_once() {
    let is = |text: &str| Literal::Str(text.into());
    let rules = vec![
        rule("pricing", &[step("P").equals("category", is("pricing"))]),
        rule("both", &[step("P").equals("category", is("pricing")).equals("url.path", is("/a"))]),
        rule("number", &[step("P").equals("data.n", Literal::Float(3.0))]),
        rule("any", &[step("any").equals("category", is("sale"))]),
    ];
    let mut run = Run::new(&rule_set(rules), config());
    let category = |values: &[&str]| {
        let values: Vec<Value> = values.iter().map(|value| text(value)).collect();
        Sample::new("P", 0).with("category", list(&values))
    };
    run.event(&category(&["pricing", "pricing"]));
    run.event(&category(&["sale", "pricing"]).with("url.path", text("/a")));
    run.event(&category(&["Pricing"]).with("url.path", text("/a")).data("n", Value::Int(3)));
    run.event(&Sample::new("Q", 0).with("category", text("sale")));
    let mut matches = run.matches();
    matches.sort();
    assert_eq!(matches, ["any: 2", "any: 4", "both: 2", "number: 3", "pricing: 1", "pricing: 2"]);
}
