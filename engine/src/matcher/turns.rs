//! Open visits in the order of a time: of their last events (who ends by inactivity, who is
//! evicted), or of the first match that waits for a time (whose turn it is at a mark).
//!
//! A visit's later times do not move its entry: an entry is a lower bound, and is put right when it
//! comes to the top (lazy cancel). So an event costs nothing here, and a visit one move for each
//! time that it outlives its bound.
//!
//! **Invariant:** no entry is later than its visit's time, so the first entry that is exact is the
//! least of all.

use crate::model::{EventTimeMs, Instance};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A visit's place in the order: time, then instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    /// Its time, or an earlier one.
    pub(super) time: EventTimeMs,
    /// Which instance.
    pub(super) instance: Instance,
    /// The hash of its window key.
    pub(super) hash: u64,
}

/// The order. Entries of ended visits stay until they come to the top or [`Turns::sweep`].
#[derive(Debug, Default)]
pub(super) struct Turns {
    heap: BinaryHeap<Reverse<Turn>>,
}

impl Turns {
    pub(super) fn push(&mut self, turn: Turn) {
        self.heap.push(Reverse(turn));
    }

    /// The earliest time that the first entry may have, a lower bound.
    pub(super) fn first(&self) -> Option<EventTimeMs> {
        self.heap.peek().map(|Reverse(turn)| turn.time)
    }

    /// Takes out the first entry as it stands, if its time satisfies `is_due`.
    pub(super) fn pop_first(&mut self, is_due: impl Fn(EventTimeMs) -> bool) -> Option<Turn> {
        let first = self.heap.peek().is_some_and(|Reverse(turn)| is_due(turn.time));
        if first { self.heap.pop().map(|Reverse(turn)| turn) } else { None }
    }

    /// Takes out the visit whose time is first, if that satisfies `is_due` (which must hold for all
    /// earlier times too). `time_of` tells a visit's time, `None` if it ended.
    pub(super) fn pop(
        &mut self,
        is_due: impl Fn(EventTimeMs) -> bool,
        time_of: impl Fn(&Turn) -> Option<EventTimeMs>,
    ) -> Option<Turn> {
        while let Some(turn) = self.pop_first(&is_due) {
            match time_of(&turn) {
                Some(exact) if exact == turn.time => return Some(turn),
                Some(exact) => self.push(Turn { time: exact, ..turn }),
                None => {}
            }
        }
        None
    }

    /// Drops entries of ended visits once they outnumber those of open ones.
    pub(super) fn sweep(&mut self, open: usize, is_open: impl Fn(&Turn) -> bool) {
        if self.heap.len() > open * 2 + 64 {
            self.heap.retain(|Reverse(turn)| is_open(turn));
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LogSeq;
    use std::collections::BTreeMap;

    fn turn(instance: u64, time: i64) -> Turn {
        Turn { time: EventTimeMs(time), instance: Instance(LogSeq(instance)), hash: instance }
    }

    #[test]
    fn the_longest_idle_comes_first_whatever_its_entry_says() {
        let mut order = Turns::default();
        let mut last = BTreeMap::new();
        for instance in 1..=4 {
            order.push(turn(instance, 10));
            last.insert(instance, EventTimeMs(10));
        }
        last.insert(1, EventTimeMs(40));
        last.insert(2, EventTimeMs(20));
        last.remove(&4);
        let mut popped = Vec::new();
        while let Some(turn) = order.pop(|_| true, |turn| last.get(&turn.hash).copied()) {
            popped.push((turn.hash, turn.time.0));
        }
        assert_eq!(popped, [(3, 10), (2, 20), (1, 40)]);
    }

    #[test]
    fn who_is_not_due_stays() {
        let mut order = Turns::default();
        order.push(turn(1, 10));
        let exact = |turn: &Turn| Some(turn.time);
        assert_eq!(order.pop(|last| last.0 < 10, exact), None);
        assert_eq!(order.pop(|last| last.0 < 11, exact), Some(turn(1, 10)));
    }

    #[test]
    fn entries_of_ended_visits_do_not_pile_up() {
        let mut order = Turns::default();
        for instance in 0..1_000 {
            order.push(turn(instance, 10));
            order.sweep(1, |turn| turn.instance == Instance(LogSeq(instance)));
        }
        assert!(order.len() <= 67, "{} entries for one open visit", order.len());
    }
}
