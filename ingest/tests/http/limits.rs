//! Over a limit: 413, 429 or 503, at once, and neighbours go on.

use crate::bodies::gzip;
use crate::support::{
    BROWSER_KEY, Bench, ORIGIN, SERVER_KEY, VISIT, bench, config, event, get, limited, numbered,
    post,
};
use beckon_ingest::ServerConfig;
use beckon_ingest::body::CHUNK_BYTES;
use beckon_ingest::limits::Limits;
use beckon_ingest::tokens::Scope;
use std::sync::atomic::Ordering;

fn batch(count: usize) -> String {
    let events: Vec<_> = (0..count).map(|_| event("")).collect();
    format!("[{}]", events.join(","))
}

async fn check(bench: &Bench, body: String, status: u16, code: &str) {
    post(body).by_server().send(bench).await.check_error(status, code);
}

#[tokio::test]
async fn a_body_has_a_length() {
    let body = numbered(1);
    let exact = limited(Limits { body_bytes_max: body.len(), ..Limits::default() });
    assert_eq!(post(body.clone()).by_server().send(&exact).await.results(), ["ok"]);
    check(&exact, format!("{body} "), 413, "body_too_large").await;
    let said = post(body).by_server().header("content-length", "999999999");
    said.send_unread(&exact).await.check_error(413, "body_too_large");
}

/// Also where another part reads it.
#[tokio::test]
async fn a_body_for_another_part_is_as_bounded() {
    let bench = limited(Limits { body_bytes_max: 100, ..Limits::default() });
    let token = bench.token_for(Scope::EventsReplay, None);
    let ask = |body: String| post(body).path("/v1/webhooks/dead-letters/replay").bearer(&token);
    assert_eq!(ask("x".repeat(100)).send(&bench).await.status, 200, "it is handed on");
    ask("x".repeat(101)).send(&bench).await.check_error(413, "body_too_large");
    let odd = ask("{}".to_owned()).header("content-encoding", "compress");
    odd.send(&bench).await.check_error(415, "unknown_encoding");
}

#[tokio::test]
async fn a_batch_has_a_number() {
    let bench = limited(Limits { batch_events_max: 3, ..Limits::default() });
    assert_eq!(post(batch(3)).by_server().send(&bench).await.results().len(), 3);
    check(&bench, batch(4), 413, "too_many_events").await;
    let lines = vec![event(""); 4].join("\n");
    check(&bench, lines, 413, "too_many_events").await;
}

#[tokio::test]
async fn an_event_has_a_size_and_a_depth() {
    let small = event("");
    let size = small.len() + 10;
    let bench = limited(Limits { event_bytes_max: size, json_depth_max: 3, ..Limits::default() });
    let sized = |bytes: usize| event(&" ".repeat(bytes - small.len()));
    let body = format!("[{},{},{small}]", sized(size), sized(size + 1));
    let answer = post(body).by_server().send(&bench).await;
    assert_eq!(answer.results(), ["ok", "too_large", "ok"]);
    let bench = limited(Limits { json_depth_max: 3, ..Limits::default() });
    let nested = |inner: &str| event(&format!(r#","data":{{"a":{inner}}}"#));
    let body = format!("[{},{},{small}]", nested("[]"), nested("[[]]"));
    let answer = post(body).by_server().send(&bench).await;
    assert_eq!(answer.results(), ["ok", "too_deep", "ok"]);
}

#[tokio::test]
async fn a_million_brackets_are_refused_and_nobody_falls_over() {
    let bench = limited(Limits { event_bytes_max: 1 << 20, ..Limits::default() });
    let open = "[".repeat(1_000_000);
    check(&bench, open.clone(), 400, "not_json").await;
    let closed = format!("[{open}{}]", "]".repeat(20_000));
    check(&bench, closed, 400, "not_json").await;
    let deep = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
    let answer = post(deep).by_server().send(&bench).await;
    assert_eq!(answer.results(), ["too_deep"]);
    let inner = format!("{}{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    let body = format!(r#"{{"eventName":"A","visitID":"{VISIT}","data":{inner}}}"#);
    let answer = post(body).by_server().send(&bench).await;
    assert_eq!(answer.results(), ["too_deep"]);
}

#[tokio::test]
async fn a_key_has_a_rate() {
    let limits = Limits { key_requests_per_second_max: 2, ..Limits::default() };
    let bench = limited(limits);
    for _ in 0..4 {
        assert_eq!(post(event("")).by_server().send(&bench).await.results(), ["ok"]);
    }
    check(&bench, event(""), 429, "too_many_requests").await;
    let envelope = format!(r#"{{"key":"{SERVER_KEY}","events":[]}}"#);
    post(envelope).send(&bench).await.check_error(429, "too_many_requests");
    bench.clock.advance(500);
    assert_eq!(post(event("")).by_server().send(&bench).await.results(), ["ok"]);
}

#[tokio::test]
async fn who_needs_no_key_in_the_demo_has_the_rate_of_one() {
    let limits = Limits { key_requests_per_second_max: 1, ..Limits::default() };
    let demo = bench(&ServerConfig { demo_site: Some("demo".into()), limits, ..config() });
    let ask = || post(event("")).from("127.0.0.1:9").header("host", "localhost");
    for _ in 0..2 {
        assert_eq!(ask().send(&demo).await.results(), ["ok"]);
    }
    ask().send(&demo).await.check_error(429, "too_many_requests");
}

/// Whoever tries tokens is slowed down as whoever tries keys.
#[tokio::test]
async fn an_address_has_a_rate_before_its_token_is_looked_at() {
    let bench = limited(Limits { address_requests_per_second_max: 1, ..Limits::default() });
    let ask = || get("/v1/status").bearer("wrong");
    for _ in 0..2 {
        ask().send(&bench).await.check_error(401, "token_unknown");
    }
    ask().send(&bench).await.check_error(429, "too_many_requests");
}

#[tokio::test]
async fn an_address_has_a_rate_before_its_key_is_looked_at() {
    let limits = Limits { address_requests_per_second_max: 1, ..Limits::default() };
    let bench = limited(limits);
    for _ in 0..2 {
        post(event("")).bearer("wrong").send(&bench).await.check_error(401, "key_unknown");
    }
    post(event("")).bearer("wrong").send(&bench).await.check_error(429, "too_many_requests");
    let other = post(event("")).by_server().from("192.0.2.2:1").send(&bench).await;
    assert_eq!(other.results(), ["ok"]);
}

/// Inflating costs more than the request that asks for it: by 64 KiB it counts as one, until a secret
/// is shown.
#[tokio::test]
async fn inflating_for_a_stranger_takes_from_the_rate_of_its_address() {
    let limits = Limits { address_requests_per_second_max: 5, ..Limits::default() };
    let packed = |key: &str, chunks: usize| {
        let envelope = format!(r#"{{"key":"{key}","events":[{}]}}"#, event(""));
        gzip((envelope + &" ".repeat((chunks - 1) * CHUNK_BYTES)).as_bytes())
    };
    let page = |body: Vec<u8>| post(body).header("origin", ORIGIN);
    let bench = limited(limits.clone());
    for _ in 0..5 {
        page(packed(BROWSER_KEY, 2)).send(&bench).await.results();
    }
    page(packed(BROWSER_KEY, 1)).send(&bench).await.check_error(429, "too_many_requests");
    for (ask, is_stranger) in [
        (page(packed(BROWSER_KEY, 10)), false),
        (page(packed(BROWSER_KEY, 11)), true),
        (page(packed(BROWSER_KEY, 11)).bearer(BROWSER_KEY), true),
        (post(packed(SERVER_KEY, 11)), true),
        (post(packed(SERVER_KEY, 100)).by_server(), false),
    ] {
        let answer = ask.send(&limited(limits.clone())).await;
        if is_stranger {
            answer.check_error(429, "too_many_requests");
        } else {
            assert_eq!(answer.results(), ["ok"]);
        }
    }
}

/// Whoever starts the server asks whether it lives, as often as it likes.
#[tokio::test]
async fn preflights_have_a_rate_and_probes_have_none() {
    let bench = limited(Limits { address_requests_per_second_max: 1, ..Limits::default() });
    let preflight = || post("").method("OPTIONS").header("origin", ORIGIN);
    for _ in 0..2 {
        assert_eq!(preflight().send(&bench).await.status, 204);
    }
    let fast = preflight().send(&bench).await;
    fast.check_error(429, "too_many_requests");
    assert_eq!(fast.header("access-control-allow-origin"), Some(ORIGIN));
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(path).send(&bench).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn addresses_over_the_table_are_forgotten_and_counted() {
    let bench = limited(Limits { addresses_max: 1, ..Limits::default() });
    let peers = ["192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"];
    for peer in &peers[..2] {
        assert!(post("[]").by_server().from(peer).send(&bench).await.results().is_empty());
    }
    // Who asks for the figures comes from the first address, which the older half still has.
    bench.check_figures(&["beckon_addresses_forgotten_total 0"]).await;
    assert!(post("[]").by_server().from(peers[2]).send(&bench).await.results().is_empty());
    bench.check_figures(&["beckon_addresses_forgotten_total 1"]).await;
}

#[tokio::test]
async fn query_parameters_over_the_limit_are_dropped_and_counted() {
    let bench = limited(Limits::default());
    let url = |count: usize| {
        let query: Vec<_> = (0..count).map(|n| format!("utm_{n}=1")).collect();
        format!("https://shop.example/?{}", query.join("&"))
    };
    let send = async |count: usize| {
        let body = event(&format!(r#","url":"{}","referrer":"{}""#, url(count), url(count)));
        assert_eq!(post(body).by_server().send(&bench).await.results(), ["ok"]);
    };
    send(32).await;
    bench.check_figures(&["beckon_query_parameters_dropped_total 0"]).await;
    send(33).await;
    bench.check_figures(&["beckon_query_parameters_dropped_total 2"]).await;
}

#[tokio::test]
async fn bodies_share_their_memory() {
    let limits = Limits { body_bytes_max: 8_192, in_flight_bytes_max: 8_192, ..Limits::default() };
    let bench = limited(limits);
    bench.log.hold_back();
    let large = event(&" ".repeat(6_000));
    let first = tokio::spawn(post(large.clone()).by_server().send_to(bench.server.router()));
    while bench.log.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    let second = tokio::spawn(post(large).by_server().send_to(bench.server.router()));
    while !second.is_finished() {
        assert_eq!(bench.log.waiting(), 1, "a body over the bound was taken");
        tokio::task::yield_now().await;
    }
    second.await.expect("an answer").check_error(503, "too_many_bytes");
    let said = post("").by_server().header("content-length", "6000");
    said.send_unread(&bench).await.check_error(503, "too_many_bytes");
    let lines = [
        "beckon_in_flight_bytes 6144",
        "beckon_in_flight_bytes_max 8192",
        r#"beckon_requests_refused_total{code="too_many_bytes",status="503"} 2"#,
    ];
    bench.check_figures(&lines).await;
    bench.log.release();
    assert_eq!(first.await.expect("an answer").results(), ["ok"]);
    assert_eq!(post(event("")).by_server().send(&bench).await.results(), ["ok"]);
    bench.check_figures(&["beckon_in_flight_bytes 0"]).await;
}

#[tokio::test]
async fn an_engine_far_behind_is_503() {
    let bench = limited(Limits { engine_lag_records_max: 10, ..Limits::default() });
    bench.engine.lag.store(10, Ordering::Relaxed);
    assert_eq!(post(event("")).by_server().send(&bench).await.results(), ["ok"]);
    bench.engine.lag.store(11, Ordering::Relaxed);
    check(&bench, event(""), 503, "engine_behind").await;
    get("/readyz").send(&bench).await.check_error(503, "engine_behind");
    let replay = post("{}").path("/v1/dead-letters/replay");
    let replay = replay.bearer(&bench.token(Scope::EventsReplay));
    replay.send(&bench).await.check_error(503, "engine_behind");
    let lines = [
        "beckon_engine_lag_records 11",
        "beckon_engine_lag_records_max 10",
        r#"beckon_requests_refused_total{code="engine_behind",status="503"} 3"#,
    ];
    bench.check_figures(&lines).await;
}

#[tokio::test]
async fn who_is_refused_is_counted_by_the_reason() {
    let limits = Limits {
        batch_events_max: 1,
        body_bytes_max: 1_000,
        key_requests_per_second_max: 2,
        ..Limits::default()
    };
    let bench = limited(limits);
    check(&bench, batch(2), 413, "too_many_events").await;
    check(&bench, " ".repeat(1_001), 413, "body_too_large").await;
    for _ in 0..2 {
        check(&bench, "nonsense".into(), 400, "not_json").await;
    }
    check(&bench, event(""), 429, "too_many_requests").await;
    post(event("")).bearer("guessed").send(&bench).await.check_error(401, "key_unknown");
    let lines = [
        r#"beckon_requests_refused_total{code="too_many_events",status="413"} 1"#,
        r#"beckon_requests_refused_total{code="body_too_large",status="413"} 1"#,
        r#"beckon_requests_refused_total{code="not_json",status="400"} 2"#,
        r#"beckon_requests_refused_total{code="too_many_requests",status="429"} 1"#,
        r#"beckon_requests_refused_total{code="key_unknown",status="401"} 1"#,
    ];
    bench.check_figures(&lines).await;
}

#[tokio::test]
async fn who_is_refused_by_the_head_is_refused_before_the_body() {
    let limits = Limits {
        key_requests_per_second_max: 1,
        address_requests_per_second_max: 2,
        engine_lag_records_max: 0,
        retry_after_seconds: 7,
        ..Limits::default()
    };
    let bench = limited(limits);
    let from = |peer| post("").from(peer);
    let wrong = from("192.0.2.1:1").bearer("wrong");
    wrong.send_unread(&bench).await.check_error(401, "key_unknown");
    let evil = from("192.0.2.1:1").bearer(BROWSER_KEY).header("origin", "https://evil.example");
    evil.send_unread(&bench).await.check_error(403, "origin_refused");
    for _ in 0..2 {
        let answer = post("[]").from("192.0.2.2:1").by_server().send(&bench).await;
        assert!(answer.results().is_empty());
    }
    let fast = from("192.0.2.3:1").by_server().send_unread(&bench).await;
    fast.check_error(429, "too_many_requests");
    assert!(fast.text.contains("of this key"), "{}", fast.text);
    for _ in 0..2 {
        post("[]").from("192.0.2.1:1").bearer("wrong").send(&bench).await;
    }
    let fast = from("192.0.2.1:1").by_server().send_unread(&bench).await;
    fast.check_error(429, "too_many_requests");
    assert!(fast.text.contains("of this address"), "{}", fast.text);
    assert_eq!(fast.header("retry-after"), Some("7"), "what is configured");
    bench.engine.lag.store(1, Ordering::Relaxed);
    let behind = from("192.0.2.4:1").by_server().send_unread(&bench).await;
    behind.check_error(503, "engine_behind");
    assert_eq!(behind.header("retry-after"), Some("7"));
}

#[tokio::test]
async fn what_a_body_inflates_to_is_counted_with_the_others() {
    let in_flight_bytes_max = 16 << 10;
    let limits = Limits { body_bytes_max: 8 << 10, in_flight_bytes_max, ..Limits::default() };
    let bench = limited(limits);
    let compressed = zstd::encode_all(event("").as_bytes(), 1).expect("memory");
    let ask = post(compressed).by_server();
    ask.send(&bench).await.check_error(503, "too_many_bytes");
}
