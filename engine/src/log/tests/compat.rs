//! Segments of every version that was released are read.
//!
//! `BECKON_WRITE_FIXTURES=1` writes the fixture of the present version; a released one stays as it
//! is.

use super::*;
use crate::log::format::HEADER_BYTES;
use crate::log::{Control, NewRecord, PauseKey, Standing};
use crate::model::Epoch;
use crate::testing::{bytes_of, disk_with, set_version};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/log-v1.seg");

fn fill(log: &EmbeddedLog) {
    let keyless = NewRecord { dedup: None, ..record(2, 5) };
    let tombstone = NewRecord { body: RecordBody::Tombstone, ..keyless.clone() };
    append(log, vec![record(1, 20), keyless]).expect("taken");
    let mut reader = log.reader(Some(Epoch(1))).expect("readable");
    log.tick();
    reader.next(LONG).expect("readable").expect("a group");
    append(log, vec![tombstone, record(3, 300)]).expect("taken");
}

fn segment() -> PathBuf {
    Path::new(DIR).join("0000000001.seg")
}

#[test]
fn a_segment_of_another_version_is_refused_and_stays() {
    let mut bytes = std::fs::read(FIXTURE).expect("the fixture");
    set_version(&mut bytes[..HEADER_BYTES], 2);
    let disk = disk_with(&segment(), &bytes);
    let error = EmbeddedLog::open(setup(&disk).open).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "segment 0000000001.seg has version 2 in its header (byte 0), this beckon reads version 1: \
         start the beckon that wrote it, or move the whole data folder and that of the reports away \
         to start anew"
    );
    assert_eq!(bytes_of(&disk, &segment()), bytes);
}

fn decided(control: Control) -> NewRecord {
    NewRecord { dedup: None, body: RecordBody::Control(control.into()), ..record(1, 0) }
}

#[test]
fn what_was_decided_stands_after_a_restart() {
    let disk = SimDisk::default();
    let log = open(&disk);
    assert_eq!(log.standing(), &Standing::default());
    let pause = |package: &str| PauseKey { package: Some(package.into()), site: None };
    let controls = [
        Control::Pause(pause("a.b"), "ann".into()),
        Control::Pause(pause("c.d"), "ann".into()),
        Control::Resume(pause("a.b"), "bob".into()),
    ];
    append(&log, controls.into_iter().map(decided).collect()).expect("taken");
    drop(log);
    let paused = [pause("c.d")].into();
    assert_eq!(open(&disk).standing(), &Standing { paused, ..Standing::default() });
}

#[test]
fn version_1_is_read() {
    let disk = SimDisk::default();
    let expected = open(&disk);
    fill(&expected);
    if std::env::var_os("BECKON_WRITE_FIXTURES").is_some() {
        std::fs::write(FIXTURE, bytes_of(&disk, &segment())).expect("written");
    }
    let old = disk_with(&segment(), &std::fs::read(FIXTURE).expect("the fixture"));
    let log = open(&old);
    assert_eq!(read_all(&log), read_all(&expected));
    assert_eq!(log.durable(), expected.durable());
    let again = append(&log, vec![record(1, 20), record(2, 5)]);
    let Ok([Appended::Duplicate, Appended::Stored(seq)]) = again.as_deref() else {
        panic!("{again:?}");
    };
    assert_eq!(seq.0, 5, "the second had no key");
}
