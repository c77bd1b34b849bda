//! `beckon serve` as an operator runs it: the binary, a folder, HTTP, signals.

mod bounds;
mod config;
mod data;
mod deploy;
mod figures;
mod generate;
mod letters;
mod live;
mod log_behind;
mod log_inspect;
mod log_lines;
mod notification;
mod openapi;
mod restart;
mod support;
mod tls;
mod traces;
mod webhook;

use std::io::{Read, Write};
use std::path::Path;
use support::{
    KEY, Server, beckon, beckon_after, configured, event, ids_in_parquet, names, read_answer,
};

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

fn start(folder: &Path) -> Server {
    Server::start(beckon(folder), &["--data", "data"])
}

#[test]
fn what_was_acknowledged_is_in_parquet_once_it_has_ended() {
    let folder = configured();
    let data = folder.path().join("data");
    let server = start(folder.path());
    let batch = |visit| format!("[{},{}]", event("AddToCart", visit), event("AddToCart", visit));
    let answers = (1..=5).map(|visit| server.send(&batch(visit)).expect("an answer"));
    let ids = sorted(answers.flat_map(|answer| answer.ids("ok")).collect());
    assert_eq!(ids.len(), 10);
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(ids_in_parquet(&data, "AddToCart"), ids);

    let server = start(folder.path());
    let again = event("AddToCart", 1).replace('{', &format!("{{\"eventID\":\"{}\",", ids[0]));
    let answer = server.send(&again).expect("an answer");
    assert_eq!(answer.body, "{\"results\":[{\"status\":\"duplicate\"}]}\n");
    let more = server.send(&event("AddToCart", 9)).expect("an answer").ids("ok");
    assert_eq!(server.stop().code, Some(0));
    assert_eq!(ids_in_parquet(&data, "AddToCart"), sorted([ids, more].concat()));
}

#[test]
fn a_request_that_is_open_at_sigterm_is_answered_and_kept() {
    let folder = configured();
    let mut server = start(folder.path());
    let body = event("AddToCart", 1);
    let mut stream = server.connect().expect("it listens");
    write!(
        stream,
        "POST /v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\n\
         content-length: {}\r\nexpect: 100-continue\r\n\r\n",
        body.len()
    )
    .expect("sent");
    // It reads the body only once it is at work on the request.
    let mut goes_on = *b"HTTP/1.1 100 Continue\r\n\r\n";
    stream.read_exact(&mut goes_on).expect("an interim answer");
    assert!(goes_on.starts_with(b"HTTP/1.1 100 "));
    server.terminate();
    server.hear("SIGTERM");
    stream.write_all(body.as_bytes()).expect("sent");
    let ids = read_answer(stream).expect("an answer").ids("ok");
    let ended = server.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(ids_in_parquet(&folder.path().join("data"), "AddToCart"), ids);
}

/// The system refuses to let a file grow beyond a limit, as it would on a full or broken disk.
#[test]
fn a_failed_write_ends_it_with_70_and_a_restart_has_all_that_was_acknowledged() {
    let folder = configured();
    let limited = beckon_after("trap '' XFSZ; ulimit -f 64", folder.path());
    let server = Server::start(limited, &["--data", "data"]);
    let padded =
        event("AddToCart", 1).replace('}', &format!(",\"data\":{{\"a\":\"{:2000}\"}}}}", ""));
    let mut ids = Vec::new();
    // 64 blocks are 64 KiB at the most; this many events are more.
    for _ in 0..64 {
        match server.send(&padded) {
            Ok(answer) if answer.status == 200 => ids.extend(answer.ids("ok")),
            Ok(answer) => assert_eq!(answer.status, 503, "{}", answer.body),
            Err(_) => break,
        }
    }
    let ended = server.ended();
    assert_eq!(ended.code, Some(70), "{}", ended.said);
    assert!(ended.said.contains("a restart recovers what is on disk"), "{}", ended.said);
    assert!((1..64).contains(&ids.len()), "{} acknowledged", ids.len());

    assert_eq!(start(folder.path()).stop().code, Some(0));
    assert_eq!(ids_in_parquet(&folder.path().join("data"), "AddToCart"), sorted(ids));
}

#[test]
fn probes_answer_anyone_and_figures_need_a_token() {
    let folder = configured();
    let create = ["token", "create", "--scope", "metrics:read", "--data", "data"];
    let output = beckon(folder.path()).args(create).output().expect("the binary");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let token = format!("authorization: Bearer {}\r\n", text.lines().next().expect("a token"));
    let server = start(folder.path());
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path, "").status, 200, "{path}");
    }
    for path in ["/metrics", "/v1/status"] {
        assert_eq!(server.get(path, "").status, 401, "{path}");
        let shown = server.get(path, &token);
        assert_eq!(shown.status, 200, "{path}: {}", shown.body);
    }
    assert_eq!(server.send(&event("AddToCart", 1)).expect("an answer").status, 200);
    // The HTTP side, the log and the engine each have figures, by the names that the documents say.
    let figures = server.get("/metrics", &token).body;
    for name in [
        "beckon_events_total",
        "beckon_log_bytes",
        "beckon_requests_refused_total",
        "beckon_engine_lag_records",
        "beckon_engine_visits_open",
        "beckon_parquet_rows_total",
    ] {
        assert!(figures.lines().any(|line| line.starts_with(name)), "{name}:\n{figures}");
    }
}

#[test]
fn a_second_server_on_the_same_folder_is_refused() {
    let folder = configured();
    let _first = start(folder.path());
    let second = beckon(folder.path())
        .args(["serve", "--listen", "127.0.0.1:0", "--data", "data"])
        .output()
        .expect("the binary");
    let error = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{error}");
    assert!(error.contains("data/reports is being written by another process; stop it"), "{error}");
}

#[test]
fn a_misspelt_key_is_refused_with_a_suggestion() {
    let folder = configured();
    std::fs::write(folder.path().join("beckon.toml"), "[engine]\nworkres = 2\n").expect("a file");
    let output = beckon(folder.path()).arg("serve").output().expect("the binary");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "error: file beckon.toml: unknown key `engine.workres`; did you mean `engine.workers`?\n"
    );
}

#[test]
fn log_lines_in_a_file_have_no_colours() {
    let folder = configured();
    let ended = start(folder.path()).stop();
    assert!(ended.said.contains("INFO") && !ended.said.contains('\x1b'), "{:?}", ended.said);
}

#[test]
fn the_demo_leaves_nothing_behind() {
    let folder = configured();
    let path = folder.path().join("beckon.toml");
    let text = std::fs::read_to_string(&path).expect("a file");
    let real = "[server]\ndata = \"real\"\nreports = \"real-reports\"\n";
    std::fs::write(&path, format!("{real}{text}")).expect("a file");
    let temporary = tempfile::tempdir().expect("a folder");
    let mut command = beckon(folder.path());
    command.env("TMPDIR", temporary.path());
    let mut server = Server::start(command, &["--demo"]);
    server.hear("Ctrl-C ends it");
    let made = names(temporary.path());
    assert!(made.len() == 1 && made[0].starts_with("beckon-demo-"), "{made:?}");
    let data = temporary.path().join(&made[0]);
    let sent = server.ask("POST /v1/events", "", &event("AddToCart", 1)).expect("an answer");
    assert_eq!(sent.ids("ok").len(), 1);
    assert!(names(&data).contains(&"log".to_owned()));
    // A real site's events are refused: they would go with the folder.
    assert_eq!(server.send(&event("AddToCart", 2)).expect("an answer").status, 401);
    let ended = server.stop();
    assert!(ended.said.contains("the configured sites are not served"), "{}", ended.said);
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(names(temporary.path()), [""; 0]);
    // Not in the folders of the real site either, whose file lies in the working folder.
    assert_eq!(names(folder.path()), ["beckon.toml"]);
}

#[test]
fn the_demo_keeps_what_lies_in_a_named_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let demo = || Server::start(beckon(folder.path()), &["--demo", "--data", "kept"]);
    let mut by_environment = beckon(folder.path());
    by_environment.env("BECKON_SERVER__DATA", "kept");
    let server = Server::start(by_environment, &["--demo"]);
    let sent = server.ask("POST /v1/events", "", &event("AddToCart", 1)).expect("an answer");
    assert_eq!(server.stop().code, Some(0));
    assert_eq!(ids_in_parquet(&folder.path().join("kept"), "AddToCart"), sent.ids("ok"));
    assert_eq!(demo().stop().code, Some(0));
}

#[test]
fn only_the_demo_takes_keyless_events_and_only_from_this_machine() {
    let folder = configured();
    let keyless = |server: &Server, headers: &str| {
        server.ask("POST /v1/events", headers, &event("AddToCart", 1)).expect("an answer")
    };
    let demo = Server::start(beckon(folder.path()), &["--demo", "--data", "demo"]);
    assert_eq!(keyless(&demo, "").status, 200);
    for elsewhere in ["host: evil.example\r\n", "x-forwarded-for: 203.0.113.9\r\n"] {
        let refused = keyless(&demo, elsewhere);
        assert_eq!(refused.status, 403, "{elsewhere}: {}", refused.body);
        assert!(refused.body.contains("demo_is_local"), "{}", refused.body);
        assert_eq!(demo.get("/", elsewhere).status, 403, "{elsewhere}");
    }
    assert_eq!(keyless(&start(folder.path()), "").status, 401);

    let open = beckon(folder.path())
        .args(["serve", "--demo", "--data", "demo", "--listen", "0.0.0.0:0"])
        .output()
        .expect("the binary");
    let error = String::from_utf8_lossy(&open.stderr);
    assert_eq!(open.status.code(), Some(1), "{error}");
    assert!(error.contains("listens on loopback only"), "{error}");
}
