//! The outbox as the pipeline's sink.

use super::{OutboxError, OutboxWriter};
use crate::model::EpochOutput;
use crate::pipeline::{EpochSink, Kept, SinkError};
use std::time::Duration;

impl EpochSink for OutboxWriter {
    fn append(&mut self, output: &EpochOutput) -> Result<Kept, SinkError> {
        match Self::append(self, output) {
            Ok(()) => Ok(Kept::Yes),
            Err(OutboxError::Full) => Ok(Kept::Full),
            Err(error) => Err(error.into()),
        }
    }

    fn wait_for_room(&mut self, wait: Duration) {
        // Whether there is room is found out by appending.
        let _has_room = self.outbox().wait_for_room(wait);
    }
}
