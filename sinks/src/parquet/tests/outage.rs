//! An hour without a disk for reports, by the log's clock, while visitors go on and marks tick.
//!
//! The sink waits by that clock, too, so that the hour is a real one for all but the test.

use super::crash::{DIR, dump};
use super::read::{long, rows, sequences};
use super::{NOON, epoch_of, event, row};
use crate::parquet::{
    OutboxSource, ParquetConfig, ParquetTables, SinkContext, SourceError, Stop, run,
};
use beckon_engine::clock::{Clock, ManualClock};
use beckon_engine::disk::SimDisk;
use beckon_engine::model::{Epoch, EpochMark, EpochOutput, LogSeq, ServerTimeMs};
use beckon_engine::outbox::{OpenOutbox, OutboxConfig, OutboxStats, OutboxWriter, Position};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Two rounds and more, of which the second finds no disk.
const BEFORE_MS: i64 = 700_000;
const HOUR_MS: i64 = 3_600_000;

/// An epoch each second; every third one has no event.
struct Engine {
    writer: Option<OutboxWriter>,
    epoch: u64,
    seq: u64,
}

impl Engine {
    fn output(&mut self) -> EpochOutput {
        let names: &[&str] = if self.epoch.is_multiple_of(3) { &[] } else { &["a", "b"] };
        let first_seq = LogSeq(self.seq + 1);
        let events = names.iter().map(|name| {
            self.seq += 1;
            row(self.seq, &event(name, self.seq))
        });
        let events = events.collect();
        self.epoch += 1;
        let output = epoch_of(self.epoch, NOON + self.now_ms(), events);
        let mark = EpochMark { first_seq, last_seq: LogSeq(self.seq), ..output.mark };
        EpochOutput { mark, ..output }
    }

    /// Milliseconds from the beginning to the last mark.
    fn now_ms(&self) -> i64 {
        i64::try_from(self.epoch).expect("few") * 1000
    }

    fn run_to(&mut self, now: ServerTimeMs) {
        while NOON + self.now_ms() < now.0 {
            let output = self.output();
            self.writer.as_mut().expect("it runs").append(&output).expect("it has room");
        }
    }
}

#[test]
fn an_hour_without_a_disk_loses_nothing_and_holds_no_more_than_a_round() {
    let (kept, disk) = (SimDisk::default(), SimDisk::default());
    let (writer, _) = OutboxWriter::open(OpenOutbox {
        disk: Arc::new(kept),
        dir: "outbox".into(),
        config: OutboxConfig { file_bytes: 64 << 10, ..OutboxConfig::default() },
        slowest: Some(Epoch(0)),
        log_last: Epoch(0),
    })
    .expect("a new outbox");
    let outbox = writer.outbox();
    let mut engine = Engine { writer: Some(writer), epoch: 0, seq: 0 };
    let clock = ManualClock::new(ServerTimeMs(NOON + BEFORE_MS));
    engine.run_to(clock.now());
    let config = ParquetConfig::default();
    let tables = ParquetTables::open_on(Arc::new(disk.clone()), Path::new(DIR), config);
    let tables = tables.expect("new tables");
    let stats = tables.stats();

    let mut told = Vec::new();
    let mut durable = |position: Position| {
        if told.is_empty() {
            disk.fail_from_change(disk.changes() + 1);
        }
        told.push(position.epoch.0);
        outbox.release(position.epoch).map_err(|error| SourceError::Failed(error.into()))
    };
    let mut waits = Vec::new();
    let mut open_bytes = Vec::new();
    let mut held = OutboxStats::default();
    let mut wait = |wait: Duration| {
        waits.push(wait);
        open_bytes.push(stats.open_bytes.load(Relaxed));
        clock.advance(u32::try_from(wait.as_millis()).expect("short"));
        engine.run_to(clock.now());
        if clock.now().0 >= NOON + BEFORE_MS + HOUR_MS {
            assert_eq!(stats.epoch_durable.load(Relaxed), 300, "nothing since the first round");
            held = outbox.stats();
            disk.fail_from_change(u64::MAX);
            engine.writer = None;
        }
    };
    let stop = Stop::default();
    let mut context =
        SinkContext { stop: &stop, clock: &clock, wait: &mut wait, durable: &mut durable };
    run(tables, &mut OutboxSource::new(outbox.clone()), &mut context).expect("closed");

    // It tries again twice a minute at the most, whatever comes meanwhile.
    let doubled = (0..).map(|times| Duration::from_millis(100 << times.min(9)));
    let expected = doubled.map(|wait| wait.min(Duration::from_secs(30)));
    assert_eq!(waits, expected.take(waits.len()).collect::<Vec<_>>());
    assert!(waits.len() < 130, "{} tries", waits.len());
    assert_eq!(stats.errors.load(Relaxed), waits.len() as u64);
    // What it holds is the round that it could not finish, all the hour.
    assert!(open_bytes.iter().all(|bytes| *bytes <= open_bytes[0]), "{open_bytes:?}");
    assert!(open_bytes[0] > 0 && open_bytes[0] < 1 << 20, "{open_bytes:?}");

    // What waits lies on disk, and goes when it is in the tables.
    assert_eq!((held.last.0, outbox.stats().files), (engine.epoch, 1), "{held:?}");
    assert!(held.first.0 <= 301 && held.files > 5, "{held:?}");

    let rounds: Vec<_> = (300..engine.epoch).step_by(300).chain([engine.epoch]).collect();
    assert_eq!(told, rounds, "as long as they would have been");
    let left = dump(&disk);
    let all: Vec<_> = (1..=i64::try_from(engine.seq).expect("few")).collect();
    assert!(all.len() > 2_000, "{} events", all.len());
    assert_eq!(sequences(left.path(), "events"), all);
    let epochs = rows(left.path(), "epochs");
    let epochs: Vec<_> = epochs.iter().filter_map(|row| long(row, "epoch")).collect();
    assert_eq!(epochs, (1..=i64::try_from(engine.epoch).expect("few")).collect::<Vec<_>>());
}
