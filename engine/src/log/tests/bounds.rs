//! Each bound of the log, at the bound; and what happens when the disk fails.

use super::*;
use crate::log::NewRecord;

/// Opens with changed bounds.
fn open_with(disk: &SimDisk, change: impl FnOnce(&mut LogConfig)) -> (EmbeddedLog, Setup) {
    let mut setup = setup(disk);
    change(&mut setup.open.config);
    (EmbeddedLog::open(setup.open.clone()).expect("opened"), setup)
}

fn bytes_of(record: &NewRecord) -> usize {
    crate::log::format::record_bytes(record)
}

#[test]
fn a_full_queue_refuses_at_once() {
    let disk = SimDisk::default();
    let one = bytes_of(&record(1, 50));
    let (log, _) = open_with(&disk, |config| config.append_queue_bytes_max = 3 * one);
    let release = hold(&log, 1_000);
    let answers = (1..=3).map(|number| start(&log, vec![record(number, 50)]).expect("room"));
    let answers = answers.collect::<Vec<_>>();
    assert_eq!(log.stats().queued_bytes, 3 * one as u64);
    assert_eq!(start(&log, vec![record(4, 50)]).err(), Some(Refused::Busy));
    assert_eq!(log.admits(one), Err(Refused::Busy));
    release.send(()).expect("held");
    for answer in answers {
        answer.recv_timeout(LONG).expect("answered").expect("stored");
    }
    assert_eq!((log.admits(3 * one), log.admits(3 * one + 1)), (Ok(()), Err(Refused::Busy)));
    append(&log, vec![record(4, 50)]).expect("room again");
    assert_eq!(log.stats().queued_bytes, 0);
}

#[test]
fn a_group_stops_at_its_bound() {
    let disk = SimDisk::default();
    let one = bytes_of(&record(1, 50));
    let (log, _) = open_with(&disk, |config| config.group_bytes_max = 2 * one);
    let release = hold(&log, 1_000);
    let answers = (1..=6).map(|number| start(&log, vec![record(number, 50)]).expect("room"));
    let answers = answers.collect::<Vec<_>>();
    release.send(()).expect("held");
    for answer in answers {
        answer.recv_timeout(LONG).expect("answered").expect("stored");
    }
    assert_eq!(log.stats().groups, 1 + 3, "two records a group");
}

#[test]
fn a_full_log_refuses_but_ticks_go_on() {
    let disk = SimDisk::default();
    let (log, _) = open_with(&disk, |config| config.log_bytes_max = 3_000);
    let mut taken = 0;
    let refused = loop {
        match append(&log, vec![record(taken, 100)]) {
            Ok(_) => taken += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, Refused::LogFull);
    assert_eq!(log.admits(bytes_of(&record(99, 100))), Err(Refused::LogFull));
    assert!((8..14).contains(&taken), "{taken}");
    assert!(log.stats().bytes <= 3_000);
    let epoch = log.durable().expect("not empty").epoch;
    let mut reader = log.reader(Some(epoch)).expect("readable");
    log.tick();
    assert!(reader.next(LONG).expect("readable").is_some());
    assert_eq!(append(&log, vec![record(99, 100)]), Err(Refused::LogFull));
}

#[test]
fn a_nearly_full_disk_refuses_before_it_is_full() {
    let disk = SimDisk::new(20_000);
    let (log, setup) = open_with(&disk, |config| {
        config.disk_free_bytes_min = 15_000;
        config.disk_check_interval_ms = 100;
        config.segment_bytes = 1 << 20;
    });
    let mut taken = 0;
    while append(&log, vec![record(taken, 100)]).is_ok() {
        taken += 1;
    }
    assert!((15..30).contains(&taken), "{taken}");
    assert_eq!(append(&log, vec![record(99, 100)]), Err(Refused::DiskFull));
    assert!(disk.free_bytes(Path::new(DIR)).expect("known") >= 15_000);
    disk.set_capacity_bytes(40_000);
    assert_eq!(append(&log, vec![record(99, 100)]), Err(Refused::DiskFull), "not asked again yet");
    assert_eq!(log.admits(100), Err(Refused::DiskFull));
    setup.clock.advance(100);
    // To be asked costs nothing: what is free is counted down by appends alone.
    assert!((0..1_000).all(|_| log.admits(100).is_ok()));
    append(&log, vec![record(99, 100)]).expect("room again");
    assert_eq!(setup.fatal.load(Ordering::Relaxed), 0);
}

#[test]
fn the_deduplication_window_is_the_same_after_a_restart() {
    let disk = SimDisk::default();
    let open = || open_with(&disk, |config| config.dedup_ids_max = 5).0;
    let log = open();
    for number in 0..12 {
        append(&log, vec![record(number, 10)]).expect("taken");
    }
    assert_eq!(log.stats().dedup_ids, 5);
    drop(log);
    let log = open();
    assert_eq!(append(&log, vec![record(7, 10)]), Ok(vec![Appended::Duplicate]));
    assert!(matches!(append(&log, vec![record(6, 10)]).as_deref(), Ok([Appended::Stored(_)])));
}

#[test]
fn duplicates_are_counted_and_the_window_is_told_over_restarts() {
    let disk = SimDisk::default();
    let said = |log: &EmbeddedLog| {
        let stats = log.stats();
        (stats.duplicates, stats.dedup_ids, stats.dedup_window_ms)
    };
    let (log, setup) = open_with(&disk, |_| {});
    append(&log, vec![record(1, 10), record(1, 10)]).expect("taken");
    setup.clock.advance(500);
    append(&log, vec![record(1, 10), record(2, 10)]).expect("taken");
    assert_eq!(said(&log), (2, 2, 500));
    drop(log);
    let (log, setup) = open_with(&disk, |_| {});
    assert_eq!(said(&log), (0, 2, 500), "true before anything is appended");
    setup.clock.advance(700);
    append(&log, vec![record(1, 10), record(3, 10)]).expect("taken");
    assert_eq!(said(&log), (1, 3, 700), "counted anew; the ids keep their times");
}

#[test]
fn a_segment_that_has_its_size_is_followed_by_the_next() {
    let disk = SimDisk::default();
    let (log, _) = open_with(&disk, |config| config.segment_bytes = 2_000);
    for number in 0..100 {
        append(&log, vec![record(number, 100)]).expect("taken");
    }
    let (segments, bytes) = (log.stats().segments, log.stats().bytes);
    assert!((bytes / 2_300..=bytes / 1_950).contains(&segments), "{segments} for {bytes} bytes");
    assert_eq!(read_all(&log).len(), 100, "one reader over all of them");
}

#[test]
fn a_failed_sync_ends_the_log() {
    let disk = SimDisk::default();
    let (log, setup) = open_with(&disk, |_| {});
    append(&log, vec![record(1, 10)]).expect("taken");
    let mut reader = log.reader(None).expect("readable");
    let release = hold(&log, 2);
    disk.fail_sync(1);
    let waiting = (3..6).map(|number| start(&log, vec![record(number, 10)]).expect("taken"));
    let waiting = waiting.collect::<Vec<_>>();
    let durable = log.durable();
    release.send(()).expect("held");
    for answer in waiting {
        assert_eq!(answer.recv_timeout(LONG).expect("answered"), Err(Refused::Closed));
    }
    assert_eq!(append(&log, vec![record(9, 10)]), Err(Refused::Closed), "never tried again");
    log.close();
    assert_eq!(setup.fatal.load(Ordering::Relaxed), 1);
    assert_eq!(log.durable(), durable);
    for _ in 0..2 {
        assert!(reader.next(LONG).expect("what is on disk is read").is_some());
    }
    assert!(matches!(reader.next(LONG), Err(LogError::Closed)));
}

#[test]
fn a_panic_on_the_logs_thread_ends_the_log() {
    let disk = SimDisk::default();
    let (log, setup) = open_with(&disk, |_| {});
    log.append(vec![record(1, 10)], Box::new(|_| panic!("of a test"))).expect("taken");
    let mut reader = log.reader(None).expect("readable");
    assert!(reader.next(LONG).expect("readable").is_some());
    assert!(matches!(reader.next(LONG), Err(LogError::Closed)));
    assert_eq!(append(&log, vec![record(2, 10)]), Err(Refused::Closed));
    log.close();
    assert_eq!(setup.fatal.load(Ordering::Relaxed), 1);
}
