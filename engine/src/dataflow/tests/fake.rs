//! A made stage, random input for it, and the plain loop that says what must come out.

use crate::model::{
    ActionFact, ActionId, CloseReason, Epoch, EpochInput, EpochMark, EpochOutput, Event, EventId,
    EventRow, EventTimeMs, Fate, Flags, Id, Identity, Instance, LogSeq, LoggedEvent, MatchId,
    PackedEvent, ServerTimeMs, Value, VisitChange, VisitId, VisitRow, VisitorId, WindowKey,
};
use crate::stage::{Effect, RuleChange, Stage, StageStats};
use crate::suppress::Suppressor;
use std::collections::BTreeMap;

/// An event of this name makes the stage panic.
pub(crate) const PANIC: &str = "a stage that fails";
/// A visit ends so long after its last event.
const INACTIVITY_MS: i64 = 1_000;

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// An event of site "shop"; its time is its log sequence.
pub(crate) fn event(seq: u64, visit: &str, name: &str) -> LoggedEvent {
    event_with(seq, visit, name, &[])
}

pub(crate) fn event_with(seq: u64, visit: &str, name: &str, categories: &[&str]) -> LoggedEvent {
    let categories = categories.iter().map(|&text| Value::Str(text.into())).collect();
    let event = pack(visit, name, seq, Flags::default(), Value::List(categories));
    LoggedEvent { seq: LogSeq(seq), event }
}

fn pack(visit: &str, name: &str, seq: u64, flags: Flags, category: Value) -> PackedEvent {
    let timestamp = i64::try_from(seq).expect("small");
    PackedEvent::pack(&Event {
        flags,
        site: "shop".into(),
        name: name.into(),
        id: EventId(Id::Bits(u128::from(seq))),
        visit: VisitId(Id::Text(visit.into())),
        visitor: None,
        page: None,
        timestamp: EventTimeMs(timestamp),
        server_timestamp: ServerTimeMs(timestamp),
        client_timestamp: None,
        tie: None,
        fields: vec![("category".into(), category)],
    })
}

/// An epoch whose clock is a second for each number.
pub(crate) fn epoch(number: u64, events: Vec<LoggedEvent>) -> EpochInput {
    let last = events.iter().map(|event| event.seq).max().unwrap_or(LogSeq(0));
    let now = i64::try_from(number).expect("small") * 1_000;
    let mark = EpochMark {
        epoch: Epoch(number),
        first_seq: events.first().map_or(last.next(), |event| event.seq),
        last_seq: last,
        now: ServerTimeMs(now),
        watermark: EventTimeMs(i64::try_from(last.0).expect("small")),
    };
    EpochInput { mark, events }
}

/// Epochs cut at random places, some empty, some of one visit only; events shuffled inside, as
/// nothing may depend on their order of arrival.
pub(crate) fn random_epochs(random: &mut Random) -> Vec<EpochInput> {
    let mut seq = 0;
    let mut number = 0;
    let visits = 1 + random.below(12);
    (0..30)
        .map(|_| {
            number += 1 + random.below(3) as u64;
            let size = [0, 1, 3, 40, 300][random.below(5)];
            let mut events: Vec<_> = (0..random.below(size + 1))
                .map(|_| {
                    seq += 1;
                    event(seq, &format!("visit {}", random.below(visits)), "E")
                })
                .collect();
            let input = epoch(number, events.clone());
            for index in (1..events.len()).rev() {
                events.swap(index, random.below(index + 1));
            }
            EpochInput { events, ..input }
        })
        .collect()
}

/// What a [`FakeStage`] keeps of a visit.
#[derive(Clone)]
struct Visit {
    row: VisitRow,
    /// Depends on the order of all events so far.
    hash: u64,
    standing: Option<ActionFact>,
}

/// Records every event, makes up a `VisitStarted` (and says it behind its cause, for the collector
/// to put right), and finds, corrects and takes back matches by an event's hash.
#[derive(Default)]
pub(crate) struct FakeStage {
    visits: BTreeMap<VisitId, Visit>,
    stats: StageStats,
}

impl Stage for FakeStage {
    fn event(&mut self, logged: &LoggedEvent, out: &mut Vec<Effect>) {
        let view = logged.event.view().expect("tests pack whole events");
        assert!(view.name != PANIC, "{PANIC}");
        self.stats.events_matched += 1;
        let id = view.visit();
        let instance = Instance(logged.seq);
        let opened = !self.visits.contains_key(&id);
        let visit = self.visits.entry(id.clone()).or_insert_with(|| Visit {
            row: VisitRow {
                instance,
                change: VisitChange::Opened { resumed: false },
                site: view.site.into(),
                visit: id.clone(),
                visitor: None,
                started: view.timestamp,
                last_event: view.timestamp,
                events: 0,
                identity: Identity::default(),
            },
            hash: 0,
            standing: None,
        });
        visit.row.events += 1;
        visit.row.last_event = visit.row.last_event.max(view.timestamp);
        visit.hash = mix(visit.hash ^ logged.seq.0);
        out.push(Effect::Event(event_row(logged, logged.event.clone(), visit.row.instance)));
        if opened {
            let seq = logged.seq.0;
            let event = pack(&id.to_string(), "VisitStarted", seq, Flags::MADE_UP, Value::Null);
            out.push(Effect::Event(event_row(logged, event, visit.row.instance)));
            out.push(Effect::Visit(visit.row.clone().into()));
        }
        visit.match_by_hash(logged.seq, out);
    }

    fn end_epoch(&mut self, mark: &EpochMark, out: &mut Vec<Effect>) {
        let closes =
            |visit: &Visit| visit.row.last_event.saturating_add(INACTIVITY_MS) < mark.watermark;
        let closed: Vec<_> = self
            .visits
            .iter()
            .filter(|(_, visit)| closes(visit))
            .map(|(id, _)| id.clone())
            .collect();
        for id in closed {
            let mut row = self.visits.remove(&id).expect("it was just seen").row;
            row.change = VisitChange::Closed(CloseReason::Inactive);
            out.push(Effect::Visit(row.into()));
        }
    }

    fn deploy(&mut self, _: &RuleChange) {}

    fn stats(&self) -> StageStats {
        let timers = self.visits.values().map(|visit| visit.row.last_event.0 + INACTIVITY_MS);
        StageStats {
            visits_open: self.visits.len() as u64,
            next_timer_ms: timers.min(),
            ..self.stats
        }
    }
}

impl Visit {
    fn match_by_hash(&mut self, seq: LogSeq, out: &mut Vec<Effect>) {
        let fact = || ActionFact {
            window: WindowKey::Visit,
            site: self.row.site.clone(),
            visit: self.row.visit.clone(),
            instance: self.row.instance,
            package: "shop".into(),
            rule: format!("rule {}", self.hash % 2).into(),
            action: ActionId(u128::from(self.row.instance.0.0)),
            matched: MatchId(u128::from(self.hash)),
            version: 1,
            suppressed: None,
            // Visitors have visits on every worker.
            visitor: Some(VisitorId(Id::Bits(u128::from(self.row.instance.0.0 % 5)))),
            timestamp: self.row.last_event,
            seq,
            events: vec![EventId(Id::Bits(u128::from(seq.0)))],
            kind: "invite".into(),
            channel: None,
            expires_ms: None,
            endpoint: None,
            data: None,
            has_null_placeholder: false,
            priority: 0,
            decided: self.row.last_event,
            is_visit_open: true,
            is_backfilled: false,
        };
        match self.hash % 7 {
            0 | 1 => {
                let new = fact();
                out.extend(self.standing.take().map(|old| Effect::Match(old.into(), -1)));
                out.push(Effect::Match(new.clone().into(), 1));
                self.standing = Some(new);
            }
            2 => out.extend(self.standing.take().map(|old| Effect::Match(old.into(), -1))),
            3 => out.push(Effect::Match(fact().into(), 1)),
            4 => out.extend([1, -1].map(|sign| Effect::Match(fact().into(), sign))),
            _ => {}
        }
    }
}

fn event_row(logged: &LoggedEvent, event: PackedEvent, instance: Instance) -> EventRow {
    EventRow {
        seq: logged.seq,
        event,
        instance: Some(instance),
        fate: Fate::Matched,
        identity: Identity::default(),
    }
}

/// One stage, one thread, events in log order.
pub(crate) fn effects(epochs: &[EpochInput]) -> Vec<(EpochMark, Vec<Effect>)> {
    let mut stage = FakeStage::default();
    let apply = |input: &EpochInput| {
        let mut effects = Vec::new();
        let mut events: Vec<_> = input.events.iter().collect();
        events.sort_by_key(|event| event.seq);
        events.into_iter().for_each(|event| stage.event(event, &mut effects));
        stage.end_epoch(&input.mark, &mut effects);
        (input.mark, effects)
    };
    epochs.iter().map(apply).collect()
}

/// Its effects as outputs, built by the book, through one suppression.
pub(crate) fn expected(epochs: &[EpochInput]) -> Vec<EpochOutput> {
    let mut suppressor = Suppressor::default();
    let effects = effects(epochs).into_iter();
    effects.map(|(mark, effects)| output(mark, effects, &mut suppressor)).collect()
}

fn output(mark: EpochMark, effects: Vec<Effect>, suppressor: &mut Suppressor) -> EpochOutput {
    let mut rows = BTreeMap::new();
    let mut visits = Vec::new();
    let mut net = BTreeMap::<ActionFact, i64>::new();
    for effect in effects {
        match effect {
            Effect::Event(row) => {
                let made_up = row.event.view().expect("whole").flags.has(Flags::MADE_UP);
                assert!(rows.insert((row.seq, !made_up), row).is_none());
            }
            Effect::Visit(row) => visits.push(*row),
            Effect::Match(fact, sign) => *net.entry(*fact).or_default() += sign,
        }
    }
    visits.sort();
    net.retain(|_, sign| *sign != 0);
    let mut actions = suppressor.epoch(&mark, net.into_iter().collect());
    actions.sort();
    EpochOutput { mark, events: rows.into_values().collect(), visits, actions, notices: Vec::new() }
}
