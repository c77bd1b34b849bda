//! The whole way: log, dataflow, live counts and outbox on a simulated disk, with event ids that
//! come again and a loss of power here and there.
//!
//! What the log should keep is found out naively: the first event of each (site, id), numbered. The
//! marks are the log's; the outbox of one worker, which ran while events came, and that of two, which
//! replayed the log, have the same bytes.

use super::stream::{self, Draft};
use beckon_engine::clock::{Clock, ManualClock};
use beckon_engine::dataflow::DataflowConfig;
use beckon_engine::disk::{Disk, SimDisk};
use beckon_engine::live::LiveConfig;
use beckon_engine::log::{
    Appended, CommitMark, EmbeddedLog, Log, LogConfig, Named, NewRecord, OpenLog, RecordBody,
    dedup_key,
};
use beckon_engine::matcher::{Matcher, MatcherConfig, WideSetup};
use beckon_engine::model::{
    Epoch, EpochInput, EpochMark, EpochOutput, Event, EventTimeMs, LogSeq, LoggedEvent,
    PackedEvent, ServerTimeMs,
};
use beckon_engine::outbox::{OpenOutbox, Outbox, OutboxConfig, OutboxError, OutboxWriter};
use beckon_engine::pipeline::{Pipeline, PipelineConfig, PipelineParts};
use beckon_engine::suppress::Suppressor;
use beckon_rules::plan::RuleSet;
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

const DELAY_MS: u32 = 2_000;
/// Longer than anything that a test waits for.
const LONG: Duration = Duration::from_secs(60);

/// An event as it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    draft: Draft,
    /// It has the id of an earlier one, of which it may be a copy or not.
    repeats: Option<Index>,
    /// The power fails behind the append that ends with it.
    then_crashes: bool,
}

/// One event to send.
pub(crate) fn sent() -> impl Strategy<Value = Sent> {
    let repeats = prop::option::weighted(0.3, any::<Index>());
    let what = (stream::draft(), repeats, prop::bool::weighted(0.1));
    what.prop_map(|(draft, repeats, then_crashes)| Sent { draft, repeats, then_crashes })
}

/// What an outbox holds in the end.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) outputs: Vec<EpochOutput>,
    /// Its files.
    pub(crate) bytes: BTreeMap<String, Vec<u8>>,
    /// Open visits of each site, as they are shown live.
    pub(crate) open_visits: BTreeMap<Arc<str>, i64>,
}

/// What came out of it.
#[derive(Debug)]
pub(crate) struct Way {
    /// What should be in the log, cut by the log's marks.
    pub(crate) epochs: Vec<EpochInput>,
    /// What the log answered, and what it should have.
    pub(crate) answers: Vec<Appended>,
    pub(crate) wanted: Vec<Appended>,
    pub(crate) one: Said,
    pub(crate) two: Said,
}

/// How the way is set up.
pub(crate) struct Setup {
    pub(crate) rules: Arc<RuleSet>,
    pub(crate) matcher: MatcherConfig,
    pub(crate) wide: Option<WideSetup>,
    pub(crate) suppressor: Suppressor,
}

impl Setup {
    /// Sends the events, each append an epoch, and reads what was said.
    pub(crate) fn run(&self, sent: &[Sent]) -> Way {
        let clock = Arc::new(ManualClock::new(ServerTimeMs(0)));
        let mut disk = SimDisk::default();
        let mut life = self.start(&disk, &clock, (1, "one"));
        let mut keeper = Keeper::default();
        let mut batch = Vec::new();
        for (number, (sent, (now, event))) in (1_u64..).zip(sent.iter().zip(events(sent))) {
            clock.set(now);
            batch.push(event);
            if !sent.draft.ends_epoch {
                continue;
            }
            life.append(&std::mem::take(&mut batch), &mut keeper);
            if sent.then_crashes {
                // What the old process still writes is not on the new one's disk.
                disk = disk.crash(number);
                drop(life);
                life = self.start(&disk, &clock, (1, "one"));
            }
        }
        life.append(&batch, &mut keeper);
        let marks = marks(&*life.log.0);
        let one = life.end(&disk, "one");
        let disk = disk.exit();
        let two = self.start(&disk, &clock, (2, "two")).end(&disk, "two");
        let answers = std::mem::take(&mut keeper.answers);
        let wanted = std::mem::take(&mut keeper.wanted);
        Way { epochs: keeper.epochs(&marks), answers, wanted, one, two }
    }

    fn start(&self, disk: &SimDisk, clock: &Arc<ManualClock>, who: (usize, &str)) -> Life {
        let (workers, outbox_dir) = who;
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let log = EmbeddedLog::open(OpenLog {
            disk: Arc::clone(&shared),
            dir: "log".into(),
            clock: Arc::clone(clock) as Arc<dyn Clock>,
            config: LogConfig { disk_free_bytes_min: 0, ..LogConfig::default() },
            named: Named::default(),
            base: None,
            // The test hears of it by what is refused; a second panic of the log's thread would abort.
            on_fatal: Arc::new(|_| ()),
        });
        let log = Arc::new(log.expect("the log is recovered"));
        let (writer, _) = OutboxWriter::open(OpenOutbox {
            disk: shared,
            dir: outbox_dir.into(),
            config: OutboxConfig::default(),
            slowest: Some(Epoch(0)),
            log_last: log.durable().map_or(Epoch(0), |mark| mark.epoch),
        })
        .expect("the outbox is recovered");
        let outbox = writer.outbox();
        let (rules, matcher) = (Arc::clone(&self.rules), self.matcher);
        let parts = PipelineParts {
            log: Arc::clone(&log) as Arc<dyn Log>,
            sink: Box::new(writer),
            make_stage: Arc::new(move |_| Box::new(Matcher::new(Arc::clone(&rules), matcher))),
            catalog: None,
            snapshots: None,
            restored: None,
        };
        let live = LiveConfig { live_interval_ms: 0, ..LiveConfig::default() };
        let config = PipelineConfig {
            dataflow: DataflowConfig {
                workers,
                live: Some(live),
                wide: self.wide.clone(),
                suppressor: self.suppressor.clone(),
                ..DataflowConfig::default()
            },
            watermark_delay_ms: DELAY_MS,
            // Time passes only with events.
            tick_interval: LONG,
            ..PipelineConfig::default()
        };
        let pipeline = Pipeline::start(parts, config).expect("the pipeline starts");
        Life { log: Closing(log), outbox, pipeline }
    }
}

/// The events as they are sent, and when.
fn events(sent: &[Sent]) -> Vec<(ServerTimeMs, Event)> {
    let mut clock_ms = stream::START_MS;
    let mut numbers: Vec<u64> = Vec::new();
    let event = |sent: &Sent| {
        clock_ms += sent.draft.step_ms;
        let number = match &sent.repeats {
            Some(earlier) if !numbers.is_empty() => *earlier.get(&numbers),
            _ => numbers.len() as u64 + 1,
        };
        numbers.push(number);
        (ServerTimeMs(clock_ms), stream::event(&sent.draft, number, clock_ms))
    };
    sent.iter().map(event).collect()
}

/// What the log should keep.
#[derive(Debug, Default)]
struct Keeper {
    seen: BTreeSet<(Arc<str>, String)>,
    kept: Vec<LoggedEvent>,
    answers: Vec<Appended>,
    wanted: Vec<Appended>,
}

impl Keeper {
    /// What the log should answer.
    fn take(&mut self, event: &Event) -> Appended {
        if !self.seen.insert((Arc::clone(&event.site), event.id.to_string())) {
            return Appended::Duplicate;
        }
        let seq = LogSeq(self.kept.len() as u64 + 1);
        self.kept.push(LoggedEvent { seq, event: PackedEvent::pack(event) });
        Appended::Stored(seq)
    }

    /// What is kept, cut into epochs; behind the last mark nothing should be left.
    fn epochs(self, marks: &[EpochMark]) -> Vec<EpochInput> {
        let mut kept = self.kept.into_iter().peekable();
        let cut = |mark: &EpochMark| {
            let events = std::iter::from_fn(|| kept.next_if(|event| event.seq <= mark.last_seq));
            EpochInput { mark: *mark, events: events.collect() }
        };
        let epochs = marks.iter().map(cut).collect();
        assert_eq!(kept.next(), None, "the last mark has everything behind it");
        epochs
    }
}

/// The log's marks, with their watermarks.
fn marks(log: &dyn Log) -> Vec<EpochMark> {
    let last = log.durable().map(|mark| mark.epoch);
    let mut reader = log.reader(None).expect("the log is readable");
    let mut watermark = EventTimeMs::MIN;
    let mut marks: Vec<EpochMark> = Vec::new();
    while marks.last().map(|mark| mark.epoch) < last {
        let group = reader.next(LONG).expect("readable").expect("it is on disk");
        let CommitMark { epoch, first_seq, last_seq, now } = group.mark;
        watermark = watermark.max(EventTimeMs(now.0 - i64::from(DELAY_MS)));
        marks.push(EpochMark { epoch, first_seq, last_seq, now, watermark });
    }
    marks
}

/// Closes the log however the test goes on: without that, a pipeline ends at the next tick only.
struct Closing(Arc<EmbeddedLog>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// One life of the process.
struct Life {
    /// Before the pipeline, so that it is dropped first.
    log: Closing,
    outbox: Outbox,
    pipeline: Pipeline,
}

impl Life {
    /// Appends events and waits until they are on disk.
    fn append(&self, events: &[Event], keeper: &mut Keeper) {
        let records = events.iter().map(|event| NewRecord {
            site: Arc::clone(&event.site),
            visitor_hash: 0,
            dedup: Some(dedup_key(&event.site, &event.id)),
            body: RecordBody::Event(PackedEvent::pack(event)),
        });
        let (said, answer) = sync_channel(1);
        let done = Box::new(move |answer| said.send(answer).expect("the test waits"));
        self.log.0.append(records.collect(), done).expect("there is room");
        // Compared behind the end, so that the failure shows what all of them were.
        keeper.answers.extend(answer.recv_timeout(LONG).expect("an answer").expect("on disk"));
        for event in events {
            let wanted = keeper.take(event);
            keeper.wanted.push(wanted);
        }
    }

    /// Ends in order, behind everything.
    fn end(self, disk: &SimDisk, outbox_dir: &str) -> Said {
        let live = self.pipeline.live().expect("it is configured");
        drop(self.log);
        self.pipeline.stop().expect("nothing failed");
        let mut reader = self.outbox.reader(Epoch(0)).expect("nothing was released");
        let mut outputs = Vec::new();
        loop {
            match reader.next(Duration::ZERO) {
                Ok(Some(output)) => outputs.push(output),
                Ok(None) | Err(OutboxError::Closed) => break,
                Err(error) => panic!("{error}"),
            }
        }
        let bytes = files(disk, Path::new(outbox_dir));
        Said { outputs, bytes, open_visits: live.snapshot().open_visits }
    }
}

fn files(disk: &SimDisk, dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |name: String| {
        let file = disk.open(&dir.join(&name)).expect("it was listed");
        let mut bytes = vec![0; usize::try_from(file.bytes().expect("known")).expect("small")];
        file.read_at(0, &mut bytes).expect("read");
        (name, bytes)
    };
    disk.list(dir).expect("listed").into_iter().map(read).collect()
}
