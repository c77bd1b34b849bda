//! The pipeline over a log in memory: what is derived, when time is asked for, how it ends.

mod crash;

use super::{
    EpochSink, Kept, Pipeline, PipelineConfig, PipelineError, PipelineParts, Processed, SinkError,
};
use crate::clock::{Clock, ManualClock};
use crate::dataflow::tests::fake::{FakeStage, PANIC, event, expected};
use crate::dataflow::{DataflowConfig, MakeStage, Stopped};
use crate::log::{
    Acknowledge, CommitMark, Group, Log, LogError, LogReader, LogStats, LoggedRecord, NewRecord,
    RecordBody, Refused,
};
use crate::matcher::testing::compiled;
use crate::matcher::{Matcher, MatcherConfig, WideSetup};
use crate::model::{
    Epoch, EpochInput, EpochOutput, EventTimeMs, LogSeq, LoggedEvent, ServerTimeMs,
};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

const DELAY_MS: u32 = 300;

/// A log in memory; clones share it.
#[derive(Clone, Debug, Default)]
struct MemoryLog(Arc<Memory>);

#[derive(Debug, Default)]
struct Memory {
    groups: Mutex<Vec<Group>>,
    written: Condvar,
    clock: ManualClock,
    silences: AtomicU64,
    damaged_at: Option<usize>,
    closed: AtomicBool,
}

impl Deref for MemoryLog {
    type Target = Memory;

    fn deref(&self) -> &Memory {
        &self.0
    }
}

impl MemoryLog {
    fn write(&self, bodies: Vec<RecordBody>) {
        let mut groups = self.groups.lock().expect("no test panics here");
        let (epoch, last_seq) = groups
            .last()
            .map_or((Epoch(0), LogSeq(0)), |last| (last.mark.epoch, last.mark.last_seq));
        let records: Vec<_> = (last_seq.0 + 1..)
            .zip(bodies)
            .map(|(seq, body)| LoggedRecord { seq: LogSeq(seq), body })
            .collect();
        let first_seq = last_seq.next();
        let last_seq = records.last().map_or(last_seq, |record| record.seq);
        let mark = CommitMark { epoch: epoch.next(), first_seq, last_seq, now: self.clock.now() };
        groups.push(Group { mark, records });
        self.written.notify_all();
    }

    /// One event of `visit`, whose time is its number in the log.
    fn write_event(&self, visit: &str, name: &str) {
        let seq = self.durable().map_or(1, |mark| mark.last_seq.0 + 1);
        self.write(vec![RecordBody::Event(event(seq, visit, name).event)]);
    }

    /// As the feeder should see it.
    fn epochs(&self) -> Vec<EpochInput> {
        let mut marks = super::feeder::Marks::new(DELAY_MS);
        let groups = self.groups.lock().expect("no test panics here");
        groups.iter().map(|group| marks.epoch(group.clone()).input).collect()
    }
}

impl Log for MemoryLog {
    fn epoch_before(&self, _: ServerTimeMs) -> Epoch {
        Epoch(0)
    }

    fn append(&self, _: Vec<NewRecord>, _: Acknowledge) -> Result<(), Refused> {
        Err(Refused::Closed)
    }

    fn admits(&self, _: usize) -> Result<(), Refused> {
        Err(Refused::Closed)
    }

    fn tick(&self) {
        self.write(Vec::new());
    }

    fn durable(&self) -> Option<CommitMark> {
        self.groups.lock().expect("no test panics here").last().map(|group| group.mark)
    }

    fn reader(&self, after: Option<Epoch>) -> Result<Box<dyn LogReader>, LogError> {
        assert_eq!(after, None, "the pipeline reads from the start");
        Ok(Box::new(Reader { log: self.clone(), next: 0 }))
    }

    fn release(&self, _: Epoch) {}

    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    fn stats(&self) -> LogStats {
        LogStats::default()
    }
}

struct Reader {
    log: MemoryLog,
    next: usize,
}

impl LogReader for Reader {
    fn next(&mut self, wait: Duration) -> Result<Option<Group>, LogError> {
        if self.log.damaged_at == Some(self.next) {
            return Err(LogError::Gone(Epoch(self.next as u64)));
        }
        let groups = self.log.groups.lock().expect("no test panics here");
        let missing = |groups: &mut Vec<Group>| groups.len() <= self.next;
        let (groups, _) = self
            .log
            .written
            .wait_timeout_while(groups, wait, missing)
            .expect("no test panics here");
        let Some(group) = groups.get(self.next) else {
            self.log.silences.fetch_add(1, Ordering::Relaxed);
            return if self.log.closed.load(Ordering::Relaxed) {
                Err(LogError::Closed)
            } else {
                Ok(None)
            };
        };
        self.next += 1;
        Ok(Some(group.clone()))
    }
}

/// Keeps outputs, refuses one epoch, and has room for so many.
#[derive(Clone)]
struct Sink {
    outputs: Arc<Mutex<Vec<EpochOutput>>>,
    refused: Option<Epoch>,
    room: Arc<AtomicUsize>,
    waits: Arc<AtomicU64>,
}

impl Default for Sink {
    fn default() -> Self {
        let room = Arc::new(AtomicUsize::new(usize::MAX));
        Self { outputs: Arc::default(), refused: None, room, waits: Arc::default() }
    }
}

impl EpochSink for Sink {
    fn append(&mut self, output: &EpochOutput) -> Result<Kept, SinkError> {
        if self.refused == Some(output.mark.epoch) {
            return Err("no space left".into());
        }
        let mut outputs = self.outputs.lock().expect("no test panics here");
        if outputs.len() >= self.room.load(Ordering::Relaxed) {
            return Ok(Kept::Full);
        }
        outputs.push(output.clone());
        Ok(Kept::Yes)
    }

    fn wait_for_room(&mut self, _: Duration) {
        self.waits.fetch_add(1, Ordering::Relaxed);
        thread::yield_now();
    }
}

struct Running {
    pipeline: Pipeline,
    told: Arc<Mutex<Vec<String>>>,
}

fn start(log: &MemoryLog, sink: &Sink) -> Running {
    start_with(log, sink, Arc::new(|_| Box::new(FakeStage::default())), None)
}

fn start_with(
    log: &MemoryLog,
    sink: &Sink,
    make_stage: MakeStage,
    wide: Option<WideSetup>,
) -> Running {
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let config = PipelineConfig {
        dataflow: DataflowConfig {
            workers: 2,
            wide,
            on_fatal: Arc::new(move |reason| {
                listener.lock().expect("no test panics here").push(reason.to_owned());
            }),
            ..DataflowConfig::default()
        },
        watermark_delay_ms: DELAY_MS,
        tick_interval: Duration::from_millis(1),
        ..PipelineConfig::default()
    };
    let parts = PipelineParts {
        log: Arc::new(log.clone()),
        sink: Box::new(sink.clone()),
        make_stage,
        catalog: None,
        snapshots: None,
        restored: None,
    };
    Running { pipeline: Pipeline::start(parts, config).expect("the pipeline starts"), told }
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        thread::yield_now();
    }
}

/// What the sink has is what a plain loop over the log's groups says.
fn check_outputs(log: &MemoryLog, sink: &Sink) {
    let outputs = sink.outputs.lock().expect("no test panics here");
    assert_eq!(*outputs, expected(&log.epochs()));
}

#[test]
fn groups_become_epochs_and_stop_drains() {
    let log = MemoryLog::default();
    for number in 0..40 {
        log.clock.advance(100);
        log.write_event(["a", "b", "c"][number % 3], "E");
    }
    let sink = Sink::default();
    let running = start(&log, &sink);
    log.close();
    let stats = running.pipeline.stop().expect("nothing failed");
    check_outputs(&log, &sink);
    assert_eq!(stats.processed, Processed { epoch: Epoch(40), seq: LogSeq(40) });
    let restarted = Sink::default();
    start(&log, &restarted).pipeline.stop().expect("nothing failed");
    check_outputs(&log, &restarted);
    assert_eq!(*running.told.lock().expect("no test panics here"), Vec::<String>::new());
}

#[test]
fn the_watermark_follows_the_clock_and_never_goes_back() {
    let mut marks = super::feeder::Marks::new(DELAY_MS);
    let mut watermark = |now| {
        let mark = CommitMark {
            epoch: Epoch(1),
            first_seq: LogSeq(1),
            last_seq: LogSeq(0),
            now: ServerTimeMs(now),
        };
        marks.epoch(Group { mark, records: Vec::new() }).input.mark.watermark
    };
    assert_eq!(watermark(1_000), EventTimeMs(700));
    assert_eq!(watermark(900), EventTimeMs(700));
    assert_eq!(watermark(1_001), EventTimeMs(701));
}

#[test]
fn tombstones_are_passed_over_and_keep_their_numbers() {
    let log = MemoryLog::default();
    let real = event(2, "a", "E");
    log.write(vec![RecordBody::Tombstone, RecordBody::Event(real.event.clone())]);
    let [input] = &log.epochs()[..] else { panic!("one epoch") };
    assert_eq!(input.events, [LoggedEvent { seq: LogSeq(2), event: real.event }]);
    assert_eq!((input.mark.first_seq, input.mark.last_seq), (LogSeq(1), LogSeq(2)));
}

#[test]
fn time_is_asked_for_while_a_visit_is_open_and_not_after() {
    let log = MemoryLog::default();
    log.write_event("a", "E");
    let sink = Sink::default();
    let running = start(&log, &sink);
    let pipeline = &running.pipeline;
    wait_until(|| pipeline.stats().ticks_asked >= 3);
    assert_eq!(pipeline.stats().dataflow.stage.visits_open, 1);
    log.clock.advance(10_000);
    wait_until(|| pipeline.stats().dataflow.stage.visits_open == 0);
    let settled = || {
        let stats = pipeline.stats().dataflow;
        stats.epochs_submitted == stats.epochs_delivered && pipeline.lag_records() == 0
    };
    wait_until(settled);
    let silences = log.silences.load(Ordering::Relaxed);
    wait_until(|| log.silences.load(Ordering::Relaxed) >= silences + 2);
    let ticks = pipeline.stats().ticks_asked;
    wait_until(|| log.silences.load(Ordering::Relaxed) >= silences + 20);
    assert_eq!(pipeline.stats().ticks_asked, ticks, "a tick with nothing open");
    running.pipeline.stop().expect("nothing failed");
    check_outputs(&log, &sink);
}

/// A rule on the site that waits for what does not come, over a visit that ends at once.
fn start_waiting(log: &MemoryLog, sink: &Sink, maxspan: &str) -> Running {
    let query = format!("sequence with maxspan={maxspan} [E where true] ![X where true]");
    let rules = compiled(&query, "window = \"site\"");
    let config =
        MatcherConfig { lateness_ms: 0, inactivity_ms: Some(0), ..MatcherConfig::default() };
    let wide = WideSetup::new(&rules, config);
    let make_stage: MakeStage =
        Arc::new(move |_| Box::new(Matcher::new(Arc::clone(&rules), config)));
    start_with(log, sink, make_stage, wide)
}

fn actions(sink: &Sink) -> usize {
    let outputs = sink.outputs.lock().expect("no test panics here");
    outputs.iter().map(|output| output.actions.len()).sum()
}

/// Once its visit is over, a visitor is waited for without a tick until it is time.
#[test]
fn time_is_asked_for_when_a_window_that_outlives_visits_is_due() {
    let (log, sink) = (MemoryLog::default(), Sink::default());
    let running = start_waiting(&log, &sink, "200ms");
    let pipeline = &running.pipeline;
    wait_until(|| log.silences.load(Ordering::Relaxed) > 0);
    log.clock.advance(DELAY_MS + 2);
    log.write_event("a", "E");
    let due = || pipeline.stats().dataflow.wide.due;
    wait_until(|| due() == Some(EventTimeMs(202)) && pipeline.stats().processed.epoch >= Epoch(1));
    // The visit is over; each silence lasts a millisecond.
    wait_until(|| pipeline.stats().ticks_asked > 0);
    assert!(log.silences.load(Ordering::Relaxed) >= 200, "asked for too early");
    log.clock.advance(1_000);
    wait_until(|| due().is_none());
    running.pipeline.stop().expect("nothing failed");
    assert_eq!(actions(&sink), 1);
}

/// The server was down for a week: what was to come meanwhile has not, and that is said at once.
#[test]
fn time_is_asked_for_behind_a_start_where_a_window_waits() {
    let (log, sink) = (MemoryLog::default(), Sink::default());
    log.clock.advance(DELAY_MS + 2);
    log.write_event("a", "E");
    log.clock.advance(7 * 86_400_000);
    let running = start_waiting(&log, &sink, "7d");
    let pipeline = &running.pipeline;
    let silences = || log.silences.load(Ordering::Relaxed);
    wait_until(|| actions(&sink) > 0 || silences() > 5_000);
    assert_eq!(actions(&sink), 1, "nobody asked what time it is");
    // Now the time is known, and nothing waits.
    wait_until(|| pipeline.stats().dataflow.wide.due.is_none());
    let (ticks, before) = (pipeline.stats().ticks_asked, silences());
    wait_until(|| silences() > before + 20);
    assert!(pipeline.stats().ticks_asked <= ticks + 1, "nothing waits");
    running.pipeline.stop().expect("nothing failed");
}

#[test]
fn lag_and_readiness_follow_the_sink() {
    let log = MemoryLog::default();
    (0..30).for_each(|_| log.write_event("a", "E"));
    let sink = Sink::default();
    let held = sink.outputs.lock().expect("no test panics here");
    let running = start(&log, &sink);
    assert!(!running.pipeline.has_caught_up());
    assert_eq!(running.pipeline.lag_records(), 30);
    assert_eq!(running.pipeline.processed(), Processed::default());
    drop(held);
    wait_until(|| running.pipeline.has_caught_up());
    assert_eq!(running.pipeline.lag_records(), 0);
    assert_eq!(running.pipeline.processed().seq, LogSeq(30));
}

/// How it ends is told once, and stopping says it again.
fn check_failure(log: &MemoryLog, sink: &Sink, is_it: fn(&PipelineError) -> bool) {
    let running = start(log, sink);
    wait_until(|| !running.told.lock().expect("no test panics here").is_empty());
    let error = running.pipeline.stop().expect_err("it failed");
    assert!(is_it(&error), "{error:?}");
    let told = running.told.lock().expect("no test panics here");
    assert_eq!(told.len(), 1, "{told:?}");
    let told = told[0].as_str();
    assert!(error.to_string().contains(told), "{error} was told as {told}");
}

#[test]
fn a_sink_that_fails_gets_nothing_after() {
    let log = MemoryLog::default();
    (0..30).for_each(|_| log.write_event("a", "E"));
    let sink = Sink { refused: Some(Epoch(7)), ..Sink::default() };
    check_failure(
        &log,
        &sink,
        |error| matches!(error, PipelineError::Sink { epoch: Epoch(7), what } if &**what == "no space left"),
    );
    assert_eq!(sink.outputs.lock().expect("no test panics here").len(), 6);
}

#[test]
fn damage_in_the_log_is_told() {
    let log = MemoryLog(Arc::new(Memory { damaged_at: Some(2), ..Memory::default() }));
    (0..3).for_each(|_| log.write_event("a", "E"));
    check_failure(&log, &Sink::default(), |error| matches!(error, PipelineError::Log(_)));
}

#[test]
fn a_panic_in_a_stage_is_told() {
    let log = MemoryLog::default();
    log.write_event("a", "E");
    log.write_event("a", PANIC);
    let running = start(&log, &Sink::default());
    wait_until(|| !running.told.lock().expect("no test panics here").is_empty());
    // The feeder finds out when it submits the next group.
    log.write_event("a", "E");
    let error = running.pipeline.stop().expect_err("it failed");
    assert!(matches!(error, PipelineError::Stopped(Stopped::Failed(_))), "{error:?}");
    assert_eq!(running.told.lock().expect("no test panics here").len(), 1);
}

#[test]
fn dropping_gives_up() {
    let log = MemoryLog::default();
    (0..100).for_each(|_| log.write_event("a", "E"));
    drop(start(&log, &Sink::default()));
}

#[test]
fn a_full_sink_holds_everything_and_stopping_does_not_wait_for_it() {
    let log = MemoryLog::default();
    (0..50).for_each(|_| log.write_event("a", "E"));
    let sink = Sink::default();
    sink.room.store(5, Ordering::Relaxed);
    let running = start(&log, &sink);
    let waits = || sink.waits.load(Ordering::Relaxed);
    wait_until(|| waits() > 10);
    let taken = running.pipeline.stats().dataflow.epochs_submitted;
    assert!(taken <= 5 + 4, "{taken} epochs were taken from the log");
    assert_eq!(running.pipeline.processed().epoch, Epoch(5));
    sink.room.store(20, Ordering::Relaxed);
    wait_until(|| running.pipeline.processed().epoch == Epoch(20));
    let stats = running.pipeline.stop().expect("a full sink is no failure");
    assert_eq!(stats.processed.epoch, Epoch(20));
    assert_eq!(sink.outputs.lock().expect("no test panics here").len(), 20);
    assert_eq!(*running.told.lock().expect("no test panics here"), Vec::<String>::new());
}
