//! Matches that are complete in their positive steps and wait for their time, in one window.
//!
//! Most windows have none, or two or three: those are looked through. Where more than [`FEW_MAX`]
//! wait (a rule with join keys on a window of many visitors), they are found by what is asked
//! (`orders`): by when they are due, by rule and key, by their match, by their visit. So an event
//! costs the logarithm of how many wait, and what it touches: at most `pending_absences_max` of its
//! own key. `first_due` and the like, asked with each event, never go through all.
//!
//! **Bounds.** What waits for a deadline is bounded for each key and for each rule before it comes here
//! (`sequence`); what is decided and waits for its turn by [`HeldMatches::pop_over`].
//!
//! **Invariant:** which order finds a match makes no difference: it says where to look, and each one
//! there is asked as where few wait.

mod orders;
#[cfg(test)]
mod tests;

use super::standing::Found;
use super::waiting::RuleKey;
use super::windows::{BoundEvent, Windows};
use crate::model::{ActionFact, EventTimeMs, Instance, LogSeq, MatchId};
use beckon_rules::plan::{Fire, RulePlan};
use orders::Orders;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

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
            waiting.held.drop_same(self.fact.matched);
        }
        let Self { of, is_deadline, newest, fact, .. } = self;
        found.push(Found { rule: of.rule, is_deadline, newest, fact });
        if plan.fire == Fire::Once {
            windows.finish(of.rule);
        }
    }
}

/// So many are looked through; more have orders.
const FEW_MAX: usize = 16;

/// The matches of one window that wait.
#[derive(Debug, Default)]
pub(super) struct HeldMatches {
    /// By numbers that grow in the order in which they became complete.
    all: BTreeMap<u64, Box<Held>>,
    /// Where they lie, if there are many.
    orders: Option<Box<Orders>>,
}

impl HeldMatches {
    /// Lets a match wait.
    pub(super) fn hold(&mut self, held: Held) {
        let number = self.all.last_key_value().map_or(0, |(last, _)| last + 1);
        if let Some(orders) = &mut self.orders {
            orders.insert(number, &held);
        }
        self.all.insert(number, Box::new(held));
        if self.orders.is_none() && self.all.len() > FEW_MAX {
            let mut orders = Box::<Orders>::default();
            self.each().for_each(|(number, held)| orders.insert(number, held));
            self.orders = Some(orders);
        }
    }

    fn remove(&mut self, number: u64) -> Option<Held> {
        let held = self.all.remove(&number)?;
        if let Some(orders) = &mut self.orders {
            orders.remove(number, &held);
        }
        if self.all.len() <= FEW_MAX / 2 {
            self.orders = None;
        }
        Some(*held)
    }

    /// With their numbers, in the order of those.
    fn each(&self) -> impl Iterator<Item = (u64, &Held)> {
        self.all.iter().map(|(number, held)| (*number, &**held))
    }

    /// The numbers of those that `is_asked` says; where there are many it is asked of those only that
    /// `place` finds.
    fn find<'s, I: Iterator<Item = u64> + 's>(
        &'s self,
        place: impl FnOnce(&'s Orders) -> I,
        is_asked: impl Fn(&Held) -> bool,
    ) -> Vec<u64> {
        match &self.orders {
            None => {
                let asked = self.each().filter(|(_, held)| is_asked(held));
                asked.map(|(number, _)| number).collect()
            }
            Some(orders) => {
                let is_asked = |number: &u64| self.all.get(number).is_some_and(|it| is_asked(it));
                place(orders).filter(is_asked).collect()
            }
        }
    }

    /// How many matches of a rule and key wait for a deadline that is not before `now`.
    pub(super) fn absences(&self, of: &RuleKey, now: EventTimeMs) -> usize {
        let is_pending = |held: &Held| held.is_pending(now) && held.of == *of;
        self.find(|orders| orders.of_key(of, now), is_pending).len()
    }

    /// How many matches of a rule do, of all keys.
    pub(super) fn rule_absences(&self, rule: u32, now: EventTimeMs) -> usize {
        match &self.orders {
            None => {
                let of_rule = self.each().filter(|(_, held)| held.of.rule == rule);
                of_rule.filter(|(_, held)| held.is_pending(now)).count()
            }
            Some(orders) => orders.rule_absences(rule, now),
        }
    }

    /// The first match of a rule that is decided by `now` and only waits for its turn, if more than
    /// `max` do.
    pub(super) fn pop_over(&mut self, rule: u32, now: EventTimeMs, max: u32) -> Option<Held> {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let first = match &self.orders {
            None => {
                let is_decided = |(_, held): &(u64, &Held)| {
                    held.of.rule == rule && (!held.is_deadline || held.fact.decided < now)
                };
                let decided = || self.each().filter(is_decided);
                decided().nth(max)?;
                decided().min_by_key(|(_, held)| held.moment()).map(|(number, _)| number)
            }
            Some(orders) => {
                orders.decided(rule, now).nth(max)?;
                orders.decided(rule, now).next()
            }
        };
        first.and_then(|first| self.remove(first))
    }

    /// Whether a match of a rule was decided before this time and is only waiting for its turn.
    pub(super) fn is_decided_before(&self, rule: u32, time: EventTimeMs) -> bool {
        match &self.orders {
            None => self.all.values().any(|held| held.of.rule == rule && held.fact.decided < time),
            Some(orders) => orders.first_decided(rule).is_some_and(|first| first < time),
        }
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
        let prevented = self.find(|orders| orders.of_key(of, now), is_prevented);
        self.drop_all(prevented);
    }

    /// Drops what is the same match.
    fn drop_same(&mut self, matched: MatchId) {
        let is_same = |held: &Held| held.fact.matched == matched;
        let same = self.find(|orders| orders.of_match(matched), is_same);
        self.drop_all(same);
    }

    fn drop_all(&mut self, numbers: Vec<u64>) {
        for number in numbers {
            self.remove(number);
        }
    }

    /// Takes out the matches whose time the watermark has passed, in the order in which they were
    /// decided, each once.
    pub(super) fn take_due(&mut self, watermark: EventTimeMs) -> Vec<Held> {
        let due = self.find(|orders| orders.due(watermark), |held| watermark > held.due);
        self.take(due)
    }

    /// Takes out the matches that were decided before a time, in that order, each once.
    pub(super) fn take_decided(&mut self, before: EventTimeMs) -> Vec<Held> {
        let is_decided = |held: &Held| before > held.fact.decided;
        let decided = self.find(|orders| orders.decided_before(before).into_iter(), is_decided);
        self.take(decided)
    }

    /// Takes out the matches that are known by now, be they due or not: those that an event decided,
    /// and those whose deadline the watermark has passed. In the order in which they were decided,
    /// each once.
    pub(super) fn take_known(&mut self, watermark: EventTimeMs) -> Vec<Held> {
        let is_known = |held: &Held| !held.is_deadline || watermark > held.fact.decided;
        let known = self.each().filter(|(_, held)| is_known(held));
        let known = known.map(|(number, _)| number).collect();
        self.take(known)
    }

    fn take(&mut self, numbers: Vec<u64>) -> Vec<Held> {
        let taken = numbers.into_iter().filter_map(|it| Some((it, self.remove(it)?)));
        let mut taken: Vec<(u64, Held)> = taken.collect();
        taken.sort_unstable_by_key(|(number, held)| (held.moment(), *number));
        let mut known = BTreeSet::new();
        taken.retain(|(_, held)| known.insert(held.fact.matched));
        taken.into_iter().map(|(_, held)| held).collect()
    }

    /// A visit ended: matches whose last event is of it say so.
    pub(super) fn visit_ended(&mut self, instance: Instance) {
        let is_of_visit = |held: &Held| held.fact.instance == instance;
        for number in self.find(|orders| orders.of_visit(instance), is_of_visit) {
            if let Some(held) = self.all.get_mut(&number) {
                held.fact.is_visit_open = false;
            }
        }
    }

    /// Whether a match of a rule waits.
    pub(super) fn is_held(&self, rule: u32) -> bool {
        match &self.orders {
            None => self.all.values().any(|held| held.of.rule == rule),
            Some(orders) => orders.first_decided(rule).is_some(),
        }
    }

    /// The earliest time that a match waits for.
    pub(super) fn first_due(&self) -> Option<EventTimeMs> {
        match &self.orders {
            None => self.all.values().map(|held| held.due).min(),
            Some(orders) => orders.first_due(),
        }
    }

    /// A rule is done here.
    pub(super) fn finish(&mut self, rule: u32) {
        let of_rule = self.of_rule(rule);
        self.drop_all(of_rule);
    }

    /// Takes over what another window has of a rule; of this one there must be nothing.
    pub(super) fn adopt(&mut self, rule: u32, from: &Self) {
        let mut of_rule = from.of_rule(rule);
        of_rule.sort_unstable();
        for number in of_rule {
            if let Some(held) = from.all.get(&number) {
                self.hold(Held::clone(held));
            }
        }
    }

    fn of_rule(&self, rule: u32) -> Vec<u64> {
        self.find(|orders| orders.of_rule(rule), |held| held.of.rule == rule)
    }

    /// Bytes, by a figure for each.
    pub(super) fn bytes(&self) -> usize {
        let own = size_of::<(u64, Box<Held>)>() + size_of::<Held>() + size_of::<ActionFact>();
        let places = if self.orders.is_some() { Orders::PLACES_BYTES } else { 0 };
        self.all.len() * (own + places)
    }
}

/// As a list, in the order in which they became complete.
impl Serialize for HeldMatches {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.all.values())
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
