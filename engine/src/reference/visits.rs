//! Visits, identity, lateness and matches over a complete log, epoch by epoch, naively.

use super::expression::Stamped;
use super::sequence;
use crate::model::{
    EpochInput, Event, EventId, EventTimeMs, Fate, Flags, Identity, Instance, LogSeq, PackedEvent,
    Value, VisitId, VisitScope, made_up_visit_started, system,
};
use beckon_rules::plan::{Fire, RulePlan, RuleSet};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The figures that decide what a visit is.
#[derive(Clone, Copy, Debug)]
pub struct ReferenceConfig {
    /// Horizon = watermark - lateness.
    pub lateness_ms: i64,
    /// A visit without events for so long is over; `None`: never.
    pub inactivity_ms: Option<i64>,
    /// Events of a visit beyond this are not matched.
    pub visit_events_matched_max: u64,
    /// Whether a missing `VisitStarted` is made up.
    pub makes_visit_started: bool,
}

/// What became of one event.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Its place in the log.
    pub seq: LogSeq,
    /// What became of it.
    pub fate: Fate,
    /// Its visit instance.
    pub instance: Option<Instance>,
    /// Who the visitor was.
    pub identity: Identity,
}

/// One match.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReferenceMatch {
    /// The site.
    pub site: Arc<str>,
    /// The visit.
    pub visit: VisitId,
    /// Its instance.
    pub instance: Instance,
    /// The rule's package.
    pub package: Arc<str>,
    /// The rule.
    pub rule: Arc<str>,
    /// Ids of the matched events, in step order.
    pub events: Vec<EventId>,
}

/// All that the rules mean on a log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReferenceOutput {
    /// A line for each event of the log, in order, made-up ones left out.
    pub recorded: Vec<Recorded>,
    /// Every match that fires, sorted.
    pub matches: Vec<ReferenceMatch>,
}

/// An instance of a visit, open or closed.
#[derive(Debug)]
struct Visit {
    instance: Instance,
    identity: Identity,
    is_open: bool,
    is_made_up: bool,
    events: Vec<(LogSeq, Stamped)>,
    seen: u64,
    newest: (EventTimeMs, Option<i64>, LogSeq),
}

/// The evaluator: fed epoch by epoch, asked at the end.
#[derive(Debug)]
pub struct Reference {
    config: ReferenceConfig,
    horizon: EventTimeMs,
    visits: BTreeMap<(Arc<str>, VisitId), Vec<Visit>>,
    recorded: Vec<Recorded>,
}

impl Reference {
    /// An evaluator of an empty log.
    #[must_use]
    pub fn new(config: ReferenceConfig) -> Self {
        Self { config, horizon: EventTimeMs::MIN, visits: BTreeMap::new(), recorded: Vec::new() }
    }

    /// Takes the next epoch.
    pub fn epoch(&mut self, input: &EpochInput) {
        for logged in &input.events {
            let recorded = match logged.event.unpack() {
                Ok(event) => self.event(logged.seq, event),
                Err(_) => self.passed_over(logged.seq, Fate::Unreadable),
            };
            self.recorded.push(recorded);
        }
        self.horizon = input.mark.watermark.saturating_add(-self.config.lateness_ms);
        if input.mark.watermark == EventTimeMs::MAX {
            self.horizon = EventTimeMs::MAX;
        }
        for visit in self.visits.values_mut().flatten() {
            let ends = self.config.inactivity_ms.map(|ms| visit.newest.0.saturating_add(ms));
            let at_end = self.horizon == EventTimeMs::MAX;
            if at_end || ends.is_some_and(|ends| self.horizon > ends) {
                visit.is_open = false;
            }
        }
    }

    /// What the log means under these rules.
    #[must_use]
    pub fn finish(self, rules: &RuleSet) -> ReferenceOutput {
        let mut matches = Vec::new();
        for ((site, visit), instances) in &self.visits {
            for instance in instances {
                let events: Vec<Stamped> =
                    instance.events.iter().map(|(_, stamped)| stamped.clone()).collect();
                for rule in &rules.rules {
                    matches.extend(firing(rule, &events).map(|events| ReferenceMatch {
                        site: Arc::clone(site),
                        visit: visit.clone(),
                        instance: instance.instance,
                        package: Arc::clone(&rule.package),
                        rule: Arc::clone(&rule.name),
                        events,
                    }));
                }
            }
        }
        matches.sort();
        // Two values of a join key may make a match of the same events: one match id, one match.
        matches.dedup();
        ReferenceOutput { recorded: self.recorded, matches }
    }

    fn passed_over(&self, seq: LogSeq, fate: Fate) -> Recorded {
        Recorded { seq, fate, instance: None, identity: Identity::default() }
    }

    fn event(&mut self, seq: LogSeq, event: Event) -> Recorded {
        if event.flags.has(Flags::RECORD_ONLY) {
            return self.passed_over(seq, Fate::Unproven);
        }
        let key = (Arc::clone(&event.site), event.visit.clone());
        let open = self.visits.entry(key).or_default();
        let order = (event.timestamp, event.tie, seq);
        let current = open.iter_mut().rfind(|visit| visit.is_open);
        let (instance, identity) = current.as_ref().map_or((None, Identity::default()), |visit| {
            (Some(visit.instance), visit.identity.clone())
        });
        if event.timestamp < self.horizon {
            return Recorded { seq, fate: Fate::BeforeHorizon, instance, identity };
        }
        let Some(visit) = current else {
            let visit = open_visit(seq, &event, self.config.makes_visit_started);
            open.push(visit);
            let visit = open.last_mut().expect("just pushed");
            return take(visit, seq, event, self.config.visit_events_matched_max);
        };
        if visit.is_made_up && &*event.name == system::VISIT_STARTED {
            visit.newest = visit.newest.max(order);
            return Recorded { seq, fate: Fate::Superseded, instance, identity };
        }
        if order < visit.newest {
            return Recorded { seq, fate: Fate::LateInVisit, instance, identity };
        }
        visit.newest = order;
        take(visit, seq, event, self.config.visit_events_matched_max)
    }
}

fn open_visit(seq: LogSeq, event: &Event, makes_visit_started: bool) -> Visit {
    let mut visit = Visit {
        instance: Instance(seq),
        identity: Identity::default(),
        is_open: true,
        is_made_up: false,
        events: Vec::new(),
        seen: 0,
        newest: (event.timestamp, event.tie, seq),
    };
    if makes_visit_started && &*event.name != system::VISIT_STARTED {
        let made_up = made_up(visit.instance, event);
        let identity = Identity::default();
        visit.events.push((seq, Stamped { event: made_up, identity }));
        visit.is_made_up = true;
    }
    visit
}

fn take(visit: &mut Visit, seq: LogSeq, event: Event, matched_max: u64) -> Recorded {
    let mut recorded = Recorded {
        seq,
        fate: Fate::Matched,
        instance: Some(visit.instance),
        identity: visit.identity.clone(),
    };
    visit.seen += 1;
    visit.identity = identity_after(&visit.identity, &event);
    recorded.identity = visit.identity.clone();
    let ends = &*event.name == system::VISIT_ENDED;
    if visit.seen > matched_max {
        recorded.fate = Fate::OverVisitLimit;
    } else {
        visit.events.push((seq, Stamped { event, identity: visit.identity.clone() }));
    }
    visit.is_open = !ends;
    recorded
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

/// The `VisitStarted` of a visit that had none.
fn made_up(instance: Instance, event: &Event) -> Event {
    let packed = PackedEvent::pack(event);
    let view = packed.view().expect("just packed");
    made_up_visit_started(&view, instance).unpack().expect("just packed")
}

/// The matches that a rule lets out of one instance: the first, or every one.
fn firing(rule: &RulePlan, events: &[Stamped]) -> impl Iterator<Item = Vec<EventId>> {
    let limit = match rule.fire {
        Fire::Once => 1,
        Fire::Every => usize::MAX,
    };
    let ids = |at: usize| events[at].event.id.clone();
    sequence::matches(&rule.tree, events)
        .into_iter()
        .take(limit)
        .map(move |places| places.into_iter().map(ids).collect())
}
