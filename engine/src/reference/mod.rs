//! The reference evaluator: what the rules mean, written as plainly as possible.
//!
//! It walks the syntax tree over owned events, keeps everything, and knows no index, no compact
//! state, no partition and no worker. The matcher is held against it in property tests; explain
//! stands on it. It shares with the matcher only the event model, the functions of the rule
//! language, and how ids are hashed. Limits that lose something do not exist here, but for
//! `visit_events_matched_max` and what `visit_events_max` makes of late events: the matcher says the
//! same where it stays below them.
//!
//! # The model
//!
//! It takes a complete log and says what holds at its end, in four steps that do not look back:
//!
//! 1. **Journal** (`journal`): in log order every event gets its fate, its visit instance and the
//!    visitor's identity. A mark moves watermark and horizon, and closes visits.
//! 2. **Windows** (`window`): for each rule, the matched events are dealt out to window instances
//!    and sorted by (timestamp, tie-breaker, log sequence), a made-up `VisitStarted` before the event
//!    that it stands for. From here on it makes no difference when an event came.
//! 3. **Matches** (`sequence`, `sample`): the positive steps are matched over the whole window; then
//!    `![...]` refuses matches (`missing`). Each match has the moment at which it is *decided*: its
//!    last event, or the deadline behind which nothing can refuse it any more.
//! 4. **Assertion**: `emit = "early"` asserts a match decided by an event as soon as it is there,
//!    and one decided by a deadline when the watermark has passed that; `emit = "final"` asserts both
//!    when the horizon has. A closed window asserts all. `fire = "once"` keeps the one that is decided
//!    first, also while that waits for its deadline; at one moment a match that an event decides goes
//!    before one that waited, then that whose last event is earlier.
//!
//! Nothing is suppressed here: what suppression lets out is decided in log order, outside of this.

mod expression;
mod journal;
mod missing;
mod pattern;
mod progress;
mod sample;
mod sequence;
mod window;

#[cfg(test)]
mod tests;

use crate::model::{
    CloseReason, EpochInput, EventId, EventTimeMs, Fate, Identity, Instance, LogSeq, VisitId,
    VisitorId,
};
use beckon_rules::plan::RuleSet;
use journal::Journal;
use pattern::Moment;
use std::collections::BTreeMap;
use std::sync::Arc;

pub use progress::UnderWay;

/// The figures that decide what a visit is.
#[derive(Clone, Copy, Debug)]
pub struct ReferenceConfig {
    /// Horizon = watermark - lateness.
    pub lateness_ms: i64,
    /// A visit without events for so long is over; `None`: never.
    pub inactivity_ms: Option<i64>,
    /// Events of a visit beyond this are not matched.
    pub visit_events_matched_max: u64,
    /// Matched events of a visit that are kept; a late event that sorts before them is not matched.
    pub visit_events_max: usize,
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

/// One visit instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReferenceVisit {
    /// The site.
    pub site: Arc<str>,
    /// The visit.
    pub visit: VisitId,
    /// The instance.
    pub instance: Instance,
    /// Whether one of the same id was there before.
    pub resumed: bool,
    /// Why it is over, if it is.
    pub closed: Option<CloseReason>,
}

/// Which instance of a rule's window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WindowKey {
    /// A visit instance.
    Visit(VisitId, Instance),
    /// A visitor.
    Visitor(VisitorId),
    /// A user whose identity was proven.
    User(Arc<str>),
    /// All of a site.
    Site,
    /// All sites.
    Global,
}

/// One match.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReferenceMatch {
    /// The site; `None` over all sites.
    pub site: Option<Arc<str>>,
    /// The window instance.
    pub window: WindowKey,
    /// The rule's package.
    pub package: Arc<str>,
    /// The rule.
    pub rule: Arc<str>,
    /// Ids of the matched events, in step order; a missing event has none.
    pub events: Vec<EventId>,
}

/// All that the rules mean on a log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReferenceOutput {
    /// A line for each event of the log, in order, made-up ones left out.
    pub recorded: Vec<Recorded>,
    /// Every visit instance, sorted.
    pub visits: Vec<ReferenceVisit>,
    /// Every match that is asserted at the end of the log, sorted.
    pub matches: Vec<ReferenceMatch>,
}

/// The evaluator: fed epoch by epoch, asked at the end.
#[derive(Debug)]
pub struct Reference {
    journal: Journal,
}

impl Reference {
    /// An evaluator of an empty log.
    #[must_use]
    pub fn new(config: ReferenceConfig) -> Self {
        Self { journal: Journal::new(config) }
    }

    /// Takes the next epoch.
    pub fn epoch(&mut self, input: &EpochInput) {
        self.journal.epoch(input);
    }

    /// Rules see no event that stands before a place in the log; what visits are is the same.
    #[must_use]
    pub fn shown_from(mut self, first: LogSeq) -> Self {
        self.journal.seen.retain(|seen| seen.order.2 >= first);
        self
    }

    /// What the log means under these rules.
    #[must_use]
    pub fn finish(self, rules: &RuleSet) -> ReferenceOutput {
        let mut matches = self.matches_in_order(rules);
        matches.sort();
        // Two values of a join key may make a match of the same events: one match id, one match.
        matches.dedup();
        let visits = self.journal.visits();
        ReferenceOutput { recorded: self.journal.recorded, visits, matches }
    }

    /// The asserted matches of each rule in the order in which they were decided.
    #[must_use]
    pub fn matches_in_order(&self, rules: &RuleSet) -> Vec<ReferenceMatch> {
        self.asserted(rules).map(|(found, _)| found).collect()
    }

    /// The deadlines of the asserted matches that one decided. (A match under two keys is decided by
    /// what comes first.)
    #[must_use]
    pub fn deadlines(&self, rules: &RuleSet) -> BTreeMap<ReferenceMatch, EventTimeMs> {
        let mut first = BTreeMap::<ReferenceMatch, Moment>::new();
        for (found, decided) in self.asserted(rules) {
            let known = first.entry(found).or_insert(decided);
            *known = decided.min(*known);
        }
        let decided = first.into_iter().filter(|(_, decided)| decided.is_deadline);
        decided.map(|(found, decided)| (found, decided.at)).collect()
    }

    /// What has begun and not fired, rule by rule and window by window.
    #[must_use]
    pub fn under_way(&self, rules: &RuleSet) -> Vec<UnderWay> {
        rules.rules.iter().flat_map(|rule| progress::under_way(rule, &self.journal)).collect()
    }

    fn asserted(&self, rules: &RuleSet) -> impl Iterator<Item = (ReferenceMatch, Moment)> {
        rules.rules.iter().flat_map(|rule| window::asserted(rule, &self.journal))
    }
}
