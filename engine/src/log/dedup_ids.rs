//! The ids of events as digests and recovery hand them on, before they are an index.

use super::dedup::index;
use crate::model::ServerTimeMs;

/// Keys of one run at least, but for the last.
pub(super) const RUN_KEYS_MIN: u32 = 16;

/// Keys in the order in which they were appended, and when they came: to within a few keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DedupIds {
    keys: Vec<u128>,
    /// So many keys, and when the first of them came.
    runs: Vec<(u32, ServerTimeMs)>,
}

impl DedupIds {
    /// Appends a key.
    pub fn push(&mut self, key: u128, now: ServerTimeMs) {
        self.keys.push(key);
        match self.runs.last_mut() {
            Some((keys, time)) if *time == now || *keys < RUN_KEYS_MIN => *keys += 1,
            _ => self.runs.push((1, now)),
        }
    }

    pub(super) fn keys(&self) -> &[u128] {
        &self.keys
    }

    pub(super) fn runs(&self) -> &[(u32, ServerTimeMs)] {
        &self.runs
    }

    /// Room for so many keys.
    pub(super) fn reserve(&mut self, keys: usize) {
        self.keys.reserve_exact(keys);
    }

    /// Appends a key whose run is still to come.
    pub(super) fn push_key(&mut self, key: u128) {
        self.keys.push(key);
    }

    /// Appends the runs of the keys that were appended without, if they are those keys'.
    #[must_use]
    pub(super) fn push_runs(&mut self, runs: Vec<(u32, ServerTimeMs)>) -> bool {
        let before = self.runs.len();
        self.runs.extend(runs);
        let are_theirs =
            self.runs.iter().map(|(keys, _)| index(*keys)).sum::<usize>() == self.keys.len();
        if !are_theirs {
            self.runs.truncate(before);
        }
        are_theirs
    }

    /// Takes away keys that were appended without their run.
    pub(super) fn truncate_keys(&mut self, keys: usize) {
        self.keys.truncate(keys);
    }

    pub(super) fn append(&mut self, other: &Self) {
        self.keys.extend_from_slice(&other.keys);
        self.runs.extend_from_slice(&other.runs);
    }

    pub(super) fn keep_last(&mut self, keys: usize) {
        let gone = self.keys.len().saturating_sub(keys);
        if gone == 0 {
            return;
        }
        self.keys.drain(..gone);
        self.shorten_runs(0..gone);
    }

    /// The keys alone.
    pub(super) fn into_keys(self) -> Vec<u128> {
        self.keys
    }

    /// Takes out the keys at these places, which ascend.
    pub(super) fn remove(&mut self, places: &[u32]) {
        let mut gone = places.iter().map(|at| index(*at)).peekable();
        let mut at = 0;
        self.keys.retain(|_| {
            let is_gone = gone.next_if_eq(&at).is_some();
            at += 1;
            !is_gone
        });
        self.shorten_runs(places.iter().map(|at| index(*at)));
    }

    fn shorten_runs(&mut self, places: impl Iterator<Item = usize>) {
        let mut places = places.peekable();
        let mut end = 0;
        for (keys, _) in &mut self.runs {
            end += index(*keys);
            while places.next_if(|at| *at < end).is_some() {
                *keys -= 1;
            }
        }
        self.runs.retain(|(keys, _)| *keys > 0);
    }
}
