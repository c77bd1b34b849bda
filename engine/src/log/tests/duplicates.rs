//! `duplicate` is told only when the first copy is on disk too.

use super::conformance::Answer;
use super::*;
use crate::log::notice::tests::delivery;
use crate::model::{Delivery, LogSeq, Notice, Outcome};
use std::sync::mpsc::TryRecvError;

/// A log whose sync is held, and the answers that wait for it: a first copy and its duplicates, three
/// appends of one group, and a fourth that will be of the next.
fn copies_behind_a_held_sync(disk: &SimDisk) -> (EmbeddedLog, [Answer; 4]) {
    let log = open(disk);
    let release = hold(&log, 1_000);
    let start = |numbers: &[u64]| {
        let records = numbers.iter().map(|number| record(*number, 10)).collect();
        start(&log, records).expect("room")
    };
    let (first, again, beside) = (start(&[1]), start(&[1]), start(&[1, 2]));
    disk.hold_syncs();
    release.send(()).expect("held");
    disk.await_held_sync();
    let answers = [first, again, beside, start(&[1, 2])];
    (log, answers)
}

#[test]
fn a_duplicate_waits_for_the_sync_of_its_first_copy() {
    let disk = SimDisk::default();
    let (log, answers) = copies_behind_a_held_sync(&disk);
    let early = answers.each_ref().map(Answer::try_recv);
    disk.release_syncs();
    assert!(early.iter().all(|it| *it == Err(TryRecvError::Empty)), "not on disk yet: {early:?}");
    let [first, again, beside, next] =
        answers.map(|answer| answer.recv_timeout(LONG).expect("answered").expect("stored"));
    assert_eq!(first, [Appended::Stored(LogSeq(2))]);
    assert_eq!(again, [Appended::Duplicate]);
    assert_eq!(beside, [Appended::Duplicate, Appended::Stored(LogSeq(3))]);
    assert_eq!(next, [Appended::Duplicate; 2]);
    assert_eq!(log.stats().groups, 2, "the one that was held, and one for all copies");
}

#[test]
fn a_duplicate_of_what_no_sync_put_on_disk_is_not_acknowledged() {
    let disk = SimDisk::default();
    let (log, answers) = copies_behind_a_held_sync(&disk);
    disk.fail_sync(1);
    disk.release_syncs();
    for answer in answers {
        assert_eq!(answer.recv_timeout(LONG).expect("answered"), Err(Refused::Closed));
    }
    drop(log);
    for seed in 0..20 {
        let log = open(&disk.crash(seed));
        append(&log, vec![record(1, 10), record(2, 10)]).expect("sent again");
        assert_eq!(read_all(&log).len(), 3, "each once, whatever the crash left");
    }
}

/// A sink that does not know what reached the log before a crash says it again.
#[test]
fn what_became_of_a_message_stands_once_over_restarts() {
    let said = |number, outcome| Notice::Delivery(delivery(number, outcome)).into();
    let disk = SimDisk::default();
    let log = open(&disk);
    let records = vec![said(1, Outcome::Delivered), said(1, Outcome::Expired)];
    let stored = append(&log, records).expect("taken");
    assert_eq!(stored, [Appended::Stored(LogSeq(1)), Appended::Stored(LogSeq(2))]);
    drop(log);
    let log = open(&disk.exit());
    let again = Delivery { reason: Some("again".into()), ..delivery(1, Outcome::Expired) };
    let records = vec![
        Notice::Delivery(again).into(),
        said(2, Outcome::Expired),
        said(1, Outcome::Delivered),
    ];
    let stored = append(&log, records).expect("taken");
    let third = Appended::Stored(LogSeq(3));
    assert_eq!(stored, [Appended::Duplicate, third, Appended::Duplicate]);
    assert_eq!(read_all(&log).len(), 3);
}
