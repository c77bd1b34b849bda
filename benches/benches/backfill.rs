//! What 100 new rules on the visitor's window do to 100,000 visitors of 10 events on average: the
//! epochs in which they are shown the log, and those in which their windows are joined with the others;
//! one thread.
//!
//! As `deployment`, no bench by criterion: the longest epoch counts. 100 other rules on that window run
//! before. Time is that of the CPU, of the thread that measures; the epochs behind the warm-up have no events.

use beckon_benches::cpu::cpu_time;
use beckon_benches::deployments::{Deployments, percentile};
use beckon_benches::visitors::{Visitors, rule};
use beckon_engine::catalog::{BACKFILL_RECORDS, Backfiller, PastEpochs};
use beckon_engine::matcher::{
    BackfillStep, CHANGE_EPOCHS, Matcher, MatcherConfig, Router, Wide, WideSetup,
};
use beckon_engine::model::{
    Epoch, EpochInput, EpochMark, EventTimeMs, LogSeq, LoggedEvent, PackedEvent, ServerTimeMs,
    Value,
};
use beckon_engine::stage::{Effect, RuleChange, Stage};
use std::sync::Arc;
use std::time::Duration;

/// With those that end while the events come: 100,000 visitors.
const LIVE_VISITS: u64 = 75_000;
const EVENTS: u64 = 1_000_000;
const EPOCH_EVENTS: u64 = 1_000;
const RULES: u64 = 100;
/// Of the rules of [`rule`], the first ones.
const HOT: u64 = 30;
const MINUTE_MS: i64 = 60_000;
/// In which stage 1 is asked for the visits that are open: the first ones.
const ASKED_EPOCHS: usize = 16;

/// One worker's stages, and the thread that feeds it.
struct Run {
    deployments: Deployments,
    matcher: Matcher,
    router: Router,
    wide: Wide,
    backfiller: Backfiller,
    /// What was read of the log behind the last epoch.
    log: Vec<EpochInput>,
    mark: EpochMark,
    effects: Vec<Effect>,
    matches: u64,
    /// One event in ten says who the visitor is.
    signs_in: bool,
}

/// What epochs of one kind took: the feeder's part, and the worker's.
#[derive(Default)]
struct Taken {
    feeder: Vec<Duration>,
    worker: Vec<Duration>,
}

fn longest(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let [median, longest] = [50, 100].map(|percent| percentile(times, percent));
    format!("{median:.2?}, {longest:.2?}")
}

/// Adds what the thread takes for something.
fn timed<T>(times: &mut Vec<Duration>, work: impl FnOnce() -> T) -> T {
    let start = cpu_time();
    let done = work();
    times.push(cpu_time().saturating_sub(start));
    done
}

impl Run {
    fn new(visitors: &Visitors) -> Self {
        let config = MatcherConfig { inactivity_ms: None, ..MatcherConfig::default() };
        let setup = WideSetup::empty(config);
        let (first_seq, last_seq) = (LogSeq(1), LogSeq(0));
        let now = ServerTimeMs(visitors.now().0);
        let watermark = EventTimeMs::MIN;
        Self {
            deployments: Deployments::default(),
            matcher: Matcher::new(Arc::default(), config),
            router: setup.router(),
            wide: setup.stage(),
            backfiller: Backfiller::new(config, 0, BACKFILL_RECORDS),
            log: Vec::new(),
            mark: EpochMark { epoch: Epoch(0), first_seq, last_seq, now, watermark },
            effects: Vec::new(),
            matches: 0,
            signs_in: false,
        }
    }

    fn deploy(&mut self, name: &str, rules: &[String]) {
        let (change, _) = self.deployments.deploy(name, rules, &self.mark);
        self.take(&change);
    }

    fn take(&mut self, change: &RuleChange) {
        self.matcher.deploy(change);
        self.router.deploy(change);
        self.wide.deploy(change);
    }

    /// The next epoch: so many events, at a time.
    fn feed(&mut self, visitors: &mut Visitors, count: u64) {
        let mut events: Vec<_> = (0..count).map(|_| visitors.event()).collect();
        if self.signs_in {
            events.iter_mut().step_by(10).for_each(sign_in);
        }
        self.epoch(count, visitors.now());
        self.matcher.events(&events, &mut self.effects);
        self.end_epoch();
        self.log.push(EpochInput { mark: self.mark, events });
    }

    fn epoch(&mut self, count: u64, now: EventTimeMs) {
        let EpochMark { epoch, last_seq, .. } = self.mark;
        let watermark = EventTimeMs(now.0 - 2_000).max(self.mark.watermark);
        self.mark = EpochMark {
            epoch: Epoch(epoch.0 + 1),
            first_seq: last_seq.next(),
            last_seq: LogSeq(last_seq.0 + count),
            now: ServerTimeMs(now.0),
            watermark,
        };
    }

    fn end_epoch(&mut self) {
        let mut inputs = Vec::new();
        self.matcher.end_epoch(&self.mark, &mut self.effects);
        self.router.route(&self.effects, &mut inputs);
        self.router.join_turn(|partition| self.matcher.open_visits(partition), &mut inputs);
        self.effects.clear();
        self.wide.epoch(&self.mark, inputs, &mut self.effects);
        self.matches += self.effects.drain(..).count() as u64;
    }

    /// An epoch without events while rules are shown the log or joined.
    fn quiet(&mut self, taken: &mut Taken) {
        self.epoch(0, EventTimeMs(self.mark.now.0));
        self.log.push(EpochInput { mark: self.mark, events: Vec::new() });
        let (step, change) = timed(&mut taken.feeder, || {
            let catalog = &mut self.deployments.catalog;
            let step = self.backfiller.read(catalog, &self.mark).expect("no log");
            (step, catalog.apply(&self.mark, &[]))
        });
        timed(&mut taken.worker, || self.behind(step, change.as_deref()));
        if change.is_some() {
            let nothing = |_| Ok(Box::new(std::iter::empty()) as PastEpochs);
            self.backfiller.follow(&self.deployments.catalog, nothing).expect("no log");
        }
    }

    fn behind(&mut self, step: Option<BackfillStep>, change: Option<&RuleChange>) {
        self.end_epoch();
        if let Some(step) = step {
            step.inquiry.iter().for_each(|inquiry| inquiry.answer(&self.matcher));
            if let Some(visits) = &step.caught_up {
                self.router.join(visits, |_| true);
            }
            self.wide.backfill(&step, |_| true, &mut self.effects);
        }
        if let Some(change) = change {
            self.take(change);
        }
        self.matches += self.effects.drain(..).count() as u64;
    }

    /// Shows the new rules what was fed.
    fn follow(&mut self) {
        let log = std::mem::take(&mut self.log);
        let open = |_| Ok(Box::new(log.into_iter().map(Ok)) as PastEpochs);
        self.backfiller.follow(&self.deployments.catalog, open).expect("no log");
    }
}

/// Makes an event one that says who the visitor is.
fn sign_in(logged: &mut LoggedEvent) {
    let mut event = logged.event.unpack().expect("just packed");
    event.name = "SignIn".into();
    let user = format!("user-{}", logged.seq.0 % 1_000);
    let data = vec![("userID".into(), Value::Str(user.into()))];
    event.fields.push(("data".into(), Value::Map(data)));
    logged.event = PackedEvent::pack(&event);
}

/// On the window of the visitor.
fn on_visitor(rule: &str) -> String {
    format!("window = \"visitor\"\nstate_max = 1000\n{rule}")
}

fn main() {
    let standing: Vec<String> = (HOT..HOT + RULES).map(|it| on_visitor(&rule(it))).collect();
    let mixed: Vec<String> = (0..RULES).map(|it| on_visitor(&rule(it))).collect();
    let renamed = |number: u64| rule(number % HOT).replacen("\"r", &format!("\"r{number}-"), 1);
    let hot: Vec<String> = (0..RULES).map(|it| on_visitor(&renamed(it))).collect();
    let whole = |what| (what, false);
    let ago_ms = 10 * MINUTE_MS;
    measure(whole("30 of 100 rules are hot, 10 minutes ago"), (&standing, &mixed), ago_ms);
    measure(whole("30 of 100 rules are hot, now"), (&standing, &mixed), 0);
    measure(whole("100 of 100 rules are hot, now"), (&standing, &hot), 0);
    let middle = "the same, read from the middle of visits that are signed in";
    measure((middle, true), (&standing, &hot), 0);
}

/// The events end so long before the deployment. `from_middle`: the log has the second half of them, and
/// the visitors sign in.
#[expect(clippy::print_stdout, reason = "criterion measures medians, not the longest")]
fn measure(
    (what, from_middle): (&str, bool),
    (standing, fresh): (&[String], &[String]),
    ago_ms: i64,
) {
    let mut visitors = Visitors::new(LIVE_VISITS);
    let mut run = Run { signs_in: from_middle, ..Run::new(&visitors) };
    run.deploy("com.example.standing", standing);
    for _ in 0..EVENTS / EPOCH_EVENTS {
        run.feed(&mut visitors, EPOCH_EVENTS);
    }
    if from_middle {
        run.log.drain(..run.log.len() / 2);
    }
    for second in 1..=ago_ms / 1_000 {
        run.epoch(0, EventTimeMs(visitors.now().0 + second * 1_000));
        run.end_epoch();
        run.log.push(EpochInput { mark: run.mark, events: Vec::new() });
    }
    run.deploy("com.example.fresh", fresh);
    // What comes behind: more than it takes until the rules have caught up.
    let ticks = 5 * EVENTS / BACKFILL_RECORDS;
    let EpochMark { epoch, now, .. } = run.mark;
    let tick = |number: u64| EpochInput {
        mark: EpochMark {
            epoch: Epoch(epoch.0 + number),
            first_seq: run.mark.last_seq.next(),
            now,
            ..run.mark
        },
        events: Vec::new(),
    };
    let ticks: Vec<_> = (1..=ticks).map(tick).collect();
    run.log.extend(ticks);
    run.follow();
    run.matches = 0;
    let mut shown = Taken::default();
    while run.backfiller.is_running() {
        run.quiet(&mut shown);
    }
    let last = (shown.feeder.pop(), shown.worker.pop());
    let asked = shown.worker.iter().take(ASKED_EPOCHS).max().copied().unwrap_or_default();
    let windows = run.wide.stats().windows_open;
    let mut joined = Taken::default();
    for _ in 0..CHANGE_EPOCHS {
        run.quiet(&mut joined);
    }
    println!(
        "{what}: {} visits, {windows} windows, {} behind it, {} matches; median and longest, feeder | worker: \
         {} epochs of the log {} | {} (asked for open visits: {asked:.2?}); \
         the last {:.2?} | {:.2?}; the turns {} | {}, together {:.2?}",
        run.matcher.stats().visits_open,
        run.wide.stats().windows_open,
        run.matches,
        shown.feeder.len(),
        longest(&mut shown.feeder),
        longest(&mut shown.worker),
        last.0.unwrap_or_default(),
        last.1.unwrap_or_default(),
        longest(&mut joined.feeder),
        longest(&mut joined.worker),
        joined.worker.iter().sum::<Duration>(),
    );
}
