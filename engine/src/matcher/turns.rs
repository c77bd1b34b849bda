//! Open visits in the order of a time: of their last events (who ends by inactivity, who is
//! evicted), or of the first match that waits for a time (whose turn it is at a mark).
//!
//! A visit's later times do not move its entry: an entry is a lower bound, and is put right when it
//! comes to the top (lazy cancel). So an event costs nothing here, and a visit one move for each
//! time that it outlives its bound.
//!
//! # The timers
//!
//! A radix queue, a timing wheel without empty slots: an entry's key is its time and then its
//! instance, 128 bits in [`LEVELS`] digits. It lies in the slot of the first digit in which it
//! differs from `opened`, the key that the slot opened last began with; slots that share more of
//! `opened` come first, so the first slot has the least entry, which stands first in it. Opening it
//! moves `opened` there and its entries at least one level down, whatever lies between: a jump of
//! time costs nothing. A slot of at most [`SORTED_MAX`] goes to `near`, a heap, at once.
//!
//! Adding, cancelling and firing are O(1) amortised, whatever number is pending: an entry moves at
//! most [`LEVELS`] times, and `near` has one small slot of each level at most (a second of a level is
//! opened when the first is used up). What is added before `opened` has its place in `near` too, at
//! the cost of a heap. That is before what was fired, so only evictions lead to it: they take what is
//! not due.
//!
//! An entry has 24 B, and up to twice that in a slot that has just grown; an order without entries
//! has 96 B.
//!
//! **Invariant:** no entry is later than its visit's time, so the first entry that is exact is the
//! least of all. Entries of one time come in the order of their instances.

use crate::model::{EventTimeMs, Instance};
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// A visit's place in the order: time, then instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    /// Its time, or an earlier one.
    pub time: EventTimeMs,
    /// Which instance.
    pub instance: Instance,
    /// The hash of its window key.
    pub hash: u64,
}

impl Turn {
    /// A number in the order of turns.
    fn key(&self) -> u128 {
        // The sign bit turned over: negative times come first.
        let time = self.time.0.cast_unsigned() ^ (1 << 63);
        u128::from(time) << 64 | u128::from(self.instance.0.0)
    }
}

const DIGIT_BITS: u32 = 6;
/// Digits of a key.
#[cfg(test)]
const LEVELS: usize = u128::BITS.div_ceil(DIGIT_BITS) as usize;
/// Entries of a slot that are sorted by comparing; more are spread by their next digit.
const SORTED_MAX: usize = 32;

/// Entries of one slot, the least first, the others in no order.
type Slot = SmallVec<[Turn; 2]>;

/// The order. Entries of ended visits stay until they come to the top or [`Turns::sweep`].
#[derive(Debug, Default)]
pub struct Turns {
    near: BinaryHeap<Reverse<Turn>>,
    /// By level and digit, those with entries.
    slots: BTreeMap<u32, Slot>,
    /// The least key of the slot opened last; no key in `slots` is before it.
    opened: u128,
    entries: usize,
    /// The time of the first entry.
    first: Option<EventTimeMs>,
}

impl Turns {
    /// Adds an entry.
    pub fn push(&mut self, turn: Turn) {
        self.first = Some(self.first.map_or(turn.time, |first| first.min(turn.time)));
        self.entries += 1;
        self.place(turn);
    }

    /// The earliest time that the first entry may have, a lower bound.
    #[must_use]
    pub fn first(&self) -> Option<EventTimeMs> {
        self.first
    }

    /// Takes out the first entry as it stands, if its time satisfies `is_due`.
    pub fn pop_first(&mut self, is_due: impl Fn(EventTimeMs) -> bool) -> Option<Turn> {
        self.first.filter(|first| is_due(*first))?;
        while self.is_first_in_slot() {
            self.open_slot();
        }
        let Reverse(turn) = self.near.pop()?;
        self.entries -= 1;
        self.first = self.first_entry();
        Some(turn)
    }

    /// Takes out the visit whose time is first, if that satisfies `is_due` (which must hold for all
    /// earlier times too). `time_of` tells a visit's time, `None` if it ended.
    pub fn pop(
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
    pub fn sweep(&mut self, open: usize, is_open: impl Fn(&Turn) -> bool) {
        if self.entries <= open * 2 + 64 {
            return;
        }
        let near = std::mem::take(&mut self.near).into_vec();
        let far = std::mem::take(&mut self.slots).into_values().flatten();
        self.entries = 0;
        self.first = None;
        for turn in near.into_iter().map(|Reverse(turn)| turn).chain(far) {
            if is_open(&turn) {
                self.push(turn);
            }
        }
    }

    /// Puts an entry where it belongs by what was opened.
    fn place(&mut self, turn: Turn) {
        let key = turn.key();
        if key < self.opened {
            return self.near.push(Reverse(turn));
        }
        let level = (key ^ self.opened).checked_ilog2().unwrap_or(0) / DIGIT_BITS;
        let digit = key >> (level * DIGIT_BITS) & ((1 << DIGIT_BITS) - 1);
        let digit = u32::try_from(digit).expect("six bits");
        let slot = self.slots.entry(level << DIGIT_BITS | digit).or_default();
        slot.push(turn);
        if turn < slot[0] {
            let last = slot.len() - 1;
            slot.swap(0, last);
        }
    }

    /// Whether the first entry is in a slot and not near.
    fn is_first_in_slot(&self) -> bool {
        let near = self.near.peek().map(|Reverse(turn)| turn);
        let far = self.slots.first_key_value().map(|(_, slot)| &slot[0]);
        far.is_some_and(|far| near.is_none_or(|near| far < near))
    }

    fn open_slot(&mut self) {
        let Some((place, slot)) = self.slots.pop_first() else { return };
        self.opened = slot[0].key();
        // All entries of the last level's slots are of one key.
        if slot.len() <= SORTED_MAX || place >> DIGIT_BITS == 0 {
            self.near.extend(slot.into_iter().map(Reverse));
        } else {
            slot.into_iter().for_each(|turn| self.place(turn));
        }
    }

    fn first_entry(&self) -> Option<EventTimeMs> {
        let near = self.near.peek().map(|Reverse(turn)| turn.time);
        let far = self.slots.first_key_value().map(|(_, slot)| slot[0].time);
        near.into_iter().chain(far).min()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LogSeq;
    use proptest::prelude::*;
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

    #[test]
    fn the_ends_of_time_have_their_places() {
        let mut order = Turns::default();
        let all = [turn(0, i64::MIN), turn(9, -1), turn(8, 0), turn(u64::MAX, i64::MAX)];
        // More than are sorted by comparing, of one key each.
        for turn in all.iter().rev().cycle().take(all.len() * (SORTED_MAX + 1)) {
            order.push(*turn);
        }
        let popped: Vec<Turn> = std::iter::from_fn(|| order.pop_first(|_| true)).collect();
        let wanted: Vec<Turn> = all.into_iter().flat_map(|turn| [turn; SORTED_MAX + 1]).collect();
        assert!(popped == wanted);
    }

    /// Pending for up to half an hour, each added again when it fires.
    #[test]
    fn of_many_that_wait_only_a_few_are_sorted_by_comparing() {
        let mut order = Turns::default();
        let mut random = 1_u64;
        let mut ahead_ms = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            i64::try_from(random >> 33).expect("31 bits") % 1_800_000
        };
        for instance in 0..50_000 {
            order.push(turn(instance, ahead_ms()));
        }
        for _ in 0..200_000 {
            let fired = order.pop_first(|_| true).expect("many wait");
            order.push(Turn { time: fired.time.saturating_add(ahead_ms()), ..fired });
            let near = order.near.len();
            assert!(near <= 3 * SORTED_MAX, "{near} of {}", order.len());
        }
    }

    #[test]
    fn it_is_as_small_as_it_says() {
        assert_eq!((size_of::<Turns>(), size_of::<Turn>()), (96, 24));
    }

    /// A step of the comparison with a map.
    #[derive(Clone, Debug)]
    enum Step {
        /// So many entries around a time that lies so far ahead, which may be none ahead.
        Push { count: u64, ahead_ms: i64, spread_ms: i64 },
        /// Time moves on, and what is due fires.
        Fire { ahead_ms: i64 },
        /// The first entries are taken, due or not.
        Evict { count: u64 },
        /// One instance in so many stays open.
        Sweep { one_in: u64 },
    }

    fn span_ms() -> impl Strategy<Value = i64> {
        prop_oneof![
            2 => Just(0_i64),
            4 => 1_i64..100,
            4 => 100_i64..100_000,
            2 => 100_000_i64..10_000_000,
            1 => 1_i64 << 40..1 << 50,
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        let count = prop_oneof![6 => 1_u64..10, 1 => 10_u64..200];
        prop_oneof![
            6 => (count, span_ms(), span_ms()).prop_map(|(count, ahead_ms, spread_ms)| {
                Step::Push { count, ahead_ms, spread_ms }
            }),
            4 => span_ms().prop_map(|ahead_ms| Step::Fire { ahead_ms }),
            1 => (1_u64..40).prop_map(|count| Step::Evict { count }),
            1 => (1_u64..5).prop_map(|one_in| Step::Sweep { one_in }),
        ]
    }

    /// Both orders, side by side.
    #[derive(Default)]
    struct Pair {
        order: Turns,
        model: BTreeMap<Turn, usize>,
        /// Instances come again, so that entries are the same here and there.
        next: u64,
        /// Those that came before one that was taken.
        early: usize,
        taken: Option<Turn>,
    }

    impl Pair {
        fn push(&mut self, turn: Turn) {
            self.order.push(turn);
            *self.model.entry(turn).or_default() += 1;
            self.early += usize::from(self.taken.is_some_and(|taken| turn < taken));
        }

        fn pop(&mut self, is_due: impl Fn(EventTimeMs) -> bool) -> Option<Turn> {
            let first = self.model.first_entry().filter(|entry| is_due(entry.key().time));
            let wanted = first.map(|mut entry| {
                let turn = *entry.key();
                *entry.get_mut() -= 1;
                if *entry.get() == 0 {
                    entry.remove();
                }
                turn
            });
            assert_eq!(self.order.pop_first(is_due), wanted);
            self.taken = self.taken.max(wanted);
            wanted
        }

        fn sweep(&mut self, one_in: u64) {
            let is_open = |turn: &Turn| turn.instance.0.0.is_multiple_of(one_in);
            let entries = self.order.len();
            let open = self.model.iter().filter(|(turn, _)| is_open(turn)).count();
            self.order.sweep(open, is_open);
            if entries > open * 2 + 64 {
                self.model.retain(|turn, _| is_open(turn));
            }
        }

        fn check(&self) {
            let first = self.model.first_key_value().map(|(turn, _)| turn.time);
            assert_eq!(self.order.first(), first);
            assert_eq!(self.order.len(), self.model.values().sum::<usize>());
            let near = self.order.near.len();
            assert!(near <= SORTED_MAX * LEVELS + self.early, "{near} are sorted by comparing");
        }
    }

    proptest! {
        #[test]
        fn it_is_the_order_of_a_map(steps in prop::collection::vec(step(), 1..60)) {
            let mut pair = Pair::default();
            let mut now_ms = 0_i64;
            for step in steps {
                match step {
                    Step::Push { count, ahead_ms, spread_ms } => {
                        for index in 0..count {
                            pair.next = (pair.next * 31 + 17) % 1_009;
                            let spread_ms = i64::try_from(index).expect("few") * spread_ms / 7;
                            let time = now_ms + ahead_ms + spread_ms;
                            pair.push(turn(pair.next, time));
                        }
                    }
                    Step::Fire { ahead_ms } => {
                        now_ms += ahead_ms;
                        while pair.pop(|time| time.0 < now_ms).is_some() {}
                    }
                    Step::Evict { count } => {
                        for _ in 0..count {
                            pair.pop(|_| true);
                        }
                    }
                    Step::Sweep { one_in } => pair.sweep(one_in),
                }
                pair.check();
            }
            while pair.pop(|_| true).is_some() {}
            pair.check();
        }
    }
}
