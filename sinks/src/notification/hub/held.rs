//! One message that the hub holds, and what became of it.

use crate::notification::Kind;
use crate::notification::message::text_bytes;
use beckon_engine::model::{Epoch, MessageId, Outcome, PageId, ServerTimeMs};
use std::sync::Arc;

/// What a held message is counted with beside its texts.
pub(super) const HELD_BYTES: usize = 512;

/// A set of outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcomes(u8);

impl Outcomes {
    fn bit(outcome: Outcome) -> u8 {
        match outcome {
            Outcome::Delivered => 1,
            Outcome::Acknowledged => 2,
            Outcome::Expired => 4,
            Outcome::Withdrawn => 8,
            Outcome::Failed => 16,
        }
    }

    pub(super) fn has(self, outcome: Outcome) -> bool {
        self.0 & Self::bit(outcome) != 0
    }

    pub(super) fn add(&mut self, outcome: Outcome) {
        self.0 |= Self::bit(outcome);
    }

    pub(super) fn remove(&mut self, outcome: Outcome) {
        self.0 &= !Self::bit(outcome);
    }

    pub(super) fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Outcome> {
        Outcome::ALL.into_iter().filter(move |outcome| self.has(*outcome))
    }
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// For its page, until it expires.
    Waiting,
    /// It was taken back, and a page that has it is to be told.
    Telling,
    /// It is said to no page any more.
    Over(Outcome),
}

/// A message. What is over is held on for a while, so that it can still be taken back, and so that
/// who acknowledges it twice is not told that it never was.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) id: MessageId,
    pub(super) kind: Kind,
    pub(super) page: Option<PageId>,
    pub(super) channel: Option<Arc<str>>,
    /// JSON text; given up once it is over.
    pub(super) data: Option<Arc<str>>,
    /// The epoch that it comes from: the cursor stays behind it.
    pub(super) asserted: Epoch,
    pub(super) expires: ServerTimeMs,
    /// From then on nobody needs it.
    pub(super) forget: ServerTimeMs,
    /// When it is looked at next.
    pub(super) due: ServerTimeMs,
    /// Its place among what is said; another one once it is taken back.
    pub(super) place: u64,
    pub(super) state: State,
    pub(super) is_delivered: bool,
    /// Its action was taken back.
    pub(super) is_retracted: bool,
    /// A page was given the news that it is taken back.
    pub(super) is_told: bool,
    /// The page that was given it first.
    pub(super) receiver: Option<PageId>,
    /// Why it was withdrawn or failed.
    pub(super) reason: Option<&'static str>,
    /// What is to stand in the log of it.
    pub(super) wanted: Outcomes,
    /// What stands there.
    pub(super) known: Outcomes,
    /// What the log was given, and has not answered.
    pub(super) asked: Outcomes,
}

impl Held {
    pub(super) fn text_bytes(&self) -> usize {
        text_bytes(self.channel.as_deref(), self.data.as_deref())
    }

    pub(super) fn bytes(&self) -> usize {
        HELD_BYTES + self.text_bytes()
    }

    /// What is to be recorded and was not given to the log.
    pub(super) fn unrecorded(&self) -> Outcomes {
        self.wanted.without(self.known).without(self.asked)
    }

    /// Whether its time is over, and only its record is waited for.
    pub(super) fn is_forgotten(&self) -> bool {
        self.due > self.forget
    }

    /// Whether a page's word of it was given to the log.
    pub(super) fn is_answered(&self) -> bool {
        !self.asked.without(self.wanted).is_empty()
    }

    /// Whether all that is to be recorded is.
    pub(super) fn is_recorded(&self) -> bool {
        self.wanted.without(self.known).is_empty()
    }

    pub(super) fn is_for(&self, page: Option<&PageId>) -> bool {
        self.page.is_none() || self.page.as_ref() == page
    }

    /// Whether it is said to pages now.
    pub(super) fn is_said(&self, now: ServerTimeMs) -> bool {
        match self.state {
            State::Waiting => now < self.expires,
            State::Telling => true,
            State::Over(_) => false,
        }
    }
}
