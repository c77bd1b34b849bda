//! Cuts the input into epochs and gives them to the engine.
//!
//! An epoch ends after [`EPOCH_EVENTS_MAX`] events, and before an event that lies more than a tenth
//! of the visits' inactivity (at most a minute) behind its first one. Its mark's watermark is the
//! largest timestamp read so far, that of the event behind it included: so a visit that ended in
//! a quiet hour is closed before its visitor comes back, as it would have been live, where epochs
//! are cut while nothing happens. At the end of input the watermark is [`EventTimeMs::MAX`].

use super::args::ReplayArgs;
use super::progress::Progress;
use anyhow::Context;
use beckon_engine::clock::{Clock, SystemClock};
use beckon_engine::log::{DedupIndex, dedup_key};
use beckon_engine::model::{
    Epoch, EpochInput, EpochMark, EventTimeMs, LogSeq, LoggedEvent, PackedEvent, ServerTimeMs,
};
use beckon_ingest::source::{SortConfig, Sorter, SourceReader, SourceReport};

/// Events of an epoch.
pub(super) const EPOCH_EVENTS_MAX: usize = 1_000;
/// Event time from an epoch's first event to its last.
const EPOCH_SPAN_MS_MAX: i64 = 60_000;

/// Where the tables of earlier replays end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) epoch: Epoch,
    pub(super) seq: LogSeq,
}

impl Default for Start {
    fn default() -> Self {
        Self { epoch: Epoch(1), seq: LogSeq(1) }
    }
}

/// What was fed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FeedStats {
    /// Events given to the engine.
    pub(super) events: u64,
    /// Events whose id was there before.
    pub(super) duplicates: u64,
    /// Ids of which duplicates were not found any more, over `--dedup-ids-max`.
    pub(super) ids_forgotten: u64,
    /// Sorted runs that went through temporary files.
    pub(super) sort_runs: u64,
}

/// Takes epochs: the engine, or a test.
pub(super) trait EpochTarget {
    /// Takes the next epoch.
    fn submit(&self, input: EpochInput) -> anyhow::Result<()>;
}

/// Numbers events and cuts epochs.
pub(super) struct Feeder<'a> {
    target: &'a dyn EpochTarget,
    clock: SystemClock,
    span_ms_max: Option<i64>,
    epoch: Epoch,
    next_seq: LogSeq,
    first: EventTimeMs,
    watermark: EventTimeMs,
    events: Vec<LoggedEvent>,
    seen: DedupIndex,
    stats: FeedStats,
}

impl<'a> Feeder<'a> {
    pub(super) fn new(
        target: &'a dyn EpochTarget,
        inactivity_ms: Option<i64>,
        dedup_ids_max: usize,
        start: Start,
    ) -> Self {
        Self {
            target,
            clock: SystemClock::new(),
            span_ms_max: inactivity_ms.map(|after| (after / 10).min(EPOCH_SPAN_MS_MAX)),
            epoch: start.epoch,
            next_seq: start.seq,
            first: EventTimeMs::MIN,
            watermark: EventTimeMs::MIN,
            events: Vec::with_capacity(EPOCH_EVENTS_MAX),
            seen: DedupIndex::new(dedup_ids_max),
            stats: FeedStats::default(),
        }
    }

    pub(super) fn stats(&self) -> FeedStats {
        // Each event that was given on left its id.
        FeedStats { ids_forgotten: self.stats.events - self.seen.held() as u64, ..self.stats }
    }

    /// Takes the next event.
    pub(super) fn push(&mut self, event: PackedEvent) -> anyhow::Result<()> {
        let view = event.view().context("an event that was packed cannot be read")?;
        // Nobody asks how old a remembered id is.
        if !self.seen.insert(dedup_key(view.site, &view.id()), ServerTimeMs(0)) {
            self.stats.duplicates += 1;
            return Ok(());
        }
        let timestamp = view.timestamp;
        self.watermark = self.watermark.max(timestamp);
        let is_far =
            self.span_ms_max.is_some_and(|span| timestamp > self.first.saturating_add(span));
        if self.events.len() >= EPOCH_EVENTS_MAX || (is_far && !self.events.is_empty()) {
            self.end_epoch(self.watermark)?;
        }
        if self.events.is_empty() {
            self.first = timestamp;
        }
        self.events.push(LoggedEvent { seq: self.next_seq, event });
        self.next_seq = self.next_seq.next();
        self.stats.events += 1;
        Ok(())
    }

    /// Ends the input.
    pub(super) fn finish(&mut self) -> anyhow::Result<()> {
        self.end_epoch(EventTimeMs::MAX)
    }

    fn end_epoch(&mut self, watermark: EventTimeMs) -> anyhow::Result<()> {
        let events = std::mem::replace(&mut self.events, Vec::with_capacity(EPOCH_EVENTS_MAX));
        let mark = EpochMark {
            epoch: self.epoch,
            first_seq: events.first().map_or(self.next_seq, |event| event.seq),
            last_seq: LogSeq(self.next_seq.0 - 1),
            now: self.clock.now(),
            watermark,
        };
        self.epoch = self.epoch.next();
        self.target.submit(EpochInput { mark, events })
    }
}

/// Reads all inputs into the engine, sorted unless that is not wanted or cannot be.
pub(super) fn run(
    mut reader: SourceReader,
    args: &ReplayArgs,
    feeder: &mut Feeder<'_>,
) -> anyhow::Result<SourceReport> {
    let mut progress = Progress::reading(reader.total_bytes());
    if args.is_sorted() {
        let mut sorter = Sorter::new(SortConfig {
            memory_bytes_max: args.sort_memory_bytes_max,
            ..SortConfig::default()
        });
        let failed = "temporary files of sorting (TMPDIR says where)";
        while let Some((place, event)) = reader.next_event()? {
            sorter.push(place, &event).context(failed)?;
            progress.advance_to(reader.read_bytes());
        }
        feeder.stats.sort_runs = sorter.runs() as u64;
        progress.matching(reader.report().events);
        for (number, event) in (1..).zip(sorter.finish().context(failed)?) {
            feeder.push(event.context(failed)?)?;
            progress.advance_to(number);
        }
    } else {
        while let Some((_, event)) = reader.next_event()? {
            feeder.push(PackedEvent::pack(&event))?;
            progress.advance_to(reader.read_bytes());
        }
    }
    feeder.finish()?;
    progress.finish();
    Ok(reader.report().clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use beckon_engine::model::{Event, EventId, Flags, Id, ServerTimeMs, VisitId};
    use std::cell::RefCell;

    #[derive(Default)]
    struct Epochs(RefCell<Vec<EpochInput>>);

    impl EpochTarget for Epochs {
        fn submit(&self, input: EpochInput) -> anyhow::Result<()> {
            self.0.borrow_mut().push(input);
            Ok(())
        }
    }

    fn event(id: u128, timestamp: i64) -> PackedEvent {
        PackedEvent::pack(&Event {
            flags: Flags::default(),
            site: "s".into(),
            name: "E".into(),
            id: EventId(Id::Bits(id)),
            visit: VisitId(Id::Bits(1)),
            visitor: None,
            page: None,
            timestamp: EventTimeMs(timestamp),
            server_timestamp: ServerTimeMs(timestamp),
            client_timestamp: None,
            tie: None,
            fields: Vec::new(),
        })
    }

    /// Events and watermark of each epoch.
    fn feed(inactivity_ms: Option<i64>, events: Vec<PackedEvent>) -> Vec<(usize, i64)> {
        let epochs = Epochs::default();
        let mut feeder = Feeder::new(&epochs, inactivity_ms, 1_000_000, Start::default());
        for event in events {
            feeder.push(event).expect("taken");
        }
        feeder.finish().expect("taken");
        let epochs = epochs.0.borrow();
        let mut expected = (1, 1);
        for (input, epoch) in epochs.iter().zip(1..) {
            assert_eq!((input.mark.epoch, input.mark.first_seq.0), (Epoch(epoch), expected.0));
            expected.0 += input.events.len() as u64;
            assert_eq!(input.mark.last_seq.0, expected.0 - 1);
            expected.1 += 1;
        }
        epochs.iter().map(|input| (input.events.len(), input.mark.watermark.0)).collect()
    }

    #[test]
    fn an_epoch_ends_at_its_bound() {
        let events = (0..2_500).map(|number| event(number, 7)).collect();
        assert_eq!(feed(None, events), [(1_000, 7), (1_000, 7), (500, i64::MAX)]);
    }

    #[test]
    fn a_gap_ends_an_epoch_with_the_time_behind_it() {
        let events = vec![event(1, 0), event(2, 60_000), event(3, 60_001), event(4, 9_000_000)];
        let epochs = feed(Some(1_800_000), events);
        assert_eq!(epochs, [(2, 60_001), (1, 9_000_000), (1, i64::MAX)]);
    }

    #[test]
    fn a_source_without_inactivity_has_no_gaps() {
        assert_eq!(feed(None, vec![event(1, 0), event(2, 9_000_000)]), [(2, i64::MAX)]);
    }

    #[test]
    fn an_id_counts_once_while_it_is_remembered() {
        assert_eq!(feed(None, vec![event(1, 0), event(1, 5), event(2, 9)]), [(2, i64::MAX)]);
    }
    #[test]
    fn ids_over_the_bound_are_forgotten_oldest_first_and_counted() {
        let epochs = Epochs::default();
        let mut feeder = Feeder::new(&epochs, None, 3, Start::default());
        let mut said = |id: u128| {
            feeder.push(event(id, 0)).expect("taken");
            let FeedStats { events, duplicates, ids_forgotten, .. } = feeder.stats();
            (events, duplicates, ids_forgotten)
        };
        assert_eq!([1, 2, 3].map(&mut said), [(1, 0, 0), (2, 0, 0), (3, 0, 0)]);
        assert_eq!(said(1), (3, 1, 0), "at the bound");
        assert_eq!(said(4), (4, 1, 1), "over it: 1 goes");
        assert_eq!([2, 3, 4].map(&mut said), [(4, 2, 1), (4, 3, 1), (4, 4, 1)]);
        assert_eq!(said(1), (5, 4, 2), "a duplicate that is not found");
    }
}
