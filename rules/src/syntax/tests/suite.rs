//! The public EQL suite and a sample of public rules, where they lie beside the project.

use crate::syntax::{parse, parse_expression};
use serde_json::Value;

/// The objects of a file of the suite; none where the suite is not there.
fn lines(name: &str) -> Vec<Value> {
    let Some(file) = crate::beside::beside(&format!("conformance/eql/{name}")) else {
        return Vec::new();
    };
    let text = std::fs::read_to_string(file).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn text<'a>(case: &'a Value, key: &str) -> Option<&'a str> {
    case.get(key).and_then(Value::as_str)
}

#[test]
fn queries_of_the_suite_parse() {
    let mut failures = Vec::new();
    for case in lines("cases.jsonl") {
        let (Some("elastic"), Some(query)) = (text(&case, "dialect"), text(&case, "query")) else {
            continue;
        };
        if let Err(errors) = parse(query) {
            failures
                .push(format!("{}: {query}\n    {errors:?}", text(&case, "name").unwrap_or("")));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn expressions_of_the_suite_parse() {
    let mut failures = Vec::new();
    for case in lines("cases.jsonl") {
        let Some(expression) = text(&case, "elastic_expression") else { continue };
        if let Err(errors) = parse_expression(expression) {
            failures.push(format!("{expression}\n    {errors:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn public_rules_parse() {
    let mut failures = Vec::new();
    for rule in lines("detection_rules_sample.jsonl") {
        let query = text(&rule, "query").expect("a rule has a query");
        if let Err(errors) = parse(query) {
            failures.push(format!("{query}\n    {errors:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
