//! Rejected events of authenticated requests are kept without secrets, listed, shown, replayed.

use crate::support::{
    Answer, BROWSER_KEY, Bench, ORIGIN, SERVER_KEY, VISIT, bench, config, event, get, numbered,
    post,
};
use beckon_engine::log::Refused;
use beckon_ingest::ServerConfig;
use beckon_ingest::tokens::Scope;
use serde_json::{Value, json};

async fn letters(bench: &Bench, query: &str) -> Vec<Value> {
    bench.letters.flush();
    let token = bench.token(Scope::DeadLetters);
    let path = format!("/v1/dead-letters{query}");
    let answer = get(&path).bearer(&token).send(bench).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["letters"].as_array().expect("letters").clone()
}

async fn show(bench: &Bench, id: &Value) -> Answer {
    let token = bench.token(Scope::DeadLetters);
    get(&format!("/v1/dead-letters/{id}")).bearer(&token).send(bench).await
}

async fn replay(bench: &Bench, request: Value) -> Value {
    let token = bench.token(Scope::EventsReplay);
    let ask = post(request.to_string()).path("/v1/dead-letters/replay").bearer(&token);
    let answer = ask.send(bench).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn what_is_rejected_is_kept_with_its_reason() {
    let bench = bench(&config());
    let body = format!("[{},{{\"eventName\":\"A\"}},{}]", numbered(1), event(r#","url":"x""#));
    let ask = post(body).by_server().header("user-agent", "curl/8.0");
    assert_eq!(ask.send(&bench).await.results(), ["ok", "missing_field", "bad_url"]);
    let found = letters(&bench, "").await;
    assert_eq!(found.len(), 2);
    assert_eq!(found[0]["code"], "missing_field");
    assert_eq!(found[0]["path"], "$.visitID");
    assert_eq!(found[0]["key"], "shop/server");
    assert_eq!(found[0]["address"], "192.0.2.0");
    assert_eq!(found[0]["user_agent"], "curl/8.0");
    let whole = show(&bench, &found[0]["id"]).await;
    assert_eq!(whole.json()["original"], r#"{"eventName":"A"}"#);
    assert_eq!(letters(&bench, "?code=bad_url").await.len(), 1);
    assert_eq!(letters(&bench, "?key=shop/web").await.len(), 0);
    let second = letters(&bench, &format!("?limit=1&after={}", found[0]["id"])).await;
    assert_eq!(second, found[1..]);
}

#[tokio::test]
async fn no_key_and_no_secret_is_kept() {
    let bench = bench(&config());
    let secret = "ab".repeat(32);
    let bad = format!(
        r#"{{"eventName":"A","key":"{BROWSER_KEY}","note":"{secret}","password":"pw-1",
            "url":"https://ann:pw-2@a.example/?access_token=pw-3","data":"{SERVER_KEY}",
            "text":"{BROWSER_KEY}"}}"#
    );
    let body = format!(r#"{{"key":"{BROWSER_KEY}","visitSecret":"{secret}","events":[{bad}]}}"#);
    let ask = post(body).path(&format!("/v1/events?key={SERVER_KEY}")).header("origin", ORIGIN);
    assert_eq!(ask.send(&bench).await.results(), ["missing_field"]);
    let found = letters(&bench, "").await;
    let whole = show(&bench, &found[0]["id"]).await.text;
    for kept in [BROWSER_KEY, SERVER_KEY, &secret, "pw-1", "pw-2", "pw-3"] {
        assert!(!whole.contains(kept), "{kept} is in {whole}");
    }
}

#[tokio::test]
async fn the_key_of_the_header_is_not_kept() {
    let bench = bench(&config());
    let body = format!(r#"{{"eventName":"A","text":"{SERVER_KEY}"}}"#);
    assert_eq!(post(body).by_server().send(&bench).await.results(), ["missing_field"]);
    let found = letters(&bench, "").await;
    let whole = show(&bench, &found[0]["id"]).await;
    assert_eq!(whole.json()["original"], r#"{"eventName":"A","text":""}"#);
}

#[tokio::test]
async fn strangers_and_refused_requests_leave_no_letters() {
    let bench = bench(&config());
    post("{}").bearer("wrong").send(&bench).await.check_error(401, "key_unknown");
    let evil = post("{}").bearer(BROWSER_KEY).header("origin", "https://evil.example");
    evil.send(&bench).await.check_error(403, "origin_refused");
    bench.log.refuse(Some(Refused::Busy));
    let both = format!("[{{}},{}]", numbered(1));
    post(both).by_server().send(&bench).await.check_error(503, "log_busy");
    assert!(letters(&bench, "").await.is_empty());
}

#[tokio::test]
async fn a_replay_runs_todays_checks_once() {
    let strict = bench(&ServerConfig {
        limits: beckon_ingest::limits::Limits { json_depth_max: 1, ..Default::default() },
        ..config()
    });
    let body = format!("[{},{{\"eventName\":\"A\"}}]", event(r#","data":{"a":1}"#));
    let answer = post(body).by_server().send(&strict).await;
    assert_eq!(answer.results(), ["too_deep", "missing_field"]);
    let ids: Vec<_> = letters(&strict, "").await.iter().map(|head| head["id"].clone()).collect();
    // The same letters before a server with other limits.
    let today = bench_over(&strict);
    let results = replay(&today, json!({ "ids": ids })).await["results"].clone();
    assert_eq!(results[0]["status"], "ok");
    assert_eq!(
        (&results[1]["status"], &results[1]["reason"]),
        (&json!("rejected"), &json!("missing_field"))
    );
    let stored = today.log.events();
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].visit.to_string(), VISIT);
    let again = replay(&today, json!({ "ids": [ids[0]] })).await;
    assert_eq!(again["results"][0]["status"], "duplicate", "its id follows from the letter");
    let rest = replay(&today, json!({ "site": "shop" })).await;
    assert_eq!(rest["results"].as_array().map(Vec::len), Some(1), "the replayed one is marked");
    assert_eq!(letters(&today, "?is_replayed=true").await.len(), 1);
    let unknown = replay(&today, json!({ "ids": [1] })).await;
    assert_eq!(unknown["results"][0]["status"], "unknown");
}

#[tokio::test]
async fn a_letter_that_holds_only_a_beginning_is_not_replayed() {
    let bench = bench(&config());
    let large = event(&format!(r#","data":{{"a":"{}"}}"#, "x".repeat(70_000)));
    assert_eq!(post(large).by_server().send(&bench).await.results(), ["too_large"]);
    bench.letters.flush();
    let result = replay(&bench, json!({})).await["results"][0].clone();
    assert_eq!((&result["status"], &result["reason"]), (&json!("rejected"), &json!("too_large")));
    assert_eq!(result["message"], "the letter holds only the beginning of the event");
}

fn bench_over(other: &Bench) -> Bench {
    crate::support::bench_with(&config(), Some(std::sync::Arc::clone(&other.letters)))
}

#[tokio::test]
async fn slips_are_told() {
    let bench = bench(&config());
    let token = bench.token(Scope::Operator);
    let ask = |path: &str| get(path).bearer(&token);
    ask("/v1/dead-letters?sight=x").send(&bench).await.check_error(400, "bad_query");
    ask("/v1/dead-letters/x").send(&bench).await.check_error(400, "bad_query");
    ask("/v1/dead-letters/7").send(&bench).await.check_error(404, "letter_unknown");
    let replay = |body: &str| post(body).path("/v1/dead-letters/replay").bearer(&token);
    replay("{\"id\":1}").send(&bench).await.check_error(400, "bad_request");
    // `[]` is no filter that all of them pass.
    replay("[]").send(&bench).await.check_error(400, "bad_request");
    let many = json!({ "ids": vec![1; 101] }).to_string();
    replay(&many).send(&bench).await.check_error(400, "bad_request");
}
