//! What the Parquet tables cost for each event, in CPU time: rows, JSON text, columns, ZSTD 1, disk.
//!
//! Events of about 290 bytes of JSON with what ingest adds (address in parts, user agent in parts):
//! ids are random, visits interleave, eight event names have a folder each. The goal is 1.3 us.

use beckon_benches::cpu::CpuTime;
use beckon_engine::model::{
    Epoch, EpochMark, EpochOutput, Event, EventId, EventRow, EventTimeMs, Fate, Flags, Id,
    Identity, Instance, LogSeq, PackedEvent, ServerTimeMs, Value, VisitId, VisitorId,
};
use beckon_sinks::parquet::{ColumnType, ParquetConfig, ParquetTables, TypedColumn};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const EVENTS: u64 = 500_000;
const EPOCH_EVENTS: u64 = 1_000;
const NAMES: [&str; 8] = [
    "PageEntered",
    "PageExited",
    "VisitStarted",
    "AddToCart",
    "Search",
    "Filter",
    "Checkout",
    "Play",
];

fn mixed(number: u64) -> u128 {
    u128::from(number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
}

fn event(number: u64) -> Event {
    let text = |text: String| Value::Str(text.into());
    let path = format!("/lamps/{}/walnut-{}", mixed(number) % 40, mixed(number) % 977);
    let visit = mixed(number).rotate_left(7) % (EVENTS as u128 / 10);
    let visit = u64::try_from(visit).expect("a small number");
    let price = Value::Int(i64::try_from(number % 300).expect("a small number"));
    let data = vec![("price".into(), price), ("device".into(), text("desktop".to_owned()))];
    Event {
        flags: Flags::default(),
        site: "shop".into(),
        name: NAMES[usize::try_from(mixed(number) % 8).expect("below eight")].into(),
        id: EventId(Id::Bits(mixed(number) ^ mixed(number).rotate_left(64))),
        visit: VisitId(Id::Bits(mixed(visit))),
        visitor: Some(VisitorId(Id::Bits(mixed(visit / 2)))),
        page: None,
        timestamp: EventTimeMs(1_795_608_000_000 + i64::try_from(number).expect("small")),
        server_timestamp: ServerTimeMs(1_795_608_000_007 + i64::try_from(number).expect("small")),
        client_timestamp: None,
        tie: None,
        fields: vec![
            ("url".into(), text(format!("https://shop.example{path}"))),
            ("url.path".into(), text(path)),
            ("url.host".into(), text("shop.example".to_owned())),
            ("referrer".into(), text("https://search.example/find".to_owned())),
            ("category".into(), Value::List(vec![text("lamps".to_owned())])),
            ("userAgent.name".into(), text("Chrome".to_owned())),
            ("userAgent.version".into(), text("120.0".to_owned())),
            ("userAgent.os".into(), text("Windows".to_owned())),
            ("userAgent.device".into(), text("pc".to_owned())),
            ("isBot".into(), Value::Bool(false)),
            ("ip".into(), text("192.0.2.0".to_owned())),
            ("data".into(), Value::Map(data)),
        ],
    }
}

fn outputs() -> Vec<EpochOutput> {
    let epoch = |number: u64| {
        let first = number * EPOCH_EVENTS + 1;
        let row = |seq: u64| EventRow {
            seq: LogSeq(seq),
            event: PackedEvent::pack(&event(seq)),
            instance: Some(Instance(LogSeq(seq / 10 + 1))),
            fate: Fate::Matched,
            identity: Identity::default(),
        };
        let mark = EpochMark {
            epoch: Epoch(number + 1),
            first_seq: LogSeq(first),
            last_seq: LogSeq(first + EPOCH_EVENTS - 1),
            now: ServerTimeMs(1_795_608_000_000),
            watermark: EventTimeMs(1_795_608_000_000),
        };
        let events = (first..first + EPOCH_EVENTS).map(row).collect();
        EpochOutput { mark, events, visits: Vec::new(), actions: Vec::new(), notices: Vec::new() }
    };
    (0..EVENTS / EPOCH_EVENTS).map(epoch).collect()
}

fn tables(criterion: &mut Criterion<CpuTime>) {
    let outputs = outputs();
    let price = TypedColumn { path: "data.price".into(), kind: ColumnType::Number };
    let mut group = criterion.benchmark_group("parquet");
    group.throughput(Throughput::Elements(EVENTS)).sample_size(10);
    for (name, typed_columns) in [("plain", vec![]), ("typed", vec![price])] {
        group.bench_function(name, |bencher| {
            let open = || {
                let folder = tempfile::tempdir().expect("a folder");
                let typed_columns = typed_columns.clone();
                let config = ParquetConfig { typed_columns, ..ParquetConfig::default() };
                (ParquetTables::open(folder.path(), config).expect("new tables"), folder)
            };
            let write = |(mut tables, folder): (ParquetTables, tempfile::TempDir)| {
                for output in &outputs {
                    tables.write(output).expect("written");
                }
                tables.finish().expect("finished");
                folder
            };
            bencher.iter_batched(open, write, BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = tables
}
criterion_main!(benches);
