//! `beckon replay` as a person runs it: the binary, a log file, a folder of rules, the output.
//!
//! What must come out is counted by the test itself, on the way in which it made the log, or by
//! taking lines apart in a way of its own: never by the code that is tested.

mod beside;
#[path = "replay/configured.rs"]
mod configured;
#[path = "replay/dates.rs"]
mod dates;
#[path = "replay/equal_names.rs"]
mod equal_names;
#[path = "replay/over_visits.rs"]
mod over_visits;
#[path = "replay/sample.rs"]
mod sample;
#[path = "replay/shop.rs"]
mod shop;
#[path = "replay/source_mapping.rs"]
mod source_mapping;

use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:27.0) Gecko/20100101 Firefox/27.0";
const RULE: &str = r#"
name = "three-pages"
description = "three pages within ten minutes"
query = '''
sequence with maxspan=10m
  [ PageEntered where isBot == false ] with runs=3
'''
[action]
type = "invite"
channel = "chat"
"#;

fn beckon(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_beckon")).args(arguments).output().expect("the binary")
}

/// Runs `beckon replay --format json` and reads what it says.
fn replay(arguments: &[&str]) -> Value {
    let output = beckon(&[&["replay", "--format", "json"], arguments].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A failed run's message.
fn fails(arguments: &[&str]) -> String {
    let output = beckon(&[&["replay"], arguments].concat());
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn write(folder: &TempDir, path: &str, text: &str) -> String {
    write_bytes(folder, path, text.as_bytes())
}

fn write_bytes(folder: &TempDir, path: &str, bytes: &[u8]) -> String {
    let path = folder.path().join(path);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a temporary folder");
    std::fs::write(&path, bytes).expect("a temporary file");
    path.to_str().expect("UTF-8").to_owned()
}

fn rules(folder: &TempDir) -> String {
    write(folder, "rules/com.example.web/three-pages.toml", RULE);
    folder.path().join("rules").to_str().expect("UTF-8").to_owned()
}

/// A line at `second` of 17 May 2015.
fn line(second: u32, host: u8, path: &str) -> String {
    let (hours, minutes, seconds) = (second / 3_600, second / 60 % 60, second % 60);
    format!(
        "10.0.0.{host} - - [17/May/2015:{hours:02}:{minutes:02}:{seconds:02} +0000] \
         \"GET {path} HTTP/1.1\" 200 10 \"-\" \"{BROWSER}\"\n"
    )
}

/// What a generated log must give.
#[derive(Debug, Default, PartialEq, Eq)]
struct Expected {
    events: u64,
    visits: u64,
    fired: u64,
    visitors: u64,
}

/// Visitors in turn, each in several visits an hour apart, with 1 to 5 pages 100 seconds apart and
/// an asset each; lines shuffled by a fixed step.
fn generated() -> (String, Expected) {
    let mut lines = Vec::new();
    let mut expected = Expected::default();
    for host in 1..=40_u8 {
        let mut has_fired = false;
        for visit in 0..3_u32 {
            expected.visits += 1;
            let pages = (u32::from(host) + visit) % 5 + 1;
            for page in 0..pages {
                let second = visit * 3_600 + u32::from(host) + page * 100;
                lines.push(line(second, host, &format!("/page-{page}.html")));
                lines.push(line(second, host, "/style.css"));
                expected.events += 2;
            }
            if pages >= 3 {
                expected.fired += 1;
                has_fired = true;
            }
        }
        expected.visitors += u64::from(has_fired);
    }
    // 7919 is a prime beyond the number of lines: each line comes up once.
    let count = lines.len();
    let shuffled = (0..count).map(|index| lines[index * 7_919 % count].as_str()).collect();
    (shuffled, expected)
}

fn counted(result: &Value) -> Expected {
    let rule = &result["rules"][0];
    let number = |value: &Value| value.as_u64().expect("a number");
    Expected {
        events: number(&result["totals"]["events"]),
        visits: number(&result["totals"]["visits"]),
        fired: number(&rule["fired"]),
        visitors: number(&rule["visitors"]),
    }
}

#[test]
fn a_log_gives_what_was_put_into_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (text, expected) = generated();
    let (log, rules) = (write(&folder, "access.log", &text), rules(&folder));
    for workers in ["1", "2"] {
        let result = replay(&[&log, "--rules", &rules, "--workers", workers]);
        assert_eq!(counted(&result), expected, "{workers} workers");
        let example = &result["rules"][0]["example"];
        let urls: Vec<_> = example["events"]
            .as_array()
            .expect("events")
            .iter()
            .map(|event| &event["url"])
            .collect();
        assert_eq!(urls, ["/page-0.html", "/page-1.html", "/page-2.html"]);
    }
    // The same through sorted runs in temporary files.
    let result = replay(&[&log, "--rules", &rules, "--sort-memory-bytes-max", "20000"]);
    assert!(result["totals"]["sortRuns"].as_u64().expect("a number") > 2, "{result}");
    assert_eq!(counted(&result), expected);
}

#[test]
fn duplicates_and_bad_lines_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!("{}rubbish\n{}", line(1, 1, "/"), line(2, 1, "/a"));
    let log = write(&folder, "access.log", &text);
    let result = replay(&[&log, &log]);
    assert_eq!(result["totals"]["events"], 2);
    assert_eq!(result["totals"]["duplicates"], 2);
    assert_eq!(result["totals"]["badLines"], 2);
    assert_eq!(result["badLines"][0]["line"], 2);
    assert_eq!(result["totals"]["idsForgotten"], 0);
}

#[test]
fn ids_over_the_bound_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = write(&folder, "access.log", &(line(1, 1, "/") + &line(2, 1, "/a")));
    // One file after the other, so that the first id is gone when it comes again.
    let arguments = [log.as_str(), &log, "--unsorted", "--dedup-ids-max", "1"];
    let totals = &replay(&arguments)["totals"];
    let names = ["events", "duplicates", "idsForgotten"];
    assert_eq!(names.map(|name| totals[name].as_u64()), [4, 0, 3].map(Some));
    let table = beckon(&[&["replay"], arguments.as_slice()].concat()).stdout;
    let table = String::from_utf8(table).expect("UTF-8");
    let row = table.lines().find(|line| line.contains("ids forgotten")).expect("a row");
    assert!(row.contains(" 3 "), "{row}");
}

/// In the table, too, and only where there is something.
#[test]
fn what_is_left_out_of_events_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let query: String = (0..35).map(|n| format!("utm_{n}=1&")).collect();
    let told = line(2, 1, &format!("/?{query}")).replace("\"-\"", "\"what is this\"");
    let log = write(&folder, "access.log", &(line(1, 1, "/") + &told));
    let foreign = "{\"eventName\":\"A\",\"visitID\":\"44D25DDB78174DEC8F33E28F96428336\",\
                   \"timestamp\":1,\"verified\":true,\"colour\":1,\"referrer\":\"what\"}\n";
    let events = write(&folder, "events.ndjson", foreign);
    let totals = &replay(&[&log, &events])["totals"];
    let names = ["events", "badLines", "droppedFields", "droppedAddresses", "droppedParameters"];
    assert_eq!(names.map(|name| totals[name].as_u64()), [3, 0, 2, 2, 3].map(Some));
    let rows = |arguments: &[&str]| -> Vec<(String, String)> {
        let output = beckon(arguments).stdout;
        let cells = |line: &str| -> Option<(String, String)> {
            let mut cells =
                line.split(['\u{2502}', '\u{2506}']).map(str::trim).filter(|cell| !cell.is_empty());
            Some((cells.next()?.to_owned(), cells.next()?.to_owned()))
        };
        String::from_utf8(output).expect("UTF-8").lines().filter_map(cells).collect()
    };
    let whole = rows(&["replay", &log, &events]);
    let parts = [
        ("fields not taken", "2"),
        ("addresses that cannot be read", "2"),
        ("query parameters over the limit of an address", "3"),
    ];
    for (name, count) in parts {
        assert!(whole.contains(&(name.into(), count.into())), "{whole:?}");
    }
    let clean = write(&folder, "clean.log", &line(1, 1, "/"));
    let clean = rows(&["replay", &clean]);
    assert!(clean.iter().all(|(row, _)| parts.iter().all(|(name, _)| row != name)), "{clean:?}");
}

#[test]
fn unsorted_events_that_are_too_late_are_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    // The second line moves the watermark to 5,000 s, the horizon to two minutes before.
    let text: String =
        [10, 5_000, 1_000, 4_900].iter().map(|second| line(*second, 1, "/")).collect();
    let log = write(&folder, "access.log", &text);
    let result = replay(&[&log, "--unsorted"]);
    assert_eq!(result["totals"]["beforeHorizon"], 1);
    assert_eq!(result["totals"]["putInPlace"], 1);
    assert_eq!(replay(&[&log])["totals"]["beforeHorizon"], 0);
}

/// Packed, through a pipe, whose format has to be found out from what came first.
#[test]
fn standard_input_is_read_as_a_file_is() {
    let (text, expected) = generated();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_by_key(|line| line.split('[').nth(1).expect("a time").to_owned());
    let folder = tempfile::tempdir().expect("a folder");
    let rules = rules(&folder);
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(lines.join("\n").as_bytes()).expect("memory");
    let packed = write_bytes(&folder, "packed", &packer.finish().expect("memory"));
    let output = Command::new(env!("CARGO_BIN_EXE_beckon"))
        .args(["replay", "--format", "json", "-", "--rules", &rules])
        .stdin(std::fs::File::open(packed).expect("the file"))
        .output()
        .expect("the binary");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(counted(&result), expected);
}

#[test]
fn our_own_events_are_read_from_ndjson() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut text = String::new();
    for page in 0..3 {
        writeln!(
            text,
            "{{\"eventName\":\"PageEntered\",\"visitID\":\"44D25DDB78174DEC8F33E28F96428336\",\
             \"timestamp\":{},\"url\":\"https://a.example/{page}\",\"data\":{{\"n\":{page}}}}}",
            1_431_857_103_000_i64 + page * 1_000
        )
        .expect("memory");
    }
    let events = write(&folder, "events.ndjson", &text);
    write(&folder, "rules/com.example.web/a.toml", &RULE.replace("isBot == false", "data.n >= 0"));
    let rules = folder.path().join("rules");
    let result = replay(&[&events, "--rules", rules.to_str().expect("UTF-8")]);
    assert_eq!(result["rules"][0]["fired"], 1);
}

#[test]
fn reports_hold_what_was_replayed_and_are_added_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let (text, expected) = generated();
    let (log, rules) = (write(&folder, "access.log", &text), rules(&folder));
    let reports = folder.path().join("reports");
    for times in 1..=2 {
        let into = reports.to_str().expect("UTF-8");
        let arguments = [&log, "--rules", &rules, "--reports", into];
        if times == 1 {
            replay(&arguments);
        } else {
            // What stands twice cannot be told apart later.
            let message = fails(&arguments);
            assert!(message.contains("--append"), "{message}");
            replay(&[&arguments[..], &["--append"]].concat());
        }
        let rows = |table: &str| -> u64 { parquet_rows(&reports.join(table)) };
        // Each visit has a made-up VisitStarted, a line when it began, and one when it ended.
        assert_eq!(rows("events"), times * (expected.events + expected.visits));
        assert_eq!(rows("visits"), times * 2 * expected.visits);
        assert_eq!(rows("actions"), times * expected.fired);
    }
}

/// Rows of all files of a table, as they are read; the manifest says the same of each file.
fn parquet_rows(table: &Path) -> u64 {
    let name = table.file_name().expect("a table").to_str().expect("UTF-8");
    let reports = table.parent().expect("a folder");
    let mut listed = BTreeMap::new();
    for entry in std::fs::read_dir(reports.join("_manifest")).expect("a manifest") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|ending| ending == "txt") {
            for line in std::fs::read_to_string(path).expect("text").lines() {
                let json = line.split_once(' ').map_or(line, |(_, json)| json);
                let round: Value = serde_json::from_str(json).expect("a round");
                for file in round["files"].as_array().expect("files") {
                    let place = file["path"].as_str().expect("a path");
                    if place.starts_with(name) {
                        listed.insert(reports.join(place), file["rows"].as_u64().expect("rows"));
                    }
                }
            }
        }
    }
    let read: BTreeMap<_, _> =
        parquet_files(table).into_iter().map(|path| (path.clone(), rows_of(&path))).collect();
    assert_eq!(read, listed);
    read.values().sum()
}

/// Rows that a file gives, one by one.
fn rows_of(path: &Path) -> u64 {
    let file = std::fs::File::open(path).expect("a file");
    let reader = SerializedFileReader::new(file).expect("a Parquet file");
    let rows = reader.get_row_iter(None).expect("rows");
    rows.fold(0, |count, row| row.map(|_| count + 1).expect("a row"))
}

fn parquet_files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("a table") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(parquet_files(&path));
        } else {
            files.insert(path);
        }
    }
    files
}

#[test]
fn what_cannot_run_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = write(&folder, "access.log", &line(1, 1, "/"));
    write(&folder, "rules/com.example.web/a.toml", &RULE.replace("isBot", "isBto"));
    let rules = folder.path().join("rules");
    let message = fails(&[&log, "--rules", rules.to_str().expect("UTF-8")]);
    assert!(message.contains("isBot") && message.contains("a.toml"), "{message}");
    let mapping = write(&folder, "mapping.toml", "event_nam = 'e'\n");
    let message = fails(&[&log, "--source", &mapping]);
    assert!(message.contains("did you mean `event_name`?"), "{message}");
    assert!(fails(&["none.log"]).contains("none.log"));
}
