//! `GET /openapi.json` of the whole server: every schema that is named is there, those of sinks too.

use crate::support::{Server, beckon, configured};
use serde_json::Value;

/// What a document names, and what of it is there.
fn references<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    match value {
        Value::Object(entries) => {
            into.extend(entries.get("$ref").and_then(Value::as_str));
            entries.values().for_each(|value| references(value, into));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, into)),
        _ => {}
    }
}

#[test]
fn what_the_description_names_is_there_and_all_that_is_there_is_named() {
    let folder = configured();
    let server = Server::start(beckon(folder.path()), &["--data", "data"]);
    let answer = server.get("/openapi.json", "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let document: Value = serde_json::from_str(&answer.body).expect("JSON");
    let mut named = Vec::new();
    references(&document, &mut named);
    named.sort_unstable();
    named.dedup();
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    let mut there: Vec<_> =
        schemas.keys().map(|name| format!("#/components/schemas/{name}")).collect();
    there.sort();
    assert_eq!(there, named);
    server.stop();
}
