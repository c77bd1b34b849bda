//! Where the matches of one rule lie that wait in a window, by what is asked of them.
//!
//! A place for each match in each order. Trees that share what stays the same: a copy is one step
//! however many wait, and a change behind it copies the way from the root to its place. They cost more
//! for that than trees of wide nodes: 416 bytes a match.

use super::{Held, Moment};
use crate::matcher::keys::Key;
use crate::model::{EventTimeMs, Instance, MatchId};
use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The orders. Each number stands for one match.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    /// By numbers that grow in the order in which they became complete.
    pub(super) all: RedBlackTreeMapSync<u64, Arc<Held>>,
    due: RedBlackTreeSetSync<(EventTimeMs, u64)>,
    /// In the order in which they are decided.
    moments: RedBlackTreeSetSync<(Moment, u64)>,
    /// By hash of the key and deadline: those that have one.
    deadlines: RedBlackTreeSetSync<(u64, EventTimeMs, u64)>,
    matches: RedBlackTreeSetSync<(MatchId, u64)>,
    visits: RedBlackTreeSetSync<(Instance, u64)>,
}

/// What is looked for.
#[derive(Debug)]
pub(super) enum Asked<'a> {
    All,
    /// Those whose time this watermark has passed.
    Due(EventTimeMs),
    /// Those of keys of the hash of this one that wait for a deadline that is not before a time.
    Key(&'a Key, EventTimeMs),
    /// Those that were decided before a time.
    DecidedBefore(EventTimeMs),
    /// Those that are this match.
    Match(MatchId),
    /// Those whose last event is of this visit.
    Visit(Instance),
}

const NUMBERS: RangeInclusive<u64> = 0..=u64::MAX;

impl Orders {
    /// Of one match: what it is found by, and in each of the six trees a node (a colour, an entry and
    /// two children) and the counters of node and entry.
    pub(super) const PLACES_BYTES: usize = {
        let places = size_of::<(u64, usize)>()
            + size_of::<(EventTimeMs, u64)>()
            + size_of::<(Moment, u64)>()
            + size_of::<(u64, EventTimeMs, u64)>()
            + size_of::<(MatchId, u64)>()
            + size_of::<(Instance, u64)>();
        places + 6 * 6 * size_of::<usize>()
    };

    /// A match waits, the newest.
    pub(super) fn insert(&mut self, held: Arc<Held>) {
        let number = self.all.last().map_or(0, |(last, _)| last + 1);
        let fact = &held.fact;
        self.due.insert_mut((held.due, number));
        self.moments.insert_mut((held.moment(), number));
        self.matches.insert_mut((fact.matched, number));
        self.visits.insert_mut((fact.instance, number));
        if held.is_deadline {
            self.deadlines.insert_mut((held.of.key.hash, fact.decided, number));
        }
        self.all.insert_mut(number, held);
    }

    /// It waits no longer.
    pub(super) fn remove(&mut self, number: u64) -> Option<Arc<Held>> {
        let held = Arc::clone(self.all.get(&number)?);
        let fact = &held.fact;
        self.due.remove_mut(&(held.due, number));
        self.moments.remove_mut(&(held.moment(), number));
        self.matches.remove_mut(&(fact.matched, number));
        self.visits.remove_mut(&(fact.instance, number));
        if held.is_deadline {
            self.deadlines.remove_mut(&(held.of.key.hash, fact.decided, number));
        }
        self.all.remove_mut(&number);
        Some(held)
    }

    /// Where to look, in the order of the place.
    pub(super) fn find<'a>(&'a self, asked: &Asked<'_>) -> Box<dyn Iterator<Item = u64> + 'a> {
        match *asked {
            Asked::All => Box::new(self.all.keys().copied()),
            Asked::Due(watermark) => {
                let due = self.due.range(..(watermark, *NUMBERS.start()));
                Box::new(due.map(|(_, number)| *number))
            }
            Asked::Key(key, now) => Box::new(self.of_key(key, now)),
            Asked::DecidedBefore(time) => {
                Box::new(self.until((time, false)).map(|(_, number)| *number))
            }
            Asked::Match(matched) => {
                let places = (matched, *NUMBERS.start())..=(matched, *NUMBERS.end());
                Box::new(self.matches.range(places).map(|(_, number)| *number))
            }
            Asked::Visit(instance) => {
                let places = (instance, *NUMBERS.start())..=(instance, *NUMBERS.end());
                Box::new(self.visits.range(places).map(|(_, number)| *number))
            }
        }
    }

    /// The earliest time that one waits for.
    pub(super) fn first_due(&self) -> Option<EventTimeMs> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Those of keys of this hash that wait for a deadline that is not before `now`.
    pub(super) fn of_key(
        &self,
        key: &Key,
        now: EventTimeMs,
    ) -> impl Iterator<Item = u64> + use<'_> {
        let from = (key.hash, now, *NUMBERS.start());
        let to = (key.hash, EventTimeMs::MAX, *NUMBERS.end());
        self.deadlines.range(from..=to).map(|(.., number)| *number)
    }

    /// How many do, of all keys.
    pub(super) fn pending(&self, now: EventTimeMs) -> usize {
        let passed = self.until((now, false)).filter(|((_, is_deadline), _)| *is_deadline);
        self.deadlines.size() - passed.count()
    }

    /// Those that are decided by `now`, in the order in which they were.
    pub(super) fn decided(&self, now: EventTimeMs) -> impl Iterator<Item = u64> {
        self.until((now, true)).map(|(_, number)| *number)
    }

    /// When the first is decided.
    pub(super) fn first_decided(&self) -> Option<EventTimeMs> {
        self.moments.first().map(|((decided, _), _)| *decided)
    }

    /// Those whose moment comes before this one.
    fn until(&self, moment: Moment) -> impl Iterator<Item = &(Moment, u64)> {
        self.moments.range(..(moment, *NUMBERS.start()))
    }
}
