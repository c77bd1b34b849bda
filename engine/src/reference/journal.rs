//! The log, event by event and mark by mark: fates, visit instances, identities, time.

use super::expression::Stamped;
use super::{Recorded, ReferenceConfig, ReferenceVisit};
use crate::model::{
    CloseReason, EpochInput, Event, EventTimeMs, Fate, Flags, Identity, Instance, LogSeq,
    PackedEvent, Value, VisitId, VisitScope, made_up_visit_started, system,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where an event stands: timestamp, tie-breaker, log sequence. A made-up one has the place of the
/// event that it stands for, and was seen just before it.
pub(super) type Order = (EventTimeMs, Option<i64>, LogSeq);

/// An event that rules see.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) order: Order,
    pub(super) instance: Instance,
    pub(super) stamped: Stamped,
}

/// An instance of a visit, open or closed.
#[derive(Debug)]
struct Visit {
    instance: Instance,
    identity: Identity,
    closed: Option<CloseReason>,
    is_made_up: bool,
    /// Events in log order, without those that are never matched.
    events: u64,
    newest: Order,
}

/// What the log says.
#[derive(Debug)]
pub(super) struct Journal {
    config: ReferenceConfig,
    pub(super) watermark: EventTimeMs,
    pub(super) horizon: EventTimeMs,
    visits: BTreeMap<(Arc<str>, VisitId), Vec<Visit>>,
    pub(super) recorded: Vec<Recorded>,
    pub(super) seen: Vec<Seen>,
}

impl Journal {
    pub(super) fn new(config: ReferenceConfig) -> Self {
        Self {
            config,
            watermark: EventTimeMs::MIN,
            horizon: EventTimeMs::MIN,
            visits: BTreeMap::new(),
            recorded: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// Takes the next epoch: its events by the mark before it, then its own mark.
    pub(super) fn epoch(&mut self, input: &EpochInput) {
        for logged in &input.events {
            let recorded = match logged.event.unpack() {
                Ok(event) => self.event(logged.seq, event),
                Err(_) => passed_over(logged.seq, Fate::Unreadable),
            };
            self.recorded.push(recorded);
        }
        let is_end = input.mark.watermark == EventTimeMs::MAX;
        self.watermark = input.mark.watermark;
        self.horizon = if is_end {
            EventTimeMs::MAX
        } else {
            self.watermark.saturating_add(-self.config.lateness_ms)
        };
        for visit in self.visits.values_mut().flatten().filter(|visit| visit.closed.is_none()) {
            let ends = self.config.inactivity_ms.map(|ms| visit.newest.0.saturating_add(ms));
            if is_end {
                visit.closed = Some(CloseReason::EndOfInput);
            } else if ends.is_some_and(|ends| self.horizon > ends) {
                visit.closed = Some(CloseReason::Inactive);
            }
        }
    }

    /// Every visit instance, sorted.
    pub(super) fn visits(&self) -> Vec<ReferenceVisit> {
        let visits = self.visits.iter().flat_map(|((site, visit), instances)| {
            instances.iter().enumerate().map(|(index, one)| ReferenceVisit {
                site: Arc::clone(site),
                visit: visit.clone(),
                instance: one.instance,
                resumed: index > 0,
                closed: one.closed,
            })
        });
        visits.collect()
    }

    /// Whether a visit instance is over.
    pub(super) fn is_closed(&self, instance: Instance) -> bool {
        let mut all = self.visits.values().flatten();
        all.any(|visit| visit.instance == instance && visit.closed.is_some())
    }

    fn event(&mut self, seq: LogSeq, event: Event) -> Recorded {
        if event.flags.has(Flags::RECORD_ONLY) {
            return passed_over(seq, Fate::Unproven);
        }
        let instances =
            self.visits.entry((Arc::clone(&event.site), event.visit.clone())).or_default();
        let current = instances.iter_mut().rfind(|visit| visit.closed.is_none());
        let without = |fate: Fate, visit: Option<&Visit>| Recorded {
            seq,
            fate,
            instance: visit.map(|visit| visit.instance),
            identity: visit.map(|visit| visit.identity.clone()).unwrap_or_default(),
        };
        if event.timestamp < self.horizon {
            return without(Fate::BeforeHorizon, current.as_deref());
        }
        let order = (event.timestamp, event.tie, seq);
        let visit = match current {
            Some(visit) if visit.is_made_up && &*event.name == system::VISIT_STARTED => {
                visit.newest = visit.newest.max(order);
                return without(Fate::Superseded, Some(visit));
            }
            Some(visit) => visit,
            None => {
                instances.push(Visit::open(seq, order));
                let visit = instances.last_mut().expect("just pushed");
                if self.config.makes_visit_started && &*event.name != system::VISIT_STARTED {
                    visit.is_made_up = true;
                    self.seen.push(made_up(visit.instance, &event));
                }
                visit
            }
        };
        let fate = if order < visit.newest { Fate::PutInPlace } else { Fate::Matched };
        visit.newest = visit.newest.max(order);
        visit.events += 1;
        visit.identity = identity_after(&visit.identity, &event);
        if &*event.name == system::VISIT_ENDED && !event.flags.has(Flags::UNPROVEN) {
            visit.closed = Some(CloseReason::Ended);
        }
        if visit.events > self.config.visit_events_matched_max {
            return without(Fate::OverVisitLimit, Some(visit));
        }
        let behind = |seen: &&Seen| seen.instance == visit.instance && seen.order > order;
        if self.seen.iter().filter(behind).count() >= self.config.visit_events_max {
            return without(Fate::NotCorrectable, Some(visit));
        }
        let stamped = Stamped { event, identity: visit.identity.clone() };
        self.seen.push(Seen { order, instance: visit.instance, stamped });
        without(fate, Some(visit))
    }
}

impl Visit {
    fn open(seq: LogSeq, order: Order) -> Self {
        Self {
            instance: Instance(seq),
            identity: Identity::default(),
            closed: None,
            is_made_up: false,
            events: 0,
            newest: order,
        }
    }
}

fn passed_over(seq: LogSeq, fate: Fate) -> Recorded {
    Recorded { seq, fate, instance: None, identity: Identity::default() }
}

/// The `VisitStarted` of a visit that had none: just before its first event.
fn made_up(instance: Instance, event: &Event) -> Seen {
    let packed = PackedEvent::pack(event);
    let view = packed.view().expect("just packed");
    let event = made_up_visit_started(&view, instance).unpack().expect("just packed");
    let order = (event.timestamp, event.tie, instance.0);
    Seen { order, instance, stamped: Stamped { event, identity: Identity::default() } }
}

/// The table of the GWE event model, section 2.5.
fn identity_after(before: &Identity, event: &Event) -> Identity {
    let user = match event.field("data") {
        Some(Value::Map(entries)) => entries.iter().rfind(|(key, _)| &**key == "userID"),
        _ => None,
    };
    let user: Option<Arc<str>> = match user {
        Some((_, Value::Str(text))) => Some(text.to_string().into()),
        _ => None,
    };
    let verified = event.flags.has(Flags::VERIFIED);
    let signed_in = before.scope == VisitScope::Authenticated;
    match (&*event.name, user) {
        (system::SIGN_IN, Some(user)) => {
            Identity { scope: VisitScope::Authenticated, user: Some(user), verified }
        }
        (system::USER_INFO, Some(user)) if !signed_in => {
            Identity { scope: VisitScope::Recognized, user: Some(user), verified }
        }
        (system::SIGN_OUT, _) if signed_in => {
            Identity { scope: VisitScope::Recognized, ..before.clone() }
        }
        _ => before.clone(),
    }
}
