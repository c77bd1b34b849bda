//! `beckon dead-letters`: what was rejected over HTTP is listed, shown, and judged again.

use crate::support::{KEY, Server, beckon, cells, configured, ids_in_parquet, printed, refused};
use serde_json::Value;
use std::path::Path;

/// What comes in: the first is too deep for a server that is strict, the second never good. Both
/// carry what must not be kept.
const TOO_DEEP: &str = r#"{"eventName":"AddToCart", "visitID":"00000000000000000000000000000001",
    "data":{"sku":"S 1","by":"KEY"},"password":"open sesame"}"#;
const WITHOUT_VISIT: &str = r#"{"eventName":"AddToCart","note":"a, KEY, b"}"#;

fn token(folder: &Path, scopes: &[&str]) -> String {
    let scopes: Vec<_> = scopes.iter().flat_map(|scope| ["--scope", scope]).collect();
    let text = printed(folder, &[&["token", "create", "--data", "data"], &scopes[..]].concat());
    text.lines().next().expect("a token").to_owned()
}

/// Has both events rejected by a server that takes no objects within events, and ends it, so
/// that the letters are on disk.
fn reject_both(folder: &Path) {
    let mut strict = beckon(folder);
    strict.env("BECKON_LIMITS__JSON_DEPTH_MAX", "1");
    let server = Server::start(strict, &["--data", "data"]);
    let body = format!("[{TOO_DEEP},{WITHOUT_VISIT}]").replace("KEY", KEY);
    let answer: Value =
        serde_json::from_str(&server.send(&body).expect("an answer").body).expect("JSON");
    let reasons: Vec<_> =
        (0..2).map(|at| answer["results"][at]["reason"].as_str().expect("a reason")).collect();
    assert_eq!(reasons, ["too_deep", "missing_field"]);
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn what_was_rejected_is_listed_shown_and_judged_by_todays_checks() {
    let folder = configured();
    let folder = folder.path();
    reject_both(folder);
    let token = token(folder, &["dead-letters", "events:replay"]);
    let server = Server::start(beckon(folder), &["--data", "data"]);
    let url = server.url();
    let asks = ["--server", url.as_str(), "--token", token.as_str()];
    let letters = |command: &[&str]| printed(folder, &[&["dead-letters"], command, &asks].concat());

    let list = letters(&["list"]);
    let rows = cells(&list);
    let [_, deep, without_visit] = &rows[..] else { panic!("{list}") };
    assert_eq!(deep[1..3], ["shop/backend", "too_deep"], "{list}");
    assert_eq!(without_visit[1..4], ["shop/backend", "missing_field", "$.visitID"], "{list}");
    assert!([deep, without_visit].iter().all(|row| row.last() == Some(&"false")), "{list}");
    assert_eq!(cells(&letters(&["list", "--code", "missing_field"])).len(), 2);
    let first = letters(&["list", "--limit", "1"]);
    assert!(first.ends_with(&format!("more: --after {}\n", deep[0])), "{first}");
    assert_eq!(cells(&letters(&["list", "--after", deep[0]]))[1], *without_visit);

    let shown: Value = serde_json::from_str(&letters(&["show", deep[0]])).expect("JSON");
    assert_eq!(shown["code"], "too_deep");
    assert_eq!(shown["secrets_removed"], 2);
    // Byte for byte what came, but for the key and the password.
    let kept = TOO_DEEP.replace("KEY", "").replace("\"open sesame\"", "null");
    assert_eq!(shown["original"], kept);

    let replayed = letters(&["replay"]);
    let why = without_visit[4];
    assert_eq!(replayed, format!("{}: {why}\n1 ok, 1 rejected\n", without_visit[0]));
    let rows = letters(&["list"]);
    let states: Vec<_> = cells(&rows)[1..].iter().map(|row| row[row.len() - 1]).collect();
    assert_eq!(states, ["true", "false"], "{rows}");
    assert_eq!(letters(&["replay", deep[0]]), "1 duplicate\n");
    assert_eq!(server.stop().code, Some(0));
    assert_eq!(ids_in_parquet(&folder.join("data"), "AddToCart").len(), 1);
}

/// The server takes a hundred letters a call.
#[test]
fn a_replay_of_all_goes_on_until_there_are_no_more() {
    let folder = configured();
    let folder = folder.path();
    let token = token(folder, &["events:replay"]);
    let server = Server::start(beckon(folder), &["--data", "data"]);
    let body = format!("[{}]", ["{}"; 150].join(","));
    assert_eq!(server.send(&body).expect("an answer").status, 200);
    assert_eq!(server.stop().code, Some(0));
    let server = Server::start(beckon(folder), &["--data", "data"]);
    let asks = ["dead-letters", "replay", "--server", &server.url(), "--token", &token];
    let said = printed(folder, &asks);
    assert_eq!(said.lines().count(), 151);
    assert!(said.ends_with("\n150 rejected\n"), "{said}");
}

#[test]
fn who_may_not_and_what_is_not_there_are_told() {
    let folder = configured();
    let folder = folder.path();
    let reads = token(folder, &["dead-letters"]);
    let server = Server::start(beckon(folder), &["--data", "data"]);
    let url = server.url();
    let asks = |command: &[&str], token: &[&str]| {
        refused(folder, &[&["dead-letters"], command, &["--server", url.as_str()], token].concat())
    };
    let error = asks(&["list"], &[]);
    assert!(error.starts_with("error: 401 "), "{error}");
    assert!(error.contains("a token with the scope dead-letters is needed"), "{error}");
    assert!(error.contains("beckon token create"), "{error}");
    let error = asks(&["replay"], &["--token", &reads]);
    assert!(error.contains("the token has not the scope events:replay"), "{error}");
    let error = asks(&["show", "7"], &["--token", &reads]);
    assert!(error.contains("there is no dead letter 7"), "{error}");
    let empty = ["dead-letters", "list", "--server", url.as_str(), "--token", reads.as_str()];
    assert_eq!(printed(folder, &empty), "no dead letters\n");
}
