//! Attempts: which begin now, and what came of each.

use super::{Endpoint, Queue};
use crate::webhook::body::Said;
use crate::webhook::schedule::wait_ms;
use beckon_engine::model::{MessageId, Outcome, ServerTimeMs};
use std::sync::Arc;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// An attempt that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::webhook) struct Job {
    /// The call.
    pub(in crate::webhook) message: MessageId,
    pub(in crate::webhook) endpoint: Arc<str>,
    pub(in crate::webhook) webhook_id: String,
    pub(in crate::webhook) body: Arc<str>,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::webhook) enum Verdict {
    /// 2xx.
    Delivered,
    /// Anything else, or no answer.
    Failed {
        /// Why, in a word.
        reason: Arc<str>,
        /// How long the endpoint asks to be left alone.
        retry_after_ms: Option<i64>,
    },
    /// 410: the endpoint is not called again.
    Gone,
}

impl Queue {
    /// The attempts that begin now.
    pub(in crate::webhook) fn claim(&mut self, now: ServerTimeMs) -> Vec<Job> {
        if !self.is_ready() {
            return Vec::new();
        }
        self.give_up_old(now);
        let mut jobs = Vec::new();
        for (name, endpoint) in &mut self.endpoints {
            while let Some(id) = endpoint.next(now, self.config.in_flight_max) {
                let call = self.calls.get_mut(&id).expect("what is due is held");
                call.is_sending = true;
                jobs.push(Job {
                    message: id,
                    endpoint: Arc::clone(name),
                    webhook_id: call.said.webhook_id(id),
                    body: Arc::clone(&call.body),
                });
            }
        }
        jobs
    }

    /// When something begins next, if nothing comes before.
    pub(in crate::webhook) fn next_due(&self) -> Option<ServerTimeMs> {
        if !self.is_ready() {
            return None;
        }
        let next = |endpoint: &Endpoint| {
            let (due, _) = *endpoint.due.first()?;
            let begins = endpoint.breaker.begins(endpoint.in_flight)?;
            let is_room = endpoint.in_flight < self.config.in_flight_max;
            let due = due.max(begins).max(endpoint.paused_until.unwrap_or(begins));
            is_room.then_some(due)
        };
        self.endpoints.values().filter_map(next).min()
    }

    /// An attempt came to its end.
    pub(in crate::webhook) fn done(&mut self, id: MessageId, verdict: Verdict, now: ServerTimeMs) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.is_sending) else { return };
        call.is_sending = false;
        call.attempts += 1;
        call.tries += 1;
        let name = Arc::clone(&call.endpoint);
        let endpoint = self.endpoints.get_mut(&name).expect("a call waits for what there is");
        endpoint.in_flight -= 1;
        endpoint.due.insert((call.due, id));
        endpoint.stats.attempts += 1;
        match verdict {
            Verdict::Delivered => {
                endpoint.breaker.succeeded();
                endpoint.stats.delivered += 1;
                self.delivered(id, now);
            }
            Verdict::Failed { reason, retry_after_ms } => {
                endpoint.stats.failed += 1;
                let until = ServerTimeMs(now.0.saturating_add(self.config.breaker_open_ms));
                if endpoint.breaker.failed(self.config.breaker_failures, until) {
                    endpoint.stats.breaker_opened += 1;
                    tracing::warn!(endpoint = %name, %reason, "a webhook's endpoint fails and rests");
                }
                let after = retry_after_ms.map(|ms| ms.clamp(0, self.config.retry_after_ms_max));
                let after = after.map(|ms| ServerTimeMs(now.0.saturating_add(ms)));
                endpoint.paused_until = endpoint.paused_until.max(after);
                self.failed(id, &reason, (after, now));
            }
            Verdict::Gone => {
                endpoint.stats.failed += 1;
                endpoint.is_gone = true;
                endpoint.breaker = super::Breaker::default();
                tracing::warn!(endpoint = %name, "a webhook's endpoint said 410 and is not called again");
                self.failed(id, &"status_410".into(), (None, now));
                self.bury_all(&name, now);
            }
        }
    }

    /// An attempt was given up without an answer, as the process ends: it is made again.
    pub(in crate::webhook) fn undone(&mut self, id: MessageId, now: ServerTimeMs) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.is_sending) else { return };
        (call.is_sending, call.is_doubtful) = (false, true);
        if let Some(endpoint) = self.endpoints.get_mut(&call.endpoint) {
            endpoint.in_flight -= 1;
            endpoint.breaker.undecided(now);
            endpoint.due.insert((call.due, id));
        }
    }

    fn delivered(&mut self, id: MessageId, now: ServerTimeMs) {
        let call = self.calls.get_mut(&id).expect("who calls has it");
        let attempt = Some(call.attempts);
        if call.said == Said::Retracted {
            let call = self.remove(id).expect("who calls has it");
            self.record(&call, Outcome::Withdrawn, (attempt, Some("retracted".into())));
            return;
        }
        call.is_told = true;
        let retraction = call.retraction.take();
        let call = call.clone();
        self.record(&call, Outcome::Delivered, (attempt, None));
        match retraction {
            Some(body) => self.turn_back(id, body, now),
            None => drop(self.remove(id)),
        }
    }

    fn failed(
        &mut self,
        id: MessageId,
        reason: &Arc<str>,
        (after, now): (Option<ServerTimeMs>, ServerTimeMs),
    ) {
        let call = self.calls.get_mut(&id).expect("who calls has it");
        let retraction = call.retraction.take();
        let call = call.clone();
        self.record(&call, Outcome::Failed, (Some(call.attempts), Some(Arc::clone(reason))));
        let is_gone = self.endpoints.get(&call.endpoint).is_some_and(|it| it.is_gone);
        if let Some(body) = retraction {
            // It is not known what the endpoint made of it: it is told that it is taken back.
            self.turn_back(id, body, now);
            self.set_due(id, after.unwrap_or(now));
        } else if !is_gone {
            match wait_ms(&self.config.retries_ms, call.tries, id) {
                Some(wait) => {
                    let due = ServerTimeMs(now.0.saturating_add(wait));
                    self.set_due(id, after.map_or(due, |after| after.max(due)));
                }
                None => self.bury_held(id, "given_up", now),
            }
        }
        if is_gone {
            self.bury_held(id, "gone", now);
        }
    }

    fn bury_held(&mut self, id: MessageId, reason: &'static str, now: ServerTimeMs) {
        if let Some(call) = self.remove(id) {
            self.bury(call, reason.into(), now);
        }
    }

    /// What waits for an endpoint that is gone is dead; what is under way comes to that by itself.
    fn bury_all(&mut self, name: &Arc<str>, now: ServerTimeMs) {
        let due = self.endpoints.get(name).map(|endpoint| endpoint.due.clone());
        due.into_iter().flatten().for_each(|(_, id)| self.bury_held(id, "gone", now));
    }

    /// What is too old is dead, unless it is under way; and what is dead for too long is forgotten.
    fn give_up_old(&mut self, now: ServerTimeMs) {
        let kept_ms = self.config.dead_letter_days_max.saturating_mul(DAY_MS);
        self.letters.forget(ServerTimeMs(now.0.saturating_sub(kept_ms)));
        let until = ServerTimeMs(now.0.saturating_sub(self.config.age_ms_max));
        let old = self.by_age.iter().take_while(|(since, _)| *since < until);
        let is_waiting = |id: &MessageId| self.calls.get(id).is_some_and(|call| !call.is_sending);
        let old: Vec<_> = old.map(|(_, id)| *id).filter(is_waiting).collect();
        old.into_iter().for_each(|id| self.bury_held(id, "too_old", now));
    }
}

impl Endpoint {
    /// The call that begins now, if one may.
    fn next(&mut self, now: ServerTimeMs, in_flight_max: usize) -> Option<MessageId> {
        let (due, id) = *self.due.first()?;
        let is_paused = self.paused_until.is_some_and(|until| now < until);
        if due > now || is_paused || self.in_flight >= in_flight_max {
            return None;
        }
        self.breaker.admit(now, self.in_flight).then_some(())?;
        self.due.pop_first();
        self.in_flight += 1;
        Some(id)
    }
}
