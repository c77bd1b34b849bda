//! What the server writes of itself: log lines as text and as JSON, and the banner of the demo.

use super::support::{Server, beckon, configured_with, event};
use serde_json::Value;
use std::path::Path;
use std::time::Instant;

fn start(folder: &Path) -> Server {
    Server::start(beckon(folder), &["--data", "data"])
}

#[test]
fn a_flood_of_refusals_is_a_line_a_second_and_each_is_in_one() {
    let folder = configured_with("[limits]\nkey_requests_per_second_max = 1\n");
    let begun = Instant::now();
    let server = start(folder.path());
    let statuses = (1..=200).map(|visit| server.send(&event("A", visit)).expect("answered").status);
    let refused = statuses.filter(|status| *status == 429).count();
    assert!(refused > 100, "{refused}");
    let ended = server.stop();
    let seconds = usize::try_from(begun.elapsed().as_secs()).expect("few");
    let lines: Vec<_> = ended.said.lines().filter(|line| line.contains("refused")).collect();
    // One for the first, one for the rest at the end, and one for each second in between.
    assert!(lines.len() <= seconds + 2, "{seconds} s: {lines:#?}");
    let counted = lines.iter().map(|line| {
        assert!(line.contains("WARN") && line.contains("too_many_requests"), "{line}");
        let count = line.split("requests=").nth(1).and_then(|rest| rest.split(' ').next());
        count.and_then(|count| count.parse::<usize>().ok()).expect("a count")
    });
    assert_eq!(counted.sum::<usize>(), refused, "{lines:#?}");
}

#[test]
fn log_lines_for_programs_are_json() {
    let folder = configured_with("[server]\nlog_format = \"json\"\n");
    let ended = start(folder.path()).stop();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let lines: Vec<Value> = ended
        .said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    for line in &lines {
        for name in ["timestamp", "level", "target"] {
            assert!(line[name].is_string(), "{name}: {line}");
        }
    }
    let listening = lines.iter().find(|line| line["fields"]["message"] == "listening");
    let listening = listening.unwrap_or_else(|| panic!("it never listened: {}", ended.said));
    assert_eq!(
        (&listening["level"], &listening["target"]),
        (&"INFO".into(), &"beckon_ingest::server".into())
    );
    let address = listening["fields"]["address"].as_str().expect("an address");
    assert!(address.starts_with("127.0.0.1:") && !address.ends_with(":0"), "{address}");
}

#[test]
fn a_log_is_gone_on_from_when_there_was_one() {
    let folder = configured_with("");
    let package = folder.path().join("rules/com.example.any");
    std::fs::create_dir_all(&package).expect("a folder");
    let rule = "name = \"any\"\nquery = 'A where true'\n[action]\ntype = \"none\"\n";
    std::fs::write(package.join("any.toml"), rule).expect("a file");
    let run = || {
        let server = Server::start(beckon(folder.path()), &["--data", "data", "--rules", "rules"]);
        server.stop().said
    };
    let (first, second) = (run(), run());
    assert!(
        !first.contains("going on"),
        "its rules are in the log, but nothing was before\n{first}"
    );
    assert!(second.contains("going on from the start of the log"), "{second}");
}

/// The part of a line behind a text, up to the next space.
fn word<'a>(line: &'a str, before: &str) -> &'a str {
    let rest = line.split_once(before).unwrap_or_else(|| panic!("no `{before}` in {line}")).1;
    rest.split_whitespace().next().expect("a word")
}

#[test]
fn the_banner_of_the_demo_says_where_to_look_and_a_token_that_works() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(beckon(folder.path()), &["--demo", "--data", "kept"]);
    let base = server.url();
    assert_eq!(server.hear("      http://").trim(), format!("{base}/"));
    assert_eq!(server.get("/", "").status, 200);
    let rules = server.hear("and click: rules fire as you go");
    assert!(rules.contains("hot-lead"), "{rules}");

    // The line for the shell is sent as curl would.
    let curl = server.hear("send events");
    let body = curl.split('\'').nth(1).expect("a quoted body").to_owned();
    assert_eq!(word(&curl, "' "), format!("{base}/v1/events"));
    let sent = server.ask("POST /v1/events", "", &body).expect("an answer");
    assert_eq!(sent.ids("ok").len(), 1);

    let metrics = server.hear("  metrics ");
    let path = word(&metrics, "metrics").strip_prefix(&base).expect("on this server").to_owned();
    let token = server.hear("  token ");
    let token = word(&token, "token").to_owned();
    assert_eq!(server.get(&path, "").status, 401);
    for path in [&*path, "/v1/status", "/v1/rules", "/v1/dead-letters", "/v1/live/snapshot"] {
        let shown = server.get(path, &format!("authorization: Bearer {token}\r\n"));
        assert_eq!(shown.status, 200, "{path}: {}", shown.body);
    }
    let parquet = server.hear("  Parquet ");
    let reports = folder.path().join(word(&parquet, "Parquet"));
    assert_eq!(server.stop().code, Some(0));
    assert!(reports.join("events").is_dir(), "{}", reports.display());
}
