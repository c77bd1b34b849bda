//! A log that ends before what the Parquet tables or a cursor name: it lost something, so the server
//! does not start on it, and says who names what and what can be done.

use crate::support::{Server, beckon, configured, event, ids_in_parquet};
use std::fs;
use std::path::Path;

const FOLDERS: [&str; 4] = ["--data", "data", "--reports", "reports"];

fn start(folder: &Path) -> Server {
    Server::start(beckon(folder), &FOLDERS)
}

/// Sends one event, ends the server, and says which event it was.
fn serve_one(folder: &Path) -> String {
    let server = start(folder);
    let ids = server.send(&event("AddToCart", 1)).expect("an answer").ids("ok");
    assert_eq!(server.stop().code, Some(0));
    ids.concat()
}

/// Why a start is refused.
fn complaint(folder: &Path) -> String {
    Server::refused(beckon(folder), &FOLDERS)
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

/// A folder whose log is older than all else; the log that belongs there lies in `new-log`.
fn with_an_older_log() -> tempfile::TempDir {
    let folder = configured();
    let at = |path: &str| folder.path().join(path);
    serve_one(folder.path());
    copy_folder(&at("data/log"), &at("old-log"));
    serve_one(folder.path());
    fs::rename(at("data/log"), at("new-log")).expect("moved");
    fs::rename(at("old-log"), at("data/log")).expect("moved");
    folder
}

#[test]
fn each_who_is_ahead_is_named_and_the_right_log_mends_it() {
    let folder = with_an_older_log();
    let at = |path: &str| folder.path().join(path);
    let said = complaint(folder.path());
    let named = "error: ahead of the log: data/cursors/notification, data/cursors/parquet, \
                 data/cursors/webhook, reports: ";
    assert!(said.starts_with(named), "{said}");

    let text = fs::read(at("data/log/0000000001.seg")).expect("a segment");
    for part in [
        format!("segment 0000000001.seg ends at byte {}, before epoch ", text.len()),
        "restore the log's folder from a copy".to_owned(),
        "move the whole data folder and that of the reports away".to_owned(),
    ] {
        assert!(said.contains(&part), "no `{part}`: {said}");
    }
    assert_eq!(fs::read(at("data/log/0000000001.seg")).expect("a segment"), text, "untouched");

    fs::remove_dir_all(at("data/log")).expect("removed");
    fs::rename(at("new-log"), at("data/log")).expect("moved");
    serve_one(folder.path());
}

#[test]
fn a_manifest_alone_is_enough() {
    let folder = with_an_older_log();
    for cursor in ["notification", "parquet", "webhook"] {
        fs::remove_file(folder.path().join("data/cursors").join(cursor)).expect("removed");
    }
    let said = complaint(folder.path());
    assert!(said.starts_with("error: ahead of the log: reports: segment "), "{said}");
}

#[test]
fn a_cursor_alone_is_enough_until_all_is_moved_away() {
    let folder = with_an_older_log();
    let at = |path: &str| folder.path().join(path);
    fs::remove_dir_all(at("reports")).expect("removed");
    let said = complaint(folder.path());
    let named = "error: ahead of the log: data/cursors/notification, data/cursors/parquet, \
                 data/cursors/webhook: segment ";
    assert!(said.starts_with(named), "{said}");

    fs::rename(at("data"), at("old-data")).expect("moved");
    fs::rename(at("reports"), at("old-reports")).expect("moved");
    let id = serve_one(folder.path());
    fs::rename(at("reports"), at("data/reports")).expect("moved");
    assert_eq!(ids_in_parquet(&at("data"), "AddToCart"), [id]);
}
