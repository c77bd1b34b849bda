//! A segment may be rewritten with tombstones: all numbers stay, and the visitor is gone.
//!
//! Nothing here rewrites yet; the format promises that it can be done. So the rewriting below goes by
//! the layout that `format.rs` describes, by the visitor's hash alone, and looks into no event. A
//! digest of what the segment was does not stand for what it is: the segment is read, and the erased
//! ids are forgotten, unless whoever rewrites wants them known and sees to the digest too.

use super::digests::{control, names};
use super::*;
use crate::log::{NewRecord, Standing};
use crate::model::{Epoch, LogSeq};
use crate::testing::bytes_of;
use crc32c::{crc32c, crc32c_append};

const HEADER_BYTES: usize = 44;
const FRAME_BYTES: usize = 17;
const EVENTS: u64 = 40;

fn is_erased(visitor_hash: u64) -> bool {
    visitor_hash.is_multiple_of(3)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].try_into().map(u32::from_le_bytes).expect("four bytes")
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].try_into().map(u64::from_le_bytes).expect("eight bytes")
}

/// The bytes of a segment without the events of erased visitors.
fn erase(segment: &[u8]) -> Vec<u8> {
    let salt = u32_at(segment, 12);
    let (header, mut rest) = segment.split_at(HEADER_BYTES);
    let mut out = header.to_vec();
    let mut records_crc = 0;
    while !rest.is_empty() {
        let length = usize::try_from(u32_at(rest, 4)).expect("small");
        let (record, behind) = rest.split_at(8 + length);
        rest = behind;
        let (mut record, kind) = (record.to_vec(), record[16]);
        match kind {
            1 | 2 if is_erased(u64_at(&record, FRAME_BYTES)) => {
                record.truncate(FRAME_BYTES);
                record[4..8].copy_from_slice(&9_u32.to_le_bytes());
                record[16] = 3;
            }
            4 => {
                let at = record.len() - 4;
                record[at..].copy_from_slice(&u32::to_le_bytes(records_crc));
            }
            _ => {}
        }
        let crc = crc32c_append(salt, &record[4..]).to_le_bytes();
        record[..4].copy_from_slice(&crc);
        records_crc = if kind == 4 { 0 } else { crc32c_append(records_crc, &crc) };
        out.extend_from_slice(&record);
    }
    out
}

/// A log of several segments: an event of one visitor in each group, some without a key, and controls.
fn written() -> SimDisk {
    let disk = SimDisk::default();
    let log = open(&disk);
    for number in 0..EVENTS {
        let keyless = NewRecord { dedup: None, ..record(EVENTS + number, 20) };
        let records = vec![record(number, 100), keyless, control(number)];
        append(&log, records).expect("taken");
    }
    log.settle();
    drop(log);
    assert!(names(&disk, ".seg").len() > 3 && names(&disk, ".ids").len() > 2);
    disk
}

fn replace(disk: &SimDisk, name: &str, bytes: &[u8]) {
    let (path, beside) = (Path::new(DIR).join(name), Path::new(DIR).join("rewritten"));
    let file = disk.create(&beside).expect("made");
    file.write_at(0, bytes).and_then(|()| file.sync()).expect("written");
    disk.rename(&beside, &path).and_then(|()| disk.sync_dir(Path::new(DIR))).expect("in place");
}

fn rewrite(disk: &SimDisk) {
    for name in names(disk, ".seg") {
        let before = bytes_of(disk, &Path::new(DIR).join(&name));
        replace(disk, &name, &erase(&before));
    }
}

/// What a log holds beside its ids.
#[derive(Debug, PartialEq)]
struct Held {
    records: Vec<(LogSeq, RecordBody)>,
    standing: Standing,
    last: Option<Epoch>,
}

fn held(disk: &SimDisk) -> Held {
    let log = open(disk);
    let last = log.durable().map(|mark| mark.epoch);
    Held { records: read_all(&log), standing: log.standing().clone(), last }
}

/// What the log should hold afterwards.
fn without_erased(before: Held) -> Held {
    let erased = (0..2 * EVENTS).filter(|number| is_erased(*number));
    let sizes = |number| if number < EVENTS { 100 } else { 20 };
    let erased: Vec<_> =
        erased.map(|number| RecordBody::Event(packed(number, sizes(number)))).collect();
    let records = before.records.into_iter().map(|(seq, body)| {
        let body = if erased.contains(&body) { RecordBody::Tombstone } else { body };
        (seq, body)
    });
    Held { records: records.collect(), ..before }
}

/// Sends all events again; those that are erased are stored or not, the others are not.
fn check_ids(disk: &SimDisk, are_erased_known: bool) {
    let log = open(disk);
    let mut next = log.durable().expect("not empty").last_seq;
    for number in 0..EVENTS {
        let is_known = are_erased_known || !is_erased(number);
        let expected = if is_known {
            Appended::Duplicate
        } else {
            next = next.next();
            Appended::Stored(next)
        };
        assert_eq!(append(&log, vec![record(number, 100)]), Ok(vec![expected]), "event {number}");
    }
}

#[test]
fn a_rewritten_segment_keeps_its_numbers_and_forgets_the_erased() {
    let disk = written();
    let expected = without_erased(held(&disk));
    let tombstones = expected.records.iter().filter(|(_, body)| *body == RecordBody::Tombstone);
    assert_eq!(tombstones.count(), 27, "of 80 visitors");
    rewrite(&disk);
    assert_eq!(held(&disk), expected);
    let log = open(&disk);
    log.settle();
    assert_eq!(log.stats().digests_missing, 0, "written anew");
    drop(log);
    inspect(&disk, Path::new(DIR), |found| {
        let flaw = matches!(found, Inspected::Damage { .. } | Inspected::DigestFlaw { .. });
        assert!(!flaw, "{found:?}");
    })
    .expect("read");
    check_ids(&disk, false);
    assert_eq!(held(&disk).records[..expected.records.len()], expected.records);
}

/// The segment's bytes stand at 60 in its digest, and the checksum at the end of what is `about` it.
#[test]
fn whoever_sees_to_the_digest_too_keeps_the_ids() {
    let disk = written();
    let expected = without_erased(held(&disk));
    rewrite(&disk);
    for name in names(&disk, ".ids") {
        let segment = Path::new(DIR).join(&name).with_extension("seg");
        let mut digest = bytes_of(&disk, &Path::new(DIR).join(&name));
        let bytes = bytes_of(&disk, &segment).len() as u64;
        digest[60..68].copy_from_slice(&bytes.to_le_bytes());
        let end = usize::try_from(u32_at(&digest, 12)).expect("small") - 4;
        let crc = crc32c(&digest[..end]).to_le_bytes();
        digest[end..end + 4].copy_from_slice(&crc);
        replace(&disk, &name, &digest);
    }
    // The last segment has no digest: of it the erased are forgotten.
    let sealed = disk.exit();
    assert_eq!(held(&sealed), expected);
    let log = open(&sealed);
    assert_eq!(log.stats().digests_missing, 0, "the digests are taken as they are");
    assert_eq!(append(&log, vec![record(0, 100)]), Ok(vec![Appended::Duplicate]));
}
