//! A crash at every change of a simulated disk: each row is there exactly once.
//!
//! A run of several rounds over two days is cut at each of its changes - a file made, written or
//! synced, a name given, a folder synced. The process alone ends, or the machine with it, and then of
//! what was not synced a part survives. Readers see finished files only, with all that was told to be
//! durable; recovery, which is cut too, goes on to every row once. In the midst of it a field is
//! declared: no file has its column before that is written down.

use super::read::{Row, long, rows, sequences};
use super::{DAY_MS, NOON, epoch};
use crate::parquet::{ColumnType, ParquetConfig, ParquetError, ParquetTables, TypedColumn};
use beckon_engine::disk::{Disk, SimDisk};
use beckon_engine::model::{Epoch, EpochOutput};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// Where the tables lie.
pub(super) const DIR: &str = "reports";

/// The epoch that finds `data.n` declared.
const DECLARED: Epoch = Epoch(5);

/// Epochs of two rows each, and whether a round ends behind each.
fn outputs() -> [(EpochOutput, bool); 5] {
    let next_day = NOON + DAY_MS;
    [(1, NOON, false), (3, NOON, true), (5, NOON, true), (7, next_day, false), (9, next_day, true)]
        .map(|(number, now_ms, is_end)| (epoch(number, now_ms, &["a", "b"]), is_end))
}

/// Opens the tables and writes what they lack, as the sink does; `told` is what was told to be durable.
fn follow(disk: &SimDisk, told: &mut Option<Epoch>) -> Result<(), ParquetError> {
    let config = ParquetConfig::default();
    let mut tables = ParquetTables::open_on(Arc::new(disk.clone()), Path::new(DIR), config)?;
    let durable = |tables: &ParquetTables| tables.durable().map(|position| position.epoch);
    let found = durable(&tables);
    assert!(found >= *told, "{told:?} was told to be durable, and {found:?} is found");
    *told = found;
    for (output, is_end) in outputs().iter().filter(|(output, _)| Some(output.mark.epoch) > found) {
        if output.mark.epoch >= DECLARED {
            let column = TypedColumn { path: "data.n".into(), kind: ColumnType::Integer };
            tables.declared().declare(&column)?;
        }
        tables.write(output)?;
        if *is_end {
            tables.roll()?;
        }
        *told = durable(&tables);
    }
    Ok(())
}

/// A folder of the real disk with what is on a simulated one.
pub(super) fn dump(disk: &SimDisk) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    dump_below(disk, Path::new(DIR), folder.path());
    folder
}

fn dump_below(disk: &SimDisk, from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for name in disk.list(from).expect("listed") {
        let file = disk.open(&from.join(&name)).expect("there");
        let mut bytes = vec![0; usize::try_from(file.bytes().expect("known")).expect("small")];
        file.read_at(0, &mut bytes).expect("read");
        std::fs::write(to.join(name), bytes).expect("written");
    }
    for name in disk.list_dirs(from).expect("listed") {
        dump_below(disk, &from.join(&name), &to.join(&name));
    }
}

/// The sequence numbers of the events, and the epochs, each sorted.
fn seen(disk: &SimDisk) -> [Vec<i64>; 2] {
    let folder = dump(disk);
    let rows = rows(folder.path(), "epochs");
    let mut epochs: Vec<i64> = rows.iter().filter_map(|row| long(row, "epoch")).collect();
    epochs.sort_unstable();
    [sequences(folder.path(), "events"), epochs]
}

/// A restart that knows of no declaration goes on with the columns that files have.
fn check_columns(disk: &SimDisk) {
    let folder = dump(disk);
    let has_column = |row: &Row| row.contains_key("data_n");
    if rows(folder.path(), "events").iter().any(has_column) {
        let columns = folder.path().join("_manifest/columns.json");
        let columns = std::fs::read_to_string(columns).expect("written before the file");
        assert!(columns.contains("data.n"), "a file has a column that is not written down");
    }
}

/// Whoever reads the tables now finds whole files, no row twice, and all that was told.
fn check_seen(disk: &SimDisk, told: Option<Epoch>) {
    // An epoch's second row has the number behind its own.
    let told = told.map_or(0, |epoch| i64::try_from(epoch.0).expect("small") + 1);
    check_columns(disk);
    let [events, epochs] = seen(disk);
    for found in [&events, &epochs] {
        assert!(found.is_sorted_by(|one, next| one < next), "a row is there twice: {found:?}");
    }
    assert!((1..=told).all(|seq| events.contains(&seq)), "up to {told} was told: {events:?}");
    assert!((1..=told).step_by(2).all(|epoch| epochs.contains(&epoch)), "{told}: {epochs:?}");
}

fn check_all_once(disk: &SimDisk) {
    let [events, epochs] = seen(disk);
    assert_eq!(events, (1..=10).collect::<Vec<_>>());
    assert_eq!(epochs, [1, 3, 5, 7, 9]);
}

/// What is left when the process alone ends (seed 0) or the machine with it.
fn cut(disk: &SimDisk, seed: u64) -> SimDisk {
    if seed == 0 { disk.exit() } else { disk.crash(seed) }
}

#[test]
fn a_crash_at_every_change_of_the_disk_loses_and_doubles_no_row() {
    for point in 1.. {
        let disk = SimDisk::default();
        disk.fail_from_change(point);
        let mut told = None;
        let is_whole = follow(&disk, &mut told).is_ok();
        assert_eq!(is_whole, disk.changes() < point, "a failure of the disk is an error");
        for seed in 0..3 {
            let mut told = told;
            let left = cut(&disk, seed * 1_000 * point);
            check_seen(&left, told);
            // Recovery is cut, too: somewhere in it, or in what follows.
            left.fail_from_change(left.changes() + 1 + (7 * point + 13 * seed) % 40);
            drop(follow(&left, &mut told));
            let left = cut(&left, (seed + 1) % 3 * point);
            check_seen(&left, told);
            follow(&left, &mut told).expect("recovered");
            check_all_once(&left.crash(point));
        }
        if is_whole {
            assert!(point > 80, "it has {point} changes only");
            return;
        }
    }
}

/// What a failed sync left in memory only is not taken for durable: the tables are opened again by
/// the same process, and the power goes when all is said to be written.
#[test]
fn what_a_failed_sync_gave_up_is_written_again() {
    for sync in 1.. {
        let disk = SimDisk::default();
        disk.fail_sync(sync);
        let mut told = None;
        if follow(&disk, &mut told).is_ok() {
            assert!(sync > 15, "it has {sync} syncs only");
            return;
        }
        check_seen(&disk.crash(sync), told);
        follow(&disk, &mut told).expect("it failed once");
        check_all_once(&disk.crash(sync));
    }
}
