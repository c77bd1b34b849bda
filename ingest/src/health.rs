//! Whether the server lives, whether it is ready, and what it has counted.

use crate::answer::{Refusal, json};
use crate::app::App;
use crate::figures::EngineStatus;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// `GET /healthz`: the process answers.
pub(crate) async fn healthz() -> Response {
    json(StatusCode::OK, &Health { status: "ok" })
}

/// `GET /readyz`: an event of any size would be taken now.
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Response {
    if app.is_draining() {
        return app.unavailable("draining", "the server is shutting down").into_response();
    }
    let room = app.log.admits(app.limits.event_bytes_max);
    match app.admit_lag().and_then(|()| room.map_err(|refused| app.refuse_append(refused))) {
        Ok(()) => json(StatusCode::OK, &Health { status: "ready" }),
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
    let said = Status {
        version: env!("CARGO_PKG_VERSION"),
        now_ms: app.clock.now().0,
        is_draining: app.is_draining(),
        body_bytes: app.memory.taken_bytes(),
        lag_records: app.engine.lag_records(),
        log: LogFigures {
            epoch: durable.map(|mark| mark.epoch.0),
            log_sequence: durable.map(|mark| mark.last_seq.0),
            bytes: log.bytes,
            segments: log.segments,
            queued_bytes: log.queued_bytes,
            records: log.records,
            groups: log.groups,
            duplicates: log.duplicates,
            dedup_ids: log.dedup_ids,
            dedup_window_ms: log.dedup_window_ms,
        },
        engine: app.engine.status(),
    };
    json(StatusCode::OK, &said)
}

/// Whether the server lives, or is ready.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`, or `ready`.
    status: &'static str,
}

/// The server, its log, and what the engine says.
#[derive(Serialize, ToSchema)]
pub(crate) struct Status {
    /// The version of Beckon.
    version: &'static str,
    /// What time it is here, milliseconds since 1970.
    now_ms: i64,
    /// It ends, and takes nothing new.
    is_draining: bool,
    /// Bytes of bodies in memory.
    body_bytes: usize,
    /// Records on disk that the engine has not worked through yet.
    lag_records: u64,
    log: LogFigures,
    #[serde(flatten)]
    engine: EngineStatus,
}

/// Figures of the log.
#[derive(Serialize, ToSchema)]
pub(crate) struct LogFigures {
    /// The last epoch on disk.
    #[schema(required)]
    epoch: Option<u64>,
    /// The last record on disk.
    #[schema(required)]
    log_sequence: Option<u64>,
    /// Bytes of its files.
    bytes: u64,
    /// Its files.
    segments: u64,
    /// Bytes that wait to be written.
    queued_bytes: u64,
    /// Records that were written since the start.
    records: u64,
    /// How many syncs they shared.
    groups: u64,
    /// Events that had come before.
    duplicates: u64,
    /// Ids by which those are told.
    dedup_ids: u64,
    /// For how long one is told, in milliseconds.
    dedup_window_ms: u64,
}
