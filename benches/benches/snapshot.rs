//! What a snapshot costs: a worker's stall for one piece, and bringing all of them back.
//!
//! Stage 1 with 100,000 live visits of ten events or so on average, 1,000 rules. A piece is a virtual
//! partition (390 visits), saved behind an epoch while everything else waits; `restore` is a partition
//! brought back. CPU time. The longest of all 256 is printed beside criterion's mean.

use beckon_benches::cpu::{CpuTime, cpu_time};
use beckon_benches::visitors::{Visitors, rules};
use beckon_engine::matcher::{Matcher, MatcherConfig};
use beckon_engine::model::{
    Epoch, EpochMark, EventTimeMs, LogSeq, PARTITIONS, PartitionId, ServerTimeMs,
};
use beckon_engine::stage::Stage;
use criterion::{Criterion, Throughput, criterion_group};
use std::sync::Arc;
use std::time::Duration;

const LIVE_VISITS: u64 = 100_000;
const EVENTS: u64 = LIVE_VISITS * 15;
const EPOCH_EVENTS: u64 = 1_000;

fn config() -> MatcherConfig {
    MatcherConfig { lateness_ms: 5_000, inactivity_ms: Some(90_000), ..MatcherConfig::default() }
}

/// A matcher in the middle of its work.
fn warm() -> Matcher {
    let mut visitors = Visitors::new(LIVE_VISITS);
    let mut matcher = Matcher::new(Arc::new(rules(1_000)), config());
    let mut effects = Vec::new();
    for epoch in 1..=EVENTS / EPOCH_EVENTS {
        let events: Vec<_> = (0..EPOCH_EVENTS).map(|_| visitors.event()).collect();
        matcher.events(&events, &mut effects);
        let now = visitors.now();
        let mark = EpochMark {
            epoch: Epoch(epoch),
            first_seq: LogSeq(0),
            last_seq: LogSeq(0),
            now: ServerTimeMs(now.0),
            watermark: EventTimeMs(now.0),
        };
        matcher.end_epoch(&mark, &mut effects);
        effects.clear();
    }
    matcher
}

fn partitions() -> impl Iterator<Item = PartitionId> + Clone {
    (0..PARTITIONS).map(|it| PartitionId(u8::try_from(it).expect("256 of them")))
}

fn save(matcher: &Matcher, partition: PartitionId) -> (Vec<u8>, Duration) {
    let start = cpu_time();
    let mut bytes = Vec::new();
    matcher.save(partition, &mut bytes);
    (bytes, cpu_time().saturating_sub(start))
}

fn restore(into: &mut Matcher, partition: PartitionId, bytes: &[u8]) -> Duration {
    let start = cpu_time();
    into.restore(partition, Epoch(1), bytes).expect("just saved");
    cpu_time().saturating_sub(start)
}

#[expect(clippy::print_stdout, reason = "criterion tells no maximum")]
fn pieces(criterion: &mut Criterion<CpuTime>) {
    let matcher = warm();
    let saved: Vec<_> = partitions().map(|it| save(&matcher, it)).collect();
    let bytes: usize = saved.iter().map(|(bytes, _)| bytes.len()).sum();
    let longest = saved.iter().map(|(_, time)| *time).max().unwrap_or_default();
    let open = matcher.stats().visits_open;
    println!("snapshot: {open} visits, {bytes} B in all, the longest piece took {longest:?}");
    let mut group = criterion.benchmark_group("snapshot");
    group.throughput(Throughput::Bytes((bytes / saved.len()) as u64));
    let mut turn = partitions().cycle();
    group.bench_function("piece", |bencher| {
        bencher.iter_custom(|pieces| {
            let turns = (0..pieces).filter_map(|_| turn.next());
            turns.map(|partition| save(&matcher, partition).1).sum()
        });
    });
    let rules = Arc::new(rules(1_000));
    let mut turn = partitions().zip(&saved).cycle();
    group.bench_function("restore", |bencher| {
        bencher.iter_custom(|pieces| {
            let mut into = Matcher::new(Arc::clone(&rules), config());
            let turns = (0..pieces).filter_map(|_| turn.next());
            turns.map(|(partition, (bytes, _))| restore(&mut into, partition, bytes)).sum()
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = pieces
}

fn main() {
    benches();
    Criterion::default().with_measurement(CpuTime).configure_from_args().final_summary();
}
