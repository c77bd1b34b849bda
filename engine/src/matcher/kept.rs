//! The events that a visit keeps: the newest, as they were packed, and ids of older ones that a
//! partial match still needs.
//!
//! An event of a visit has an ordinal: 0 is the first that was tried on the rules (a made-up
//! `VisitStarted` too). Partial matches name events by ordinal. When an event leaves the window of
//! kept ones its id stays behind (`spilled`) until no partial match names it; that is looked at
//! when the list has doubled, so it costs nothing for each event.
//!
//! The bytes lie back to back in one buffer that grows by a third. Keeping the shared events
//! themselves costs no copy, but they lie scattered: freeing those of a visit that ended then cost
//! more than all of matching (a third of the time went to the allocator).

use crate::model::{EventId, EventView, PackedEvent};

/// Ids of events that left, before they are looked through.
const SPILLED_MIN: usize = 16;

/// An event's place among those of its visit.
pub(super) type Ordinal = u32;

/// Kept events, and ids of older ones.
#[derive(Debug, Default)]
pub(super) struct KeptEvents {
    /// Packed events, one behind the other.
    bytes: Vec<u8>,
    /// Where each begins in `bytes`.
    starts: Vec<u32>,
    /// Ordinal of the event at `starts[0]`.
    base: Ordinal,
    /// Events at the front that left, and are still in the buffer.
    gone: u32,
    /// In ascending order.
    spilled: Vec<(Ordinal, EventId)>,
    /// Length of `spilled` at which it is looked through.
    sweep_at: u32,
}

impl KeptEvents {
    /// Keeps an event; at most `max` stay. Returns its ordinal, and whether an older one left.
    pub(super) fn push(&mut self, event: &PackedEvent, max: u32) -> (Ordinal, bool) {
        let ordinal = self.base + count(self.starts.len());
        let bytes = event.as_bytes();
        if self.bytes.capacity() - self.bytes.len() < bytes.len() {
            let length = self.bytes.len();
            self.bytes.reserve_exact(bytes.len().max(if length < 2_048 {
                1_024
            } else {
                length / 3
            }));
        }
        if self.starts.len() == self.starts.capacity() {
            self.starts.reserve_exact(self.starts.len() / 3 + 8);
        }
        self.starts.push(count(self.bytes.len()));
        self.bytes.extend_from_slice(bytes);
        let leaves = count(self.starts.len()) - self.gone > max.max(1);
        if leaves {
            let oldest = self.base + self.gone;
            if let Some(id) = self.kept_id(oldest) {
                self.spilled.push((oldest, id));
            }
            self.gone += 1;
            self.compact();
        }
        (ordinal, leaves)
    }

    /// Moves the events that stay to the front once a quarter of the buffer is gone.
    fn compact(&mut self) {
        let gone = usize::try_from(self.gone).expect("32 bits");
        if gone < self.starts.len() / 4 {
            return;
        }
        let cut = self.starts.get(gone).copied().unwrap_or_else(|| count(self.bytes.len()));
        self.bytes.drain(..usize::try_from(cut).expect("32 bits"));
        self.starts.drain(..gone);
        self.starts.iter_mut().for_each(|start| *start -= cut);
        self.base += self.gone;
        self.gone = 0;
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

    /// The id of an event that is kept, or named by a partial match.
    pub(super) fn id(&self, ordinal: Ordinal) -> Option<EventId> {
        if ordinal >= self.base + self.gone {
            return self.kept_id(ordinal);
        }
        let index = self.spilled.binary_search_by_key(&ordinal, |(known, _)| *known).ok()?;
        Some(self.spilled[index].1.clone())
    }

    fn kept_id(&self, ordinal: Ordinal) -> Option<EventId> {
        let index = usize::try_from(ordinal.checked_sub(self.base)?).ok()?;
        let start = usize::try_from(*self.starts.get(index)?).ok()?;
        EventView::read(self.bytes.get(start..)?).ok().map(|view| view.id())
    }

    /// Reads the end of the buffers, where the next event goes; the figure means nothing.
    pub(super) fn touch(&self) -> u64 {
        let byte = self.bytes.last().copied().map_or(0, u64::from);
        byte ^ self.starts.last().copied().map_or(0, u64::from)
    }

    /// Bytes that are held.
    pub(super) fn bytes(&self) -> u64 {
        let starts = self.starts.capacity() * size_of::<u32>();
        let spilled = self.spilled.capacity() * size_of::<(Ordinal, EventId)>();
        (self.bytes.capacity() + starts + spilled) as u64
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
    use crate::model::{Id, Value};

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
        assert!(kept.starts.len() <= 3, "events that left are not held for long");
        for ordinal in 0..5 {
            let id = EventId(Id::Bits(u128::from(ordinal) + 1));
            assert_eq!(kept.id(ordinal), Some(id));
        }
        assert_eq!(kept.id(5), None);
    }

    #[test]
    fn the_newest_is_kept_whatever_the_limit() {
        let mut kept = KeptEvents::default();
        let leaves = [1, 2].map(|seq| kept.push(&Sample::new("A", 0).pack(seq).event, 0).1);
        assert_eq!(leaves, [false, true]);
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
    fn many_events_leave_without_the_buffer_growing() {
        let (some, many) = (kept(200, 100), kept(2_000, 100));
        let buffer = |kept: &KeptEvents| kept.bytes.len();
        assert!(buffer(&many) <= buffer(&some) * 5 / 4);
        assert_eq!(many.id(1_999), Some(EventId(Id::Bits(2_000))));
        assert_eq!(many.id(1_900), Some(EventId(Id::Bits(1_901))));
    }

    /// An event of about 290 bytes of JSON.
    #[test]
    fn a_kept_event_takes_less_than_300_bytes() {
        let text = |text: &str| Value::Str(text.into());
        let sample = Sample::new("PageEntered", 0)
            .visitor(7)
            .with("url", text("https://shop.example/shoes/running/4711?size=42"))
            .with("url.path", text("/shoes/running/4711"))
            .with("url.host", text("shop.example"))
            .with("languageCode", text("en-US"))
            .with("category", Value::List(vec![text("shoes"), text("sale")]))
            .with("title", text("Running shoes"));
        let mut kept = KeptEvents::default();
        for seq in 1..=100 {
            kept.push(&sample.pack(seq).event, 500);
        }
        let each = kept.bytes() / 100;
        assert!(each <= 300, "{each} bytes");
    }
}
