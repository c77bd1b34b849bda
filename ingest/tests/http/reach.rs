//! A token of one site sees and does what concerns that site, and nothing else.

use crate::support::{Bench, SERVER_KEY, bench, config, get, post};
use beckon_ingest::sites::SiteConfig;
use beckon_ingest::tokens::Scope;
use beckon_ingest::{Access, ServerConfig};
use serde_json::{Value, json};

const BLOG_KEY: &str = "the-blog-has-a-secret-of-its-own";

/// The shop, and a blog with a server key.
fn two_sites() -> Bench {
    let mut config = config();
    let mut key = config.sites["shop"].keys[0].clone();
    key.key = Some(BLOG_KEY.into());
    config.sites.insert("blog".into(), SiteConfig { keys: vec![key], ..SiteConfig::default() });
    bench(&config)
}

/// An event rejected on each site: the letters' heads by a token for all, the shop's first.
async fn two_letters(bench: &Bench) -> Vec<Value> {
    for key in [SERVER_KEY, BLOG_KEY] {
        let answer = post(r#"{"eventName":"A"}"#).bearer(key).send(bench).await;
        assert_eq!(answer.results(), ["missing_field"]);
    }
    bench.letters.flush();
    let all = bench.token(Scope::DeadLetters);
    letters(bench, &all).await
}

async fn letters(bench: &Bench, token: &str) -> Vec<Value> {
    let answer = get("/v1/dead-letters").bearer(token).send(bench).await;
    answer.json()["letters"].as_array().expect("letters").clone()
}

#[tokio::test]
async fn what_happens_now_is_shown_of_the_tokens_site() {
    let bench = two_sites();
    for site in [None, Some("shop")] {
        let token = bench.token_for(Scope::LiveRead, site);
        let snapshot = get("/v1/live/snapshot").bearer(&token).send(&bench).await;
        assert_eq!(snapshot.json()["site"], json!(site));
        let mut stream = crate::live::open_with(&bench, &token).await;
        let said = crate::live::next(&mut stream).await;
        assert!(said.contains(&format!("\"site\":{}", json!(site))), "{said}");
    }
}

#[tokio::test]
async fn dead_letters_are_those_of_the_tokens_site() {
    let bench = two_sites();
    let all = two_letters(&bench).await;
    assert_eq!([&all[0]["site"], &all[1]["site"]], ["shop", "blog"]);
    let blog = bench.token_for(Scope::DeadLetters, Some("blog"));
    assert_eq!(letters(&bench, &blog).await, all[1..]);
    let of = |site: &str| get(&format!("/v1/dead-letters?site={site}")).bearer(&blog);
    of("shop").send(&bench).await.check_error(403, "other_site");
    assert_eq!(of("blog").send(&bench).await.json()["letters"][0], all[1]);
    let show = |letter: &Value| get(&format!("/v1/dead-letters/{}", letter["id"])).bearer(&blog);
    show(&all[0]).send(&bench).await.check_error(404, "letter_unknown");
    assert_eq!(show(&all[1]).send(&bench).await.status, 200);
}

#[tokio::test]
async fn a_replay_takes_letters_of_the_tokens_site() {
    let bench = two_sites();
    let all = two_letters(&bench).await;
    let blog = bench.token_for(Scope::EventsReplay, Some("blog"));
    let replay =
        |request: Value| post(request.to_string()).path("/v1/dead-letters/replay").bearer(&blog);
    let ids: Vec<_> = all.iter().map(|letter| &letter["id"]).collect();
    let results = replay(json!({ "ids": ids })).send(&bench).await.json()["results"].clone();
    assert_eq!([&results[0]["status"], &results[1]["status"]], ["unknown", "rejected"]);
    let results = replay(json!({})).send(&bench).await.json()["results"].clone();
    assert_eq!(results.as_array().map(Vec::len), Some(1));
    assert_eq!(results[0]["id"], all[1]["id"]);
    replay(json!({ "site": "shop" })).send(&bench).await.check_error(403, "other_site");
}

/// What concerns all sites needs a token for all, also the operator's.
#[tokio::test]
async fn every_route_says_whether_a_token_of_one_site_is_enough() {
    let bench = bench(&ServerConfig { demo_site: None, ..config() });
    let token = bench.token_for(Scope::Operator, Some("shop"));
    let mut enough = Vec::new();
    for (method, path, access) in bench.server.routes() {
        let asked = path.replace("{id}", "1");
        let ask = || get(&asked).method(String::leak(method.to_string())).bearer(&token);
        match access {
            Access::Public | Access::WriteKey | Access::Visit => {}
            Access::Token(_) => ask().send(&bench).await.check_error(403, "other_site"),
            Access::SiteToken(_)
            | Access::SiteTokenOrDemo(_)
            | Access::SiteTokenOrOrigin(_)
            | Access::SiteVisit(_) => {
                enough.push(path.to_owned());
            }
        }
    }
    assert_eq!(
        enough,
        [
            "/server/data/visits",
            "/server/data/visits/{id}/events",
            "/v1/live",
            "/v1/live/snapshot",
            "/v1/dead-letters",
            "/v1/dead-letters/{id}",
            "/v1/dead-letters/replay",
            "/v1/rules",
            "/v1/rules/{package}",
            "/v1/rules/{package}",
            "/v1/rules/{package}",
            "/v1/actions/pause",
            "/v1/actions/resume",
            "/v1/visits/{visitID}/token",
            "/server/data/notification/notify/{visitID}",
        ]
    );
}
