//! What the log costs for each event, in CPU time of all threads: events of about 290 bytes, on
//! files of the temporary folder, with the real fsync.
//!
//! `make`: the records alone, which are in every other figure too. `alone`: one append after the
//! other, each with an fsync of its own. `shared`: 64 appends under way, as 64 connections have,
//! which share fsyncs. `read`: following a log that is in the page cache. `dedup`: an index that
//! holds its bound, so that every insertion moves an old key out. `restart`: opening a log with as
//! many ids in digests, most of them of removed segments; CPU time of all threads, also of those
//! that ended (in ticks of the kernel, 10 ms), and wall time.

use beckon_benches::cpu::{self, CpuTime};
use beckon_engine::clock::SystemClock;
use beckon_engine::disk::RealDisk;
use beckon_engine::log::{
    DedupIndex, EmbeddedLog, Log, LogBase, LogConfig, Named, NewRecord, OpenLog, RecordBody,
    Standing, dedup_key,
};
use beckon_engine::model::{
    Event, EventId, EventTimeMs, Flags, Id, PackedEvent, ServerTimeMs, Value, VisitId,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

const IN_FLIGHT: usize = 64;
/// Groups of the log that is read, of 100 records each.
const READ_GROUPS: u64 = 2_000;
const DEDUP_IDS: u64 = 20_000_000;

fn event() -> Event {
    let text = |text: &str| Value::Str(text.into());
    Event {
        flags: Flags::default(),
        site: "shop".into(),
        name: "PageEntered".into(),
        id: EventId(Id::Bits(1)),
        visit: VisitId(Id::Bits(u128::MAX / 3)),
        visitor: None,
        page: Some(beckon_engine::model::PageId(Id::Bits(u128::MAX / 7))),
        timestamp: EventTimeMs(1_700_000_000_000),
        server_timestamp: ServerTimeMs(1_700_000_000_100),
        client_timestamp: None,
        tie: Some(3),
        fields: vec![
            ("url".into(), text("https://shop.example/lamps/table/walnut-lamp-42?utm_source=n")),
            ("url.path".into(), text("/lamps/table/walnut-lamp-42")),
            ("title".into(), text("Walnut lamp, 42 cm | Example Shop")),
            ("languageCode".into(), text("en-GB")),
            ("data".into(), Value::Map(vec![("price".into(), Value::Float(89.5))])),
        ],
    }
}

/// Makes records with new ids.
struct Maker {
    event: PackedEvent,
    site: Arc<str>,
    id: u128,
}

impl Maker {
    fn new() -> Self {
        Self { event: PackedEvent::pack(&event()), site: "shop".into(), id: 0 }
    }

    fn records(&mut self, count: usize) -> Vec<NewRecord> {
        let record = |id: u128| NewRecord {
            site: Arc::clone(&self.site),
            visitor_hash: 1,
            dedup: Some(dedup_key(&self.site, &EventId(Id::Bits(id)))),
            body: RecordBody::Event(self.event.clone()),
        };
        let first = self.id;
        self.id += count as u128;
        (first..self.id).map(record).collect()
    }
}

fn open(dir: &std::path::Path) -> EmbeddedLog {
    open_with(dir, LogConfig::default(), None)
}

fn open_with(dir: &std::path::Path, config: LogConfig, base: Option<LogBase>) -> EmbeddedLog {
    EmbeddedLog::open(OpenLog {
        disk: Arc::new(RealDisk),
        dir: dir.join("log"),
        clock: Arc::new(SystemClock::new()),
        config,
        named: Named::default(),
        base,
        on_fatal: Arc::new(|what| panic!("{what}")),
    })
    .expect("the log opens")
}

fn append(log: &EmbeddedLog, records: Vec<NewRecord>, done: &SyncSender<()>) {
    let done = done.clone();
    let acknowledge = Box::new(move |answer: Result<_, _>| {
        black_box(answer.expect("stored"));
        done.send(()).expect("the bench waits");
    });
    log.append(records, acknowledge).expect("taken");
}

fn appends(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("log");
    for size in [1, 10, 100] {
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(BenchmarkId::new("make", size), |bencher| {
            let mut maker = Maker::new();
            bencher.iter(|| maker.records(size));
        });
        group.bench_function(BenchmarkId::new("alone", size), |bencher| {
            let dir = tempfile::tempdir().expect("a temporary folder");
            let (log, mut maker) = (open(dir.path()), Maker::new());
            let (told, answers) = sync_channel(1);
            bencher.iter(|| {
                append(&log, maker.records(size), &told);
                answers.recv().expect("answered");
            });
        });
        group.throughput(Throughput::Elements((size * IN_FLIGHT) as u64));
        group.bench_function(BenchmarkId::new("shared", size), |bencher| {
            let dir = tempfile::tempdir().expect("a temporary folder");
            let (log, mut maker) = (open(dir.path()), Maker::new());
            let (told, answers) = sync_channel(IN_FLIGHT);
            for _ in 0..IN_FLIGHT {
                append(&log, maker.records(size), &told);
            }
            bencher.iter(|| {
                for _ in 0..IN_FLIGHT {
                    answers.recv().expect("answered");
                    append(&log, maker.records(size), &told);
                }
            });
            log.close();
        });
    }
    group.finish();
}

fn read(criterion: &mut Criterion<CpuTime>) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (log, mut maker) = (open(dir.path()), Maker::new());
    let (told, answers) = sync_channel(1);
    for _ in 0..READ_GROUPS {
        append(&log, maker.records(100), &told);
        answers.recv().expect("answered");
    }
    let mut group = criterion.benchmark_group("log");
    group.throughput(Throughput::Elements(READ_GROUPS * 100));
    group.bench_function("read", |bencher| {
        bencher.iter(|| {
            let mut reader = log.reader(None).expect("readable");
            for _ in 0..READ_GROUPS {
                black_box(reader.next(Duration::ZERO).expect("readable").expect("on disk"));
            }
        });
    });
    group.throughput(Throughput::Elements(READ_GROUPS * 100));
    group.bench_function("open", |bencher| {
        log.close();
        let stopped = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(stopped.path().join("log")).expect("made");
        for name in std::fs::read_dir(dir.path().join("log")).expect("listed") {
            let name = name.expect("listed").file_name();
            let to = stopped.path().join("log").join(&name);
            std::fs::copy(dir.path().join("log").join(&name), to).expect("copied");
        }
        bencher.iter(|| open(stopped.path()));
    });
    group.finish();
}

fn dedup(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("log");
    group.throughput(Throughput::Elements(1_000));
    for held in [100_000, DEDUP_IDS] {
        let mut index = DedupIndex::new(usize::try_from(held).expect("64 bits"));
        let mut id = 0_u128;
        let mut insert = |count: u64| {
            for _ in 0..count {
                let key = dedup_key("shop", &EventId(Id::Bits(id)));
                black_box(index.insert(key, ServerTimeMs(0)));
                id += 1;
            }
        };
        insert(held);
        group.bench_function(BenchmarkId::new("dedup", held), |bencher| {
            bencher.iter(|| insert(1_000));
        });
    }
    group.finish();
}

/// CPU time of this process so far, in ticks of 10 ms.
fn process_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has /proc/self/stat");
    let behind_name = stat.rsplit(')').next().expect("fields behind the name");
    let ticks = behind_name.split_whitespace().skip(11).take(2);
    let ticks = ticks.map(|ticks| ticks.parse::<u64>().expect("a number")).sum::<u64>();
    Duration::from_millis(ticks * 10)
}

fn restart(criterion: &mut Criterion<CpuTime>) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let config = LogConfig { log_bytes_max: 1 << 30, ..LogConfig::default() };
    let log = open_with(dir.path(), config.clone(), None);
    let mut maker = Maker::new();
    let small = Event { fields: Vec::new(), page: None, tie: None, ..event() };
    let mut records = |first: u64| {
        let mut records = maker.records(1_000);
        for (record, id) in records.iter_mut().zip(u128::from(first)..) {
            let event = Event { id: EventId(Id::Bits(id)), ..small.clone() };
            record.body = RecordBody::Event(PackedEvent::pack(&event));
        }
        records
    };
    let (told, answers) = sync_channel(IN_FLIGHT);
    for number in 0..DEDUP_IDS / 1_000 {
        if number >= IN_FLIGHT as u64 / 8 {
            answers.recv().expect("answered");
            log.release(log.durable().expect("not empty").epoch);
        }
        append(&log, records(number * 1_000), &told);
    }
    log.close();
    let epoch = log.durable().expect("not empty").epoch;
    drop(log);
    let base = LogBase { epoch, standing: Standing::default() };
    let mut group = criterion.benchmark_group("log");
    group.sample_size(10);
    for (name, time) in [("cpu", process_time as fn() -> Duration), ("wall", wall_time)] {
        group.bench_function(BenchmarkId::new("restart", name), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut taken = Duration::ZERO;
                for _ in 0..iterations {
                    let started = time();
                    let log = open_with(dir.path(), config.clone(), Some(base.clone()));
                    taken += time().saturating_sub(started);
                    assert_eq!(log.stats().dedup_ids, DEDUP_IDS);
                }
                taken
            });
        });
    }
    group.finish();
}

/// Wall time since the first call.
fn wall_time() -> Duration {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed()
}

criterion_group! {
    name = all;
    config = cpu::criterion().measurement_time(Duration::from_secs(2));
    targets = appends, read, dedup, restart
}
criterion_main!(all);
