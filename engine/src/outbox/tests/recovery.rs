//! Log, pipeline and outbox together, through crashes: every acknowledged event comes out once, and
//! what was said of an epoch is said the same way again.

use super::*;
use crate::clock::ManualClock;
use crate::log::conformance::{append, record};
use crate::log::{EmbeddedLog, Log, LogConfig, OpenLog};
use crate::model::{LogSeq, LoggedEvent};
use crate::pipeline::{Pipeline, PipelineConfig, PipelineParts};
use crate::stage::{Effect, RuleChange, Stage, StageStats};
use crate::testing::replayable;
use std::collections::BTreeMap;

/// Records every event.
struct Recorder;

impl Stage for Recorder {
    fn event(&mut self, event: &LoggedEvent, out: &mut Vec<Effect>) {
        out.push(Effect::Event(EventRow {
            seq: event.seq,
            event: event.event.clone(),
            instance: None,
            fate: Fate::Matched,
            identity: Identity::default(),
        }));
    }

    fn end_epoch(&mut self, _: &EpochMark, _: &mut Vec<Effect>) {}

    fn deploy(&mut self, _: &RuleChange) {}

    fn stats(&self) -> StageStats {
        StageStats::default()
    }
}

/// One life of the server: everything is opened, some events come, a sink takes some of the
/// outbox. `stop_at` is the change of the disk at which it ends.
fn live(disk: &SimDisk, sink: &mut Taken, sent: &mut BTreeMap<u64, LogSeq>) -> Option<()> {
    let cursors = cursors(disk);
    let mut cursor = cursors.cursor("sink").ok()?;
    let slowest = cursor.position().unwrap_or_default();
    sink.check_cursor(slowest);
    let open = OpenLog {
        disk: Arc::new(disk.clone()),
        dir: "log".into(),
        clock: Arc::new(ManualClock::new(ServerTimeMs(1_000))),
        config: LogConfig {
            segment_bytes: 3_000,
            disk_free_bytes_min: 0,
            dedup_ids_max: 10_000,
            ..LogConfig::default()
        },
        named: cursors.named().ok()?,
        base: None,
        on_fatal: Arc::new(|_| {}),
    };
    let log: Arc<dyn Log> = Arc::new(EmbeddedLog::open(open).ok()?);
    let log_last = log.durable().map_or(Epoch(0), |mark| mark.epoch);
    let open = OpenOutbox { slowest: Some(slowest.epoch), log_last, ..setup(disk) };
    let (writer, _) = OutboxWriter::open(open).ok()?;
    let outbox = writer.outbox();
    let parts = PipelineParts {
        log: Arc::clone(&log),
        sink: Box::new(writer),
        make_stage: Arc::new(|_| Box::new(Recorder)),
        catalog: None,
        snapshots: None,
        restored: None,
    };
    let pipeline = Pipeline::start(parts, PipelineConfig::default()).ok()?;
    sink.lives += 1;
    for number in 0..6 {
        let number = 100 * sink.lives + number;
        let answer = append(&*log, vec![record(number, 300)]).ok()?;
        let [crate::log::Appended::Stored(seq)] = answer[..] else { panic!("{answer:?}") };
        sent.insert(number, seq);
    }
    log.close();
    drop(pipeline.stop());
    let mut reader = outbox.reader(slowest.epoch).ok()?;
    for taken in 0.. {
        let Ok(Some(output)) = reader.next(Duration::ZERO) else { break };
        let position = Position { epoch: output.mark.epoch, seq: output.mark.last_seq };
        sink.take(&output);
        // The sink is behind by some when the life ends.
        if taken % 3 == 0 {
            cursor.advance(position).ok()?;
            outbox.release(position.epoch).ok()?;
        }
    }
    Some(())
}

/// What a sink has taken, by epoch.
#[derive(Default)]
struct Taken {
    outputs: BTreeMap<Epoch, EpochOutput>,
    lives: u64,
}

impl Taken {
    fn take(&mut self, output: &EpochOutput) {
        let before = self.outputs.insert(output.mark.epoch, output.clone());
        assert!(before.is_none_or(|before| before == *output), "epoch {}", output.mark.epoch);
    }

    /// Nothing behind the cursor was passed over.
    fn check_cursor(&self, cursor: Position) {
        let held = self.outputs.keys().take_while(|epoch| **epoch <= cursor.epoch).count();
        assert_eq!(held as u64, cursor.epoch.0);
    }
}

/// `BECKON_TEST_SEED` replays one seed.
#[test]
fn every_acknowledged_event_comes_out_once_through_crashes() {
    replayable(40, |seed| {
        let mut disk = SimDisk::default();
        let (mut sink, mut sent) = (Taken::default(), BTreeMap::new());
        for life in 0..4 {
            // Spread over a life, which has some 60 changes.
            let stop_at = (seed * 7 + life * 23) % 70;
            disk.fail_from_change(disk.changes() + 1 + stop_at);
            // A life that ends early is what is tried.
            let _ended = live(&disk, &mut sink, &mut sent);
            disk = disk.crash(seed * 100 + life);
        }
        live(&disk, &mut sink, &mut sent).expect("nothing fails in the last life");
        let rows = sink.outputs.values().flat_map(|output| &output.events);
        let rows = rows.map(|row| (row.seq, row.event.clone())).collect::<BTreeMap<_, _>>();
        for (number, seq) in &sent {
            assert_eq!(rows.get(seq), Some(&packed(*number, 300)), "event {number}");
        }
    });
}
