//! A log whose first segments are gone goes on from what stood behind them.

use super::*;
use crate::log::{Control, LogBase, NewRecord, PauseKey, Standing};
use crate::model::Epoch;

/// The record that decides.
fn decided(control: Control) -> NewRecord {
    NewRecord { dedup: None, body: RecordBody::Control(control.into()), ..record(1, 0) }
}

fn pause(package: u64) -> PauseKey {
    PauseKey { package: Some(format!("com.example.p{package}").into()), site: None }
}

/// A log of several segments, each epoch of which decides something; what stands behind each.
fn written() -> (SimDisk, Vec<LogBase>) {
    let disk = SimDisk::default();
    let log = open(&disk);
    let mut bases = Vec::new();
    let mut standing = Standing::default();
    for number in 1..=20 {
        let control = match number % 3 {
            0 => Control::Resume(pause(number - 1), "ann".into()),
            _ => Control::Pause(pause(number), "ann".into()),
        };
        standing.apply(&control);
        append(&log, vec![record(number, 300), decided(control)]).expect("taken");
        bases.push(LogBase { epoch: Epoch(number), standing: standing.clone() });
    }
    (disk, bases)
}

fn open_from(disk: &SimDisk, base: Option<&LogBase>) -> Result<EmbeddedLog, LogError> {
    EmbeddedLog::open(OpenLog { base: base.cloned(), ..setup(disk).open })
}

/// The first epoch of each segment.
fn firsts(disk: &SimDisk) -> Vec<Epoch> {
    let mut firsts = Vec::new();
    inspect(disk, Path::new(DIR), |found| {
        if let Inspected::Segment { first_epoch, .. } = found {
            firsts.push(first_epoch);
        }
    })
    .expect("read");
    firsts
}

#[test]
fn what_is_standing_is_the_same_from_every_base() {
    let (disk, bases) = written();
    let expected = &bases[19].standing;
    for base in std::iter::once(None).chain(bases.iter().map(Some)) {
        assert_eq!(open_from(&disk.exit(), base).expect("opened").standing(), expected);
    }
}

#[test]
fn what_a_base_reaches_may_be_gone_and_nothing_else() {
    let (disk, bases) = written();
    let firsts = firsts(&disk);
    assert!(firsts.len() >= 4, "{firsts:?}");
    for (gone, first) in firsts.iter().enumerate().skip(1) {
        disk.remove(&Path::new(DIR).join(format!("{gone:010}.seg"))).expect("removed");
        for base in &bases {
            let opened = open_from(&disk.exit(), Some(base));
            if base.epoch.next() >= *first {
                let log = opened.expect("opened");
                assert_eq!(log.standing(), &bases[19].standing);
                assert!(matches!(log.reader(None), Err(LogError::Gone(Epoch(1)))));
                append(&log, vec![record(99, 10)]).expect("taken");
                assert_eq!(log.durable().map(|mark| mark.epoch), Some(Epoch(21)));
            } else {
                let error = opened.expect_err("a gap").to_string();
                let expected = format!(
                    "segments 0000000001.seg to {gone:010}.seg are missing, so the log begins with \
                     epoch {first}, and the newest snapshot goes up to epoch {} only",
                    base.epoch
                );
                assert!(error.starts_with(&expected), "{error}");
            }
        }
        let error = open_from(&disk.exit(), None).expect_err("no base").to_string();
        assert!(error.contains("no snapshot that this beckon can read is there"), "{error}");
    }
}

#[test]
fn a_log_that_ends_before_its_base_is_refused() {
    let (disk, bases) = written();
    let base = LogBase { epoch: Epoch(21), ..bases[19].clone() };
    for disk in [disk, SimDisk::default()] {
        let error = open_from(&disk, Some(&base)).expect_err("not this log");
        assert!(matches!(error, LogError::Lost { .. }), "{error}");
        assert!(error.to_string().contains("epoch 21"), "{error}");
    }
}
