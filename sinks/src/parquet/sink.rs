//! The sink's loop: reads epochs behind the durable position, writes them, moves the cursor.
//!
//! It runs on a thread of its own and is the only one that touches the tables. It holds one epoch
//! and what `open_bytes_max` allows; when the disk refuses, it stops reading and the outbox waits.
//! After a failure it opens the tables again - the same recovery as after a crash - rewinds the
//! source behind what is durable, and goes on; the wait before doubles up to [`BACKOFF_MAX`].

use super::error::ParquetError;
use super::tables::ParquetTables;
use beckon_engine::clock::Clock;
use beckon_engine::model::{Epoch, EpochOutput};
use beckon_engine::outbox::Position;
use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How long the sink waits for an epoch before it looks at the clock.
const WAIT: Duration = Duration::from_secs(1);
/// The first wait after a failure.
const BACKOFF: Duration = Duration::from_millis(100);
/// The longest wait after a failure.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// What the sink reads: the engine's outputs, every epoch once, in order.
pub trait EpochSource {
    /// Goes to the epoch behind `after`; `None`: to the first.
    ///
    /// # Errors
    /// When the epoch is no longer kept, or reading fails.
    fn rewind(&mut self, after: Option<Epoch>) -> Result<(), SourceError>;

    /// The next epoch; waits up to `wait` for it. `None`: none came.
    ///
    /// # Errors
    /// [`SourceError::Closed`] once the source is closed and everything was read.
    fn next(&mut self, wait: Duration) -> Result<Option<EpochOutput>, SourceError>;
}

/// Why a source gives no epoch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// It is closed, and everything was read.
    #[error("the source of epochs is closed")]
    Closed,
    /// Reading failed, and may not the next time.
    #[error("reading epochs failed: {0}")]
    Failed(Box<dyn std::error::Error + Send + Sync>),
    /// The epochs behind the tables cannot be read, whenever it is tried.
    #[error("the epochs behind the tables cannot be read: {0}")]
    Broken(Box<dyn std::error::Error + Send + Sync>),
}

/// Why the sink ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The tables are damaged or contradict the declared columns; trying again does not help.
    #[error(transparent)]
    Tables(#[from] ParquetError),
    /// The source failed.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl SinkError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::Tables(error) => error.is_retryable(),
            Self::Source(error) => matches!(error, SourceError::Failed(_)),
        }
    }
}

/// Asks a sink to end, and wakes it from its waits.
#[derive(Debug, Default)]
pub struct Stop {
    asked: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Asks for the end.
    pub fn ask(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Whether the end was asked for.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `wait`, or for the end to be asked for.
    pub fn wait(&self, wait: Duration) {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_timeout_while(asked, wait, |asked| !*asked));
    }
}

/// What the loop needs beside tables and source.
pub struct SinkContext<'a> {
    /// Asks the sink to end; it ends its round first.
    pub stop: &'a Stop,
    /// The clock that marks are made with: ends a round while no epoch comes.
    pub clock: &'a dyn Clock,
    /// Waits after a failure, for so long or until the end is asked for: [`Stop::wait`].
    pub wait: &'a mut dyn FnMut(Duration),
    /// Called at the start and after each round with the position through which everything is in
    /// finished files: moves the durable cursor. When that fails it is called again later.
    pub durable: &'a mut dyn FnMut(Position) -> Result<(), SourceError>,
}

impl fmt::Debug for SinkContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkContext").field("stop", self.stop).finish_non_exhaustive()
    }
}

/// Runs until the source is closed and read, or the end is asked for; then ends the round.
///
/// # Errors
/// [`SinkError`], for what trying again does not help.
pub fn run(
    mut tables: ParquetTables,
    source: &mut dyn EpochSource,
    context: &mut SinkContext<'_>,
) -> Result<(), SinkError> {
    let mut told = None;
    let mut backoff = BACKOFF;
    let mut failure = follow(&mut tables, source, context, &mut told).err();
    while let Some(error) = failure {
        if !error.is_retryable() {
            return Err(error);
        }
        tables.stats().errors.fetch_add(1, Relaxed);
        let wait_ms = backoff.as_millis();
        tracing::error!(%error, wait_ms, "the Parquet sink failed and tries again");
        (context.wait)(backoff);
        if context.stop.is_asked() {
            return Ok(());
        }
        let told_before = told;
        failure = match tables.reopen() {
            Ok(()) => follow(&mut tables, source, context, &mut told).err(),
            Err(error) => Some(error.into()),
        };
        backoff = if told == told_before { BACKOFF_MAX.min(2 * backoff) } else { BACKOFF };
    }
    Ok(())
}

/// Reads and writes from what is durable on, until the end or a failure.
fn follow(
    tables: &mut ParquetTables,
    source: &mut dyn EpochSource,
    context: &mut SinkContext<'_>,
    told: &mut Option<Position>,
) -> Result<(), SinkError> {
    source.rewind(tables.durable().map(|position| position.epoch))?;
    tell(tables, context, told)?;
    loop {
        let next =
            if context.stop.is_asked() { Err(SourceError::Closed) } else { source.next(WAIT) };
        let is_end = matches!(next, Err(SourceError::Closed));
        match next {
            // Its mark ends rounds; by the clock a sink that is behind would make one of each.
            Ok(Some(output)) => tables.write(&output)?,
            Ok(None) if tables.roll_due(context.clock.now()) => tables.roll()?,
            Ok(None) => {}
            Err(SourceError::Closed) => tables.roll()?,
            Err(error) => return Err(error.into()),
        }
        tell(tables, context, told)?;
        if is_end {
            return Ok(());
        }
    }
}

fn tell(
    tables: &ParquetTables,
    context: &mut SinkContext<'_>,
    told: &mut Option<Position>,
) -> Result<(), SourceError> {
    if let Some(position) = tables.durable().filter(|position| Some(*position) != *told) {
        (context.durable)(position)?;
        *told = Some(position);
    }
    Ok(())
}
