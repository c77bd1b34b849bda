//! Rules that have caught up with the log, on their way to the windows of all others.
//!
//! Joining all windows at once would be a stall that grows with their number. So a slice of a virtual
//! partition has its turn behind the end of each epoch, as visits have when rules change (`changes`); a window
//! whose turn did not come is joined before its next event. Until then what lies apart goes on with the
//! marks and the ends of visits, and stands at the same horizon as the others. What a deadline decides
//! there meanwhile is said when its turn comes, or at the horizon.
//!
//! Rules that went before they had caught up leave what they have in the same turns.
//!
//! **Invariant:** when a window is joined depends on the log and on the marks; so does what is said.

use super::partition::Partition;
use super::window::{OpenWindow, Waiting};
use super::{Shared, Wide, WideInput, WideKey, WideStats};
use crate::matcher::CHANGE_EPOCHS;
use crate::matcher::changes::Turn;
use crate::matcher::kept::Kept;
use crate::model::{ActionFact, EpochMark, PARTITIONS, PartitionId};
use crate::stage::{Effect, RuleChange};
use std::sync::Arc;

/// Windows that lie apart, of rules that all others know.
#[derive(Debug)]
pub(super) struct Joining {
    /// The rules, sorted; none: there is nothing to join, and what is left is freed.
    slots: Vec<u32>,
    /// Rules that were among them, and are gone.
    gone: Vec<u32>,
    wide: Wide,
    turns: u64,
    epochs: u64,
}

impl Joining {
    pub(super) fn new((slots, gone): (Vec<u32>, Vec<u32>), wide: Wide) -> Self {
        Self { slots, gone, wide, turns: 0, epochs: 0 }
    }

    /// Other rules are there: some of these may be gone.
    pub(super) fn deploy(&mut self, change: &RuleChange) {
        self.wide.shared.prepared = Arc::clone(&change.rules);
        self.wide.shared.begins = Arc::clone(&change.begins);
        let Self { slots, gone, .. } = self;
        gone.extend(slots.extract_if(.., |slot| change.retired.contains(slot)));
    }

    /// Joins a window before its next event, if something of it lies apart.
    pub(super) fn catch_up(
        &mut self,
        (hash, key): (u64, &WideKey),
        windows: &mut Partition,
        shared: &mut Shared,
        out: &mut Vec<Effect>,
    ) {
        let partition = &mut self.wide.partitions[usize::from(PartitionId::of(hash).0)];
        let window = partition.as_mut().and_then(|partition| partition.take(hash, key));
        if let Some(window) = window {
            self.join((hash, window), windows, shared, out);
        }
    }

    /// Goes on to the end of an epoch, and joins the windows whose turn it is.
    pub(super) fn epoch(
        &mut self,
        (mark, ended): (&EpochMark, &[WideInput]),
        partitions: &mut [Option<Box<Partition>>],
        shared: &mut Shared,
        out: &mut Vec<Effect>,
    ) {
        if !self.slots.is_empty() {
            shared.lend_owners(&mut self.wide, |wide| wide.epoch(mark, ended.to_vec(), out));
        }
        self.epochs += 1;
        for _ in 0..shared.config.joins {
            let turn = Turn::nth(self.turns);
            self.turns += 1;
            let Some(past) = &mut self.wide.partitions[turn.partition] else { continue };
            let windows = partitions[turn.partition].get_or_insert_default();
            for window in past.take_all(|hash| turn.has(hash)) {
                self.join(window, windows, shared, out);
            }
        }
    }

    /// Whether all windows had their turn, and all visits (`route`) in an epoch before.
    pub(super) fn is_over(&self) -> bool {
        self.turns >= CHANGE_EPOCHS && self.epochs > u64::from(PARTITIONS)
    }

    /// Whether a match may be of one of the rules.
    pub(super) fn has(&self, fact: &ActionFact) -> bool {
        self.wide.shared.is_of(&self.slots, fact)
    }

    pub(super) fn stats(&self) -> WideStats {
        self.wide.stats()
    }

    fn join(
        &mut self,
        (hash, mut window): (u64, OpenWindow),
        windows: &mut Partition,
        shared: &mut Shared,
        out: &mut Vec<Effect>,
    ) {
        let Self { slots, gone, wide, .. } = self;
        if !gone.is_empty() {
            window.forget_rules(gone, &mut wide.shared);
        }
        window.leave(&mut wide.shared);
        if slots.is_empty() {
            window.clear();
        }
        if !window.is_empty(shared) {
            windows.join((hash, window), slots, shared, out);
        }
    }
}

impl OpenWindow {
    /// Takes over what a window that lay apart has of some rules; here there is nothing of them.
    pub(super) fn join(
        &mut self,
        mut past: Self,
        rules: &[u32],
        shared: &mut Shared,
        out: &mut Vec<Effect>,
    ) {
        let before = self.bytes();
        self.renumber_if_worn();
        self.join_base(&mut past, rules);
        self.last_event = self.last_event.max(past.last_event);
        let waiting = std::mem::take(&mut past.waiting);
        for (index, waiting) in waiting.into_iter().enumerate() {
            self.join_waiting(waiting, past.state.kept.get(past.ordinal(index)), shared);
        }
        self.limit(shared, out);
        shared.count_bytes(before, self);
        self.say(rules, shared, out);
    }

    /// Nothing of it is wanted any more but that it is there: an action of it may belong to somebody.
    fn clear(&mut self) {
        self.waiting.clear();
        self.ahead.clear();
        self.tried = None;
        self.state.clear();
    }

    /// The window that lay apart is the only one of its key.
    pub(super) fn joined(&mut self, rules: &[u32], shared: &mut Shared, out: &mut Vec<Effect>) {
        self.scheduled = None;
        shared.count_open(self);
        self.say(rules, shared, out);
    }

    /// Says what the rules make of the events that wait and of deadlines, before that is final. Those
    /// for which nothing waits have nothing to say.
    fn say(&mut self, rules: &[u32], shared: &mut Shared, out: &mut Vec<Effect>) {
        let hits = self.waiting.iter().flat_map(|waiting| &waiting.hits);
        let mut asked: Vec<u32> = hits.map(|hit| hit.rule_number()).collect();
        asked.sort_unstable();
        asked.dedup();
        let is_held = |rule: u32| self.state.base().is_some_and(|base| base.is_held(rule));
        let waits = |rule: u32| asked.binary_search(&rule).is_ok() || is_held(rule);
        let waiting: Vec<u32> = rules.iter().copied().filter(|rule| waits(*rule)).collect();
        waiting.into_iter().for_each(|rule| self.touch(rule, shared));
        self.end_epoch(shared, out);
    }

    /// What is under way behind the horizon; the events that it names stand before those that wait.
    fn join_base(&mut self, past: &mut Self, rules: &[u32]) {
        let Some(mut base) = past.state.late_mut().base.take() else { return };
        let named = base.named();
        let known = named.iter().map(|ordinal| past.state.kept.known(*ordinal)).collect();
        let (first, count) = self.state.kept.remember(known);
        self.shift(first, count);
        for ordinal in base.ordinals_mut() {
            let place = named.binary_search(ordinal).expect("one of those that are named");
            *ordinal = first + u32::try_from(place).expect("32 bits, as they");
        }
        let joined = self.state.late_mut().base.get_or_insert_default();
        rules.iter().for_each(|rule| joined.reset(*rule, Some(&base)));
    }

    /// An event that waits there and perhaps here.
    fn join_waiting(&mut self, past: Waiting, kept: Option<Kept<'_>>, shared: &mut Shared) {
        let Some(kept) = kept else { return };
        if self.tried.is_some_and(|tried| past.place < tried) {
            shared.stats.events_not_correctable += 1;
            return;
        }
        match self.waiting.binary_search_by_key(&past.place, |waiting| waiting.place) {
            Ok(index) => {
                let hits = &mut self.waiting[index].hits;
                hits.extend(past.hits);
                hits.sort_unstable();
            }
            Err(index) => {
                let ordinal = self.ordinal(index);
                self.state.kept.insert(ordinal, kept.bytes, kept.seq, &kept.identity);
                self.shift(ordinal, 1);
                self.waiting.insert(index, past);
                shared.stats.events_waiting += 1;
            }
        }
    }
}
