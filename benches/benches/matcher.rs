//! What matching costs for each event, in CPU time, and what a live visit costs in memory.
//!
//! Alone on one thread, without dataflow: each sample is an epoch of 1,000 events and its mark, made
//! before the clock starts, with 20,000 live visits that have gone on for a while. Memory is the growth
//! of the process over 100,000 live visits (Linux: `/proc/self/statm`), with and without kept events.

use beckon_benches::cpu::{CpuTime, cpu_time};
use beckon_benches::visitors::{Visitors, rules};
use beckon_engine::matcher::{Matcher, MatcherConfig};
use beckon_engine::model::{Epoch, EpochMark, EventTimeMs, LogSeq, LoggedEvent, ServerTimeMs};
use beckon_engine::stage::{Effect, Stage};
use beckon_rules::plan::RuleSet;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use std::sync::Arc;
use std::time::Duration;

const EPOCH_EVENTS: u64 = 1_000;
const LIVE_VISITS: u64 = 20_000;
/// Events for each live visit before anything is measured: most of them are in the middle then.
const WARM_UP: u64 = 40;
const RULES: [u64; 4] = [10, 100, 1_000, 10_000];

/// A matcher, and visitors for it.
struct Site {
    visitors: Visitors,
    matcher: Matcher,
    effects: Vec<Effect>,
    epoch: u64,
    facts: u64,
}

impl Site {
    fn new(rules: &Arc<RuleSet>, live: u64, visit_events_max: u32) -> Self {
        let config = MatcherConfig {
            lateness_ms: 5_000,
            inactivity_ms: Some(90_000),
            visit_events_max,
            ..MatcherConfig::default()
        };
        Self {
            visitors: Visitors::new(live),
            matcher: Matcher::new(Arc::clone(rules), config),
            effects: Vec::new(),
            epoch: 0,
            facts: 0,
        }
    }

    /// One whose visits are under way.
    fn warm(count: u64) -> Self {
        let mut site = Self::new(&Arc::new(rules(count)), LIVE_VISITS, 500);
        site.warm_up(LIVE_VISITS);
        site
    }

    fn make(&mut self) -> Vec<LoggedEvent> {
        (0..EPOCH_EVENTS).map(|_| self.visitors.event()).collect()
    }

    /// An epoch through the matcher.
    fn epoch(&mut self, events: &[LoggedEvent]) {
        self.matcher.events(events, &mut self.effects);
        self.epoch += 1;
        let now = self.visitors.now();
        let mark = EpochMark {
            epoch: Epoch(self.epoch),
            first_seq: LogSeq(0),
            last_seq: LogSeq(0),
            now: ServerTimeMs(now.0),
            watermark: EventTimeMs(now.0),
        };
        self.matcher.end_epoch(&mark, &mut self.effects);
        let facts = self.effects.iter().filter(|effect| matches!(effect, Effect::Match(..)));
        self.facts += facts.count() as u64;
        self.effects.clear();
    }

    fn warm_up(&mut self, live: u64) {
        for _ in 0..live * WARM_UP / EPOCH_EVENTS {
            let events = self.make();
            self.epoch(&events);
        }
    }
}

fn costs(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("matcher");
    group.throughput(Throughput::Elements(EPOCH_EVENTS));
    for count in RULES {
        let mut site = None;
        group.bench_function(BenchmarkId::new("rules", count), |bencher| {
            let site = site.get_or_insert_with(|| Site::warm(count));
            bencher.iter_custom(|epochs| {
                let mut total = Duration::ZERO;
                for _ in 0..epochs {
                    let events = site.make();
                    let start = cpu_time();
                    site.epoch(&events);
                    total += cpu_time().saturating_sub(start);
                }
                total
            });
        });
    }
    group.finish();
}

/// One measurement of memory, in a process of its own: what an earlier one freed would hide it.
const MEMORY_CASE: &str = "BECKON_BENCH_MEMORY_CASE";

#[expect(clippy::print_stdout, reason = "criterion has no measurement of memory")]
fn memory(_: &mut Criterion<CpuTime>) {
    if std::env::args().any(|argument| argument == "--profile-time") {
        return;
    }
    for count in RULES {
        let [whole, bare] = [500, 1].map(|visit_events_max| {
            let program = std::env::current_exe().expect("this program has a path");
            let case = format!("{count} {visit_events_max}");
            let output = std::process::Command::new(program).env(MEMORY_CASE, case).output();
            let output = output.expect("this program runs again").stdout;
            String::from_utf8(output).expect("text")
        });
        println!("matcher/memory/{count}: {}; without kept events {}", whole.trim(), bare.trim());
    }
}

#[expect(clippy::print_stdout, reason = "the measuring process reads it")]
fn memory_case(case: &str) {
    const LIVE: u64 = 100_000;
    let mut numbers = case.split(' ').filter_map(|number| number.parse::<u32>().ok());
    let (count, visit_events_max) = numbers.next().zip(numbers.next()).expect("two numbers");
    let rules = Arc::new(rules(u64::from(count)));
    let mut site = Site::new(&rules, LIVE, visit_events_max);
    let before = resident_bytes();
    site.warm_up(LIVE);
    let stats = site.matcher.stats();
    let grown = resident_bytes().saturating_sub(before);
    println!(
        "a live visit has {} B (counted {} B), of {} open; {:.3} matches an event",
        grown / stats.visits_open,
        stats.state_bytes / stats.visits_open,
        stats.visits_open,
        site.facts as f64 / stats.events_matched as f64
    );
}

/// What the process has in memory.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has /proc/self/statm");
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("the second figure is the resident pages") * 4_096
}

criterion_group! {
    name = all;
    config = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    targets = costs, memory
}

fn main() {
    match std::env::var(MEMORY_CASE) {
        Ok(case) => memory_case(&case),
        Err(_) => {
            all();
            Criterion::default().with_measurement(CpuTime).configure_from_args().final_summary();
        }
    }
}
