//! Bounds of the configuration that the process as a whole keeps.

use super::support::{STEP_MAX, Server, beckon, configured_with, event, ids_in_parquet, refused};
use std::fs;
use std::time::Instant;

#[test]
fn http_has_as_many_threads_as_the_file_says() {
    let folder = configured_with("[server]\nhttp_threads = 5\n");
    let server = Server::start(beckon(folder.path()), &["--data", "data"]);
    let begun = Instant::now();
    // A thread takes its name once it runs.
    while server.threads("http") != 5 {
        assert!(begun.elapsed() < STEP_MAX, "{} threads", server.threads("http"));
        std::thread::yield_now();
    }
    let none = configured_with("[server]\nhttp_threads = 0\n");
    let error = refused(none.path(), &["serve"]);
    assert_eq!(error, "error: server.http_threads is 0, expected 1 or more\n");
}

/// With the minute that is the default, the step would be over before.
#[test]
fn the_end_waits_for_reports_no_longer_than_the_file_says() {
    let folder = configured_with("[reports]\ndrain_ms_max = 100\n");
    let start = || Server::start(beckon(folder.path()), &["--data", "data"]);
    let data = folder.path().join("data");
    let (reports, aside) = (data.join("reports"), data.join("aside"));
    let server = start();
    let ids = server.send(&event("AddToCart", 1)).expect("an answer").ids("ok");
    fs::rename(&reports, &aside).expect("moved");
    fs::write(&reports, "no folder").expect("a file");
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(ended.said.contains("the Parquet sink failed and tries again"), "{}", ended.said);
    fs::remove_file(&reports).expect("removed");
    fs::rename(&aside, &reports).expect("moved");
    assert_eq!(start().stop().code, Some(0));
    assert_eq!(ids_in_parquet(&data, "AddToCart"), ids, "the outbox had it");
}
