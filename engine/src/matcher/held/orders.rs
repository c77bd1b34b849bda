//! Where the matches of a window lie that wait, by what is asked of them.
//!
//! A place for each match in each order, 190 bytes a match. No order keeps more of a match than what
//! it is found by.

use super::{Held, Moment};
use crate::matcher::waiting::RuleKey;
use crate::model::{EventTimeMs, Instance, MatchId};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// The orders.
#[derive(Debug, Default)]
pub(super) struct Orders {
    due: BTreeSet<(EventTimeMs, u64)>,
    /// By rule, in the order in which they are decided.
    moments: BTreeSet<(u32, Moment, u64)>,
    /// By rule, hash of the key and deadline: those that have one.
    deadlines: BTreeSet<(u32, u64, EventTimeMs, u64)>,
    matches: BTreeSet<(MatchId, u64)>,
    visits: BTreeSet<(Instance, u64)>,
    /// By rule, how many have a deadline.
    counts: BTreeMap<u32, usize>,
}

const NUMBERS: RangeInclusive<u64> = 0..=u64::MAX;

impl Orders {
    /// Of one match, in nodes that are two thirds full.
    pub(super) const PLACES_BYTES: usize = {
        let places = size_of::<(EventTimeMs, u64)>()
            + size_of::<(u32, Moment, u64)>()
            + size_of::<(u32, u64, EventTimeMs, u64)>()
            + size_of::<(MatchId, u64)>()
            + size_of::<(Instance, u64)>();
        places * 3 / 2
    };

    /// A match waits.
    pub(super) fn insert(&mut self, number: u64, held: &Held) {
        let (rule, hash, fact) = (held.of.rule, held.of.key.hash, &held.fact);
        self.due.insert((held.due, number));
        self.moments.insert((rule, held.moment(), number));
        self.matches.insert((fact.matched, number));
        self.visits.insert((fact.instance, number));
        if held.is_deadline {
            self.deadlines.insert((rule, hash, fact.decided, number));
            *self.counts.entry(rule).or_default() += 1;
        }
    }

    /// It waits no longer.
    pub(super) fn remove(&mut self, number: u64, held: &Held) {
        let (rule, hash, fact) = (held.of.rule, held.of.key.hash, &held.fact);
        self.due.remove(&(held.due, number));
        self.moments.remove(&(rule, held.moment(), number));
        self.matches.remove(&(fact.matched, number));
        self.visits.remove(&(fact.instance, number));
        if held.is_deadline {
            self.deadlines.remove(&(rule, hash, fact.decided, number));
            if let Some(count) = self.counts.get_mut(&rule) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&rule);
                }
            }
        }
    }

    /// Those whose time the watermark has passed.
    pub(super) fn due(&self, watermark: EventTimeMs) -> impl Iterator<Item = u64> {
        self.due.range(..(watermark, *NUMBERS.start())).map(|(_, number)| *number)
    }

    /// The earliest time that one waits for.
    pub(super) fn first_due(&self) -> Option<EventTimeMs> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Those of a rule and of keys of this hash that wait for a deadline that is not before `now`.
    pub(super) fn of_key(&self, of: &RuleKey, now: EventTimeMs) -> impl Iterator<Item = u64> {
        let (rule, hash) = (of.rule, of.key.hash);
        let from = (rule, hash, now, *NUMBERS.start());
        let to = (rule, hash, EventTimeMs::MAX, *NUMBERS.end());
        self.deadlines.range(from..=to).map(|(.., number)| *number)
    }

    /// How many of a rule do, of all keys.
    pub(super) fn rule_absences(&self, rule: u32, now: EventTimeMs) -> usize {
        let all = self.counts.get(&rule).copied().unwrap_or_default();
        let passed =
            self.of_rule_until(rule, (now, false)).filter(|(_, (_, is_deadline), _)| *is_deadline);
        all - passed.count()
    }

    /// Those of a rule that are decided by `now`, in the order in which they were.
    pub(super) fn decided(&self, rule: u32, now: EventTimeMs) -> impl Iterator<Item = u64> {
        self.of_rule_until(rule, (now, true)).map(|(.., number)| *number)
    }

    /// When the first of a rule is decided.
    pub(super) fn first_decided(&self, rule: u32) -> Option<EventTimeMs> {
        self.moments_of(rule).next().map(|(_, (decided, _), _)| *decided)
    }

    /// Those that were decided before a time, rule by rule.
    pub(super) fn decided_before(&self, before: EventTimeMs) -> Vec<u64> {
        let mut found = Vec::new();
        let mut next = self.moments.first();
        while let Some((rule, ..)) = next {
            let decided = self.of_rule_until(*rule, (before, false));
            found.extend(decided.map(|(.., number)| *number));
            let behind = (*rule, (EventTimeMs::MAX, true), *NUMBERS.end());
            next = self.moments.range(behind..).find(|(other, ..)| other != rule);
        }
        found
    }

    /// Those of a rule.
    pub(super) fn of_rule(&self, rule: u32) -> impl Iterator<Item = u64> {
        self.moments_of(rule).map(|(.., number)| *number)
    }

    /// Those that are this match.
    pub(super) fn of_match(&self, matched: MatchId) -> impl Iterator<Item = u64> {
        let places = (matched, *NUMBERS.start())..=(matched, *NUMBERS.end());
        self.matches.range(places).map(|(_, number)| *number)
    }

    /// Those whose last event is of a visit.
    pub(super) fn of_visit(&self, instance: Instance) -> impl Iterator<Item = u64> {
        let places = (instance, *NUMBERS.start())..=(instance, *NUMBERS.end());
        self.visits.range(places).map(|(_, number)| *number)
    }

    fn moments_of(&self, rule: u32) -> impl Iterator<Item = &(u32, Moment, u64)> {
        let from = (rule, (EventTimeMs::MIN, false), *NUMBERS.start());
        let to = (rule, (EventTimeMs::MAX, true), *NUMBERS.end());
        self.moments.range(from..=to)
    }

    /// Those of a rule whose moment comes before this one.
    fn of_rule_until(
        &self,
        rule: u32,
        moment: Moment,
    ) -> impl Iterator<Item = &(u32, Moment, u64)> {
        let from = (rule, (EventTimeMs::MIN, false), *NUMBERS.start());
        self.moments.range(from..(rule, moment, *NUMBERS.start()))
    }
}
