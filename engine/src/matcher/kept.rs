//! The events that a visit keeps: the newest, as they were packed, and ids of older ones that a
//! partial match still needs.
//!
//! They stand in the order of events (timestamp, tie-breaker, log sequence): one that comes late is
//! put between those that were there. An event's ordinal is its place: 0 is the first that was tried
//! on the rules (a made-up `VisitStarted` too); those behind a late one move up by one. Partial
//! matches name events by ordinal. When an event leaves the window of kept ones its id stays behind
//! with its log sequence (`spilled`) until no partial match names it; that is looked at when the list has doubled, so it
//! costs nothing for each event.
//!
//! The bytes lie back to back in one buffer that grows by a third. Keeping the shared events
//! themselves costs no copy, but they lie scattered: freeing those of a visit that ended then cost
//! more than all of matching (a third of the time went to the allocator).

use super::visit::{Order, order};
use crate::model::{EventId, EventView, Identity, LogSeq};
use crate::stage::Identities;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Ids of events that left, before they are looked through.
const SPILLED_MIN: usize = 16;

/// Buffers take so many bytes of the allocator, or a multiple: one that is freed fits the next that grows.
const BLOCK_BYTES: usize = 1_024;
/// What the allocator keeps of them for itself.
const HEADER_BYTES: usize = 16;

/// Ordinals at which they are given anew: far from the end of their 32 bits.
const ORDINALS_MAX: Ordinal = 1 << 31;

/// An event's place among those of its visit.
pub(super) type Ordinal = u32;

/// Kept events, and ids of older ones.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct KeptEvents {
    /// Packed events, one behind the other.
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
    slots: Vec<Slot>,
    /// Ordinal of the event at `slots[0]`.
    base: Ordinal,
    /// Events at the front that left, and are still in the buffer.
    gone: u32,
    /// In ascending order of ordinals.
    spilled: Vec<(Ordinal, Known)>,
    /// Length of `spilled` at which it is looked through.
    sweep_at: u32,
    /// Who the visitor was, in log order; none while nobody is known.
    identities: Vec<Identity>,
}

/// Where an event lies, and what the log says of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Slot {
    /// Where it begins in `bytes`.
    start: u32,
    /// 0 is nobody, `n` is `identities[n - 1]`.
    identity: u32,
    seq: LogSeq,
}

/// What is known of an event after it left, while a partial match names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) id: EventId,
    pub(super) seq: LogSeq,
}

/// A kept event.
#[derive(Clone, Debug)]
pub(super) struct Kept<'a> {
    pub(super) view: EventView<'a>,
    /// The packed event.
    pub(super) bytes: &'a [u8],
    pub(super) seq: LogSeq,
    /// Who the visitor was at it.
    pub(super) identity: Identity,
}

impl KeptEvents {
    /// Keeps an event that sorts behind all others; `bytes` are those of a packed event that was
    /// viewed before.
    pub(super) fn push(&mut self, bytes: &[u8], seq: LogSeq, identity: &Identity) -> Ordinal {
        let ordinal = self.end();
        self.reserve(bytes.len());
        let identity = self.identity_index(identity);
        self.slots.push(Slot { start: count(self.bytes.len()), identity, seq });
        self.bytes.extend_from_slice(bytes);
        ordinal
    }

    /// Puts an event in its place, one that [`KeptEvents::place`] told.
    pub(super) fn insert(
        &mut self,
        place: Ordinal,
        bytes: &[u8],
        seq: LogSeq,
        identity: &Identity,
    ) {
        self.reserve(bytes.len());
        let identity = self.identity_index(identity);
        let index = self.index(place);
        let start = self.slots.get(index).map_or_else(|| count(self.bytes.len()), |it| it.start);
        let at = usize::try_from(start).expect("32 bits");
        self.bytes.splice(at..at, bytes.iter().copied());
        self.slots.insert(index, Slot { start, identity, seq });
        self.slots[index + 1..].iter_mut().for_each(|slot| slot.start += count(bytes.len()));
    }

    fn reserve(&mut self, more: usize) {
        let length = self.bytes.len();
        if self.bytes.capacity() - length < more {
            let wanted = length + more.max(length / 3) + HEADER_BYTES;
            let capacity = wanted.next_multiple_of(BLOCK_BYTES) - HEADER_BYTES;
            self.bytes.reserve_exact(capacity - length);
        }
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact(self.slots.len() / 3 + 8);
        }
    }

    fn identity_index(&mut self, identity: &Identity) -> u32 {
        if *identity == Identity::default() {
            return 0;
        }
        if self.identities.last() != Some(identity) {
            self.identities.push(identity.clone());
        }
        count(self.identities.len())
    }

    /// Who the visitor was, from log sequences on, ascending; without those when nobody was known.
    pub(super) fn identities(&self) -> Identities {
        if self.identities.is_empty() {
            return Identities::new();
        }
        let kept = self.slots.iter().skip(usize::try_from(self.gone).expect("32 bits"));
        let mut known: Vec<_> = kept.map(|slot| (slot.seq, slot.identity)).collect();
        known.sort_unstable();
        known.dedup_by_key(|(_, identity)| *identity);
        let known = known.into_iter().skip_while(|(_, identity)| *identity == 0);
        known.map(|(seq, identity)| (seq, self.identity(identity))).collect()
    }

    /// Whether `max` events are kept; one always may be.
    pub(super) fn is_full(&self, max: u32) -> bool {
        count(self.slots.len()) - self.gone >= max.max(1)
    }

    /// Whether an event was kept and left.
    pub(super) fn has_left(&self) -> bool {
        self.base + self.gone > 0
    }

    /// Where an event belongs: behind all that do not sort after it.
    pub(super) fn place(&self, order: Order) -> Ordinal {
        let Range { start, end } = self.range();
        let mut places = start..end;
        while !places.is_empty() {
            let middle = places.start + (places.end - places.start) / 2;
            if self.get(middle).is_some_and(|kept| kept.order() <= order) {
                places.start = middle + 1;
            } else {
                places.end = middle;
            }
        }
        places.start
    }

    /// The ordinals of the events that are kept.
    pub(super) fn range(&self) -> Range<Ordinal> {
        self.base + self.gone..self.end()
    }

    fn end(&self) -> Ordinal {
        self.base + count(self.slots.len())
    }

    /// A kept event.
    pub(super) fn get(&self, ordinal: Ordinal) -> Option<Kept<'_>> {
        let slot = self.slots.get(self.index(ordinal))?;
        let next = self.slots.get(self.index(ordinal) + 1);
        let start = usize::try_from(slot.start).ok()?;
        let end = next.map_or(Some(self.bytes.len()), |next| usize::try_from(next.start).ok())?;
        let bytes = self.bytes.get(start..end)?;
        let view = EventView::read(bytes).ok()?;
        Some(Kept { view, bytes, seq: slot.seq, identity: self.identity(slot.identity) })
    }

    fn identity(&self, index: u32) -> Identity {
        let index = index.checked_sub(1).map(|index| usize::try_from(index).expect("32 bits"));
        index.and_then(|index| self.identities.get(index)).cloned().unwrap_or_default()
    }

    fn index(&self, ordinal: Ordinal) -> usize {
        ordinal
            .checked_sub(self.base)
            .map_or(usize::MAX, |index| usize::try_from(index).expect("32 bits"))
    }

    /// The oldest leaves.
    pub(super) fn drop_first(&mut self) {
        let oldest = self.base + self.gone;
        if let Some(known) = self.kept_known(oldest) {
            self.spilled.push((oldest, known));
            self.gone += 1;
            self.compact();
        }
    }

    /// Moves the events that stay to the front once a quarter of the buffer is gone.
    fn compact(&mut self) {
        if usize::try_from(self.gone).expect("32 bits") >= self.slots.len() / 4 {
            self.drop_gone();
        }
    }

    fn drop_gone(&mut self) {
        let gone = usize::try_from(self.gone).expect("32 bits");
        let cut = self.slots.get(gone).map_or_else(|| count(self.bytes.len()), |slot| slot.start);
        self.bytes.drain(..usize::try_from(cut).expect("32 bits"));
        self.slots.drain(..gone);
        let named = self.slots.iter().filter_map(|slot| slot.identity.checked_sub(1)).min();
        let unnamed = named.unwrap_or_else(|| count(self.identities.len()));
        self.identities.drain(..usize::try_from(unnamed).expect("32 bits"));
        for slot in &mut self.slots {
            slot.start -= cut;
            slot.identity = slot.identity.saturating_sub(unnamed);
        }
        self.base += self.gone;
        self.gone = 0;
    }

    /// Remembers events that are not kept, before those that are: these have ordinals that are larger by
    /// their number. One of which nothing is known has an ordinal all the same. Returns the first
    /// ordinal, and how many there are.
    pub(super) fn remember(&mut self, events: Vec<Option<Known>>) -> (Ordinal, u32) {
        self.drop_gone();
        let (first, more) = (self.base, count(events.len()));
        let numbered = (first..).zip(events);
        self.spilled.extend(numbered.filter_map(|(ordinal, known)| Some((ordinal, known?))));
        self.base += more;
        (first, more)
    }

    /// Whether ordinals are nearly used up: a window without an end may have more events.
    pub(super) fn is_worn(&self) -> bool {
        self.end() >= ORDINALS_MAX
    }

    /// Gives all events small ordinals again, in the same order; `named` are those that a partial
    /// match names, sorted. The result tells the new ordinal of one of them, or of a kept event.
    pub(super) fn renumber(&mut self, named: &[Ordinal]) -> impl Fn(Ordinal) -> Ordinal + use<> {
        self.sweep(named);
        self.drop_gone();
        let old: Vec<Ordinal> = self.spilled.iter().map(|(ordinal, _)| *ordinal).collect();
        let (first, new_first) = (self.base, count(old.len()));
        for ((ordinal, _), new) in self.spilled.iter_mut().zip(0..) {
            *ordinal = new;
        }
        self.base = new_first;
        move |ordinal| match ordinal.checked_sub(first) {
            Some(place) => new_first + place,
            None => count(old.partition_point(|known| *known < ordinal)),
        }
    }

    /// Whether it is time for [`KeptEvents::sweep`].
    pub(super) fn is_sweep_due(&self) -> bool {
        self.spilled.len() > SPILLED_MIN + usize::try_from(self.sweep_at).unwrap_or(usize::MAX)
    }

    /// Forgets the ids of events that no partial match names. `named` is sorted.
    pub(super) fn sweep(&mut self, named: &[Ordinal]) {
        self.spilled.retain(|(ordinal, _)| named.binary_search(ordinal).is_ok());
        self.sweep_at = count(self.spilled.len() * 2);
    }

    /// Forgets ids as [`KeptEvents::sweep`] does, and gives back what the buffers have to spare.
    pub(super) fn release(&mut self, named: &[Ordinal]) {
        self.sweep(named);
        self.drop_gone();
        self.bytes.shrink_to_fit();
        self.slots.shrink_to_fit();
        self.identities.shrink_to_fit();
        self.spilled.shrink_to_fit();
    }

    /// Of an event that is kept, or named by a partial match.
    pub(super) fn known(&self, ordinal: Ordinal) -> Option<Known> {
        if ordinal >= self.base + self.gone {
            return self.kept_known(ordinal);
        }
        let index = self.spilled.binary_search_by_key(&ordinal, |(known, _)| *known).ok()?;
        Some(self.spilled[index].1.clone())
    }

    fn kept_known(&self, ordinal: Ordinal) -> Option<Known> {
        let slot = self.slots.get(self.index(ordinal))?;
        let start = usize::try_from(slot.start).ok()?;
        let view = EventView::read(self.bytes.get(start..)?).ok()?;
        Some(Known { id: view.id(), seq: slot.seq })
    }

    /// Reads the end of the buffers, where the next event goes; the figure means nothing.
    pub(super) fn touch(&self) -> u64 {
        let byte = self.bytes.last().copied().map_or(0, u64::from);
        byte ^ self.slots.last().map_or(0, |slot| slot.seq.0)
    }

    /// Events that are kept.
    pub(super) fn len(&self) -> u64 {
        self.slots.len() as u64
    }

    /// Bytes that are held.
    pub(super) fn bytes(&self) -> u64 {
        let slots = self.slots.capacity() * size_of::<Slot>();
        let identities = self.identities.capacity() * size_of::<Identity>();
        let spilled = self.spilled.capacity() * size_of::<(Ordinal, Known)>();
        (self.bytes.capacity() + slots + identities + spilled) as u64
    }
}

impl Kept<'_> {
    /// Its place in the order of events.
    pub(super) fn order(&self) -> Order {
        order(&self.view, self.seq)
    }
}

/// A count in 32 bits: a visit keeps less than 4 GB (`visit_events_max` events of bounded size).
fn count(count: usize) -> u32 {
    u32::try_from(count).expect("a visit keeps less than 4 GB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher::testing::Sample;
    use crate::model::{Id, VisitScope};

    fn id_of(kept: &KeptEvents, ordinal: Ordinal) -> Option<EventId> {
        kept.known(ordinal).map(|known| known.id)
    }

    fn keep(kept: &mut KeptEvents, sample: &Sample, seq: u64, max: u32) {
        while kept.is_full(max) {
            kept.drop_first();
        }
        kept.push(sample.pack(seq).event.as_bytes(), LogSeq(seq), &Identity::default());
    }

    fn kept(count: u64, max: u32) -> KeptEvents {
        let mut kept = KeptEvents::default();
        for seq in 1..=count {
            keep(&mut kept, &Sample::new("A", 0), seq, max);
        }
        kept
    }

    fn user(name: &str) -> Identity {
        let user = Some(name.into());
        Identity { scope: VisitScope::Recognized, user, verified: false }
    }

    #[test]
    fn the_newest_are_kept_and_older_ids_remembered() {
        let kept = kept(5, 2);
        assert!(kept.slots.len() <= 3, "events that left are not held for long");
        for ordinal in 0..5 {
            let id = EventId(Id::Bits(u128::from(ordinal) + 1));
            assert_eq!(id_of(&kept, ordinal), Some(id));
        }
        assert_eq!(id_of(&kept, 5), None);
    }

    #[test]
    fn the_newest_is_kept_whatever_the_limit() {
        let kept = kept(2, 0);
        assert_eq!(kept.range(), 1..2);
        assert!(kept.has_left() && kept.is_full(0));
    }

    #[test]
    fn a_late_event_stands_in_its_place() {
        let mut kept = KeptEvents::default();
        for (seq, time_ms) in [(1, 10), (2, 20), (3, 20), (4, 30)] {
            let event = Sample::new("A", time_ms).pack(seq).event;
            kept.push(event.as_bytes(), LogSeq(seq), &user(&seq.to_string()));
        }
        for (seq, time_ms, place) in [(5, 20, 3), (6, 5, 0), (7, 29, 5)] {
            let event = Sample::new("B", time_ms).pack(seq).event;
            let order = order(&event.view().expect("just packed"), LogSeq(seq));
            assert_eq!(kept.place(order), place);
            kept.insert(place, event.as_bytes(), LogSeq(seq), &user(&seq.to_string()));
        }
        let all: Vec<_> = kept.range().filter_map(|ordinal| kept.get(ordinal)).collect();
        let line: Vec<_> = all.iter().map(|kept| (kept.seq.0, kept.view.timestamp.0)).collect();
        assert_eq!(line, [(6, 5), (1, 10), (2, 20), (3, 20), (5, 20), (7, 29), (4, 30)]);
        for kept in all {
            assert_eq!(kept.view.id(), EventId(Id::Bits(u128::from(kept.seq.0))));
            assert_eq!(kept.identity, user(&kept.seq.0.to_string()));
        }
    }

    #[test]
    fn ordinals_that_are_used_up_are_given_anew() {
        let mut kept = KeptEvents { base: ORDINALS_MAX - 3, ..KeptEvents::default() };
        for seq in 1..=5 {
            assert_eq!(kept.is_worn(), seq > 3);
            keep(&mut kept, &Sample::new("A", 0), seq, 2);
        }
        let [first, last] = [ORDINALS_MAX - 3, ORDINALS_MAX + 1];
        let renumbered = kept.renumber(&[first, ORDINALS_MAX - 1]);
        let new = [first, ORDINALS_MAX - 1, last - 1, last].map(renumbered);
        assert_eq!(new, [0, 1, 2, 3]);
        let ids = new.map(|ordinal| id_of(&kept, ordinal));
        assert_eq!(ids, [1, 3, 4, 5].map(|bits| Some(EventId(Id::Bits(bits)))));
        assert_eq!((kept.range(), kept.is_worn()), (2..4, false));
    }

    #[test]
    fn identities_of_events_that_left_are_forgotten() {
        let mut kept = KeptEvents::default();
        for seq in 1..=1_000 {
            while kept.is_full(10) {
                kept.drop_first();
            }
            let event = Sample::new("A", 0).pack(seq).event;
            kept.push(event.as_bytes(), LogSeq(seq), &user(&seq.to_string()));
        }
        assert!(kept.identities.len() <= 15, "{} identities", kept.identities.len());
        let last = kept.get(999).expect("the newest");
        assert_eq!(last.identity, user("1000"));
        assert_eq!(kept.get(990).expect("the oldest").identity, user("991"));
    }

    #[test]
    fn a_sweep_leaves_the_ids_that_are_named() {
        let mut kept = kept(100, 1);
        assert!(kept.is_sweep_due());
        kept.sweep(&[3, 50]);
        assert!(!kept.is_sweep_due());
        assert_eq!(
            [2, 3, 50, 51].map(|ordinal| id_of(&kept, ordinal).is_some()),
            [false, true, true, false]
        );
    }

    #[test]
    fn many_events_leave_without_the_buffer_growing() {
        let (some, many) = (kept(200, 100), kept(2_000, 100));
        let buffer = |kept: &KeptEvents| kept.bytes.len();
        assert!(buffer(&many) <= buffer(&some) * 5 / 4);
        assert_eq!(id_of(&many, 1_999), Some(EventId(Id::Bits(2_000))));
        assert_eq!(id_of(&many, 1_900), Some(EventId(Id::Bits(1_901))));
    }
}
