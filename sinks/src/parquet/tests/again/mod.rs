//! The engine runs from the exported Parquet alone: `events` and `epochs` are its whole input.
//!
//! A stream with whatever events may hold runs on the ordinary way - log, pipeline, outbox, sink, with
//! the log's marks and ticks - and by the marks of a replay. What it was made of is built again from
//! the two tables, and the four tables that one worker and two write of that are the same, cell by
//! cell. (Deployments are not in Parquet: the rules are those of the first run. Nor are messages, of which no
//! rule sees anything.)

mod rules;
mod stream;

use super::read::{Row, boolean, long, rows, time_ms, to_event};
use super::{NOON, write_all};
use crate::parquet::{
    ColumnType, OutboxSource, ParquetConfig, ParquetTables, SinkContext, Stop, TypedColumn, run,
};
use beckon_engine::clock::{Clock, ManualClock};
use beckon_engine::dataflow::{Dataflow, DataflowConfig, MakeStage};
use beckon_engine::disk::{Disk, SimDisk};
use beckon_engine::log::{
    Appended, EmbeddedLog, Log, LogConfig, Named, NewRecord, OpenLog, RecordBody, dedup_key,
};
use beckon_engine::matcher::{Matcher, MatcherConfig, WideSetup};
use beckon_engine::model::{
    ActionRow, Epoch, EpochInput, EpochMark, EpochOutput, EventTimeMs, LogSeq, LoggedEvent, Op,
    PackedEvent, ServerTimeMs,
};
use beckon_engine::outbox::{OpenOutbox, Outbox, OutboxConfig, OutboxError, OutboxWriter};
use beckon_engine::pipeline::{Pipeline, PipelineConfig, PipelineParts};
use beckon_engine::suppress::{SuppressClock, SuppressConfig, Suppressor};
use beckon_rules::plan::RuleSet;
use parquet::record::Field;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stream::Step;

/// Longer than anything that a test waits for.
const LONG: Duration = Duration::from_secs(60);

/// What an engine is set up with.
struct Setup {
    rules: Arc<RuleSet>,
    matcher: MatcherConfig,
    suppress: SuppressConfig,
}

impl Setup {
    fn of(matcher: MatcherConfig, suppress: SuppressConfig) -> Self {
        Self { rules: rules::compiled(), matcher, suppress }
    }

    fn dataflow(&self, workers: usize) -> (DataflowConfig, MakeStage) {
        let suppressor = Suppressor::new(&self.rules, self.suppress.clone());
        let config = DataflowConfig {
            workers,
            wide: WideSetup::new(&self.rules, self.matcher),
            suppressor: suppressor.expect("a time zone"),
            ..DataflowConfig::default()
        };
        let (rules, matcher) = (Arc::clone(&self.rules), self.matcher);
        (config, Arc::new(move |_| Box::new(Matcher::new(Arc::clone(&rules), matcher))))
    }

    /// What the engine says of epochs.
    fn outputs(&self, epochs: Vec<EpochInput>, workers: usize) -> Vec<EpochOutput> {
        let outputs = Arc::new(Mutex::new(Vec::new()));
        let collected = Arc::clone(&outputs);
        let deliver = Box::new(move |output| collected.lock().expect("no panic").push(output));
        let (config, make_stage) = self.dataflow(workers);
        let dataflow = Dataflow::start(config, make_stage, deliver).expect("it starts");
        for epoch in epochs {
            dataflow.submit(epoch).expect("it runs");
        }
        dataflow.finish().expect("it ends");
        std::mem::take(&mut *outputs.lock().expect("no panic"))
    }

    /// Runs from the tables alone, and compares everything that is written of it with them.
    fn check_again(&self, reports: &Path, outputs: &[EpochOutput]) {
        let first = Tables::read(reports);
        check_variety(&first, &self.rules);
        for workers in [1, 2] {
            let again = self.outputs(inputs(reports), workers);
            assert!(actions(&again) == actions(outputs), "other actions, {workers} workers");
            let folder = tempfile::tempdir().expect("a folder");
            write_all(folder.path(), tables_config(), &again);
            Tables::read(folder.path()).check_equal(&first);
        }
    }
}

/// The typed columns of what the rules' package declares.
fn tables_config() -> ParquetConfig {
    let columns = [
        ("data.price", ColumnType::Number),
        ("data.rooms", ColumnType::Integer),
        ("data.note", ColumnType::String),
        ("data.gift", ColumnType::Boolean),
        ("data.at", ColumnType::Date),
    ];
    let column = |(path, kind): (&str, _)| TypedColumn { path: path.into(), kind };
    ParquetConfig { typed_columns: columns.map(column).into(), ..ParquetConfig::default() }
}

fn actions(outputs: &[EpochOutput]) -> Vec<(Epoch, &[ActionRow])> {
    outputs.iter().map(|output| (output.mark.epoch, output.actions.as_slice())).collect()
}

/// The engine's input: the events of `events` that were in the log, cut by the rows of `epochs`.
fn inputs(reports: &Path) -> Vec<EpochInput> {
    let mut events: BTreeMap<i64, Vec<LoggedEvent>> = BTreeMap::new();
    for row in rows(reports, "events") {
        // What the engine made up it makes up again.
        if boolean(&row, "made_up") == Some(true) {
            continue;
        }
        let event = match &row["unreadable"] {
            Field::Bytes(bytes) => PackedEvent::from_bytes(bytes.data()),
            _ => PackedEvent::pack(&to_event(&row)),
        };
        let logged = LoggedEvent { seq: LogSeq(count(&row, "log_sequence")), event };
        events.entry(long(&row, "epoch").expect("an epoch")).or_default().push(logged);
    }
    let mut epochs = rows(reports, "epochs");
    epochs.sort_by_key(|row| long(row, "epoch"));
    let input = |row: &Row| {
        let mark = EpochMark {
            epoch: Epoch(count(row, "epoch")),
            first_seq: LogSeq(count(row, "log_sequence_first")),
            last_seq: LogSeq(count(row, "log_sequence_last")),
            now: ServerTimeMs(time_ms(row, "now").expect("a time")),
            // No time is the end of the input.
            watermark: time_ms(row, "watermark").map_or(EventTimeMs::MAX, EventTimeMs),
        };
        let epoch = long(row, "epoch").expect("an epoch");
        let mut events = events.remove(&epoch).unwrap_or_default();
        events.sort_by_key(|event| event.seq);
        EpochInput { mark, events }
    };
    let inputs = epochs.iter().map(input).collect();
    assert!(events.is_empty(), "events of no epoch");
    inputs
}

fn count(row: &Row, column: &str) -> u64 {
    u64::try_from(long(row, column).expect("a number")).expect("not negative")
}

/// All rows of all tables.
struct Tables(BTreeMap<&'static str, Vec<Row>>);

impl Tables {
    fn read(reports: &Path) -> Self {
        let table = |table: &'static str| {
            let mut rows = rows(reports, table);
            if table == "events" {
                // They lie in a folder for each name.
                let is_logged = |row: &Row| boolean(row, "made_up") != Some(true);
                rows.sort_by_key(|row| (long(row, "log_sequence"), is_logged(row)));
                rows.iter_mut().for_each(sort_fields);
            }
            (table, rows)
        };
        Self(["events", "visits", "actions", "epochs"].map(table).into())
    }

    fn check_equal(&self, first: &Self) {
        for (table, rows) in &self.0 {
            let expected = &first.0[table];
            assert_eq!(rows.len(), expected.len(), "{table}");
            for (row, expected) in rows.iter().zip(expected) {
                assert_eq!(row, expected, "{table}");
            }
        }
    }

    /// What stands in a column of text.
    fn texts(&self, table: &str, column: &str) -> BTreeSet<String> {
        let texts = self.0[table].iter().filter_map(|row| super::read::text(row, column));
        texts.collect()
    }
}

/// The order of an event's fields means nothing and is not kept.
fn sort_fields(row: &mut Row) {
    let Some(Field::Str(fields)) = row.get_mut("fields") else { return };
    let sorted: BTreeMap<String, serde_json::Value> = serde_json::from_str(fields).expect("JSON");
    *fields = serde_json::to_string(&sorted).expect("JSON");
}

/// What a run does not have, it does not test.
fn check_variety(first: &Tables, rules: &RuleSet) {
    let fired = first.texts("actions", "rule");
    let silent = rules.rules.iter().filter(|rule| !fired.contains(&*rule.name));
    assert_eq!(silent.map(|rule| &*rule.name).collect::<Vec<_>>(), [""; 0]);
    let ops = [Op::Assert, Op::Correct, Op::Retract, Op::Suppress].map(Op::as_str);
    assert!(first.texts("actions", "op").iter().eq(&ops), "{:?}", first.texts("actions", "op"));
    let fates = first.texts("events", "fate");
    for fate in ["matched", "put_in_place", "before_horizon", "unproven", "unreadable"] {
        assert!(fates.contains(fate), "{fate}: {fates:?}");
    }
    let is_empty = |row: &&Row| long(row, "events") == Some(0);
    assert!(first.0["epochs"].iter().filter(is_empty).count() > 5, "ticks");
}

/// The ordinary way of events, while time passes.
fn live(setup: &Setup, steps: &[Step], reports: &Path) -> Vec<EpochOutput> {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::default());
    let clock = Arc::new(ManualClock::new(ServerTimeMs(NOON)));
    let log = Arc::new(open_log(&disk, &clock));
    let (writer, _) = OutboxWriter::open(OpenOutbox {
        disk,
        dir: "outbox".into(),
        config: OutboxConfig::default(),
        slowest: Some(Epoch(0)),
        log_last: Epoch(0),
    })
    .expect("a new outbox");
    let outbox = writer.outbox();
    let (dataflow, make_stage) = setup.dataflow(1);
    let parts = PipelineParts {
        log: Arc::clone(&log) as Arc<dyn Log>,
        sink: Box::new(writer),
        make_stage,
        catalog: None,
        snapshots: None,
        restored: None,
    };
    // Time passes with the steps alone.
    let config = PipelineConfig { dataflow, tick_interval: LONG, ..PipelineConfig::default() };
    let pipeline = Pipeline::start(parts, config).expect("it starts");
    for step in steps {
        clock.set(step.now);
        take(&log, step);
    }
    log.close();
    pipeline.stop().expect("nothing failed");
    let tables = ParquetTables::open(reports, tables_config()).expect("new tables");
    let (stop, durable) = (Stop::default(), &mut |_| Ok(()));
    let wait = &mut |wait| stop.wait(wait);
    let mut context = SinkContext { stop: &stop, clock: &*clock, wait, durable };
    run(tables, &mut OutboxSource::new(outbox.clone()), &mut context).expect("closed");
    said(&outbox)
}

fn open_log(disk: &Arc<dyn Disk>, clock: &Arc<ManualClock>) -> EmbeddedLog {
    EmbeddedLog::open(OpenLog {
        disk: Arc::clone(disk),
        dir: "log".into(),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        config: LogConfig { disk_free_bytes_min: 0, ..LogConfig::default() },
        named: Named::default(),
        base: None,
        on_fatal: Arc::new(|reason| panic!("{reason}")),
    })
    .expect("a new log")
}

/// Appends a step's events, or asks for an epoch without any; waits until it is on disk.
fn take(log: &EmbeddedLog, step: &Step) {
    let before = log.durable().map(|mark| mark.epoch);
    if step.events.is_empty() {
        log.tick();
        while log.durable().map(|mark| mark.epoch) == before {
            std::thread::yield_now();
        }
        return;
    }
    let record = |event: &PackedEvent| NewRecord {
        site: stream::SITE.into(),
        visitor_hash: 0,
        dedup: event.view().ok().map(|view| dedup_key(view.site, &view.id())),
        body: RecordBody::Event(event.clone()),
    };
    let (said, answer) = sync_channel(1);
    let done = Box::new(move |answer| said.send(answer).expect("the test waits"));
    log.append(step.events.iter().map(record).collect(), done).expect("there is room");
    let answers = answer.recv_timeout(LONG).expect("an answer").expect("on disk");
    assert!(answers.iter().all(|answer| matches!(answer, Appended::Stored(_))), "{answers:?}");
}

fn said(outbox: &Outbox) -> Vec<EpochOutput> {
    let mut reader = outbox.reader(Epoch(0)).expect("nothing was released");
    let mut outputs = Vec::new();
    loop {
        match reader.next(Duration::ZERO) {
            Ok(Some(output)) => outputs.push(output),
            Ok(None) | Err(OutboxError::Closed) => return outputs,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn what_the_log_gave_the_tables_give_again() {
    let setup = Setup::of(MatcherConfig::default(), SuppressConfig::default());
    let folder = tempfile::tempdir().expect("a folder");
    let outputs = live(&setup, &stream::steps(1), folder.path());
    setup.check_again(folder.path(), &outputs);
}

/// As `beckon replay` cuts them: the watermark is the largest time so far, and none at the end.
fn replayed(steps: &[Step]) -> Vec<EpochInput> {
    let mut watermark = EventTimeMs::MIN;
    let mut seq = LogSeq(0);
    let input = |(epoch, step): (u64, &Step)| {
        let first_seq = seq.next();
        let logged = |event: &PackedEvent| {
            seq = seq.next();
            let time = event.view().map_or(EventTimeMs::MIN, |view| view.timestamp);
            watermark = watermark.max(time);
            LoggedEvent { seq, event: event.clone() }
        };
        let events = step.events.iter().map(logged).collect();
        let mark = EpochMark {
            epoch: Epoch(epoch),
            first_seq,
            last_seq: seq,
            now: step.now,
            watermark: if epoch == steps.len() as u64 { EventTimeMs::MAX } else { watermark },
        };
        EpochInput { mark, events }
    };
    (1..).zip(steps).map(input).collect()
}

#[test]
fn what_a_replay_gave_the_tables_give_again() {
    let matcher = MatcherConfig {
        inactivity_ms: None,
        makes_visit_started: false,
        ..MatcherConfig::default()
    };
    let clock = SuppressClock::Watermark;
    let suppress = SuppressConfig { clock, invitations: None, ..SuppressConfig::default() };
    let setup = Setup::of(matcher, suppress);
    let folder = tempfile::tempdir().expect("a folder");
    let outputs = setup.outputs(replayed(&stream::steps(2)), 1);
    write_all(folder.path(), tables_config(), &outputs);
    setup.check_again(folder.path(), &outputs);
}
