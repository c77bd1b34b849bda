//! The public cases of constant expressions: functions, arithmetic, three-valued logic, null.
//!
//! Each becomes a rule that compares the expression with the value that is expected, and has to fire
//! on the one event that there is.

use crate::run::{self, Refused};
use beckon_engine::model::{
    Epoch, EpochInput, EpochMark, Event, EventId, EventTimeMs, Flags, Id, LogSeq, LoggedEvent,
    PackedEvent, ServerTimeMs, VisitId,
};
use beckon_rules::plan::RuleSet;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// What is expected of an expression.
enum Expected {
    /// Text of the language with this value.
    Equal(String),
    /// It is no expression: refused when it is compiled.
    Error,
}

struct Expression {
    name: String,
    text: String,
    expected: Expected,
}

/// Cases of a suite that stand in the spelling of the rule language.
fn read(folder: &Path, suite: &str) -> Vec<Expression> {
    let text = std::fs::read_to_string(folder.join("cases.jsonl")).expect("cases.jsonl");
    let parsed = text.lines().map(|line| serde_json::from_str(line).expect("a JSON object"));
    let of_suite = parsed.filter(|case: &Value| case["suite"] == suite);
    of_suite.filter_map(|case| expression(&case)).collect()
}

fn expression(case: &Value) -> Option<Expression> {
    let text = case["elastic_expression"].as_str()?.to_owned();
    let name = format!("{} {}", case["suite"], case["name"]).replace('"', "");
    let expected = match case["expect_error"].is_string() {
        true => Expected::Error,
        false => Expected::Equal(case["expected"].to_string()),
    };
    Some(Expression { name, text, expected })
}

/// Runs the cases of a suite. Returns how many hold, and which do not run yet.
pub(crate) fn check(folder: &Path, suite: &str) -> (usize, Vec<String>) {
    let (mut failed, mut not_yet, mut names, mut rules) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut passed = 0;
    for case in read(folder, suite) {
        let query = match &case.expected {
            Expected::Equal(value) => format!("any where ({}) == {value}", case.text),
            Expected::Error => format!("any where ({}) == null", case.text),
        };
        match (run::compile_query(&query), &case.expected) {
            (Err(Refused::NotYet(why)), _) => not_yet.push(format!("{}: {why}", case.name)),
            (Err(Refused::Wrong(_)), Expected::Error) => passed += 1,
            (Err(Refused::Wrong(why)), Expected::Equal(_)) => {
                failed.push(format!("{}: {query}\n    {why}", case.name));
            }
            (Ok(_), Expected::Error) => failed.push(format!("{}: {query} compiles", case.name)),
            (Ok(rule), Expected::Equal(_)) => {
                names.push(format!("{}: {query}", case.name));
                rules.push(rule);
            }
        }
    }
    let fired = fired(&rules);
    for (index, name) in names.into_iter().enumerate() {
        if fired.contains(&index) { passed += 1 } else { failed.push(name) }
    }
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
    (passed, not_yet)
}

/// What has another value fires no rule.
#[test]
fn an_expression_with_another_value_does_not_hold() {
    let rules =
        ["any where (7 + 3) == 11", "any where (null == 1) == true", "any where (7 + 3) == 10"];
    let compiled = rules.map(|query| run::compile_query(query).ok().expect("a rule"));
    assert_eq!(fired(&compiled), [2].into());
}

/// The places of the rules that fire on one event.
fn fired(rules: &[Arc<RuleSet>]) -> BTreeSet<usize> {
    let is_fired = |rules: &Arc<RuleSet>| !run::engine_actions(rules, one_event()).is_empty();
    rules.iter().enumerate().filter(|(_, rules)| is_fired(rules)).map(|(index, _)| index).collect()
}

fn one_event() -> EpochInput {
    let event = Event {
        flags: Flags::default(),
        site: "shop".into(),
        name: "A".into(),
        id: EventId(Id::Bits(1)),
        visit: VisitId(Id::Bits(1)),
        visitor: None,
        page: None,
        timestamp: EventTimeMs(0),
        server_timestamp: ServerTimeMs(0),
        client_timestamp: None,
        tie: None,
        fields: Vec::new(),
    };
    let mark = EpochMark {
        epoch: Epoch(1),
        first_seq: LogSeq(1),
        last_seq: LogSeq(1),
        now: ServerTimeMs(0),
        watermark: EventTimeMs::MAX,
    };
    EpochInput {
        mark,
        events: vec![LoggedEvent { seq: LogSeq(1), event: PackedEvent::pack(&event) }],
    }
}
