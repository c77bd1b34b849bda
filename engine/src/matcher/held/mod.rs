//! Matches that are complete in their positive steps and wait for their time, in one window.
//!
//! Of most rules none wait, or two or three: those are looked through. Where more than `FEW_MAX`
//! of a rule do (one with join keys on a window of many visitors), they are found by what is asked
//! (`orders`): by when they are due, by key, by their match, by their visit. So an event costs the
//! logarithm of how many wait, and what it touches: at most `pending_absences_max` of its own key.
//! `first_due` and the like, asked with each event, never go through all.
//!
//! **Copies.** With a late event a rule begins again from the state before the kept events: `adopt`.
//! The matches are shared then, and their orders (persistent trees), so that it costs the same however
//! many wait.
//!
//! **Bounds.** What waits for a deadline is bounded for each key and for each rule before it comes here
//! (`sequence`); what is decided and waits for its turn by [`HeldMatches::pop_over`].
//!
//! **Invariant:** which order finds a match makes no difference: it says where to look, and each one
//! there is asked as where few wait.

mod of_rule;
mod orders;
#[cfg(test)]
mod tests;

use super::standing::Found;
use super::waiting::RuleKey;
use super::windows::{BoundEvent, Windows};
use crate::model::{ActionFact, EventTimeMs, Instance, LogSeq, MatchId};
use beckon_rules::plan::{Fire, RulePlan};
use of_rule::OfRule;
use orders::Asked;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A match whose positive steps are complete, and that waits for its time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) of: RuleKey,
    /// Whether a deadline decides it and not its last event.
    pub(super) is_deadline: bool,
    /// The greatest log sequence of its events.
    pub(super) newest: LogSeq,
    /// It is asserted when the watermark has passed this: what decides it, and for `emit = "final"`
    /// the lateness behind that.
    pub(super) due: EventTimeMs,
    /// Its events that the missing event is compared with.
    pub(super) bound: Vec<BoundEvent>,
    /// What is said of it.
    pub(super) fact: Box<ActionFact>,
}

/// When a match is decided. What an event decides goes before a deadline at the same time.
type Moment = (EventTimeMs, bool);

impl Held {
    fn moment(&self) -> Moment {
        (self.fact.decided, self.is_deadline)
    }

    /// Whether it waits for a deadline that is not before `now`.
    fn is_pending(&self, now: EventTimeMs) -> bool {
        self.is_deadline && self.fact.decided >= now
    }

    /// The match is found, if its rule may still fire in the window. The same match of another value
    /// of the join key waits no longer.
    pub(super) fn pass(self, plan: &RulePlan, windows: &mut Windows, found: &mut Vec<Found>) {
        if windows.is_done(self.of.rule) {
            return;
        }
        if let Some(waiting) = windows.waiting_mut_if_any() {
            waiting.held.drop_same(self.of.rule, self.fact.matched);
        }
        let Self { of, is_deadline, newest, fact, .. } = self;
        found.push(Found { rule: of.rule, is_deadline, newest, fact });
        if plan.fire == Fire::Once {
            windows.finish(of.rule);
        }
    }
}

/// The matches of one window that wait, by rule.
#[derive(Debug, Default)]
pub(super) struct HeldMatches {
    /// Sorted by rule; none is empty.
    rules: Vec<OfRule>,
    /// The earliest time that one of them waits for.
    first_due: Option<EventTimeMs>,
    bytes: usize,
}

impl HeldMatches {
    fn place(&self, rule: u32) -> Result<usize, usize> {
        self.rules.binary_search_by_key(&rule, |of_rule| of_rule.rule)
    }

    fn of_rule(&self, rule: u32) -> Option<&OfRule> {
        self.place(rule).ok().map(|place| &self.rules[place])
    }

    /// Lets a match wait.
    pub(super) fn hold(&mut self, held: Held) {
        let (rule, due) = (held.of.rule, held.due);
        let place = self.place(rule).unwrap_or_else(|place| {
            self.rules.insert(place, OfRule::new(rule));
            place
        });
        let of_rule = &mut self.rules[place];
        self.bytes -= of_rule.bytes();
        of_rule.hold(held.into());
        self.bytes += of_rule.bytes();
        self.first_due = Some(self.first_due.map_or(due, |first| first.min(due)));
    }

    /// Takes something out of a rule.
    fn take_of<T>(&mut self, rule: u32, take: impl FnOnce(&mut OfRule) -> T) -> Option<T> {
        let place = self.place(rule).ok()?;
        let of_rule = &mut self.rules[place];
        let (before, first) = (of_rule.bytes(), of_rule.first_due);
        let taken = take(of_rule);
        self.bytes = self.bytes + of_rule.bytes() - before;
        let is_first = of_rule.first_due != first && self.first_due == Some(first);
        if of_rule.len() == 0 {
            self.rules.remove(place);
        }
        if is_first {
            self.first_due = self.rules.iter().map(|of_rule| of_rule.first_due).min();
        }
        Some(taken)
    }

    /// How many matches of a rule and key wait for a deadline that is not before `now`.
    pub(super) fn absences(&self, of: &RuleKey, now: EventTimeMs) -> usize {
        self.of_rule(of.rule).map_or(0, |of_rule| of_rule.pending_of(&of.key, now))
    }

    /// How many matches of a rule do, of all keys.
    pub(super) fn rule_absences(&self, rule: u32, now: EventTimeMs) -> usize {
        self.of_rule(rule).map_or(0, |of_rule| of_rule.pending(now))
    }

    /// The first match of a rule that is decided by `now` and only waits for its turn, if more than
    /// `max` do.
    pub(super) fn pop_over(&mut self, rule: u32, now: EventTimeMs, max: u32) -> Option<Held> {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        self.take_of(rule, |of_rule| of_rule.pop_over(now, max))?.map(Arc::unwrap_or_clone)
    }

    /// Whether a match of a rule was decided before this time and is only waiting for its turn.
    pub(super) fn is_decided_before(&self, rule: u32, time: EventTimeMs) -> bool {
        self.of_rule(rule).and_then(OfRule::first_decided).is_some_and(|first| first < time)
    }

    /// Drops the waiting matches that an event at `now` prevents, if `is_hit` says that it is what
    /// they must not see.
    pub(super) fn prevent(
        &mut self,
        of: &RuleKey,
        now: EventTimeMs,
        is_hit: impl Fn(&[BoundEvent]) -> bool,
    ) {
        let is_prevented = |held: &Held| {
            let is_asked = held.is_pending(now) && held.of == *of && held.fact.timestamp < now;
            is_asked && is_hit(&held.bound)
        };
        self.take_of(of.rule, |of_rule| {
            of_rule.take(&Asked::Key(&of.key, now), is_prevented);
        });
    }

    /// Drops what is the same match of a rule.
    fn drop_same(&mut self, rule: u32, matched: MatchId) {
        self.take_of(rule, |of_rule| of_rule.drop_same(matched));
    }

    /// Takes out the matches whose time the watermark has passed, in the order in which they were
    /// decided, each once.
    pub(super) fn take_due(&mut self, watermark: EventTimeMs) -> Vec<Held> {
        if self.first_due.is_none_or(|first| first >= watermark) {
            return Vec::new();
        }
        let is_due = |held: &Held| watermark > held.due;
        self.take(|of_rule| {
            let has_due = watermark > of_rule.first_due;
            if has_due { of_rule.take(&Asked::Due(watermark), is_due) } else { Vec::new() }
        })
    }

    /// Takes out the matches that were decided before a time, in that order, each once.
    pub(super) fn take_decided(&mut self, before: EventTimeMs) -> Vec<Held> {
        let is_decided = |held: &Held| before > held.fact.decided;
        self.take(|of_rule| of_rule.take(&Asked::DecidedBefore(before), is_decided))
    }

    /// Takes out the matches that are known by now, be they due or not: those that an event decided,
    /// and those whose deadline the watermark has passed. In the order in which they were decided,
    /// each once.
    pub(super) fn take_known(&mut self, watermark: EventTimeMs) -> Vec<Held> {
        let is_known = |held: &Held| !held.is_deadline || watermark > held.fact.decided;
        self.take(|of_rule| of_rule.take(&Asked::All, is_known))
    }

    /// Takes matches out of all rules, and puts them in the order in which they were decided.
    fn take(&mut self, take: impl Fn(&mut OfRule) -> Vec<Arc<Held>>) -> Vec<Held> {
        let mut taken: Vec<Arc<Held>> = self.rules.iter_mut().flat_map(take).collect();
        self.rules.retain(|of_rule| of_rule.len() > 0);
        self.first_due = self.rules.iter().map(|of_rule| of_rule.first_due).min();
        self.bytes = self.rules.iter().map(OfRule::bytes).sum();
        taken.sort_by_key(|held| held.moment());
        let mut known = BTreeSet::new();
        taken.retain(|held| known.insert(held.fact.matched));
        taken.into_iter().map(Arc::unwrap_or_clone).collect()
    }

    /// A visit ended: matches whose last event is of it say so.
    pub(super) fn visit_ended(&mut self, instance: Instance) {
        self.rules.iter_mut().for_each(|of_rule| of_rule.visit_ended(instance));
    }

    /// Whether a match of a rule waits.
    pub(super) fn is_held(&self, rule: u32) -> bool {
        self.of_rule(rule).is_some()
    }

    /// The earliest time that a match waits for.
    pub(super) fn first_due(&self) -> Option<EventTimeMs> {
        self.first_due
    }

    /// A rule is done here.
    pub(super) fn finish(&mut self, rule: u32) {
        self.take_of(rule, |of_rule| *of_rule = OfRule::new(rule));
    }

    /// Takes over what another window has of a rule; of this one there must be nothing.
    pub(super) fn adopt(&mut self, rule: u32, from: &Self) {
        let (Some(of_rule), Err(place)) = (from.of_rule(rule), self.place(rule)) else { return };
        let due = of_rule.first_due;
        self.bytes += of_rule.bytes();
        self.rules.insert(place, of_rule.clone());
        self.first_due = Some(self.first_due.map_or(due, |first| first.min(due)));
    }

    /// Rule by rule, in the order in which they became complete.
    fn each(&self) -> impl Iterator<Item = &Arc<Held>> {
        self.rules.iter().flat_map(OfRule::each)
    }

    /// Bytes, by a figure for each. What two windows share is counted in both.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// As a list, rule by rule in the order in which they became complete.
impl Serialize for HeldMatches {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The list's length goes before it.
        self.each().collect::<Vec<_>>().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for HeldMatches {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = Vec::<Held>::deserialize(deserializer)?;
        let mut held = Self::default();
        list.into_iter().for_each(|one| held.hold(one));
        Ok(held)
    }
}
