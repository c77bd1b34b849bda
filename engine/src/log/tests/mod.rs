//! Tests of the embedded log, on a simulated disk and on a real one.

mod base;
mod bounds;
mod compat;
mod crash;
mod damage;
mod digests;
mod duplicates;
mod retention;
mod rewritten;

use super::conformance::{self, LONG, append, packed, read_all, record, start};
use super::{
    Appended, EmbeddedLog, Inspected, Log, LogConfig, LogError, Named, OpenLog, RecordBody,
    Refused, inspect,
};
use crate::clock::ManualClock;
use crate::disk::{Disk, RealDisk, SimDisk};
use crate::model::ServerTimeMs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

const DIR: &str = "log";

/// What a test gives an embedded log.
struct Setup {
    open: OpenLog,
    clock: Arc<ManualClock>,
    fatal: Arc<AtomicU32>,
}

fn small_config() -> LogConfig {
    LogConfig {
        segment_bytes: 2_000,
        retention_ms: 1_000_000,
        log_bytes_max: 1 << 30,
        disk_free_bytes_min: 0,
        disk_check_interval_ms: 0,
        append_queue_bytes_max: 1 << 20,
        group_bytes_max: 1 << 20,
        dedup_ids_max: 10_000,
    }
}

fn setup(disk: &SimDisk) -> Setup {
    setup_with(Arc::new(disk.clone()), DIR.into())
}

fn setup_with(disk: Arc<dyn Disk>, dir: PathBuf) -> Setup {
    let clock = Arc::new(ManualClock::new(ServerTimeMs(1_000)));
    let fatal = Arc::new(AtomicU32::new(0));
    let on_fatal = Arc::clone(&fatal);
    let open = OpenLog {
        disk,
        dir,
        clock: Arc::clone(&clock) as _,
        config: small_config(),
        named: Named::default(),
        base: None,
        on_fatal: Arc::new(move |_| {
            on_fatal.fetch_add(1, Ordering::Relaxed);
        }),
    };
    Setup { open, clock, fatal }
}

fn open(disk: &SimDisk) -> EmbeddedLog {
    EmbeddedLog::open(setup(disk).open).expect("opened")
}

/// Holds the log's thread in an acknowledgement until something is sent.
fn hold(log: &EmbeddedLog, number: u64) -> SyncSender<()> {
    let (release, held) = sync_channel(0);
    let (began, begun) = sync_channel(1);
    let hold = Box::new(move |_| {
        began.send(()).expect("the test listens");
        held.recv().expect("released");
    });
    log.append(vec![record(number, 10)], hold).expect("taken");
    begun.recv_timeout(LONG).expect("acknowledged");
    release
}

#[test]
fn the_embedded_log_conforms_on_a_simulated_disk() {
    let disk = SimDisk::default();
    conformance::check_all(&|name| {
        Box::new(
            EmbeddedLog::open(setup_with(Arc::new(disk.clone()), name.into()).open).expect(name),
        )
    });
}

#[test]
fn the_embedded_log_conforms_on_real_files() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    conformance::check_all(&|name| {
        let setup = setup_with(Arc::new(RealDisk), dir.path().join(name));
        Box::new(EmbeddedLog::open(setup.open).expect(name))
    });
}

#[test]
fn a_log_has_one_holder() {
    let disk = SimDisk::default();
    let log = open(&disk);
    let error = EmbeddedLog::open(setup(&disk).open).expect_err("locked");
    assert!(matches!(error, LogError::Locked { .. }), "{error}");
    drop(log);
    open(&disk);
}

#[test]
fn time_never_goes_back_over_restarts() {
    let disk = SimDisk::default();
    let first = setup(&disk);
    first.clock.set(ServerTimeMs(5_000));
    let log = EmbeddedLog::open(first.open).expect("opened");
    append(&log, vec![record(1, 10)]).expect("taken");
    drop(log);
    let second = setup(&disk);
    let log = EmbeddedLog::open(second.open).expect("opened");
    append(&log, vec![record(2, 10)]).expect("taken");
    assert_eq!(log.durable().expect("not empty").now, ServerTimeMs(5_000));
    second.clock.set(ServerTimeMs(6_000));
    append(&log, vec![record(3, 10)]).expect("taken");
    assert_eq!(log.durable().expect("not empty").now, ServerTimeMs(6_000));
}

#[test]
fn what_is_queued_while_a_group_is_written_shares_the_next() {
    let disk = SimDisk::default();
    let log = open(&disk);
    let release = hold(&log, 0);
    let answers = (1..=100).map(|number| start(&log, vec![record(number, 10)]).expect("taken"));
    let answers = answers.collect::<Vec<_>>();
    release.send(()).expect("held");
    for answer in answers {
        answer.recv_timeout(LONG).expect("answered").expect("stored");
    }
    assert_eq!(log.stats().groups, 2);
    assert_eq!(read_all(&log).len(), 101);
}

#[test]
fn inspection_shows_segments_groups_and_damage() {
    let disk = SimDisk::default();
    let log = open(&disk);
    for number in 0..30 {
        append(&log, vec![record(number, 200)]).expect("taken");
    }
    log.settle();
    let stats = log.stats();
    drop(log);
    let look = |disk: &SimDisk| {
        let mut found = Vec::new();
        inspect(disk, Path::new(DIR), |it| found.push(it)).expect("read");
        found
    };
    let found = look(&disk);
    let segments = found.iter().filter(|it| matches!(it, Inspected::Segment { .. })).count();
    let groups = found.iter().filter(|it| matches!(it, Inspected::Group { records: 1, .. }));
    assert_eq!((segments as u64, groups.count()), (stats.segments, 30));
    let digests = found.iter().filter(|it| matches!(it, Inspected::Digest { .. })).count();
    assert_eq!(digests, segments - 1, "each but the last has one");
    assert_eq!(found.len(), segments + digests + 30, "no damage");
    disk.flip(&Path::new(DIR).join("0000000002.seg"), 100, 3);
    let damage = look(&disk).into_iter().find(|it| matches!(it, Inspected::Damage { .. }));
    let Some(Inspected::Damage { segment, offset: 44, is_torn: false, .. }) = damage else {
        panic!("{damage:?}");
    };
    assert_eq!(&*segment, "0000000002.seg");
    disk.remove(&Path::new(DIR).join("0000000001.seg")).expect("removed");
    disk.flip(&Path::new(DIR).join("0000000003.ids"), 100, 3);
    let found = look(&disk);
    let Some(Inspected::Digest { name, is_removed: true, epochs, .. }) = found.first() else {
        panic!("{found:?}");
    };
    assert_eq!((&**name, epochs.0), ("0000000001.ids", crate::model::Epoch(1)));
    let flawed = found.iter().find(|it| matches!(it, Inspected::DigestFlaw { .. }));
    let Some(Inspected::DigestFlaw { name, is_removed: false, .. }) = flawed else {
        panic!("{found:?}");
    };
    assert_eq!(&**name, "0000000003.ids");
}
