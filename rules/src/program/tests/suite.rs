//! The public cases of EQL's functions and of folding, where they are there (they are not ours to
//! publish).

use super::checked;
use crate::program::{Datum, Program, Value};

/// The value of a constant expression; `Err` has the codes of the errors.
fn value(text: &str) -> Result<Value<'static>, Vec<&'static str>> {
    checked(text, &[]).map(|(node, row)| Program::value_of(&node, &row))
}

#[derive(Default)]
struct Tally {
    passed: usize,
    excluded: usize,
    failed: Vec<String>,
}

/// The suites `functions` and `folding` of the public EQL cases, in Elastic's spelling.
///
/// Excluded are cases without that spelling: comparisons of whole texts without regard to case
/// (the older dialect's `==`), method calls (`"hello":length()`), and, where the older spelling
/// has single quotes, `match` and `wildcard`, which run below in their own test.
#[test]
fn public_function_and_folding_cases() {
    let Some(path) = crate::beside::beside("conformance/eql/cases.jsonl") else { return };
    let text = std::fs::read_to_string(path).expect("text");
    let mut tally = Tally::default();
    for line in text.lines() {
        let case: serde_json::Value = serde_json::from_str(line).expect("a case is JSON");
        if matches!(case["suite"].as_str(), Some("functions" | "folding")) {
            run_case(&case, &mut tally);
        }
    }
    assert!(tally.failed.is_empty(), "{}", tally.failed.join("\n"));
    assert!(tally.passed >= 270, "only {} cases ran", tally.passed);
}

fn run_case(case: &serde_json::Value, tally: &mut Tally) {
    let Some(expression) = case["elastic_expression"].as_str() else {
        tally.excluded += 1;
        return;
    };
    let found = value(expression);
    let is_right = match (&found, case["expect_error"].as_str()) {
        (Err(_), Some(_)) => true,
        (Ok(value), None) => is_same(value, &case["expected"]),
        _ => false,
    };
    if is_right {
        tally.passed += 1;
    } else {
        tally.failed.push(format!("{}: {expression} gave {found:?}", case["name"]));
    }
}

fn is_same(value: &Value<'_>, expected: &serde_json::Value) -> bool {
    let datum = match value {
        Value::One(datum) => *datum,
        Value::Text(text) => Datum::Str(text),
        Value::Many(_) => return false,
    };
    match datum {
        Datum::Null => expected.is_null(),
        Datum::Bool(value) => expected.as_bool() == Some(value),
        Datum::Int(value) => expected.as_i64() == Some(value),
        Datum::Float(value) => expected.as_f64() == Some(value),
        Datum::Str(text) => expected.as_str() == Some(text),
        Datum::Many(_) => false,
    }
}
