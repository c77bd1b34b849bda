//! What the dataflow costs for each event, in CPU time of all threads, from `submit` to `deliver`.
//!
//! `nothing`: a stage that says nothing: feed, exchange, sorting, progress. `record`: one row for
//! each event: the way through the collector too. `live`: with counts of the last hour. `rules=N`:
//! the matcher itself, one worker. Epochs of 100 are a busy server's commit groups, those of 1,000 a
//! replay's. Every figure has the cost of making the epochs in it, which `make` shows alone.

use beckon_benches::cpu::CpuTime;
use beckon_engine::dataflow::{Dataflow, DataflowConfig, MakeStage};
use beckon_engine::live::LiveConfig;
use beckon_engine::matcher::{Matcher, MatcherConfig};
use beckon_engine::model::{
    Epoch, EpochInput, EpochMark, Event, EventId, EventRow, EventTimeMs, Fate, Flags, Id, Identity,
    LogSeq, LoggedEvent, PackedEvent, ServerTimeMs, Value, VisitId,
};
use beckon_engine::stage::{Effect, RuleChange, Stage, StageStats};
use beckon_rules::compile::{PackageSources, SourceFile, compile};
use beckon_rules::schema::Schema;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::sync::Arc;

const NAMES: u64 = 50;
const VISITS: u64 = 20_000;
/// Events made before measuring; epochs walk over them again with new numbers and times.
const EVENTS: u64 = 100_000;

/// A stage that does nothing, or records every event.
struct Dull {
    records: bool,
}

impl Stage for Dull {
    fn event(&mut self, event: &LoggedEvent, out: &mut Vec<Effect>) {
        if self.records {
            out.push(Effect::Event(EventRow {
                seq: event.seq,
                event: event.event.clone(),
                instance: None,
                fate: Fate::Matched,
                identity: Identity::default(),
            }));
        }
    }

    fn end_epoch(&mut self, _: &EpochMark, _: &mut Vec<Effect>) {}

    fn deploy(&mut self, _: &RuleChange) {}

    fn stats(&self) -> StageStats {
        // As on a busy server, where live counts are said ten times a second.
        StageStats { visits_open: 1, ..StageStats::default() }
    }
}

/// Events of about 300 bytes, a millisecond apart.
fn events() -> Vec<PackedEvent> {
    let field = |name: &str, value: Value| (name.into(), value);
    let text = |text: String| Value::Str(text.into());
    (0..EVENTS)
        .map(|number| {
            let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
            let path = format!("/shop/lamps/table/walnut-lamp-{}", mixed % 500);
            let timestamp = i64::try_from(number).expect("small");
            PackedEvent::pack(&Event {
                flags: Flags::default(),
                site: "shop".into(),
                name: format!("Event{}", mixed % NAMES).into(),
                id: EventId(Id::Bits(u128::from(number))),
                visit: VisitId(Id::Bits(u128::from(mixed % VISITS) << 64)),
                visitor: None,
                page: None,
                timestamp: EventTimeMs(timestamp),
                server_timestamp: ServerTimeMs(timestamp),
                client_timestamp: None,
                tie: None,
                fields: vec![
                    field("url", text(format!("https://shop.example{path}?utm_source=news"))),
                    field("url.path", text(path)),
                    field("title", text("Walnut lamp, 42 cm | Example Shop".to_owned())),
                    field("languageCode", text("en".to_owned())),
                    field("category", Value::List(vec![text("lamps".to_owned())])),
                    field("userAgent.name", text("Firefox".to_owned())),
                    field(
                        "data",
                        Value::Map(vec![(
                            "price".into(),
                            Value::Int(i64::try_from(mixed % 1_000).expect("small")),
                        )]),
                    ),
                ],
            })
        })
        .collect()
}

/// One in two is a sequence; each wants an event name and an amount.
fn matcher(rules: u64) -> MakeStage {
    let file = |number: u64| {
        let (first, second) = (number % NAMES, (number * 7 + 1) % NAMES);
        let price = number % 1_000;
        let query = if number.is_multiple_of(2) {
            format!("Event{first} where data.price == {price} and category == \"lamps\"")
        } else {
            format!(
                "sequence with maxspan=30m [Event{first} where data.price > {price}] \
                 [Event{second} where data.price < {price}]"
            )
        };
        let text =
            format!("name = \"r{number}\"\nquery = '''{query}'''\n[action]\ntype = \"none\"\n");
        SourceFile { file: format!("r{number}.toml"), text }
    };
    let package = PackageSources {
        name: "com.example".to_owned(),
        package_file: None,
        rules: (0..rules).map(file).collect(),
        is_operator: true,
        site: None,
    };
    let (plan, diagnostics) = compile(&[package], &Schema::event());
    let plan = Arc::new(plan.unwrap_or_else(|| panic!("{diagnostics:?}")));
    let config = MatcherConfig { inactivity_ms: Some(60_000), ..MatcherConfig::default() };
    Arc::new(move |_| Box::new(Matcher::new(Arc::clone(&plan), config)))
}

/// Makes epochs without end: each round over the events has later times and visits of its own.
struct Maker<'a> {
    events: &'a [PackedEvent],
    size: u64,
    epoch: u64,
    seq: u64,
}

/// Places in a packed event (its format, version 1).
const TIMESTAMP: std::ops::Range<usize> = 4..12;
const VISIT_ROUND: std::ops::Range<usize> = 38..46;

impl Maker<'_> {
    fn event(&mut self) -> LoggedEvent {
        self.seq += 1;
        let round = self.seq / EVENTS;
        let index = usize::try_from(self.seq % EVENTS).expect("small");
        let mut bytes = self.events[index].as_bytes().to_vec();
        bytes[TIMESTAMP].copy_from_slice(&self.seq.to_le_bytes());
        bytes[VISIT_ROUND].copy_from_slice(&round.to_le_bytes());
        LoggedEvent { seq: LogSeq(self.seq), event: PackedEvent::from_bytes(&bytes) }
    }

    fn epoch(&mut self) -> EpochInput {
        self.epoch += 1;
        let first_seq = LogSeq(self.seq + 1);
        let events = (0..self.size).map(|_| self.event()).collect();
        let last_event = i64::try_from(self.seq).expect("small");
        let mark = EpochMark {
            epoch: Epoch(self.epoch),
            first_seq,
            last_seq: LogSeq(self.seq),
            // The server's clock runs as if 100,000 events came each second.
            now: ServerTimeMs(last_event / 100),
            watermark: EventTimeMs(last_event - 2_000),
        };
        EpochInput { mark, events }
    }
}

fn measure(
    criterion: &mut Criterion<CpuTime>,
    events: &[PackedEvent],
    name: &str,
    config: &DataflowConfig,
    stage: &MakeStage,
) {
    let mut group = criterion.benchmark_group("dataflow");
    for size in [100, 1_000] {
        group.throughput(Throughput::Elements(size));
        group.bench_function(BenchmarkId::new(name, size), |bencher| {
            let deliver = Box::new(|output| drop(std::hint::black_box(output)));
            let dataflow = Dataflow::start(config.clone(), Arc::clone(stage), deliver);
            let dataflow = dataflow.expect("the dataflow starts");
            let mut maker = Maker { events, size, epoch: 0, seq: 0 };
            bencher.iter(|| dataflow.submit(maker.epoch()).expect("the dataflow runs"));
        });
    }
    group.finish();
}

fn benches(criterion: &mut Criterion<CpuTime>) {
    let events = events();
    let dull = |records| -> MakeStage { Arc::new(move |_| Box::new(Dull { records })) };
    let with = |workers, live: Option<LiveConfig>| DataflowConfig {
        workers,
        live,
        ..DataflowConfig::default()
    };
    let mut group = criterion.benchmark_group("dataflow");
    for size in [100, 1_000] {
        group.throughput(Throughput::Elements(size));
        group.bench_function(BenchmarkId::new("make", size), |bencher| {
            let mut maker = Maker { events: &events, size, epoch: 0, seq: 0 };
            bencher.iter(|| maker.epoch());
        });
    }
    group.finish();
    let live = Some(LiveConfig::default());
    measure(criterion, &events, "nothing", &with(1, None), &dull(false));
    measure(criterion, &events, "record", &with(1, None), &dull(true));
    measure(criterion, &events, "record, 2 workers", &with(2, None), &dull(true));
    measure(criterion, &events, "record, live", &with(1, live), &dull(true));
    for rules in [10, 100, 1_000] {
        measure(criterion, &events, &format!("rules={rules}"), &with(1, None), &matcher(rules));
    }
}

criterion_group! {
    name = all;
    config = Criterion::default().with_measurement(CpuTime).sample_size(30);
    targets = benches
}
criterion_main!(all);
