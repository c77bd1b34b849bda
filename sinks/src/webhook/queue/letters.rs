//! Calls that were given up: kept to be replayed, the oldest out where there are too many.

use super::call::Call;
use beckon_engine::model::{MessageId, ServerTimeMs};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A call that is not made any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::webhook) struct Letter {
    pub(in crate::webhook) call: Call,
    /// Why, in a word.
    pub(in crate::webhook) reason: Arc<str>,
    /// Since when.
    pub(in crate::webhook) at: ServerTimeMs,
}

/// Dead letters in the order in which they came.
#[derive(Clone, Debug)]
pub(in crate::webhook) struct Letters {
    letters: BTreeMap<u64, Letter>,
    places: BTreeMap<MessageId, u64>,
    next: u64,
    bytes: usize,
    letters_max: usize,
    bytes_max: usize,
    dropped: u64,
}

impl Letters {
    pub(super) fn new(letters_max: usize, bytes_max: usize) -> Self {
        Self {
            letters: BTreeMap::new(),
            places: BTreeMap::new(),
            next: 1,
            bytes: 0,
            letters_max,
            bytes_max,
            dropped: 0,
        }
    }

    pub(super) fn add(&mut self, letter: Letter) {
        self.take(letter.call.id);
        self.bytes += letter.call.bytes();
        self.places.insert(letter.call.id, self.next);
        self.letters.insert(self.next, letter);
        self.next += 1;
        while (self.letters.len() > self.letters_max || self.bytes > self.bytes_max)
            && let Some((_, oldest)) = self.letters.pop_first()
        {
            self.places.remove(&oldest.call.id);
            self.bytes -= oldest.call.bytes();
            self.dropped += 1;
        }
    }

    /// Forgets those that are dead since before then.
    pub(super) fn forget(&mut self, before: ServerTimeMs) {
        while let Some(oldest) = self.letters.first_entry().filter(|it| it.get().at < before) {
            let oldest = oldest.remove();
            self.places.remove(&oldest.call.id);
            self.bytes -= oldest.call.bytes();
            self.dropped += 1;
        }
    }

    pub(super) fn take(&mut self, id: MessageId) -> Option<Letter> {
        let letter = self.letters.remove(&self.places.remove(&id)?)?;
        self.bytes -= letter.call.bytes();
        Some(letter)
    }

    pub(super) fn has(&self, id: MessageId) -> bool {
        self.places.contains_key(&id)
    }

    pub(super) fn of(&self, id: MessageId) -> Option<&Letter> {
        self.letters.get(self.places.get(&id)?)
    }

    /// Those behind a place, oldest first, each with its place.
    pub(in crate::webhook) fn after(&self, place: u64) -> impl Iterator<Item = (u64, &Letter)> {
        let from = place.saturating_add(1);
        self.letters.range(from..).map(|(place, letter)| (*place, letter))
    }

    pub(in crate::webhook) fn len(&self) -> usize {
        self.letters.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}
