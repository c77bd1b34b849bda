//! Which calls are to be made: a fold over the outbox, and what came of attempts.
//!
//! ```text
//! asserted --> waiting <---- due again ----+
//!   |            | begins                  |
//!   |         sending --> failed ----------+--> given up --> dead letter <-- no room, no endpoint, 410
//!   |            +------> delivered, out                        |  replayed
//!   +-- taken back before anybody heard of it --> withdrawn     +--> waiting
//!       taken back afterwards --> a second call, `action.retracted`
//! ```
//!
//! **Invariants.** A call that was asserted is waiting, under way, a dead letter, or stands in the log as
//! delivered or withdrawn; one that was dropped by a bound is counted. What the log says of calls is
//! believed up to where it ended at the start ([`Queue::begin`]): what comes behind is this process's own.
//! Of what was asserted before the start it is not known whether an attempt was under way when the process
//! before ended: when it is taken back, the endpoint is told.
//!
//! **Bounds.** `waiting_max` and `waiting_bytes_max` of an endpoint, `in_flight_max` of it under way,
//! `dead_letters_max` and `dead_letter_bytes_max` of all, `call_bytes_max` of a call, `RECORDS_MAX` of
//! what waits for the log.

mod attempt;
mod call;
mod letters;
mod records;
mod saved;
mod stats;
#[cfg(test)]
pub(super) mod tests;

use super::WebhooksConfig;
use super::body::{Said, body_of};
use super::breaker::Breaker;
pub(super) use attempt::{Job, Verdict};
use beckon_engine::model::{
    ActionRow, Delivery, Epoch, EpochMark, EpochOutput, MessageId, Notice, Op, Outcome,
    ServerTimeMs, SinkName,
};
use beckon_engine::outbox::Position;
use call::{Call, RETRACTION_FROM};
pub(super) use letters::{Letter, Letters};
use records::Records;
pub(super) use saved::Saved;
pub use stats::{EndpointStats, QueueStats};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The kind of actions that are called.
const KIND: &str = "webhook";

/// What an endpoint has to do.
#[derive(Clone, Debug, Default)]
pub(super) struct Endpoint {
    /// What waits, by when it is due.
    due: BTreeSet<(ServerTimeMs, MessageId)>,
    in_flight: usize,
    bytes: usize,
    breaker: Breaker,
    /// By its `Retry-After`.
    paused_until: Option<ServerTimeMs>,
    /// It said 410.
    is_gone: bool,
    fingerprint: u64,
    stats: EndpointStats,
}

impl Endpoint {
    fn held(&self) -> usize {
        self.due.len() + self.in_flight
    }
}

/// The calls of all endpoints.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    config: Arc<WebhooksConfig>,
    endpoints: BTreeMap<Arc<str>, Endpoint>,
    calls: BTreeMap<MessageId, Call>,
    /// What is held, by its age.
    by_age: BTreeSet<(ServerTimeMs, MessageId)>,
    letters: Letters,
    records: Records,
    last: Position,
    ready_at: Epoch,
    too_large: u64,
    letters_written: u64,
}

impl Queue {
    /// A queue that holds nothing yet; the log ended with `ready_at` when the process began.
    pub(super) fn new(config: Arc<WebhooksConfig>, ready_at: Epoch) -> Self {
        let endpoint = |(name, config): (&String, &super::EndpointConfig)| {
            let endpoint = Endpoint { fingerprint: config.fingerprint(), ..Endpoint::default() };
            (Arc::from(name.as_str()), endpoint)
        };
        Self {
            endpoints: config.endpoints.iter().map(endpoint).collect(),
            letters: Letters::new(config.dead_letters_max, config.dead_letter_bytes_max),
            config,
            calls: BTreeMap::new(),
            by_age: BTreeSet::new(),
            records: Records::default(),
            last: Position::default(),
            ready_at,
            too_large: 0,
            letters_written: 0,
        }
    }

    /// Goes on behind a position.
    pub(super) fn begin(&mut self, position: Position) {
        self.last = position;
    }

    /// Whether all is folded that the log held at the start.
    pub(super) fn is_ready(&self) -> bool {
        self.last.epoch >= self.ready_at
    }

    /// Takes what the engine said of the next epoch.
    pub(super) fn fold(&mut self, output: &EpochOutput) {
        let mark = &output.mark;
        if mark.epoch <= self.last.epoch {
            return;
        }
        if mark.epoch <= self.ready_at {
            for row in &output.notices {
                if let Notice::Delivery(delivery) = &*row.notice
                    && matches!(delivery.sink, SinkName::Webhook(_))
                {
                    self.recorded_before(delivery, mark.now);
                }
            }
        }
        for row in output.actions.iter().filter(|row| *row.fact.kind == *KIND) {
            match row.op {
                Op::Assert => self.assert(row, mark),
                // One that never acted is taken back from nobody.
                Op::Retract if row.fact.suppressed.is_none() => self.retract(row, mark),
                Op::Retract | Op::Suppress | Op::Correct => {}
            }
        }
        self.last = Position { epoch: mark.epoch, seq: mark.last_seq };
    }

    /// What the process before has written of a call.
    fn recorded_before(&mut self, delivery: &Delivery, now: ServerTimeMs) {
        let id = delivery.message;
        match (delivery.outcome, delivery.attempt) {
            (Outcome::Delivered, _) => {
                self.letters.take(id);
                let Some(call) = self.calls.get_mut(&id) else { return };
                call.is_told = true;
                if call.said == Said::Asserted {
                    self.remove(id);
                }
            }
            (Outcome::Withdrawn, _) => {
                self.letters.take(id);
                self.remove(id);
            }
            (Outcome::Failed, Some(attempt)) => {
                let Some(call) = self.calls.get_mut(&id).filter(|call| call.attempts < attempt)
                else {
                    return;
                };
                call.tries += attempt - call.attempts;
                call.attempts = attempt;
                let wait = super::schedule::wait_ms(&self.config.retries_ms, call.tries, id);
                let due = ServerTimeMs(now.0.saturating_add(wait.unwrap_or(0)));
                self.set_due(id, due);
            }
            (Outcome::Failed, None) => {
                let reason = delivery.reason.clone().unwrap_or_else(|| "failed".into());
                if let Some(call) = self.remove(id) {
                    self.letters.add(Letter { call, reason, at: now });
                }
            }
            (Outcome::Acknowledged | Outcome::Expired, _) => {}
        }
    }

    fn assert(&mut self, row: &ActionRow, mark: &EpochMark) {
        let id = MessageId::from(row.fact.action);
        // The same action again, after the engine forgot that it acted.
        if self.calls.contains_key(&id) || self.letters.has(id) {
            return;
        }
        let call = self.call_of(Said::Asserted, row, mark);
        self.take_in(call, mark.now);
    }

    fn retract(&mut self, row: &ActionRow, mark: &EpochMark) {
        let id = MessageId::from(row.fact.action);
        if let Some(letter) = self.letters.take(id) {
            self.record(&letter.call, Outcome::Withdrawn, (None, Some("retracted".into())));
            return;
        }
        let body = body_of(Said::Retracted, &row.fact, mark.now);
        let Some(call) = self.calls.get_mut(&id) else {
            // Its assertion was delivered and is held no more.
            let call = self.call_of(Said::Retracted, row, mark);
            self.take_in(Call { is_told: true, attempts: RETRACTION_FROM, ..call }, mark.now);
            return;
        };
        if call.said == Said::Retracted || call.retraction.is_some() {
            return;
        }
        if call.is_sending {
            call.retraction = Some(body);
        } else {
            self.turn_back(id, body, mark.now);
        }
    }

    /// What waits to be told is told to be taken back; where nobody can have heard of it, nobody is.
    fn turn_back(&mut self, id: MessageId, body: Arc<str>, now: ServerTimeMs) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let is_unheard = !call.is_told && call.attempts == 0 && !call.is_doubtful;
        if is_unheard {
            if let Some(call) = self.remove(id) {
                self.record(&call, Outcome::Withdrawn, (None, Some("retracted".into())));
            }
            return;
        }
        let before = call.bytes();
        call.turn_back(body);
        let (after, endpoint) = (call.bytes(), Arc::clone(&call.endpoint));
        if let Some(endpoint) = self.endpoints.get_mut(&endpoint) {
            endpoint.bytes = endpoint.bytes + after - before;
        }
        self.set_due(id, now);
    }

    fn call_of(&self, said: Said, row: &ActionRow, mark: &EpochMark) -> Call {
        let fact = &row.fact;
        Call {
            id: fact.action.into(),
            endpoint: fact.endpoint.clone().unwrap_or_default(),
            site: Arc::clone(&fact.site),
            visit: fact.visit.clone(),
            said,
            body: body_of(said, fact, mark.now),
            since: mark.now,
            due: mark.now,
            attempts: 0,
            tries: 0,
            is_told: false,
            is_doubtful: mark.epoch <= self.ready_at,
            is_sending: false,
            retraction: None,
        }
    }

    /// Puts a call where it belongs: among what waits, or among the dead letters.
    fn take_in(&mut self, call: Call, now: ServerTimeMs) {
        if call.body.len() > self.config.call_bytes_max {
            self.too_large += 1;
            self.record(&call, Outcome::Failed, (None, Some("too_large".into())));
            return;
        }
        match self.room_for(&call) {
            Ok(()) => self.wait(call),
            Err(reason) => self.bury(call, reason.into(), now),
        }
    }

    /// Whether a call may wait for its endpoint; otherwise why not.
    fn room_for(&self, call: &Call) -> Result<(), &'static str> {
        let endpoint = self.endpoints.get(&call.endpoint).ok_or("no_endpoint")?;
        if endpoint.is_gone {
            return Err("gone");
        }
        let is_full = endpoint.held() >= self.config.waiting_max
            || endpoint.bytes + call.bytes() > self.config.waiting_bytes_max;
        if is_full { Err("too_many") } else { Ok(()) }
    }

    fn wait(&mut self, call: Call) {
        let endpoint = self.endpoints.get_mut(&call.endpoint).expect("who calls looked for it");
        endpoint.due.insert((call.due, call.id));
        endpoint.bytes += call.bytes();
        self.by_age.insert((call.since, call.id));
        self.calls.insert(call.id, call);
    }

    /// Takes a call out of what is held.
    fn remove(&mut self, id: MessageId) -> Option<Call> {
        let call = self.calls.remove(&id)?;
        self.by_age.remove(&(call.since, id));
        if let Some(endpoint) = self.endpoints.get_mut(&call.endpoint) {
            endpoint.due.remove(&(call.due, id));
            endpoint.bytes -= call.bytes();
            endpoint.in_flight -= usize::from(call.is_sending);
        }
        Some(Call { is_sending: false, ..call })
    }

    /// Makes a dead letter of a call that is not held.
    fn bury(&mut self, call: Call, reason: Arc<str>, now: ServerTimeMs) {
        self.record(&call, Outcome::Failed, (None, Some(Arc::clone(&reason))));
        self.letters_written += 1;
        if let Some(endpoint) = self.endpoints.get_mut(&call.endpoint) {
            endpoint.stats.buried += 1;
        }
        self.letters.add(Letter { call, reason, at: now });
    }

    fn set_due(&mut self, id: MessageId, due: ServerTimeMs) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(endpoint) = self.endpoints.get_mut(&call.endpoint) else { return };
        endpoint.due.remove(&(call.due, id));
        call.due = due;
        endpoint.due.insert((due, id));
    }

    /// Keeps for the log what became of a call.
    fn record(
        &mut self,
        call: &Call,
        outcome: Outcome,
        (attempt, reason): (Option<u32>, Option<Arc<str>>),
    ) {
        self.records.add(Delivery {
            site: Arc::clone(&call.site),
            visit: call.visit.clone(),
            message: call.id,
            sink: SinkName::Webhook(Arc::clone(&call.endpoint)),
            outcome,
            page: None,
            reason,
            attempt,
        });
    }

    /// What is to be recorded, given out once until the log has answered.
    pub(super) fn unrecorded(&mut self) -> Vec<(u64, Delivery)> {
        self.records.give()
    }

    /// The log has taken records, or has not.
    pub(super) fn answered(&mut self, records: &[(u64, Delivery)], is_taken: bool) {
        self.records.answered(records.iter().map(|(number, _)| *number), is_taken);
    }

    /// The dead letters.
    pub(super) fn letters(&self) -> &Letters {
        &self.letters
    }

    /// A dead letter waits again, as if it were new. What it comes to: `waiting`, `unknown`, or why it
    /// stays one.
    pub(super) fn replay(&mut self, id: MessageId, now: ServerTimeMs) -> &'static str {
        let Some(letter) = self.letters.of(id) else { return "unknown" };
        if let Err(reason) = self.room_for(&letter.call) {
            return reason;
        }
        let letter = self.letters.take(id).expect("it was there");
        self.wait(Call { tries: 0, since: now, due: now, ..letter.call });
        "waiting"
    }

    /// An endpoint that said 410 is called again; `false`: there is none of that name.
    pub(super) fn enable(&mut self, name: &str) -> bool {
        let Some(endpoint) = self.endpoints.get_mut(name) else { return false };
        (endpoint.is_gone, endpoint.paused_until) = (false, None);
        endpoint.breaker = Breaker::default();
        true
    }
}
