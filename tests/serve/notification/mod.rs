//! Messages to pages, from the rule or the server that sends them to the row of what became of them.

mod bounds;
mod listener;
mod restart;

use super::support::{
    Answer, KEY, Server, beckon, configured_with, figure, operator, rows_in_parquet,
};
use beckon_engine::clock::{Clock, SystemClock};
use listener::{SECRET, Stream, VISIT, acknowledge, listen_path, notify, poll, with_secret};
use serde_json::{Value, json};
use std::path::Path;

/// A visitor who puts something into the cart is invited; who pays in between is not.
const RULE: &str = r#"name = "cart"
query = '''
sequence with maxspan=10m
  [ AddToCart where true ]
 ![ Paid where true ]
  [ PageEntered where true ]
'''
[action]
type = "invite"
channel = "chat"
data = { greeting = "Questions?" }
"#;

fn lay(folder: &Path) {
    let package = folder.join("rules/com.example.shop");
    std::fs::create_dir_all(&package).expect("a folder");
    std::fs::write(package.join("cart.toml"), RULE).expect("a file");
}

fn start(folder: &Path) -> Server {
    Server::start(beckon(folder), &["--data", "data", "--rules", "rules"])
}

/// A server with the rule, and a token that may do everything.
fn started(sections: &str) -> (tempfile::TempDir, Server, String) {
    let folder = configured_with(sections);
    lay(folder.path());
    let token = operator(folder.path());
    let server = start(folder.path());
    (folder, server, token)
}

/// An event of the visit so many milliseconds ago.
fn sent(server: &Server, name: &str, ago_ms: i64) {
    let timestamp = SystemClock::new().now().0 - ago_ms;
    let event =
        format!("{{\"eventName\":\"{name}\",\"visitID\":\"{VISIT}\",\"timestamp\":{timestamp}}}");
    assert_eq!(server.send(&event).expect("an answer").ids("ok").len(), 1);
}

fn invite(server: &Server) {
    sent(server, "AddToCart", 3_000);
    sent(server, "PageEntered", 1_000);
}

/// What became of messages, in the order of the log: message, outcome, reason, page.
fn deliveries(folder: &Path) -> Vec<[String; 4]> {
    let columns = ["log_sequence", "message_id", "outcome", "reason", "page_id"];
    let mut rows: Vec<_> = rows_in_parquet(&folder.join("data/reports/deliveries"), &columns)
        .into_iter()
        .map(|row| {
            let [sequence, rest @ ..] = row;
            (sequence.parse::<u64>().expect("a number"), rest)
        })
        .collect();
    rows.sort();
    rows.into_iter().map(|(_, row)| row).collect()
}

#[test]
fn an_invitation_comes_until_it_is_acknowledged_and_is_taken_back_by_a_late_event() {
    let (folder, server, _) = started("");
    let mut stream = Stream::open(&server, &listen_path(""), &with_secret());
    invite(&server);
    let message = stream.next();
    assert_eq!(message.name, "message");
    let id = message.data["id"].as_str().expect("an id").to_owned();
    assert_eq!(message.id, id);
    let rest = ["type", "channel", "page", "data"].map(|part| message.data[part].clone());
    let data = json!({ "greeting": "Questions?" });
    assert_eq!(rest, [json!("invite"), json!("chat"), Value::Null, data]);
    // Nobody acknowledged it: whoever comes, again, or for the first time, gets it.
    for headers in [with_secret(), format!("{}last-event-id: {id}\r\n", with_secret())] {
        assert_eq!(Stream::open(&server, &listen_path(""), &headers).next().id, id);
    }
    assert_eq!(poll(&server, "")[0]["id"], id.as_str());
    assert_eq!(acknowledge(&server, &id, "").status, 204);
    assert_eq!(acknowledge(&server, &id, "").status, 204, "it was said before");
    // A stream that comes now hears of the next thing only: that it is taken back.
    let mut late = Stream::open(&server, &listen_path(""), &with_secret());
    sent(&server, "Paid", 2_000);
    for stream in [&mut stream, &mut late] {
        let taken_back = stream.next();
        assert_eq!((taken_back.name.as_str(), &taken_back.id), ("withdrawn", &id));
        assert_eq!(taken_back.data, json!({ "id": id, "type": "withdrawn" }));
    }
    assert_eq!(server.stop().code, Some(0));
    let outcomes = deliveries(folder.path());
    let expected = [("delivered", ""), ("acknowledged", ""), ("withdrawn", "retracted")];
    let expected = expected
        .map(|(outcome, reason)| [&id, outcome, reason, ""].map(|text: &str| text.to_owned()));
    assert_eq!(outcomes, expected);
}

#[test]
fn a_server_sends_messages_to_a_visit_or_to_one_of_its_pages() {
    let (folder, server, token) = started("");
    let mut page =
        Stream::open(&server, &listen_path(&format!("&page={}", "x".repeat(200))), &with_secret());
    assert_eq!(page.answer(), 400, "that is no id");
    let five = format!("{:032X}", 5);
    let mut page = Stream::open(&server, &listen_path(&format!("&page={five}")), &with_secret());
    let to_page = json!({ "page": five, "channel": "gpe.appendContent", "data": { "url": "/x" } });
    let messages = json!([to_page, { "channel": "news", "data": [1, "two"] }]);
    let answer = notify(&server, &token, &messages.to_string());
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    let (first, second) = (page.next(), page.next());
    assert_eq!(first.data["page"], five.as_str());
    assert_eq!(first.data["data"], json!({ "url": "/x" }));
    assert_eq!((&first.data["type"], &second.data["type"]), (&json!("notify"), &json!("notify")));
    assert_eq!((&second.data["data"], &second.data["page"]), (&json!([1, "two"]), &Value::Null));
    // Another page hears what is for all.
    let polled = poll(&server, "");
    assert_eq!(polled.len(), 1, "{polled:?}");
    assert_eq!(polled[0]["id"], second.id.as_str());
    // The page is left: what is for it is withdrawn.
    let exit =
        format!("{{\"eventName\":\"PageExited\",\"visitID\":\"{VISIT}\",\"pageID\":\"{five}\"}}");
    server.send(&exit).expect("an answer").ids("ok");
    while figure(&server, &token, "beckon_notification_messages_waiting") > 1 {
        std::thread::yield_now();
    }
    let body = json!({ "status": "failed", "reason": "no such channel", "page": five });
    assert_eq!(acknowledge(&server, &second.id, &body.to_string()).status, 204);
    assert_eq!(poll(&server, "&page=").len(), 0);
    assert_eq!(server.stop().code, Some(0));
    let mut outcomes = deliveries(folder.path());
    outcomes.sort();
    let row = |id: &str, outcome: &str, reason: &str| {
        [id, outcome, reason, &five].map(|text: &str| text.to_owned())
    };
    let mut expected = vec![
        row(&first.id, "delivered", ""),
        row(&first.id, "withdrawn", "page_gone"),
        row(&second.id, "delivered", ""),
        row(&second.id, "failed", "no such channel"),
    ];
    expected.sort();
    assert_eq!(outcomes, expected);
}

#[test]
fn what_is_no_message_is_refused_whole() {
    let (_folder, server, token) = started("");
    let check = |body: &str, status: u16, code: &str| {
        let answer = notify(&server, &token, body);
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        let json: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(json["error"]["code"], code);
    };
    check("{}", 400, "bad_messages");
    check("[{\"data\":{}}]", 400, "bad_messages");
    check("[[null,\"chat\",{}]]", 400, "bad_messages");
    check(
        "[{\"channel\":\"a\"},{\"channel\":\"b\",\"page\":\"\u{e4}\".repeat}]",
        400,
        "bad_messages",
    );
    let page = "x".repeat(200);
    check(
        &format!("[{{\"channel\":\"a\"}},{{\"channel\":\"b\",\"page\":\"{page}\"}}]"),
        400,
        "bad_page",
    );
    let answer = notify(&server, "wrong", "[]");
    assert_eq!(answer.status, 401, "{}", answer.body);
    assert_eq!(notify(&server, &token, "[]").status, 200, "none is none");
    assert_eq!(figure(&server, &token, "beckon_notification_messages_total"), 0);
    let twice = server.get(&listen_path("&page=1&page=2"), &with_secret());
    let said: Value = serde_json::from_str(&twice.body).expect("JSON");
    assert_eq!((twice.status, &said["error"]["code"]), (400, &"bad_query".into()));
    for (id, status) in [("0123", 404), (&*format!("{:032X}", 1), 404)] {
        assert_eq!(acknowledge(&server, id, "").status, status);
    }
    for body in ["{\"status\":\"seen\"}", "[]", "[null,null]"] {
        assert_eq!(acknowledge(&server, "0123", body).status, 400, "{body}");
    }
}

/// A poll without anything new waits, and ends with what nobody acknowledged.
#[test]
fn a_long_poll_waits_for_what_comes_behind() {
    let (_folder, server, token) = started("[notification]\npoll_ms_max = 700\n");
    let begun = std::time::Instant::now();
    assert_eq!(poll(&server, "").len(), 0);
    assert!(begun.elapsed().as_millis() >= 700);
    assert_eq!(notify(&server, &token, "[{\"channel\":\"a\"}]").status, 200);
    let first = poll(&server, "")[0]["id"].as_str().expect("an id").to_owned();
    let behind = format!("&after={first}");
    let begun = std::time::Instant::now();
    let again = poll(&server, &behind);
    assert!(begun.elapsed().as_millis() >= 700, "{again:?}");
    assert_eq!(again[0]["id"], first.as_str());
    assert_eq!(notify(&server, &token, "[{\"channel\":\"b\"}]").status, 200);
    let second = poll(&server, &behind);
    assert_eq!((second.len(), &second[0]["channel"]), (1, &json!("b")));
    // A stream that names the first gets the second before it.
    let resumed = format!("{}last-event-id: {first}\r\n", with_secret());
    let mut stream = Stream::open(&server, &listen_path(""), &resumed);
    let order = [stream.next().data["channel"].clone(), stream.next().data["channel"].clone()];
    assert_eq!(order, [json!("b"), json!("a")]);
}

/// Two visits of one site, one of which has a token only.
#[test]
fn a_token_listens_to_its_visit_alone() {
    let (_folder, server, token) = started("");
    let bearer = |token: &str| format!("authorization: Bearer {token}\r\n");
    let ask = |path: &str, token: &str, body: &str| -> Answer {
        server.ask(&format!("POST {path}"), &bearer(token), body).expect("an answer")
    };
    let other = format!("{:032X}", 77);
    let answer = ask(&format!("/v1/visits/{other}/token"), &token, "");
    let json: Value = serde_json::from_str(&answer.body).expect("JSON");
    let visit_token = json["token"].as_str().expect("a token");
    let path = |visit: &str| format!("/v1/visits/{visit}/notifications");
    let mut stream = Stream::open(&server, &path(&other), &bearer(visit_token));
    assert_eq!(notify(&server, &token, "[{\"channel\":\"secret\"}]").status, 200);
    let to_other = format!("/server/data/notification/notify/{other}");
    assert_eq!(ask(&to_other, &token, "[{\"channel\":\"other\"}]").status, 200);
    let message = stream.next();
    assert_eq!(message.data["channel"], "other");
    let unlike = server.get(&path(VISIT), &bearer(visit_token));
    assert_eq!(unlike.status, 401, "{}", unlike.body);
    // Nor may it speak of another visit's message.
    let answer = ask(
        &format!("{}/{}", path(&other), poll(&server, "")[0]["id"].as_str().expect("an id")),
        visit_token,
        "",
    );
    assert_eq!(answer.status, 404, "{}", answer.body);
    let answer = ask(&format!("{}/{}", path(&other), message.id), visit_token, "");
    assert_eq!(answer.status, 204, "{}", answer.body);
    assert!(KEY.len() > 16 && SECRET.len() == 64);
}

#[test]
fn streams_end_when_the_server_does() {
    let (_folder, server, _) = started("[notification]\nheartbeat_ms = 100\n");
    let mut stream = Stream::open(&server, &listen_path(""), &with_secret());
    stream.hear(": still here");
    server.terminate();
    stream.ends();
    assert_eq!(server.ended().code, Some(0));
}
