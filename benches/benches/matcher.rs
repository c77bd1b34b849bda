//! What matching costs for each event, in CPU time, and what a live visit costs in memory.
//!
//! Alone on one thread, without dataflow: each sample is an epoch of 1,000 events and its mark, made
//! before the clock starts, with 20,000 live visits that have gone on for a while. Memory is the growth
//! of the process over 100,000 live visits (Linux: `/proc/self/statm`), and what the matcher counts of it.
//! `late` delays a share of the events by half a minute, in which their visit has others; in `full` most
//! visits have had more events than they keep, so that each event lets another one go; `suppress` is what
//! deciding costs a match.

use beckon_benches::cpu::{self, CpuTime, cpu_time};
use beckon_benches::visitors::{Visitors, rules};
use beckon_engine::matcher::{Matcher, MatcherConfig};
use beckon_engine::model::{
    ActionFact, Epoch, EpochMark, EventTimeMs, LogSeq, LoggedEvent, ServerTimeMs,
};
use beckon_engine::stage::{Effect, Stage};
use beckon_engine::suppress::{SuppressConfig, Suppressor};
use beckon_rules::plan::RuleSet;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

const EPOCH_EVENTS: u64 = 1_000;
const LIVE_VISITS: u64 = 20_000;
/// Events for each live visit before anything is measured: most of them are in the middle then.
const WARM_UP: u64 = 40;
const RULES: [u64; 4] = [10, 100, 1_000, 10_000];
/// Events in a hundred that come late, and by how much.
const LATE: [u64; 3] = [0, 2, 10];
const DELAY_MS: i64 = 30_000;

/// A matcher, and visitors for it.
struct Site {
    visitors: Visitors,
    matcher: Matcher,
    effects: Vec<Effect>,
    epoch: u64,
    facts: u64,
    /// Events in a hundred that are delayed, and those that are.
    late: u64,
    delayed: VecDeque<(EventTimeMs, LoggedEvent)>,
    seq: u64,
}

/// Small figures: an event does not wait long to be final.
fn config(visit_events_max: u32) -> MatcherConfig {
    MatcherConfig {
        lateness_ms: 5_000,
        inactivity_ms: Some(90_000),
        visit_events_max,
        ..MatcherConfig::default()
    }
}

impl Site {
    fn new(rules: &Arc<RuleSet>, live: u64, config: MatcherConfig) -> Self {
        Self {
            visitors: Visitors::new(live),
            matcher: Matcher::new(Arc::clone(rules), config),
            effects: Vec::new(),
            epoch: 0,
            facts: 0,
            late: 0,
            delayed: VecDeque::new(),
            seq: 0,
        }
    }

    /// One whose visits are under way.
    fn warm(count: u64, config: MatcherConfig, late: u64) -> Self {
        let mut site = Self::new(&Arc::new(rules(count)), LIVE_VISITS, config);
        site.late = late;
        site.warm_up(LIVE_VISITS);
        site
    }

    fn make(&mut self) -> Vec<LoggedEvent> {
        (0..EPOCH_EVENTS).map(|number| self.next(number % 100 < self.late)).collect()
    }

    /// The next event; where one is to be late, it is delayed and one from before comes instead.
    fn next(&mut self, is_late: bool) -> LoggedEvent {
        let mut event = self.visitors.event();
        if is_late {
            let due = self.visitors.now().saturating_add(DELAY_MS);
            self.delayed.push_back((due, event));
            let now = self.visitors.now();
            let is_due = self.delayed.front().is_some_and(|(due, _)| *due <= now);
            event = if is_due {
                self.delayed.pop_front().expect("it is due").1
            } else {
                self.visitors.event()
            };
        }
        self.seq += 1;
        LoggedEvent { seq: LogSeq(self.seq), ..event }
    }

    fn mark(&mut self) -> EpochMark {
        self.epoch += 1;
        let now = self.visitors.now();
        EpochMark {
            epoch: Epoch(self.epoch),
            first_seq: LogSeq(0),
            last_seq: LogSeq(0),
            now: ServerTimeMs(now.0),
            watermark: EventTimeMs(now.0),
        }
    }

    /// An epoch through the matcher.
    fn epoch(&mut self, events: &[LoggedEvent]) {
        let mark = self.mark();
        self.matcher.events(events, &mut self.effects);
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

/// Measures epochs of a site that is made when it is first asked for.
fn measure(criterion: &mut Criterion<CpuTime>, id: BenchmarkId, make: impl Fn() -> Site) {
    let mut group = criterion.benchmark_group("matcher");
    group.throughput(Throughput::Elements(EPOCH_EVENTS));
    let mut site = None;
    group.bench_function(id, |bencher| {
        let site = site.get_or_insert_with(&make);
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
    group.finish();
}

fn costs(criterion: &mut Criterion<CpuTime>) {
    for count in RULES {
        measure(criterion, BenchmarkId::new("rules", count), || Site::warm(count, config(500), 0));
    }
    let late = MatcherConfig { lateness_ms: 60_000, ..config(500) };
    for percent in LATE {
        measure(criterion, BenchmarkId::new("late", percent), || Site::warm(1_000, late, percent));
    }
    measure(criterion, BenchmarkId::new("full", 10), || Site::warm(1_000, config(10), 0));
}

/// What the suppression decides of the matches of some epochs, each in its own.
fn suppression(criterion: &mut Criterion<CpuTime>) {
    let rules = Arc::new(rules(1_000));
    let mut site = Site::new(&rules, LIVE_VISITS, config(500));
    site.warm_up(LIVE_VISITS);
    let suppressor = Suppressor::new(&rules, SuppressConfig::default());
    let mut suppressor = suppressor.expect("UTC is a time zone");
    let mut group = criterion.benchmark_group("suppress");
    group.throughput(Throughput::Elements(EPOCH_EVENTS));
    group.bench_function("match", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                let facts = matches(&mut site);
                let mark = site.mark();
                let start = cpu_time();
                suppressor.epoch(&mark, facts);
                total += cpu_time().saturating_sub(start);
            }
            total
        });
    });
    group.finish();
}

/// A thousand matches.
fn matches(site: &mut Site) -> Vec<(ActionFact, i64)> {
    let mut facts = Vec::new();
    while (facts.len() as u64) < EPOCH_EVENTS {
        let events = site.make();
        site.matcher.events(&events, &mut site.effects);
        facts.extend(site.effects.drain(..).filter_map(|effect| match effect {
            Effect::Match(fact, sign) => Some((*fact, sign)),
            Effect::Event(_) | Effect::Visit(_) => None,
        }));
    }
    facts.truncate(usize::try_from(EPOCH_EVENTS).expect("a thousand"));
    facts
}

/// One measurement of memory, in a process of its own: what an earlier one freed would hide it.
const MEMORY_CASE: &str = "BECKON_BENCH_MEMORY_CASE";

#[expect(clippy::print_stdout, reason = "criterion has no measurement of memory")]
fn memory(_: &mut Criterion<CpuTime>) {
    if std::env::args().any(|argument| argument == "--profile-time") {
        return;
    }
    for count in RULES {
        let program = std::env::current_exe().expect("this program has a path");
        let output =
            std::process::Command::new(program).env(MEMORY_CASE, count.to_string()).output();
        let output = String::from_utf8(output.expect("this program runs again").stdout);
        println!("matcher/memory/{count}: {}", output.expect("text").trim());
    }
}

#[expect(clippy::print_stdout, reason = "the measuring process reads it")]
fn memory_case(case: &str) {
    const LIVE: u64 = 100_000;
    let count: u64 = case.parse().expect("a number of rules");
    let mut site = Site::new(&Arc::new(rules(count)), LIVE, config(500));
    let before = resident_bytes();
    site.warm_up(LIVE);
    let resident = resident_bytes().saturating_sub(before);
    let memory = site.matcher.visit_memory();
    let each = |bytes: u64| bytes / memory.visits;
    println!(
        "a live visit has {} B; counted are {} B itself, {} B under way, {} B to correct, {} B for each of \
         {:.1} events kept; {:.3} matches an event",
        each(resident),
        each(memory.own_bytes),
        each(memory.under_way_bytes),
        each(memory.correction_bytes),
        memory.kept_bytes / memory.events,
        memory.events as f64 / memory.visits as f64,
        site.facts as f64 / site.matcher.stats().events_matched as f64
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
    config = cpu::criterion();
    targets = costs, suppression, memory
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
