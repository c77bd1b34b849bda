//! The visitors of one virtual partition, as many as it may remember.

use super::visitor::{Visitor, VisitorKey};
use super::{DAY_MS, News, SuppressStats, Turn};
use crate::model::{ActionRow, ServerTimeMs};
use crate::snapshot::{Unreadable, decode, encode};
use std::collections::BTreeMap;

/// Visitors that one sweep looks at.
const SWEEP_MAX: usize = 256;

#[derive(Clone, Debug, Default)]
pub(super) struct Partition {
    visitors: BTreeMap<VisitorKey, Remembered>,
    /// The first was heard of longest ago.
    by_place: BTreeMap<u64, VisitorKey>,
    next_place: u64,
    /// Those before this place were swept: what they have left is for ever.
    swept: u64,
    visitors_forgotten: u64,
    decisions_forgotten: u64,
}

#[derive(Clone, Debug)]
struct Remembered {
    place: u64,
    /// When it was heard of last, in log time.
    heard: ServerTimeMs,
    visitor: Visitor,
}

impl Partition {
    /// Decides one visitor's facts of one epoch. Without facts nobody is remembered who was not.
    pub(super) fn decide(
        &mut self,
        turn: Turn<'_>,
        key: VisitorKey,
        News { mut spans, facts }: News,
        rows: &mut Vec<ActionRow>,
    ) {
        if facts.is_empty() && !self.visitors.contains_key(&key) {
            return;
        }
        let place = self.next_place;
        self.next_place += 1;
        let mut visitor = match self.visitors.remove(&key) {
            Some(Remembered { place, visitor, .. }) => {
                self.by_place.remove(&place);
                visitor
            }
            None => Visitor::default(),
        };
        spans.sort_unstable();
        for span in spans {
            let is_forgotten = visitor.was_there(span, turn.setup.config.window_memory_ms);
            self.visitors_forgotten += u64::from(is_forgotten);
        }
        self.decisions_forgotten += visitor.epoch(turn, &key, facts, rows);
        self.by_place.insert(place, key.clone());
        self.visitors.insert(key, Remembered { place, heard: turn.now, visitor });
        while self.visitors.len() > turn.setup.config.partition_visitors_max()
            && let Some((_, oldest)) = self.by_place.pop_first()
        {
            self.visitors.remove(&oldest);
            self.visitors_forgotten += 1;
        }
    }

    /// Frees what is left of visitors who were not there for `window_memory_ms`. A day longer, so that
    /// no event can come from before the end of that; the order in which they were heard of tells whom.
    pub(super) fn sweep(&mut self, turn: Turn<'_>) {
        let memory_ms = turn.setup.config.window_memory_ms.saturating_add(DAY_MS);
        for _ in 0..SWEEP_MAX {
            let Some((place, key)) = self.by_place.range(self.swept..).next() else { return };
            let Some(Remembered { heard, visitor, .. }) = self.visitors.get_mut(key) else {
                return;
            };
            if turn.age_ms(*heard) <= memory_ms {
                return;
            }
            let place = *place;
            self.swept = place + 1;
            self.visitors_forgotten += 1;
            visitor.free(turn);
            if visitor.is_empty()
                && let Some(key) = self.by_place.remove(&place)
            {
                self.visitors.remove(&key);
            }
        }
    }

    /// Appends how many were swept, and its visitors, the one heard of longest ago first.
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        let swept = self.by_place.range(..self.swept).count() as u64;
        let visitors: Vec<(&VisitorKey, ServerTimeMs, &Visitor)> = self
            .by_place
            .values()
            .filter_map(|key| {
                let Remembered { heard, visitor, .. } = self.visitors.get(key)?;
                Some((key, *heard, visitor))
            })
            .collect();
        encode(&(swept, visitors), out);
    }

    /// A partition as it was saved.
    pub(super) fn restore(bytes: &[u8]) -> Result<Self, Unreadable> {
        let (swept, visitors): (u64, Vec<(VisitorKey, ServerTimeMs, Visitor)>) = decode(bytes)?;
        let mut partition = Self { swept, ..Self::default() };
        for ((key, heard, visitor), place) in visitors.into_iter().zip(0..) {
            partition.by_place.insert(place, key.clone());
            partition.visitors.insert(key, Remembered { place, heard, visitor });
            partition.next_place = place + 1;
        }
        Ok(partition)
    }

    pub(super) fn stats(&self) -> SuppressStats {
        SuppressStats {
            visitors: self.visitors.len() as u64,
            visitors_forgotten: self.visitors_forgotten,
            decisions_forgotten: self.decisions_forgotten,
        }
    }
}
