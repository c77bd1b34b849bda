//! The matches of one rule that wait in one window: a short list, or orders where many do.

use super::Held;
use super::orders::{Asked, Orders};
use crate::matcher::keys::Key;
use crate::model::{ActionFact, EventTimeMs, Instance, MatchId};
use std::sync::Arc;

/// So many are looked through; more have orders.
pub(super) const FEW_MAX: usize = 16;

/// Matches of a rule.
#[derive(Clone, Debug)]
pub(super) struct OfRule {
    pub(super) rule: u32,
    /// The earliest time that one waits for, and [`EventTimeMs::MAX`] without any.
    pub(super) first_due: EventTimeMs,
    held: Place,
}

#[derive(Clone, Debug)]
enum Place {
    /// In the order in which they became complete; a number is an index.
    Few(Vec<Arc<Held>>),
    Many(Box<Orders>),
}

impl OfRule {
    pub(super) fn new(rule: u32) -> Self {
        Self { rule, first_due: EventTimeMs::MAX, held: Place::Few(Vec::new()) }
    }

    /// Lets a match wait.
    pub(super) fn hold(&mut self, held: Arc<Held>) {
        self.first_due = self.first_due.min(held.due);
        match &mut self.held {
            Place::Many(orders) => orders.insert(held),
            Place::Few(few) => {
                few.push(held);
                if few.len() > FEW_MAX {
                    let mut orders = Box::<Orders>::default();
                    few.drain(..).for_each(|held| orders.insert(held));
                    self.held = Place::Many(orders);
                }
            }
        }
    }

    /// Takes out those that `is_asked` says, in the order in which they became complete; where there
    /// are many it is asked of those only that are found by `asked`.
    pub(super) fn take(
        &mut self,
        asked: &Asked<'_>,
        is_asked: impl Fn(&Held) -> bool,
    ) -> Vec<Arc<Held>> {
        let taken: Vec<_> = match &mut self.held {
            Place::Few(few) => few.extract_if(.., |held| is_asked(held)).collect(),
            Place::Many(orders) => {
                let numbers = numbers(orders, asked, is_asked);
                numbers.into_iter().filter_map(|number| orders.remove(number)).collect()
            }
        };
        if !taken.is_empty() {
            self.look_again();
        }
        taken
    }

    /// Behind something that was taken out.
    fn look_again(&mut self) {
        if let Place::Many(orders) = &self.held
            && orders.all.size() <= FEW_MAX / 2
        {
            self.held = Place::Few(orders.all.values().map(Arc::clone).collect());
        }
        let first = match &self.held {
            Place::Few(few) => few.iter().map(|held| held.due).min(),
            Place::Many(orders) => orders.first_due(),
        };
        self.first_due = first.unwrap_or(EventTimeMs::MAX);
    }

    /// How many of a key wait for a deadline that is not before `now`.
    pub(super) fn pending_of(&self, key: &Key, now: EventTimeMs) -> usize {
        let is_asked = |held: &Held| held.is_pending(now) && held.of.key == *key;
        match &self.held {
            Place::Few(few) => few.iter().filter(|held| is_asked(held)).count(),
            Place::Many(orders) => {
                let of_key = orders.of_key(key, now);
                of_key.filter(|it| orders.all.get(it).is_some_and(|held| is_asked(held))).count()
            }
        }
    }

    /// How many do, of all keys.
    pub(super) fn pending(&self, now: EventTimeMs) -> usize {
        match &self.held {
            Place::Few(few) => few.iter().filter(|held| held.is_pending(now)).count(),
            Place::Many(orders) => orders.pending(now),
        }
    }

    /// The first that is decided by `now` and only waits for its turn, if more than `max` do.
    pub(super) fn pop_over(&mut self, now: EventTimeMs, max: usize) -> Option<Arc<Held>> {
        let taken = match &mut self.held {
            Place::Few(few) => {
                let decided = |(_, held): &(usize, &Arc<Held>)| held.moment() < (now, true);
                let decided = || few.iter().enumerate().filter(decided);
                decided().nth(max)?;
                let first = decided().min_by_key(|(_, held)| held.moment())?.0;
                Some(few.remove(first))
            }
            Place::Many(orders) => {
                orders.decided(now).nth(max)?;
                let first = orders.decided(now).next()?;
                orders.remove(first)
            }
        };
        self.look_again();
        taken
    }

    /// When the first is decided.
    pub(super) fn first_decided(&self) -> Option<EventTimeMs> {
        match &self.held {
            Place::Few(few) => few.iter().map(|held| held.fact.decided).min(),
            Place::Many(orders) => orders.first_decided(),
        }
    }

    /// Drops what is this match.
    pub(super) fn drop_same(&mut self, matched: MatchId) {
        self.take(&Asked::Match(matched), |held| held.fact.matched == matched);
    }

    /// A visit ended: matches whose last event is of it say so.
    pub(super) fn visit_ended(&mut self, instance: Instance) {
        let is_of_visit = |held: &Held| held.fact.instance == instance && held.fact.is_visit_open;
        let end = |held: &mut Arc<Held>| Arc::make_mut(held).fact.is_visit_open = false;
        match &mut self.held {
            Place::Few(few) => few.iter_mut().filter(|held| is_of_visit(held)).for_each(end),
            Place::Many(orders) => {
                let numbers = numbers(orders, &Asked::Visit(instance), is_of_visit);
                numbers.iter().for_each(|it| orders.all.get_mut(it).into_iter().for_each(end));
            }
        }
    }

    /// In the order in which they became complete.
    pub(super) fn each(&self) -> Box<dyn Iterator<Item = &Arc<Held>> + '_> {
        match &self.held {
            Place::Few(few) => Box::new(few.iter()),
            Place::Many(orders) => Box::new(orders.all.values()),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        match &self.held {
            Place::Few(few) => few.len(),
            Place::Many(orders) => orders.all.size(),
        }
    }

    /// Whether there are so many that they have orders.
    pub(super) fn is_many(&self) -> bool {
        matches!(self.held, Place::Many(_))
    }

    /// Bytes, by a figure for each.
    pub(super) fn bytes(&self) -> usize {
        let own = size_of::<Arc<Held>>() + size_of::<Held>() + size_of::<ActionFact>();
        let places = if self.is_many() { Orders::PLACES_BYTES } else { 0 };
        self.len() * (own + places)
    }
}

/// Those that `is_asked` says, of those that are found by `asked`.
fn numbers(orders: &Orders, asked: &Asked<'_>, is_asked: impl Fn(&Held) -> bool) -> Vec<u64> {
    let is_asked = |number: &u64| orders.all.get(number).is_some_and(|held| is_asked(held));
    let mut numbers: Vec<u64> = orders.find(asked).filter(is_asked).collect();
    numbers.sort_unstable();
    numbers
}
