//! Who is let through to a visit: its secret, a token of it, and nobody else.

use crate::support::{
    Answer, Ask, BROWSER_KEY, Bench, ORIGIN, SERVER_KEY, VISIT, bench, config, get, post,
};
use beckon_ingest::sites::SiteConfig;
use beckon_ingest::tokens::Scope;
use beckon_ingest::{ServerConfig, visits};
use serde_json::json;

/// A visit's secret, and its id: the first 128 bits of the secret's SHA-256.
const SECRET: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const VISIT_OF_SECRET: &str = "630DCD2966C4336691125448BBB25B4F";

fn post_to(path: &str, body: &str) -> Ask {
    post(body).path(path)
}

fn listen(visit: &str, key: &str) -> String {
    format!("/v1/visits/{visit}/notifications?key={key}")
}

fn check_let_through(answer: &Answer, visit: &str) {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let json = answer.json();
    assert_eq!((&json["site"], &json["visit"]), (&json!("shop"), &json!(visit)));
}

async fn token(bench: &Bench, visit: &str) -> String {
    let server = bench.token(Scope::VisitsToken);
    let path = format!("/v1/visits/{visit}/token");
    let answer = post_to(&path, "").bearer(&server).send(bench).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let json = answer.json();
    assert_eq!(json["expires_ms"], crate::support::NOW_MS + visits::VISIT_TOKEN_MS);
    json["token"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn who_shows_the_secret_is_let_through() {
    let bench = bench(&config());
    let ask = |path: &str| get(path).bearer(SECRET);
    let path = listen(VISIT_OF_SECRET, BROWSER_KEY);
    check_let_through(&ask(&path).send(&bench).await, VISIT_OF_SECRET);
    let by_page = ask(&path).header("origin", ORIGIN).send(&bench).await;
    check_let_through(&by_page, VISIT_OF_SECRET);
    assert_eq!(by_page.headers["access-control-allow-origin"], ORIGIN);
    assert_eq!(by_page.headers["vary"], "Origin");
    let by_server = ask(&listen(VISIT_OF_SECRET, SERVER_KEY)).send(&bench).await;
    check_let_through(&by_server, VISIT_OF_SECRET);
    // An id in another form is the same visit.
    let dashed = listen("630dcd29-66c4-3366-9112-5448bbb25b4f", BROWSER_KEY);
    check_let_through(&ask(&dashed).send(&bench).await, VISIT_OF_SECRET);
    let path = format!("/v1/visits/{VISIT_OF_SECRET}/notifications/1?key={BROWSER_KEY}");
    let word = post_to(&path, "{ }").bearer(SECRET).send(&bench).await;
    check_let_through(&word, VISIT_OF_SECRET);
    assert_eq!(word.json()["body_bytes"], 3);
}

/// To the letter, so that nobody learns which visits there are.
#[tokio::test]
async fn wrong_and_unknown_visits_answer_alike() {
    let bench = bench(&config());
    let other = SECRET.replace("00", "ff");
    let wrong = [
        (VISIT_OF_SECRET, other.as_str()),
        (VISIT, SECRET),
        ("session-1", SECRET),
        (VISIT_OF_SECRET, "no secret"),
        (VISIT_OF_SECRET, "bkv_AAAA"),
        (VISIT, "bkv_AAAA"),
        (VISIT_OF_SECRET, BROWSER_KEY),
    ];
    let mut answers = Vec::new();
    for (visit, secret) in wrong {
        let answer = get(&listen(visit, BROWSER_KEY)).bearer(secret).send(&bench).await;
        answer.check_error(401, "visit_refused");
        answers.push((answer.text.clone(), answer.headers.clone()));
    }
    let without = get(&listen(VISIT, BROWSER_KEY)).send(&bench).await;
    without.check_error(401, "visit_refused");
    answers.push((without.text, without.headers));
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn a_secret_needs_the_key_that_names_the_site() {
    let bench = bench(&config());
    let ask = |key: &str| get(&listen(VISIT_OF_SECRET, key)).bearer(SECRET);
    ask("wrong").send(&bench).await.check_error(401, "key_unknown");
    let path = format!("/v1/visits/{VISIT_OF_SECRET}/notifications");
    get(&path).bearer(SECRET).send(&bench).await.check_error(401, "key_missing");
    let elsewhere = ask(BROWSER_KEY).header("origin", "https://evil.example").send(&bench).await;
    elsewhere.check_error(403, "origin_refused");
    assert!(!elsewhere.headers.contains_key("access-control-allow-origin"));
    // In an address it opens nothing.
    let path =
        format!("{}&secret={SECRET}&visitSecret={SECRET}", listen(VISIT_OF_SECRET, BROWSER_KEY));
    get(&path).send(&bench).await.check_error(401, "visit_refused");
}

#[tokio::test]
async fn a_token_opens_one_visit_for_an_hour_without_a_key() {
    let bench = bench(&config());
    let path = |visit: &str| format!("/v1/visits/{visit}/notifications");
    let tokens =
        [(VISIT, token(&bench, VISIT).await), ("session-1", token(&bench, "session-1").await)];
    for (visit, token) in &tokens {
        check_let_through(&get(&path(visit)).bearer(token).send(&bench).await, visit);
        let other = get(&path(VISIT_OF_SECRET)).bearer(token).send(&bench).await;
        other.check_error(401, "visit_refused");
    }
    bench.clock.advance(u32::try_from(visits::VISIT_TOKEN_MS - 1).expect("an hour"));
    for (visit, token) in &tokens {
        check_let_through(&get(&path(visit)).bearer(token).send(&bench).await, visit);
    }
    bench.clock.advance(1);
    for (visit, token) in &tokens {
        get(&path(visit)).bearer(token).send(&bench).await.check_error(401, "visit_refused");
    }
}

#[tokio::test]
async fn a_token_is_got_by_a_server_for_its_site() {
    let mut config = config();
    config.sites.insert("blog".into(), SiteConfig::default());
    let bench = bench(&config);
    let path = format!("/v1/visits/{VISIT}/token");
    let ask = |path: &str, token: &str| post_to(path, "").bearer(token);
    let live = bench.token(Scope::LiveRead);
    ask(&path, &live).send(&bench).await.check_error(403, "scope_missing");
    let all = bench.token(Scope::VisitsToken);
    ask(&path, &all).send(&bench).await.check_error(400, "site_missing");
    let of = |site: &str| format!("{path}?site={site}");
    ask(&of("nowhere"), &all).send(&bench).await.check_error(400, "site_unknown");
    let shop = bench.token_for(Scope::VisitsToken, Some("shop"));
    ask(&of("blog"), &shop).send(&bench).await.check_error(403, "other_site");
    for (path, token) in [(&of("shop"), &all), (&path, &shop)] {
        let answer = ask(path, token).send(&bench).await;
        let of_visit = answer.json()["token"].as_str().expect("a token").to_owned();
        let listen = format!("/v1/visits/{VISIT}/notifications");
        check_let_through(&get(&listen).bearer(&of_visit).send(&bench).await, VISIT);
    }
}

#[tokio::test]
async fn a_servers_messages_come_to_the_visit_of_its_site() {
    let bench = bench(&config());
    let token = bench.token(Scope::NotifyWrite);
    let path = format!("/server/data/notification/notify/{VISIT}");
    let answer = post_to(&path, "[]").bearer(&token).send(&bench).await;
    check_let_through(&answer, VISIT);
    // As the password of Basic, as such servers send it.
    let basic = {
        use base64::Engine as _;
        let text = format!("server:{token}");
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
    };
    let by_basic = || post_to(&path, "[]").header("authorization", &basic);
    by_basic().send(&bench).await.check_error(415, "json_needed");
    let answer = by_basic().header("content-type", "application/json").send(&bench).await;
    check_let_through(&answer, VISIT);
    let long = "x".repeat(2 << 20);
    let answer = post_to(&path, &long).bearer(&token).send(&bench).await;
    answer.check_error(413, "body_too_large");
    let path = format!("/server/data/notification/notify/{}", "x".repeat(200));
    post_to(&path, "[]").bearer(&token).send(&bench).await.check_error(400, "bad_visit");
}

#[tokio::test]
async fn a_demo_listens_without_a_key_on_its_own_machine() {
    let bench = bench(&ServerConfig { demo_site: Some("demo".into()), ..config() });
    let path = format!("/v1/visits/{VISIT_OF_SECRET}/notifications");
    let ask = || get(&path).bearer(SECRET);
    let here = ask().from("127.0.0.1:40000").header("host", "localhost:7700").send(&bench).await;
    assert_eq!(here.json()["site"], "demo");
    ask().send(&bench).await.check_error(403, "demo_is_local");
}

#[tokio::test]
async fn a_page_may_ask_before_it_listens() {
    let bench = bench(&config());
    let path = format!("/v1/visits/{VISIT}/notifications");
    let ask = |origin: &str| get(&path).method("OPTIONS").header("origin", origin);
    let answer = ask(ORIGIN).send(&bench).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.headers["access-control-allow-methods"], "GET, POST");
    let headers = "authorization, content-type, last-event-id";
    assert_eq!(answer.headers["access-control-allow-headers"], headers);
    ask("https://evil.example").send(&bench).await.check_error(403, "origin_refused");
}

/// Whatever is asked for, and however it is answered.
#[tokio::test]
async fn answers_of_the_api_are_no_scripts_and_kept_nowhere() {
    let bench = bench(&config());
    let token = bench.token(Scope::NotifyWrite);
    let paths = [
        listen(VISIT_OF_SECRET, BROWSER_KEY),
        listen(VISIT_OF_SECRET, "wrong"),
        "/v1/status".to_owned(),
        "/v1/nothing".to_owned(),
        "/server/data/nothing".to_owned(),
        format!("/server/data/notification/notify/{VISIT}"),
    ];
    for path in paths {
        let glue = if path.contains('?') { '&' } else { '?' };
        let asked = get(&format!("{path}{glue}callback=f&jsonp=f")).bearer(SECRET);
        let sent = post_to(&format!("{path}{glue}callback=f"), "[]").bearer(&token);
        for answer in [asked.send(&bench).await, sent.send(&bench).await] {
            let header = |name: &str| answer.headers.get(name).map(|it| it.to_str().expect("text"));
            assert_eq!(header("x-content-type-options"), Some("nosniff"), "{path}");
            assert_eq!(header("cross-origin-resource-policy"), Some("same-origin"), "{path}");
            assert_eq!(header("cache-control"), Some("no-store"), "{path}");
            assert_eq!(header("content-type"), Some("application/json"), "{path}");
            assert!(!answer.text.starts_with('f'), "{}", answer.text);
        }
    }
}
