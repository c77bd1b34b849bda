//! The visitors of one virtual partition, as many as it may remember.

use super::visitor::{Visitor, VisitorKey};
use super::{SuppressStats, Turn};
use crate::model::{ActionFact, ActionRow};
use crate::snapshot::{Unreadable, decode, encode};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub(super) struct Partition {
    visitors: BTreeMap<VisitorKey, Remembered>,
    /// In the order of their last decisions: the first waits longest.
    by_place: BTreeMap<u64, VisitorKey>,
    next_place: u64,
    visitors_forgotten: u64,
    decisions_forgotten: u64,
}

#[derive(Clone, Debug)]
struct Remembered {
    place: u64,
    visitor: Visitor,
}

impl Partition {
    /// Decides one visitor's facts of one epoch.
    pub(super) fn decide(
        &mut self,
        turn: Turn<'_>,
        key: VisitorKey,
        facts: Vec<(ActionFact, i64)>,
        rows: &mut Vec<ActionRow>,
    ) {
        let place = self.next_place;
        self.next_place += 1;
        let mut visitor = match self.visitors.remove(&key) {
            Some(Remembered { place, visitor }) => {
                self.by_place.remove(&place);
                visitor
            }
            None => Visitor::default(),
        };
        self.decisions_forgotten += visitor.epoch(turn, &key, facts, rows);
        self.by_place.insert(place, key.clone());
        self.visitors.insert(key, Remembered { place, visitor });
        while self.visitors.len() > turn.setup.config.partition_visitors_max()
            && let Some((_, oldest)) = self.by_place.pop_first()
        {
            self.visitors.remove(&oldest);
            self.visitors_forgotten += 1;
        }
    }

    /// Appends its visitors, the one that waits longest first.
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        let visitors: Vec<(&VisitorKey, &Visitor)> = self
            .by_place
            .values()
            .filter_map(|key| Some((key, &self.visitors.get(key)?.visitor)))
            .collect();
        encode(&visitors, out);
    }

    /// A partition as it was saved.
    pub(super) fn restore(bytes: &[u8]) -> Result<Self, Unreadable> {
        let visitors: Vec<(VisitorKey, Visitor)> = decode(bytes)?;
        let mut partition = Self::default();
        for ((key, visitor), place) in visitors.into_iter().zip(0..) {
            partition.by_place.insert(place, key.clone());
            partition.visitors.insert(key, Remembered { place, visitor });
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
