//! Which matches act: the stage behind the matcher, keyed by visitor.
//!
//! Plain Rust: `(signed facts of an epoch, its clock) -> rows of the actions table`. The reasons for
//! which a match is recorded and does not act, in this order: its rule is disabled, its package is
//! paused, the visitor is in the control group, it is outside of opening hours, its action went
//! before (`once`: by action id), the rule acted for the visitor less than `cooldown` ago, the
//! limits of invitations, another invitation or content of the visitor went in this epoch, the visit
//! that is to be invited is over. A visitor's matches of one epoch are decided one after the other:
//! the highest priority first, then the first name, then log order; each sees what those before it
//! did.
//!
//! An epoch that takes a match back and finds another with the same action id corrects it: the new
//! match takes the place of the old one and nothing is sent. Taking a match back gives back neither
//! its action id nor a cooldown nor an invitation. Times are those of the log (the mark's `now`).
//!
//! **Bounds.** `visitors_max` visitors, each partition an equal share, the one that waits longest for
//! a decision leaves; `decisions_max` action ids for each, the oldest leaves; [`STANDING_MAX`]
//! matches for an action id. What left is counted, and may act once more.
//!
//! **Invariant:** what is said of a visitor depends on that visitor's partition and nothing else, so
//! it is the same for any number of workers.

mod partition;
mod rules;
#[cfg(test)]
mod tests;
mod visitor;

use crate::model::{ActionFact, ActionRow, PARTITIONS, ServerTimeMs};
use beckon_rules::plan::RuleSet;
use beckon_rules::schedule::ScheduleError;
use partition::Partition;
use rules::Rules;
use std::collections::BTreeMap;
use std::sync::Arc;
use visitor::VisitorKey;

pub use visitor::STANDING_MAX;

/// The limits of [`Suppressor`], the same on every worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuppressConfig {
    /// Invitations for one visit.
    pub invitations_per_visit: u32,
    /// Invitations for one visitor within 24 hours.
    pub invitations_per_visitor_per_day: u32,
    /// Visitors remembered in all partitions together; each partition has an equal share, rounded
    /// up.
    pub visitors_max: u64,
    /// Action ids, and visits with an invitation, remembered of each visitor.
    pub decisions_max: usize,
    /// The IANA time zone of schedules that name none.
    pub timezone: Box<str>,
}

impl Default for SuppressConfig {
    fn default() -> Self {
        Self {
            invitations_per_visit: 1,
            invitations_per_visitor_per_day: 3,
            visitors_max: 1_000_000,
            decisions_max: 256,
            timezone: "UTC".into(),
        }
    }
}

/// What a [`Suppressor`] holds now, and has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SuppressStats {
    /// Visitors remembered.
    pub visitors: u64,
    /// Visitors that are not remembered because of `visitors_max`.
    pub visitors_forgotten: u64,
    /// Decisions of a visitor that are not remembered because of `decisions_max` or
    /// [`STANDING_MAX`].
    pub decisions_forgotten: u64,
}

/// What all partitions decide by.
#[derive(Debug)]
struct Setup {
    config: SuppressConfig,
    rules: Rules,
}

/// An epoch under way.
#[derive(Clone, Copy)]
struct Turn<'a> {
    setup: &'a Setup,
    now: ServerTimeMs,
}

/// The suppression stage's share on one worker.
#[derive(Debug)]
pub struct Suppressor {
    setup: Setup,
    partitions: BTreeMap<u8, Partition>,
}

/// Where a fact's visitor belongs: a stable hash, of which the lowest byte is the virtual partition.
#[must_use]
pub fn visitor_hash(fact: &ActionFact) -> u64 {
    VisitorKey::of(fact).stable_hash()
}

impl Suppressor {
    /// A stage for these rules that remembers nothing.
    ///
    /// # Errors
    /// When the configuration's time zone is none.
    pub fn new(rules: &RuleSet, config: SuppressConfig) -> Result<Self, ScheduleError> {
        let rules = Rules::new(rules, &config.timezone)?;
        Ok(Self { setup: Setup { config, rules }, partitions: BTreeMap::new() })
    }

    /// Pauses a package, or lets it go on: matches of a paused one are recorded and do not act.
    pub fn set_paused(&mut self, package: &Arc<str>, is_paused: bool) {
        self.setup.rules.set_paused(package, is_paused);
    }

    /// Decides an epoch's facts: all of this worker's visitors, consolidated, in any order. The
    /// rows are in no order.
    pub fn epoch(&mut self, now: ServerTimeMs, facts: Vec<(ActionFact, i64)>) -> Vec<ActionRow> {
        let mut visitors = BTreeMap::<(u8, VisitorKey), Vec<_>>::new();
        for (fact, sign) in facts {
            let key = VisitorKey::of(&fact);
            let partition = key.stable_hash().to_le_bytes()[0];
            visitors.entry((partition, key)).or_default().push((fact, sign));
        }
        let turn = Turn { setup: &self.setup, now };
        let mut rows = Vec::new();
        for ((partition, key), facts) in visitors {
            let partition = self.partitions.entry(partition).or_default();
            partition.decide(turn, key, facts, &mut rows);
        }
        rows
    }

    /// What the stage holds and has counted.
    #[must_use]
    pub fn stats(&self) -> SuppressStats {
        self.partitions.values().fold(SuppressStats::default(), |sum, partition| {
            let SuppressStats { visitors, visitors_forgotten, decisions_forgotten } =
                partition.stats();
            SuppressStats {
                visitors: sum.visitors + visitors,
                visitors_forgotten: sum.visitors_forgotten + visitors_forgotten,
                decisions_forgotten: sum.decisions_forgotten + decisions_forgotten,
            }
        })
    }
}

impl SuppressConfig {
    /// Visitors that one partition remembers; at least one.
    fn partition_visitors_max(&self) -> usize {
        let share = self.visitors_max.div_ceil(u64::from(PARTITIONS)).max(1);
        usize::try_from(share).unwrap_or(usize::MAX)
    }
}
