//! Tests of the outbox and its cursors on a simulated disk.

mod compat;
mod recovery;

use super::*;
use crate::disk::{Disk, SimDisk};
use crate::log::Named;
use crate::log::conformance::{LONG, packed};
use crate::model::{
    Epoch, EpochMark, EpochOutput, EventRow, EventTimeMs, Fate, Identity, LogSeq, ServerTimeMs,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const DIR: &str = "outbox";

fn output(epoch: u64) -> EpochOutput {
    let mark = EpochMark {
        epoch: Epoch(epoch),
        first_seq: LogSeq(epoch),
        last_seq: LogSeq(epoch),
        now: ServerTimeMs(0),
        watermark: EventTimeMs(0),
    };
    let row = EventRow {
        seq: LogSeq(epoch),
        event: packed(epoch, usize::try_from(epoch * 71 % 900).expect("small")),
        instance: None,
        fate: Fate::Matched,
        identity: Identity::default(),
    };
    EpochOutput {
        mark,
        events: vec![row],
        visits: Vec::new(),
        actions: Vec::new(),
        notices: Vec::new(),
    }
}

fn setup(disk: &SimDisk) -> OpenOutbox {
    OpenOutbox {
        disk: Arc::new(disk.clone()),
        dir: DIR.into(),
        config: OutboxConfig { file_bytes: 2_000, outbox_bytes_max: 1 << 30 },
        slowest: Some(Epoch(0)),
        log_last: Epoch(u64::MAX),
    }
}

fn written(disk: &SimDisk, through: u64) -> OutboxWriter {
    let (mut writer, last) = OutboxWriter::open(setup(disk)).expect("opened");
    for epoch in last.0 + 1..=through {
        writer.append(&output(epoch)).expect("appended");
    }
    writer
}

/// Reads what is there and compares it.
fn check_read(outbox: &Outbox, after: u64, through: u64) {
    let mut reader = outbox.reader(Epoch(after)).expect("held");
    for epoch in after + 1..=through {
        let read = reader.next(LONG).expect("readable").expect("written");
        assert_eq!(read, output(epoch));
    }
    assert_eq!(reader.next(Duration::ZERO).expect("readable"), None, "behind {through}");
}

#[test]
fn what_is_written_is_read_from_anywhere() {
    let disk = SimDisk::default();
    let writer = written(&disk, 30);
    assert!(writer.outbox().stats().files > 3);
    for after in 0..=30 {
        check_read(&writer.outbox(), after, 30);
    }
}

#[test]
fn a_reader_waits_and_learns_of_the_end() {
    let disk = SimDisk::default();
    let mut writer = written(&disk, 0);
    let mut reader = writer.outbox().reader(Epoch(1)).expect("not yet there");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            assert_eq!(reader.next(LONG).expect("readable"), Some(output(2)), "behind 1");
            assert!(matches!(reader.next(LONG), Err(OutboxError::Closed)));
        });
        writer.append(&output(1)).expect("appended");
        writer.append(&output(2)).expect("appended");
        drop(writer);
        waiting.join().expect("the reader ends");
    });
}

#[test]
fn epochs_follow_each_other() {
    let mut writer = written(&SimDisk::default(), 3);
    writer.append(&output(2)).expect("held, so passed over");
    let error = writer.append(&output(5)).expect_err("4 comes next");
    assert!(matches!(error, OutboxError::Gap { expected: Epoch(4), .. }), "{error}");
    check_read(&writer.outbox(), 0, 3);
}

#[test]
fn what_a_crash_takes_is_appended_again() {
    let mut lost = 0;
    for seed in 0..300 {
        let disk = SimDisk::default();
        drop(written(&disk, 20));
        // Names are made to survive, so that torn bytes are what is tried here.
        disk.sync_dir(Path::new(DIR)).expect("synced");
        let crashed = disk.crash(seed);
        let (_, last) = OutboxWriter::open(setup(&crashed)).expect("opened");
        assert!(last <= Epoch(20));
        lost += 20 - last.0;
        let writer = written(&crashed, 25);
        check_read(&writer.outbox(), 0, 25);
    }
    assert!(lost > 300, "crashes take something: {lost}");
}

#[test]
fn crashes_that_lose_names_are_survived() {
    for seed in 0..300 {
        let disk = SimDisk::default();
        drop(written(&disk, 20));
        let crashed = disk.crash(seed);
        let writer = written(&crashed, 25);
        check_read(&writer.outbox(), 0, 25);
    }
}

#[test]
fn a_flipped_bit_cuts_what_is_behind_it() {
    let disk = SimDisk::default();
    drop(written(&disk, 20));
    let names = disk.list(Path::new(DIR)).expect("listed");
    let path = Path::new(DIR).join(&names[1]);
    let first = super::frame::first_epoch_of(&names[1]).expect("a name");
    disk.flip(&path, 500, 1);
    let (_, last) = OutboxWriter::open(setup(&disk)).expect("opened");
    assert!(last.0 >= first.0 - 1 && last.0 < 20, "{last}");
    check_read(&written(&disk, 20).outbox(), 0, 20);
}

#[test]
fn epochs_that_the_log_does_not_have_are_cut() {
    let disk = SimDisk::default();
    drop(written(&disk, 20));
    for log_last in [17, 2, 0] {
        let open = OpenOutbox { log_last: Epoch(log_last), ..setup(&disk) };
        assert_eq!(OutboxWriter::open(open).expect("opened").1, Epoch(log_last));
        let again = OutboxWriter::open(setup(&disk)).expect("opened").1;
        assert_eq!(again, Epoch(log_last), "cut for good");
    }
}

#[test]
fn what_every_cursor_has_passed_is_removed() {
    let disk = SimDisk::default();
    let writer = written(&disk, 30);
    let outbox = writer.outbox();
    let before = outbox.stats();
    outbox.release(Epoch(15)).expect("released");
    let stats = outbox.stats();
    assert!(stats.files < before.files && stats.bytes < before.bytes);
    assert!(stats.first > Epoch(1) && stats.first <= Epoch(16), "whole files: {}", stats.first);
    check_read(&outbox, 15, 30);
    assert!(matches!(outbox.reader(Epoch(0)), Err(OutboxError::Gone(Epoch(1)))));
    assert_eq!(disk.list(Path::new(DIR)).expect("listed").len() as u64, stats.files);
}

#[test]
fn opening_serves_the_slowest_cursor() {
    let disk = SimDisk::default();
    let writer = written(&disk, 30);
    writer.outbox().release(Epoch(15)).expect("released");
    drop(writer);
    let last_for = |slowest| {
        let open = OpenOutbox { slowest, ..setup(&disk.exit()) };
        let (writer, last) = OutboxWriter::open(open).expect("opened");
        if let Some(slowest) = slowest {
            writer.outbox().reader(slowest).expect("the cursor is served");
        }
        last
    };
    assert_eq!(last_for(None), Epoch(30));
    assert_eq!(last_for(Some(Epoch(20))), Epoch(30));
    assert_eq!(last_for(Some(Epoch(30))), Epoch(30));
    assert_eq!(last_for(Some(Epoch(40))), Epoch(40), "a cursor ahead of what a crash left");
    assert_eq!(last_for(Some(Epoch(3))), Epoch(3), "a new sink: derived again from there");
    let gone = OpenOutbox { slowest: Some(Epoch(12)), ..setup(&SimDisk::default()) };
    assert_eq!(OutboxWriter::open(gone).expect("opened").1, Epoch(12), "all files deleted");
}

/// Wherever the slowest cursor stands among the files, what comes behind it stays.
#[test]
fn nothing_that_a_cursor_waits_for_is_removed() {
    for slowest in 0..=30 {
        let disk = SimDisk::default();
        let writer = written(&disk, 30);
        writer.outbox().release(Epoch(slowest)).expect("released");
        check_read(&writer.outbox(), slowest, 30);
        drop(writer);
        let disk = SimDisk::default();
        drop(written(&disk, 30));
        let open = OpenOutbox { slowest: Some(Epoch(slowest)), ..setup(&disk) };
        let (writer, last) = OutboxWriter::open(open).expect("opened");
        assert_eq!(last, Epoch(30), "nothing is derived again for a cursor at {slowest}");
        check_read(&writer.outbox(), slowest, 30);
    }
}

#[test]
fn a_full_outbox_takes_nothing_until_a_sink_moves() {
    let disk = SimDisk::default();
    let mut open = setup(&disk);
    open.config.outbox_bytes_max = 8_000;
    let (mut writer, _) = OutboxWriter::open(open).expect("opened");
    let outbox = writer.outbox();
    let mut epoch = 0;
    let error = loop {
        match writer.append(&output(epoch + 1)) {
            Ok(()) => epoch += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, OutboxError::Full), "{error}");
    assert!((8_000..9_100).contains(&outbox.stats().bytes), "{:?}", outbox.stats());
    assert!(!outbox.wait_for_room(Duration::ZERO));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| outbox.wait_for_room(LONG));
        outbox.release(Epoch(epoch)).expect("released");
        assert!(waiting.join().expect("no panic"));
    });
    writer.append(&output(epoch + 1)).expect("room again");
    check_read(&outbox, epoch, epoch + 1);
}

fn cursors(disk: &SimDisk) -> Cursors {
    Cursors::open(Arc::new(disk.clone()), "cursors".into()).expect("opened")
}

fn position(number: u64) -> Position {
    Position { epoch: Epoch(number), seq: LogSeq(10 * number) }
}

#[test]
fn cursors_move_forward_and_name_what_they_have_taken() {
    let disk = SimDisk::default();
    let cursors = cursors(&disk);
    let mut parquet = cursors.cursor("parquet").expect("read");
    assert_eq!(parquet.position(), None);
    parquet.advance(position(5)).expect("written");
    parquet.advance(position(3)).expect("nothing to do");
    cursors.cursor("history").expect("read").advance(position(2)).expect("written");
    let again = self::cursors(&disk.crash(1));
    let all = again.all().expect("read");
    assert_eq!(
        all.into_iter().collect::<Vec<_>>(),
        [("history".to_owned(), position(2)), ("parquet".to_owned(), position(5)),]
    );
    let named = Named { epoch_max: Epoch(5), seq_max: LogSeq(50) };
    assert_eq!(again.named().expect("read"), named);
}

#[test]
fn a_crash_leaves_the_old_or_the_new_position() {
    for point in 1.. {
        let disk = SimDisk::default();
        let mut cursor = cursors(&disk).cursor("sink").expect("read");
        cursor.advance(position(1)).expect("written");
        disk.fail_from_change(disk.changes() + point);
        let moved = cursor.advance(position(2));
        for seed in 0..20 {
            let crashed = disk.crash(seed);
            let mut cursor = cursors(&crashed).cursor("sink").expect("whole");
            let found = cursor.position().expect("set before");
            match moved {
                Ok(()) => assert_eq!(found, position(2)),
                Err(_) => assert!(found == position(1) || found == position(2), "{found:?}"),
            }
            cursor.advance(position(3)).expect("what an earlier try left is no hindrance");
        }
        if moved.is_ok() {
            assert_eq!(point, 6, "create, write, sync, rename, sync of the folder");
            break;
        }
    }
}

#[test]
fn a_damaged_cursor_and_a_bad_name_are_refused() {
    let disk = SimDisk::default();
    let cursors = cursors(&disk);
    cursors.cursor("sink").expect("read").advance(position(1)).expect("written");
    for offset in 0..32 {
        let damaged = disk.exit();
        damaged.flip(Path::new("cursors/sink"), offset, 2);
        let error = self::cursors(&damaged).all().expect_err("damaged");
        assert!(matches!(error, OutboxError::Cursor { .. }), "{error}");
    }
    for name in ["", "a.new", "A", "../x", &"x".repeat(65)] {
        assert!(matches!(cursors.cursor(name), Err(OutboxError::CursorName(_))), "{name}");
    }
}
