//! What a pending timer costs when it fires or is cancelled, whatever number of them is pending.
//!
//! One order of timers with times up to half an hour ahead. *fire*: the first is taken and comes again.
//! *cancel*: one is added and the oldest is cancelled, which is swept out later; nothing fires.

use beckon_benches::cpu::{self, CpuTime};
use beckon_engine::matcher::{Turn, Turns};
use beckon_engine::model::{EventTimeMs, Instance, LogSeq};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const PENDING: [u64; 3] = [1_000, 100_000, 1_000_000];
const AHEAD_MS_MAX: u64 = 1_800_000;

/// An order with a number of timers that stays.
struct Timers {
    order: Turns,
    pending: u64,
    added: u64,
    random: u64,
}

impl Timers {
    fn new(pending: u64) -> Self {
        let mut timers = Self { order: Turns::default(), pending, added: 0, random: 1 };
        for _ in 0..pending {
            timers.add(EventTimeMs(0));
        }
        timers
    }

    fn add(&mut self, now: EventTimeMs) {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let ahead_ms = i64::try_from((self.random >> 33) % AHEAD_MS_MAX).expect("half an hour");
        self.added += 1;
        let instance = Instance(LogSeq(self.added));
        self.order.push(Turn { time: now.saturating_add(ahead_ms), instance, hash: self.added });
    }

    fn fire(&mut self) {
        let fired = self.order.pop_first(|_| true).expect("as many as before");
        self.add(fired.time);
    }

    fn cancel(&mut self) {
        // Each is cancelled half an hour after it was added.
        let now_ms = self.added.saturating_mul(AHEAD_MS_MAX) / self.pending;
        self.add(EventTimeMs(i64::try_from(now_ms).expect("a time")));
        let cancelled = self.added - self.pending;
        let open = usize::try_from(self.pending).expect("small");
        self.order.sweep(open, |turn| turn.instance.0.0 > cancelled);
    }
}

fn costs(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("timers");
    group.throughput(Throughput::Elements(1));
    for pending in PENDING {
        for (name, step) in [("fire", Timers::fire as fn(&mut Timers)), ("cancel", Timers::cancel)]
        {
            let mut timers = None;
            group.bench_function(BenchmarkId::new(name, pending), |bencher| {
                let timers = timers.get_or_insert_with(|| {
                    let mut timers = Timers::new(pending);
                    // Until each has come again, and was swept.
                    (0..3 * pending).for_each(|_| step(&mut timers));
                    timers
                });
                bencher.iter(|| step(timers));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = all;
    config = cpu::criterion();
    targets = costs
}
criterion_main!(all);
