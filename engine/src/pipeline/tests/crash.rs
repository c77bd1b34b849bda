//! The whole way from the log to the outbox over a disk that loses power: what the outbox says in
//! the end is what a plain loop over the log says, each epoch once, whatever crashed and however many
//! workers ran before. `BECKON_TEST_SEED=N` runs one history alone.

use super::DELAY_MS;
use crate::clock::{Clock, ManualClock};
use crate::dataflow::DataflowConfig;
use crate::dataflow::tests::fake::{FakeStage, Random, event, expected};
use crate::disk::{Disk, SimDisk};
use crate::log::RecordBody;
use crate::log::notice::tests::delivery;
use crate::log::{Appended, EmbeddedLog, Log, LogConfig, LogError, Named, NewRecord, OpenLog};
use crate::model::{Epoch, EpochOutput, LogSeq, Notice, Outcome, ServerTimeMs};
use crate::outbox::{OpenOutbox, Outbox, OutboxConfig, OutboxError, OutboxWriter};
use crate::pipeline::feeder::{Marks, Taken};
use crate::pipeline::{Pipeline, PipelineConfig, PipelineParts};
use crate::testing::seeds;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

/// One life of the process.
struct Life {
    log: Arc<EmbeddedLog>,
    outbox: Outbox,
    pipeline: Pipeline,
}

fn start(disk: &SimDisk, clock: &Arc<ManualClock>, workers: usize) -> Life {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let config = LogConfig { segment_bytes: 4_000, disk_free_bytes_min: 0, ..LogConfig::default() };
    let log = EmbeddedLog::open(OpenLog {
        disk: Arc::clone(&disk),
        dir: "log".into(),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        config,
        named: Named::default(),
        base: None,
        on_fatal: Arc::new(|reason| panic!("the log failed: {reason}")),
    });
    let log = Arc::new(log.expect("the log is recovered"));
    let (writer, _) = OutboxWriter::open(OpenOutbox {
        disk,
        dir: "outbox".into(),
        config: OutboxConfig { file_bytes: 3_000, ..OutboxConfig::default() },
        slowest: Some(Epoch(0)),
        log_last: log.durable().map_or(Epoch(0), |mark| mark.epoch),
    })
    .expect("the outbox is recovered");
    let outbox = writer.outbox();
    let parts = PipelineParts {
        log: Arc::clone(&log) as Arc<dyn Log>,
        sink: Box::new(writer),
        make_stage: Arc::new(|_| Box::new(FakeStage::default())),
        catalog: None,
        snapshots: None,
        restored: None,
    };
    let config = PipelineConfig {
        dataflow: DataflowConfig { workers, ..DataflowConfig::default() },
        watermark_delay_ms: DELAY_MS,
        // Time passes only where a history says so.
        tick_interval: LONG,
        ..PipelineConfig::default()
    };
    let pipeline = Pipeline::start(parts, config).expect("the pipeline starts");
    Life { log, outbox, pipeline }
}

/// Appends events and what became of messages, and waits until they are on disk; their places.
fn append(log: &EmbeddedLog, random: &mut Random, sent: &mut u64) -> Vec<LogSeq> {
    let records = (0..1 + random.below(5)).map(|_| {
        *sent += 1;
        if random.below(4) == 0 {
            return Notice::Delivery(delivery(u128::from(*sent), Outcome::Delivered)).into();
        }
        let visit = format!("visit {}", random.below(6));
        NewRecord {
            site: "shop".into(),
            visitor_hash: 0,
            dedup: None,
            body: RecordBody::Event(event(*sent, &visit, "E").event),
        }
    });
    let (said, answer) = sync_channel(1);
    let done = Box::new(move |answer| said.send(answer).expect("the test waits"));
    log.append(records.collect(), done).expect("there is room");
    let answers = answer.recv().expect("an answer").expect("on disk");
    let place = |appended| match appended {
        Appended::Stored(seq) => seq,
        Appended::Duplicate => panic!("no key comes twice"),
    };
    answers.into_iter().map(place).collect()
}

fn epochs(log: &EmbeddedLog) -> Vec<Taken> {
    let mut reader = log.reader(None).expect("the log is readable");
    let mut marks = Marks::new(DELAY_MS);
    let mut epochs = Vec::new();
    loop {
        match reader.next(Duration::ZERO) {
            Ok(Some(group)) => epochs.push(marks.epoch(group)),
            Ok(None) | Err(LogError::Closed) => return epochs,
            Err(error) => panic!("{error}"),
        }
    }
}

fn outputs(outbox: &Outbox) -> Vec<EpochOutput> {
    let mut reader = outbox.reader(Epoch(0)).expect("nothing was released");
    let mut outputs = Vec::new();
    loop {
        match reader.next(Duration::ZERO) {
            Ok(Some(output)) => outputs.push(output),
            Ok(None) | Err(OutboxError::Closed) => return outputs,
            Err(error) => panic!("{error}"),
        }
    }
}

fn history(seed: u64) {
    let mut random = Random(seed);
    let clock = Arc::new(ManualClock::new(ServerTimeMs(1_000)));
    let mut disk = SimDisk::default();
    let (mut sent, mut stored) = (0, Vec::new());
    for _ in 0..1 + random.below(4) {
        let life = start(&disk, &clock, 1 + random.below(3));
        for _ in 0..random.below(12) {
            clock.advance([0, 50, 700][random.below(3)]);
            if random.below(4) == 0 {
                life.log.tick();
            }
            stored.extend(append(&life.log, &mut random, &mut sent));
        }
        if random.below(2) == 0 {
            super::wait_until(|| life.pipeline.lag_records() == 0);
        }
        // What the old process still writes is not on the new one's disk.
        let power_fails = random.below(3) > 0;
        let after = if power_fails { disk.crash(seed) } else { disk.exit() };
        life.log.close();
        drop(life);
        disk = after;
    }
    let life = start(&disk, &clock, 1 + random.below(3));
    life.log.close();
    life.pipeline.stop().expect("nothing failed");
    let (epochs, outputs) = (epochs(&life.log), outputs(&life.outbox));
    let seqs = epochs.iter().flat_map(|taken| {
        let mut seqs: Vec<_> = taken.notices.iter().map(|row| row.seq).collect();
        seqs.extend(taken.input.events.iter().map(|event| event.seq));
        seqs.sort();
        seqs
    });
    assert_eq!(seqs.collect::<Vec<_>>(), stored, "BECKON_TEST_SEED={seed}: what is in the log");
    let (inputs, notices): (Vec<_>, Vec<_>) =
        epochs.into_iter().map(|taken| (taken.input, taken.notices)).unzip();
    let mut wanted = expected(&inputs);
    for (wanted, notices) in wanted.iter_mut().zip(notices) {
        wanted.notices = notices;
    }
    let numbers = |outputs: &[EpochOutput]| {
        outputs.iter().map(|output| output.mark.epoch).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&outputs), numbers(&wanted), "BECKON_TEST_SEED={seed}: each epoch once");
    assert!(outputs == wanted, "BECKON_TEST_SEED={seed}: the outbox says something else");
}

#[test]
fn after_any_crash_the_outbox_says_what_the_log_says() {
    seeds(60).into_iter().for_each(history);
}
