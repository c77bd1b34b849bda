//! What an event costs in a window in which many matches wait for a missing event at the end.
//!
//! One site window, one rule by a key, and so many carts of keys of their own that wait for their
//! deadline meanwhile. Each sample is 500 carts and the checkout of each, in one epoch with its mark,
//! through both stages: as many wait behind it as before.
//!
//! `late`: an epoch of one late checkout of no cart, ten events behind the newest, which makes the rule
//! be evaluated again.

use beckon_benches::cpu::{self, CpuTime, cpu_time};
use beckon_engine::matcher::{Matcher, MatcherConfig, Router, Wide, WideSetup};
use beckon_engine::model::{
    Epoch, EpochMark, Event, EventId, EventTimeMs, Flags, Id, LogSeq, LoggedEvent, PackedEvent,
    ServerTimeMs, Value, VisitId,
};
use beckon_engine::stage::Stage;
use beckon_rules::compile::{PackageSources, SourceFile, compile};
use beckon_rules::plan::RuleSet;
use beckon_rules::schema::Schema;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::sync::Arc;
use std::time::Duration;

const PENDING: [u64; 4] = [1, 10, 1_000, 4_000];
const CARTS: u64 = 500;
/// In `late`, so far apart that twenty events wait for the horizon.
const LATE_STEP_MS: u64 = 50;

const RULE: &str = "name = \"abandoned\"
query = '''sequence by data.cart with maxspan=30d [AddToCart where true] ![Checkout where true]'''
window = \"site\"
fire = \"every\"
state_max = 10000
[action]
type = \"none\"
";

fn rules() -> Arc<RuleSet> {
    let file = SourceFile { file: "abandoned.toml".to_owned(), text: RULE.to_owned() };
    let package = PackageSources {
        name: "com.example".to_owned(),
        package_file: None,
        rules: vec![file],
        is_operator: true,
        site: None,
    };
    Arc::new(compile(&[package], &Schema::event()).0.expect("a rule that compiles"))
}

/// A site on which carts wait for their checkouts.
struct Site {
    matcher: Matcher,
    router: Router,
    wide: Wide,
    seq: u64,
    /// An event happens so much later than the one before.
    step_ms: u64,
}

impl Site {
    fn new(pending: u64, step_ms: u64) -> Self {
        let (rules, config) = (rules(), MatcherConfig::default());
        let config = MatcherConfig { lateness_ms: 1_000, window_events_max: 100_000, ..config };
        let setup = WideSetup::new(&rules, config).expect("a rule on another window");
        let matcher = Matcher::new(rules, config);
        let (router, wide) = (setup.router(), setup.stage());
        let mut site = Self { matcher, router, wide, seq: 1_000, step_ms };
        let events: Vec<_> = (0..pending).map(|cart| site.event("AddToCart", cart)).collect();
        site.epoch(&events);
        site
    }

    /// A step behind the one before.
    fn event(&mut self, name: &str, cart: u64) -> LoggedEvent {
        self.late_event(name, cart, 0)
    }

    /// So many steps before the newest event.
    fn late_event(&mut self, name: &str, cart: u64, steps: u64) -> LoggedEvent {
        self.seq += 1;
        let time_ms = i64::try_from((self.seq - steps) * self.step_ms).expect("a time");
        let cart = i64::try_from(cart).expect("a number of carts");
        let event = Event {
            flags: Flags::default(),
            site: "shop".into(),
            name: name.into(),
            id: EventId(Id::Bits(self.seq.into())),
            // An epoch each: a visit has a limit of events.
            visit: VisitId(Id::Bits((self.seq / (2 * CARTS)).into())),
            visitor: None,
            page: None,
            timestamp: EventTimeMs(time_ms),
            server_timestamp: ServerTimeMs(time_ms),
            client_timestamp: None,
            tie: None,
            fields: vec![("data".into(), Value::Map(vec![("cart".into(), Value::Int(cart))]))],
        };
        LoggedEvent { seq: LogSeq(self.seq), event: PackedEvent::pack(&event) }
    }

    fn carts(&mut self) -> Vec<LoggedEvent> {
        let carts = (1_000_000..1_000_000 + CARTS).map(|cart| ("AddToCart", cart));
        let checkouts = (1_000_000..1_000_000 + CARTS).map(|cart| ("Checkout", cart));
        carts.chain(checkouts).map(|(name, cart)| self.event(name, cart)).collect()
    }

    /// Two carts with their checkouts, and then a late checkout in an epoch of its own, which is
    /// measured.
    fn late(&mut self) -> Duration {
        let carts = [1_000_000, 1_000_001];
        let carts = carts.map(|cart| [self.event("AddToCart", cart), self.event("Checkout", cart)]);
        self.epoch(carts.as_flattened());
        let late = self.late_event("Checkout", 2_000_000, 10);
        let began = cpu_time();
        self.epoch(&[late]);
        cpu_time() - began
    }

    fn epoch(&mut self, events: &[LoggedEvent]) {
        let last = events.last().map_or(LogSeq(0), |event| event.seq);
        let mark = EpochMark {
            epoch: Epoch(last.0),
            first_seq: events.first().map_or(last, |event| event.seq),
            last_seq: last,
            now: ServerTimeMs(0),
            watermark: EventTimeMs(i64::try_from(last.0 * self.step_ms).expect("a time")),
        };
        let (mut effects, mut inputs) = (Vec::new(), Vec::new());
        self.matcher.events(events, &mut effects);
        self.matcher.end_epoch(&mark, &mut effects);
        self.router.route(&effects, &mut inputs);
        effects.clear();
        assert!(inputs.len() >= events.len(), "all go on to the window");
        self.wide.epoch(&mark, inputs, &mut effects);
        assert!(effects.is_empty(), "no deadline passes");
    }
}

fn costs(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("absences");
    group.throughput(Throughput::Elements(2 * CARTS));
    for pending in PENDING {
        let mut site = Site::new(pending, 2);
        group.bench_function(BenchmarkId::from_parameter(pending), |bencher| {
            bencher.iter_custom(|epochs| {
                let mut spent = Duration::ZERO;
                for _ in 0..epochs {
                    let events = site.carts();
                    let began = cpu_time();
                    site.epoch(&events);
                    spent += cpu_time() - began;
                }
                spent
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    for pending in PENDING {
        let mut site = Site::new(pending, LATE_STEP_MS);
        group.bench_function(BenchmarkId::new("late", pending), |bencher| {
            bencher.iter_custom(|epochs| (0..epochs).map(|_| site.late()).sum());
        });
    }
    group.finish();
}

criterion_group! {
    name = all;
    config = cpu::criterion();
    targets = costs
}
criterion_main!(all);
