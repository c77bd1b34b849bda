//! Tests of the tables as a whole; files are read back by the Parquet crate's row reader, which
//! shares nothing with the Arrow path they were written by.

mod again;
mod columns;
mod compat;
mod crash;
mod limits;
mod outage;
mod read;
mod recovery;
mod round_trip;
mod rows;
mod sink;

use super::{ParquetConfig, ParquetTables};
use beckon_engine::model::{
    Epoch, EpochMark, EpochOutput, Event, EventId, EventRow, EventTimeMs, Fate, Flags, Id,
    Identity, Instance, LogSeq, PackedEvent, ServerTimeMs, Value, VisitId,
};
use std::path::{Path, PathBuf};

/// 25 November 2026, noon.
const NOON: i64 = 1_795_608_000_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn event(name: &str, seq: u64) -> Event {
    Event {
        flags: Flags::default(),
        site: "shop".into(),
        name: name.into(),
        id: EventId(Id::Bits(u128::from(seq) << 64)),
        visit: VisitId(Id::Bits(7)),
        visitor: None,
        page: None,
        timestamp: EventTimeMs(NOON),
        server_timestamp: ServerTimeMs(NOON),
        client_timestamp: None,
        tie: None,
        fields: vec![("data".into(), Value::Map(vec![("n".into(), Value::Int(1))]))],
    }
}

fn row(seq: u64, event: &Event) -> EventRow {
    EventRow {
        seq: LogSeq(seq),
        event: PackedEvent::pack(event),
        instance: Some(Instance(LogSeq(1))),
        fate: Fate::Matched,
        identity: Identity::default(),
    }
}

/// Epoch `number` with these rows; its sequence numbers are those of the rows.
fn epoch_of(number: u64, now_ms: i64, events: Vec<EventRow>) -> EpochOutput {
    let last_seq = events.last().map_or(LogSeq(number), |row| row.seq);
    let mark = EpochMark {
        epoch: Epoch(number),
        first_seq: events.first().map_or(LogSeq(number + 1), |row| row.seq),
        last_seq,
        now: ServerTimeMs(now_ms),
        watermark: EventTimeMs(now_ms - 2000),
    };
    EpochOutput { mark, events, visits: Vec::new(), actions: Vec::new(), notices: Vec::new() }
}

/// Epoch `number` with one event a name; the epoch's number is the sequence number of the first.
fn epoch(number: u64, now_ms: i64, names: &[&str]) -> EpochOutput {
    let rows = names.iter().zip(number..).map(|(name, seq)| row(seq, &event(name, seq)));
    epoch_of(number, now_ms, rows.collect())
}

fn open(directory: &Path, config: ParquetConfig) -> ParquetTables {
    ParquetTables::open(directory, config).expect("the tables open")
}

/// Writes epochs through to durable files.
fn write_all(directory: &Path, config: ParquetConfig, epochs: &[EpochOutput]) {
    let mut tables = open(directory, config);
    for epoch in epochs {
        tables.write(epoch).expect("an epoch is written");
    }
    tables.finish().expect("the tables are finished");
}

/// All files below `directory`, relative, sorted; the manifest's left out.
fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    collect(directory, &mut found);
    let relative =
        |path: PathBuf| path.strip_prefix(directory).expect("below").to_string_lossy().into_owned();
    let mut files: Vec<String> = found.into_iter().map(relative).collect();
    files.retain(|file| !file.starts_with("_manifest"));
    files.sort();
    files
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { collect(&path, found) } else { found.push(path) }
    }
}
