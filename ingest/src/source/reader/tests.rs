//! Lines, files and inputs as they come, bad ones among them.

use super::*;
use beckon_engine::model::Id;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use tempfile::TempDir;

const LOG: &str = "1.2.3.4 - - [17/May/2015:10:05:03 +0000] \"GET /a HTTP/1.1\" 200 1 \"-\" \"x\"";
const MAPPING: &str =
    "event_name = 'event'\nwindow_key = 'user'\n[time]\nfield = 'at'\nformat = 'ms'\n";

fn write(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, content).expect("a temporary file");
    path
}

fn config(paths: &[PathBuf], mapping: Option<&str>) -> SourceConfig {
    SourceConfig {
        mapping: mapping.map(|text| Arc::new(Mapping::parse(text).expect("a mapping"))),
        ..SourceConfig::new(paths.iter().map(|path| Input::from_argument(path)).collect())
    }
}

fn read(config: SourceConfig) -> (Vec<(Place, Event)>, SourceReport) {
    let mut reader = SourceReader::new(config).expect("inputs");
    let mut events = Vec::new();
    while let Some(event) = reader.next_event().expect("an input") {
        events.push(event);
    }
    assert_eq!(reader.read_bytes(), reader.total_bytes().expect("files"));
    (events, reader.report)
}

#[test]
fn bad_lines_cost_themselves() {
    let folder = TempDir::new().expect("a folder");
    let path = write(&folder, "a.log", format!("{LOG}\nrubbish\n\n{LOG}\n"));
    let (events, report) = read(config(&[path], None));
    let places: Vec<_> = events.iter().map(|(place, _)| (place.input, place.line)).collect();
    assert_eq!(places, [(1, 1), (1, 4)]);
    assert_eq!((report.events, report.bad_lines), (2, 1));
    assert_eq!(report.bad_lines_shown[0].line, 2);
}

#[test]
fn equal_lines_have_ids_of_their_own_and_one_file_has_the_same_ids_again() {
    let folder = TempDir::new().expect("a folder");
    let plain = write(&folder, "a.log", format!("{LOG}\n{LOG}\n"));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    write!(gzip, "{LOG}\n{LOG}\n").expect("memory");
    let packed = write(&folder, "a.log.gz", gzip.finish().expect("memory"));
    let ids = |path| -> Vec<Id> {
        read(config(&[path], None)).0.into_iter().map(|(_, event)| event.id.0).collect()
    };
    let first = ids(plain);
    assert_ne!(first[0], first[1]);
    assert_eq!(first, ids(packed));
    // Another name, and the same name in another folder with other bytes, are other files.
    let name = write(&folder, "b.log", format!("{LOG}\n{LOG}\n"));
    let other = TempDir::new().expect("a folder");
    let bytes = write(&other, "a.log", format!("{LOG}\n{LOG}\n").replace("/a ", "/b "));
    let all: BTreeSet<_> =
        [first, ids(name), ids(bytes)].into_iter().flatten().map(|id| id.to_string()).collect();
    assert_eq!(all.len(), 6);
}

#[test]
fn a_cut_file_costs_its_rest() {
    let folder = TempDir::new().expect("a folder");
    let text: String = (0..20_000).map(|number| format!("{LOG} {number}\n")).collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).expect("memory");
    let whole = gzip.finish().expect("memory");
    let cut = write(&folder, "cut.gz", &whole[..whole.len() / 2]);
    let after = write(&folder, "after.log", LOG);
    let (events, report) = read(config(&[cut, after], None));
    assert!(events.len() > 1_000 && events.last().is_some_and(|(place, _)| place.input == 2));
    assert_eq!(report.bad_lines, 1);
    assert!(report.bad_lines_shown[0].reason.contains("from here on"));
}

#[test]
fn csv_and_ndjson_through_a_mapping() {
    let folder = TempDir::new().expect("a folder");
    let csv = write(&folder, "a.csv", "at;event;user\n1;view;u\n2;view\n3;\"a\nb\";u\n4;x;v\n");
    let (events, report) = read(config(&[csv], Some(MAPPING)));
    let times: Vec<_> = events.iter().map(|(_, event)| event.timestamp.0).collect();
    assert_eq!((times, report.bad_lines), (vec![1, 4], 2));
    let json = write(&folder, "a.json", "{\"at\":1,\"event\":\"v\",\"user\":7}\n[]\n{\n");
    let (events, report) = read(config(&[json], Some(MAPPING)));
    assert_eq!(events[0].1.visit.0, Id::Text("7".into()));
    assert_eq!((events.len(), report.bad_lines), (1, 2));
}

#[test]
fn what_cannot_be_read_at_all_is_an_error() {
    let folder = TempDir::new().expect("a folder");
    let check = |config: SourceConfig, part: &str| {
        let error = SourceReader::new(config).and_then(|mut reader| reader.next_event());
        let message = error.expect_err(part).to_string();
        assert!(message.contains(part), "{message}");
    };
    check(config(&[folder.path().join("none")], None), "none: ");
    check(config(&[folder.path().to_path_buf()], None), "a folder");
    let text = write(&folder, "text", "hello\n");
    check(config(&[text], None), "not an access log");
    let csv = write(&folder, "a.csv", "at,evnt,user\n");
    check(config(std::slice::from_ref(&csv), None), "needs a source mapping");
    check(config(&[csv], Some(MAPPING)), "no column `event`: did you mean `evnt`?");
    let log = write(&folder, "a.log", LOG);
    check(config(&[log], Some(MAPPING)), "takes no source mapping");
}

#[test]
fn an_empty_file_is_a_source_without_events() {
    let folder = TempDir::new().expect("a folder");
    let empty = write(&folder, "a.log", "\n");
    assert_eq!(read(config(&[empty], None)).0.len(), 0);
}
