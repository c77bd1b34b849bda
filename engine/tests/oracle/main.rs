//! The oracle: over random rules and random streams the engine says what the reference evaluator
//! says, at the end and behind any epoch before it (so each match is said in the epoch in which it can
//! be known, and taken back in the one in which it no longer holds), with one worker and with two, and
//! the outbox records of both are equal byte for byte. A
//! share of the cases goes the whole way from the log, which keeps one of several events of an id.
//! What suppression says of the matches is compared with a model of its own (`suppress`).
//!
//! A failing case prints its rules and its stream, and is kept by proptest as a seed that replays.
//! `ORACLE_CASES` runs more than the 2,000 of the ordinary tests.

mod acting;
mod deploy;
mod rules;
mod snapshots;
mod stream;
mod suppress;
mod way;

use beckon_engine::dataflow::{Dataflow, DataflowConfig, MakeStage};
use beckon_engine::matcher::{Matcher, MatcherConfig, WideSetup};
use beckon_engine::model::{
    ActionFact, ActionRow, EpochInput, EpochMark, EpochOutput, EventRow, EventTimeMs, Flags,
    LogSeq, MatchId, Op, PackedEvent, ServerTimeMs, VisitChange, WindowKey as FactWindow,
};
use beckon_engine::reference::{
    Recorded, Reference, ReferenceConfig, ReferenceMatch, ReferenceOutput, ReferenceVisit,
    WindowKey,
};
use beckon_engine::stage::Stage;
use beckon_engine::suppress::{SuppressConfig, Suppressor};
use beckon_rules::compile::{PackageSources, SourceFile, compile};
use beckon_rules::plan::RuleSet;
use beckon_rules::schema::Schema;
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

const LATENESS_MS: i64 = 120_000;
const INACTIVITY_MS: i64 = 1_800_000;
const MATCHED_MAX: u32 = 25;
/// Events that a visit keeps: so few that late ones find no place, or enough.
const KEPT_MAX: &[u32] = &[2, 6, 500];

fn compiled(texts: &[String]) -> Arc<RuleSet> {
    packages(&[("com.example.oracle", texts.to_vec())])
}

/// The rules of some packages that this version runs.
fn packages(packages: &[(&str, Vec<String>)]) -> Arc<RuleSet> {
    let file = |(index, text): (usize, &String)| SourceFile {
        file: format!("rule-{index}.toml"),
        text: text.clone(),
    };
    let package = |(name, texts): &(&str, Vec<String>)| PackageSources {
        name: (*name).into(),
        package_file: None,
        rules: texts.iter().enumerate().map(file).collect(),
        is_operator: true,
        site: None,
    };
    let sources: Vec<_> = packages.iter().map(package).collect();
    let (rules, diagnostics) = compile(&sources, &Schema::event());
    let rules = rules.unwrap_or_else(|| panic!("{packages:?} do not compile: {diagnostics:?}"));
    Arc::new(rules)
}

fn matcher_config(kept_max: u32) -> MatcherConfig {
    MatcherConfig {
        visit_events_max: kept_max,
        lateness_ms: LATENESS_MS,
        inactivity_ms: Some(INACTIVITY_MS),
        visit_events_matched_max: MATCHED_MAX,
        ..MatcherConfig::default()
    }
}

fn suppressor(rules: &RuleSet) -> Suppressor {
    Suppressor::new(rules, SuppressConfig::default()).expect("a time zone")
}

/// What the engine says, epoch by epoch.
fn engine(
    rules: &Arc<RuleSet>,
    (config, suppressor): (MatcherConfig, Suppressor),
    epochs: &[EpochInput],
    workers: usize,
) -> Vec<EpochOutput> {
    let wide = WideSetup::new(rules, config);
    let rules = Arc::clone(rules);
    let make: MakeStage = Arc::new(move |_| Box::new(Matcher::new(Arc::clone(&rules), config)));
    let dataflow = DataflowConfig { workers, suppressor, wide, ..DataflowConfig::default() };
    outputs(dataflow, make, |dataflow| {
        for epoch in epochs {
            dataflow.submit(epoch.clone()).expect("the dataflow runs");
        }
    })
}

/// What a dataflow says of all that it is fed.
fn outputs(
    config: DataflowConfig,
    make: MakeStage,
    feed: impl FnOnce(&Dataflow),
) -> Vec<EpochOutput> {
    let outputs = Arc::new(Mutex::new(Vec::new()));
    let collected = Arc::clone(&outputs);
    let deliver = Box::new(move |output| collected.lock().expect("no panic").push(output));
    let dataflow = Dataflow::start(config, make, deliver).expect("the dataflow starts");
    feed(&dataflow);
    dataflow.finish().expect("the dataflow ends");
    let mut outputs = outputs.lock().expect("no panic");
    std::mem::take(&mut *outputs)
}

/// What the engine said, in the form of the reference: net matches before suppression and what
/// became of each event.
fn net(outputs: &[EpochOutput]) -> ReferenceOutput {
    let mut net = ReferenceOutput::default();
    let mut standing = BTreeMap::new();
    for output in outputs {
        let real = output.events.iter().filter(|row| !is_made_up(row));
        net.recorded.extend(real.map(|row| Recorded {
            seq: row.seq,
            fate: row.fate,
            instance: row.instance,
            identity: row.identity.clone(),
        }));
        for row in &output.visits {
            match row.change {
                VisitChange::Opened { resumed } => net.visits.push(ReferenceVisit {
                    site: Arc::clone(&row.site),
                    visit: row.visit.clone(),
                    instance: row.instance,
                    resumed,
                    closed: None,
                }),
                VisitChange::Closed(reason) => {
                    let opened = net.visits.iter_mut();
                    let mut open = opened.filter(|visit| visit.instance == row.instance);
                    open.next().expect("it was opened before").closed = Some(reason);
                }
            }
        }
        for row in &output.actions {
            count(&mut standing, row);
        }
    }
    for (fact, count) in standing.into_values() {
        // Event ids are of a site: over all sites two events may have one, and so two matches.
        let is_once = (0..=1).contains(&count) || fact.window == FactWindow::Global;
        assert!(is_once, "{count} times: {fact:?}");
        net.matches.extend((count > 0).then(|| found(fact)));
    }
    net.visits.sort();
    net.matches.sort();
    net
}

/// Matches that hold, by id: a correction is one match for another.
fn count<'a>(standing: &mut BTreeMap<MatchId, (&'a ActionFact, i64)>, row: &'a ActionRow) {
    let sign = match row.op {
        Op::Assert | Op::Suppress | Op::Correct => 1,
        Op::Retract => -1,
    };
    let said = standing.entry(row.fact.matched).or_insert((&row.fact, 0));
    // The same match may be decided anew.
    *said = (if sign > 0 { &row.fact } else { said.0 }, said.1 + sign);
    if let Some(replaced) = row.replaced {
        standing.get_mut(&replaced).expect("it was asserted before").1 -= 1;
    }
}

fn found(fact: &ActionFact) -> ReferenceMatch {
    let window = match &fact.window {
        FactWindow::Visit => WindowKey::Visit(fact.visit.clone(), fact.instance),
        FactWindow::Visitor(visitor) => WindowKey::Visitor(visitor.clone()),
        FactWindow::User(user) => WindowKey::User(Arc::clone(user)),
        FactWindow::Site => WindowKey::Site,
        FactWindow::Global => WindowKey::Global,
    };
    ReferenceMatch {
        site: (window != WindowKey::Global).then(|| Arc::clone(&fact.site)),
        window,
        package: Arc::clone(&fact.package),
        rule: Arc::clone(&fact.rule),
        events: fact.events.clone(),
    }
}

fn is_made_up(row: &EventRow) -> bool {
    row.event.view().is_ok_and(|view| view.flags.has(Flags::MADE_UP))
}

fn reference(rules: &RuleSet, config: MatcherConfig, epochs: &[EpochInput]) -> ReferenceOutput {
    fed(config, epochs).finish(rules)
}

/// The reference evaluator with a log.
fn fed(config: MatcherConfig, epochs: &[EpochInput]) -> Reference {
    let mut reference = Reference::new(ReferenceConfig {
        lateness_ms: LATENESS_MS,
        inactivity_ms: Some(INACTIVITY_MS),
        visit_events_matched_max: config.visit_events_matched_max.into(),
        visit_events_max: usize::try_from(config.visit_events_max).expect("32 bits"),
        makes_visit_started: true,
    });
    for epoch in epochs {
        reference.epoch(epoch);
    }
    reference
}

fn cases() -> u32 {
    let asked = std::env::var("ORACLE_CASES").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(2_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    fn engine_cases(
        texts in rules::rules(),
        drafts in prop::collection::vec(stream::draft(), 1..60),
        kept_max in prop::sample::select(KEPT_MAX),
        cut in any::<Index>(),
    ) {
        let config = matcher_config(kept_max);
        let rules = compiled(&texts);
        let epochs = stream::epochs(&drafts);
        let one = engine(&rules, (config, suppressor(&rules)), &epochs, 1);
        let expected = reference(&rules, config, &epochs);
        tally(&expected);
        prop_assert_eq!(net(&one), expected);
        let cut = cut.index(epochs.len());
        prop_assert_eq!(net(&one[..=cut]), reference(&rules, config, &epochs[..=cut]), "so far");
        let two = engine(&rules, (config, suppressor(&rules)), &epochs, 2);
        let bytes = |outputs: &[EpochOutput]| postcard::to_stdvec(outputs).expect("encodes");
        prop_assert!(bytes(&one) == bytes(&two), "two workers say {two:?}, one says {one:?}");
    }
}

/// Matches of the cases that ran, by kind of window.
static FOUND: Mutex<BTreeMap<&str, u64>> = Mutex::new(BTreeMap::new());

fn tally(expected: &ReferenceOutput) {
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    for one in &expected.matches {
        let kind = match one.window {
            WindowKey::Visit(..) => "visit",
            WindowKey::Visitor(_) => "visitor",
            WindowKey::User(_) => "user",
            WindowKey::Site => "site",
            WindowKey::Global => "global",
        };
        *found.entry(kind).or_default() += 1;
    }
}

/// Matches of each kind of window, in a hundred cases: what is never found is not tested.
const FOUND_MIN: &[(&str, u64)] =
    &[("visit", 60), ("visitor", 10), ("user", 3), ("site", 10), ("global", 10)];

#[test]
fn the_engine_says_what_the_rules_mean() {
    engine_cases();
    let found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    println!("{found:?} in {} cases", cases());
    for (kind, least) in FOUND_MIN {
        let least = least * u64::from(cases()) / 100;
        assert!(found.get(kind).is_some_and(|found| *found >= least), "{kind}: {found:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases() / 5, ..ProptestConfig::default() })]

    /// Where nothing is late it makes no difference how many events wait for the horizon.
    #[test]
    fn a_window_that_is_full_says_what_the_rules_mean(
        texts in rules::rules(),
        drafts in prop::collection::vec(stream::draft(), 1..60),
        window_events_max in 0_u32..4,
        cut in any::<Index>(),
    ) {
        let config = MatcherConfig { window_events_max, ..matcher_config(500) };
        let rules = compiled(&texts);
        let drafts: Vec<_> = drafts.into_iter().map(stream::Draft::in_order).collect();
        let epochs = stream::epochs(&drafts);
        let outputs = engine(&rules, (config, suppressor(&rules)), &epochs, 1);
        let cut = cut.index(epochs.len());
        prop_assert_eq!(net(&outputs[..=cut]), reference(&rules, config, &epochs[..=cut]));
    }
}

/// Open visits of each site.
fn open_visits(output: &ReferenceOutput) -> BTreeMap<Arc<str>, i64> {
    let mut open = BTreeMap::new();
    for visit in output.visits.iter().filter(|visit| visit.closed.is_none()) {
        *open.entry(Arc::clone(&visit.site)).or_default() += 1;
    }
    open
}

/// The log's events as the outbox records them, without what was made up.
fn recorded(outputs: &[EpochOutput]) -> Vec<(LogSeq, &PackedEvent)> {
    let rows = outputs.iter().flat_map(|output| &output.events);
    rows.filter(|row| !is_made_up(row)).map(|row| (row.seq, &row.event)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases() / 5, ..ProptestConfig::default() })]

    #[test]
    fn the_outbox_says_what_the_rules_mean(
        texts in rules::rules(),
        sent in prop::collection::vec(way::sent(), 1..60),
        kept_max in prop::sample::select(KEPT_MAX),
    ) {
        let config = matcher_config(kept_max);
        let rules = compiled(&texts);
        let setup = way::Setup {
            rules: Arc::clone(&rules),
            matcher: config,
            wide: WideSetup::new(&rules, config),
            suppressor: suppressor(&rules),
        };
        let way = setup.run(&sent);
        let expected = reference(&rules, config, &way.epochs);
        let kept: Vec<_> = way.epochs.iter().flat_map(|epoch| &epoch.events).collect();
        let kept: Vec<_> = kept.into_iter().map(|event| (event.seq, &event.event)).collect();
        prop_assert_eq!(way.answers, way.wanted, "what is a duplicate");
        prop_assert_eq!(recorded(&way.one.outputs), kept);
        prop_assert_eq!(&net(&way.one.outputs), &expected);
        prop_assert_eq!(&way.one.open_visits, &open_visits(&expected));
        prop_assert_eq!(&way.two.open_visits, &way.one.open_visits);
        prop_assert!(
            way.one.bytes == way.two.bytes,
            "two workers say {:?}, one says {:?}", way.two.outputs, way.one.outputs
        );
    }
}
