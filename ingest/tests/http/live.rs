//! `/v1/live` streams snapshots as they change, to a bounded number of watchers.

use crate::support::{Bench, bench, config, get, limited};
use axum::body::Body;
use axum::http::Request;
use beckon_ingest::limits::Limits;
use beckon_ingest::tokens::Scope;
use beckon_ingest::{EngineView, Peer, ServerConfig};
use http_body_util::BodyExt;
use std::sync::atomic::Ordering;
use tower::ServiceExt;

async fn open(bench: &Bench) -> Body {
    open_with(bench, &bench.token(Scope::LiveRead)).await
}

/// The body of a stream that a token opens.
pub(crate) async fn open_with(bench: &Bench, token: &str) -> Body {
    let request = Request::get("/v1/live").header("authorization", format!("Bearer {token}"));
    let peer = Peer(([192, 0, 2, 1], 1).into());
    let request = request.extension(peer).body(Body::empty()).expect("a request");
    let response = bench.server.router().oneshot(request).await.expect("an answer");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response.into_body()
}

/// What a stream says next.
pub(crate) async fn next(stream: &mut Body) -> String {
    let frame = stream.frame().await.expect("goes on").expect("no error");
    String::from_utf8(frame.into_data().expect("data").to_vec()).expect("text")
}

#[tokio::test]
async fn a_change_is_told_once() {
    let bench = bench(&config());
    let mut stream = open(&bench).await;
    let said = |version| format!("id: {version}\ndata: {}\n\n", bench.engine.live(None));
    assert_eq!(next(&mut stream).await, said(0));
    bench.engine.version.store(5, Ordering::Relaxed);
    assert_eq!(next(&mut stream).await, said(5));
}

#[tokio::test]
async fn watchers_have_a_bound() {
    let bench = limited(Limits { live_streams_max: 1, ..Limits::default() });
    let first = open(&bench).await;
    let token = bench.token(Scope::LiveRead);
    let ask = || get("/v1/live").bearer(&token);
    ask().send(&bench).await.check_error(503, "too_many_streams");
    drop(first);
    let mut again = open(&bench).await;
    assert!(next(&mut again).await.starts_with("id: 0"));
}

#[tokio::test]
async fn the_demo_is_watched_from_this_machine_without_a_token() {
    let demo = bench(&ServerConfig { demo_site: Some("demo".into()), ..config() });
    let local = |path: &str| get(path).from("127.0.0.1:9").header("host", "localhost:8080");
    assert_eq!(local("/v1/live/snapshot").send(&demo).await.status, 200);
    local("/v1/status").send(&demo).await.check_error(401, "token_missing");
    let proxied = local("/v1/live/snapshot").header("x-forwarded-for", "203.0.113.9");
    proxied.send(&demo).await.check_error(401, "token_missing");
    let plain = bench(&config());
    local("/v1/live/snapshot").send(&plain).await.check_error(401, "token_missing");
}
