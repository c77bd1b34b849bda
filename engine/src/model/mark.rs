//! Epoch marks: the one clock the engine sees.

use super::{Epoch, EventTimeMs, LogSeq, PackedEvent, ServerTimeMs};
use serde::{Deserialize, Serialize};

/// The end of an epoch. `now` and `watermark` never go back from one mark to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochMark {
    /// Which epoch ends here.
    pub epoch: Epoch,
    /// Sequence number of the epoch's first record; `last_seq + 1` for an epoch without records.
    pub first_seq: LogSeq,
    /// Sequence number of the last record up to here (of this epoch, or of an earlier one).
    pub last_seq: LogSeq,
    /// The server's clock.
    pub now: ServerTimeMs,
    /// Live: `now - watermark_delay`. Replay: the largest timestamp so far, [`EventTimeMs::MAX`]
    /// at the end of input.
    pub watermark: EventTimeMs,
}

/// An event with its place in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedEvent {
    /// Its place.
    pub seq: LogSeq,
    /// The event.
    pub event: PackedEvent,
}

/// All that the engine gets of one epoch, events in log order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochInput {
    /// The end of the epoch.
    pub mark: EpochMark,
    /// Its events.
    pub events: Vec<LoggedEvent>,
}
