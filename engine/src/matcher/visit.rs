//! The state of one visit instance.

use super::kept::KeptEvents;
use super::windows::Windows;
use crate::model::{
    EventTimeMs, EventView, Identity, Instance, LogSeq, VisitChange, VisitId, VisitRow, VisitorId,
};
use std::sync::Arc;

/// The order of events: timestamp, tie-breaker (none sorts first), log sequence.
pub(super) type Order = (EventTimeMs, Option<i64>, LogSeq);

/// An open visit.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) site: Arc<str>,
    pub(super) id: VisitId,
    pub(super) visitor: Option<VisitorId>,
    pub(super) instance: Instance,
    pub(super) started: EventTimeMs,
    /// The place of the event that sorts last of those seen.
    pub(super) newest: Order,
    /// Events of the log that belong to the instance, in any fate.
    pub(super) events: u64,
    /// Events that were, or would have been, tried on the rules.
    pub(super) matchable: u32,
    pub(super) identity: Identity,
    /// Its `VisitStarted` was made up.
    pub(super) is_made_up: bool,
    pub(super) kept: KeptEvents,
    pub(super) windows: Windows,
    /// Its place in the order of visits with a match that waits for a time.
    pub(super) scheduled: Option<EventTimeMs>,
}

impl Visit {
    /// A visit that begins with this event.
    pub(super) fn open(site: Arc<str>, first: &EventView<'_>, seq: LogSeq) -> Self {
        Self {
            site,
            id: first.visit(),
            visitor: None,
            instance: Instance(seq),
            started: first.timestamp,
            newest: order(first, seq),
            events: 0,
            matchable: 0,
            identity: Identity::default(),
            is_made_up: false,
            kept: KeptEvents::default(),
            windows: Windows::default(),
            scheduled: None,
        }
    }

    /// When its last event happened.
    pub(super) fn last_event(&self) -> EventTimeMs {
        self.newest.0
    }

    /// The time that a match waits for, if it is before the visit's place in the order.
    pub(super) fn unscheduled(&self) -> Option<EventTimeMs> {
        let due = self.windows.first_due()?;
        self.scheduled.is_none_or(|scheduled| due < scheduled).then_some(due)
    }

    /// Reads what an event will need first; the figure means nothing.
    pub(super) fn touch(&self) -> u64 {
        self.newest.2.0 ^ self.instance.0.0 ^ self.kept.touch() ^ self.windows.touch()
    }

    /// The row that tells of a change.
    pub(super) fn row(&self, change: VisitChange) -> VisitRow {
        VisitRow {
            instance: self.instance,
            change,
            site: Arc::clone(&self.site),
            visit: self.id.clone(),
            visitor: self.visitor.clone(),
            started: self.started,
            last_event: self.last_event(),
            events: self.events,
            identity: self.identity.clone(),
        }
    }

    /// Bytes of the visit, as far as they are counted.
    pub(super) fn bytes(&self) -> u64 {
        size_of::<Self>() as u64 + self.kept.bytes() + self.windows.bytes()
    }
}

/// An event's place in the order.
pub(super) fn order(event: &EventView<'_>, seq: LogSeq) -> Order {
    (event.timestamp, event.tie, seq)
}
