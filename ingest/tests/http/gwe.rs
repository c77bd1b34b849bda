//! The doors of Genesys Web Engagement: visits and their events, by tokens and by pages of an origin.

use crate::support::{Ask, Bench, MATCHING_KEY, NOW_MS, ORIGIN, VISIT, bench, config, post};
use base64::Engine as _;
use beckon_engine::model::Flags;
use beckon_ingest::ServerConfig;
use beckon_ingest::dead_letters::Filter;
use beckon_ingest::tokens::Scope;

const VISITS: &str = "/server/data/visits";

fn events_of(visit: &str) -> String {
    format!("{VISITS}/{visit}/events")
}

/// A password, as a GWE integration has it.
fn basic(ask: Ask, token: &str) -> Ask {
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("gwe:{token}"));
    ask.header("authorization", &format!("Basic {basic}"))
        .header("content-type", "application/json; charset=utf-8")
}

fn writer(bench: &Bench) -> String {
    bench.token_for(Scope::EventsWrite, Some("shop"))
}

fn started(rest: &str) -> String {
    format!(r#"{{"eventName":"VisitStarted","timestamp":{NOW_MS}{rest}}}"#)
}

#[tokio::test]
async fn a_visit_is_answered_with_itself() {
    let bench = bench(&config());
    let token = writer(&bench);
    let id = "00000000000000000000000000000001";
    let rest = format!(r#","visitID":"{VISIT}","globalVisitID":"{id}","eventID":"{id}""#);
    for _ in 0..2 {
        let answer = basic(post(started(&rest)).path(VISITS), &token).send(&bench).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let expected = serde_json::json!({
            "visitId": VISIT, "startDate": NOW_MS, "endDate": 0, "globalVisitID": id,
            "eventIds": [id],
        });
        assert_eq!(answer.json(), expected);
    }
    let [event] = &bench.log.events()[..] else { panic!("the same one twice") };
    assert_eq!((&*event.site, event.flags.has(Flags::UNPROVEN)), ("shop", false), "proven");
}

#[tokio::test]
async fn a_visit_without_an_id_is_given_one() {
    let bench = bench(&config());
    let answer = post(started("")).path(VISITS).bearer(&writer(&bench)).send(&bench).await;
    let json = answer.json();
    let id = json["visitId"].as_str().expect("an id");
    assert_eq!(id.len(), 32);
    assert_eq!(bench.log.events()[0].visit.0.to_string(), id);
    assert!(json.get("globalVisitID").is_none());
}

/// The answer was lost, so it is sent again: the visit is the one that began.
#[tokio::test]
async fn a_visit_that_is_begun_again_is_the_same() {
    let bench = bench(&config());
    let begun = started(r#","eventID":"00000000000000000000000000000001""#);
    let ask = || post(begun.clone()).path(VISITS).bearer(&writer(&bench));
    let (first, second) = (ask().send(&bench).await.json(), ask().send(&bench).await.json());
    assert_eq!(first, second);
    let [event] = &bench.log.events()[..] else { panic!("the same one twice") };
    assert_eq!(event.visit.0.to_string(), first["visitId"].as_str().expect("an id"));
}

#[tokio::test]
async fn what_begins_no_visit_is_malformed_and_kept() {
    let bench = bench(&config());
    let ask = |body: &str| post(body).path(VISITS).bearer(&writer(&bench));
    let entered = format!(r#"{{"eventName":"PageEntered","visitID":"{VISIT}"}}"#);
    ask(&entered).send(&bench).await.check_error(400, "bad_event_name");
    ask(r#"{"visitID":7}"#).send(&bench).await.check_error(400, "missing_field");
    ask("[]").send(&bench).await.check_error(400, "one_event");
    ask("[{},{}]").send(&bench).await.check_error(400, "one_event");
    ask("{").send(&bench).await.check_error(400, "not_json");
    assert_eq!(bench.log.events().len(), 0);
    bench.letters.flush();
    let letters = bench.letters.list(&Filter::default(), Default::default(), 10).expect("read");
    let codes: Vec<_> = letters.iter().map(|letter| (&*letter.key, &*letter.code)).collect();
    assert_eq!(codes, [("shop/@token", "bad_event_name"), ("shop/@token", "missing_field")]);
}

#[tokio::test]
async fn events_are_of_the_visit_of_the_path() {
    let bench = bench(&config());
    let token = writer(&bench);
    let ask = |body: String| basic(post(body).path(&events_of(VISIT)), &token);
    let other = "00000000000000000000000000000002";
    let same = VISIT.to_lowercase();
    let all = format!(
        r#"[{{"eventName":"A"}},{{"eventName":"B","visitID":"{same}"}},
            {{"eventName":"C","visitID":"{other}"}},{{}}]"#
    );
    let answer = ask(all).send(&bench).await;
    assert_eq!(answer.results(), ["ok", "ok", "other_visit", "missing_field"]);
    let visits: Vec<_> = bench.log.events().iter().map(|it| it.visit.0.to_string()).collect();
    assert_eq!(visits, [VISIT, VISIT]);
    let one = ask(r#"{"eventName":"D"}"#.to_owned()).send(&bench).await;
    assert_eq!(one.results(), ["ok"]);
    let wrong = ask(format!(r#" {{"eventName":"E","visitID":"{other}"}}"#)).send(&bench).await;
    wrong.check_error(400, "other_visit");
    for visit in ["x", "%FF"] {
        let path = post("{}").path(&events_of(visit)).bearer(&token);
        path.send(&bench).await.check_error(400, "bad_id");
    }
}

/// Its visit stood in the path.
#[tokio::test]
async fn a_letter_knows_its_visit() {
    let bench = bench(&config());
    let body = r#"[{"eventName":"A","url":7},{"eventName":"B"}]"#;
    let ask = post(body).path(&events_of(VISIT)).bearer(&writer(&bench));
    assert_eq!(ask.send(&bench).await.results(), ["wrong_type", "ok"]);
    bench.letters.flush();
    let letters = bench.letters.list(&Filter::default(), Default::default(), 10).expect("read");
    assert_eq!(letters[0].visit.as_deref(), Some(VISIT));
}

#[tokio::test]
async fn who_may_send() {
    let bench = bench(&config());
    for path in [VISITS.to_owned(), events_of(VISIT)] {
        let ask = || post(started("")).path(&path);
        ask().send(&bench).await.check_error(401, "token_missing");
        ask().header("origin", ORIGIN).send(&bench).await.check_error(401, "token_missing");
        ask().bearer("bkn_x").send(&bench).await.check_error(401, "token_unknown");
        let reader = bench.token_for(Scope::RulesRead, Some("shop"));
        ask().bearer(&reader).send(&bench).await.check_error(403, "scope_missing");
        let of_all = bench.token(Scope::EventsWrite);
        ask().bearer(&of_all).send(&bench).await.check_error(403, "other_site");
        let elsewhere = bench.token_for(Scope::EventsWrite, Some("elsewhere"));
        ask().bearer(&elsewhere).send(&bench).await.check_error(403, "other_site");
    }
    assert_eq!(bench.log.events().len(), 0);
}

#[tokio::test]
async fn a_browsers_password_is_not_for_other_pages() {
    let bench = bench(&config());
    let token = writer(&bench);
    let ask = || basic(post(started("")).path(VISITS), &token);
    let page = ask().header("sec-fetch-site", "cross-site");
    page.send(&bench).await.check_error(403, "cross_site");
    let page = ask().header("host", "beckon.example").header("origin", ORIGIN);
    page.send(&bench).await.check_error(403, "cross_site");
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("gwe:{token}"));
    let form = post(started("")).path(VISITS).header("authorization", &format!("Basic {basic}"));
    form.send(&bench).await.check_error(415, "json_needed");
    assert_eq!(bench.log.events().len(), 0);
}

/// No callback makes a script of an answer.
#[tokio::test]
async fn nothing_is_ever_a_script() {
    let bench = bench(&config());
    let path = format!("{VISITS}?callback=f&jsonp=f");
    let answer = post(started("")).path(&path).bearer(&writer(&bench)).send(&bench).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.text.starts_with('{'), "{}", answer.text);
}

/// Of the site `shop`, with one browser key.
fn open_to_its_pages() -> ServerConfig {
    let mut config = config();
    let shop = config.sites.get_mut("shop").expect("the site");
    shop.keys.retain(|key| key.key.as_deref() == Some(MATCHING_KEY));
    shop.default_for_origin = true;
    config
}

#[tokio::test]
async fn a_page_of_a_default_origin_needs_no_key() {
    let bench = bench(&open_to_its_pages());
    let visit = format!(r#","visitID":"{VISIT}""#);
    for path in [VISITS.to_owned(), events_of(VISIT), "/v1/events".to_owned()] {
        let ask = || post(started(&visit)).path(&path);
        let answer = ask().header("origin", ORIGIN).send(&bench).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
        let asked = ask().method("OPTIONS").header("origin", ORIGIN).send(&bench).await;
        assert_eq!(asked.status, 204, "{path}");
        let evil = ask().header("origin", "https://evil.example").send(&bench).await;
        assert!(matches!(evil.status.as_u16(), 401 | 403), "{path}: {}", evil.text);
        assert_eq!(evil.header("access-control-allow-origin"), None);
        assert_eq!(ask().send(&bench).await.status, 401, "{path}: no page");
    }
    let events = bench.log.events();
    assert_eq!(events.len(), 3);
    let flags = events.iter().map(|event| event.flags);
    assert!(flags.clone().all(|flags| flags.has(Flags::UNPROVEN)), "nothing is proven");
    assert!(!flags.clone().any(|flags| flags.has(Flags::RECORD_ONLY)), "and it is matched");
}
