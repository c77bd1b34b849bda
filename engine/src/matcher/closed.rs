//! Which visits ended lately, so that a later event of one is told as `resumed`.
//!
//! Remembered by the 64-bit hash of the window key: two of a million that collide (one chance in
//! thirty-six million) would cost a wrong `resumed`, which nothing acts on. 16 to 32 bytes a visit.

use hashbrown::HashTable;
use std::collections::VecDeque;

/// The hashes of the last `max` visits that ended.
#[derive(Debug)]
pub(super) struct ClosedVisits {
    max: usize,
    order: VecDeque<u64>,
    /// A hash, and how often it stands in `order`.
    known: HashTable<(u64, u32)>,
}

impl ClosedVisits {
    pub(super) fn new(max: usize) -> Self {
        Self { max, order: VecDeque::new(), known: HashTable::new() }
    }

    /// Those that are remembered already, the one that ended first at the front.
    pub(super) fn of(hashes: VecDeque<u64>, max: usize) -> Self {
        let mut closed = Self::new(max);
        for hash in hashes {
            closed.insert(hash);
        }
        closed
    }

    /// The same.
    pub(super) fn hashes(&self) -> &VecDeque<u64> {
        &self.order
    }

    pub(super) fn contains(&self, hash: u64) -> bool {
        self.known.find(spread(hash), |(known, _)| *known == hash).is_some()
    }

    /// Remembers one; forgets the one that ended first if there are too many. Whether one is
    /// forgotten.
    pub(super) fn insert(&mut self, hash: u64) -> bool {
        self.order.push_back(hash);
        match self.known.find_mut(spread(hash), |(known, _)| *known == hash) {
            Some((_, count)) => *count += 1,
            None => {
                self.known.insert_unique(spread(hash), (hash, 1), |(known, _)| spread(*known));
            }
        }
        let oldest = if self.order.len() > self.max { self.order.pop_front() } else { None };
        oldest.is_some_and(|oldest| self.forget(oldest))
    }

    /// Whether it ended no other time that is remembered.
    fn forget(&mut self, hash: u64) -> bool {
        let Ok(mut entry) = self.known.find_entry(spread(hash), |(known, _)| *known == hash) else {
            return false;
        };
        entry.get_mut().1 -= 1;
        let is_last = entry.get().1 == 0;
        if is_last {
            entry.remove();
        }
        is_last
    }
}

/// Within a partition the lowest byte of a window's hash is always the same; a table wants its low
/// bits and its high bits to differ.
pub(super) fn spread(hash: u64) -> u64 {
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered() {
        let mut closed = ClosedVisits::new(2);
        assert_eq!([1, 2, 3].map(|hash| closed.insert(hash)), [false, false, true]);
        assert_eq!([1, 2, 3].map(|hash| closed.contains(hash)), [false, true, true]);
    }

    #[test]
    fn one_that_ended_twice_is_forgotten_after_its_second_end() {
        let mut closed = ClosedVisits::new(2);
        assert_eq!([1, 1, 2].map(|hash| closed.insert(hash)), [false; 3], "1 is still known");
        assert!(closed.contains(1));
        assert!(closed.insert(3));
        assert_eq!([1, 2, 3].map(|hash| closed.contains(hash)), [false, true, true]);
    }

    #[test]
    fn one_that_ends_again_is_not_forgotten_by_that() {
        let mut closed = ClosedVisits::new(1);
        assert_eq!([1, 1, 2].map(|hash| closed.insert(hash)), [false, false, true]);
    }

    #[test]
    fn none_is_remembered_where_none_may_be() {
        let mut closed = ClosedVisits::new(0);
        assert!(closed.insert(1));
        assert!(!closed.contains(1));
    }
}
