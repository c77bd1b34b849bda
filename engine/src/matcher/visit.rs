//! The state of one visit instance.

use super::index::Hit;
use super::kept::KeptEvents;
use super::standing::{Found, Standing};
use super::windows::Windows;
use crate::model::{
    EventTimeMs, EventView, Identity, Instance, LogSeq, VisitChange, VisitId, VisitRow, VisitorId,
};
use crate::stage::Ongoing;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The order of events: timestamp, tie-breaker (none sorts first), log sequence.
pub(super) type Order = (EventTimeMs, Option<i64>, LogSeq);

/// An open visit.
#[derive(Debug, Serialize, Deserialize)]
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
    #[serde(skip)]
    pub(super) scheduled: Option<EventTimeMs>,
    /// Deployments that it has seen.
    #[serde(skip)]
    pub(super) changes: u64,
    late: Option<Box<Late>>,
}

/// What it takes to correct what was said of a visit; most visits have nothing of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Late {
    /// What was under way before the oldest event that is kept, if one left.
    pub(super) base: Option<Windows>,
    pub(super) standing: Standing,
    /// Rules to be evaluated again at the end of the epoch, in any order, each once: behind it none.
    pub(super) dirty: Vec<u32>,
    /// Matches of those rules that were found before the events that are kept: behind an epoch none.
    pub(super) settled: Vec<Found>,
    /// Whose matches they are, from the first one on: what is said of one visit is said of one
    /// visitor, or a correction would not meet what it corrects.
    acted_for: Option<Option<VisitorId>>,
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
            changes: 0,
            late: None,
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

    /// What was said and may be corrected.
    pub(super) fn late_mut(&mut self) -> &mut Late {
        self.late.get_or_insert_default()
    }

    /// What was under way before the oldest event that is kept, if one left.
    pub(super) fn base(&self) -> Option<&Windows> {
        self.late.as_ref().and_then(|late| late.base.as_ref())
    }

    /// Whether a rule waits to be evaluated again.
    pub(super) fn is_dirty(&self) -> bool {
        self.late.as_ref().is_some_and(|late| !late.dirty.is_empty())
    }

    /// Whether nothing is left of what late events of an epoch asked for: what stands in a snapshot.
    pub(super) fn is_corrected(&self) -> bool {
        self.late.as_ref().is_none_or(|late| late.dirty.is_empty() && late.settled.is_empty())
    }

    /// Leaves the hits of rules that may take an event as it comes. The others are evaluated again
    /// at the end of the epoch: those that wait for that already, and those with a match that was
    /// decided by a deadline that the event comes before.
    pub(super) fn set_aside(&mut self, time: EventTimeMs, hits: &mut Vec<Hit>) {
        let Some(late) = &mut self.late else { return };
        hits.retain(|hit| {
            let rule = hit.rule_number();
            if late.standing.is_overtaken(rule, time) {
                late.touch(rule);
            }
            !late.dirty.contains(&rule)
        });
    }

    /// Forgets a rule that is no longer deployed.
    pub(super) fn forget(&mut self, rule: u32) {
        self.windows.forget(rule);
        if let Some(late) = &mut self.late {
            late.forget(rule);
        }
    }

    /// Forgets all that is under way, and the events that are kept.
    pub(super) fn clear(&mut self) {
        (self.kept, self.windows, self.late) = Default::default();
    }

    /// The visitor of a fact that is asserted now.
    pub(super) fn settle_visitor(&mut self, found: &mut Found) {
        let visitor = self.late_mut().acted_for.get_or_insert_with(|| found.fact.visitor.clone());
        found.fact.visitor.clone_from(visitor);
    }

    /// Reads what an event will need first; the figure means nothing.
    pub(super) fn touch(&self) -> u64 {
        let late = u64::from(self.late.is_some());
        self.newest.2.0 ^ self.instance.0.0 ^ self.events ^ self.changes ^ late
    }

    /// Reads what it will need next, where the visit's parts lie.
    pub(super) fn touch_parts(&self) -> u64 {
        let late = self.late.as_ref().map_or(0, |late| late.dirty.len() as u64);
        late ^ self.kept.touch() ^ self.windows.touch()
    }

    /// What is known of it before the events that are to come.
    pub(super) fn ongoing(&self, hash: u64) -> Ongoing {
        Ongoing {
            hash,
            instance: self.instance,
            visitor: self.visitor.clone(),
            is_made_up: self.is_made_up,
            identities: self.kept.identities(),
        }
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
        let late = self.late.as_ref().map_or(0, |late| late.bytes());
        size_of::<Self>() as u64 + self.kept.bytes() + self.windows.bytes() + late
    }
}

impl Late {
    /// A rule is to be evaluated again.
    pub(super) fn touch(&mut self, rule: u32) {
        if !self.dirty.contains(&rule) {
            self.dirty.push(rule);
        }
    }

    /// What was found before the events that are kept is final: at once, or once its rule has been
    /// evaluated again.
    pub(super) fn settle(&mut self, found: Vec<Found>) {
        for one in found {
            if self.dirty.contains(&one.rule) {
                self.settled.push(one);
            } else {
                self.standing.settle(&one);
            }
        }
    }

    fn forget(&mut self, rule: u32) {
        if let Some(base) = &mut self.base {
            base.forget(rule);
        }
        self.standing.forget(rule);
    }

    fn bytes(&self) -> u64 {
        let base = self.base.as_ref().map_or(0, Windows::bytes);
        size_of::<Self>() as u64 + base + self.standing.bytes()
    }
}

/// An event's place in the order.
pub(super) fn order(event: &EventView<'_>, seq: LogSeq) -> Order {
    (event.timestamp, event.tie, seq)
}
