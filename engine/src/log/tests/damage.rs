//! Bytes that changed after they were synced are found, wherever they are, and named.

use super::*;
use crate::log::CommitMark;
use crate::log::format::{GroupBytes, Header};
use crate::log::scan::{Behind, GroupScan, ScanError, look_behind};
use crate::model::{Epoch, LogSeq};

/// A log of several segments; where its last group is.
fn written() -> (SimDisk, CommitMark, (String, u64)) {
    let disk = SimDisk::default();
    let log = open(&disk);
    for number in 0..10_u64 {
        let size = usize::try_from(number * 97 % 600).expect("small");
        append(&log, vec![record(2 * number, size), record(2 * number + 1, 10)]).expect("taken");
        log.tick();
    }
    log.close();
    let mut segment = String::new();
    let mut place = None;
    inspect(&disk, Path::new(DIR), |it| match it {
        Inspected::Segment { name, .. } => segment = name.into(),
        Inspected::Group { offset, .. } => place = Some((segment.clone(), offset)),
        Inspected::Digest { .. } => {}
        Inspected::Damage { .. } | Inspected::DigestFlaw { .. } => panic!("{it:?}"),
    })
    .expect("read");
    (disk, log.durable().expect("not empty"), place.expect("there are groups"))
}

/// Then every segment is read.
fn remove_digests(disk: &SimDisk) {
    for name in disk.list(Path::new(DIR)).expect("listed") {
        if name.ends_with(".ids") {
            disk.remove(&Path::new(DIR).join(name)).expect("removed");
        }
    }
}

fn open_named(disk: &SimDisk, last: CommitMark) -> Result<EmbeddedLog, LogError> {
    let named = Named { epoch_max: last.epoch, seq_max: last.last_seq };
    EmbeddedLog::open(OpenLog { named, ..setup(disk).open })
}

#[test]
fn every_flipped_bit_is_found_and_named() {
    find_every_flipped_bit(false);
}

/// A digest spares recovery the ids of a segment, not its checks.
#[test]
fn every_flipped_bit_is_found_beside_a_digest() {
    find_every_flipped_bit(true);
}

fn find_every_flipped_bit(is_digested: bool) {
    let (disk, last, (last_segment, last_group)) = written();
    if !is_digested {
        remove_digests(&disk);
    }
    open_named(&disk.exit(), last).expect("undamaged");
    let names = disk.list(Path::new(DIR)).expect("listed");
    assert!(names.len() >= 3, "{names:?}");
    for name in names.iter().filter(|name| name.ends_with(".seg")) {
        let path = Path::new(DIR).join(name);
        let bytes = disk.open(&path).and_then(|file| file.bytes()).expect("known");
        for offset in 0..usize::try_from(bytes).expect("small") {
            let damaged = disk.exit();
            damaged.flip(&path, offset, u8::try_from(offset % 8).expect("below 8"));
            let error = open_named(&damaged, last).expect_err("damaged");
            let is_last = *name == last_segment && offset as u64 >= last_group;
            match &error {
                LogError::Damaged { segment, offset: at, .. } => {
                    assert_eq!(**segment, **name);
                    assert!(*at <= offset as u64 && !is_last, "{name} {offset}: {error}");
                }
                LogError::Lost { .. } => assert!(is_last, "{name} {offset}: {error}"),
                _ => panic!("{name} {offset}: {error}"),
            }
            let unnamed = EmbeddedLog::open(setup(&damaged.exit()).open);
            assert_eq!(unnamed.is_ok(), is_last, "{name} {offset}: only a torn end is cut");
        }
    }
}

#[test]
fn a_missing_segment_is_named() {
    let (disk, last, _) = written();
    for name in ["0000000001.seg", "0000000002.seg"] {
        let without = disk.exit();
        without.remove(&Path::new(DIR).join(name)).expect("removed");
        let error = open_named(&without, last).expect_err("missing").to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn an_empty_folder_is_not_the_log_that_a_cursor_names() {
    let (_, last, _) = written();
    let error = open_named(&SimDisk::default(), last).expect_err("another log");
    assert!(matches!(error, LogError::Lost { offset: 0, .. }), "{error}");
}

#[test]
fn a_reader_tells_of_damage() {
    let (disk, last, _) = written();
    let log = open_named(&disk, last).expect("undamaged");
    let mut reader = log.reader(None).expect("readable");
    disk.flip(&Path::new(DIR).join("0000000001.seg"), 700, 0);
    let error = loop {
        match reader.next(LONG) {
            Ok(group) => assert!(group.is_some_and(|group| group.mark.epoch < last.epoch)),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LogError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("restore the segment from a copy, or move"), "{error}");
}

/// A visitor may send bytes that look like records, but does not know the salt.
#[test]
fn an_event_cannot_pass_for_a_later_group() {
    let header =
        |salt| Header { salt, first_epoch: Epoch(1), first_seq: LogSeq(1), made: ServerTimeMs(0) };
    let forged = |salt| {
        let mut group = GroupBytes::default();
        let mark = CommitMark {
            epoch: Epoch(9),
            first_seq: LogSeq(2),
            last_seq: LogSeq(1),
            now: ServerTimeMs(0),
        };
        group.commit(salt, &mark);
        group.as_slice().to_vec()
    };
    for (salt, expected) in [(1, Behind::Later(0)), (2, Behind::Nothing)] {
        let disk = SimDisk::default();
        let file = disk.create(Path::new("a")).expect("made");
        let mut bytes = vec![0xab; 100];
        bytes.extend_from_slice(&forged(salt));
        bytes.extend_from_slice(&[0xab; 100]);
        let end = 44 + bytes.len() as u64;
        file.write_at(44, &bytes).expect("written");
        let mut scan = GroupScan::new(file, &header(1));
        let Err(ScanError::Flawed(stop, _)) = scan.next_group(end) else { panic!("no group") };
        let behind = look_behind(&*scan.into_file(), &header(1), stop, end).expect("read");
        match (behind, expected) {
            (Behind::Later(at), Behind::Later(_)) => assert_eq!(at, 144),
            (found, expected) => assert_eq!(found, expected),
        }
    }
}

/// The crash that tears the last group does not hide damage of the one before it, which was
/// acknowledged.
#[test]
fn a_torn_group_does_not_hide_damage_before_it() {
    let disk = SimDisk::default();
    let mut setup = setup(&disk);
    setup.open.config.segment_bytes = 1 << 20;
    let log = EmbeddedLog::open(setup.open).expect("opened");
    append(&log, vec![record(1, 10), record(2, 10)]).expect("taken");
    let synced = log.stats().bytes;
    append(&log, vec![record(3, 10), record(4, 10)]).expect("taken");
    drop(log);
    let path = Path::new(DIR).join("0000000001.seg");
    let file = disk.open(&path).expect("there");
    file.truncate(file.bytes().expect("known") - 1).expect("cut");
    assert_eq!(read_all(&open(&disk.exit())).len(), 2, "torn only");
    for offset in 44..usize::try_from(synced).expect("small") {
        let damaged = disk.exit();
        damaged.flip(&path, offset, 0);
        let error = EmbeddedLog::open(self::setup(&damaged).open).expect_err("damaged");
        assert!(matches!(error, LogError::Damaged { .. }), "{offset}: {error}");
    }
}
