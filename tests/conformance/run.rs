//! A case as a rule, run over its data set: by the engine where it can, and by the reference
//! evaluator.

use crate::cases::{Case, Dataset};
use beckon_engine::dataflow::{Dataflow, DataflowConfig};
use beckon_engine::matcher::{Matcher, MatcherConfig, WideSetup};
use beckon_engine::model::{
    ActionRow, Epoch, EpochInput, EpochMark, EventId, EventTimeMs, LogSeq, LoggedEvent,
    PackedEvent, ServerTimeMs,
};
use beckon_engine::reference::{Reference, ReferenceConfig};
use beckon_ingest::source::{Input, Mapping, SourceConfig, SourceReader};
use beckon_rules::ast::{Pipe, Spanned};
use beckon_rules::compile::{PackageSources, SourceFile, compile as compile_rules};
use beckon_rules::diagnostic::Severity;
use beckon_rules::plan::RuleSet;
use beckon_rules::schema::Schema;
use beckon_rules::syntax;
use std::sync::{Arc, Mutex};

/// What runs a case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Runner {
    /// The dataflow and its matcher: what this version runs.
    Engine,
    /// The reference evaluator; `head` and `tail` are cut off and applied here.
    Reference,
}

impl Runner {
    /// Every match as ids of its events, in the order of the last event, then by key.
    pub(crate) fn matches(
        self,
        rules: &Arc<RuleSet>,
        (case, dataset): (&Case, &Dataset),
    ) -> Vec<Vec<i64>> {
        match self {
            Self::Engine => engine_matches(rules, dataset),
            Self::Reference => cut(reference_matches(rules, dataset), &without_cuts(&case.query).1),
        }
    }
}

/// Keys of the rule, as the rule language says.
const KEYS: &str = "window = \"global\"\nstate_max = 1000000\nemit = \"final\"\n";

/// A query without the `head` and `tail` at its end, and those: a finished query over a finished
/// stream only cuts its matches by them.
fn without_cuts(query: &str) -> (&str, Vec<Pipe>) {
    let pipes = syntax::parse(query).map_or_else(|_| Vec::new(), |tree| tree.pipes);
    let is_cut = |pipe: &Spanned<Pipe>| matches!(pipe.node, Pipe::Head(_) | Pipe::Tail(_));
    match pipes.first() {
        Some(first) if pipes.iter().all(is_cut) => {
            let before = query.get(..first.span.range().start).expect("the place of a token");
            let pipes = pipes.iter().map(|pipe| pipe.node.clone()).collect();
            (before.trim_end().trim_end_matches('|'), pipes)
        }
        _ => (query, Vec::new()),
    }
}

/// The matches that `head` and `tail` leave.
fn cut(mut matches: Vec<Vec<i64>>, pipes: &[Pipe]) -> Vec<Vec<i64>> {
    for pipe in pipes {
        match pipe {
            Pipe::Head(count) => matches.truncate(usize::try_from(*count).expect("few")),
            Pipe::Tail(count) => {
                let count = usize::try_from(*count).expect("few");
                matches.drain(..matches.len().saturating_sub(count));
            }
            other => panic!("no cut: {other:?}"),
        }
    }
    matches
}

/// Why a case does not run.
pub(crate) enum Refused {
    /// It uses what a later version runs.
    NotYet(String),
    /// It should have compiled.
    Wrong(String),
}

/// The case's query as a rule that fires for every match.
pub(crate) fn compile(
    case: &Case,
    dataset: &Dataset,
    runner: Runner,
) -> Result<Arc<RuleSet>, Refused> {
    let mapping = Mapping::parse(&dataset.mapping).expect("the mapping is good");
    let query = match runner {
        Runner::Engine => case.query.as_str(),
        Runner::Reference => without_cuts(&case.query).0,
    };
    rule_of((query, KEYS), &mapping.schema())
}

/// A query about one event of a browser as a rule.
pub(crate) fn compile_query(query: &str) -> Result<Arc<RuleSet>, Refused> {
    rule_of((query, ""), &Schema::event())
}

fn rule_of((query, keys): (&str, &str), schema: &Schema) -> Result<Arc<RuleSet>, Refused> {
    let text = format!(
        "name = \"case\"\nfire = \"every\"\n{keys}query = '''\n{query}\n'''\n[action]\ntype = \"none\"\n",
    );
    let package = PackageSources {
        name: "com.example.conformance".to_owned(),
        package_file: None,
        rules: vec![SourceFile { file: "case.toml".to_owned(), text }],
        is_operator: true,
        site: None,
    };
    let (rules, diagnostics) = compile_rules(&[package], schema);
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

fn engine_matches(rules: &Arc<RuleSet>, dataset: &Dataset) -> Vec<Vec<i64>> {
    let mut actions = engine_actions(rules, epoch(dataset));
    actions.sort_by_key(|row: &ActionRow| row.fact.seq);
    actions.iter().map(|row| row.fact.events.iter().map(number).collect()).collect()
}

/// What the engine says of one epoch, at the end of input.
pub(crate) fn engine_actions(rules: &Arc<RuleSet>, epoch: EpochInput) -> Vec<ActionRow> {
    let actions = Arc::new(Mutex::new(Vec::new()));
    let (collected, rules) = (Arc::clone(&actions), Arc::clone(rules));
    let config = MatcherConfig {
        inactivity_ms: None,
        makes_visit_started: false,
        ..MatcherConfig::default()
    };
    let dataflow = Dataflow::start(
        DataflowConfig { wide: WideSetup::new(&rules, config), ..DataflowConfig::default() },
        Arc::new(move |_| Box::new(Matcher::new(Arc::clone(&rules), config))),
        Box::new(move |output| collected.lock().expect("no panic").extend(output.actions)),
    )
    .expect("the dataflow starts");
    dataflow.submit(epoch).expect("the dataflow runs");
    dataflow.finish().expect("the dataflow ends");
    std::mem::take(&mut *actions.lock().expect("no panic"))
}

fn reference_matches(rules: &RuleSet, dataset: &Dataset) -> Vec<Vec<i64>> {
    let mut reference = Reference::new(ReferenceConfig {
        lateness_ms: 0,
        inactivity_ms: None,
        visit_events_matched_max: u64::MAX,
        visit_events_max: usize::MAX,
        makes_visit_started: false,
    });
    reference.epoch(&epoch(dataset));
    let matches = reference.matches_in_order(rules);
    matches.iter().map(|one| one.events.iter().map(number).collect()).collect()
}

fn number(id: &EventId) -> i64 {
    id.to_string().parse().expect("a number")
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
