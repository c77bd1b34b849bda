//! Live counts against a naive recount of the outputs, minutes falling out, bounds, waking.

use super::fake::{FakeStage, Random, effects, epoch, event, event_with, expected};
use super::{config, run_with};
use crate::dataflow::{Dataflow, DataflowConfig};
use crate::live::{
    LIVE_MINUTES, LiveConfig, LiveCount, LiveHandle, LiveName, LiveSnapshot, Minute, OTHER,
};
use crate::model::{ActionRow, EpochInput, EventTimeMs, Op, ServerTimeMs, Value, VisitChange};
use crate::stage::Effect;
use crate::testing::seeds;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Every epoch says its changes.
const AT_ONCE: LiveConfig =
    LiveConfig { live_names_max: 1_000, live_interval_ms: 0, live_recent_max: 200 };

fn with_live(workers: usize, live: LiveConfig) -> DataflowConfig {
    DataflowConfig { live: Some(live), ..config(workers) }
}

fn snapshot(config: DataflowConfig, epochs: &[EpochInput]) -> LiveSnapshot {
    run_with(config, epochs).1.expect("live is configured").snapshot()
}

/// Epochs with some names and categories, whose clock now and then leaves minutes out.
fn random_watched_epochs(random: &mut Random) -> Vec<EpochInput> {
    let mut seq = 0;
    let mut now = 0;
    (1..=40)
        .map(|number| {
            now += [0, 900, 20_000, 70_000, 25 * 60_000][random.below(5)];
            let events = (0..random.below(12)).map(|_| {
                seq += 1;
                let visit = format!("visit {}", random.below(6));
                let name = ["PageEntered", "Bought", "SignIn"][random.below(3)];
                let categories = [&["shoes", "sale"][..], &["hats"], &[]][random.below(3)];
                event_with(seq, &visit, name, categories)
            });
            let mut input = epoch(number, events.collect());
            input.mark.now = ServerTimeMs(now);
            input
        })
        .collect()
}

#[derive(Default)]
struct Recount {
    counts: BTreeMap<LiveName, BTreeMap<i64, i64>>,
    open_visits: BTreeMap<Arc<str>, i64>,
}

impl Recount {
    fn add(&mut self, minute: Minute, effect: &Effect) {
        let site = || Arc::from("shop");
        let mut add = |name: LiveName, count: i64| {
            *self.counts.entry(name).or_default().entry(minute.0).or_default() += count;
        };
        match effect {
            Effect::Event(row) => {
                let event = row.event.unpack().expect("tests pack whole events");
                add(LiveName::Event { site: site(), name: (*event.name).into() }, 1);
                let Some(Value::List(categories)) = event.field("category") else { return };
                for category in categories {
                    let Value::Str(category) = category else { panic!("a text") };
                    let category = (**category).into();
                    add(LiveName::Category { site: site(), category }, 1);
                }
            }
            Effect::Visit(row) => {
                let change = if matches!(row.change, VisitChange::Opened { .. }) { 1 } else { -1 };
                *self.open_visits.entry(site()).or_default() += change;
            }
            Effect::Match(..) => {}
        }
    }

    /// What acts, less what acted and was taken back.
    fn add_action(&mut self, minute: Minute, ActionRow { fact, op, .. }: &ActionRow) {
        let change = match (op, fact.suppressed) {
            (Op::Assert, _) => 1,
            (Op::Retract, None) => -1,
            _ => return,
        };
        let (package, rule) = (fact.package.clone(), fact.rule.clone());
        let name = LiveName::Rule { site: "shop".into(), package, rule };
        *self.counts.entry(name).or_default().entry(minute.0).or_default() += change;
    }

    fn lines(&self, last: Minute) -> Vec<LiveCount> {
        let first = last.0 - (LIVE_MINUTES as i64 - 1);
        let lines = self.counts.iter().map(|(name, minutes)| {
            let at = |minute| minutes.get(&minute).copied().unwrap_or(0);
            let per_minute: Vec<i64> = (first..=last.0).map(at).collect();
            LiveCount { name: name.clone(), total: per_minute.iter().sum(), per_minute }
        });
        lines.filter(|line| line.per_minute.iter().any(|count| *count != 0)).collect()
    }
}

#[test]
fn counts_equal_a_naive_recount_and_minutes_fall_out() {
    let mut fell_out = false;
    for seed in seeds(30) {
        let epochs = random_watched_epochs(&mut Random(seed));
        let mut recount = Recount::default();
        for (mark, effects) in effects(&epochs) {
            effects.iter().for_each(|effect| recount.add(Minute::of(mark.now), effect));
        }
        let last = Minute::of(epochs.last().expect("some").mark.now);
        fell_out |= last.0 > LIVE_MINUTES as i64;
        recount.open_visits.retain(|_, count| *count != 0);
        let outputs = expected(&epochs);
        for output in &outputs {
            let minute = Minute::of(output.mark.now);
            output.actions.iter().for_each(|row| recount.add_action(minute, row));
        }
        let actions: Vec<_> = outputs.iter().flat_map(|output| &output.actions).collect();
        for workers in 1..=3 {
            let what = format!("BECKON_TEST_SEED={seed}, {workers} workers");
            let snapshot = snapshot(with_live(workers, AT_ONCE), &epochs);
            assert_eq!(snapshot.minute, last, "{what}");
            assert_eq!(snapshot.open_visits, recount.open_visits, "{what}");
            assert_eq!(snapshot.counts, recount.lines(last), "{what}");
            let newest = actions.iter().rev().take(200).rev().copied();
            assert!(snapshot.actions.iter().eq(newest), "{what}: latest actions");
        }
    }
    assert!(fell_out || std::env::var("BECKON_TEST_SEED").is_ok(), "no case is long enough");
}

/// Ends all visits, and moves the clock out of the hour.
fn silence(number: u64) -> EpochInput {
    let mut input = epoch(number, Vec::new());
    input.mark.now = ServerTimeMs(i64::try_from(number).expect("small") + 200 * 60_000);
    input.mark.watermark = EventTimeMs::MAX;
    input
}

/// The first minute of the hour is shown, the one before it is held no more.
#[test]
fn a_minute_falls_out_sixty_minutes_later() {
    let first = epoch(1, vec![event(1, "a", "E")]);
    let mut later = epoch(2, Vec::new());
    later.mark.now = ServerTimeMs(60 * 60_000 - 1);
    let shown = snapshot(with_live(1, AT_ONCE), &[first.clone(), later.clone()]);
    assert_eq!(event_names(&shown), [("E", 1), ("VisitStarted", 1)].into());
    assert!(shown.counts.iter().all(|line| line.per_minute[0] == line.total), "{shown:?}");
    later.mark.now = ServerTimeMs(60 * 60_000);
    let gone = snapshot(with_live(1, AT_ONCE), &[first, later]);
    assert_eq!(gone.counts, Vec::new());
}

#[test]
fn after_an_hour_of_silence_nothing_is_held() {
    let mut epochs = random_watched_epochs(&mut Random(7));
    let later = epochs.last().expect("some").mark.now.0;
    let mut last = silence(50);
    last.mark.now.0 += later;
    epochs.push(last);
    let snapshot = snapshot(with_live(2, AT_ONCE), &epochs);
    assert_eq!((snapshot.counts, snapshot.open_visits), (Vec::new(), BTreeMap::new()));
}

fn event_names(snapshot: &LiveSnapshot) -> BTreeMap<&str, i64> {
    let events = snapshot.counts.iter().filter_map(|line| match &line.name {
        LiveName::Event { name, .. } => Some((&**name, line.total)),
        LiveName::Category { .. } | LiveName::Rule { .. } => None,
    });
    events.collect()
}

#[test]
fn names_over_the_bound_count_as_other_and_are_free_again_after_an_hour() {
    let live = LiveConfig { live_names_max: 3, live_recent_max: 2, ..AT_ONCE };
    // "VisitStarted", made up by the stage, is the second name.
    let many = |first: u64| {
        let names = ["A", "B", "C", "D", "A", "D"];
        names.iter().zip(first..).map(|(name, seq)| event(seq, "one", name)).collect()
    };
    let first = [epoch(1, many(1))];
    let found = snapshot(with_live(1, live), &first);
    let wanted = [("A", 2), ("B", 1), ("VisitStarted", 1), (OTHER, 3)];
    assert_eq!(event_names(&found), wanted.into());
    let kept: Vec<_> = found.events.iter().map(|row| row.seq.0).collect();
    assert_eq!(kept, [5, 6], "live_recent_max");

    let mut again = epoch(51, vec![event(7, "two", "X"), event(8, "two", "Y")]);
    again.mark.now = silence(51).mark.now;
    let [first] = first;
    let found = snapshot(with_live(1, live), &[first, silence(50), again]);
    let wanted = [("VisitStarted", 1), ("X", 1), ("Y", 1)];
    assert_eq!(event_names(&found), wanted.into());
}

/// Changes wait for the interval; the minute that they belong to is that of their own mark, and
/// without an open visit nothing waits.
#[test]
fn changes_are_said_once_an_interval() {
    let live = LiveConfig { live_interval_ms: 1_000, ..AT_ONCE };
    let at = |number: u64, now, seq, name| {
        let mut input = epoch(number, vec![event(seq, "a", name)]);
        input.mark.now = ServerTimeMs(now);
        input
    };
    let mut epochs = vec![at(1, 59_000, 1, "A"), at(2, 59_999, 2, "B")];
    let found = snapshot(with_live(1, live), &epochs);
    assert_eq!(event_names(&found), [("A", 1), ("VisitStarted", 1)].into(), "B waits");

    epochs.push(at(3, 60_000, 3, "C"));
    let found = snapshot(with_live(1, live), &epochs);
    let b = found
        .counts
        .iter()
        .find(|line| matches!(&line.name, LiveName::Event { name, .. } if &**name == "B"));
    let b = b.expect("B was said");
    assert_eq!(b.per_minute[LIVE_MINUTES - 2..], [1, 0], "in its own minute");
    assert_eq!(event_names(&found).get("C"), Some(&1), "a second after A");

    epochs.push(at(4, 60_001, 4, "D"));
    let found = snapshot(with_live(1, live), &epochs);
    assert_eq!(event_names(&found).get("D"), None, "D waits");
    epochs[3].mark.watermark = EventTimeMs::MAX;
    let found = snapshot(with_live(1, live), &epochs);
    assert_eq!(event_names(&found).get("D"), Some(&1), "no visit is open any more");
}

#[test]
fn a_watcher_is_woken_instead_of_polling() {
    let config = with_live(2, AT_ONCE);
    let stage: super::super::MakeStage = Arc::new(|_| Box::new(FakeStage::default()));
    let dataflow = Dataflow::start(config, stage, Box::new(|_| ())).expect("the dataflow starts");
    let live: LiveHandle = dataflow.live().expect("live is configured");
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    live.on_change(Arc::new(move |version| {
        listener.lock().expect("no test panics here").push(version);
    }));
    let long = Duration::from_secs(60);
    assert_eq!(live.wait_past(0, Duration::ZERO), 0, "nothing happened yet");
    dataflow.submit(epoch(1, vec![event(1, "a", "E")])).expect("the dataflow runs");
    let mut version = 0;
    while live.snapshot().counts.is_empty() {
        version = live.wait_past(version, long);
    }
    dataflow.finish().expect("no worker failed");
    let mut told = std::mem::take(&mut *told.lock().expect("no test panics here"));
    told.sort_unstable();
    assert_eq!(told, (1..=live.version()).collect::<Vec<_>>(), "each version once");
}

#[test]
fn a_snapshot_is_json_for_the_page_that_shows_it() {
    let found = snapshot(with_live(1, AT_ONCE), &[epoch(1, vec![event(1, "a", "E")])]);
    let line = serde_json::to_value(&found.counts[0]).expect("it can be written");
    assert_eq!((&line["kind"], &line["name"]), (&"event".into(), &"E".into()));
    assert_eq!((&line["site"], &line["total"]), (&"shop".into(), &1.into()));
}
