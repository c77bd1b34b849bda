//! Every limit, at its bound.

use super::read::{rows, sequences};
use super::{DAY_MS, NOON, epoch, epoch_of, event, files, open, row};
use crate::parquet::{ParquetConfig, ParquetError, ParquetTables};
use beckon_engine::model::{Epoch, EpochOutput, LogSeq, ServerTimeMs, Value};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

fn many(first: u64, count: u64, now_ms: i64) -> EpochOutput {
    let rows = (first..first + count).map(|seq| row(seq, &event("a", seq))).collect();
    epoch_of(first, now_ms, rows)
}

fn event_files(directory: &Path) -> Vec<String> {
    let is_event = |file: &String| file.starts_with("events/");
    files(directory).into_iter().filter(is_event).collect()
}

#[test]
fn a_file_ends_at_its_rows_and_the_round_with_the_epoch() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = ParquetConfig { file_rows_max: 10, ..ParquetConfig::default() };
    let mut tables = open(folder.path(), config);
    tables.write(&many(1, 9, NOON)).expect("written");
    assert_eq!(tables.durable(), None, "nine rows wait");
    tables.write(&many(10, 1, NOON)).expect("written");
    assert_eq!(tables.durable().map(|position| position.epoch), Some(Epoch(10)));
    tables.write(&many(11, 16, NOON)).expect("written");
    let durable = tables.finish().expect("finished").expect("durable");
    assert_eq!((durable.epoch, durable.seq), (Epoch(11), LogSeq(26)));
    let counts: Vec<usize> = event_files(folder.path())
        .iter()
        .map(|file| super::read::file_rows(&folder.path().join(file)).len())
        .collect();
    assert_eq!(counts, [10, 10, 6]);
    assert_eq!(sequences(folder.path(), "events"), (1..=26).collect::<Vec<_>>());
}

#[test]
fn a_file_ends_before_its_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let file_bytes_max = 256 << 10;
    let config = ParquetConfig { file_bytes_max, ..ParquetConfig::default() };
    let mut tables = open(folder.path(), config);
    for first in (1..6000).step_by(500) {
        // Text that does not compress, so that bytes are what ends the file.
        let rows = (first..first + 500).map(|seq| {
            let noise = xorshift(seq);
            let data = Value::Str(format!("{noise:x}{:x}", noise.rotate_left(9)).into());
            let mut event = event("a", seq);
            event.fields = vec![("data".into(), data)];
            row(seq, &event)
        });
        tables.write(&epoch_of(first, NOON, rows.collect())).expect("written");
    }
    tables.finish().expect("finished");
    let sizes: Vec<u64> = event_files(folder.path())
        .iter()
        .map(|file| std::fs::metadata(folder.path().join(file)).expect("a file").len())
        .collect();
    assert!(sizes.len() > 1, "one file took it all: {sizes:?}");
    assert!(sizes.iter().all(|size| *size <= file_bytes_max), "{sizes:?}");
    // Pages count uncompressed while they are open, so a small file ends early.
    assert!(sizes[0] >= file_bytes_max / 4, "too small: {sizes:?}");
    assert_eq!(sequences(folder.path(), "events").len(), 6000);
}

fn xorshift(seed: u64) -> u128 {
    let mut state = u128::from(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    state ^= state >> 61;
    state.wrapping_mul(0xD134_2543_DE82_EF95_9E37_79B9_7F4A_7C15)
}

#[test]
fn a_round_ends_when_it_is_old_by_the_marks_and_by_the_clock() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = ParquetConfig { rotation_ms_max: 1000, ..ParquetConfig::default() };
    let mut tables = open(folder.path(), config);
    tables.write(&epoch(1, NOON, &["a"])).expect("written");
    tables.write(&epoch(2, NOON + 999, &["a"])).expect("written");
    assert_eq!(tables.durable(), None);
    tables.write(&epoch(3, NOON + 1000, &["a"])).expect("written");
    assert_eq!(tables.durable().map(|position| position.epoch), Some(Epoch(2)));
    assert!(!tables.roll_due(ServerTimeMs(NOON + 1999)));
    assert!(tables.roll_due(ServerTimeMs(NOON + 2000)));
    tables.roll().expect("rolled");
    assert_eq!(tables.durable().map(|position| position.epoch), Some(Epoch(3)));
    assert!(!tables.roll_due(ServerTimeMs(i64::MAX)), "no round is open");
}

#[test]
fn open_memory_is_bounded_and_the_largest_goes_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let open_bytes_max = 64 << 10;
    let config = ParquetConfig { open_bytes_max, ..ParquetConfig::default() };
    let mut tables = open(folder.path(), config);
    tables.write(&epoch(1, NOON, &["small"])).expect("written");
    for first in (2..2002).step_by(100) {
        tables.write(&many(first, 100, NOON)).expect("written");
        assert!(tables.stats().open_bytes.load(Relaxed) <= open_bytes_max);
    }
    assert!(tables.stats().flushes.load(Relaxed) > 0);
    let unfinished = files(folder.path());
    assert_eq!(unfinished, ["_tmp/r0000000001-0000.part"], "only the large one was sent");
    tables.finish().expect("finished");
    assert_eq!(sequences(folder.path(), "events"), (1..=2001).collect::<Vec<_>>());
}

/// One epoch may hold any number of rows: the bound is kept within it, in every table.
#[test]
fn open_memory_is_bounded_within_an_epoch() {
    let whole = super::rows::with_facts();
    let visits = whole.visits.iter().cycle().take(900).cloned().collect();
    let actions = whole.actions.iter().cycle().take(900).cloned().collect();
    let notices = whole.notices.iter().cycle().skip(1).take(1_350).cloned().collect();
    let of_visits = EpochOutput { visits, ..epoch(9, NOON, &[]) };
    let of_actions = EpochOutput { actions, ..epoch(9, NOON, &[]) };
    let of_deliveries = EpochOutput { notices, ..epoch(9, NOON, &[]) };
    for output in [of_visits, of_actions, of_deliveries, many(9, 900, NOON)] {
        let folder = tempfile::tempdir().expect("a folder");
        // A row counts 256 bytes at least, so 900 of them fill it three times and more.
        let config = ParquetConfig { open_bytes_max: 64 << 10, ..ParquetConfig::default() };
        let mut tables = open(folder.path(), config);
        tables.write(&output).expect("written");
        let flushes = tables.stats().flushes.load(Relaxed);
        assert!(flushes >= 3, "{flushes} flushes");
    }
}

#[test]
fn names_beyond_the_folders_of_a_day_share_one_also_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = ParquetConfig { event_folders_max: 2, ..ParquetConfig::default() };
    let mut tables = open(folder.path(), config.clone());
    tables.write(&epoch(1, NOON, &["a", "b", "c", "d", "a"])).expect("written");
    assert_eq!(tables.stats().other_events.load(Relaxed), 2);
    tables.finish().expect("finished");
    let mut tables = open(folder.path(), config);
    tables.write(&epoch(6, NOON, &["e", "b"])).expect("written");
    tables.write(&epoch(8, NOON + DAY_MS, &["e"])).expect("written");
    tables.finish().expect("finished");
    let mut folders: Vec<String> = event_files(folder.path())
        .iter()
        .filter_map(|file| file.rsplit_once('/').map(|(folder, _)| folder.to_owned()))
        .collect();
    folders.dedup();
    let expected = [
        "events/date=2026-11-25/event=__other",
        "events/date=2026-11-25/event=a",
        "events/date=2026-11-25/event=b",
        "events/date=2026-11-26/event=e",
    ];
    assert_eq!(folders, expected);
    let names: Vec<_> = rows(folder.path(), "events")
        .iter()
        .filter_map(|row| super::read::text(row, "event_name"))
        .collect();
    assert_eq!(names.len(), 8, "{names:?}");
    assert!(names.iter().any(|name| name == "d"), "the true name is kept");
}

#[test]
fn an_epoch_is_taken_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut tables = open(folder.path(), ParquetConfig::default());
    tables.write(&epoch(5, NOON, &["a"])).expect("written");
    let again = tables.write(&epoch(5, NOON, &["a"]));
    assert!(matches!(again, Err(ParquetError::Order { .. })), "{again:?}");
    tables.finish().expect("finished");
    let mut tables = open(folder.path(), ParquetConfig::default());
    let again = tables.write(&epoch(4, NOON, &["a"]));
    assert!(matches!(again, Err(ParquetError::Order { .. })), "{again:?}");
}

#[test]
fn one_holder_writes_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let held = open(folder.path(), ParquetConfig::default());
    let second = ParquetTables::open(folder.path(), ParquetConfig::default());
    assert!(matches!(second, Err(ParquetError::InUse { .. })), "{second:?}");
    drop(held);
    drop(open(folder.path(), ParquetConfig::default()));
}
