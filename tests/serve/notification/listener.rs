//! A page as the server sees it.

use crate::support::{Answer, KEY, STEP_MAX, Server};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

/// The secret of a visit.
pub(super) const SECRET: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// The first 128 bits of its SHA-256.
pub(super) const VISIT: &str = "630DCD2966C4336691125448BBB25B4F";

pub(super) fn with_secret() -> String {
    format!("authorization: Bearer {SECRET}\r\n")
}

/// The address of the visit's stream, with more of a query.
pub(super) fn listen_path(more: &str) -> String {
    format!("/v1/visits/{VISIT}/notifications?key={KEY}{more}")
}

/// The messages of a long poll.
pub(super) fn poll(server: &Server, more: &str) -> Vec<Value> {
    let headers = format!("{}accept: application/json\r\n", with_secret());
    let answer = server.get(&listen_path(more), &headers);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let json: Value = serde_json::from_str(&answer.body).expect("JSON");
    json["messages"].as_array().expect("a list").clone()
}

/// A page's word of a message.
pub(super) fn acknowledge(server: &Server, id: &str, body: &str) -> Answer {
    let line = format!("POST /v1/visits/{VISIT}/notifications/{id}?key={KEY}");
    server.ask(&line, &with_secret(), body).expect("an answer")
}

/// A server's own messages to the visit.
pub(super) fn notify(server: &Server, token: &str, messages: &str) -> Answer {
    let line = format!("POST /server/data/notification/notify/{VISIT}");
    server.ask(&line, &format!("authorization: Bearer {token}\r\n"), messages).expect("an answer")
}

/// A server-sent event.
#[derive(Debug, Default)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) data: Value,
}

/// An open stream.
pub(super) struct Stream {
    lines: BufReader<TcpStream>,
}

impl Stream {
    /// Asks for a stream.
    pub(super) fn open(server: &Server, path: &str, headers: &str) -> Self {
        let mut stream = server.connect().expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n").expect("sent");
        Self { lines: BufReader::new(stream) }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = self.lines.read_line(&mut line);
        let count = count.unwrap_or_else(|error| panic!("nothing within {STEP_MAX:?}: {error}"));
        (count > 0).then(|| line.trim_end().to_owned())
    }

    /// The status of the answer.
    pub(super) fn answer(&mut self) -> u16 {
        let line = self.line().expect("an answer");
        line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }

    /// Waits for a line.
    pub(super) fn hear(&mut self, text: &str) {
        while self.line().expect("the stream goes on") != text {}
    }

    /// Waits for the stream's end.
    pub(super) fn ends(&mut self) {
        while self.line().is_some() {}
    }

    /// The next event.
    pub(super) fn next(&mut self) -> Event {
        let mut event = Event::default();
        loop {
            let line = self.line().expect("the stream goes on");
            if let Some(id) = line.strip_prefix("id: ") {
                id.clone_into(&mut event.id);
            } else if let Some(name) = line.strip_prefix("event: ") {
                name.clone_into(&mut event.name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                event.data = serde_json::from_str(data).expect("JSON");
                return event;
            }
        }
    }
}
