//! Messages to pages: the sink's thread, its cursor, and its Router before the HTTP side.

use super::slowest::{Reader, Slowest};
use crate::config::Config;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use beckon_engine::clock::Clock;
use beckon_engine::log::{EmbeddedLog, Log};
use beckon_engine::model::Epoch;
use beckon_engine::outbox::{Cursor, Cursors, Outbox, OutboxError, Position};
use beckon_ingest::Mounted;
use beckon_ingest::visits::VisitReach;
use beckon_sinks::RefusalCode;
use beckon_sinks::notification::{
    Admitted, Notifications, Parts, SinkParts, VisitKey, router, run, schemas,
};
use std::sync::Arc;
use std::thread::JoinHandle;

/// The cursor's name.
pub(super) const CURSOR: &str = "notification";

/// A sink's cursor. One that there was none of yet begins where the tables are: what came before had
/// nobody to go to, and may be no longer in the log.
///
/// # Errors
/// When it is damaged or cannot be written.
pub(super) fn cursor(
    cursors: &Cursors,
    name: &str,
    tables: Option<Position>,
) -> Result<(Cursor, Position), OutboxError> {
    let mut cursor = cursors.cursor(name)?;
    if cursor.position().is_none() {
        cursor.advance(tables.unwrap_or_default())?;
    }
    let position = cursor.position().unwrap_or_default();
    Ok((cursor, position))
}

/// The hub of a log that held epochs up to `ready_at` at the start.
pub(super) fn hub(
    config: &Config,
    (log, clock): (&Arc<EmbeddedLog>, &Arc<dyn Clock>),
    ready_at: Epoch,
) -> Arc<Notifications> {
    Notifications::new(Parts {
        log: Arc::clone(log) as Arc<dyn Log>,
        clock: Arc::clone(clock),
        config: config.notification.clone(),
        ready_at,
    })
}

/// Starts the sink's thread. A failure ends the process: going on would only fill the outbox.
///
/// # Errors
/// When there is no thread.
pub(super) fn spawn(
    notifications: &Arc<Notifications>,
    outbox: Outbox,
    (mut cursor, position): (Cursor, Position),
    slowest: Arc<Slowest>,
) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    let parts = SinkParts {
        notifications: Arc::clone(notifications),
        outbox,
        position,
        durable: Box::new(move |position| {
            cursor.advance(position)?;
            slowest.moved(Reader::Notification, position.epoch)
        }),
    };
    let run = move || -> anyhow::Result<()> {
        let ended = run(parts);
        if let Err(error) = &ended {
            super::back::fatal(&format!("the sink of notifications failed: {error}"));
        }
        Ok(ended?)
    };
    Ok(std::thread::Builder::new().name("sink:notification".to_owned()).spawn(run)?)
}

/// The Router as the HTTP side mounts it: each names the visit and refusals in its own words.
pub(super) fn mounted(notifications: &Arc<Notifications>) -> Mounted {
    let router = router(Arc::clone(notifications)).layer(from_fn(translated));
    Mounted { router, schemas: schemas() }
}

async fn translated(mut request: Request, next: Next) -> Response {
    if let Some(VisitReach { site, visit }) = request.extensions_mut().remove() {
        request.extensions_mut().insert(Admitted(VisitKey { site, visit }));
    }
    with_code(next.run(request).await)
}

/// A sink's answer, with the code of its refusal as the HTTP side counts it.
pub(super) fn with_code(mut response: Response) -> Response {
    if let Some(RefusalCode(code)) = response.extensions_mut().remove() {
        response.extensions_mut().insert(beckon_ingest::RefusalCode(code));
    }
    response
}
