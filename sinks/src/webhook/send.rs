//! The send thread: begins what is due, each attempt a task of its own small runtime.
//!
//! It is bounded by `in_flight_max` of each endpoint. An endpoint that is slow costs a task and a
//! connection and keeps nobody else waiting.

use super::queue::{Job, Verdict};
use super::webhooks::Webhooks;
use beckon_engine::SPANS;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::{Id, JoinSet};
use tracing::Instrument as _;
use tracing::field::Empty;

/// How long nothing is looked at where nothing is due.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// How long attempts may go on once the process is to end.
const END_MAX: Duration = Duration::from_secs(5);

/// Makes calls until webhooks are closed and what is under way has ended.
///
/// # Errors
/// When there is no runtime to be had.
pub fn send(webhooks: &Arc<Webhooks>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(make_calls(webhooks));
    // A name that is still looked up keeps nobody.
    runtime.shutdown_background();
    Ok(())
}

/// What a task brings back.
type Ended = (Verdict, Duration);

async fn make_calls(webhooks: &Arc<Webhooks>) {
    let mut tasks = JoinSet::new();
    let mut under_way = BTreeMap::new();
    while !webhooks.is_closed() {
        let (jobs, due) = webhooks.claim();
        for job in jobs {
            let message = job.message;
            let task = tasks.spawn(attempt(Arc::clone(webhooks), job));
            under_way.insert(task.id(), message);
        }
        // What is dead without an attempt.
        webhooks.record();
        tokio::select! {
            () = webhooks.woken() => {}
            () = tokio::time::sleep(due.unwrap_or(IDLE_MAX).min(IDLE_MAX)) => {}
            Some(ended) = tasks.join_next_with_id() => end(webhooks, &mut under_way, ended),
        }
    }
    let patience = tokio::time::sleep(END_MAX);
    tokio::pin!(patience);
    loop {
        tokio::select! {
            () = &mut patience => break,
            ended = tasks.join_next_with_id() => match ended {
                Some(ended) => end(webhooks, &mut under_way, ended),
                None => break,
            },
        }
    }
    under_way.into_values().for_each(|message| webhooks.undone(message));
}

fn end(
    webhooks: &Arc<Webhooks>,
    under_way: &mut BTreeMap<Id, beckon_engine::model::MessageId>,
    ended: Result<(Id, Ended), tokio::task::JoinError>,
) {
    let (id, ended) = match ended {
        Ok((id, ended)) => (id, Some(ended)),
        Err(error) => (error.id(), None),
    };
    let Some(message) = under_way.remove(&id) else { return };
    let failed =
        || (Verdict::Failed { reason: "panicked".into(), retry_after_ms: None }, Duration::ZERO);
    let (verdict, took) = ended.unwrap_or_else(failed);
    webhooks.done(message, verdict, took);
}

async fn attempt(webhooks: Arc<Webhooks>, job: Job) -> Ended {
    let begun = Instant::now();
    let now = webhooks.clock.now();
    let span = tracing::info_span!(
        target: SPANS,
        "webhook",
        otel.kind = "client",
        endpoint = %job.endpoint,
        webhook_id = %job.webhook_id,
        otel.status_code = Empty,
        reason = Empty,
    );
    let verdict = webhooks.client.call(&job, now).instrument(span.clone()).await;
    if let Verdict::Failed { reason, .. } = &verdict {
        span.record("otel.status_code", "ERROR").record("reason", &**reason);
    }
    (verdict, begun.elapsed())
}
