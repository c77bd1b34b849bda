//! Each event has its own result, in order; 200 means on disk.

use crate::support::{
    BROWSER_KEY, Bench, NOW_MS, ORIGIN, VISIT, bench, config, event, get, numbered, post,
};
use beckon_engine::log::Refused;
use beckon_engine::model::{EventId, Id, Value};
use beckon_rules::schema::Schema;

async fn check(bench: &Bench, body: &str, expected: &[&str]) {
    let answer = post(body).by_server().send(bench).await;
    assert_eq!(answer.results(), expected, "{body}");
}

#[tokio::test]
async fn one_bad_event_does_not_cost_its_neighbours() {
    let bench = bench(&config());
    let body = format!(
        r#"[{},{{"eventName":"A"}},7,{},{},{}]"#,
        numbered(1),
        event(r#","timestamp":true"#),
        numbered(2),
        event(r#","eventType":"ACTIONABLE""#),
    );
    let expected = ["ok", "missing_field", "not_an_object", "wrong_type", "ok", "actionable_event"];
    check(&bench, &body, &expected).await;
    let ids: Vec<_> = bench.log.events().into_iter().map(|event| event.id).collect();
    assert_eq!(ids, [EventId(Id::Bits(1)), EventId(Id::Bits(2))]);
}

#[tokio::test]
async fn a_rejection_says_code_path_and_sentence() {
    let bench = bench(&config());
    let answer = post(r#"{"eventName":"A"}"#).by_server().send(&bench).await;
    let result = &answer.json()["results"][0];
    assert_eq!(result["status"], "rejected");
    assert_eq!(result["reason"], "missing_field");
    assert_eq!(result["path"], "$.visitID");
    assert_eq!(result["message"], "visitID is required");
}

#[tokio::test]
async fn copies_are_duplicates_within_a_batch_and_later() {
    let bench = bench(&config());
    let twice = format!("[{0},{0}]", numbered(5));
    check(&bench, &twice, &["ok", "duplicate"]).await;
    let dashed = event(r#","eventID":"00000000-0000-0000-0000-000000000005""#);
    check(&bench, &dashed, &["duplicate"]).await;
    assert_eq!(bench.log.events().len(), 1);
}

#[tokio::test]
async fn an_event_without_id_is_told_its_id() {
    let bench = bench(&config());
    let answer = post(event("")).by_server().send(&bench).await;
    let told = answer.json()["results"][0]["eventID"].as_str().map(str::to_owned);
    assert_eq!(told, Some(bench.log.events()[0].id.to_string()));
    let given = post(numbered(1)).by_server().send(&bench).await;
    assert_eq!(given.text, "{\"results\":[{\"status\":\"ok\"}]}\n", "a line, for a terminal");
}

#[tokio::test]
async fn dropped_fields_are_named() {
    let bench = bench(&config());
    let answer = post(event(r#","site":"x","colour":1"#)).by_server().send(&bench).await;
    assert_eq!(answer.json()["results"][0]["dropped"], serde_json::json!(["site", "colour"]));
}

#[tokio::test]
async fn nothing_is_answered_before_the_disk() {
    let bench = bench(&config());
    bench.log.hold_back();
    let asked = tokio::spawn(post(numbered(1)).by_server().send_to(bench.server.router()));
    while bench.log.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!asked.is_finished());
    bench.log.release();
    assert_eq!(asked.await.expect("an answer").results(), ["ok"]);
}

#[tokio::test]
async fn a_log_that_refuses_is_503_with_its_code() {
    let bench = bench(&config());
    for (refused, code) in [
        (Refused::Busy, "log_busy"),
        (Refused::LogFull, "log_full"),
        (Refused::DiskFull, "disk_full"),
        (Refused::Closed, "log_closed"),
    ] {
        bench.log.refuse(Some(refused));
        post(numbered(1)).by_server().send(&bench).await.check_error(503, code);
        get("/readyz").send(&bench).await.check_error(503, code);
    }
    bench.log.refuse(None);
    assert_eq!(get("/readyz").send(&bench).await.status, 200);
    check(&bench, &numbered(1), &["ok"]).await;
}

#[tokio::test]
async fn what_is_counted_can_be_read() {
    let bench = bench(&config());
    let body = format!(r#"[{0},{0},{{}}]"#, numbered(1));
    check(&bench, &body, &["ok", "duplicate", "missing_field"]).await;
    let lines = [
        r#"beckon_events_total{site="shop",result="ok"} 1"#,
        r#"beckon_events_total{site="shop",result="duplicate"} 1"#,
        r#"beckon_events_total{site="shop",result="rejected"} 1"#,
        r#"beckon_rejections_total{reason="missing_field"} 1"#,
        r#"beckon_rejections_total{reason="bad_url"} 0"#,
        r#"beckon_http_requests_total{route="/v1/events",status="200"} 1"#,
        "beckon_log_bytes 0",
        "beckon_log_records_total 0",
    ];
    bench.check_figures(&lines).await;
}

#[tokio::test]
async fn dropped_fields_and_unproven_events_are_counted() {
    let bench = bench(&config());
    let body = event(r#","site":"x","serverTimestamp":1,"isBot":true,"colour":1"#);
    let ask = post(body).bearer(BROWSER_KEY).header("origin", ORIGIN);
    assert_eq!(ask.send(&bench).await.results(), ["ok"]);
    check(&bench, &event(r#","colour":1"#), &["ok"]).await;
    let lines = [
        r#"beckon_dropped_fields_total{owner="server"} 3"#,
        r#"beckon_dropped_fields_total{owner="nobody"} 2"#,
        "beckon_unproven_events_total 1",
    ];
    bench.check_figures(&lines).await;
}

/// Names of the events table as JSON writes them; its test holds the list against the files.
fn names_of_the_table() -> Vec<String> {
    let columns = include_str!("../../../sinks/src/parquet/tests/columns.txt");
    columns
        .lines()
        .filter_map(|line| line.strip_prefix("events "))
        .map(|line| name_of_column(line.split([' ', '.']).next().unwrap_or(line)))
        .collect()
}

/// `user_agent_name` is `userAgent.name`, `visit_id` is `visitID`.
fn name_of_column(column: &str) -> String {
    for (group, name) in [("url", "url"), ("user_agent", "userAgent"), ("campaign", "campaign")] {
        if let Some(below) = column.strip_prefix(group).and_then(|rest| rest.strip_prefix('_')) {
            return format!("{name}.{below}");
        }
    }
    let mut words = column.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (start, rest) = word.split_at(1);
        name + &match word {
            "id" | "ids" => word.replace("id", "ID"),
            _ => start.to_uppercase() + rest,
        }
    })
}

/// What the reports say of an event and no input does is the server's, each name of it.
#[tokio::test]
async fn every_field_that_the_server_owns_is_dropped_and_counted_as_such() {
    let bench = bench(&config());
    let mut names = names_of_the_table();
    names.extend(Schema::event().names().map(str::to_owned));
    names.sort_unstable();
    names.dedup();
    let of_input = [
        "category",
        "data",
        "eventID",
        "eventName",
        "eventType",
        "globalVisitID",
        "languageCode",
        "pageID",
        "referrer",
        "seq",
        "timestamp",
        "title",
        "url",
        "visitID",
    ];
    let (said, owned): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| of_input.contains(&name.as_str()));
    assert_eq!(said, of_input);
    assert!(owned.len() > 30, "{owned:?}");
    let fields: String = owned.iter().map(|name| format!(r#","{name}":"forged""#)).collect();
    let answer = post(event(&fields)).by_server().send(&bench).await;
    assert_eq!(answer.json()["results"][0]["dropped"], serde_json::json!(owned));
    let event = bench.log.events().remove(0);
    assert!(!format!("{event:?}").contains("forged"), "{event:?}");
    let counted = format!("beckon_dropped_fields_total{{owner=\"server\"}} {}", owned.len());
    bench.check_figures(&[&counted]).await;
}

#[tokio::test]
async fn a_browsers_agent_and_address_are_in_every_event() {
    let bench = bench(&config());
    let agent = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
    let body = format!("[{},{}]", numbered(1), numbered(2));
    let ask = post(body).bearer(BROWSER_KEY).header("origin", ORIGIN).header("user-agent", agent);
    assert_eq!(ask.send(&bench).await.results(), ["ok", "ok"]);
    for event in bench.log.events() {
        assert_eq!(event.field("isBot"), Some(&Value::Bool(true)));
        assert_eq!(event.field("userAgent.name"), Some(&Value::Str("Googlebot".into())));
        assert_eq!(event.field("ip"), Some(&Value::Str("192.0.2.0".into())));
    }
}

#[tokio::test]
async fn an_agent_that_is_no_ascii_is_read() {
    let bench = bench(&config());
    let agent = "B\u{e4}r/1 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
    let ask = post(numbered(1)).bearer(BROWSER_KEY).header("origin", ORIGIN);
    assert_eq!(ask.header("user-agent", agent).send(&bench).await.results(), ["ok"]);
    assert_eq!(bench.log.events()[0].field("isBot"), Some(&Value::Bool(true)));
}

/// A name that rules may use and that no event has would make them silently wrong.
#[tokio::test]
async fn no_field_of_the_schema_is_always_null() {
    let bench = bench(&config());
    let agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:115.0) Gecko/20100101 Firefox/115.0";
    let query: String = ["source", "medium", "campaign", "term", "content"]
        .map(|name| format!("utm_{name}=x&"))
        .concat();
    let body = event(&format!(
        r#","eventType":"SYSTEM","globalVisitID":"{VISIT}","pageID":"{VISIT}","seq":1,
        "timestamp":{NOW_MS},"category":"shoes","languageCode":"en",
        "url":"https://shop.example/a?{query}","data":{{"referrer":"https://a.example/","title":"A"}}"#
    ));
    let ask = post(body).bearer(BROWSER_KEY).header("origin", ORIGIN).header("user-agent", agent);
    assert_eq!(ask.send(&bench).await.results(), ["ok"]);
    let event = bench.log.events().remove(0);
    for name in Schema::event().names() {
        let is_there = match name {
            // Every event has them, or may.
            "eventName" | "eventID" | "visitID" | "site" | "timestamp" | "serverTimestamp" => true,
            "globalVisitID" => event.visitor.is_some(),
            "pageID" => event.page.is_some(),
            "seq" => event.tie.is_some(),
            // The engine makes them up.
            "eventType" | "userID" | "visitScope" => true,
            name => event.field(name).is_some(),
        };
        assert!(is_there, "{name}");
    }
}
