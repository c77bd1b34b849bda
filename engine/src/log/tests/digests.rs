//! With digests recovery finds what it finds without them, whatever became of them.

use super::crash::Random;
use super::*;
use crate::disk::{DiskFile, DiskLock};
use crate::log::{Control, LogBase, LogStats, NewRecord, PauseKey, Standing};
use crate::model::Epoch;
use crate::testing::{bytes_of, fixture, replayable, set_version};
use std::collections::BTreeSet;
use std::io;
use std::sync::Mutex;

/// Names in the log's folder that end so.
pub(super) fn names(disk: &SimDisk, suffix: &str) -> Vec<String> {
    let names = disk.list(Path::new(DIR)).expect("listed").into_iter();
    names.filter(|name| name.ends_with(suffix)).collect()
}

pub(super) fn remove(disk: &SimDisk, names: &[String]) {
    for name in names {
        disk.remove(&Path::new(DIR).join(name)).expect("removed");
    }
}

fn open_with(disk: &SimDisk, dedup_ids_max: usize) -> (EmbeddedLog, Setup) {
    let mut setup = setup(disk);
    setup.open.config.dedup_ids_max = dedup_ids_max;
    (EmbeddedLog::open(setup.open.clone()).expect("opened"), setup)
}

/// What a restart finds; `events` events were sent.
#[derive(Debug, PartialEq)]
struct Found {
    standing: Standing,
    stats: LogStats,
    duplicates: BTreeSet<u64>,
}

fn find(disk: &SimDisk, dedup_ids_max: usize, events: u64) -> Found {
    let (log, _) = open_with(&disk.exit(), dedup_ids_max);
    let stats = LogStats { digests_missing: 0, ..log.stats() };
    // Asked from the newest on, so that what is new does not move out what is to be asked for.
    let mut duplicates = BTreeSet::new();
    for number in (0..events).rev() {
        match append(&log, vec![record(number, 10)]).as_deref() {
            Ok([Appended::Duplicate]) => duplicates.insert(number),
            Ok([Appended::Stored(_)]) => break,
            other => panic!("{other:?}"),
        };
    }
    Found { standing: log.standing().clone(), stats, duplicates }
}

pub(super) fn control(number: u64) -> NewRecord {
    let key = PauseKey { package: Some(format!("a.p{}", number % 5).into()), site: None };
    let control = match number % 2 {
        0 => Control::Pause(key, "ann".into()),
        _ => Control::Resume(key, "ann".into()),
    };
    NewRecord { dedup: None, body: RecordBody::Control(control.into()), ..record(number, 0) }
}

/// Appends events, repetitions, events without a key, controls, ticks; reopens now and then.
fn write(disk: &SimDisk, random: &mut Random, dedup_ids_max: usize) -> u64 {
    let mut events = 0;
    for _ in 0..1 + random.below(4) {
        let (log, setup) = open_with(disk, dedup_ids_max);
        for _ in 0..random.below(30) {
            setup.clock.advance(u32::try_from(random.below(50)).expect("small"));
            let size = usize::try_from(random.below(700)).expect("small");
            let new = 1 + random.below(5);
            let mut records =
                (events..events + new).map(|number| record(number, size)).collect::<Vec<_>>();
            events += new;
            match random.below(6) {
                0 => records.push(control(random.next())),
                1 => records.push(NewRecord { dedup: None, ..record(events, 20) }),
                2 => records.push(record(random.below(events), 20)),
                3 => log.tick(),
                _ => {}
            }
            append(&log, records).expect("taken");
        }
        log.settle();
    }
    events
}

/// `BECKON_TEST_SEED` replays one seed.
#[test]
fn a_restart_with_digests_finds_what_one_without_finds() {
    let taken = replayable(150, compare);
    assert!(taken.len() == 1 || taken.iter().sum::<usize>() > 500, "{taken:?} digests");
}

fn compare(seed: u64) -> usize {
    let mut random = Random(seed);
    let disk = SimDisk::default();
    let ids_max =
        |random: &mut Random| [20, 60, 10_000][usize::try_from(random.below(3)).expect("3")];
    let (then, now) = (ids_max(&mut random), ids_max(&mut random));
    let events = write(&disk, &mut random, then);
    let digests = names(&disk, ".ids");
    assert_eq!(digests.len() + 1, names(&disk, ".seg").len(), "each sealed segment has one");
    let found = find(&disk, now, events);
    let without = disk.exit();
    remove(&without, &digests);
    assert_eq!(found, find(&without, now, events), "none of them");
    let some = disk.exit();
    for name in &digests {
        let path = Path::new(DIR).join(name);
        let bytes = bytes_of(&some, &path).len() as u64;
        match random.below(4) {
            0 => some.remove(&path).expect("removed"),
            1 => some.flip(&path, usize::try_from(random.below(bytes)).expect("small"), 1),
            2 => some.open(&path).and_then(|it| it.truncate(random.below(bytes))).expect("cut"),
            _ => {}
        }
    }
    assert_eq!(found, find(&some, now, events), "some of them damaged");
    digests.len()
}

/// A log of one sealed segment, and what its digest is.
fn sealed() -> (SimDisk, PathBuf) {
    let disk = SimDisk::default();
    let (log, setup) = open_with(&disk, 10_000);
    for number in 0..5 {
        setup.clock.advance(1_000);
        let keyless = NewRecord { dedup: None, ..record(100 + number, 20) };
        append(&log, vec![record(number, 400), keyless, control(number)]).expect("taken");
    }
    drop(log);
    let path = Path::new(DIR).join("0000000001.ids");
    assert_eq!(names(&disk, ".ids"), ["0000000001.ids"]);
    (disk, path)
}

/// Takes the salt, which is random, and what is checked with it, out of a digest.
fn without_salt(mut bytes: Vec<u8>) -> Vec<u8> {
    let about = 124;
    let about_bytes = bytes[12..16].try_into().map(u32::from_le_bytes).expect("four bytes");
    let end = usize::try_from(about_bytes).expect("small");
    assert!(end > about, "it has controls");
    bytes[28..32].fill(0);
    bytes[56..60].fill(0);
    bytes[end - 4..end].fill(0);
    bytes
}

#[test]
fn version_1_is_written_as_it_was() {
    let (disk, path) = sealed();
    fixture("digest-v1.ids", &without_salt(bytes_of(&disk, &path)));
}

/// The engine reads nothing of what lies behind the base, so that recovery need not either.
#[test]
fn behind_the_base_only_the_header_of_a_segment_with_a_digest_is_read() {
    let (disk, _) = sealed();
    let log = open(&disk.exit());
    let epoch = log.durable().expect("a group").epoch;
    let standing = log.standing().clone();
    let open_behind = |disk: &SimDisk| {
        let mut setup = setup(&disk.exit());
        setup.open.base = Some(LogBase { epoch, standing: standing.clone() });
        EmbeddedLog::open(setup.open)
    };
    let segment = Path::new(DIR).join("0000000001.seg");
    for offset in 44..bytes_of(&disk, &segment).len() {
        disk.flip(&segment, offset, 0);
    }
    let opened = open_behind(&disk).expect("it is not read");
    assert!(matches!(append(&opened, vec![record(0, 10)]).as_deref(), Ok([Appended::Duplicate])));
    let error = EmbeddedLog::open(setup(&disk.exit()).open).expect_err("it is to be read");
    assert!(matches!(error, LogError::Damaged { offset: 44, .. }), "{error}");
    disk.flip(&segment, 30, 0);
    let error = open_behind(&disk).expect_err("its header is damaged");
    assert!(matches!(error, LogError::Damaged { .. }), "{error}");
}

#[test]
fn a_digest_that_is_not_the_segments_is_passed_over_and_written_anew() {
    let (disk, path) = sealed();
    let whole = bytes_of(&disk, &path);
    let expected = find(&disk, 10_000, 5);
    let (other, other_path) = sealed();
    let other = bytes_of(&other, &other_path);
    let mut newer = whole.clone();
    let about_bytes = newer[12..16].try_into().map(u32::from_le_bytes).expect("four bytes");
    set_version(&mut newer[..usize::try_from(about_bytes).expect("small")], 2);
    for bytes in [other, newer, Vec::new(), whole[..whole.len() - 1].to_vec()] {
        let disk = disk.exit();
        disk.remove(&path).expect("removed");
        disk.create(&path).and_then(|file| file.write_at(0, &bytes)).expect("written");
        assert_eq!(find(&disk, 10_000, 5), expected);
        let log = open(&disk);
        log.settle();
        assert_eq!(log.stats().digests_missing, 0);
        assert_eq!(bytes_of(&disk, &path), whole, "written anew");
    }
}

/// The last segment grows, perhaps to the length that it had before its end was cut.
#[test]
fn a_digest_of_the_last_segment_does_not_stay() {
    let (disk, _) = sealed();
    remove(&disk, &["0000000002.seg".into()]);
    drop(open(&disk));
    assert!(names(&disk, ".ids").is_empty());
}

type Gate = Arc<Mutex<()>>;

/// A disk on which nobody makes a digest while the gate is locked.
#[derive(Debug)]
struct HeldDisk {
    disk: SimDisk,
    gate: Gate,
}

impl Disk for HeldDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let _open = path.extension().is_some_and(|it| it == "new").then(|| self.gate.lock());
        self.disk.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(path)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn list_dirs(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list_dirs(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.disk.free_bytes(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.disk.lock(path)
    }
}

#[test]
fn a_keeper_that_is_behind_reads_the_segments() {
    let disk = SimDisk::default();
    let gate = Gate::default();
    let held = HeldDisk { disk: disk.clone(), gate: gate.clone() };
    let log = EmbeddedLog::open(setup_with(Arc::new(held), DIR.into()).open).expect("opened");
    let closed = gate.lock().expect("no panic");
    for number in 0..60 {
        append(&log, vec![record(number, 300)]).expect("taken");
    }
    let sealed = log.stats().segments - 1;
    assert!(sealed > 5, "{sealed}");
    assert_eq!(log.stats().digests_missing, sealed);
    drop(closed);
    log.settle();
    assert_eq!(log.stats().digests_missing, 0);
    drop(log);
    assert_eq!(names(&disk, ".ids").len() as u64, sealed);
    let found = find(&disk, 10_000, 60);
    remove(&disk, &names(&disk, ".ids"));
    assert_eq!(find(&disk, 10_000, 60), found);
}

#[test]
fn a_digest_that_cannot_be_written_is_tried_again() {
    let disk = SimDisk::default();
    let gate = Gate::default();
    let held = HeldDisk { disk: disk.clone(), gate: gate.clone() };
    let setup = setup_with(Arc::new(held), DIR.into());
    let log = EmbeddedLog::open(setup.open.clone()).expect("opened");
    let fill = |first| {
        for number in first..first + 6 {
            append(&log, vec![record(number, 400)]).expect("taken");
        }
        log.settle();
    };
    fill(0);
    assert_eq!((log.stats().segments, log.stats().digests_missing), (2, 0));
    let closed = gate.lock().expect("no panic");
    for number in 6..10 {
        append(&log, vec![record(number, 400)]).expect("taken");
    }
    assert_eq!((log.stats().segments, log.stats().digests_missing), (3, 1));
    disk.fail_sync(1);
    drop(closed);
    log.settle();
    assert_eq!(log.stats().digests_missing, 1, "its sync failed");
    fill(10);
    assert_eq!(log.stats().digests_missing, 0);
    assert_eq!(setup.fatal.load(Ordering::Relaxed), 0, "the log goes on");
    assert_eq!(log.durable().map(|mark| mark.epoch), Some(Epoch(16)));
}
