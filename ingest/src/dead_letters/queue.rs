//! The letters that wait for the writer: bounded, and fair to the keys.
//!
//! Whoever holds a public key can send rubbish faster than a disk takes it. When the queue is full,
//! the key with the most letters in it loses its newest one. So a key that has fewer than its share
//! waiting loses nothing to a flood under another.

use super::letter::NewLetter;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A queue of at most `letters_max`.
#[derive(Debug)]
pub(super) struct FairQueue {
    letters_max: usize,
    letters: VecDeque<NewLetter>,
    by_key: BTreeMap<Arc<str>, usize>,
}

impl FairQueue {
    pub(super) fn new(letters_max: usize) -> Self {
        Self { letters_max, letters: VecDeque::new(), by_key: BTreeMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.letters.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// Takes a letter in; gives how many were lost for it, this one or another: 0 or 1.
    pub(super) fn push(&mut self, letter: NewLetter) -> u64 {
        let own = self.by_key.get(&letter.key).copied().unwrap_or(0);
        let lost = u64::from(self.letters.len() >= self.letters_max);
        if lost > 0 {
            let most = self.by_key.iter().max_by_key(|(_, count)| **count);
            match most.map(|(key, count)| (key.clone(), *count)) {
                Some((key, count)) if count > own + 1 => self.drop_newest_of(&key),
                _ => return lost,
            }
        }
        *self.by_key.entry(letter.key.clone()).or_default() += 1;
        self.letters.push_back(letter);
        lost
    }

    fn drop_newest_of(&mut self, key: &str) {
        if let Some(at) = self.letters.iter().rposition(|letter| &*letter.key == key) {
            self.letters.remove(at);
        }
        if let Some(count) = self.by_key.get_mut(key) {
            *count = count.saturating_sub(1);
        }
    }

    /// All that waits, oldest first.
    pub(super) fn take(&mut self) -> VecDeque<NewLetter> {
        self.by_key.clear();
        std::mem::take(&mut self.letters)
    }
}
