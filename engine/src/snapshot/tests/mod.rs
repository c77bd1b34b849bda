//! Restarts the whole way: a server's life that goes on from a snapshot says what one that read the log
//! from its start would, byte for byte.

mod compat;

use super::store::UNFINISHED;
use super::{RestartError, SnapshotStats, file};
use crate::catalog::tests::{EACH, Life, PAIR, check_replay, key};
use crate::disk::{Disk, SimDisk};
use crate::log::{Log, PauseKey};
use crate::model::Epoch;
use crate::pipeline::SnapshotConfig;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

const SHOP: &str = "com.example.shop";
/// A round begins as soon as something came.
const OFTEN: Option<SnapshotConfig> = Some(SnapshotConfig { records: 1, interval_ms: i64::MAX });
/// No second round begins.
const ONCE: Option<SnapshotConfig> = Some(SnapshotConfig { records: 5, interval_ms: i64::MAX });

fn start(disk: &SimDisk, workers: usize, often: Option<SnapshotConfig>) -> Life {
    Life::start_with(disk, (workers, "outbox"), often).expect("it starts")
}

impl Life {
    fn snapshots(&self) -> SnapshotStats {
        self.pipeline.stats().snapshots
    }

    /// Lets epochs without events pass until so many snapshots are there.
    fn wait_for(&self, taken: u64) {
        let first = self.pipeline.processed().epoch;
        while self.snapshots().taken < taken {
            self.log.tick();
            self.settle();
            let epochs = self.pipeline.processed().epoch.0 - first.0;
            assert!(epochs < 20_000, "no round is under way: {:?}", self.snapshots());
        }
    }
}

fn snapshots(disk: &SimDisk) -> Vec<PathBuf> {
    let names = disk.list("snapshots".as_ref()).expect("listed").into_iter();
    names.map(|name| PathBuf::from("snapshots").join(name)).collect()
}

#[test]
fn a_restart_goes_on_behind_the_snapshot() {
    let disk = SimDisk::default();
    let mut life = start(&disk, 1, ONCE);
    let on_site = format!("{PAIR}'''\nstate_max = 9\nwindow = '''site");
    life.deploy(key(SHOP, None), &[("pair", PAIR), ("on-site", &on_site), ("each", EACH)]);
    for visit in 1..=6 {
        life.event(visit, "A");
    }
    life.wait_for(1);
    life.event(1, "B");
    let through = life.snapshots().through;
    drop(life.end());
    let disk = disk.exit();
    let mut life = start(&disk, 2, ONCE);
    assert!(life.pipeline.processed().epoch >= through, "what was said is not said again");
    life.settle();
    let stats = life.pipeline.stats().dataflow;
    assert_eq!(stats.stage.visits_open, 6);
    assert!(stats.stage.events_matched < 6, "only what came behind the round: {stats:?}");
    assert_eq!(life.pipeline.live().expect("live").snapshot().open_visits["a"], 6);
    for visit in 1..=6 {
        life.event(visit, "B");
    }
    let said = life.end();
    let pairs = said.iter().filter(|line| line.starts_with("com.example.shop/pair"));
    assert_eq!(pairs.count(), 6, "{said:?}");
    check_replay(&disk);
}

/// Behind the snapshot a rule knows what was complete before it came, and a pause holds.
#[test]
fn a_restart_knows_what_was_decided_before() {
    let disk = SimDisk::default();
    let mut life = start(&disk, 1, ONCE);
    life.event(1, "A").event(1, "A");
    life.deploy(key(SHOP, None), &[("each", EACH)]);
    life.event(1, "A").settle();
    let paused = PauseKey { package: Some(SHOP.into()), site: None };
    life.deployer.pause(paused, "ann".into()).expect("paused");
    life.wait_for(1);
    drop(life.end());
    let disk = disk.exit();
    let mut life = start(&disk, 2, ONCE);
    life.late_event(1, "A", 2).event(1, "A").settle();
    let matched = life.pipeline.stats().dataflow.stage.events_matched;
    assert!(matched <= 2, "only what came behind the round: {matched}");
    let said = life.end();
    assert_eq!(
        said,
        [
            "com.example.shop/each a 1: 1 suppress backfilled",
            "com.example.shop/each a 1: 2 suppress backfilled",
            "com.example.shop/each a 1: 3",
            "com.example.shop/each a 1: 6 suppress paused",
            "com.example.shop/each a 1: 7 suppress paused",
        ]
    );
    check_replay(&disk);
}

/// A server that was busy and falls silent is restarted from behind what came, not from before it.
#[test]
fn a_round_goes_on_where_nobody_writes_any_more() {
    let disk = SimDisk::default();
    let mut life = start(&disk, 2, ONCE);
    life.deploy(key(SHOP, None), &[("pair", PAIR)]);
    life.event(1, "A").event(2, "A").event(3, "A").event(4, "A").settle();
    while life.snapshots().taken < 1 {
        std::thread::yield_now();
    }
    drop(life.end());
    let mut life = start(&disk.exit(), 1, ONCE);
    life.event(5, "A").settle();
    let stats = life.pipeline.stats().dataflow.stage;
    assert_eq!((stats.visits_open, stats.events_matched), (5, 1), "nothing is replayed");
    drop(life);
}

#[test]
fn a_damaged_one_is_passed_over_for_the_one_before() {
    let disk = SimDisk::default();
    let mut life = start(&disk, 1, OFTEN);
    life.deploy(key(SHOP, None), &[("pair", PAIR)]);
    life.event(1, "A").event(2, "A").wait_for(1);
    life.event(4, "A").wait_for(2);
    assert!(life.released.load(Ordering::Relaxed) > 0, "the log may go");
    life.event(3, "A");
    drop(life.end());
    let disk = disk.exit();
    let found = snapshots(&disk);
    let [older, newest, ..] = &found[..] else { panic!("two: {found:?}") };
    let through = file::through_of(older.file_name().and_then(|it| it.to_str()).expect("a name"));
    disk.flip(newest, 1_000, 3);
    let mut life = start(&disk, 2, ONCE);
    assert_eq!(Some(life.snapshots().through), through);
    life.event(1, "B").event(3, "B");
    let said = life.end();
    assert_eq!(said, ["com.example.shop/pair a 1: 1 6", "com.example.shop/pair a 3: 4 7"]);
    check_replay(&disk);
    // Without any the log's start does.
    let disk = disk.exit();
    for path in snapshots(&disk) {
        disk.flip(&path, 1_001, 3);
    }
    let life = start(&disk, 2, ONCE);
    assert_eq!(life.snapshots().through, Epoch(0));
    life.settle();
    drop(life);
}

#[test]
fn a_round_is_given_up_while_rules_change_and_begun_anew() {
    let disk = SimDisk::default();
    let mut life = start(&disk, 2, OFTEN);
    life.event(1, "A").event(2, "A");
    // One by one: a round has more epochs, and is still under way.
    while life.pipeline.processed().epoch < Epoch(20) {
        life.log.tick();
        life.settle();
    }
    life.deploy(key(SHOP, None), &[("pair", PAIR)]);
    life.settle();
    assert_eq!((life.snapshots().abandoned, life.snapshots().taken), (1, 0));
    life.event(3, "A").wait_for(1);
    drop(life.end());
    let disk = disk.exit();
    let mut life = start(&disk, 1, OFTEN);
    assert!(life.snapshots().through > Epoch(0));
    life.event(1, "B");
    assert_eq!(life.end(), ["com.example.shop/pair a 1: 1 5"]);
    check_replay(&disk);
}

/// What was half written, or not synced, or not named: the next life finds its way.
#[test]
fn after_any_crash_the_outbox_says_what_the_log_says() {
    for seed in 0..40_u64 {
        let mut disk = SimDisk::default();
        for life in 0..3_u64 {
            let mut now = start(&disk, 1 + usize::from(seed % 2 == life % 2), OFTEN);
            if life == 0 {
                now.deploy(key(SHOP, None), &[("pair", PAIR)]);
            }
            for number in 0..200 * (seed % 9) {
                let name = if (seed + number) % 3 == 0 { "B" } else { "A" };
                if number % 50 == 7 {
                    now.event(u128::from(number / 50 + life), name);
                }
                now.log.tick();
            }
            if seed % 3 > 0 {
                now.settle();
            }
            let after = disk.crash(seed * 31 + life);
            drop(now);
            disk = after;
        }
        drop(start(&disk, 2, ONCE).end());
        check_replay(&disk);
    }
}

#[test]
fn a_round_that_was_not_finished_is_removed() {
    let disk = SimDisk::default();
    let mut life = start(&disk, 1, OFTEN);
    life.event(1, "A").log.tick();
    life.settle();
    // Its thread begins when it comes to it.
    while snapshots(&disk).is_empty() {
        std::thread::yield_now();
    }
    let disk = disk.exit();
    let unfinished = PathBuf::from("snapshots").join(UNFINISHED);
    assert_eq!(snapshots(&disk), [unfinished]);
    drop(life);
    drop(start(&disk, 1, ONCE));
    assert!(snapshots(&disk).is_empty());
}

#[test]
fn without_the_logs_start_and_without_snapshots_there_is_nothing_to_go_on_from() {
    let disk = SimDisk::default();
    let mut life = start(&disk, 1, OFTEN);
    life.event(1, "A");
    while life.log.stats().bytes < 600_000 {
        life.fill();
    }
    life.wait_for(1);
    // The first began with the first event: it is the second that lets segments go.
    life.event(1, "A").wait_for(2);
    life.event(1, "A").wait_for(3);
    life.event(1, "B");
    drop(life.end());
    let disk = disk.exit();
    let logs = |disk: &SimDisk| disk.list("log".as_ref()).expect("listed");
    assert!(!logs(&disk).contains(&"0000000001.seg".to_owned()), "{:?}", logs(&disk));
    drop(start(&disk, 2, ONCE).end());
    let disk = disk.exit();
    // The outbox is lost, so what the snapshots have in them would have to be said again.
    for name in disk.list("outbox".as_ref()).expect("listed") {
        disk.remove(&PathBuf::from("outbox").join(name)).expect("removed");
    }
    let nothing = Life::start_with(&disk, (1, "outbox"), ONCE).map(|_| ());
    assert!(matches!(nothing, Err(RestartError::Nothing)), "{nothing:?}");
}
