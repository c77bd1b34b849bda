//! Rules as their authors write them, compiled: what the plan and the matcher do together.

use crate::matcher::MatcherConfig;
use crate::matcher::testing::{Run, Sample, compiled, list, text};
use crate::model::Value;

fn run(query: &str, more: &str) -> Run {
    let config = MatcherConfig { makes_visit_started: false, ..MatcherConfig::default() };
    Run::new(&compiled(query, more), config)
}

fn check(query: &str, events: &[Sample], expected: &[&str]) {
    let mut run = run(query, "fire = \"every\"");
    for event in events {
        run.event(event);
    }
    assert_eq!(run.matches(), expected, "{query}");
}

fn add(timestamp: i64, sku: &str, price: i64) -> Sample {
    let data = crate::matcher::testing::map(&[("sku", text(sku)), ("price", Value::Int(price))]);
    Sample::new("AddToCart", timestamp).with("data", data)
}

#[test]
fn conditions_are_tried_behind_the_equalities() {
    let events = [add(0, "a", 99), add(1, "a", 100), add(2, "b", 100)];
    check("AddToCart where data.sku == \"a\" and data.price >= 100", &events, &["r: 2"]);
    check("any where data.price < 100 or data.sku like \"b*\"", &events, &["r: 1", "r: 3"]);
    check("any where not data.sku == \"a\"", &events, &["r: 3"]);
}

/// It is no hit, and the partial match stays for a later event.
#[test]
fn a_condition_across_steps_that_fails_leaves_the_partial_match() {
    let query = "sequence [ AddToCart where true ] as cart \
                 [ Checkout where data.total > cart.data.price and data.sku == cart.data.sku ]";
    let checkout = |timestamp, sku: &str, total| {
        let data =
            crate::matcher::testing::map(&[("sku", text(sku)), ("total", Value::Int(total))]);
        Sample::new("Checkout", timestamp).with("data", data)
    };
    let events = [
        add(0, "a", 10),
        checkout(1, "a", 10),
        checkout(2, "b", 11),
        checkout(3, "a", 11),
        checkout(4, "a", 11),
    ];
    check(query, &events, &["r: 1 4"]);
}

#[test]
fn a_name_behind_runs_is_the_last_event() {
    let query = "sequence [ AddToCart where true ] with runs=2 as cart \
                 [ AddToCart where data.price == cart.data.price + 1 ]";
    check(query, &[add(0, "a", 1), add(1, "a", 5), add(2, "a", 2), add(3, "a", 3)], &["r: 2 3 4"]);
}

#[test]
fn stamped_and_header_fields_are_read_of_each_event() {
    let query = "sequence [ any where userID == null ] as before \
                 [ SignIn where userID == \"ada\" and timestamp == before.timestamp + 5 ]";
    let events = [
        Sample::new("A", 0),
        Sample::new("A", 1),
        Sample::new("SignIn", 6).data("userID", text("ada")),
    ];
    check(query, &events, &["r: 2 3"]);
}

#[test]
fn an_optional_key_may_be_absent() {
    let events = [
        Sample::new("A", 0),
        Sample::new("A", 1).data("k", text("x")),
        Sample::new("B", 2),
        Sample::new("B", 3).data("k", text("x")),
    ];
    check("sequence by data.k [ A where true ] [ B where true ]", &events, &["r: 2 4"]);
    check("sequence by ?data.k [ A where true ] [ B where true ]", &events, &["r: 1 3", "r: 2 4"]);
}

#[test]
fn several_values_satisfy_a_condition_if_any_does() {
    let event = Sample::new("PageEntered", 0).with("category", list(&[text("a"), text("b")]));
    let events = [event, Sample::new("PageEntered", 1)];
    check("PageEntered where category == \"b\"", &events, &["r: 1"]);
    check("PageEntered where category != \"b\"", &events, &["r: 1"]);
    check("PageEntered where not category == \"b\"", &events, &[]);
    check("PageEntered where category == null", &events, &["r: 2"]);
    check("PageEntered where category in (\"x\", \"b\")", &events, &["r: 1"]);
}

#[test]
fn an_action_is_rendered_from_the_rule_file() {
    let action = "[action]\ntype = \"invite\"\nchannel = \"chat\"\n\
                  data = { greeting = \"{{ cart.data.sku }} for {{ event.data.price }}\" }\n";
    let query = "sequence [ AddToCart where true ] as cart [ Checkout where true ]";
    let mut run = run(query, action);
    run.event(&add(0, "lamp", 1)).event(&Sample::new("Checkout", 1).data("price", Value::Int(7)));
    assert_eq!(run.facts()[0].data.as_deref(), Some(r#"{"greeting":"lamp for 7"}"#));
}
