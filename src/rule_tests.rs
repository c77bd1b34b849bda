//! Runs the `[[test]]` tables of rules: each on a fresh engine of its own, with no other rule.
//!
//! A test's event is the event as rules see it: besides what a tracker sends it may say what the
//! server would add (`isBot`, `url.path`). A `url` is taken apart as at the door; dotted keys are
//! fields of their own; `category` may be one text with `;` between. All events are of one visit
//! unless they say `visitID`. The clock starts on a Monday, 10:00 UTC, or at `start`.

use anyhow::Context;
use beckon_engine::matcher::{Matcher, MatcherConfig};
use beckon_engine::model::{
    Epoch, EpochMark, Event, EventId, EventTimeMs, Flags, Id, LogSeq, LoggedEvent, Op, PackedEvent,
    PageId, ServerTimeMs, Value, VisitId, VisitorId,
};
use beckon_engine::stage::{Effect, Stage};
use beckon_engine::suppress::{SuppressClock, SuppressConfig, Suppressor};
use beckon_ingest::normalise::{Address, QueryPolicy};
use beckon_rules::compile::PackageSources;
use beckon_rules::package::{RuleTest, parse_rule_file};
use beckon_rules::plan::{RulePlan, RuleSet};
use jiff::Timestamp;
use serde_json::{Map, Value as Json};
use std::sync::Arc;

/// A Monday, 10:00 UTC.
const START_DEFAULT_MS: i64 = 1_704_103_200_000;

/// What came of all tests.
#[derive(Debug, Default)]
pub(crate) struct TestReport {
    /// Tests that ran.
    pub(crate) tests: usize,
    /// A few lines for each that failed.
    pub(crate) failures: Vec<String>,
}

/// Runs the tests of all rules. `config` says what a visit is.
///
/// # Errors
/// When a test's event is none.
pub(crate) fn run(
    packages: &[PackageSources],
    rules: &RuleSet,
    config: MatcherConfig,
) -> anyhow::Result<TestReport> {
    let mut report = TestReport::default();
    for package in packages {
        for source in &package.rules {
            let (Some(file), _) = parse_rule_file(&source.file, &source.text) else { continue };
            let named = |plan: &&Arc<RulePlan>| {
                *plan.package == *package.name && *plan.name == *file.name.node
            };
            let Some(plan) = rules.rules.iter().find(named) else { continue };
            for test in &file.tests {
                let place = || format!("{}: test \"{}\"", source.file, test.name.node);
                let found = fired(plan, rules, test, config).with_context(place)?;
                let expect = test.expect.iter().map(|one| (one.at_ms, one.action.as_str().into()));
                let mut expected: Vec<(i64, Box<str>)> = expect.collect();
                expected.sort();
                report.tests += 1;
                if found != expected {
                    let line = |actions: &[(i64, Box<str>)]| match actions {
                        [] => "nothing".to_owned(),
                        some => some
                            .iter()
                            .map(|(at_ms, action)| format!("{action} at {}", seconds(*at_ms)))
                            .collect::<Vec<_>>()
                            .join(", "),
                    };
                    let (expected, found) = (line(&expected), line(&found));
                    report
                        .failures
                        .push(format!("{}\n  expected {expected}\n  found    {found}", place()));
                }
            }
        }
    }
    Ok(report)
}

fn seconds(at_ms: i64) -> String {
    let (whole, rest) = (at_ms / 1_000, at_ms % 1_000);
    if rest == 0 { format!("{whole}s") } else { format!("{whole}.{rest:03}s") }
}

/// Times and kinds of what a rule does.
fn fired(
    plan: &Arc<RulePlan>,
    all: &RuleSet,
    test: &RuleTest,
    config: MatcherConfig,
) -> anyhow::Result<Vec<(i64, Box<str>)>> {
    let start_ms = match &test.start {
        None => START_DEFAULT_MS,
        Some(text) => text
            .node
            .parse::<Timestamp>()
            .with_context(|| format!("start \"{}\" is no time", text.node))?
            .as_millisecond(),
    };
    let alone = RuleSet {
        fields: all.fields.clone(),
        rules: vec![Arc::clone(plan)],
        types: all.types.clone(),
    };
    let suppress = SuppressConfig {
        clock: SuppressClock::Watermark,
        is_control: Some(test.holdout),
        ..SuppressConfig::default()
    };
    let mut suppressor = Suppressor::new(&alone, suppress)?;
    let mut matcher = Matcher::new(Arc::new(alone), config);
    let mut found: Vec<(i64, Box<str>)> = Vec::new();
    let mut end = |matcher: &mut Matcher, mark: EpochMark, mut effects: Vec<Effect>| {
        matcher.end_epoch(&mark, &mut effects);
        let facts = effects.into_iter().filter_map(|effect| match effect {
            Effect::Match(fact, sign) => Some((*fact, sign)),
            Effect::Event(_) | Effect::Visit(_) => None,
        });
        let rows = suppressor.epoch(&mark, facts.collect()).into_iter();
        let acts = rows.filter(|row| row.op == Op::Assert);
        found.extend(acts.map(|row| (row.fact.timestamp.0 - start_ms, (*row.fact.kind).into())));
    };
    let mut events: Vec<_> = test.events.iter().collect();
    events.sort_by_key(|event| event.at_ms);
    let mut seq = LogSeq(1);
    for one in events {
        let event = event(&one.fields, start_ms + one.at_ms, seq)?;
        let logged = LoggedEvent { seq, event: PackedEvent::pack(&event) };
        let mut effects = Vec::new();
        matcher.event(&logged, &mut effects);
        end(&mut matcher, mark(seq, event.timestamp), effects);
        seq = seq.next();
    }
    end(&mut matcher, mark(seq, EventTimeMs::MAX), Vec::new());
    found.sort();
    Ok(found)
}

fn mark(seq: LogSeq, watermark: EventTimeMs) -> EpochMark {
    EpochMark {
        epoch: Epoch(seq.0),
        first_seq: seq,
        last_seq: seq,
        now: ServerTimeMs(watermark.0),
        watermark,
    }
}

fn event(fields: &Map<String, Json>, timestamp_ms: i64, seq: LogSeq) -> anyhow::Result<Event> {
    let id = |name: &str| -> anyhow::Result<Option<Id>> {
        let Some(text) = fields.get(name).and_then(Json::as_str) else { return Ok(None) };
        Ok(Some(Id::from_hex(text).or_else(|_| Id::from_text(text)).context(name.to_owned())?))
    };
    let name = fields.get("eventName").and_then(Json::as_str);
    Ok(Event {
        flags: Flags::default(),
        site: "default".into(),
        name: name.context("an event has an eventName")?.into(),
        id: EventId(id("eventID")?.unwrap_or(Id::Bits(u128::from(seq.0)))),
        visit: VisitId(id("visitID")?.unwrap_or(Id::Bits(1))),
        visitor: id("globalVisitID")?.map(VisitorId),
        page: id("pageID")?.map(PageId),
        timestamp: EventTimeMs(timestamp_ms),
        server_timestamp: ServerTimeMs(timestamp_ms),
        client_timestamp: None,
        tie: fields.get("seq").and_then(Json::as_i64),
        fields: rest(fields)?,
    })
}

/// Everything that is not in the header, under its dotted name.
fn rest(fields: &Map<String, Json>) -> anyhow::Result<Vec<(Box<str>, Value)>> {
    const HEADER: [&str; 7] =
        ["eventName", "eventType", "eventID", "visitID", "globalVisitID", "pageID", "seq"];
    let mut out = Vec::new();
    for (name, json) in fields.iter().filter(|(name, _)| !HEADER.contains(&name.as_str())) {
        match (name.as_str(), json) {
            ("url", Json::String(text)) => {
                let policy = QueryPolicy { allowed: vec!["*".to_owned()] };
                Address::clean(text, &policy).context("url")?.push_fields(&mut out);
            }
            ("category", Json::String(text)) => {
                let names = text.split(';').map(|name| Value::Str(name.trim().into()));
                out.push(("category".into(), Value::List(names.collect())));
            }
            ("data", json) => out.push(("data".into(), value(json))),
            (name, json) => flatten(name, json, &mut out),
        }
    }
    Ok(out)
}

fn flatten(name: &str, json: &Json, out: &mut Vec<(Box<str>, Value)>) {
    match json {
        Json::Object(inner) => {
            for (part, json) in inner {
                flatten(&format!("{name}.{part}"), json, out);
            }
        }
        json => out.push((name.into(), value(json))),
    }
}

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(bool) => Value::Bool(*bool),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::Str(text.as_str().into()),
        Json::Array(values) => Value::List(values.iter().map(value).collect()),
        Json::Object(map) => {
            Value::Map(map.iter().map(|(name, json)| (name.as_str().into(), value(json))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules_dir;
    use beckon_ingest::source::Mapping;
    use beckon_rules::compile::{SourceFile, compile};
    use beckon_rules::render::Colors;
    use beckon_rules::schema::Schema;
    use std::path::{Path, PathBuf};

    fn example(path: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(path)
    }

    fn check(directory: &str, schema: &Schema, config: MatcherConfig, tests_min: usize) {
        let directory = example(directory);
        let checked = rules_dir::check(&directory, schema).expect("a folder of packages");
        assert!(checked.diagnostics.is_empty(), "{}", checked.render(Colors::Plain));
        let rules = checked.rules.as_ref().expect("rules without errors");
        let report = run(&checked.packages, rules, config).expect("tests with events");
        assert!(report.failures.is_empty(), "{}", report.failures.join("\n"));
        assert!(report.tests >= tests_min, "{} tests", report.tests);
    }

    #[test]
    fn the_rules_for_access_logs_do_what_they_say() {
        check("access-log/rules", &Schema::event(), MatcherConfig::default(), 12);
    }

    #[test]
    fn the_rules_for_the_shop_do_what_they_say() {
        let text = std::fs::read_to_string(example("shop/mapping.toml")).expect("a mapping");
        let mapping = Mapping::parse(&text).expect("a mapping");
        let config = MatcherConfig { makes_visit_started: false, ..MatcherConfig::default() };
        check("shop/rules", &mapping.schema(), config, 7);
    }

    #[test]
    fn a_test_that_does_not_hold_says_what_came_instead() {
        let text = "name = 'a'\ndescription = 'd'\nquery = 'PageEntered where url.path == \"/a\" and category == \"b\"'\n\
            [action]\ntype = 'none'\n[[test]]\nname = 't'\n\
            events = [ { at = '2s', eventName = 'PageEntered', url = 'https://x.example/a#b', category = 'a;b' } ]\n\
            expect = [ { at = '1500ms', action = 'none' } ]\n";
        let source = SourceFile { file: "a.toml".to_owned(), text: text.to_owned() };
        let packages = [PackageSources {
            name: "com.example.a".to_owned(),
            package_file: None,
            rules: vec![source],
            is_operator: true,
        }];
        let (rules, diagnostics) = compile(&packages, &Schema::event());
        let rules = rules.unwrap_or_else(|| panic!("{diagnostics:?}"));
        let report = run(&packages, &rules, MatcherConfig::default()).expect("a test");
        assert_eq!(
            report.failures,
            ["a.toml: test \"t\"\n  expected none at 1.500s\n  found    none at 2s"]
        );
    }
}
