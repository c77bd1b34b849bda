//! Whether the server lives, whether it is ready, and what it has counted.

use crate::answer::{Refusal, json};
use crate::app::App;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// `GET /healthz`: the process answers.
pub(crate) async fn healthz() -> Response {
    json(StatusCode::OK, &serde_json::json!({ "status": "ok" }))
}

/// `GET /readyz`: an event of any size would be taken now.
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Response {
    if app.is_draining() {
        return app.unavailable("draining", "the server is shutting down").into_response();
    }
    let room = app.log.admits(app.limits.event_bytes_max);
    match app.admit_lag().and_then(|()| room.map_err(|refused| app.refuse_append(refused))) {
        Ok(()) => json(StatusCode::OK, &serde_json::json!({ "status": "ready" })),
        Err(refusal) => refusal.into_response(),
    }
}

/// `GET /metrics`.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match app.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(_) => Refusal::internal("a metric cannot be written").into_response(),
    }
}

/// `GET /v1/status`: the server and its log, then what the engine says ([`EngineView::status`]).
///
/// [`EngineView::status`]: crate::EngineView::status
pub(crate) async fn status(State(app): State<Arc<App>>) -> Response {
    let log = app.log.stats();
    let durable = app.log.durable();
    let mut said = serde_json::Map::new();
    let mut say = |name: &str, value| said.insert(name.into(), value);
    say("version", env!("CARGO_PKG_VERSION").into());
    say("now_ms", app.clock.now().0.into());
    say("is_draining", app.is_draining().into());
    say("body_bytes", app.memory.taken_bytes().into());
    say("lag_records", app.engine.lag_records().into());
    let log = serde_json::json!({
        "epoch": durable.map(|mark| mark.epoch),
        "log_sequence": durable.map(|mark| mark.last_seq),
        "bytes": log.bytes,
        "segments": log.segments,
        "queued_bytes": log.queued_bytes,
        "records": log.records,
        "groups": log.groups,
        "duplicates": log.duplicates,
        "dedup_ids": log.dedup_ids,
        "dedup_window_ms": log.dedup_window_ms,
    });
    say("log", log);
    said.extend(app.engine.status());
    json(StatusCode::OK, &said)
}
