//! What reading costs for each event: cutting a body, checking and normalising, packing.
//!
//! Events of about 290 bytes in batches of 1, 10 and 100, from a browser with a user agent and an
//! address. HTTP is not in it: `beckon generate --target` measures that.

use beckon_engine::model::{EventTimeMs, PackedFields, ServerTimeMs, Value};
use beckon_ingest::body::Batch;
use beckon_ingest::normalise::{Agent, Context, Normaliser, OfVisit, Sender, Unproven};
use beckon_ingest::record_of;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

const AGENT: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 \
    (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";

fn event(number: u64) -> String {
    let mixed = u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    format!(
        r#"{{"eventName":"PageEntered","eventID":"{:032x}","visitID":"{:032x}","timestamp":{},"url":"https://shop.example/lamps/{}/walnut-{}","category":"lamps;sale","data":{{"referrer":"https://search.example/find","price":{},"device":"desktop"}}}}"#,
        mixed,
        mixed >> 70,
        1_700_000_000_000 + number,
        number % 500,
        number % 977,
        number % 300,
    )
}

fn batch(size: u64) -> String {
    let events: Vec<_> = (0..size).map(event).collect();
    format!("[{}]", events.join(","))
}

fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ingest");
    let normaliser = Normaliser::default();
    let site = "shop".into();
    let mut fields = vec![("ip".into(), Value::Str("192.0.2.0".into()))];
    normaliser.user_agents().parse(AGENT).push_fields(&mut fields);
    let shared = PackedFields::pack(&fields);
    let context = Context {
        site: &site,
        received: ServerTimeMs(1_700_000_100_000),
        sent: Some(EventTimeMs(1_700_000_100_000)),
        sender: Sender::Browser,
        proven_visit: None,
        unproven: Unproven::Match,
        agent: Agent::Apart,
        address: None,
        identity: None,
        visit: OfVisit::Named,
    };
    for size in [1, 10, 100] {
        let body = batch(size);
        group.throughput(Throughput::Elements(size));
        group.bench_with_input(BenchmarkId::new("cut", size), &body, |bencher, body| {
            bencher.iter(|| black_box(Batch::cut(body.as_bytes(), 1_000)));
        });
        group.bench_with_input(BenchmarkId::new("normalise", size), &body, |bencher, body| {
            bencher.iter(|| {
                let batch = Batch::cut(body.as_bytes(), 1_000).expect("an array");
                for piece in &batch.events {
                    black_box(normaliser.event(piece.text, &context)).expect("a valid event");
                }
            });
        });
        group.bench_with_input(BenchmarkId::new("record", size), &body, |bencher, body| {
            bencher.iter(|| {
                let batch = Batch::cut(body.as_bytes(), 1_000).expect("an array");
                for piece in &batch.events {
                    let taken = normaliser.event(piece.text, &context).expect("a valid event");
                    black_box(record_of(&taken.event, &shared));
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, reading);
criterion_main!(benches);
