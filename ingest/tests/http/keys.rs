//! Keys and where they may stand, origins, preflights, the visit's secret, the demo.

use crate::support::{
    BROWSER_KEY, MATCHING_KEY, ORIGIN, SERVER_KEY, VISIT, bench, config, event, numbered, post,
};
use beckon_engine::model::Flags;
use beckon_ingest::ServerConfig;
use beckon_ingest::limits::Limits;
use sha2::{Digest, Sha256};

#[tokio::test]
async fn a_key_stands_in_header_envelope_or_query() {
    let bench = bench(&config());
    let query = format!("/v1/events?key={SERVER_KEY}");
    let envelope = |key: &str| format!(r#"{{"key":"{key}","events":[{}]}}"#, event(""));
    assert_eq!(post(event("")).by_server().send(&bench).await.results(), ["ok"]);
    assert_eq!(post(envelope(SERVER_KEY)).send(&bench).await.results(), ["ok"]);
    assert_eq!(post(event("")).path(&query).send(&bench).await.results(), ["ok"]);
    let header_first = post(envelope("wrong")).by_server().send(&bench).await;
    assert_eq!(header_first.results(), ["ok"]);
    let wrong_header = post(envelope(SERVER_KEY)).bearer("wrong").send(&bench).await;
    wrong_header.check_error(401, "key_unknown");
    let envelope_before_query = post(envelope("wrong")).path(&query).send(&bench).await;
    envelope_before_query.check_error(401, "key_unknown");
    post(event("")).send(&bench).await.check_error(401, "key_missing");
    let basic = post(event("")).header("authorization", "Basic eDp5");
    basic.send(&bench).await.check_error(401, "bad_authorization");
    assert_eq!(bench.log.events().len(), 4);
}

#[tokio::test]
async fn a_browser_key_needs_a_listed_origin() {
    let bench = bench(&config());
    let as_browser = |origin: &str| post(event("")).bearer(BROWSER_KEY).header("origin", origin);
    let good = as_browser(ORIGIN).send(&bench).await;
    assert_eq!(good.results(), ["ok"]);
    assert_eq!(good.header("access-control-allow-origin"), Some(ORIGIN));
    assert_eq!(good.header("access-control-expose-headers"), Some("Retry-After"));
    for origin in ["https://evil.example", "null", "http://shop.example", ""] {
        let refused = as_browser(origin).send(&bench).await;
        refused.check_error(403, "origin_refused");
        assert_eq!(refused.header("access-control-allow-origin"), None, "{origin}");
        assert_eq!(refused.header("vary"), Some("Origin"));
    }
    let none = post(event("")).bearer(BROWSER_KEY).send(&bench).await;
    none.check_error(403, "origin_refused");
    let server = post(event("")).by_server().header("origin", "https://any.example");
    assert_eq!(server.send(&bench).await.results(), ["ok"]);
    assert_eq!(good.header("access-control-allow-credentials"), None);
    let without = post(event("")).by_server().send(&bench).await;
    assert_eq!(without.header("vary"), Some("Origin"), "caches see this answer too");
}

#[tokio::test]
async fn an_origin_is_refused_before_the_body_is_parsed() {
    let bench = bench(&config());
    let ask = post("no JSON at all").bearer(BROWSER_KEY).header("origin", "https://evil.example");
    ask.send(&bench).await.check_error(403, "origin_refused");
    let broken_event = format!(r#"{{"key":"{BROWSER_KEY}","events":[{{"a":}}]}}"#);
    let ask = post(broken_event).header("origin", "https://evil.example");
    ask.send(&bench).await.check_error(403, "origin_refused");
}

/// The key of an envelope is behind a body that may have to be inflated: who no key of an envelope
/// lets in does not come so far.
#[tokio::test]
async fn a_page_that_is_on_no_list_is_refused_before_its_body() {
    for (demo_site, code) in [(None, "origin_refused"), (Some("demo".into()), "demo_is_local")] {
        let bench = bench(&ServerConfig { demo_site, ..config() });
        for origin in ["https://evil.example", "null", "http://shop.example", ""] {
            let evil = post("").header("origin", origin).send_unread(&bench).await;
            evil.check_error(403, code);
            assert_eq!(evil.header("access-control-allow-origin"), None, "{origin}");
        }
        let envelope = |key: &str| post(format!(r#"{{"key":"{key}","events":[{}]}}"#, event("")));
        let listed = envelope(BROWSER_KEY).header("origin", ORIGIN).send(&bench).await;
        assert_eq!(listed.results(), ["ok"]);
        assert_eq!(envelope(SERVER_KEY).send(&bench).await.results(), ["ok"], "no page");
        let head = post(event("")).by_server().header("origin", "https://evil.example");
        assert_eq!(head.send(&bench).await.results(), ["ok"], "its key is in the head");
    }
}

/// It is judged with the head, and again only if the envelope shows another.
#[tokio::test]
async fn a_key_of_the_query_is_judged_before_the_body() {
    let limits = Limits { key_requests_per_second_max: 1, ..Limits::default() };
    let bench = bench(&ServerConfig { limits, ..config() });
    let at = |key: &str, body: String| post(body).path(&format!("/v1/events?key={key}"));
    let evil = at(BROWSER_KEY, String::new()).header("origin", "https://evil.example");
    evil.send_unread(&bench).await.check_error(403, "origin_refused");
    at("wrong", String::new()).send_unread(&bench).await.check_error(401, "key_unknown");
    let of_both = |key: &str| format!(r#"{{"key":"{key}","events":[{}]}}"#, event(""));
    let same = || at(SERVER_KEY, of_both(SERVER_KEY)).send(&bench);
    assert_eq!(same().await.results(), ["ok"]);
    assert_eq!(same().await.results(), ["ok"], "taken from the key's rate once");
    at(SERVER_KEY, String::new()).send_unread(&bench).await.check_error(429, "too_many_requests");
}

#[tokio::test]
async fn a_preflight_is_answered_for_listed_origins() {
    let bench = bench(&config());
    let ask = |origin: &str| {
        post("")
            .method("OPTIONS")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
    };
    let good = ask(ORIGIN).send(&bench).await;
    assert_eq!(good.status, 204);
    assert_eq!(good.header("access-control-allow-origin"), Some(ORIGIN));
    assert_eq!(good.header("access-control-allow-methods"), Some("POST"));
    let allowed = good.header("access-control-allow-headers").expect("headers");
    assert!(allowed.contains("authorization") && allowed.contains("content-type"));
    assert_eq!(good.header("access-control-allow-credentials"), None);
    for origin in ["https://evil.example", "null"] {
        let refused = ask(origin).send(&bench).await;
        refused.check_error(403, "origin_refused");
        assert_eq!(refused.header("access-control-allow-origin"), None);
        assert_eq!(refused.header("vary"), Some("Origin"));
    }
    assert_eq!(good.header("vary"), Some("Origin"));
}

#[tokio::test]
async fn errors_can_be_read_by_listed_origins() {
    let bench = bench(&config());
    let answer = post("nonsense").bearer(BROWSER_KEY).header("origin", ORIGIN).send(&bench).await;
    answer.check_error(400, "not_json");
    assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
}

#[tokio::test]
async fn the_visits_secret_proves_its_visit() {
    let bench = bench(&config());
    let secret = [7_u8; 32];
    let visit: String =
        Sha256::digest(secret)[..16].iter().map(|byte| format!("{byte:02X}")).collect();
    let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let own = format!(r#"{{"eventName":"A","visitID":"{visit}"}}"#);
    let other = format!(r#"{{"eventName":"A","visitID":"{VISIT}"}}"#);
    for (key, shown) in
        [(BROWSER_KEY, secret.as_str()), (BROWSER_KEY, "00"), (MATCHING_KEY, "wrong")]
    {
        let body = format!(r#"{{"key":"{key}","visitSecret":"{shown}","events":[{own},{other}]}}"#);
        let answer = post(body).header("origin", ORIGIN).send(&bench).await;
        assert_eq!(answer.results(), ["ok", "ok"]);
    }
    let flags: Vec<_> = bench.log.events().iter().map(|event| event.flags).collect();
    let recorded = Flags::UNPROVEN.with(Flags::RECORD_ONLY);
    let matched = Flags::UNPROVEN;
    let expected = [Flags::default(), recorded, recorded, recorded, matched, matched];
    assert_eq!(flags, expected);
    for event in bench.log.events() {
        let text = format!("{event:?}");
        assert!(!text.contains(&secret), "the secret is stored nowhere: {text}");
    }
}

#[tokio::test]
async fn the_demo_takes_keyless_events_of_this_machine_only() {
    let demo = bench(&ServerConfig { demo_site: Some("demo".into()), ..config() });
    let local = || post(numbered(1)).from("127.0.0.1:9").header("host", "localhost:8080");
    assert_eq!(local().send(&demo).await.results(), ["ok"]);
    let event = demo.log.events().remove(0);
    assert_eq!((&*event.site, event.flags), ("demo", Flags::UNPROVEN));
    let page = local().header("origin", "http://localhost:8080").send(&demo).await;
    assert_eq!(page.header("access-control-allow-origin"), Some("http://localhost:8080"));
    for ask in [
        local().header("origin", "https://evil.example"),
        local().header("x-forwarded-for", "203.0.113.9"),
        local().header("forwarded", "for=203.0.113.9"),
        post(numbered(2)).from("127.0.0.1:9").header("host", "evil.example"),
        post(numbered(2)).from("192.0.2.1:9").header("host", "localhost"),
        post(numbered(2)).from("127.0.0.1:9"),
    ] {
        ask.send(&demo).await.check_error(403, "demo_is_local");
    }
    let plain = bench(&config());
    local().send(&plain).await.check_error(401, "key_missing");
}
