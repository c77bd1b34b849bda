//! The fold thread: reads the outbox into the queue, writes the state file, then moves the cursor.
//!
//! Who ends the process closes the webhooks and waits for the send thread before the outbox is closed, so
//! that the last state has what came of every attempt.
//!
//! The state is written as a whole, every `save_interval_ms` at most, and less often where it takes long: it
//! may take a twentieth of the time. What was folded behind it is folded again after a crash.

use super::queue::Saved;
use super::store::Store;
use super::webhooks::Webhooks;
use beckon_engine::outbox::{Outbox, OutboxError, Position};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long it waits for an epoch before it looks at the clock.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// So many times as long as writing took passes before the next.
const SAVE_SHARE: u32 = 20;

/// Moves a cursor, durably.
type Durable = Box<dyn FnMut(Position) -> Result<(), OutboxError> + Send>;

/// What the loop works with.
pub struct SinkParts {
    /// The queue and who makes its calls.
    pub webhooks: Arc<Webhooks>,
    /// What is read.
    pub outbox: Outbox,
    /// Where the cursor stands.
    pub position: Position,
    /// The state file.
    pub store: Store,
    /// Moves the cursor, durably.
    pub durable: Durable,
}

impl fmt::Debug for SinkParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkParts").field("position", &self.position).finish_non_exhaustive()
    }
}

/// Why the loop ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The outbox cannot be read.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The state file cannot be read.
    #[error(transparent)]
    State(#[from] super::WebhookError),
}

/// Runs until the outbox is closed and read.
///
/// # Errors
/// When the outbox or the state cannot be read.
pub fn run(parts: SinkParts) -> Result<(), SinkError> {
    let SinkParts { webhooks, outbox, position, store, mut durable } = parts;
    let saved = store.load()?;
    let from = saved.as_ref().map_or(position, |saved| saved.position().max(position));
    webhooks.begin(from, saved);
    let mut reader = outbox.reader(from.epoch)?;
    let interval = webhooks.save_interval();
    let (mut saved_at, mut every) = (Instant::now(), interval);
    let mut written = None;
    loop {
        webhooks.record();
        match reader.next(WAIT_MAX.min(interval)) {
            Ok(Some(output)) => webhooks.fold(&output),
            Ok(None) => {}
            Err(OutboxError::Closed) => break,
            Err(error) => return Err(error.into()),
        }
        if saved_at.elapsed() < every {
            continue;
        }
        let begun = Instant::now();
        save(&webhooks, &store, (&mut written, &mut durable));
        every = interval.max(begun.elapsed() * SAVE_SHARE);
        saved_at = Instant::now();
    }
    save(&webhooks, &store, (&mut written, &mut durable));
    Ok(())
}

/// Writes the state where it has changed, then moves the cursor.
fn save(
    webhooks: &Webhooks,
    store: &Store,
    (written, durable): (&mut Option<Saved>, &mut Durable),
) {
    let state = webhooks.queue().save();
    if written.as_ref() == Some(&state) {
        return;
    }
    let at = state.position();
    // Nothing is lost by a failure: the cursor stays behind, and so does the outbox.
    if let Err(error) = store.save(&state) {
        tracing::error!(%error, "what waits to be called is not saved");
        return;
    }
    *written = Some(state);
    if let Err(error) = durable(at) {
        tracing::error!(%error, "the cursor of webhooks stays behind");
    }
}
