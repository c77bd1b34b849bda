//! Crashes at every point: what was acknowledged is there, nothing is there twice.

use super::digests::{names, remove};
use super::*;
use crate::log::{Control, LogBase, NewRecord, PauseKey};
use crate::model::{Epoch, LogSeq};
use crate::testing::replayable;
use std::collections::BTreeMap;

/// What the sender of an event was told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Nothing: it may be there once.
    Nothing,
    /// A repetition of it is a duplicate: it is there, somewhere.
    Duplicate,
    /// It is stored there.
    Stored(LogSeq),
}

impl Told {
    /// What is known when one more answer has come.
    fn and(self, answer: Appended) -> Self {
        match (self, answer) {
            (Self::Nothing, Appended::Stored(seq)) => Self::Stored(seq),
            (Self::Nothing, Appended::Duplicate) => Self::Duplicate,
            (_, Appended::Duplicate) => self,
            (_, Appended::Stored(seq)) => panic!("{self:?}, and stored again as {seq}"),
        }
    }
}

/// What the senders of a test know of each event.
type Sent = BTreeMap<u64, Told>;

/// Sends the events, and notes the answers if they come.
fn send(log: &EmbeddedLog, numbers: &[u64], sent: &mut Sent) -> Result<(), Refused> {
    let records = numbers.iter().map(|number| record(*number, size_of(*number))).collect();
    for number in numbers {
        sent.entry(*number).or_insert(Told::Nothing);
    }
    let answers = append(log, records)?;
    assert_eq!(answers.len(), numbers.len());
    for (number, answer) in numbers.iter().zip(answers) {
        let told = sent.get_mut(number).expect("it was sent");
        *told = told.and(answer);
    }
    Ok(())
}

/// Sends events until the log ends; a pinch of everything, in few writes.
fn send_some(log: &EmbeddedLog, sent: &mut Sent, random: &mut Random) {
    for _ in 0..8 {
        let first = sent.len() as u64;
        let mut numbers = (first..first + random.below(4)).collect::<Vec<_>>();
        // One more time: of an earlier append, or of this one.
        let end = first + numbers.len() as u64;
        if end > 0 {
            numbers.push(random.below(end));
        }
        if random.below(5) == 0 {
            log.tick();
        }
        if random.below(2) == 0 {
            log.settle();
        }
        if send(log, &numbers, sent).is_err() {
            // What failed is not taken for a first copy.
            assert_eq!(send(log, &numbers, sent), Err(Refused::Closed));
            return;
        }
    }
}

/// Some fit a sector, some span several.
fn size_of(number: u64) -> usize {
    usize::try_from(number * 37 % 1_500).expect("small")
}

/// Opens what is left and compares it with what the senders know.
fn check_recovered(disk: &SimDisk, sent: &Sent) -> EmbeddedLog {
    let log = EmbeddedLog::open(setup(disk).open).expect("recovered");
    let records = read_all(&log).into_iter().collect::<BTreeMap<_, _>>();
    let mut found = 0;
    for (number, told) in sent {
        let body = RecordBody::Event(packed(*number, size_of(*number)));
        let places = records.iter().filter(|(_, it)| **it == body).map(|(seq, _)| *seq);
        let places = places.collect::<Vec<_>>();
        match told {
            Told::Stored(seq) => assert_eq!(places, [*seq], "event {number} was acknowledged"),
            Told::Duplicate => assert_eq!(places.len(), 1, "event {number} was called a duplicate"),
            Told::Nothing => assert!(places.len() <= 1, "event {number} is there twice"),
        }
        found += places.len();
    }
    assert_eq!(found, records.len(), "records that nobody sent");
    log
}

/// Sends again all that was ever sent; then each was acknowledged.
fn send_again(log: &EmbeddedLog, sent: &mut Sent) {
    for number in sent.keys().copied().collect::<Vec<_>>() {
        send(log, &[number], sent).expect("taken");
    }
}

/// SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[test]
fn a_crash_at_every_change_of_the_disk_loses_and_doubles_nothing() {
    let mut point = 1;
    loop {
        let disk = SimDisk::default();
        disk.fail_from_change(point);
        let mut sent = Sent::new();
        if let Ok(log) = EmbeddedLog::open(setup(&disk).open) {
            send_some(&log, &mut sent, &mut Random(7));
        }
        let is_beyond = disk.changes() < point;
        for seed in 0..12 {
            // The process alone ends, or the machine with it.
            let crashed = if seed == 0 { disk.exit() } else { disk.crash(seed * 1_000 + point) };
            let mut sent = sent.clone();
            let log = check_recovered(&crashed, &sent);
            send_again(&log, &mut sent);
            drop(log);
            check_recovered(&crashed.crash(seed), &sent);
        }
        if is_beyond {
            break;
        }
        point += 1;
    }
    assert!(point > 25, "the points are in the middle of things: {point}");
}

/// Crashes, again and again, also of recovery itself. `BECKON_TEST_SEED` replays one seed.
#[test]
fn histories_of_crashes_lose_and_double_nothing() {
    replayable(150, history);
}

fn history(seed: u64) {
    let mut random = Random(seed);
    let mut disk = SimDisk::default();
    let mut sent = Sent::new();
    for _ in 0..6 {
        if random.below(3) == 0 {
            disk.fail_sync(1 + random.below(10));
        } else {
            disk.fail_from_change(disk.changes() + 1 + random.below(20));
        }
        if let Ok(log) = EmbeddedLog::open(setup(&disk).open) {
            send_some(&log, &mut sent, &mut random);
        }
        // Often the process ends and the machine does not.
        disk = if random.below(2) == 0 { disk.exit() } else { disk.crash(random.next()) };
        let log = check_recovered(&disk, &sent);
        send_again(&log, &mut sent);
        drop(log);
        disk = disk.crash(random.next());
    }
    check_recovered(&disk, &sent);
}

/// What a test knows when it releases too.
#[derive(Clone, Default)]
struct World {
    sent: Sent,
    /// The newest snapshot.
    base: Option<LogBase>,
    /// Goes on over restarts, as the clock does.
    now_ms: i64,
}

impl World {
    fn open(&self, disk: &SimDisk) -> Result<(EmbeddedLog, Setup), LogError> {
        let mut setup = setup(disk);
        setup.open.config.retention_ms = 0;
        setup.open.base.clone_from(&self.base);
        setup.clock.set(ServerTimeMs(self.now_ms));
        Ok((EmbeddedLog::open(setup.open.clone())?, setup))
    }

    /// Sends events and decisions, takes snapshots and releases what they stand for.
    fn run(&mut self, disk: &SimDisk, random: &mut Random) {
        let Ok((log, setup)) = self.open(disk) else { return };
        let mut standing = log.standing().clone();
        for _ in 0..12 {
            self.now_ms += 1_000;
            setup.clock.set(ServerTimeMs(self.now_ms));
            let first = self.sent.len() as u64;
            let mut numbers = (first..first + random.below(4)).collect::<Vec<_>>();
            if first > 0 {
                numbers.push(random.below(first));
            }
            if send(&log, &numbers, &mut self.sent).is_err() {
                return;
            }
            if random.below(3) == 0 {
                let package = Some(format!("a.p{}", random.below(3)).into());
                let key = PauseKey { package, site: None };
                let control = match random.below(2) {
                    0 => Control::Pause(key, "ann".into()),
                    _ => Control::Resume(key, "ann".into()),
                };
                let body = RecordBody::Control(control.clone().into());
                if append(&log, vec![NewRecord { dedup: None, body, ..record(1, 0) }]).is_err() {
                    return;
                }
                standing.apply(&control);
            }
            match random.below(4) {
                0 => {
                    let epoch = log.durable().map_or(Epoch(0), |mark| mark.epoch);
                    self.base = Some(LogBase { epoch, standing: standing.clone() });
                    log.release(epoch);
                }
                1 => log.settle(),
                _ => {}
            }
        }
    }

    /// Opens what is left, by the digests and by the segments, and compares that and what is known.
    fn check(&self, disk: &SimDisk) -> EmbeddedLog {
        let read = disk.exit();
        let segments = names(&read, ".seg");
        let digests = names(&read, ".ids").into_iter();
        let of_held = digests.filter(|name| segments.contains(&name.replace(".ids", ".seg")));
        remove(&read, &of_held.collect::<Vec<_>>());
        let (read, _) = self.open(&read).expect("recovered by its segments");
        let (log, _) = self.open(disk).expect("recovered");
        assert_eq!(log.standing(), read.standing());
        assert_eq!(log.durable(), read.durable());
        assert_eq!(log.stats().dedup_ids, read.stats().dedup_ids);
        let oldest = log.stats().oldest_epoch;
        assert_eq!(oldest, read.stats().oldest_epoch);
        let base = self.base.as_ref().map_or(Epoch(0), |base| base.epoch);
        assert!(
            oldest <= base.0 + 1,
            "epoch {} is needed, the log begins with {oldest}",
            base.0 + 1
        );
        let groups = conformance::read_after(&log, Some(Epoch(oldest - 1)));
        let first = groups.first().map_or(LogSeq(u64::MAX), |group| group.mark.first_seq);
        let records = groups.into_iter().flat_map(|group| group.records);
        let records = records.map(|record| (record.seq, record.body)).collect::<BTreeMap<_, _>>();
        for (number, told) in &self.sent {
            let body = RecordBody::Event(packed(*number, size_of(*number)));
            let places = records.iter().filter(|(_, it)| **it == body).map(|(seq, _)| *seq);
            let places = places.collect::<Vec<_>>();
            match told {
                Told::Stored(seq) if *seq >= first => assert_eq!(places, [*seq], "event {number}"),
                Told::Stored(_) => assert!(places.is_empty(), "event {number} is there twice"),
                _ => assert!(places.len() <= 1, "event {number} is there twice"),
            }
        }
        log
    }
}

/// Crashes around sealing, digests and removal. `BECKON_TEST_SEED` replays one seed.
#[test]
fn histories_with_retention_lose_and_double_nothing() {
    let removed = replayable(150, history_with_retention);
    assert!(
        removed.len() == 1 || removed.iter().sum::<u64>() > 500,
        "{removed:?} segments removed"
    );
}

fn history_with_retention(seed: u64) -> u64 {
    let mut random = Random(seed);
    let mut disk = SimDisk::default();
    let mut world = World { now_ms: 1_000, ..World::default() };
    for _ in 0..6 {
        match random.below(4) {
            0 => disk.fail_sync(1 + random.below(20)),
            _ => disk.fail_from_change(disk.changes() + 1 + random.below(60)),
        }
        world.run(&disk, &mut random);
        disk = if random.below(2) == 0 { disk.exit() } else { disk.crash(random.next()) };
        let log = world.check(&disk);
        send_again(&log, &mut world.sent);
        drop(log);
        disk = disk.crash(random.next());
    }
    world.check(&disk).stats().oldest_segment - 1
}

#[test]
fn a_crash_at_every_change_of_a_log_that_is_released_loses_and_doubles_nothing() {
    let mut point = 1;
    loop {
        let disk = SimDisk::default();
        disk.fail_from_change(point);
        let mut world = World { now_ms: 1_000, ..World::default() };
        world.run(&disk, &mut Random(11));
        let is_beyond = disk.changes() < point;
        for seed in 0..6 {
            let crashed = if seed == 0 { disk.exit() } else { disk.crash(seed * 1_000 + point) };
            let mut world = world.clone();
            let log = world.check(&crashed);
            send_again(&log, &mut world.sent);
            drop(log);
            world.check(&crashed.crash(seed));
        }
        if is_beyond {
            assert!(world.check(&disk.exit()).stats().oldest_segment > 1, "segments are removed");
            break;
        }
        point += 1;
    }
    assert!(point > 40, "the points are in the middle of things: {point}");
}

#[test]
fn a_group_that_is_only_in_the_page_cache_is_written_again() {
    let disk = SimDisk::default();
    let log = open(&disk);
    append(&log, vec![record(1, 10)]).expect("taken");
    disk.fail_sync(1);
    assert_eq!(append(&log, vec![record(2, 10)]), Err(Refused::Closed));
    drop(log);
    let disk = disk.exit();
    let log = open(&disk);
    let again = append(&log, vec![record(2, 10)]);
    assert_eq!(again, Ok(vec![Appended::Duplicate]), "it is whole in the cache");
    drop(log);
    assert_eq!(read_all(&open(&disk.crash(0))).len(), 2, "and so it must be on disk");
}

#[test]
fn a_torn_group_that_a_cursor_names_is_not_cut() {
    let disk = SimDisk::default();
    let log = open(&disk);
    for number in 1..=3 {
        append(&log, vec![record(number, 10)]).expect("taken");
    }
    let last = log.durable().expect("not empty");
    drop(log);
    let path = Path::new(DIR).join("0000000001.seg");
    let file = disk.open(&path).expect("there");
    file.truncate(file.bytes().expect("known") - 1).expect("cut");
    let open_named = |named| {
        let open = OpenLog { named, ..setup(&disk).open };
        EmbeddedLog::open(open)
    };
    for named in [
        Named { epoch_max: last.epoch, ..Named::default() },
        Named { seq_max: last.last_seq, ..Named::default() },
    ] {
        let error = open_named(named).expect_err("named");
        assert!(matches!(error, LogError::Lost { .. }), "{error}");
        let said = error.to_string();
        assert!(said.contains("0000000001.seg") && said.contains("byte"), "{said}");
    }
    let log = open_named(Named { epoch_max: Epoch(2), seq_max: LogSeq(2) });
    let log = log.expect("only the third is cut");
    assert!(log.cut_bytes() > 0);
    assert_eq!(read_all(&log).len(), 2);
}
