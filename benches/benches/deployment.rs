//! What deploying 100 rules does to 100,000 open visits of 10 events on average: the turns behind the
//! epochs, one thread.
//!
//! No bench by criterion: a deployment is measured once, turn by turn, as the longest one counts. 1,000
//! other rules run before. Of the new ones thirty are hot or all of them. Time is that of the CPU, of the
//! thread that measures: others may keep the machine busy. Several runs say more than one.

use beckon_benches::cpu::cpu_time;
use beckon_benches::deployments::{Deployments, percentile};
use beckon_benches::visitors::{Visitors, rule};
use beckon_engine::matcher::{CHANGE_EPOCHS, Matcher, MatcherConfig};
use beckon_engine::model::{Epoch, EpochMark, EventTimeMs, LogSeq, ServerTimeMs};
use beckon_engine::stage::{Effect, Stage};
use std::sync::Arc;
use std::time::Duration;

/// With those that end while the events come: 100,000 open visits.
const LIVE_VISITS: u64 = 75_000;
const EVENTS: u64 = 1_000_000;
const EPOCH_EVENTS: u64 = 1_000;
const STANDING: u64 = 1_000;
const FRESH: u64 = 100;
/// Of the rules of [`rule`], the first ones.
const HOT: u64 = 30;

fn mark(epoch: u64, visitors: &Visitors) -> EpochMark {
    let now = visitors.now();
    EpochMark {
        epoch: Epoch(epoch),
        first_seq: LogSeq(0),
        last_seq: LogSeq(EVENTS),
        now: ServerTimeMs(now.0),
        watermark: now,
    }
}

fn main() {
    let standing: Vec<String> = (HOT..HOT + STANDING).map(rule).collect();
    let mixed: Vec<String> = (0..FRESH).map(rule).collect();
    let renamed = |number: u64| rule(number % HOT).replacen("\"r", &format!("\"r{number}-"), 1);
    let hot: Vec<String> = (0..FRESH).map(renamed).collect();
    measure("30 of 100 rules are hot", &standing, &mixed);
    measure("100 of 100 rules are hot", &standing, &hot);
}

#[expect(clippy::print_stdout, reason = "criterion measures medians, not the longest")]
fn measure(what: &str, standing: &[String], fresh: &[String]) {
    let (mut deployments, mut visitors) = (Deployments::default(), Visitors::new(LIVE_VISITS));
    let before = EpochMark { watermark: EventTimeMs::MIN, ..mark(0, &visitors) };
    let (standing, _) = deployments.deploy("com.example.standing", standing, &before);
    let config = MatcherConfig { inactivity_ms: None, ..MatcherConfig::default() };
    let mut matcher = Matcher::with(Arc::clone(&standing.rules), config);
    let mut effects = Vec::new();
    let warm_up = EVENTS / EPOCH_EVENTS;
    for epoch in 1..=warm_up {
        let events: Vec<_> = (0..EPOCH_EVENTS).map(|_| visitors.event()).collect();
        matcher.events(&events, &mut effects);
        matcher.end_epoch(&mark(epoch, &visitors), &mut effects);
        effects.clear();
    }
    let behind = mark(warm_up, &visitors);
    let (change, applied) = deployments.deploy("com.example.fresh", fresh, &behind);
    let start = cpu_time();
    matcher.deploy(&change);
    let taken = cpu_time().saturating_sub(start);
    let (mut turns, mut matches) = (Vec::new(), 0);
    for epoch in 1..=CHANGE_EPOCHS {
        let start = cpu_time();
        matcher.end_epoch(&mark(warm_up + epoch, &visitors), &mut effects);
        turns.push(cpu_time().saturating_sub(start));
        matches += effects.drain(..).filter(|it| matches!(it, Effect::Match(..))).count();
    }
    let stats = matcher.stats();
    assert_eq!(stats.backfills, stats.visits_open, "all visits were reached");
    let all: Duration = turns.iter().sum();
    turns.sort_unstable();
    println!(
        "{what}: {} visits, {matches} matches; the feeder {applied:.1?}, the worker {taken:.1?}; \
         {} turns: median {:.2?}, 99 % {:.2?}, longest {:.2?}; together {all:.2?}",
        stats.visits_open,
        turns.len(),
        percentile(&turns, 50),
        percentile(&turns, 99),
        percentile(&turns, 100),
    );
}
