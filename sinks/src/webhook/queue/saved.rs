//! What of the queue is on disk: all of it, with the place in the outbox that it stands for.

use super::call::Call;
use super::{Letter, Queue};
use beckon_engine::model::{Delivery, Epoch, LogSeq, ServerTimeMs};
use beckon_engine::outbox::Position;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The state file's contents, version 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::webhook) struct Saved {
    epoch: Epoch,
    seq: LogSeq,
    calls: Vec<Call>,
    letters: Vec<Letter>,
    /// Endpoints that said 410, each as it was configured then.
    gone: Vec<(Arc<str>, u64)>,
    /// What does not stand in the log for sure.
    records: Vec<Delivery>,
}

impl Saved {
    /// Up to where the outbox is folded.
    pub(in crate::webhook) fn position(&self) -> Position {
        Position { epoch: self.epoch, seq: self.seq }
    }
}

impl Queue {
    /// All that is to survive.
    pub(in crate::webhook) fn save(&self) -> Saved {
        let gone = self.endpoints.iter().filter(|(_, endpoint)| endpoint.is_gone);
        Saved {
            epoch: self.last.epoch,
            seq: self.last.seq,
            calls: self.calls.values().cloned().collect(),
            letters: self.letters.after(0).map(|(_, letter)| letter.clone()).collect(),
            gone: gone.map(|(name, it)| (Arc::clone(name), it.fingerprint)).collect(),
            records: self.records.all().cloned().collect(),
        }
    }

    /// Takes what was saved, before anything is folded. What waited for an endpoint that is not configured
    /// any more, or that others fill by now, is dead.
    pub(in crate::webhook) fn restore(&mut self, saved: Saved, now: ServerTimeMs) {
        self.last = saved.position();
        for (name, fingerprint) in saved.gone {
            let endpoint = self.endpoints.get_mut(&name);
            if let Some(endpoint) = endpoint.filter(|it| it.fingerprint == fingerprint) {
                endpoint.is_gone = true;
            }
        }
        saved.records.into_iter().for_each(|record| self.records.add(record));
        saved.letters.into_iter().for_each(|letter| self.letters.add(letter));
        for call in saved.calls {
            let mut call = Call { is_doubtful: true, ..call };
            // It was under way when it was taken back.
            if let Some(body) = call.retraction.take() {
                call.turn_back(body);
            }
            match self.room_for(&call) {
                Ok(()) => self.wait(call),
                Err(reason) => self.bury(call, reason.into(), now),
            }
        }
    }
}
