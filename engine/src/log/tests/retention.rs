//! What is released goes when it is due, oldest first; what is needed stays.

use super::digests::names;
use super::*;
use crate::log::LogBase;
use crate::log::Standing;
use crate::model::{Epoch, ServerTimeMs};

fn open_with(
    disk: &SimDisk,
    base: Option<u64>,
    change: impl FnOnce(&mut LogConfig),
) -> (EmbeddedLog, Setup) {
    let mut setup = setup(disk);
    change(&mut setup.open.config);
    let base = base.map(|epoch| LogBase { epoch: Epoch(epoch), standing: Standing::default() });
    setup.open.base = base;
    (EmbeddedLog::open(setup.open.clone()).expect("opened"), setup)
}

/// Appends events of about 400 bytes, each an epoch, 10 milliseconds apart.
fn fill(log: &EmbeddedLog, setup: &Setup, numbers: std::ops::Range<u64>) {
    for number in numbers {
        setup.clock.advance(10);
        append(log, vec![record(number, 300)]).expect("taken");
    }
    log.settle();
}

fn release(log: &EmbeddedLog, through: u64) {
    log.release(Epoch(through));
    log.settle();
}

#[test]
fn only_what_is_released_goes_and_only_when_it_is_due() {
    let disk = SimDisk::default();
    let (log, setup) = open_with(&disk, None, |config| config.retention_ms = 1_000);
    fill(&log, &setup, 0..40);
    let segments = names(&disk, ".seg");
    assert!(segments.len() >= 6, "{segments:?}");
    release(&log, 40);
    assert_eq!(names(&disk, ".seg"), segments, "nothing is old");
    // The first segment's last event is a little younger than its first.
    setup.clock.advance(1_000 - 400 + 10);
    let mut held = Vec::new();
    for _ in 0..60 {
        setup.clock.advance(10);
        release(&log, 0);
        let names = names(&disk, ".seg");
        assert!(segments.ends_with(&names), "oldest first: {names:?}");
        assert_eq!(log.stats().segments, names.len() as u64);
        let oldest = log.stats().oldest_epoch;
        let now = crate::clock::Clock::now(&*setup.clock).0;
        // Epoch e is of the time 1000 + 10 e.
        let last = |epoch: u64| 1_000 + 10 * i64::try_from(epoch).expect("small");
        let is_last = names.len() == 1;
        assert!(is_last || now - last(oldest) <= 1_100, "epoch {oldest} is old at {now}");
        assert!(oldest == 1 || now - last(oldest - 1) > 1_000, "epoch {oldest} at {now}");
        held.push(names.len());
    }
    held.dedup();
    assert!(held.iter().rev().copied().eq(1..=held[0]), "one after the other: {held:?}");
    assert_eq!(log.stats().oldest_segment, segments.len() as u64, "never the last");
    assert_eq!(names(&disk, ".ids").len(), segments.len() - 1, "their ids still count");
}

#[test]
fn what_is_not_released_stays_however_old_and_full() {
    let disk = SimDisk::default();
    let (log, setup) = open_with(&disk, None, |config| {
        config.retention_ms = 0;
        config.log_bytes_max = 20_000;
    });
    fill(&log, &setup, 0..40);
    setup.clock.advance(1_000_000);
    for through in 0..=41 {
        release(&log, through);
        assert!(log.stats().oldest_epoch <= through + 1, "{through}");
        let next = conformance::read_after(&log, Some(Epoch(through.min(40))));
        assert!(next.iter().map(|group| group.mark.epoch.0).eq(through + 1..=40));
    }
    assert_eq!(log.stats().segments, 1);
}

#[test]
fn a_log_that_is_released_never_fills_up() {
    let disk = SimDisk::default();
    let (log, setup) = open_with(&disk, None, |config| config.log_bytes_max = 20_000);
    for number in 0..400 {
        fill(&log, &setup, number..number + 1);
        // A snapshot every tenth epoch.
        log.release(Epoch(number / 10 * 10));
        assert!(log.stats().bytes <= 10_000 + 2_400 + 10 * 400, "{}", log.stats().bytes);
    }
    assert!(log.stats().bytes > 7_000, "no more goes than must: {}", log.stats().bytes);
}

#[test]
fn a_reader_is_told_what_is_gone_and_finishes_what_it_has_open() {
    let disk = SimDisk::default();
    let (log, setup) = open_with(&disk, None, |config| config.retention_ms = 0);
    fill(&log, &setup, 0..40);
    let mut early = log.reader(None).expect("readable");
    let mut late = log.reader(Some(Epoch(39))).expect("readable");
    let mut unread = log.reader(None).expect("readable");
    early.next(LONG).expect("readable").expect("a group");
    release(&log, 40);
    setup.clock.advance(1_000);
    release(&log, 40);
    let oldest = log.stats().oldest_epoch;
    assert!(oldest > 30, "{oldest}");
    for (reader, first) in [(&mut early, 2), (&mut unread, 1)] {
        let mut epoch = first;
        let error = loop {
            match reader.next(LONG) {
                Ok(group) => assert_eq!(group.expect("a group").mark.epoch, Epoch(epoch)),
                Err(error) => break error,
            }
            epoch += 1;
        };
        assert!(matches!(error, LogError::Gone(gone) if gone == Epoch(epoch)), "{error}");
        assert!((4..10).contains(&epoch), "to the end of the first segment: {epoch}");
    }
    let next = late.next(LONG).expect("readable").expect("a group");
    assert_eq!(next.mark.epoch, Epoch(40));
    for epoch in 0..oldest - 1 {
        let error = log.reader(Some(Epoch(epoch))).err().expect("gone");
        assert!(matches!(error, LogError::Gone(gone) if gone == Epoch(epoch + 1)), "{error}");
    }
    assert!(log.reader(Some(Epoch(oldest - 1))).is_ok());
}

/// A reader at the end of a segment, of which the next is still there, goes on.
#[test]
fn a_reader_of_the_last_removed_segment_goes_on_with_what_is_there() {
    let disk = SimDisk::default();
    let (log, setup) = open_with(&disk, None, |config| config.retention_ms = 0);
    fill(&log, &setup, 0..40);
    setup.clock.advance(1_000);
    let mut reader = log.reader(None).expect("readable");
    let through = log.reader(None).map(|_| 8).expect("readable");
    release(&log, through);
    assert_eq!(log.stats().oldest_segment, 2, "{:?}", log.stats());
    for epoch in 1..=40 {
        let group = reader.next(LONG).expect("readable").expect("a group");
        assert_eq!(group.mark.epoch, Epoch(epoch));
    }
}

#[test]
fn ids_outlive_their_segments_over_restarts_and_no_longer_than_they_count() {
    let disk = SimDisk::default();
    let change = |config: &mut LogConfig| {
        config.retention_ms = 0;
        config.dedup_ids_max = 30;
    };
    let (log, setup) = open_with(&disk, None, change);
    fill(&log, &setup, 0..60);
    setup.clock.advance(1_000);
    release(&log, 60);
    assert_eq!(log.stats().segments, 1);
    let digests = names(&disk, ".ids").len();
    assert!((6..=8).contains(&digests), "30 ids of about 5 a segment: {digests}");
    drop(log);
    let (log, setup) = open_with(&disk, Some(60), change);
    assert_eq!(log.stats().dedup_ids, 30);
    for number in 30..60 {
        let again = append(&log, vec![record(number, 10)]);
        assert_eq!(again, Ok(vec![Appended::Duplicate]), "{number}");
    }
    assert!(matches!(append(&log, vec![record(29, 10)]).as_deref(), Ok([Appended::Stored(_)])));
    fill(&log, &setup, 60..100);
    setup.clock.advance(10_000);
    release(&log, 100);
    let left = names(&disk, ".ids");
    assert!((6..=9).contains(&left.len()), "{left:?}");
    assert!(left[0] > format!("{digests:010}.ids"), "{left:?}");
}

/// Ids of removed segments that cannot be read are lost; the log opens all the same.
#[test]
fn a_damaged_digest_of_a_removed_segment_loses_its_ids_only() {
    let disk = SimDisk::default();
    let (log, setup) = open_with(&disk, None, |config| config.retention_ms = 0);
    fill(&log, &setup, 0..40);
    setup.clock.advance(1_000);
    release(&log, 40);
    drop(log);
    let duplicates = |disk: &SimDisk| {
        let (log, _) = open_with(disk, Some(40), |_| {});
        let again = append(&log, (0..40).map(|number| record(number, 10)).collect());
        let again = again.expect("taken");
        again.iter().filter(|it| **it == Appended::Duplicate).count()
    };
    assert_eq!(duplicates(&disk.exit()), 40);
    let third = Path::new(DIR).join("0000000003.ids");
    let flipped = disk.exit();
    let bytes = crate::testing::bytes_of(&disk, &third).len();
    flipped.flip(&third, bytes - 6, 0);
    let held = duplicates(&flipped);
    assert!((33..40).contains(&held), "one segment's are lost: {held}");
    disk.remove(&third).expect("removed");
    let held = duplicates(&disk);
    assert!((20..33).contains(&held), "those before it too: {held}");
}

#[test]
fn the_place_of_a_time_is_found_by_segments() {
    let disk = SimDisk::default();
    let (log, setup) = open_with(&disk, None, |_| {});
    fill(&log, &setup, 0..40);
    // Epoch e is of the time 1000 + 10 e; a segment has less than eight.
    for epoch in 1..=40_i64 {
        let before = log.epoch_before(ServerTimeMs(1_000 + 10 * epoch)).0;
        let is_near = (epoch - 8..epoch).contains(&i64::try_from(before).expect("small"));
        assert!(is_near, "{before} for {epoch}");
    }
    assert_eq!(log.epoch_before(ServerTimeMs(0)), Epoch(0));
    assert_eq!(log.epoch_before(ServerTimeMs(i64::MAX)).0 / 8, 4, "the last segment");
}
