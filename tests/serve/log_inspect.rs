//! `beckon log inspect`: what lies in a log, whole or not, beside a server or without one.

use crate::support::{Server, beckon, cells, configured, event, names, printed, refused};
use std::path::{Path, PathBuf};

const INSPECT: [&str; 4] = ["log", "inspect", "--data", "data"];

/// Columns of the table.
const NAME: usize = 0;
const BYTES: usize = 2;
const RECORDS: usize = 4;
const FIRST_RECORD: usize = 5;
const STATE: usize = 7;

/// A log of several segments with seven events, three in one group and four alone; and what the command printed of it
/// while the server ran.
fn log_of_seven(folder: &Path) -> String {
    let mut small = beckon(folder);
    small.env("BECKON_LOG__SEGMENT_BYTES", "700");
    let server = Server::start(small, &["--data", "data"]);
    let three = [1, 2, 3].map(|visit| event("AddToCart", visit)).join(",");
    let singles = (4..=7).map(|visit| event("AddToCart", visit));
    for body in [format!("[{three}]")].into_iter().chain(singles) {
        assert_eq!(server.send(&body).expect("an answer").status, 200);
    }
    let beside_the_server = printed(folder, &INSPECT);
    assert_eq!(server.stop().code, Some(0));
    beside_the_server
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let log = folder.join("data/log");
    let names = names(&log).into_iter().filter(|name| name.ends_with(".seg"));
    names.map(|name| log.join(name)).collect()
}

/// A column of all segments.
fn column(table: &str, column: usize) -> Vec<&str> {
    cells(table)[1..].iter().map(|row| row[column]).collect()
}

fn numbers(table: &str, at: usize) -> Vec<u64> {
    column(table, at).iter().map(|text| text.parse().expect("a number")).collect()
}

#[test]
fn a_whole_log_is_counted_segment_by_segment() {
    let folder = configured();
    let folder = folder.path();
    let beside_the_server = log_of_seven(folder);
    assert_eq!(numbers(&beside_the_server, RECORDS).iter().sum::<u64>(), 7);

    let table = printed(folder, &INSPECT);
    let files = segments(folder);
    assert!(files.len() > 1, "{table}");
    let name = |file: &PathBuf| file.file_name().expect("a name").to_string_lossy().into_owned();
    let bytes = |file: &PathBuf| file.metadata().expect("a file").len();
    assert_eq!(column(&table, NAME), files.iter().map(name).collect::<Vec<_>>());
    assert_eq!(numbers(&table, BYTES), files.iter().map(bytes).collect::<Vec<_>>());
    assert_eq!(column(&table, STATE), vec!["whole"; files.len()]);
    // Records are numbered without a gap, from one segment into the next.
    let records = numbers(&table, RECORDS);
    let before = |at: usize| records[..at].iter().sum::<u64>();
    let first_records: Vec<_> = (0..files.len()).map(|at| before(at) + 1).collect();
    assert_eq!((numbers(&table, FIRST_RECORD), before(files.len())), (first_records, 7));

    let with_groups = printed(folder, &[&INSPECT[..], &["--groups"]].concat());
    let groups: Vec<_> = with_groups.lines().filter(|line| line.starts_with("epoch ")).collect();
    let with = |n: u32| {
        groups.iter().filter(|line| line.contains(&format!(" {n} records up to "))).count()
    };
    assert_eq!((with(3), with(1), with(2)), (1, 4, 0), "{with_groups}");
    assert!(with_groups.ends_with(&table), "{with_groups}");
}

/// What the command calls damaged, the server refuses to start on.
#[test]
fn a_damaged_log_is_an_error_and_a_torn_end_is_none() {
    let folder = configured();
    let folder = folder.path();
    log_of_seven(folder);
    let files = segments(folder);
    let last = files.last().expect("a segment");
    let whole_text = std::fs::read(last).expect("a segment");
    std::fs::write(last, &whole_text[..whole_text.len() - 3]).expect("written");
    let table = printed(folder, &INSPECT);
    let states = column(&table, STATE);
    let (torn, whole) = states.split_last().expect("a segment");
    assert!(torn.starts_with("torn at byte "), "{table}");
    assert!(whole.iter().all(|state| *state == "whole"), "{table}");

    let mut text = std::fs::read(&files[0]).expect("a segment");
    text[100] ^= 1;
    std::fs::write(&files[0], &text).expect("written");
    let name = files[0].file_name().expect("a name").to_string_lossy().into_owned();
    let output = beckon(folder).args(INSPECT).output().expect("the binary");
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(error, format!("error: the log is damaged in {name}\n"));
    let table = String::from_utf8_lossy(&output.stdout);
    let states = column(&table, STATE);
    assert!(states[0].starts_with("damaged at byte 44: "), "{table}");
    assert_eq!(states.len(), files.len(), "the segments behind it are read too\n{table}");
    // There is no snapshot, so the engine would read it: the start is refused.
    std::fs::write(last, &whole_text).expect("written");
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data", "data"];
    let output = beckon(folder).args(serve).output().expect("the binary");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("segment {name} is damaged at byte 44")), "{said}");
}

#[test]
fn a_folder_without_a_log_is_told() {
    let folder = configured();
    std::fs::create_dir(folder.path().join("data")).expect("a folder");
    let error = refused(folder.path(), &INSPECT);
    assert!(error.starts_with("error: data holds no log: "), "{error}");
}
