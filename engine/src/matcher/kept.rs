//! The events that a visit keeps: the newest, as they were packed, and ids of older ones that a
//! partial match still needs.
//!
//! An event of a visit has an ordinal: 0 is the first that was tried on the rules (a made-up
//! `VisitStarted` too). Partial matches name events by ordinal. When an event leaves the window of
//! kept ones its id stays behind (`spilled`) until no partial match names it; that is looked at
//! when the list has doubled, so it costs nothing for each event.
//!
//! Memory: 16 B and the shared bytes (16 B more than the packed event) for each kept event. The
//! bytes are the very ones that the event's row carries.

use crate::model::{EventId, PackedEvent};
use std::collections::VecDeque;

/// What an event costs beside its bytes.
const OVERHEAD_BYTES: u64 = 32;

/// An event's place among those of its visit.
pub(super) type Ordinal = u32;

/// Kept events, and ids of older ones.
#[derive(Debug, Default)]
pub(super) struct KeptEvents {
    events: VecDeque<PackedEvent>,
    /// Ordinal of `events[0]`.
    first: Ordinal,
    /// In ascending order.
    spilled: Vec<(Ordinal, EventId)>,
    /// Length of `spilled` at which it is looked through.
    sweep_at: u32,
    bytes: u64,
}

impl KeptEvents {
    /// Keeps an event; at most `max` stay. Returns its ordinal, and whether an older one left.
    pub(super) fn push(&mut self, event: &PackedEvent, max: u32) -> (Ordinal, bool) {
        let ordinal = self.next();
        self.events.push_back(event.clone());
        self.bytes += cost(event);
        let leaves = self.events.len() > usize::try_from(max.max(1)).unwrap_or(usize::MAX);
        if leaves && let Some(event) = self.events.pop_front() {
            self.bytes -= cost(&event);
            if let Ok(view) = event.view() {
                self.spilled.push((self.first, view.id()));
            }
            self.first += 1;
        }
        (ordinal, leaves)
    }

    /// Whether it is time for [`KeptEvents::sweep`].
    pub(super) fn is_sweep_due(&self) -> bool {
        self.spilled.len() > 64 + usize::try_from(self.sweep_at).unwrap_or(usize::MAX)
    }

    /// Forgets the ids of events that no partial match names. `named` is sorted.
    pub(super) fn sweep(&mut self, named: &[Ordinal]) {
        self.spilled.retain(|(ordinal, _)| named.binary_search(ordinal).is_ok());
        self.spilled.shrink_to(self.spilled.len() * 2 + 8);
        self.sweep_at = u32::try_from(self.spilled.len() * 2).unwrap_or(u32::MAX);
    }

    /// The id of an event that is kept, or named by a partial match.
    pub(super) fn id(&self, ordinal: Ordinal) -> Option<EventId> {
        if let Some(offset) = ordinal.checked_sub(self.first) {
            let event = self.events.get(usize::try_from(offset).ok()?)?;
            return event.view().ok().map(|view| view.id());
        }
        let index = self.spilled.binary_search_by_key(&ordinal, |(known, _)| *known).ok()?;
        Some(self.spilled[index].1.clone())
    }

    /// Bytes of what is kept.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes + (self.spilled.len() * size_of::<(Ordinal, EventId)>()) as u64
    }

    fn next(&self) -> Ordinal {
        self.first + Ordinal::try_from(self.events.len()).expect("ordinals are 32 bits")
    }
}

fn cost(event: &PackedEvent) -> u64 {
    event.as_bytes().len() as u64 + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher::testing::Sample;
    use crate::model::Id;

    fn kept(count: u64, max: u32) -> KeptEvents {
        let mut kept = KeptEvents::default();
        for seq in 1..=count {
            kept.push(&Sample::new("A", 0).pack(seq).event, max);
        }
        kept
    }

    #[test]
    fn the_newest_are_kept_and_older_ids_remembered() {
        let kept = kept(5, 2);
        assert_eq!(kept.events.len(), 2);
        for ordinal in 0..5 {
            let id = EventId(Id::Bits(u128::from(ordinal) + 1));
            assert_eq!(kept.id(ordinal), Some(id));
        }
        assert_eq!(kept.id(5), None);
    }

    #[test]
    fn a_sweep_leaves_the_ids_that_are_named() {
        let mut kept = kept(100, 1);
        assert!(kept.is_sweep_due());
        kept.sweep(&[3, 50]);
        assert!(!kept.is_sweep_due());
        assert_eq!(
            [2, 3, 50, 51].map(|ordinal| kept.id(ordinal).is_some()),
            [false, true, true, false]
        );
    }

    #[test]
    fn bytes_are_those_of_the_kept_events() {
        let one = kept(1, 500).bytes();
        assert_eq!(kept(10, 500).bytes(), one * 10);
        assert_eq!(kept(10, 10).bytes(), one * 10);
    }
}
