//! The public queries compile: with no finding but `not-yet` for what comes later.

use crate::check::{Bindings, Checker, Extent, Findings, Slots};
use crate::diagnostic::Severity;
use crate::schema::{FieldSpec, FieldType, Schema, UnknownFields};
use crate::syntax;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// A file of the public cases, where they are there (they are not ours to publish).
fn conformance_lines(name: &str) -> Option<Vec<Json>> {
    let file = crate::beside::beside(&format!("conformance/eql/{name}"))?;
    let text = std::fs::read_to_string(file).expect("text");
    Some(text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect())
}

/// The fields of the events, of the type of their first value.
fn schema_of(events: &[Json]) -> Schema {
    let mut schema = Schema::new("event_type", UnknownFields::Error)
        .field("@timestamp", FieldSpec::one(FieldType::Date));
    for (name, value) in events.iter().filter_map(Json::as_object).flatten() {
        let kind = match value {
            Json::String(_) => FieldType::Str,
            Json::Number(_) => FieldType::Int,
            Json::Bool(_) => FieldType::Bool,
            _ => FieldType::Any,
        };
        if name != "@timestamp" && name != "event_type" {
            schema = schema.field(name, FieldSpec::one(kind));
        }
    }
    schema
}

/// The errors of a query: code and message.
fn errors(query: &str, schema: &Schema) -> Vec<(&'static str, String)> {
    let tree = syntax::parse(query).expect(query);
    let mut checker = Checker {
        schema,
        slots: &mut Slots::default(),
        bindings: Bindings::default(),
        extent: Extent::VISIT,
        findings: Findings::default(),
    };
    checker.query(&tree);
    let findings = checker.findings.into_sorted().into_iter();
    let errors = findings.filter(|finding| finding.severity == Severity::Error);
    errors.map(|error| (error.code, error.message)).collect()
}

#[test]
fn public_queries_compile() {
    let Some(cases) = conformance_lines("cases.jsonl") else { return };
    let events = conformance_lines("datasets/endgame-140.ndjson").expect("beside the cases");
    let schema = schema_of(&events);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for case in cases.iter().filter(|case| case["dialect"] == "elastic") {
        let query = case["query"].as_str().expect("a query");
        let errors = errors(query, &schema);
        for error in &errors {
            assert_eq!(error.0, "not-yet", "{}: {query}\n{}", case["name"], error.1);
        }
        *counts.entry(if errors.is_empty() { "runs" } else { "not yet" }).or_default() += 1;
    }
    assert_eq!((counts["runs"], counts["not yet"]), (180, 18));
}

/// Names that mappings do not know are null here, as the public rules are for many indices.
///
/// Excluded: one rule that writes `\w` in a regular expression, which the language refuses.
#[test]
fn public_detection_rules_compile() {
    let Some(rules) = conformance_lines("detection_rules_sample.jsonl") else { return };
    let schema = Schema::new("event.category", UnknownFields::Null);
    let mut clean = 0;
    for rule in &rules {
        let query = rule["query"].as_str().expect("a query");
        let errors: Vec<_> = errors(query, &schema)
            .into_iter()
            .filter(|(code, message)| *code != "not-yet" && !message.contains("`\\w`"))
            .collect();
        assert!(errors.is_empty(), "{}: {query}\n{errors:?}", rule["name"]);
        clean += 1;
    }
    assert!(clean >= 100);
}

/// The deepest trees that the parser lets through are walked on a test's small stack.
#[test]
fn the_deepest_trees_are_checked() {
    let schema = Schema::event();
    let sum = format!("A where data.x{} == 1", " + 1".repeat(syntax::ARITHMETIC_MAX - 1));
    let nested = format!(
        "A where {}data.x == 1{}",
        "not (".repeat(syntax::NESTING_MAX / 2 - 2),
        ")".repeat(syntax::NESTING_MAX / 2 - 2)
    );
    let chain = format!("A where {}", vec!["data.x == 1"; 4000].join(" or "));
    for query in [sum, nested, chain] {
        assert_eq!(errors(&query, &schema), []);
    }
}
