//! When visitors were there.
//!
//! A visitor without events for `window_memory_ms` is forgotten, and what fired once in the windows of
//! that visitor or user may fire again. The windows themselves go by the events that they see; here
//! only decisions are seen, and those may be much older: a rule that fired once in a window that lives
//! on, and comes with a new version behind a year, must not fire again. So a visit that is over tells
//! when its visitor was there, and a match when its last event happened. **A gap** of more than
//! `window_memory_ms` between one time and the next forgets, nothing else does, so it makes no
//! difference how epochs are cut or when a server was down. A window of the visitor is as old as the gap
//! or older: what it says then acts.
//!
//! A visit that goes on is known by its matches alone: one of more than `window_memory_ms` in which no
//! rule matches looks like a gap to a rule on the visitor. What fired once in a visit, a site or
//! everywhere has no such end.
//!
//! Behind a gap that no event can close any more (a day longer, in log time) the memory is freed, too:
//! some visitors of one virtual partition behind each epoch.

use super::visitor::VisitorKey;
use crate::model::{EventTimeMs, PartitionId, VisitChange, VisitRow};
use serde::{Deserialize, Serialize};

/// From its first event to its last.
pub(super) type Span = (EventTimeMs, EventTimeMs);

/// A visit of a visitor that is over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Presence {
    pub(super) key: VisitorKey,
    pub(super) span: Span,
}

impl Presence {
    /// That of a visit; `None` where it goes on, or is of nobody who is known.
    #[must_use]
    pub fn of(row: &VisitRow) -> Option<Self> {
        let VisitChange::Closed(_) = row.change else { return None };
        let key = VisitorKey::of_visitor(&row.site, row.visitor.clone()?);
        Some(Self { key, span: (row.started, row.last_event) })
    }

    /// The virtual partition of its visitor.
    #[must_use]
    pub fn partition(&self) -> PartitionId {
        self.key.partition()
    }
}
