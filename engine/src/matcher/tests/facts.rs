//! What a match says: ids, the action's data.

use crate::matcher::MatcherConfig;
use crate::matcher::testing::{Rule, Run, Sample, list, path, rule, rule_set, step, text};
use crate::model::{EventTimeMs, LogSeq, Value, VisitorId};
use beckon_rules::plan::Fire;
use beckon_rules::template::{Piece, Placeholder, Source, Template};

fn config() -> MatcherConfig {
    MatcherConfig { makes_visit_started: false, ..MatcherConfig::default() }
}

fn field(source: Source, dotted: &str) -> Piece {
    Piece::Field(Placeholder { source, path: path(dotted) })
}

#[test]
fn a_fact_names_the_rule_the_window_and_the_last_event() {
    let mut run = Run::new(&rule_set(vec![rule("r", &[step("A"), step("B")])]), config());
    run.event(&Sample::new("A", 5).visitor(9)).event(&Sample::new("B", 7));
    let [fact] = run.facts()[..] else { panic!("one match") };
    assert_eq!((&*fact.package, &*fact.rule, fact.version), ("com.example", "r", 1));
    assert_eq!((&*fact.site, fact.visit.to_string()), ("shop", format!("{:032}", 1)));
    assert_eq!((fact.timestamp, fact.seq), (EventTimeMs(7), LogSeq(2)));
    assert_eq!(fact.visitor, Some(VisitorId(crate::model::Id::Bits(9))));
    assert_eq!((&*fact.kind, fact.channel.as_deref()), ("invite", Some("chat")));
    assert_eq!(fact.expires_ms, Some(120_000));
    assert_eq!((fact.suppressed, &fact.data), (None, &None));
}

#[test]
fn the_action_id_is_one_for_each_window_or_for_each_last_event() {
    let ids = |fire| {
        let mut run = Run::new(&rule_set(vec![Rule { fire, ..rule("r", &[step("A")]) }]), config());
        run.event(&Sample::new("A", 5)).event(&Sample::new("A", 7));
        run.facts().iter().map(|fact| (fact.action, fact.matched)).collect::<Vec<_>>()
    };
    let (once, every) = (ids(Fire::Once), ids(Fire::Every));
    assert_eq!((once.len(), every.len()), (1, 2));
    assert_eq!(once[0].1, every[0].1, "the match is the same");
    assert_ne!(once[0].0, every[0].0);
    assert_ne!(every[0].0, every[1].0);
}

#[test]
fn templates_read_the_last_event_and_named_steps() {
    let data = Template::Object(vec![
        (
            "text".into(),
            Template::Text(vec![
                Piece::Text("the ".into()),
                field(Source::Step(0), "data.name"),
                Piece::Text(" for ".into()),
                field(Source::Last, "data.price"),
                field(Source::Step(1), "category"),
                field(Source::Step(0), "userID"),
            ]),
        ),
        ("fixed".into(), Template::Constant("1".into())),
    ]);
    let steps = [step("A").bound(), step("B").bound()];
    let rules = vec![Rule { data: Some(data), ..rule("r", &steps) }];
    let mut run = Run::new(&rule_set(rules), config());
    run.event(&Sample::new("UserInfo", 0).data("userID", text("ada")));
    run.event(&Sample::new("A", 0).data("name", text("\"lamp\"")));
    run.event(&Sample::new("SignIn", 0).data("userID", text("eve")));
    run.event(
        &Sample::new("B", 0)
            .data("price", Value::Float(12.5))
            .with("category", list(&[text("x"), text("y")])),
    );
    let [fact] = run.facts()[..] else { panic!("one match") };
    let expected = r#"{"text":"the \"lamp\" for 12.5x;yada","fixed":1}"#;
    assert_eq!(fact.data.as_deref(), Some(expected));
    assert!(!fact.has_null_placeholder);
}

#[test]
fn a_null_placeholder_is_flagged() {
    let data = Template::Text(vec![Piece::Text("for ".into()), field(Source::Last, "data.price")]);
    let rules = vec![Rule { data: Some(data), ..rule("r", &[step("A")]) }];
    let mut run = Run::new(&rule_set(rules), config());
    run.event(&Sample::new("A", 0));
    assert_eq!(run.facts()[0].data.as_deref(), Some("\"for \""));
    assert!(run.facts()[0].has_null_placeholder);
}
