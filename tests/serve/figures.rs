//! What a running server counts, where only a whole server can show it.

use super::support::{
    KEY, STEP_MAX, Server, bearer, beckon, configured, configured_with, figure, operator,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
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

#[test]
fn the_log_counts_what_is_written() {
    let folder = configured();
    let (server, token) = start(folder.path(), "Order where true");
    let names = [
        "beckon_log_records_total",
        "beckon_log_duplicates_total",
        "beckon_dedup_ids",
        "beckon_log_groups_total",
        "beckon_log_bytes",
        "beckon_log_sync_nanos_total",
    ];
    let figures = || names.map(|name| figure(&server, &token, name));
    let before = figures();
    let event = |id: u32| {
        format!("{{\"eventName\":\"Order\",\"visitID\":\"{:032x}\",\"eventID\":\"{id:032x}\"}}", 1)
    };
    for events in [format!("[{},{}]", event(1), event(2)), event(1)] {
        assert_eq!(server.send(&events).expect("an answer").status, 200);
    }
    let after = figures();
    let moved = |figure: usize| after[figure] - before[figure];
    assert_eq!([0, 1, 2].map(moved), [2, 1, 2], "{names:?}");
    assert!([3, 4, 5].map(moved).iter().all(|moved| *moved > 0), "{names:?}: {before:?} {after:?}");
}

/// Labels make time series, and who sends events may choose as many names as there are. Whatever a
/// client can choose says `hostile` here.
#[test]
fn no_label_has_what_a_client_chose() {
    let folder = configured();
    let (server, token) = start(folder.path(), "Order where true");
    let names = ["Order", "hostile", "hostile\"} 1", "hostile{le=\"1\"}", "hostile\\"];
    let event = |name: &&str| {
        json!({
            "eventName": name, "visitID": format!("{:032x}", 1), "category": [name],
            "url": "https://hostile.example/hostile?utm_source=hostile", "title": name,
            "languageCode": name, "hostile": 1, "data": { "userAgent": name, *name: name },
        })
    };
    let mut events: Vec<_> = names.iter().map(event).collect();
    events.push(json!({ "eventName": "hostile", "visitID": "hostile" }));
    let events = Value::from(events).to_string();
    assert_eq!(server.send(&events).expect("an answer").status, 200);
    let key = format!("authorization: Bearer {KEY}\r\n");
    let hostile = [
        ("POST /v1/events?key=hostile", "", 401),
        ("POST /v1/events", "authorization: Bearer hostile\r\n", 401),
        ("POST /v1/events", "authorization: hostile\r\n", 401),
        ("POST /v1/events", "origin: https://hostile.example\r\n", 403),
        ("POST /v1/events", &format!("{key}content-encoding: hostile\r\n"), 415),
        ("POST /v1/events/hostile", &key, 404),
        ("HOSTILE /v1/events", &key, 405),
        ("GET /hostile", "user-agent: hostile\r\nx-forwarded-for: hostile\r\n", 404),
        ("GET /v1/rules/com.hostile", &bearer("hostile"), 401),
        ("GET /v1/rules/com.hostile", &bearer(&token), 404),
    ];
    for (line, headers, status) in hostile {
        let answer = server.ask(line, headers, "{}").expect("an answer");
        assert_eq!(answer.status, status, "{line} {headers}: {}", answer.body);
    }
    let matched = "beckon_engine_events_matched_total";
    let all = names.len() as u64;
    wait("rules see all events", || (figure(&server, &token, matched) >= all).then_some(()));
    let figures = server.get("/metrics", &bearer(&token)).body;
    assert!(figures.contains("beckon_events_total{site=\"shop\",result=\"ok\"} 5"), "{figures}");
    assert!(!figures.to_lowercase().contains("hostile"), "{figures}");
    let labels: BTreeSet<_> = figures.split(['{', ',']).filter_map(label).collect();
    let known = ["code", "le", "owner", "reason", "result", "route", "site", "status"];
    assert!(labels.iter().eq(&known), "{labels:?}");
}

/// The name before the first `="`, where nothing but a name is.
fn label(text: &str) -> Option<&str> {
    let (name, _) = text.split_once("=\"")?;
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_').then_some(name)
}
