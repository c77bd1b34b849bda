//! Each bound of messages and streams, at the bound, over HTTP.

use super::*;

fn code(answer: &Answer) -> String {
    let json: Value = serde_json::from_str(&answer.body).expect("JSON");
    json["error"]["code"].as_str().expect("a code").to_owned()
}

#[test]
fn a_visit_has_so_many_streams_and_all_have_so_many() {
    let sections = "[notification]\nvisit_streams_max = 1\nstreams_max = 2\n";
    let (_folder, server, token) = started(sections);
    let mut first = Stream::open(&server, &listen_path(""), &with_secret());
    assert_eq!(first.answer(), 200);
    let answer = server.get(&listen_path(""), &with_secret());
    assert_eq!((answer.status, code(&answer).as_str()), (429, "too_many_streams"));
    let bearer = format!("authorization: Bearer {token}\r\n");
    let of_token = |visit: u128| {
        let line = format!("POST /v1/visits/{visit:032X}/token");
        let json: Value =
            serde_json::from_str(&server.ask(&line, &bearer, "").expect("an answer").body)
                .expect("JSON");
        format!("authorization: Bearer {}\r\n", json["token"].as_str().expect("a token"))
    };
    let path = |visit: u128| format!("/v1/visits/{visit:032X}/notifications");
    let mut second = Stream::open(&server, &path(2), &of_token(2));
    assert_eq!(second.answer(), 200);
    let answer = server.get(&path(3), &of_token(3));
    assert_eq!((answer.status, code(&answer).as_str()), (503, "too_many_streams"));
    assert_eq!(figure(&server, &token, "beckon_notification_streams"), 2);
    assert_eq!(figure(&server, &token, "beckon_notification_streams_refused_total"), 2);
    // Who goes makes room.
    drop(first);
    while figure(&server, &token, "beckon_notification_streams") > 1 {
        std::thread::yield_now();
    }
    assert_eq!(Stream::open(&server, &path(3), &of_token(3)).answer(), 200);
}

#[test]
fn a_visit_has_so_many_messages_of_so_many_bytes() {
    let sections = "[notification]\nvisit_messages_max = 2\nmessage_bytes_max = 100\n";
    let (folder, server, token) = started(sections);
    let data = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    let message = |bytes: usize| format!("{{\"channel\":\"a\",\"data\":{}}}", data(bytes - 1));
    let answer = notify(&server, &token, &format!("[{}]", message(101)));
    assert_eq!((answer.status, code(&answer).as_str()), (413, "message_too_large"));
    let three = [message(100), message(100), message(100)].join(",");
    let answer = notify(&server, &token, &format!("[{three}]"));
    assert_eq!((answer.status, code(&answer).as_str()), (413, "too_many_messages"));
    for _ in 0..3 {
        assert_eq!(notify(&server, &token, &format!("[{}]", message(100))).status, 200);
    }
    while figure(&server, &token, "beckon_notification_over_visit_total") < 1 {
        std::thread::yield_now();
    }
    assert_eq!(poll(&server, "").len(), 2);
    assert_eq!(figure(&server, &token, "beckon_notification_over_visit_total"), 1);
    assert_eq!(server.stop().code, Some(0));
    let rows = deliveries(folder.path());
    let failed: Vec<_> = rows.iter().filter(|row| row[1] == "failed").collect();
    assert_eq!(failed.len(), 1, "{rows:?}");
    assert_eq!(failed[0][2], "too_many");
}

/// What ten thousand of them take, `cargo xtask listeners` measures, and holds it below 20 KiB. Of a few hundred,
/// what else the server allocates meanwhile is a part: no stream takes more than in the round in which that
/// was least. A second buffer would be 8 KiB in each.
#[test]
fn an_idle_stream_takes_little() {
    let folder = configured_with("[notification]\nvisit_streams_max = 1000\n");
    lay(folder.path());
    // What the allocator keeps for each of its threads is no stream's, and of few streams a large part.
    let mut command = beckon(folder.path());
    command.env("MALLOC_ARENA_MAX", "1");
    let server = Server::start(command, &["--data", "data", "--rules", "rules"]);
    let open = |count: usize| -> Vec<Stream> {
        let one = |_| {
            let mut stream = Stream::open(&server, &listen_path(""), &with_secret());
            stream.hear("retry: 1000");
            stream
        };
        (0..count).map(one).collect()
    };
    // What is allocated once for all is there before; the patterns of user agents are 12 MB.
    while server.threads("user-agents") > 0 {
        std::thread::yield_now();
    }
    let _first = open(200);
    let mut streams = Vec::new();
    let rounds = (0..4).map(|_| {
        let before = server.resident_bytes();
        streams.push(open(200));
        server.resident_bytes().saturating_sub(before) / 200
    });
    let each = rounds.min().expect("four rounds");
    assert!(each < 24 << 10, "{each} bytes for each");
}
