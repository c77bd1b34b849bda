//! Which matches act: the stage behind the matcher, keyed by visitor.
//!
//! Plain Rust: `(signed facts of an epoch, its clock) -> rows of the actions table`. The reasons for
//! which a match is recorded and does not act, in this order: its rule is disabled, its package is
//! paused, the match was complete before its rule was deployed (unless the rule acts on those), the
//! visitor is in the control group, it is outside of opening hours, its action went
//! before (`once`: by action id), the rule acted for the visitor less than `cooldown` ago, the
//! limits of invitations, another invitation or content of the visitor went in this epoch, the visit
//! that is to be invited is over. A visitor's matches of one epoch are decided one after the other:
//! the highest priority first, then the first name, then log order; each sees what those before it
//! did.
//!
//! An epoch that takes a match back and finds another with the same action id corrects it: the new
//! match takes the place of the old one and nothing is sent. Taking a match back gives back neither
//! its action id nor a cooldown nor an invitation. Times are those of the log ([`SuppressClock`]).
//! When a rule last acted is remembered of every rule and compared with the cooldown that it has when
//! its next match is decided: one that a later version brings counts from the act before it, and a rule
//! that was removed in between rests all the same.
//!
//! **Bounds.** `visitors_max` visitors, each partition an equal share, the one that was heard of
//! longest ago leaves, as does one that was not there for `window_memory_ms` ([`Presence`]); a rule that
//! rests for longer than that rests on. `decisions_max` action ids for each, and so many rules that acted, the oldest
//! leaves; [`STANDING_MAX`] matches for an action id. What left is counted, and may act once more.
//!
//! **Invariant:** what is said of a visitor depends on that visitor's partition and nothing else, so
//! it is the same for any number of workers.

mod partition;
mod presence;
mod rules;
#[cfg(test)]
mod tests;
mod visitor;

use crate::log::PauseKey;
use crate::model::{
    ActionFact, ActionRow, Epoch, EpochMark, EventTimeMs, PartitionId, ServerTimeMs,
};
use crate::snapshot::{Asleep, Unreadable};
use crate::stage::RuleChange;
use beckon_rules::plan::RuleSet;
use beckon_rules::schedule::ScheduleError;
use partition::Partition;
use presence::Span;
use std::collections::{BTreeMap, BTreeSet};
use std::iter::Sum;
use std::sync::Arc;
use visitor::VisitorKey;

pub use presence::Presence;
pub(crate) use rules::Gate;
pub use rules::SuppressRules;
pub use visitor::STANDING_MAX;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// The limits of [`Suppressor`], the same on every worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuppressConfig {
    /// `None`: neither limits of invitations, nor one invitation or content for each epoch. A replay
    /// has none: its epochs are not those of the live log.
    pub invitations: Option<InvitationLimits>,
    /// Visitors remembered in all partitions together; each partition has an equal share, rounded
    /// up.
    pub visitors_max: u64,
    /// A visitor who was not there for so long is forgotten, as the windows of one are.
    pub window_memory_ms: i64,
    /// Action ids, rules that acted, and visits with an invitation, remembered of each visitor.
    pub decisions_max: usize,
    /// The IANA time zone of schedules that name none.
    pub timezone: Box<str>,
    /// Which time is that of the log.
    pub clock: SuppressClock,
    /// Where all visitors are in the control group of every rule that has one, or none is (tests of
    /// rules).
    pub is_control: Option<bool>,
}

/// How many invitations go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvitationLimits {
    /// For one visit.
    pub per_visit: u32,
    /// For one visitor within 24 hours.
    pub per_visitor_per_day: u32,
}

impl Default for InvitationLimits {
    fn default() -> Self {
        Self { per_visit: 1, per_visitor_per_day: 3 }
    }
}

/// Which time of an epoch's mark is that of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuppressClock {
    /// The server's.
    Server,
    /// The watermark, for a replay; what is decided at the end of the input is in the last epoch's.
    Watermark,
}

impl Default for SuppressConfig {
    fn default() -> Self {
        Self {
            invitations: Some(InvitationLimits::default()),
            visitors_max: 1_000_000,
            window_memory_ms: 90 * DAY_MS,
            decisions_max: 256,
            timezone: "UTC".into(),
            clock: SuppressClock::Server,
            is_control: None,
        }
    }
}

/// What a [`Suppressor`] holds now, and has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SuppressStats {
    /// Visitors remembered.
    pub visitors: u64,
    /// Visitors that are not remembered because of `visitors_max` or `window_memory_ms`.
    pub visitors_forgotten: u64,
    /// Decisions of a visitor that are not remembered because of `decisions_max` or
    /// [`STANDING_MAX`].
    pub decisions_forgotten: u64,
}

impl Sum for SuppressStats {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |total, one| Self {
            visitors: total.visitors + one.visitors,
            visitors_forgotten: total.visitors_forgotten + one.visitors_forgotten,
            decisions_forgotten: total.decisions_forgotten + one.decisions_forgotten,
        })
    }
}

/// What all partitions decide by.
#[derive(Clone, Debug, Default)]
struct Setup {
    config: SuppressConfig,
    rules: Arc<SuppressRules>,
    paused: Arc<BTreeSet<PauseKey>>,
}

/// What an epoch has of one visitor.
#[derive(Default)]
struct News {
    /// When the visitor was there, in any order.
    spans: Vec<Span>,
    facts: Vec<(ActionFact, i64)>,
}

/// An epoch under way.
#[derive(Clone, Copy)]
struct Turn<'a> {
    setup: &'a Setup,
    now: ServerTimeMs,
}

impl Turn<'_> {
    /// How long ago something was.
    fn age_ms(self, then: ServerTimeMs) -> i64 {
        self.now.0.saturating_sub(then.0)
    }
}

/// The suppression stage's share on one worker; by default without rules.
#[derive(Clone, Debug, Default)]
pub struct Suppressor {
    setup: Setup,
    now: ServerTimeMs,
    partitions: BTreeMap<PartitionId, Partition>,
    /// Visits of the epoch under way that are over.
    seen: Vec<Presence>,
    /// Restored ones whose time has not come.
    asleep: Asleep<Partition>,
}

/// The virtual partition of a fact's visitor: stable as that of a visit is.
#[must_use]
pub fn visitor_partition(fact: &ActionFact) -> PartitionId {
    VisitorKey::of(fact).partition()
}

impl Suppressor {
    /// A stage for these rules that remembers nothing.
    ///
    /// # Errors
    /// When the configuration's time zone is none.
    pub fn new(rules: &RuleSet, config: SuppressConfig) -> Result<Self, ScheduleError> {
        let rules = Arc::new(SuppressRules::new(rules, &config)?);
        let setup = Setup { config, rules, ..Setup::default() };
        Ok(Self { setup, ..Self::default() })
    }

    /// Decides by other rules from the next epoch on.
    pub fn set_rules(&mut self, rules: &Arc<SuppressRules>) {
        self.setup.rules = Arc::clone(rules);
    }

    /// Pauses these packages and lets all others go on: matches of a paused one are recorded and do
    /// not act.
    pub fn set_paused(&mut self, paused: &Arc<BTreeSet<PauseKey>>) {
        self.setup.paused = Arc::clone(paused);
    }

    /// Takes visits that are over in the epoch whose facts come next: all of this worker's visitors, in
    /// any order.
    pub fn seen(&mut self, presences: Vec<Presence>) {
        self.seen.extend(presences);
    }

    /// Decides an epoch's facts: all of this worker's visitors, consolidated, in any order. Called
    /// for every epoch, with facts or without. The rows are in no order.
    pub fn epoch(&mut self, mark: &EpochMark, facts: Vec<(ActionFact, i64)>) -> Vec<ActionRow> {
        self.take_time(mark);
        let mut visitors = BTreeMap::<(PartitionId, VisitorKey), News>::new();
        for Presence { key, span } in std::mem::take(&mut self.seen) {
            visitors.entry((key.partition(), key)).or_default().spans.push(span);
        }
        for (fact, sign) in facts {
            let key = VisitorKey::of(&fact);
            let news = visitors.entry((key.partition(), key)).or_default();
            news.spans.extend((sign > 0).then_some((fact.timestamp, fact.timestamp)));
            news.facts.push((fact, sign));
        }
        let turn = Turn { setup: &self.setup, now: self.now };
        let mut rows = Vec::new();
        for ((partition, key), news) in visitors {
            if self.asleep.has(partition) {
                continue;
            }
            let partition = self.partitions.entry(partition).or_default();
            partition.decide(turn, key, news, &mut rows);
        }
        if let Some(partition) = self.partitions.get_mut(&PartitionId::of(mark.epoch.0)) {
            partition.sweep(turn);
        }
        self.wake(mark.epoch);
        rows
    }

    /// Appends the state of a virtual partition behind the end of the last epoch; nothing where there
    /// is none. The same state gives the same bytes.
    pub fn save(&self, partition: PartitionId, out: &mut Vec<u8>) {
        if let Some(partition) = self.partitions.get(&partition) {
            partition.save(out);
        }
    }

    /// Takes back what was saved behind the end of an epoch; up to there facts for the partition are
    /// passed over.
    ///
    /// # Errors
    /// [`Unreadable`], where another version saved it.
    pub fn restore(
        &mut self,
        partition: PartitionId,
        saved: Epoch,
        bytes: &[u8],
    ) -> Result<(), Unreadable> {
        let state = match bytes {
            [] => Partition::default(),
            bytes => Partition::restore(bytes)?,
        };
        self.asleep.put(partition, saved, state);
        Ok(())
    }

    /// Goes on behind the end of an epoch, with the rules of that time, once the partitions are
    /// restored.
    pub fn resume(&mut self, ended: &EpochMark, rules: &RuleChange) {
        self.set_rules(&rules.suppress);
        self.set_paused(&rules.paused);
        self.take_time(ended);
        self.wake(ended.epoch);
    }

    fn take_time(&mut self, mark: &EpochMark) {
        self.now = match self.setup.config.clock {
            SuppressClock::Server => mark.now,
            SuppressClock::Watermark if mark.watermark == EventTimeMs::MAX => self.now,
            SuppressClock::Watermark => ServerTimeMs(mark.watermark.0),
        };
    }

    fn wake(&mut self, ended: Epoch) {
        self.partitions.extend(self.asleep.wake(ended));
    }

    /// What the stage holds and has counted.
    #[must_use]
    pub fn stats(&self) -> SuppressStats {
        self.partitions.values().map(Partition::stats).sum()
    }
}

impl SuppressConfig {
    /// Visitors that one partition remembers; at least one.
    fn partition_visitors_max(&self) -> usize {
        PartitionId::share(self.visitors_max).max(1)
    }
}
