//! Segments of every version that was released are read.
//!
//! `BECKON_WRITE_FIXTURES=1` writes the fixture of the present version; a released one stays as it
//! is.

use super::*;
use crate::model::Epoch;

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/log-v1.seg");

fn fill(log: &EmbeddedLog) {
    let keyless = crate::log::NewRecord { dedup: None, ..record(2, 5) };
    let tombstone = crate::log::NewRecord { body: RecordBody::Tombstone, ..keyless.clone() };
    append(log, vec![record(1, 20), keyless]).expect("taken");
    let mut reader = log.reader(Some(Epoch(1))).expect("readable");
    log.tick();
    reader.next(LONG).expect("readable").expect("a group");
    append(log, vec![tombstone, record(3, 300)]).expect("taken");
}

#[test]
fn version_1_is_read() {
    let disk = SimDisk::default();
    let expected = open(&disk);
    fill(&expected);
    if std::env::var_os("BECKON_WRITE_FIXTURES").is_some() {
        let file = disk.open(&Path::new(DIR).join("0000000001.seg")).expect("there");
        let mut bytes = vec![0; usize::try_from(file.bytes().expect("known")).expect("small")];
        file.read_at(0, &mut bytes).expect("read");
        std::fs::write(FIXTURE, bytes).expect("written");
    }
    let old = SimDisk::default();
    let file = old.create(&Path::new(DIR).join("0000000001.seg")).expect("made");
    file.write_at(0, &std::fs::read(FIXTURE).expect("the fixture")).expect("written");
    let log = open(&old);
    assert_eq!(read_all(&log), read_all(&expected));
    assert_eq!(log.durable(), expected.durable());
    let again = append(&log, vec![record(1, 20), record(2, 5)]);
    let Ok([Appended::Duplicate, Appended::Stored(seq)]) = again.as_deref() else {
        panic!("{again:?}");
    };
    assert_eq!(seq.0, 5, "the second had no key");
}
