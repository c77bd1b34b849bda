//! What is to stand in the log of calls, until it does.

use beckon_engine::model::Delivery;
use std::collections::BTreeMap;

/// Records that wait for the log. Over it the oldest is given up, counted: the log takes nothing then.
pub(in crate::webhook) const RECORDS_MAX: usize = 10_000;

/// Records by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    /// Each with whether the log was given it.
    waiting: BTreeMap<u64, (Delivery, bool)>,
    next: u64,
    unasked: usize,
    lost: u64,
}

impl Records {
    pub(super) fn add(&mut self, delivery: Delivery) {
        self.waiting.insert(self.next, (delivery, false));
        (self.next, self.unasked) = (self.next + 1, self.unasked + 1);
        if self.waiting.len() > RECORDS_MAX
            && let Some((_, (_, is_asked))) = self.waiting.pop_first()
        {
            self.lost += 1;
            self.unasked -= usize::from(!is_asked);
        }
    }

    pub(super) fn give(&mut self) -> Vec<(u64, Delivery)> {
        if self.unasked == 0 {
            return Vec::new();
        }
        self.unasked = 0;
        let unasked = self.waiting.iter_mut().filter(|(_, (_, is_asked))| !is_asked);
        let given = unasked.map(|(number, (delivery, is_asked))| {
            *is_asked = true;
            (*number, delivery.clone())
        });
        given.collect()
    }

    pub(super) fn answered(&mut self, numbers: impl Iterator<Item = u64>, is_taken: bool) {
        for number in numbers {
            if is_taken {
                self.waiting.remove(&number);
            } else if let Some((_, is_asked)) = self.waiting.get_mut(&number) {
                self.unasked += usize::from(std::mem::replace(is_asked, false));
            }
        }
    }

    /// All that does not stand in the log for sure.
    pub(super) fn all(&self) -> impl Iterator<Item = &Delivery> {
        self.waiting.values().map(|(delivery, _)| delivery)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost
    }
}
