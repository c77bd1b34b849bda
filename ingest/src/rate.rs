//! How many requests a second a key or an address may send: a token bucket for each.
//!
//! A bucket holds up to two seconds' worth of requests and fills by the clock. Addresses are
//! strangers, so their table is bounded: when the young generation is full it becomes the old one,
//! and an address that was idle for a whole generation starts anew, with a full bucket. An attacker
//! with `addresses_max` addresses can therefore not use more memory, only more buckets.

use beckon_engine::model::ServerTimeMs;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

const BURST_SECONDS: i64 = 2;

/// Thousandths of a request, so that a bucket fills by whole numbers each millisecond.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    millis: i64,
    filled: ServerTimeMs,
}

impl Bucket {
    /// Takes one request; says whether there was one.
    fn take(&mut self, per_second: u32, now: ServerTimeMs) -> bool {
        let full = i64::from(per_second) * 1_000 * BURST_SECONDS;
        let passed_ms = now.0.saturating_sub(self.filled.0).clamp(0, BURST_SECONDS * 1_000);
        self.millis = (self.millis + passed_ms * i64::from(per_second)).min(full);
        self.filled = now;
        let there = self.millis >= 1_000;
        if there {
            self.millis -= 1_000;
        }
        there
    }
}

#[derive(Debug)]
struct Generations<K> {
    young: HashMap<K, Bucket>,
    old: HashMap<K, Bucket>,
    forgotten: u64,
}

/// The buckets of one kind of sender.
#[derive(Debug)]
pub struct Rates<K> {
    per_second: u32,
    senders_max: usize,
    generations: Mutex<Generations<K>>,
}

impl<K: Eq + Hash> Rates<K> {
    /// Buckets of `per_second` requests (0: no limit) for up to twice `senders_max` senders.
    #[must_use]
    pub fn new(per_second: u32, senders_max: usize) -> Self {
        let generations = Generations { young: HashMap::new(), old: HashMap::new(), forgotten: 0 };
        Self { per_second, senders_max, generations: Mutex::new(generations) }
    }

    /// Whether `sender` may send one more request now.
    pub fn take(&self, sender: K, now: ServerTimeMs) -> bool {
        if self.per_second == 0 {
            return true;
        }
        // A poisoned table is still a table: the worst is one uncounted request.
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = generations.young.get_mut(&sender) {
            return bucket.take(self.per_second, now);
        }
        let full = i64::from(self.per_second) * 1_000 * BURST_SECONDS;
        let fresh = Bucket { millis: full, filled: now };
        let mut bucket = generations.old.remove(&sender).unwrap_or(fresh);
        let taken = bucket.take(self.per_second, now);
        if generations.young.len() >= self.senders_max {
            generations.forgotten += generations.old.len() as u64;
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(sender, bucket);
        taken
    }

    /// Senders that are remembered.
    pub fn len(&self) -> usize {
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.young.len() + generations.old.len()
    }

    /// Senders that were forgotten because the table was full.
    pub fn forgotten(&self) -> u64 {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner).forgotten
    }

    /// Whether no sender is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What counts as one sender: an IPv4 address, or the /64 that one IPv6 household has.
#[must_use]
pub fn sender_of(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(u32::from(address)),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            // The highest bit keeps prefixes apart from IPv4 addresses.
            [a, b, c, d].iter().fold(0, |sum, part| sum << 16 | u64::from(*part)) | 1 << 63
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> ServerTimeMs {
        ServerTimeMs(1_700_000_000_000 + ms)
    }

    #[test]
    fn a_burst_is_two_seconds_worth_and_then_the_rate_holds() {
        let rates = Rates::new(10, 8);
        let burst = (0..100).filter(|_| rates.take(1, at(0))).count();
        assert_eq!(burst, 20);
        assert!(!rates.take(1, at(99)));
        assert!(rates.take(1, at(100)));
        assert!(!rates.take(1, at(100)));
        assert!(rates.take(2, at(100)), "others are not touched");
        let later = (0..100).filter(|_| rates.take(1, at(3_600_000))).count();
        assert_eq!(later, 20, "an hour fills no more than the bucket");
    }

    #[test]
    fn zero_is_no_limit() {
        let rates = Rates::new(0, 1);
        assert!((0..1_000).all(|_| rates.take(1, at(0))));
        assert!(rates.is_empty());
    }

    #[test]
    fn strangers_do_not_grow_the_table() {
        let rates = Rates::new(1, 16);
        for sender in 0..32 {
            rates.take(sender, at(0));
        }
        assert_eq!((rates.len(), rates.forgotten()), (32, 0));
        rates.take(32, at(0));
        assert_eq!((rates.len(), rates.forgotten()), (17, 16));
        for sender in 0..10_000 {
            rates.take(sender, at(0));
            rates.take(0, at(0));
        }
        assert!(rates.len() <= 32);
        assert!(!rates.take(0, at(0)), "who stays is not forgotten");
    }

    #[test]
    fn a_household_is_one_sender() {
        let sender = |text: &str| sender_of(text.parse().expect("an address"));
        assert_eq!(sender("2001:db8::1"), sender("2001:db8::ffff:2"));
        assert_ne!(sender("2001:db8::1"), sender("2001:db8:0:1::1"));
        assert_eq!(sender("::ffff:192.0.2.1"), sender("192.0.2.1"));
        assert_ne!(sender("::1"), sender("0.0.0.1"));
    }
}
