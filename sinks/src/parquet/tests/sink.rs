//! The sink's loop: retries, rewinds, cursor, end.

use super::crash::{DIR, dump};
use super::read::{rows, sequences};
use super::{NOON, epoch, open};
use crate::parquet::{
    ColumnType, EpochSource, OutboxSource, ParquetConfig, ParquetStats, ParquetTables, SinkContext,
    SinkError, SourceError, Stop, TypedColumn, run,
};
use beckon_engine::clock::ManualClock;
use beckon_engine::disk::{Disk, RealDisk, SimDisk};
use beckon_engine::model::{Epoch, EpochOutput, ServerTimeMs};
use beckon_engine::outbox::{Cursors, OpenOutbox, OutboxConfig, OutboxWriter, Position};
use parquet::record::Field;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// What may happen before an epoch is given, once.
type Incident<'a> = Box<dyn FnOnce() -> Result<(), SourceError> + Send + 'a>;

/// Epochs 1, 3, ... in memory; something may happen before one is given, once.
struct Memory<'a> {
    epochs: Vec<EpochOutput>,
    next: usize,
    before: Option<(usize, Incident<'a>)>,
    /// What `next` says behind the last epoch.
    is_closed: bool,
}

impl<'a> Memory<'a> {
    fn new(count: u64) -> Self {
        let epochs = (0..count).map(|number| epoch(2 * number + 1, NOON, &["a", "b"])).collect();
        Self { epochs, next: 0, before: None, is_closed: true }
    }

    fn with(
        mut self,
        at: usize,
        what: impl FnOnce() -> Result<(), SourceError> + Send + 'a,
    ) -> Self {
        self.before = Some((at, Box::new(what)));
        self
    }
}

impl EpochSource for Memory<'_> {
    fn rewind(&mut self, after: Option<Epoch>) -> Result<(), SourceError> {
        let is_behind = |output: &EpochOutput| Some(output.mark.epoch) > after;
        self.next = self.epochs.iter().position(is_behind).unwrap_or(self.epochs.len());
        Ok(())
    }

    fn next(&mut self, _wait: Duration) -> Result<Option<EpochOutput>, SourceError> {
        if self.before.as_ref().is_some_and(|(at, _)| *at == self.next)
            && let Some((_, what)) = self.before.take()
        {
            what()?;
        }
        let output = self.epochs.get(self.next).cloned();
        self.next += 1;
        if output.is_none() && self.is_closed { Err(SourceError::Closed) } else { Ok(output) }
    }
}

fn run_sink(
    tables: ParquetTables,
    source: &mut Memory<'_>,
    stop: &Stop,
) -> (Result<(), SinkError>, Vec<Position>) {
    let clock = ManualClock::new(ServerTimeMs(NOON));
    let mut told = Vec::new();
    let mut durable = |position| {
        told.push(position);
        Ok(())
    };
    let wait = &mut |wait| stop.wait(wait);
    let mut context = SinkContext { stop, clock: &clock, wait, durable: &mut durable };
    let ended = run(tables, source, &mut context);
    (ended, told)
}

/// A round for each epoch.
fn config() -> ParquetConfig {
    ParquetConfig { file_rows_max: 1, ..ParquetConfig::default() }
}

fn check_all_once(directory: &Path, epochs: u64) {
    let expected: Vec<i64> = (1..=i64::try_from(2 * epochs).expect("few")).collect();
    assert_eq!(sequences(directory, "events"), expected);
}

fn epochs(told: &[Position]) -> Vec<u64> {
    told.iter().map(|position| position.epoch.0).collect()
}

#[test]
fn everything_is_written_and_the_cursor_follows() {
    let folder = tempfile::tempdir().expect("a folder");
    let tables = open(folder.path(), ParquetConfig::default());
    let (ended, told) = run_sink(tables, &mut Memory::new(5), &Stop::default());
    ended.expect("the source was closed");
    assert_eq!(epochs(&told), [9]);
    check_all_once(folder.path(), 5);
    let tables = open(folder.path(), config());
    let (ended, told) = run_sink(tables, &mut Memory::new(7), &Stop::default());
    ended.expect("the source was closed");
    assert_eq!(epochs(&told).first(), Some(&9), "a cursor that is behind is moved at once");
    check_all_once(folder.path(), 7);
}

#[test]
fn a_failed_disk_is_tried_again_from_what_is_durable() {
    let folder = tempfile::tempdir().expect("a folder");
    // In the way of the file of the fourth epoch's row.
    let obstacle = folder.path().join("_tmp/r0000000002-0000.part");
    let obstruct = || {
        fs::write(&obstacle, b"in the way").expect("written");
        Ok(())
    };
    let tables = open(folder.path(), ParquetConfig { rotation_ms_max: i64::MAX, ..config() });
    let stats = tables.stats();
    let mut source = Memory::new(5).with(1, obstruct);
    let (ended, told) = run_sink(tables, &mut source, &Stop::default());
    ended.expect("the source was closed");
    assert!(stats.errors.load(Relaxed) >= 1);
    assert_eq!(epochs(&told).last(), Some(&9));
    check_all_once(folder.path(), 5);
}

/// What was declared and is not in a file yet is not lost with what was open.
#[test]
fn a_declared_column_is_kept_over_a_failure() {
    let folder = tempfile::tempdir().expect("a folder");
    let column = |path: &str, kind| TypedColumn { path: path.into(), kind };
    let tables = open(folder.path(), config());
    let declared = tables.declared();
    let mut source = Memory::new(3).with(2, || {
        declared.declare(&column("data.n", ColumnType::Integer)).expect("declared");
        Err(SourceError::Failed("flaky".into()))
    });
    let (ended, _) = run_sink(tables, &mut source, &Stop::default());
    ended.expect("the source was closed");
    check_all_once(folder.path(), 3);
    let found = rows(folder.path(), "events");
    let have = found.iter().filter(|row| row.get("data_n") == Some(&Field::Long(1)));
    assert_eq!(have.count(), 2, "{found:?}");
    assert!(declared.check(&[column("data.n", ColumnType::String)]).is_err());
}

#[test]
fn a_failed_source_is_tried_again_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let tables = open(folder.path(), ParquetConfig::default());
    let mut source = Memory::new(5).with(3, || Err(SourceError::Failed("flaky".into())));
    let (ended, told) = run_sink(tables, &mut source, &Stop::default());
    ended.expect("the source was closed");
    assert_eq!(epochs(&told), [9]);
    check_all_once(folder.path(), 5);
    let tables = open(folder.path(), ParquetConfig::default());
    let mut source = Memory::new(6).with(5, || Err(SourceError::Broken("gone".into())));
    let (ended, _) = run_sink(tables, &mut source, &Stop::default());
    assert!(matches!(ended, Err(SinkError::Source(SourceError::Broken(_)))), "{ended:?}");
}

/// While the disk refuses, nothing is read and nothing is held; then it goes on where it was.
#[test]
fn it_may_be_down_without_loss_or_growth() {
    let folder = tempfile::tempdir().expect("a folder");
    let temporary = folder.path().join("_tmp");
    let break_disk = || {
        fs::remove_dir_all(&temporary).expect("removed");
        fs::write(&temporary, b"no folder").expect("written");
        Ok(())
    };
    let tables = open(folder.path(), config());
    let stats = tables.stats();
    let mut source = Memory::new(6).with(2, break_disk);
    let stop = Stop::default();
    let (durable, open_bytes, (ended, told)) = std::thread::scope(|scope| {
        let sink = scope.spawn(|| run_sink(tables, &mut source, &stop));
        wait_for_errors(&stats, 2);
        let durable = stats.epoch_durable.load(Relaxed);
        let open_bytes = stats.open_bytes.load(Relaxed);
        fs::remove_file(&temporary).expect("removed");
        (durable, open_bytes, sink.join().expect("the sink returns its errors"))
    });
    assert_eq!(durable, 3);
    assert!(open_bytes < 64 << 10, "it holds more than an epoch: {open_bytes}");
    ended.expect("the source was closed");
    assert_eq!(epochs(&told), [1, 3, 5, 7, 9, 11]);
    check_all_once(folder.path(), 6);
}

fn wait_for_errors(stats: &ParquetStats, count: u64) {
    while stats.errors.load(Relaxed) < count {
        std::thread::yield_now();
    }
}

#[test]
fn a_round_ends_by_the_clock_while_no_epoch_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let tables = open(folder.path(), ParquetConfig::default());
    let clock = ManualClock::new(ServerTimeMs(NOON));
    let stop = Stop::default();
    let mut source = Memory::new(2).with(2, || {
        clock.advance(5 * 60 * 1000);
        Ok(())
    });
    source.is_closed = false;
    let mut told = Vec::new();
    let mut durable = |position: Position| {
        told.push(position);
        stop.ask();
        Ok(())
    };
    let wait = &mut |wait| stop.wait(wait);
    let mut context = SinkContext { stop: &stop, clock: &clock, wait, durable: &mut durable };
    run(tables, &mut source, &mut context).expect("the end was asked for");
    assert_eq!(epochs(&told), [3]);
    check_all_once(folder.path(), 2);
}

/// After an hour without a disk, rounds are as long as they would have been.
#[test]
fn behind_the_clock_rounds_end_by_the_marks() {
    let folder = tempfile::tempdir().expect("a folder");
    let tables = open(folder.path(), ParquetConfig::default());
    let mut source = Memory::new(7);
    for (output, minute) in source.epochs.iter_mut().zip((0..).step_by(2)) {
        output.mark.now = ServerTimeMs(NOON + minute * 60 * 1000);
    }
    let clock = ManualClock::new(ServerTimeMs(NOON + 60 * 60 * 1000));
    let stop = Stop::default();
    let mut told = Vec::new();
    let mut durable = |position| {
        told.push(position);
        Ok(())
    };
    let wait = &mut |wait| stop.wait(wait);
    let mut context = SinkContext { stop: &stop, clock: &clock, wait, durable: &mut durable };
    run(tables, &mut source, &mut context).expect("the source was closed");
    assert_eq!(epochs(&told), [5, 11, 13]);
    check_all_once(folder.path(), 7);
}

#[test]
fn asked_to_end_it_ends_its_round() {
    let folder = tempfile::tempdir().expect("a folder");
    let tables = open(folder.path(), ParquetConfig::default());
    let stop = Stop::default();
    let mut source = Memory::new(9).with(3, || {
        stop.ask();
        Ok(())
    });
    let (ended, told) = run_sink(tables, &mut source, &stop);
    ended.expect("the end was asked for");
    assert_eq!(epochs(&told), [7], "the epoch at hand is taken, and no more");
    check_all_once(folder.path(), 4);
}

/// A cursor that could not be moved is moved later, and no row is written again.
#[test]
fn a_cursor_that_fails_is_moved_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let tables = open(folder.path(), config());
    let clock = ManualClock::new(ServerTimeMs(NOON));
    let mut told = Vec::new();
    let mut durable = |position: Position| {
        told.push(position);
        if told.len() == 2 { Err(SourceError::Failed("disk".into())) } else { Ok(()) }
    };
    let stop = Stop::default();
    let wait = &mut |wait| stop.wait(wait);
    let mut context = SinkContext { stop: &stop, clock: &clock, wait, durable: &mut durable };
    run(tables, &mut Memory::new(3), &mut context).expect("the source was closed");
    assert_eq!(epochs(&told), [1, 3, 3, 5]);
    check_all_once(folder.path(), 3);
}

/// The cursor may only follow the manifest: behind it the outbox forgets.
#[test]
fn the_cursor_moves_behind_a_round_that_is_in_place() {
    let disk = SimDisk::default();
    // Two epochs a round: between them more is written than is durable.
    let two = ParquetConfig { file_rows_max: 2, ..ParquetConfig::default() };
    let tables = ParquetTables::open_on(Arc::new(disk.clone()), Path::new(DIR), two);
    let clock = ManualClock::new(ServerTimeMs(NOON));
    let mut told = Vec::new();
    let mut durable = |position: Position| {
        let expected: Vec<i64> = (1..=i64::try_from(position.epoch.0).expect("few") + 1).collect();
        for seed in 0..8 {
            let left = dump(&disk.crash(seed));
            assert_eq!(sequences(left.path(), "events"), expected, "in place, whatever comes");
        }
        told.push(position);
        Ok(())
    };
    let stop = Stop::default();
    let wait = &mut |wait| stop.wait(wait);
    let mut context = SinkContext { stop: &stop, clock: &clock, wait, durable: &mut durable };
    let ended = run(tables.expect("new tables"), &mut Memory::new(5), &mut context);
    ended.expect("the source was closed");
    assert_eq!(epochs(&told), [3, 7, 9]);
}

/// The outbox of the engine as the source, over a restart of the sink and of the outbox.
#[test]
fn the_outbox_is_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let outputs: Vec<EpochOutput> = (1..=6).map(|number| epoch(number, NOON, &["a"])).collect();
    let reports = folder.path().join("reports");
    for count in [4, 6] {
        let cursors = Cursors::open(Arc::clone(&disk), folder.path().join("cursors"));
        let mut cursor = cursors.expect("a folder").cursor("parquet").expect("a name");
        let opened = OpenOutbox {
            disk: Arc::clone(&disk),
            dir: folder.path().join("outbox"),
            config: OutboxConfig::default(),
            slowest: Some(cursor.position().map_or(Epoch(0), |position| position.epoch)),
            log_last: Epoch(u64::MAX),
        };
        let (mut writer, _) = OutboxWriter::open(opened).expect("the outbox opens");
        let outbox = writer.outbox();
        for output in outputs.iter().take(count) {
            writer.append(output).expect("it has room");
        }
        drop(writer);
        let tables = open(&reports, config());
        let clock = ManualClock::new(ServerTimeMs(NOON));
        let mut durable =
            |position| cursor.advance(position).map_err(|error| SourceError::Failed(error.into()));
        let stop = Stop::default();
        let wait = &mut |wait| stop.wait(wait);
        let mut context = SinkContext { stop: &stop, clock: &clock, wait, durable: &mut durable };
        run(tables, &mut OutboxSource::new(outbox), &mut context).expect("the outbox was closed");
        let at = cursor.position().map(|position| position.epoch);
        assert_eq!(at, outputs.get(count - 1).map(|output| output.mark.epoch));
    }
    assert_eq!(sequences(&reports, "events"), [1, 2, 3, 4, 5, 6]);
}
