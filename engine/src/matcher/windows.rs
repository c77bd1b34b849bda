//! What is under way in one window instance: for each rule its partial matches, and whether it is
//! done there.
//!
//! One vector, sorted by (rule, step, key's hash), because a window has few partial matches of few
//! rules: a look-up is a binary search over some cache lines, a window without any costs no
//! allocation. There is one partial match for each (rule, step, key): the newest.
//!
//! A partial match without join keys or bound events is 56 bytes.

use super::held::Held;
use super::kept::Ordinal;
use super::keys::Key;
use super::waiting::Waiting;
use crate::model::{EventTimeMs, Identity, PackedEvent};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// A sequence under way: its steps up to `step` are filled.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Partial {
    rule: u32,
    step: u8,
    key_hash: u64,
    /// Timestamp of its first event.
    pub(super) first: EventTimeMs,
    /// Its events, in step order.
    pub(super) events: SmallVec<[Ordinal; 4]>,
    detail: Option<Box<Detail>>,
}

/// What only some rules need.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Detail {
    key: Box<[u8]>,
    bound: Vec<BoundEvent>,
    gap: Gap,
}

/// What a sequence with missing events remembers of one partial match.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Gap {
    /// When its last event happened.
    pub(super) last: EventTimeMs,
    /// The first event behind that one that the missing event before the next step asks for.
    pub(super) violated: Option<EventTimeMs>,
    /// A missing event was there: the match goes on, takes its events, and comes to nothing.
    pub(super) is_refused: bool,
    /// The newest event before the first one that a missing event at the start asks for.
    pub(super) leading: Option<EventTimeMs>,
}

/// An event that later steps or the action read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct BoundEvent {
    /// The step that it filled.
    pub(super) step: u8,
    /// The event.
    pub(super) event: PackedEvent,
    /// Who the visitor was at it.
    pub(super) identity: Identity,
}

impl Partial {
    /// A partial match of one event.
    pub(super) fn start(rule: u32, key: &Key, first: EventTimeMs) -> Self {
        let mut partial = Self {
            rule,
            step: 0,
            key_hash: key.hash,
            first,
            events: SmallVec::new(),
            detail: None,
        };
        if !key.bytes.is_empty() {
            partial.detail_mut().key = key.bytes.as_slice().into();
        }
        partial
    }

    /// Events that are bound.
    pub(super) fn bound(&self) -> &[BoundEvent] {
        self.detail.as_ref().map_or(&[], |detail| &detail.bound)
    }

    /// Binds the event of a step.
    pub(super) fn bind(&mut self, event: BoundEvent) {
        self.detail_mut().bound.push(event);
    }

    /// Its events in step order, and those that are bound.
    pub(super) fn into_events(self) -> (SmallVec<[Ordinal; 4]>, Vec<BoundEvent>) {
        (self.events, self.detail.map_or_else(Vec::new, |detail| detail.bound))
    }

    /// What is remembered for missing events.
    pub(super) fn gap(&self) -> Gap {
        self.detail.as_ref().map_or_else(Gap::default, |detail| detail.gap)
    }

    /// Remembers something for missing events.
    pub(super) fn gap_mut(&mut self) -> &mut Gap {
        &mut self.detail_mut().gap
    }

    fn detail_mut(&mut self) -> &mut Detail {
        self.detail.get_or_insert_default()
    }

    fn key(&self) -> &[u8] {
        self.detail.as_ref().map_or(&[], |detail| &detail.key)
    }

    fn bytes(&self) -> u64 {
        let spilled =
            if self.events.spilled() { self.events.len() * size_of::<Ordinal>() } else { 0 };
        let detail = self.detail.as_ref().map_or(0, |detail| {
            let bound: usize = detail.bound.iter().map(|event| event.event.as_bytes().len()).sum();
            size_of::<Detail>() + detail.key.len() + bound
        });
        (size_of::<Self>() + spilled + detail) as u64
    }

    fn place(&self) -> (u32, u8, u64) {
        (self.rule, self.step, self.key_hash)
    }
}

/// All rules of one window instance.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Windows {
    partials: Vec<Partial>,
    /// Rules that are done in this window, sorted.
    done: Vec<u32>,
    bytes: u64,
    waiting: Option<Box<Waiting>>,
}

impl Windows {
    /// What waits for a time, and what is under way beside partial matches, if anything is.
    pub(super) fn waiting(&self) -> Option<&Waiting> {
        self.waiting.as_deref()
    }

    /// The same, to be changed.
    pub(super) fn waiting_mut(&mut self) -> &mut Waiting {
        self.waiting.get_or_insert_default()
    }

    /// The same, if there is something.
    pub(super) fn waiting_mut_if_any(&mut self) -> Option<&mut Waiting> {
        self.waiting.as_deref_mut()
    }

    /// The earliest time that a match waits for.
    pub(super) fn first_due(&self) -> Option<EventTimeMs> {
        self.waiting.as_ref().and_then(|waiting| waiting.held.first_due())
    }

    /// Whether a match of a rule waits for a time.
    pub(super) fn is_held(&self, rule: u32) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.held.is_held(rule))
    }

    /// Takes out the matches whose time the watermark has passed, in the order in which they were
    /// decided; [`EventTimeMs::MAX`] takes all.
    pub(super) fn take_due(&mut self, watermark: EventTimeMs) -> Vec<Held> {
        self.waiting.as_mut().map_or_else(Vec::new, |waiting| waiting.held.take_due(watermark))
    }

    /// Takes out the matches that were decided before a time, in that order.
    pub(super) fn take_decided(&mut self, before: EventTimeMs) -> Vec<Held> {
        self.waiting.as_mut().map_or_else(Vec::new, |waiting| waiting.held.take_decided(before))
    }

    /// Takes out the matches that are known by now, in the order in which they were decided.
    pub(super) fn take_known(&mut self, watermark: EventTimeMs) -> Vec<Held> {
        self.waiting.as_mut().map_or_else(Vec::new, |waiting| waiting.held.take_known(watermark))
    }

    /// Forgets what is under way of a rule, and takes over what another window has of it.
    pub(super) fn reset(&mut self, rule: u32, to: Option<&Self>) {
        self.forget(rule);
        let Some(to) = to else { return };
        let range = self.range(rule);
        let partials = &to.partials[to.range(rule)];
        self.bytes += partials.iter().map(Partial::bytes).sum::<u64>();
        self.partials.splice(range, partials.iter().cloned());
        if let Some(waiting) = to.waiting.as_deref() {
            self.waiting_mut().adopt(rule, waiting);
        }
        if to.is_done(rule) {
            self.finish(rule);
        }
    }

    /// The ordinals that partial matches and samples name, to be changed in the same order.
    pub(super) fn ordinals_mut(&mut self) -> impl Iterator<Item = &mut Ordinal> {
        let partials = self.partials.iter_mut().flat_map(|partial| &mut partial.events);
        partials.chain(self.waiting.iter_mut().flat_map(|waiting| waiting.ordinals_mut()))
    }

    /// Drops the partial matches of a rule and key: `until` came.
    pub(super) fn end(&mut self, rule: u32, key: &Key) {
        let range = self.range(rule);
        let is_of_key =
            |partial: &mut Partial| partial.key_hash == key.hash && *partial.key() == *key.bytes;
        for partial in self.partials.extract_if(range, is_of_key) {
            self.bytes -= partial.bytes();
        }
    }

    /// Whether a rule is done here.
    pub(super) fn is_done(&self, rule: u32) -> bool {
        self.done.binary_search(&rule).is_ok()
    }

    /// A rule is done here; what is under way of it is dropped.
    pub(super) fn finish(&mut self, rule: u32) {
        if let Err(index) = self.done.binary_search(&rule) {
            self.done.insert(index, rule);
        }
        let range = self.range(rule);
        for partial in self.partials.drain(range) {
            self.bytes -= partial.bytes();
        }
        if let Some(waiting) = &mut self.waiting {
            waiting.finish(rule);
        }
    }

    /// Forgets a rule that is no longer deployed.
    pub(super) fn forget(&mut self, rule: u32) {
        self.finish(rule);
        if let Ok(index) = self.done.binary_search(&rule) {
            self.done.remove(index);
        }
    }

    /// The partial match of a rule that waits behind `step`.
    pub(super) fn find(&self, rule: u32, step: u8, key: &Key) -> Option<&Partial> {
        self.position(rule, step, key).ok().map(|index| &self.partials[index])
    }

    /// The same, to be changed without making it larger.
    pub(super) fn find_mut(&mut self, rule: u32, step: u8, key: &Key) -> Option<&mut Partial> {
        self.position(rule, step, key).ok().map(|index| &mut self.partials[index])
    }

    /// Takes that partial match out.
    pub(super) fn take(&mut self, rule: u32, step: u8, key: &Key) -> Option<Partial> {
        let index = self.position(rule, step, key).ok()?;
        let partial = self.partials.remove(index);
        self.bytes -= partial.bytes();
        Some(partial)
    }

    /// Puts a partial match behind `step`, in place of what waited there under its key. Returns
    /// whether another one was dropped because the rule has more than `max`.
    pub(super) fn put(&mut self, mut partial: Partial, step: u8, max: u32) -> bool {
        partial.step = step;
        self.bytes += partial.bytes();
        match self.position_of(partial.place(), partial.key()) {
            Ok(index) => {
                self.bytes -= self.partials[index].bytes();
                self.partials[index] = partial;
                false
            }
            Err(index) => {
                let rule = partial.rule;
                if self.partials.len() == self.partials.capacity() {
                    self.partials.reserve_exact(self.partials.len() / 3 + 4);
                }
                self.partials.insert(index, partial);
                self.limit(rule, max)
            }
        }
    }

    /// Drops the one whose last event is oldest if a rule has too many.
    fn limit(&mut self, rule: u32, max: u32) -> bool {
        let max = usize::try_from(max.max(1)).unwrap_or(usize::MAX);
        if self.partials.len() <= max {
            return false;
        }
        let range = self.range(rule);
        if range.len() <= max {
            return false;
        }
        let oldest = range.min_by_key(|index| (self.partials[*index].events.last(), *index));
        if let Some(index) = oldest {
            let partial = self.partials.remove(index);
            self.bytes -= partial.bytes();
        }
        true
    }

    /// Ordinals that partial matches and samples name, sorted.
    pub(super) fn named(&self) -> Vec<Ordinal> {
        let partials = self.partials.iter().flat_map(|partial| partial.events.iter().copied());
        let waiting = self.waiting.iter().flat_map(|waiting| waiting.named());
        let mut named: Vec<Ordinal> = partials.chain(waiting).collect();
        named.sort_unstable();
        named.dedup();
        named
    }

    /// Reads where a search begins; the figure means nothing.
    pub(super) fn touch(&self) -> u64 {
        let middle = self.partials.get(self.partials.len() / 2).map_or(0, |partial| partial.rule);
        let done = self.done.get(self.done.len() / 2).copied().unwrap_or_default();
        u64::from(middle ^ done)
    }

    /// Bytes of what is under way.
    pub(super) fn bytes(&self) -> u64 {
        let waiting = self.waiting.as_ref().map_or(0, |waiting| waiting.bytes());
        self.bytes + (self.done.len() * size_of::<u32>()) as u64 + waiting
    }

    fn range(&self, rule: u32) -> std::ops::Range<usize> {
        let start = self.partials.partition_point(|partial| partial.rule < rule);
        let length = self.partials[start..].partition_point(|partial| partial.rule == rule);
        start..start + length
    }

    fn position(&self, rule: u32, step: u8, key: &Key) -> Result<usize, usize> {
        self.position_of((rule, step, key.hash), &key.bytes)
    }

    /// Where the partial match of this place and key is, or belongs: a hash may stand for several.
    fn position_of(&self, place: (u32, u8, u64), key: &[u8]) -> Result<usize, usize> {
        let start = self.partials.partition_point(|partial| partial.place() < place);
        let same = self.partials[start..].iter().take_while(|partial| partial.place() == place);
        let mut end = start;
        for partial in same {
            if partial.key() == key {
                return Ok(end);
            }
            end += 1;
        }
        Err(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smallvec::SmallVec;

    fn key(text: &str) -> Key {
        Key { hash: u64::from(!text.is_empty()), bytes: SmallVec::from_slice(text.as_bytes()) }
    }

    fn partial(rule: u32, text: &str, last: Ordinal) -> Partial {
        let mut partial = Partial::start(rule, &key(text), EventTimeMs(0));
        partial.events.push(last);
        partial
    }

    fn last(windows: &Windows, rule: u32, step: u8, text: &str) -> Option<Ordinal> {
        windows.find(rule, step, &key(text)).and_then(|partial| partial.events.last().copied())
    }

    #[test]
    fn one_waits_for_each_rule_step_and_key() {
        let mut windows = Windows::default();
        for (rule, step, text, ordinal) in
            [(2, 0, "", 1), (1, 1, "", 2), (1, 0, "a", 3), (1, 0, "b", 4), (1, 0, "a", 5)]
        {
            assert!(!windows.put(partial(rule, text, ordinal), step, 256));
        }
        assert_eq!(windows.partials.len(), 4);
        assert_eq!(last(&windows, 1, 0, "a"), Some(5));
        assert_eq!(last(&windows, 1, 0, "b"), Some(4), "keys of one hash are told apart");
        assert_eq!(last(&windows, 1, 1, ""), Some(2));
        assert_eq!(last(&windows, 2, 0, ""), Some(1));
        assert_eq!(last(&windows, 2, 1, ""), None);
        assert_eq!(windows.named(), [1, 2, 4, 5]);
    }

    #[test]
    fn a_rule_that_is_done_leaves_nothing() {
        let mut windows = Windows::default();
        windows.put(partial(1, "", 1), 0, 256);
        windows.put(partial(2, "a", 2), 0, 256);
        windows.put(partial(2, "b", 3), 1, 256);
        windows.finish(2);
        windows.finish(2);
        assert!(windows.is_done(2) && !windows.is_done(1));
        assert_eq!(windows.named(), [1]);
        windows.take(1, 0, &key(""));
        assert_eq!(windows.bytes(), 4, "one number for the rule that is done");
    }

    #[test]
    fn over_the_limit_the_one_that_waits_longest_goes() {
        let mut windows = Windows::default();
        windows.put(partial(1, "z", 7), 0, 2);
        for (text, ordinal, drops) in [("a", 2, false), ("b", 1, false), ("c", 3, true)] {
            assert_eq!(windows.put(partial(2, text, ordinal), 0, 2), drops, "{text}");
        }
        assert_eq!(windows.named(), [2, 3, 7], "only partial matches of the rule itself go");
        assert!(!windows.put(partial(3, "a", 8), 0, 0));
        assert_eq!(windows.named(), [2, 3, 7, 8], "one may wait whatever the limit");
    }

    #[test]
    fn a_partial_match_is_small() {
        assert!(size_of::<Partial>() <= 56, "{}", size_of::<Partial>());
    }
}
