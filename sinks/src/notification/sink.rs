//! The sink's loop: folds epochs, lets time pass, gives the log what became of messages.
//!
//! Nothing here waits for anything but the next epoch: the log takes records or refuses them at once.
//! The cursor is written every [`CURSOR_EVERY`] at most, as it costs two syncs; what is read again after
//! a crash is folded again to the same state.

use super::notifications::Notifications;
use beckon_engine::outbox::{Outbox, OutboxError, Position};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long it waits for an epoch before it looks at the clock.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Between two positions of the cursor that are written.
const CURSOR_EVERY: Duration = Duration::from_secs(5);

/// What the loop works with.
pub struct SinkParts {
    /// The hub and its listeners.
    pub notifications: Arc<Notifications>,
    /// What is read.
    pub outbox: Outbox,
    /// Where the cursor stands.
    pub position: Position,
    /// Moves the cursor, durably.
    pub durable: Box<dyn FnMut(Position) -> Result<(), OutboxError> + Send>,
}

impl fmt::Debug for SinkParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkParts").field("position", &self.position).finish_non_exhaustive()
    }
}

/// Runs until the outbox is closed and read.
///
/// # Errors
/// When the outbox cannot be read.
pub fn run(parts: SinkParts) -> Result<(), OutboxError> {
    let SinkParts { notifications, outbox, position, mut durable } = parts;
    notifications.begin(position);
    let mut reader = outbox.reader(position.epoch)?;
    let (mut written, mut written_at) = (position, Instant::now());
    loop {
        let idle = notifications.pass_time().map_or(WAIT_MAX, Duration::from_millis);
        notifications.record();
        let is_ended = match reader.next(idle.min(WAIT_MAX)) {
            Ok(Some(output)) => {
                notifications.fold(&output);
                false
            }
            Ok(None) => false,
            Err(OutboxError::Closed) => true,
            Err(error) => return Err(error),
        };
        if !is_ended && written_at.elapsed() < CURSOR_EVERY {
            continue;
        }
        written_at = Instant::now();
        let at = notifications.durable();
        if at > written {
            match durable(at) {
                Ok(()) => written = at,
                // Nothing is lost by it: the cursor stays behind, and so does the outbox.
                Err(error) => tracing::error!(%error, "the cursor of notifications stays behind"),
            }
        }
        if is_ended {
            return Ok(());
        }
    }
}
