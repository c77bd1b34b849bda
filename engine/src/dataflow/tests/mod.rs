//! The dataflow against a plain loop over the same stage: order, exactly once, bounds, endings.
//!
//! The stage is a made one (`fake`) whose output depends on the order of events in a visit. The plain loop
//! and its building of outputs share nothing with the graph. Random tests print their seed;
//! `BECKON_TEST_SEED=N` runs that one alone.

pub(crate) mod fake;
mod live;

use super::{Dataflow, DataflowConfig, StartError, Stopped};
use crate::live::LiveHandle;
use crate::model::{Epoch, EpochInput, EpochOutput, Op};
use crate::testing::seeds;
use fake::{FakeStage, Random, epoch, event, expected, random_epochs};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

type Outputs = Arc<Mutex<Vec<EpochOutput>>>;

fn config(workers: usize) -> DataflowConfig {
    DataflowConfig { workers, ..DataflowConfig::default() }
}

fn start(config: DataflowConfig) -> (Dataflow, Outputs) {
    let outputs = Outputs::default();
    let sink = Arc::clone(&outputs);
    let dataflow = Dataflow::start(
        config,
        Arc::new(|_| Box::new(FakeStage::default())),
        Box::new(move |output| sink.lock().expect("no test panics here").push(output)),
    );
    (dataflow.expect("the dataflow starts"), outputs)
}

fn run_with(
    config: DataflowConfig,
    epochs: &[EpochInput],
) -> (Vec<EpochOutput>, Option<LiveHandle>) {
    let (dataflow, outputs) = start(config);
    for input in epochs {
        dataflow.submit(input.clone()).expect("the dataflow runs");
    }
    dataflow.finish().expect("no worker failed");
    let outputs = std::mem::take(&mut *outputs.lock().expect("no test panics here"));
    (outputs, dataflow.live())
}

/// The same outputs, byte for byte, as the plain loop's.
fn check(config: DataflowConfig, epochs: &[EpochInput], what: &str) {
    let (found, wanted) = (run_with(config, epochs).0, expected(epochs));
    assert_eq!(found.len(), wanted.len(), "{what}: epochs");
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_eq!(found, wanted, "{what}: epoch {}", wanted.mark.epoch);
        let bytes = |output| postcard::to_stdvec(output).expect("rows can be written");
        assert_eq!(bytes(found), bytes(wanted), "{what}: bytes of epoch {}", wanted.mark.epoch);
    }
}

#[test]
fn any_number_of_workers_says_the_same() {
    let mut ops = Vec::new();
    for seed in seeds(40) {
        let mut random = Random(seed);
        let epochs = random_epochs(&mut random);
        for workers in 1..=3 {
            let config = DataflowConfig {
                epochs_in_flight_max: 1 + random.below(5),
                events_in_flight_max: 1 + random.below(200),
                ..config(workers)
            };
            check(config, &epochs, &format!("BECKON_TEST_SEED={seed}, {workers} workers"));
        }
        ops.extend(expected(&epochs).into_iter().flat_map(|output| output.actions));
    }
    for op in [Op::Assert, Op::Retract, Op::Suppress, Op::Correct] {
        let seen = ops.iter().any(|row| row.op == op);
        assert!(seen || std::env::var("BECKON_TEST_SEED").is_ok(), "no case says {op:?}");
    }
}

#[test]
fn empty_epochs_and_gaps_are_delivered_in_order() {
    let epochs: Vec<_> = [1, 2, 5, 6, 40].map(|number| epoch(number, Vec::new())).into();
    check(config(2), &epochs, "empty epochs");
}

#[test]
fn an_epoch_out_of_order_is_refused() {
    let (dataflow, outputs) = start(config(1));
    dataflow.submit(epoch(4, Vec::new())).expect("the first epoch");
    for given in [4, 3] {
        let refused = dataflow.submit(epoch(given, Vec::new()));
        assert_eq!(refused, Err(Stopped::OutOfOrder { given: Epoch(given), last: Epoch(4) }));
    }
    dataflow.finish().expect("no worker failed");
    assert_eq!(outputs.lock().expect("no test panics here").len(), 1);
}

/// Holds deliveries back until they are let through.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        let open = self.open.lock().expect("no test panics here");
        drop(self.opened.wait_while(open, |open| !*open).expect("no test panics here"));
    }

    fn open(&self) {
        *self.open.lock().expect("no test panics here") = true;
        self.opened.notify_all();
    }
}

/// Submits all epochs while nothing is delivered, and says how many were taken before submit
/// waited; then lets them through.
fn taken_while_held(config: &DataflowConfig, epochs: Vec<EpochInput>, expect_taken: u64) {
    let gate = Arc::new(Gate::default());
    let held = Arc::clone(&gate);
    let dataflow = Dataflow::start(
        config.clone(),
        Arc::new(|_| Box::new(FakeStage::default())),
        Box::new(move |_| held.pass()),
    );
    let dataflow = Arc::new(dataflow.expect("the dataflow starts"));
    let count = epochs.len() as u64;
    let submitter = thread::spawn({
        let dataflow = Arc::clone(&dataflow);
        move || epochs.into_iter().try_for_each(|input| dataflow.submit(input))
    });
    while dataflow.stats().epochs_submitted < expect_taken {
        thread::yield_now();
    }
    // Were there no bound, the submitter would soon be done; give it every chance.
    for _ in 0..2_000 {
        thread::yield_now();
    }
    let stats = dataflow.stats();
    assert_eq!((stats.epochs_submitted, stats.epochs_delivered), (expect_taken, 0));
    gate.open();
    submitter.join().expect("the submitter").expect("no worker failed");
    let stats = dataflow.finish().expect("no worker failed");
    assert_eq!((stats.epochs_delivered, stats.events_in_flight), (count, 0));
    assert!(stats.events_in_flight_peak <= config.events_in_flight_max.max(9), "{stats:?}");
}

fn epochs_of(count: u64, events: u64) -> Vec<EpochInput> {
    (0..count)
        .map(|number| {
            let events = (1..=events).map(|one| event(number * events + one, "a", "E")).collect();
            epoch(number + 1, events)
        })
        .collect()
}

#[test]
fn submit_waits_for_the_bound_of_epochs() {
    for bound in [1, 3] {
        let config = DataflowConfig { epochs_in_flight_max: bound, ..config(2) };
        taken_while_held(&config, epochs_of(10, 2), bound as u64);
    }
}

#[test]
fn submit_waits_for_the_bound_of_events() {
    let bounded =
        |max| DataflowConfig { events_in_flight_max: max, epochs_in_flight_max: 100, ..config(2) };
    taken_while_held(&bounded(20), epochs_of(10, 5), 4);
    // One epoch larger than the bound passes, alone.
    taken_while_held(&bounded(4), epochs_of(3, 9), 1);
}

#[test]
fn a_panic_in_any_stage_is_told_and_nothing_hangs() {
    for workers in 1..=3 {
        for visit in ["a", "b", "c", "d", "e"] {
            let told = Arc::new(Mutex::new(Vec::new()));
            let listener = Arc::clone(&told);
            let config = DataflowConfig {
                on_fatal: Arc::new(move |reason| {
                    listener.lock().expect("no test panics here").push(reason.to_owned());
                }),
                ..config(workers)
            };
            let (dataflow, outputs) = start(config);
            dataflow.submit(epoch(1, vec![event(1, visit, "E")])).expect("the first epoch");
            dataflow.submit(epoch(2, vec![event(2, visit, fake::PANIC)])).expect("the second");
            let mut number = 3;
            let stopped = loop {
                if let Err(stopped) = dataflow.submit(epoch(number, Vec::new())) {
                    break stopped;
                }
                number += 1;
            };
            let Stopped::Failed(reason) = &stopped else { panic!("{stopped:?}") };
            assert!(reason.contains(fake::PANIC), "{reason}");
            assert_eq!(dataflow.finish().expect_err("a worker failed"), stopped);
            assert_eq!(*told.lock().expect("no test panics here"), [reason.to_string()]);
            assert!(outputs.lock().expect("no test panics here").len() <= 1, "epoch 2 was said");
        }
    }
}

#[test]
fn a_panic_while_starting_or_delivering_is_told() {
    let failed = Dataflow::start(
        config(2),
        Arc::new(|worker| {
            assert!(worker.0 == 0, "no stage for worker 1");
            Box::new(FakeStage::default())
        }),
        Box::new(|_| ()),
    );
    let StartError::Failed(reason) = failed.map(drop).expect_err("a stage is missing") else {
        panic!("not the stage")
    };
    assert!(reason.contains("no stage for worker 1"), "{reason}");

    let dataflow = Dataflow::start(
        config(2),
        Arc::new(|_| Box::new(FakeStage::default())),
        Box::new(|_| panic!("no room")),
    );
    let dataflow = dataflow.expect("the dataflow starts");
    dataflow.submit(epoch(1, Vec::new())).expect("the first epoch");
    let stopped = dataflow.finish().expect_err("the delivery failed");
    assert_eq!(stopped, Stopped::Failed("worker 0: no room".into()));
}

#[test]
fn bounds_of_the_configuration_are_checked() {
    let refused = |config| {
        let stage: super::MakeStage = Arc::new(|_| Box::new(FakeStage::default()));
        Dataflow::start(config, stage, Box::new(|_| ())).map(drop).expect_err("refused")
    };
    assert_eq!(refused(config(0)), StartError::Workers(0));
    assert_eq!(refused(config(65)), StartError::Workers(65));
    let none = DataflowConfig { epochs_in_flight_max: 0, ..config(1) };
    assert_eq!(refused(none), StartError::Bound("epochs_in_flight_max"));
    let none = DataflowConfig { events_in_flight_max: 0, ..config(1) };
    assert_eq!(refused(none), StartError::Bound("events_in_flight_max"));
}

#[test]
fn dropping_gives_up_without_hanging() {
    let (dataflow, _) = start(config(3));
    for input in epochs_of(20, 50) {
        dataflow.submit(input).expect("the dataflow runs");
    }
    drop(dataflow);
}

/// An idle worker parks: its loop does not turn. A worker that polled would turn thousands of
/// times while this thread yields.
#[test]
fn idle_workers_do_not_turn() {
    let (dataflow, _) = start(config(3));
    for input in epochs_of(50, 3) {
        dataflow.submit(input).expect("the dataflow runs");
    }
    while dataflow.stats().epochs_delivered < 50 {
        thread::yield_now();
    }
    // Settling: progress messages still travel for a few turns after the last delivery.
    let mut before = dataflow.stats().worker_turns;
    let mut still = 0;
    for _ in 0..100_000 {
        thread::yield_now();
        let now = dataflow.stats().worker_turns;
        still = if now == before { still + 1 } else { 0 };
        before = now;
        if still == 5_000 {
            break;
        }
    }
    assert_eq!(still, 5_000, "the workers do not come to rest");
    let per_epoch = before / 50;
    assert!(per_epoch <= 200, "{per_epoch} turns an epoch");
    dataflow.finish().expect("no worker failed");
}

#[test]
fn figures_are_summed_over_workers() {
    let (dataflow, _) = start(config(3));
    let visits = ["a", "b", "c", "d", "e", "f"];
    let events = visits.iter().zip(1..).map(|(visit, seq)| event(seq, visit, "E")).collect();
    dataflow.submit(epoch(1, events)).expect("the dataflow runs");
    let stats = dataflow.finish().expect("no worker failed");
    assert_eq!((stats.stage.visits_open, stats.stage.events_matched), (6, 6));
    assert_eq!(stats.stage.next_timer_ms, Some(1_001), "the earliest of the workers' timers");
    assert_eq!(stats.last_delivered, Some(Epoch(1)));
}
