//! What became of messages: what is given to the log, and what it says.

use super::held::{Held, State};
use super::{Hub, VisitKey};
use beckon_engine::model::{Delivery, MessageId, Outcome, PageId, SinkName};
use std::sync::Arc;

/// What a page says of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Acknowledged, withdrawn or failed.
    pub outcome: Outcome,
    /// The page that says it.
    pub page: Option<PageId>,
    /// Why, in a word of its own.
    pub reason: Option<Arc<str>>,
}

/// What a page's word of a message comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is not held: there never was one, or it is long over.
    Unknown,
    /// Its end is known and stays.
    Known,
    /// This is to be recorded before the page is answered.
    Record(Delivery),
}

impl Hub {
    /// What is to be recorded, given out once until the log has answered.
    pub fn unrecorded(&mut self) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        for (key, id) in std::mem::take(&mut self.unrecorded) {
            let Some(held) = self.held(&key, id) else { continue };
            for outcome in held.unrecorded().iter() {
                held.asked.add(outcome);
                deliveries.push(delivery_of(&key, held, outcome));
            }
        }
        deliveries
    }

    /// The log did not take it: it is given out again.
    pub fn not_recorded(&mut self, delivery: &Delivery) {
        let key = VisitKey::new(&delivery.site, &delivery.visit);
        let Some((key, _)) = self.visits.get_key_value(&key) else { return };
        let key = Arc::clone(key);
        if let Some(held) = self.held(&key, delivery.message) {
            held.asked.remove(delivery.outcome);
        }
        self.refresh(&key, delivery.message);
    }

    /// It stands in the log.
    pub fn recorded(&mut self, delivery: &Delivery) {
        let (id, outcome) = (delivery.message, delivery.outcome);
        let key = VisitKey::new(&delivery.site, &delivery.visit);
        let Some((key, _)) = self.visits.get_key_value(&key) else { return };
        let key = Arc::clone(key);
        let Some(held) = self.held(&key, id) else { return };
        held.known.add(outcome);
        held.asked.remove(outcome);
        if outcome != Outcome::Delivered {
            // It ended so, and not as it was about to.
            for other in [Outcome::Expired, Outcome::Failed].into_iter().filter(|it| *it != outcome)
            {
                held.wanted.remove(other);
            }
        }
        self.stand(&key, id, outcome);
        self.refresh(&key, id);
        let held = self.held(&key, id).expect("it was there");
        if held.is_forgotten() && held.is_recorded() {
            self.remove(&key, id);
        }
    }

    /// Brings a message to where a record says that it stands.
    fn stand(&mut self, key: &Arc<VisitKey>, id: MessageId, outcome: Outcome) {
        let held = self.held(key, id).expect("who calls has it");
        match (outcome, held.state) {
            (Outcome::Delivered, state) => {
                held.is_delivered = true;
                // A page was given it when it was taken back.
                let is_unaware = held.is_retracted && !held.is_told && !held.is_forgotten();
                let is_over = matches!(
                    state,
                    State::Over(Outcome::Withdrawn | Outcome::Expired | Outcome::Failed)
                );
                if is_unaware && is_over {
                    self.tell(key, id);
                }
            }
            (
                Outcome::Acknowledged,
                State::Waiting | State::Over(Outcome::Expired | Outcome::Failed),
            ) => {
                held.is_delivered = true;
                self.leave(key, id, State::Over(outcome));
            }
            // What it acknowledges is that the message is taken back, once it was told so.
            (Outcome::Acknowledged, State::Telling) if held.is_told => {
                self.leave(key, id, State::Over(Outcome::Withdrawn));
            }
            (Outcome::Expired | Outcome::Withdrawn | Outcome::Failed, State::Waiting) => {
                self.leave(key, id, State::Over(outcome));
            }
            (_, State::Telling | State::Over(_)) => {}
        }
    }

    /// A page says what became of a message.
    #[must_use]
    pub fn word(&mut self, key: &VisitKey, id: MessageId, word: &Word) -> Answer {
        let Some((key, _)) = self.visits.get_key_value(key) else { return Answer::Unknown };
        let key = Arc::clone(key);
        let Some(held) = self.held(&key, id) else { return Answer::Unknown };
        match held.state {
            // That it was taken back is recorded.
            State::Telling if held.is_told => {
                self.leave(&key, id, State::Over(Outcome::Withdrawn));
                self.refresh(&key, id);
                Answer::Known
            }
            State::Waiting | State::Telling | State::Over(Outcome::Expired) => {
                held.asked.add(word.outcome);
                let receiver = word.page.clone().or_else(|| held.receiver.clone());
                let delivery = delivery_of(&key, held, word.outcome);
                Answer::Record(Delivery { page: receiver, reason: word.reason.clone(), ..delivery })
            }
            State::Over(_) => Answer::Known,
        }
    }
}

fn delivery_of(key: &VisitKey, held: &Held, outcome: Outcome) -> Delivery {
    let is_why = matches!(outcome, Outcome::Withdrawn | Outcome::Failed);
    let page = held.receiver.clone().or_else(|| held.page.clone());
    Delivery {
        site: Arc::clone(&key.site),
        visit: key.visit.clone(),
        message: held.id,
        sink: SinkName::Notification,
        outcome,
        page,
        reason: held.reason.filter(|_| is_why).map(Into::into),
        attempt: None,
    }
}
