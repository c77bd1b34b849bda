//! The matches of a visit that were asserted and may still be taken back.
//!
//! A match is final once the horizon has passed what decided it. Until then it stands here with its
//! whole fact, because taking it back says the same fact with the opposite sign.
//!
//! **Bound.** `rule_hits_max` for each rule: over it the one that was decided first is final at once
//! (the horizon moves up for this rule and window, counted as not correctable). What is final is
//! dropped when the next match of the visit is asserted.

use crate::model::{ActionFact, EventTimeMs, LogSeq, MatchId};
use serde::{Deserialize, Serialize};

/// A match that a rule found in a window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Found {
    pub(super) rule: u32,
    /// Whether a deadline decided it and not its last event.
    pub(super) is_deadline: bool,
    /// The greatest log sequence of its events: that of the last one, unless another came late.
    pub(super) newest: LogSeq,
    pub(super) fact: Box<ActionFact>,
}

/// The order in which the matches of a rule were decided.
type Moment = (EventTimeMs, bool, LogSeq, MatchId);

impl Found {
    fn moment(&self) -> Moment {
        (self.fact.decided, self.is_deadline, self.fact.seq, self.fact.matched)
    }

    /// The same match, decided at the same moment. A late event may leave a match as it is and make it
    /// wait for a deadline, which another event may still come before: that is to be corrected.
    fn is_same(&self, other: &Self) -> bool {
        self.rule == other.rule && self.moment() == other.moment()
    }
}

/// What is to be said of a rule's matches.
#[derive(Debug, Default)]
pub(super) struct Corrections {
    pub(super) retracted: Vec<Found>,
    pub(super) asserted: Vec<Found>,
}

/// The asserted matches of one visit that are not final.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Standing {
    matches: Vec<Found>,
    /// What is final beyond the horizon, by rule.
    floors: Vec<(u32, Moment)>,
}

impl Standing {
    /// Remembers a match. Returns whether another is final because its rule has more than `max`.
    pub(super) fn push(&mut self, found: Found, horizon: EventTimeMs, max: u32) -> bool {
        let rule = found.rule;
        self.matches.retain(|one| one.fact.decided >= horizon);
        self.matches.push(found);
        let of_rule = || self.matches.iter().enumerate().filter(|(_, one)| one.rule == rule);
        if of_rule().count() <= usize::try_from(max).unwrap_or(usize::MAX) {
            return false;
        }
        if let Some((first, _)) = of_rule().min_by_key(|(_, one)| one.moment()) {
            let floor = self.matches.remove(first).moment();
            match self.floors.iter_mut().find(|(known, _)| *known == rule) {
                Some((_, known)) => *known = floor.max(*known),
                None => self.floors.push((rule, floor)),
            }
        }
        true
    }

    /// Whether an event at this time comes before a deadline that already decided a match of the
    /// rule.
    pub(super) fn is_overtaken(&self, rule: u32, time: EventTimeMs) -> bool {
        let mut of_rule = self.matches.iter().filter(|one| one.rule == rule);
        of_rule.any(|one| one.is_deadline && one.fact.decided >= time)
    }

    /// A match is final: it was found before the events that are kept.
    pub(super) fn settle(&mut self, settled: &Found) {
        self.matches.retain(|one| !one.is_same(settled));
    }

    /// Compares the matches of some rules (sorted) with those that were found now, and says what is
    /// to be corrected. Those to be retracted stand no more.
    pub(super) fn correct(
        &mut self,
        rules: &[u32],
        found: Vec<Found>,
        horizon: EventTimeMs,
    ) -> Corrections {
        self.matches.retain(|one| one.fact.decided >= horizon);
        let is_open = |one: &Found| {
            let mut floors = self.floors.iter().filter(|(rule, _)| *rule == one.rule);
            one.fact.decided >= horizon && floors.all(|(_, floor)| one.moment() > *floor)
        };
        let mut asserted: Vec<Found> = found.into_iter().filter(is_open).collect();
        let is_refuted = |one: &mut Found| {
            rules.binary_search(&one.rule).is_ok() && !asserted.iter().any(|new| new.is_same(one))
        };
        let retracted = self.matches.extract_if(.., is_refuted).collect();
        asserted.retain(|new| !self.matches.iter().any(|one| one.is_same(new)));
        Corrections { retracted, asserted }
    }

    /// A rule is no longer deployed.
    pub(super) fn forget(&mut self, rule: u32) {
        self.matches.retain(|one| one.rule != rule);
        self.floors.retain(|(known, _)| *known != rule);
    }

    /// Bytes, by a figure for each match.
    pub(super) fn bytes(&self) -> u64 {
        (self.matches.len() * (size_of::<Found>() + size_of::<ActionFact>())) as u64
    }
}
