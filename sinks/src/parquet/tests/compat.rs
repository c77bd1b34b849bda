//! What every released version left in `_manifest` is read, and today's code writes the same.
//!
//! `BECKON_WRITE_FIXTURES=1` writes the fixtures of the present version; a released one stays as it
//! is. The bytes and checksums of Parquet files are the Parquet crate's, so the entries are made up.

use super::open;
use crate::parquet::catalog;
use crate::parquet::folder::Folder;
use crate::parquet::manifest::{FileEntry, Manifest, RoundEntry};
use crate::parquet::{
    ColumnType, Declared, ParquetConfig, ParquetError, ParquetTables, TypedColumn,
};
use beckon_engine::disk::RealDisk;
use beckon_engine::model::{Epoch, LogSeq};
use beckon_engine::outbox::Position;
use std::fs;
use std::path::Path;
use std::sync::Arc;

const ROUNDS: &str = "_manifest/rounds-2026-11-25.txt";
const COLUMNS: &str = "_manifest/columns.json";
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

fn round(number: u64) -> RoundEntry {
    let file = FileEntry {
        path: format!("epochs/load_date=2026-11-25/r{number:010}-0000.parquet"),
        rows: 7,
        bytes: 1_000,
        crc32c: 0xDEAD_BEEF,
        sequence_first: number * 10,
        sequence_last: number * 10 + 9,
    };
    RoundEntry {
        version: RoundEntry::version(),
        round: number,
        date: "2026-11-25".into(),
        epoch_first: number * 10,
        epoch_last: number * 10 + 9,
        sequence_first: number * 10,
        sequence_last: number * 10 + 9,
        files: vec![file],
    }
}

fn config() -> ParquetConfig {
    let price = TypedColumn { path: "data.price".into(), kind: ColumnType::Number };
    ParquetConfig { typed_columns: vec![price], ..ParquetConfig::default() }
}

#[track_caller]
fn check_fixture(name: &str, written: &Path) {
    let fixture = Path::new(FIXTURES).join(name);
    let written = fs::read_to_string(written).expect("written");
    if std::env::var_os("BECKON_WRITE_FIXTURES").is_some() {
        fs::write(&fixture, &written).expect("written");
    }
    assert_eq!(written, fs::read_to_string(&fixture).expect("the fixture"));
}

#[test]
fn version_1_is_written_and_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let on_disk = |path: &Path| Folder::new(Arc::new(RealDisk), path);
    let (mut manifest, _) = Manifest::open(on_disk(folder.path())).expect("opened");
    for number in [1, 2] {
        manifest.commit(round(number)).expect("committed");
    }
    catalog::settle(&on_disk(folder.path()), &Declared::new(&config())).expect("settled");
    check_fixture("parquet-rounds-v1.txt", &folder.path().join(ROUNDS));
    check_fixture("parquet-columns-v1.json", &folder.path().join(COLUMNS));

    let old = tempfile::tempdir().expect("a folder");
    fs::create_dir(old.path().join("_manifest")).expect("made");
    let copy = |name: &str, to: &str| {
        fs::copy(Path::new(FIXTURES).join(name), old.path().join(to)).expect("copied")
    };
    copy("parquet-rounds-v1.txt", ROUNDS);
    copy("parquet-columns-v1.json", COLUMNS);
    let tables = open(old.path(), ParquetConfig::default());
    assert_eq!(tables.durable(), Some(Position { epoch: Epoch(29), seq: LogSeq(29) }));
    let kept = catalog::settle(&on_disk(old.path()), &Declared::new(&ParquetConfig::default()));
    let kept = kept.expect("settled");
    assert_eq!(kept.declared, config().typed_columns);
}

#[test]
fn an_unknown_version_is_refused() {
    let json = r#"{"version":2,"what":"ever"}"#;
    let line = format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes()));
    for (name, text) in [(ROUNDS, line.as_str()), (COLUMNS, json)] {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("_manifest")).expect("made");
        fs::write(folder.path().join(name), text).expect("written");
        let opened = ParquetTables::open(folder.path(), ParquetConfig::default());
        let Err(error @ ParquetError::Damaged { .. }) = opened else { panic!("{opened:?}") };
        let said = error.to_string();
        assert!(said.contains("version 2 is unknown") && said.contains(name), "{said}");
        assert_eq!(fs::read_to_string(folder.path().join(name)).expect("there"), text);
    }
}
