//! A map from names to things: fixed hash, one look-up of a few nanoseconds, no order.

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// Names and what they stand for.
#[derive(Debug)]
pub(super) struct Names<T> {
    table: HashTable<(Box<str>, T)>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { table: HashTable::new() }
    }
}

impl<T> Names<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(super) fn find(&self, name: &str) -> Option<&T> {
        self.table
            .find(xxh3_64(name.as_bytes()), |(known, _)| **known == *name)
            .map(|(_, thing)| thing)
    }

    /// The thing of a name, made if it is new.
    pub(super) fn entry(&mut self, name: &str, make: impl FnOnce() -> T) -> &mut T {
        let hash = xxh3_64(name.as_bytes());
        let entry = self.table.entry(
            hash,
            |(known, _)| **known == *name,
            |(known, _)| xxh3_64(known.as_bytes()),
        );
        &mut entry.or_insert_with(|| (name.into(), make())).into_mut().1
    }
}
