//! Which events the log has seen: the last `dedup_ids_max` keys of 128 bits, oldest out first.
//!
//! Keys stand in a ring in the order they came; tables of ring positions (4 bytes, and 1 of
//! hashbrown's) find them. That is 16 bytes for the key and 6 to 12 for finding it, 22 to 28 bytes
//! an id, at most 560 MB for 20 million; a set of keys beside a queue of keys takes 35 to 55.
//! There are 256 tables, by a byte of the key, so that a table that grows moves its own few
//! thousand positions and never all of them at once.
//!
//! Recovery gets the keys in the order in which they were appended ([`DedupIds`], of digests and of
//! segments that were read), takes the last `dedup_ids_max` of them, and fills the tables on two
//! threads. A key that was appended twice (with fewer ids held than now) is held where it came last.

use super::dedup_ids::DedupIds;
use crate::model::{EventId, Id, ServerTimeMs};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::collections::VecDeque;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

/// Tables that the keys are spread over, one for each value of a byte.
const TABLES: usize = 256;
/// Times that are kept to say how old the oldest key is.
const TIMES: usize = 1024;

/// Keys that are sorted by table at once, with 16 bytes each: so many that what is touched of one
/// table stays in the cache.
const BLOCK_KEYS: usize = 1 << 22;
/// With fewer keys a second thread costs more than it saves.
const SHARED_KEYS_MIN: usize = 1 << 16;

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

    /// An index of the last of `ids`.
    #[must_use]
    pub fn of(keys_max: usize, mut ids: DedupIds) -> Self {
        let mut index = Self::new(keys_max);
        ids.keep_last(index.keys_max);
        loop {
            let twice = index.fill(ids.keys());
            if twice.is_empty() {
                break;
            }
            ids.remove(&twice);
        }
        let step = index.time_step();
        let mut end = 0;
        for (keys, time) in ids.runs() {
            let start = end;
            end += u64::from(*keys);
            let mut noted = start.next_multiple_of(step);
            while noted < end {
                index.times.push_back((noted, *time));
                noted += step;
            }
        }
        index.inserted = ids.keys().len() as u64;
        index.keys = ids.into_keys();
        index
    }

    /// Fills new tables; gives the places of keys that come again later.
    fn fill(&mut self, keys: &[u128]) -> Vec<u32> {
        self.tables = (0..TABLES).map(|_| HashTable::new()).collect();
        let (low, high) = self.tables.split_at_mut(TABLES / 2);
        if keys.len() < SHARED_KEYS_MIN {
            let mut twice = fill_tables(low, 0, keys);
            twice.extend(fill_tables(high, TABLES / 2, keys));
            twice.sort_unstable();
            return twice;
        }
        std::thread::scope(|scope| {
            let other = scope.spawn(|| fill_tables(low, 0, keys));
            let mut twice = fill_tables(high, TABLES / 2, keys);
            twice.extend(other.join().expect("it does not panic"));
            twice.sort_unstable();
            twice
        })
    }

    fn time_step(&self) -> u64 {
        (self.keys_max / TIMES + 1) as u64
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
        if self.inserted.is_multiple_of(self.time_step()) {
            self.times.push_back((self.inserted, now));
        }
        self.inserted += 1;
        let gone = self.inserted - self.keys.len() as u64;
        while self.times.get(1).is_some_and(|(inserted, _)| *inserted <= gone) {
            self.times.pop_front();
        }
    }
}

/// Fills the tables from number `first` on with the places of their keys; gives those of keys that
/// come again later.
///
/// The keys come in blocks, and each block goes table by table: in the order of the keys each
/// insertion would be at another place of 100 MB.
fn fill_tables(tables: &mut [HashTable<u32>], first: usize, keys: &[u128]) -> Vec<u32> {
    let hash_at = |at: &u32| hash_of(keys[index(*at)]);
    let mut sorted = TableOrder { first, starts: vec![0; tables.len() + 1], places: Vec::new() };
    sorted.count(keys);
    for (table, keys) in tables.iter_mut().zip(sorted.lengths()) {
        table.reserve(keys, hash_at);
    }
    let mut twice = Vec::new();
    for (number, block) in keys.chunks(BLOCK_KEYS).enumerate() {
        sorted.sort(number * BLOCK_KEYS, block);
        for (table, places) in tables.iter_mut().zip(sorted.by_table()) {
            for (hash, at) in places {
                let is_same = |held: &u32| keys[index(*held)] == keys[index(*at)];
                match table.entry(*hash, is_same, hash_at) {
                    Entry::Vacant(vacant) => {
                        vacant.insert(*at);
                    }
                    Entry::Occupied(mut held) => {
                        twice.push(std::mem::replace(held.get_mut(), *at));
                    }
                }
            }
        }
    }
    twice
}

/// The hashes and places of keys by their table (a counting sort), of the tables from `first` on.
struct TableOrder {
    first: usize,
    /// Where each table's places start, and where the last one's end.
    starts: Vec<usize>,
    places: Vec<(u64, u32)>,
}

impl TableOrder {
    fn table(&self, key: u128) -> Option<usize> {
        table_of(key).checked_sub(self.first).filter(|table| *table + 1 < self.starts.len())
    }

    /// Sets the starts.
    fn count(&mut self, keys: &[u128]) {
        let mut counts = [0; TABLES];
        keys.iter().for_each(|key| counts[table_of(*key)] += 1);
        let mut end = 0;
        self.starts[0] = 0;
        for (start, count) in self.starts[1..].iter_mut().zip(&counts[self.first..]) {
            end += count;
            *start = end;
        }
    }

    /// Takes the place of the block before: `keys` from place `offset` on.
    fn sort(&mut self, offset: usize, keys: &[u128]) {
        self.count(keys);
        self.places.resize(self.starts[self.starts.len() - 1], (0, 0));
        let mut next = self.starts.clone();
        for (at, key) in keys.iter().enumerate() {
            if let Some(table) = self.table(*key) {
                let place = u32::try_from(offset + at).expect("keys_max fits 32 bits");
                self.places[next[table]] = (hash_of(*key), place);
                next[table] += 1;
            }
        }
    }

    fn lengths(&self) -> impl Iterator<Item = usize> {
        self.starts.windows(2).map(|ends| ends[1] - ends[0])
    }

    fn by_table(&self) -> impl Iterator<Item = &[(u64, u32)]> {
        self.starts.windows(2).map(|ends| &self.places[ends[0]..ends[1]])
    }
}

fn table_of(key: u128) -> usize {
    usize::from(key.to_le_bytes()[8])
}

fn hash_of(key: u128) -> u64 {
    let [low @ .., _, _, _, _, _, _, _, _] = key.to_le_bytes();
    u64::from_le_bytes(low)
}

pub(super) fn index(at: u32) -> usize {
    usize::try_from(at).expect("32 bits fit a usize")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::dedup_ids::RUN_KEYS_MIN;

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

    /// Times that tell which key it was, some of them equal.
    fn time_of(number: u64) -> ServerTimeMs {
        ServerTimeMs(i64::try_from(number / 7 * 7).expect("small"))
    }

    #[test]
    fn an_index_of_many_keys_is_as_if_they_had_been_inserted() {
        for keys in [0, 1, 999, 1_000, 1_001, 5_000, 150_000] {
            for keys_max in [1, 1_000, 100_000] {
                let mut ids = DedupIds::default();
                let mut inserted = DedupIndex::new(keys_max);
                for number in 0..keys {
                    let key = dedup_key("shop", &bits(number));
                    ids.push(key, time_of(number));
                    inserted.insert(key, time_of(number));
                }
                let mut loaded = DedupIndex::of(keys_max, ids);
                assert_eq!(loaded.held(), inserted.held());
                let (at, now) = (time_of(keys), time_of(keys + 10));
                let windows = [&loaded, &inserted].map(|index| index.window_ms(at));
                let slack = (keys_max / TIMES) as u64 + u64::from(RUN_KEYS_MIN) + 7;
                assert!(windows[0].abs_diff(windows[1]) <= slack, "{windows:?} of {keys}");
                for number in (0..keys + 2_000).rev() {
                    let key = dedup_key("shop", &bits(number));
                    let is_new = inserted.insert(key, now);
                    assert_eq!(loaded.insert(key, now), is_new, "{number} of {keys}, {keys_max}");
                }
            }
        }
    }

    #[test]
    fn a_key_that_came_twice_is_held_where_it_came_last() {
        let keys_max = 100_000;
        for keys in [50, SHARED_KEYS_MIN as u64 + 50] {
            let mut ids = DedupIds::default();
            let numbers = (0..keys).chain([3, 20, 21]);
            let key = |number| dedup_key("shop", &bits(number));
            numbers.for_each(|number| ids.push(key(number), time_of(number)));
            let mut index = DedupIndex::of(keys_max, ids);
            let positions = index.tables.iter().map(HashTable::len).sum::<usize>();
            assert_eq!((index.held() as u64, positions as u64), (keys, keys));
            let room = keys_max as u64 - keys;
            for number in 0..room + 10 {
                assert!(index.insert(key(1_000_000 + number), time_of(number)), "new");
            }
            let oldest = (0..keys).filter(|number| ![3, 20, 21].contains(number)).skip(10);
            for number in oldest.chain([3, 20, 21]).collect::<Vec<_>>() {
                assert!(!index.insert(key(number), ServerTimeMs(0)), "{number} is held");
            }
            assert!(index.insert(key(0), ServerTimeMs(0)), "the oldest went first");
        }
    }

    #[test]
    fn runs_keep_to_their_keys() {
        let mut ids = DedupIds::default();
        (0..100).for_each(|number| ids.push(u128::from(number), time_of(number)));
        let all = ids.runs().iter().map(|(keys, _)| *keys).sum::<u32>();
        assert_eq!(all, 100);
        ids.remove(&[0, 1, 50, 99]);
        ids.keep_last(60);
        assert_eq!(ids.keys().len(), 60);
        assert_eq!(ids.runs().iter().map(|(keys, _)| *keys).sum::<u32>(), 60);
        let mut start = 0;
        for (keys, time) in ids.runs() {
            let first = u64::try_from(ids.keys()[start]).expect("small");
            assert!((0..=first).contains(&u64::try_from(time.0).expect("positive")));
            start += index(*keys);
        }
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
