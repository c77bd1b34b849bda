//! Which events the log has seen: the last `dedup_ids_max` keys of 128 bits, oldest out first.
//!
//! Keys stand in a ring in the order they came; tables of ring positions (4 bytes, and 1 of
//! hashbrown's) find them. That is 16 bytes for the key and 6 to 12 for finding it, 22 to 28 bytes
//! an id, at most 560 MB for 20 million; a set of keys beside a queue of keys takes 35 to 55.
//! There are 256 tables, by a byte of the key, so that a table that grows moves its own few
//! thousand positions and never all of them at once.
//!
//! Nothing of it is on disk of its own: recovery reads every record anyway, and inserts the keys
//! in the order in which they were inserted before.

use crate::model::{EventId, Id, ServerTimeMs};
use hashbrown::HashTable;
use std::collections::VecDeque;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

/// Tables that the keys are spread over, one for each value of a byte.
const TABLES: usize = 256;
/// Times that are kept to say how old the oldest key is.
const TIMES: usize = 1024;

/// The key of an event: XXH3 of 128 bits over its id, seeded by the XXH3 of its site.
///
/// Not a secret hash: who makes two of its own events collide loses the second of them.
#[must_use]
pub fn dedup_key(site: &str, id: &EventId) -> u128 {
    match &id.0 {
        Id::Bits(bits) => {
            xxh3_128_with_seed(&bits.to_le_bytes(), xxh3_64_with_seed(site.as_bytes(), 0))
        }
        Id::Text(text) => {
            xxh3_128_with_seed(text.as_bytes(), xxh3_64_with_seed(site.as_bytes(), 1))
        }
    }
}

/// The keys that are held.
#[derive(Debug)]
pub struct DedupIndex {
    keys: Vec<u128>,
    /// Where the next key goes once `keys` is full; the oldest is there.
    oldest: usize,
    keys_max: usize,
    tables: Vec<HashTable<u32>>,
    inserted: u64,
    /// When some of the keys came: (keys inserted before, time), ascending.
    times: VecDeque<(u64, ServerTimeMs)>,
}

impl DedupIndex {
    /// An empty index of at most `keys_max` keys (at least one, at most 2^32 - 1).
    #[must_use]
    pub fn new(keys_max: usize) -> Self {
        Self {
            keys: Vec::new(),
            oldest: 0,
            keys_max: keys_max.clamp(1, usize::try_from(u32::MAX).unwrap_or(usize::MAX)),
            tables: (0..TABLES).map(|_| HashTable::new()).collect(),
            inserted: 0,
            times: VecDeque::new(),
        }
    }

    /// Inserts a key; `false` when it is held already.
    pub fn insert(&mut self, key: u128, now: ServerTimeMs) -> bool {
        let keys = &self.keys;
        let table = &self.tables[table_of(key)];
        if table.find(hash_of(key), |at| keys[index(*at)] == key).is_some() {
            return false;
        }
        let at = if self.keys.len() < self.keys_max {
            self.keys.push(key);
            self.keys.len() - 1
        } else {
            self.replace_oldest(key)
        };
        let at = u32::try_from(at).expect("keys_max fits 32 bits");
        let keys = &self.keys;
        let table = &mut self.tables[table_of(key)];
        table.insert_unique(hash_of(key), at, |at| hash_of(keys[index(*at)]));
        self.note_time(now);
        true
    }

    /// Keys held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.keys.len()
    }

    /// How long ago the oldest key came, to within a thousandth of what is held.
    #[must_use]
    pub fn window_ms(&self, now: ServerTimeMs) -> u64 {
        let oldest = self.times.front().map_or(now, |(_, time)| *time);
        u64::try_from(now.0.saturating_sub(oldest.0)).unwrap_or(0)
    }

    fn replace_oldest(&mut self, key: u128) -> usize {
        let at = self.oldest;
        self.oldest = (at + 1) % self.keys_max;
        let gone = std::mem::replace(&mut self.keys[at], key);
        let found = self.tables[table_of(gone)].find_entry(hash_of(gone), |it| index(*it) == at);
        found.expect("a key that is held stands in its table").remove();
        at
    }

    fn note_time(&mut self, now: ServerTimeMs) {
        let step = self.keys_max / TIMES + 1;
        if self.inserted.is_multiple_of(step as u64) {
            self.times.push_back((self.inserted, now));
        }
        self.inserted += 1;
        let gone = self.inserted - self.keys.len() as u64;
        while self.times.get(1).is_some_and(|(inserted, _)| *inserted <= gone) {
            self.times.pop_front();
        }
    }
}

fn table_of(key: u128) -> usize {
    usize::from(key.to_le_bytes()[8])
}

fn hash_of(key: u128) -> u64 {
    let [low @ .., _, _, _, _, _, _, _, _] = key.to_le_bytes();
    u64::from_le_bytes(low)
}

fn index(at: u32) -> usize {
    usize::try_from(at).expect("32 bits fit a usize")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(number: u64) -> EventId {
        EventId(Id::Bits(number.into()))
    }

    #[test]
    fn keys_tell_sites_and_kinds_of_ids_apart() {
        let text = |text: &str| EventId(Id::Text(text.into()));
        let zero_bits_as_text = text(&"\0".repeat(16));
        let keys = [
            dedup_key("a", &bits(0)),
            dedup_key("b", &bits(0)),
            dedup_key("a", &bits(1)),
            dedup_key("a", &zero_bits_as_text),
            dedup_key("a", &text("0")),
            dedup_key("b", &text("0")),
        ];
        let different = keys.iter().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(different.len(), keys.len());
    }

    #[test]
    fn at_the_bound_the_oldest_goes_first() {
        let mut index = DedupIndex::new(3);
        let key = |number| dedup_key("shop", &bits(number));
        let now = ServerTimeMs(0);
        for number in 0..3 {
            assert!(index.insert(key(number), now));
        }
        assert!(!index.insert(key(0), now), "three fit");
        assert!(index.insert(key(3), now), "0 goes");
        assert!(!index.insert(key(1), now));
        assert!(index.insert(key(0), now), "1 goes");
        assert!(index.insert(key(1), now), "2 goes");
        assert_eq!(index.held(), 3);
    }

    #[test]
    fn keys_of_one_hash_are_told_apart() {
        let now = ServerTimeMs(0);
        let mut index = DedupIndex::new(3);
        let keys = (1..=20_u128).map(|high| high << 72).collect::<Vec<_>>();
        assert!(keys.iter().all(|key| (table_of(*key), hash_of(*key)) == (0, 0)));
        for (newest, key) in keys.iter().enumerate() {
            assert!(index.insert(*key, now), "{key:x} is new");
            for held in &keys[newest.saturating_sub(2)..=newest] {
                assert!(!index.insert(*held, now), "{held:x} is held");
            }
        }
    }

    #[test]
    fn at_least_one_key_is_held() {
        let mut index = DedupIndex::new(0);
        let inserted = [1, 1, 2, 2, 1].map(|key| index.insert(key, ServerTimeMs(0)));
        assert_eq!(inserted, [true, false, true, false, true]);
        assert_eq!(index.held(), 1);
    }

    #[test]
    fn it_does_as_a_plain_queue_does() {
        const KEYS_MAX: usize = 1_000;
        let mut index = DedupIndex::new(KEYS_MAX);
        let mut plain = VecDeque::new();
        for number in 0..20_000_u64 {
            let key = dedup_key("shop", &bits(number * number % 2_003));
            let is_new = !plain.contains(&key);
            assert_eq!(index.insert(key, ServerTimeMs(0)), is_new, "insertion {number}");
            if is_new {
                plain.push_back(key);
                if plain.len() > KEYS_MAX {
                    plain.pop_front();
                }
            }
        }
        let positions = index.tables.iter().map(HashTable::len).sum::<usize>();
        assert_eq!(positions, KEYS_MAX, "a position for each key");
    }

    #[test]
    fn the_window_is_the_age_of_the_oldest_key() {
        let mut index = DedupIndex::new(10_000);
        for number in 0..30_000_u64 {
            let now = ServerTimeMs(i64::try_from(number).expect("small"));
            index.insert(dedup_key("shop", &bits(number)), now);
            assert!(index.times.len() <= TIMES + 2, "{} times", index.times.len());
            let age_ms = number.min(9_999);
            let window_ms = index.window_ms(now);
            assert!((age_ms..age_ms + 10).contains(&window_ms), "{window_ms} at {number}");
        }
    }
}
