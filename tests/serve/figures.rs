//! What a running server counts, where only a whole server can show it.

use super::support::{
    STEP_MAX, Server, bearer, beckon, configured, configured_with, figure, operator,
};
use serde_json::Value;
use std::path::Path;
use std::time::Instant;

const METRIC: &str = "beckon_engine_results_over_limit_total";

/// A server with one rule, and a token.
fn start(folder: &Path, query: &str) -> (Server, String) {
    let package = folder.join("rules/com.example.shop");
    std::fs::create_dir_all(&package).expect("a folder");
    let rule = format!("name = \"r\"\nquery = '''{query}'''\n[action]\ntype = \"none\"\n");
    std::fs::write(package.join("r.toml"), rule).expect("a file");
    let token = operator(folder);
    (Server::start(beckon(folder), &["--data", "data", "--rules", "rules"]), token)
}

/// Sends an event with so many values in each of two fields, and waits until rules saw it.
fn send(server: &Server, token: &str, (left, right): (usize, usize)) {
    let matched = "beckon_engine_events_matched_total";
    let before = figure(server, token, matched);
    let list = |count: usize| {
        let texts: Vec<_> = (0..count).map(|n| format!("\"x{n}\"")).collect();
        format!("[{}]", texts.join(","))
    };
    let (left, right) = (list(left), list(right));
    let event = format!(
        "{{\"eventName\":\"Order\",\"visitID\":\"{:032x}\",\"data\":{{\"a\":{left},\"b\":{right}}}}}",
        1
    );
    assert_eq!(server.send(&event).expect("an answer").ids("ok").len(), 1);
    wait("rules see the event", || (figure(server, token, matched) > before).then_some(()));
}

/// Asks until there is something.
fn wait<T>(what: &str, mut asked: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = asked() {
            return found;
        }
        assert!(begun.elapsed() < STEP_MAX, "never: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn bounds_of_the_file_reach_matcher_and_live_view() {
    let bounds = "[engine]\nkey_combinations_max = 1\nlive_names_max = 1\nlive_recent_max = 1\n";
    let folder = configured_with(bounds);
    let query = "sequence by data.a [ Order where true ] [ Paid where true ]";
    let (server, token) = start(folder.path(), query);
    send(&server, &token, (2, 1));
    assert_eq!(figure(&server, &token, "beckon_engine_partials_dropped_total"), 1);
    // The visit's beginning is an event of its own.
    let live = wait("a name over the bound counts as others do", || {
        let live = server.get("/v1/live/snapshot", &bearer(&token)).body;
        live.contains("__other").then(|| serde_json::from_str::<Value>(&live).expect("JSON"))
    });
    assert_eq!(live["events"].as_array().map(Vec::len), Some(1), "{live}");
}

#[test]
fn a_function_of_too_many_values_is_null_and_counted() {
    let folder = configured();
    let query = "Order where concat(data.a, data.b) == \"x0x0\"";
    let (server, token) = start(folder.path(), query);
    send(&server, &token, (32, 32));
    assert_eq!(figure(&server, &token, METRIC), 0, "1,024 combinations");
    send(&server, &token, (32, 33));
    assert_eq!(figure(&server, &token, METRIC), 1);
    assert_eq!(server.stop().code, Some(0));
}
