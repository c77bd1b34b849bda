//! What a crash may leave, made by taking steps of a run back - a file back into `_tmp`, a line cut -
//! and damage. `crash.rs` cuts whole runs on a simulated disk.

use super::read::sequences;
use super::{NOON, epoch, files, open};
use crate::parquet::{ParquetConfig, ParquetError, ParquetTables};
use beckon_engine::model::Epoch;
use std::fs;
use std::path::{Path, PathBuf};

const MANIFEST_FILE: &str = "_manifest/rounds-2026-11-25.txt";

/// Two rounds: epochs 1 and 3 are durable, 5 and 7 the last round.
fn two_rounds(directory: &Path) {
    let mut tables = open(directory, ParquetConfig::default());
    for number in [1, 3, 5, 7] {
        tables.write(&epoch(number, NOON, &["a", "b"])).expect("written");
        if number == 3 || number == 7 {
            tables.roll().expect("rolled");
        }
    }
}

/// Goes on from what is durable, as the sink does, and checks that every row is there once.
fn check_goes_on(directory: &Path, durable: u64) {
    let mut tables = open(directory, ParquetConfig::default());
    assert_eq!(tables.durable().map(|position| position.epoch), Some(Epoch(durable)));
    assert!(files(directory).iter().all(|file| !file.starts_with("_tmp")), "left-overs stay");
    for number in [1, 3, 5, 7, 9].into_iter().filter(|number| *number > durable) {
        tables.write(&epoch(number, NOON, &["a", "b"])).expect("written");
    }
    tables.finish().expect("finished");
    assert_eq!(sequences(directory, "events"), (1..=10).collect::<Vec<_>>());
    let epochs = super::read::rows(directory, "epochs");
    let mut epochs: Vec<_> =
        epochs.iter().filter_map(|row| super::read::long(row, "epoch")).collect();
    epochs.sort_unstable();
    assert_eq!(epochs, [1, 3, 5, 7, 9]);
}

/// The files of the second round in their tables.
fn last_files(directory: &Path) -> Vec<PathBuf> {
    let of_last = |file: &String| file.contains("/r0000000002-");
    files(directory).into_iter().filter(of_last).map(|file| directory.join(file)).collect()
}

/// Takes the rename of a file back.
fn move_back(directory: &Path, file: &Path) {
    let stem = file.file_stem().expect("a name").to_string_lossy().into_owned();
    fs::rename(file, directory.join("_tmp").join(format!("{stem}.part"))).expect("moved");
}

fn cut_last_line(directory: &Path, keep_bytes: usize) {
    let path = directory.join(MANIFEST_FILE);
    let text = fs::read_to_string(&path).expect("the manifest");
    let first = text.find('\n').expect("two lines") + 1;
    fs::write(&path, &text.as_bytes()[..(first + keep_bytes).min(text.len())]).expect("cut");
}

#[test]
fn files_without_an_entry_are_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    two_rounds(folder.path());
    for file in last_files(folder.path()) {
        move_back(folder.path(), &file);
    }
    cut_last_line(folder.path(), 0);
    check_goes_on(folder.path(), 3);
}

#[test]
fn half_written_files_are_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    two_rounds(folder.path());
    fs::write(folder.path().join("_tmp/r0000000003-0000.part"), b"PAR1 half").expect("written");
    check_goes_on(folder.path(), 7);
}

#[test]
fn a_torn_entry_is_cut_at_every_byte() {
    let line = {
        let folder = tempfile::tempdir().expect("a folder");
        two_rounds(folder.path());
        let text = fs::read_to_string(folder.path().join(MANIFEST_FILE)).expect("the manifest");
        text.lines().last().expect("a line").len()
    };
    for kept in [1, 8, 9, line / 2, line - 1, line] {
        let folder = tempfile::tempdir().expect("a folder");
        two_rounds(folder.path());
        for file in last_files(folder.path()) {
            move_back(folder.path(), &file);
        }
        cut_last_line(folder.path(), kept);
        check_goes_on(folder.path(), 3);
    }
}

#[test]
fn a_torn_first_entry_leaves_empty_tables() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path(), ParquetConfig::default()));
    fs::write(folder.path().join(MANIFEST_FILE), b"0123").expect("written");
    let tables = open(folder.path(), ParquetConfig::default());
    assert_eq!(tables.durable(), None);
}

#[test]
fn a_torn_entry_of_a_new_day_goes_on_behind_the_day_before() {
    let folder = tempfile::tempdir().expect("a folder");
    two_rounds(folder.path());
    fs::write(folder.path().join("_manifest/rounds-2026-11-26.txt"), b"0123").expect("written");
    check_goes_on(folder.path(), 7);
}

#[test]
fn an_entry_is_finished_whatever_was_renamed() {
    let renames = 3;
    for done in 0..=renames {
        let folder = tempfile::tempdir().expect("a folder");
        two_rounds(folder.path());
        let last = last_files(folder.path());
        assert_eq!(last.len(), renames, "two events folders and the epochs");
        for file in last.iter().skip(done) {
            move_back(folder.path(), file);
        }
        check_goes_on(folder.path(), 7);
    }
}

#[test]
fn an_entry_that_was_whole_once_is_damage_not_torn() {
    let folder = tempfile::tempdir().expect("a folder");
    two_rounds(folder.path());
    cut_last_line(folder.path(), 20);
    let opened = ParquetTables::open(folder.path(), ParquetConfig::default());
    assert!(matches!(opened, Err(ParquetError::Damaged { .. })), "{opened:?}");
}

#[test]
fn a_damaged_line_or_file_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    two_rounds(folder.path());
    let path = folder.path().join(MANIFEST_FILE);
    let mut bytes = fs::read(&path).expect("the manifest");
    bytes[30] ^= 1;
    fs::write(&path, &bytes).expect("written");
    let opened = ParquetTables::open(folder.path(), ParquetConfig::default());
    assert!(matches!(opened, Err(ParquetError::Damaged { .. })), "{opened:?}");

    let folder = tempfile::tempdir().expect("a folder");
    two_rounds(folder.path());
    let last = last_files(folder.path());
    let mut bytes = fs::read(&last[0]).expect("a file");
    bytes[10] ^= 1;
    fs::write(&last[0], &bytes).expect("written");
    move_back(folder.path(), &last[0]);
    let opened = ParquetTables::open(folder.path(), ParquetConfig::default());
    assert!(matches!(opened, Err(ParquetError::Damaged { .. })), "{opened:?}");
}

#[test]
fn a_failed_write_closes_the_tables_and_reading_on_repairs() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut tables = open(folder.path(), ParquetConfig::default());
    tables.write(&epoch(1, NOON, &["a", "b"])).expect("written");
    tables.write(&epoch(3, NOON, &["a", "b"])).expect("written");
    tables.roll().expect("rolled");
    tables.write(&epoch(5, NOON, &["a", "b"])).expect("written");
    // In the way of the round's first file.
    fs::write(folder.path().join("_tmp/r0000000002-0000.part"), b"").expect("written");
    assert!(matches!(tables.roll(), Err(ParquetError::Io { .. })));
    let closed = tables.write(&epoch(7, NOON, &["a"]));
    assert!(matches!(closed, Err(ParquetError::Poisoned)), "{closed:?}");
    drop(tables);
    check_goes_on(folder.path(), 3);
}

/// The entry counts; the position is not told before all is in place.
#[test]
fn a_round_that_is_not_in_place_is_not_told_and_finished_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut tables = open(folder.path(), ParquetConfig::default());
    for number in [1, 3] {
        tables.write(&epoch(number, NOON, &["a", "b"])).expect("written");
    }
    tables.roll().expect("rolled");
    tables.write(&epoch(5, NOON, &["a", "b"])).expect("written");
    // In the way of a rename: a folder with the name of one of the round's files.
    let obstacles = (0..3).map(|part| {
        let name = format!("epochs/date=2026-11-25/r0000000002-{part:04}.parquet");
        folder.path().join(name)
    });
    let obstacles: Vec<_> = obstacles.collect();
    obstacles.iter().for_each(|path| fs::create_dir(path).expect("made"));
    assert!(matches!(tables.roll(), Err(ParquetError::Io { .. })));
    assert_eq!(tables.durable().map(|position| position.epoch), Some(Epoch(3)));
    drop(tables);
    obstacles.iter().for_each(|path| fs::remove_dir(path).expect("removed"));
    check_goes_on(folder.path(), 5);
}
