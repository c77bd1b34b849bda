//! The engine's outbox as a source of epochs.

use super::sink::{EpochSource, SourceError};
use beckon_engine::model::{Epoch, EpochOutput};
use beckon_engine::outbox::{Outbox, OutboxError, OutboxReader};
use std::time::Duration;

/// Reads the outbox behind the tables.
#[derive(Debug)]
pub struct OutboxSource {
    outbox: Outbox,
    reader: Option<OutboxReader>,
}

impl OutboxSource {
    /// A source over `outbox`; the sink says where it begins.
    #[must_use]
    pub fn new(outbox: Outbox) -> Self {
        Self { outbox, reader: None }
    }
}

impl EpochSource for OutboxSource {
    fn rewind(&mut self, after: Option<Epoch>) -> Result<(), SourceError> {
        self.reader = Some(self.outbox.reader(after.unwrap_or_default()).map_err(source_error)?);
        Ok(())
    }

    fn next(&mut self, wait: Duration) -> Result<Option<EpochOutput>, SourceError> {
        let reader = self.reader.as_mut().expect("the sink rewinds its source before it reads");
        reader.next(wait).map_err(source_error)
    }
}

fn source_error(error: OutboxError) -> SourceError {
    match error {
        OutboxError::Closed => SourceError::Closed,
        error @ OutboxError::Io { .. } => SourceError::Failed(error.into()),
        error => SourceError::Broken(error.into()),
    }
}
