//! `GET /v1/live` of a server with two sites: a token of one sees nothing of the other.

use crate::support::{KEY, Server, beckon, configured, event, printed};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};

const BLOG_KEY: &str = "the-blog-has-a-secret-of-its-own";
const RULE: &str = "name = \"any\"\nquery = 'AddToCart where true'\n[action]\ntype = \"none\"\n";

/// The first snapshot of the stream that a token opens in which so many visits are complete: each
/// with its event, the `VisitStarted` made up for it, and its action. Counts come a moment behind.
fn snapshot_of(server: &Server, token: &str, visits: i64) -> Value {
    let mut stream = server.connect().expect("it listens");
    let headers = format!("host: localhost\r\nauthorization: Bearer {token}\r\n");
    write!(stream, "GET /v1/live HTTP/1.1\r\n{headers}\r\n").expect("sent");
    let mut last = Value::Null;
    for line in BufReader::new(stream).lines() {
        let line = line.expect("text");
        assert_ne!(line, ": still here", "nothing changes any more: {last}");
        let Some(data) = line.strip_prefix("data: ") else { continue };
        last = serde_json::from_str(data).expect("JSON");
        let counted = (in_the_hour(&last, "events"), in_the_hour(&last, "actions"));
        let shown = last["actions"].as_array().map(|actions| actions.len() as i64);
        let is_complete = counted == (2 * visits, visits) && shown == Some(visits);
        if is_complete && last["visits_open"] == visits {
            return last;
        }
    }
    panic!("the stream ended: {last}");
}

/// What a list of a snapshot says under one name, without repetitions.
fn said<'a>(snapshot: &'a Value, list: &str, name: &str) -> Vec<&'a str> {
    let list = snapshot[list].as_array().expect("a list").iter();
    let mut said: Vec<_> = list.map(|row| row[name].as_str().expect("text")).collect();
    said.sort_unstable();
    said.dedup();
    said
}

fn in_the_hour(snapshot: &Value, what: &str) -> i64 {
    let minutes = snapshot["minutes"].as_array().expect("a list").iter();
    minutes.map(|minute| minute[what].as_i64().expect("a number")).sum()
}

#[test]
fn a_token_of_one_site_sees_that_site_only() {
    let folder = configured();
    let folder = folder.path();
    let path = folder.join("beckon.toml");
    let text = std::fs::read_to_string(&path).expect("a file");
    let blog = format!(
        "[sites.blog]\nkeys = [{{ name = \"b\", kind = \"server\", key = \"{BLOG_KEY}\" }}]\n"
    );
    std::fs::write(&path, format!("{text}{blog}")).expect("a file");
    let package = folder.join("rules/com.example.any");
    std::fs::create_dir_all(&package).expect("a folder");
    std::fs::write(package.join("any.toml"), RULE).expect("a file");
    let token = |more: &[&str]| {
        let create = ["token", "create", "--data", "data", "--scope", "live:read"];
        let text = printed(folder, &[&create[..], more].concat());
        text.lines().next().expect("a token").to_owned()
    };
    let (of_shop, of_all) = (token(&["--site", "shop"]), token(&[]));
    let listed = printed(folder, &["token", "list", "--data", "data"]);
    assert_eq!((listed.matches(" shop ").count(), listed.matches(" all ").count()), (1, 1));

    let server = Server::start(beckon(folder), &["--data", "data", "--rules", "rules"]);
    let categorised = |visit, category: &str| {
        event("AddToCart", visit).replace('}', &format!(",\"category\":\"{category}\"}}"))
    };
    let send = |key: &str, body: &str| {
        let headers = format!("authorization: Bearer {key}\r\n");
        assert_eq!(server.ask("POST /v1/events", &headers, body).expect("an answer").status, 200);
    };
    // The blog first: once the shop's action is seen, the blog's are there to be seen.
    send(BLOG_KEY, &format!("[{},{}]", categorised(1, "news"), categorised(2, "news")));
    send(KEY, &categorised(3, "lamps"));

    let all = snapshot_of(&server, &of_all, 3);
    let shop = snapshot_of(&server, &of_shop, 1);
    for list in ["names", "categories", "rules", "events", "actions"] {
        assert_eq!(said(&all, list, "site"), ["blog", "shop"], "{list}\n{all}");
        assert_eq!(said(&shop, list, "site"), ["shop"], "{list}\n{shop}");
    }
    let events = shop["events"].as_array().expect("a list").iter();
    let categories: Vec<_> = events.map(|event| event["categories"].clone()).collect();
    assert_eq!(categories, [json!([]), json!(["lamps"])], "{shop}");
    assert!(!shop.to_string().contains("blog") && !shop.to_string().contains("news"), "{shop}");
}
