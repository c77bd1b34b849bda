//! `beckon generate --target`: load on a schedule that a slow server cannot bend.

use crate::support::{KEY, Server, beckon, cells, configured, operator, printed, refused};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long the first request of a load waits for its answer: as long as the load lasts.
const STALL: Duration = Duration::from_secs(1);
const REQUESTS: u32 = 10;
/// Between the times at which requests are meant to leave.
const INTERVAL_MS: f64 = 100.0;

/// Reads one request of a kept connection: its first line and its body. `None` at the end.
fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).expect("a line") == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a number"))];
    reader.read_exact(&mut body).expect("a body");
    Some((head.lines().next().expect("a line").to_owned(), body))
}

/// A server that answers at once, but for the first load request: that one waits at a gate, and
/// how long is sent back.
fn stalling_server() -> (String, Receiver<Duration>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stalled, waited) = sync_channel(1);
    let gate = Arc::new(Mutex::new(Some(stalled)));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, gate) = (stream.expect("a connection"), Arc::clone(&gate));
            std::thread::spawn(move || answer(stream, &gate));
        }
    });
    (format!("http://{address}"), waited)
}

fn answer(mut stream: TcpStream, gate: &Mutex<Option<SyncSender<Duration>>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    while let Some((line, body)) = read_request(&mut reader) {
        let is_load = line.starts_with("POST /v1/events ");
        if let Some(stalled) = gate.lock().expect("no holder panics").take_if(|_| is_load) {
            stalled.send(stall()).expect("the test waits");
        }
        respond(&mut stream, &body);
    }
}

/// Takes all events of a request.
fn respond(stream: &mut TcpStream, body: &[u8]) {
    let events: Vec<Value> = serde_json::from_slice(body).unwrap_or_default();
    let results: Vec<_> = events.iter().map(|_| json!({ "status": "ok" })).collect();
    let said = json!({ "results": results }).to_string();
    let length = said.len();
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{said}").expect("sent");
}

/// A server that answers `answered` load requests, and says when the next one has come.
fn falling_silent(answered: u32) -> (String, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (silent, told) = sync_channel(1);
    let loads = Arc::new(AtomicU32::new(0));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, loads) = (stream.expect("a connection"), Arc::clone(&loads));
            let silent = silent.clone();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
                while let Some((line, body)) = read_request(&mut reader) {
                    let is_load = line.starts_with("POST /v1/events ");
                    match is_load && loads.fetch_add(1, Ordering::SeqCst) >= answered {
                        true => silent.send(()).expect("the test waits"),
                        false => respond(&mut stream, &body),
                    }
                }
            });
        }
    });
    (format!("http://{address}"), told)
}

/// The stall itself, as nobody opens the gate. How long it was is measured, not assumed.
fn stall() -> Duration {
    let (_gate, shut) = sync_channel::<()>(1);
    let began = Instant::now();
    assert_eq!(shut.recv_timeout(STALL), Err(RecvTimeoutError::Timeout));
    began.elapsed()
}

/// What the command printed, by name.
fn figures(table: &str) -> BTreeMap<String, f64> {
    let rows = cells(table).into_iter();
    rows.map(|row| {
        let [name, figure] = row[..] else { panic!("{row:?}") };
        let figure = figure.trim_end_matches(" ms");
        (name.to_owned(), figure.parse().expect("a number"))
    })
    .collect()
}

/// One request may be under way, so nine more wait behind the one that the server holds. Each
/// was meant to leave `INTERVAL_MS` after the one before, and that is when its latency begins:
/// counted from when they really left, all but one would look fast.
#[test]
fn a_stalled_server_shows_in_every_latency_behind_the_stall() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, waited) = stalling_server();
    let load = ["--rate", "100", "--batch", "10", "--seconds", "1", "--outstanding", "1"];
    let table =
        printed(folder.path(), &[&["generate", "--target", target.as_str()], &load[..]].concat());
    let figures = figures(&table);
    let stalled_ms = waited.recv().expect("it stalled").as_secs_f64() * 1_000.0;

    assert_eq!(figures["answers 200"], f64::from(REQUESTS), "{table}");
    assert_eq!((figures["events sent"], figures["events ok"]), (100.0, 100.0), "{table}");
    // Request i waited for the stall, less what it was meant to leave later: ascending from the
    // last, of which the fifth is the median of ten.
    let fifth = stalled_ms - INTERVAL_MS * f64::from(REQUESTS / 2);
    assert!(figures["latency p50"] >= fifth, "{fifth} ms expected\n{table}");
    for name in ["latency p99", "latency p99.9", "latency max"] {
        assert!(figures[name] >= stalled_ms, "{name}: {stalled_ms} ms expected\n{table}");
    }
    assert!(figures["seconds"] * 1_000.0 >= figures["latency max"], "{table}");
}

#[test]
fn a_real_server_answers_for_every_event_sent() {
    let folder = configured();
    let server = Server::start(beckon(folder.path()), &["--data", "data"]);
    let target = server.url();
    let load = ["--rate", "1000", "--batch", "100", "--seconds", "1", "--duplicates", "0.1"];
    let table = printed(
        folder.path(),
        &[&["generate", "--target", target.as_str(), "--key", KEY], &load[..]].concat(),
    );
    let figures = figures(&table);
    assert_eq!((figures["events sent"], figures["answers 200"]), (1_000.0, 10.0), "{table}");
    assert!(figures["events duplicate"] > 0.0, "{table}");
    assert_eq!(figures["events ok"] + figures["events duplicate"], 1_000.0, "{table}");
}

/// One request may be under way: three are answered, and the fourth is not.
#[test]
fn figures_are_told_at_ctrl_c() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, silent) = falling_silent(3);
    let load = ["--rate", "1000", "--batch", "10", "--seconds", "3600", "--outstanding", "1"];
    let child = beckon(folder.path())
        .args(["generate", "--target", &target])
        .args(load)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary");
    silent.recv().expect("the fourth request");
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.expect("kill").success());
    let output = child.wait_with_output().expect("it ends");
    let table = String::from_utf8(output.stdout).expect("UTF-8");
    let figures = figures(&table);
    assert_eq!(output.status.code(), Some(0), "{table}");
    assert_eq!((figures["answers 200"], figures["events ok"]), (3.0, 30.0), "{table}");
    assert_eq!(figures["requests broken off"], 1.0, "{table}");
}

#[test]
fn the_server_is_where_the_configuration_says() {
    let folder = configured();
    let server = Server::start(beckon(folder.path()), &["--data", "data"]);
    let file = folder.path().join("beckon.toml");
    let text = std::fs::read_to_string(&file).expect("a configuration");
    let listening = format!("{text}[server]\nlisten = \"{}\"\n", server.address());
    std::fs::write(&file, listening).expect("written");
    let load = ["generate", "--target", "--key", KEY, "--rate", "10", "--batch", "10"];
    let table = printed(folder.path(), &[&load[..], &["--seconds", "1"]].concat());
    assert_eq!(figures(&table)["events sent"], 10.0, "{table}");
    let token = operator(folder.path());
    let list = ["dead-letters", "list", "--token", &token];
    assert_eq!(printed(folder.path(), &list), "no dead letters\n");

    let nowhere = text + "[server]\nlisten = \"127.0.0.1:1\"\n";
    std::fs::write(&file, nowhere).expect("written");
    assert!(refused(folder.path(), &list).contains("no answer from http://127.0.0.1:1/"));
    let output = beckon(folder.path()).env("BECKON_SERVER", server.url()).args(list).output();
    assert_eq!(output.expect("the binary").stdout, b"no dead letters\n");
}

#[test]
fn an_answer_that_is_an_error_and_a_server_that_is_none_are_told() {
    let folder = configured();
    let server = Server::start(beckon(folder.path()), &["--data", "data"]);
    let load = ["generate", "--rate", "10", "--batch", "10", "--seconds", "1", "--key", "wrong"];
    let target = server.url();
    let output = beckon(folder.path()).args(load).args(["--target", &target]).output();
    let output = output.expect("the binary");
    let table = String::from_utf8_lossy(&output.stdout);
    assert_eq!(figures(&table)["answers 401"], 1.0, "{table}");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("error: 1 of 1 requests were not served") && error.contains("key"));
    assert_eq!(server.stop().code, Some(0));
    let error = refused(folder.path(), &[&load[..], &["--target", target.as_str()]].concat());
    assert!(error.contains("no answer from ") && error.contains("is the server running?"));
}

#[test]
fn figures_that_make_no_stream_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in [
        ["--rate", "inf"],
        ["--rate", "1e-300"],
        ["--late", "1.5"],
        ["--duplicates", "-0.1"],
        ["--bots", "NaN"],
        ["--visits", "0"],
        ["--pages", "0"],
        ["--visit-events", "0.5"],
    ] {
        let arguments = format!("{}={}", arguments[0], arguments[1]);
        let error = refused(folder.path(), &["generate", &arguments]);
        let name = arguments.split('=').next().expect("a name");
        assert!(error.contains(name), "{arguments}: {error}");
    }
}
