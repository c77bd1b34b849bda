//! Forms of a body, compressions, and clocks.

use crate::support::{NOW_MS, SERVER_KEY, bench, config, event, numbered, post};
use beckon_engine::model::Flags;
use std::io::Write;

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).expect("memory");
    writer.finish().expect("memory")
}

fn brotli(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    brotli::CompressorWriter::new(&mut out, 4096, 1, 22).write_all(bytes).expect("memory");
    out
}

#[tokio::test]
async fn all_forms_are_taken_whatever_the_content_type() {
    let bench = bench(&config());
    let (a, b) = (numbered(1), numbered(2));
    for (body, expected) in [
        (a.clone(), vec!["ok"]),
        (format!("[{a},{b}]"), vec!["duplicate", "ok"]),
        (format!("{a}\n{b}\n"), vec!["duplicate", "duplicate"]),
        (format!(r#"{{"events":[{a}]}}"#), vec!["duplicate"]),
        ("[]".to_owned(), vec![]),
        (r#"{"events":[]}"#.to_owned(), vec![]),
    ] {
        for content_type in ["text/plain", "application/json", "application/x-nonsense"] {
            let ask = post(body.clone()).by_server().header("content-type", content_type);
            let results = ask.send(&bench).await.results();
            assert_eq!(results.len(), expected.len(), "{body}");
            if content_type == "text/plain" {
                assert_eq!(results, expected, "{body}");
            }
        }
    }
}

#[tokio::test]
async fn lines_are_judged_line_by_line() {
    let bench = bench(&config());
    let body = format!("{}\n{{\"eventName\":\nnonsense\n\n{}", numbered(1), numbered(2));
    let answer = post(body).by_server().send(&bench).await;
    assert_eq!(answer.results(), ["ok", "invalid_json", "invalid_json", "ok"]);
}

#[tokio::test]
async fn what_is_no_json_is_400_whole() {
    let bench = bench(&config());
    for body in [
        String::new(),
        "nonsense".into(),
        format!("[{},", numbered(1)),
        format!("[{},{{\"a\":}}]", numbered(1)),
        format!("[{} {}]", numbered(1), numbered(2)),
        format!(r#"{{"events":[{},{{"a" 1}}]}}"#, numbered(1)),
        numbered(1).replace('}', ""),
    ] {
        post(body).by_server().send(&bench).await.check_error(400, "not_json");
    }
    let envelope = post(r#"{"events":7}"#).by_server().send(&bench).await;
    envelope.check_error(400, "bad_envelope");
    assert!(bench.log.events().is_empty());
}

#[tokio::test]
async fn compressed_bodies_are_taken() {
    let bench = bench(&config());
    let body = numbered(1).into_bytes();
    let zstd = zstd::encode_all(&body[..], 1).expect("memory");
    for (encoding, compressed) in
        [("gzip", gzip(&body)), ("zstd", zstd), ("br", brotli(&body)), ("identity", body.clone())]
    {
        let ask = post(compressed).by_server().header("content-encoding", encoding);
        assert_eq!(ask.send(&bench).await.results().len(), 1, "{encoding}");
    }
    let unnamed = post(gzip(&body)).by_server().send(&bench).await;
    assert_eq!(unnamed.results(), ["duplicate"], "gzip is known by its first bytes");
    let unknown = post(body).by_server().header("content-encoding", "compress");
    unknown.send(&bench).await.check_error(415, "unknown_encoding");
    let lie = post("plain").by_server().header("content-encoding", "gzip");
    lie.send(&bench).await.check_error(400, "not_compressed");
}

#[tokio::test]
async fn bombs_are_413() {
    let bench = bench(&config());
    let bomb = vec![b' '; 64 << 20];
    let zstd = zstd::encode_all(&bomb[..], 1).expect("memory");
    for (encoding, body) in [("gzip", gzip(&bomb)), ("zstd", zstd), ("br", brotli(&bomb))] {
        assert!(body.len() < 1 << 20, "{encoding} is within body_bytes_max");
        let ask = post(body).by_server().header("content-encoding", encoding);
        ask.send(&bench).await.check_error(413, "decompressed_body_too_large");
    }
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_by_the_envelope() {
    let bench = bench(&config());
    let hour = 3_600_000;
    let said = NOW_MS + hour - 2_000;
    let body = format!(
        r#"{{"key":"{SERVER_KEY}","sentAt":{},"events":[{}]}}"#,
        NOW_MS + hour,
        event(&format!(r#","timestamp":{said}"#)),
    );
    assert_eq!(post(body).send(&bench).await.results(), ["ok"]);
    let event = bench.log.events().remove(0);
    assert_eq!(event.timestamp.0, NOW_MS - 2_000);
    assert_eq!(event.client_timestamp.map(|time| time.0), Some(said));
    assert!(event.flags.has(Flags::SKEW_CORRECTED));
    assert_eq!(event.server_timestamp.0, NOW_MS);
}

#[tokio::test]
async fn the_future_is_clamped() {
    let bench = bench(&config());
    let body = event(&format!(r#","timestamp":{}"#, NOW_MS + 60_000));
    assert_eq!(post(body).by_server().send(&bench).await.results(), ["ok"]);
    let event = bench.log.events().remove(0);
    assert_eq!(event.timestamp.0, NOW_MS);
    assert!(event.flags.has(Flags::CLAMPED));
}
