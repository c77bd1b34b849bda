//! Open visits in the order of their last events: who ends by inactivity, who is evicted.
//!
//! Each open visit has one entry, made when the visit opened or when the entry was last looked at.
//! A visit's newer events do not move its entry: an entry is a lower bound, and is put right when it
//! comes to the top (lazy cancel). So an event costs nothing here, and a visit one move for each
//! time that it outlives its bound.
//!
//! **Invariant:** no entry is later than its visit's last event, so the first entry that is exact is
//! the least of all.

use crate::model::{EventTimeMs, Instance};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A visit's place in the order: last event, then instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Idle {
    /// Its last event, or an earlier one.
    pub(super) last_event: EventTimeMs,
    /// Which instance.
    pub(super) instance: Instance,
    /// The hash of its window key.
    pub(super) hash: u64,
}

/// The order. Entries of ended visits stay until they come to the top or [`IdleOrder::sweep`].
#[derive(Debug, Default)]
pub(super) struct IdleOrder {
    heap: BinaryHeap<Reverse<Idle>>,
}

impl IdleOrder {
    pub(super) fn push(&mut self, idle: Idle) {
        self.heap.push(Reverse(idle));
    }

    /// The earliest time that the first entry may have, a lower bound.
    pub(super) fn first(&self) -> Option<EventTimeMs> {
        self.heap.peek().map(|Reverse(idle)| idle.last_event)
    }

    /// Takes out the visit that is idle longest, if its last event satisfies `is_due` (which must
    /// hold for all earlier times too). `last_event` tells a visit's last event, `None` if it ended.
    pub(super) fn pop(
        &mut self,
        is_due: impl Fn(EventTimeMs) -> bool,
        last_event: impl Fn(&Idle) -> Option<EventTimeMs>,
    ) -> Option<Idle> {
        while let Some(Reverse(idle)) = self.heap.peek().copied() {
            if !is_due(idle.last_event) {
                return None;
            }
            self.heap.pop();
            match last_event(&idle) {
                Some(exact) if exact == idle.last_event => return Some(idle),
                Some(exact) => self.push(Idle { last_event: exact, ..idle }),
                None => {}
            }
        }
        None
    }

    /// Drops entries of ended visits once they outnumber those of open ones.
    pub(super) fn sweep(&mut self, open: usize, is_open: impl Fn(&Idle) -> bool) {
        if self.heap.len() > open * 2 + 64 {
            self.heap.retain(|Reverse(idle)| is_open(idle));
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

    fn idle(instance: u64, last_event: i64) -> Idle {
        Idle {
            last_event: EventTimeMs(last_event),
            instance: Instance(LogSeq(instance)),
            hash: instance,
        }
    }

    #[test]
    fn the_longest_idle_comes_first_whatever_its_entry_says() {
        let mut order = IdleOrder::default();
        let mut last = BTreeMap::new();
        for instance in 1..=4 {
            order.push(idle(instance, 10));
            last.insert(instance, EventTimeMs(10));
        }
        last.insert(1, EventTimeMs(40));
        last.insert(2, EventTimeMs(20));
        last.remove(&4);
        let mut popped = Vec::new();
        while let Some(idle) = order.pop(|_| true, |idle| last.get(&idle.hash).copied()) {
            popped.push((idle.hash, idle.last_event.0));
        }
        assert_eq!(popped, [(3, 10), (2, 20), (1, 40)]);
    }

    #[test]
    fn who_is_not_due_stays() {
        let mut order = IdleOrder::default();
        order.push(idle(1, 10));
        let exact = |idle: &Idle| Some(idle.last_event);
        assert_eq!(order.pop(|last| last.0 < 10, exact), None);
        assert_eq!(order.pop(|last| last.0 < 11, exact), Some(idle(1, 10)));
    }

    #[test]
    fn entries_of_ended_visits_do_not_pile_up() {
        let mut order = IdleOrder::default();
        for instance in 0..1_000 {
            order.push(idle(instance, 10));
            order.sweep(1, |idle| idle.instance == Instance(LogSeq(instance)));
        }
        assert!(order.len() <= 67, "{} entries for one open visit", order.len());
    }
}
