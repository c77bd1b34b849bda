//! A case as a rule, run by the engine over its data set.

use crate::cases::{Case, Dataset};
use beckon_engine::dataflow::{Dataflow, DataflowConfig};
use beckon_engine::matcher::{Matcher, MatcherConfig};
use beckon_engine::model::{
    ActionRow, Epoch, EpochInput, EpochMark, EventTimeMs, LogSeq, LoggedEvent, PackedEvent,
    ServerTimeMs,
};
use beckon_ingest::source::{Input, Mapping, SourceConfig, SourceReader};
use beckon_rules::compile::{PackageSources, SourceFile, compile as compile_rules};
use beckon_rules::diagnostic::Severity;
use beckon_rules::plan::RuleSet;
use std::sync::{Arc, Mutex};

/// Why a case does not run.
pub(crate) enum Refused {
    /// It uses what a later version runs.
    NotYet(String),
    /// It should have compiled.
    Wrong(String),
}

/// The case's query as a rule that fires for every match.
pub(crate) fn compile(case: &Case, dataset: &Dataset) -> Result<Arc<RuleSet>, Refused> {
    let mapping = Mapping::parse(&dataset.mapping).expect("the mapping is good");
    let text = format!(
        "name = \"case\"\nfire = \"every\"\nquery = '''\n{}\n'''\n[action]\ntype = \"none\"\n",
        case.query
    );
    let package = PackageSources {
        name: "com.example.conformance".to_owned(),
        package_file: None,
        rules: vec![SourceFile { file: "case.toml".to_owned(), text }],
        is_operator: true,
    };
    let (rules, diagnostics) = compile_rules(&[package], &mapping.schema());
    if let Some(rules) = rules {
        return Ok(Arc::new(rules));
    }
    let errors: Vec<_> =
        diagnostics.iter().filter(|found| found.severity == Severity::Error).collect();
    let says: Vec<String> = errors.iter().map(|found| found.message.clone()).collect();
    if errors.iter().all(|found| found.code == "not-yet") {
        Err(Refused::NotYet(says.join("; ")))
    } else {
        Err(Refused::Wrong(says.join("; ")))
    }
}

/// Every match as ids of its events, in the order of the last event, then by key.
pub(crate) fn matches(rules: &Arc<RuleSet>, dataset: &Dataset) -> Vec<Vec<i64>> {
    let actions = Arc::new(Mutex::new(Vec::new()));
    let (collected, rules) = (Arc::clone(&actions), Arc::clone(rules));
    let config = MatcherConfig {
        inactivity_ms: None,
        makes_visit_started: false,
        ..MatcherConfig::default()
    };
    let dataflow = Dataflow::start(
        DataflowConfig::default(),
        Arc::new(move |_| Box::new(Matcher::new(Arc::clone(&rules), config))),
        Box::new(move |output| collected.lock().expect("no panic").extend(output.actions)),
    )
    .expect("the dataflow starts");
    dataflow.submit(epoch(dataset)).expect("the dataflow runs");
    dataflow.finish().expect("the dataflow ends");
    let mut actions = std::mem::take(&mut *actions.lock().expect("no panic"));
    actions.sort_by_key(|row: &ActionRow| row.fact.seq);
    let ids = |row: &ActionRow| {
        let ids = row.fact.events.iter().map(|id| id.to_string().parse().expect("a number"));
        ids.collect()
    };
    actions.iter().map(ids).collect()
}

/// The whole data set as one epoch, at the end of input.
fn epoch(dataset: &Dataset) -> EpochInput {
    let mapping = Mapping::parse(&dataset.mapping).expect("the mapping is good");
    let config = SourceConfig {
        mapping: Some(Arc::new(mapping)),
        ..SourceConfig::new(vec![Input::from_argument(&dataset.file)])
    };
    let mut reader = SourceReader::new(config).expect("the data set is there");
    let mut events = Vec::new();
    let mut seq = LogSeq(1);
    while let Some((_, event)) = reader.next_event().expect("readable") {
        events.push(LoggedEvent { seq, event: PackedEvent::pack(&event) });
        seq = seq.next();
    }
    assert_eq!(reader.report().bad_lines, 0, "every line is an event");
    let last_seq = LogSeq(events.len() as u64);
    let mark = EpochMark {
        epoch: Epoch(1),
        first_seq: LogSeq(1),
        last_seq,
        now: ServerTimeMs(0),
        watermark: EventTimeMs::MAX,
    };
    EpochInput { mark, events }
}
