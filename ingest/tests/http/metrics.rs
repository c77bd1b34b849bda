//! What `/metrics` shows of the HTTP side, the log and dead letters, by name.
//!
//! An operator's alerts go by these names: a change here that is not a new line breaks them.

use crate::live::{next, open_with};
use crate::support::{BROWSER_KEY, Bench, NOW_MS, ORIGIN, bench, config, event, get, post};
use beckon_ingest::tokens::Scope;

const FAMILIES: &[(&str, &str)] = &[
    ("beckon_addresses_forgotten", "counter"),
    ("beckon_bodies_cut_off", "counter"),
    ("beckon_body_bytes", "counter"),
    ("beckon_clamped_events", "counter"),
    ("beckon_connections", "gauge"),
    ("beckon_connections_idle", "counter"),
    ("beckon_connections_refused", "counter"),
    ("beckon_dead_letters_bytes", "gauge"),
    ("beckon_dead_letters_evicted", "counter"),
    ("beckon_dead_letters_expired", "counter"),
    ("beckon_dead_letters_queue_full", "counter"),
    ("beckon_dead_letters_unwritable", "counter"),
    ("beckon_dead_letters_waiting", "gauge"),
    ("beckon_dead_letters_written", "counter"),
    ("beckon_dedup_ids", "gauge"),
    ("beckon_dedup_window_ms", "gauge"),
    ("beckon_dropped_fields", "counter"),
    ("beckon_engine_lag_records", "gauge"),
    ("beckon_engine_lag_records_max", "gauge"),
    ("beckon_events", "counter"),
    ("beckon_http_request_duration_seconds", "histogram"),
    ("beckon_http_requests", "counter"),
    ("beckon_in_flight_bytes", "gauge"),
    ("beckon_in_flight_bytes_max", "gauge"),
    ("beckon_live_streams", "gauge"),
    ("beckon_log_bytes", "gauge"),
    ("beckon_log_digests_missing", "gauge"),
    ("beckon_log_duplicates", "counter"),
    ("beckon_log_groups", "counter"),
    ("beckon_log_oldest_epoch", "gauge"),
    ("beckon_log_oldest_segment", "gauge"),
    ("beckon_log_queued_bytes", "gauge"),
    ("beckon_log_records", "counter"),
    ("beckon_log_segments", "gauge"),
    ("beckon_log_sync_nanos", "counter"),
    ("beckon_log_sync_nanos_max", "gauge"),
    ("beckon_query_parameters_dropped", "counter"),
    ("beckon_rejections", "counter"),
    ("beckon_requests_refused", "counter"),
    ("beckon_skewed_events", "counter"),
    ("beckon_tls_handshakes_failed", "counter"),
    ("beckon_unproven_events", "counter"),
    ("beckon_unverified_sign_ins", "counter"),
];

/// What the comments of a kind say, by family.
fn comments<'a>(text: &'a str, kind: &str) -> Vec<(&'a str, &'a str)> {
    let start = format!("# {kind} ");
    let lines = text.lines().filter_map(|line| line.strip_prefix(&start));
    let mut found: Vec<_> = lines.map(|line| line.split_once(' ').expect("two words")).collect();
    found.sort_unstable();
    found
}

async fn figures(bench: &Bench) -> String {
    get("/metrics").bearer(&bench.token(Scope::MetricsRead)).send(bench).await.text
}

/// Something for each counter that has labels, without which it has no line; gives the bytes sent.
async fn use_it(bench: &Bench) -> usize {
    let events = [
        event(&format!(r#","colour":1,"timestamp":{}"#, NOW_MS + 60_000)),
        r#"{"eventName":"A"}"#.to_owned(),
    ];
    let events = format!("[{}]", events.join(","));
    let answer = post(events.clone()).by_server().send(bench).await;
    assert_eq!(answer.results(), ["ok", "missing_field"]);
    let said = NOW_MS - 60_000;
    let late = event(&format!(r#","timestamp":{said}"#));
    let envelope = format!(r#"{{"sentAt":{said},"events":[{late}]}}"#);
    let by_page = post(envelope.clone()).bearer(BROWSER_KEY).header("origin", ORIGIN);
    assert_eq!(by_page.send(bench).await.results(), ["ok"]);
    post("{}").bearer("wrong").send(bench).await.check_error(401, "key_unknown");
    bench.letters.flush();
    events.len() + envelope.len()
}

#[tokio::test]
async fn each_family_has_a_name_a_type_and_a_help() {
    let bench = bench(&config());
    use_it(&bench).await;
    let text = figures(&bench).await;
    assert_eq!(comments(&text, "TYPE"), FAMILIES);
    let helps = comments(&text, "HELP");
    assert!(helps.iter().map(|(name, _)| name).eq(FAMILIES.iter().map(|(name, _)| name)), "{text}");
    assert!(helps.iter().all(|(_, help)| help.len() > 8), "{helps:?}");
    assert_eq!(comments(&text, "UNIT"), [("beckon_http_request_duration_seconds", "seconds")]);
    // Each has a figure, or an alert on it would never speak.
    for (name, kind) in FAMILIES {
        let name = match *kind {
            "counter" => format!("{name}_total"),
            "histogram" => format!("{name}_count"),
            _ => (*name).to_owned(),
        };
        let is_figure =
            |line: &str| line.strip_prefix(&name).is_some_and(|rest| rest.starts_with([' ', '{']));
        assert!(text.lines().any(is_figure), "{name} in {text}");
    }
}

#[tokio::test]
async fn figures_move_with_what_they_count() {
    let bench = bench(&config());
    let at_rest = [
        "beckon_body_bytes_total 0",
        "beckon_clamped_events_total 0",
        "beckon_skewed_events_total 0",
        "beckon_unproven_events_total 0",
        "beckon_dead_letters_bytes 0",
        "beckon_dead_letters_waiting 0",
        "beckon_dead_letters_written_total 0",
        "beckon_http_request_duration_seconds_count 0",
        "beckon_live_streams 0",
    ];
    bench.check_figures(&at_rest).await;
    let bytes = use_it(&bench).await;
    let mut stream = open_with(&bench, &bench.token(Scope::LiveRead)).await;
    assert!(next(&mut stream).await.starts_with("id: "));
    let letters = figures(&bench).await;
    assert!(!letters.contains("beckon_dead_letters_bytes 0\n"), "{letters}");
    let moved = [
        &format!("beckon_body_bytes_total {bytes}"),
        "beckon_clamped_events_total 1",
        "beckon_skewed_events_total 1",
        "beckon_unproven_events_total 1",
        "beckon_dead_letters_waiting 0",
        "beckon_dead_letters_written_total 1",
        // Two of figures, three of events, and the stream.
        "beckon_http_request_duration_seconds_count 6",
        "beckon_live_streams 1",
        r#"beckon_events_total{site="shop",result="ok"} 2"#,
        r#"beckon_rejections_total{reason="missing_field"} 1"#,
        r#"beckon_requests_refused_total{code="key_unknown",status="401"} 1"#,
    ];
    bench.check_figures(&moved).await;
    drop(stream);
    bench.check_figures(&["beckon_live_streams 0"]).await;
}
