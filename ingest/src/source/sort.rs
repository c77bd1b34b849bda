//! Sorts events by (timestamp, tie-breaker, place in the input), in memory or through files.
//!
//! Up to `memory_bytes_max` events are held and sorted where they are. Over it they go, sorted, to
//! a temporary file (a run); at the end the runs are merged. More than `runs_max` runs are merged
//! into one before another is begun, so that open files stay bounded too.
//!
//! A run's record, little endian: u32 length of the packed event, i64 timestamp, u8 whether there is
//! a tie, i64 tie, u32 input, u64 line, the packed event. Runs live in the system's folder for
//! temporary files (`TMPDIR`), have no name, and vanish with the process.

use super::Place;
use beckon_engine::model::{Event, EventTimeMs, PackedEvent};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

/// How much is held in memory, and how many files are open.
#[derive(Clone, Copy, Debug)]
pub struct SortConfig {
    /// Bytes of held events (`sort_memory_bytes_max`).
    pub memory_bytes_max: usize,
    /// Runs open at a time.
    pub runs_max: usize,
}

impl Default for SortConfig {
    fn default() -> Self {
        Self { memory_bytes_max: 256 * 1024 * 1024, runs_max: 64 }
    }
}

/// What a held event costs beside its bytes.
const ENTRY_BYTES: usize = size_of::<Entry>() + 2 * size_of::<usize>();

/// The order of replay. An absent tie sorts before any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    timestamp: EventTimeMs,
    tie: Option<i64>,
    place: Place,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    event: PackedEvent,
}

/// Takes events in any order.
#[derive(Debug)]
pub struct Sorter {
    config: SortConfig,
    held: Vec<Entry>,
    held_bytes: usize,
    runs: Vec<File>,
}

impl Sorter {
    /// An empty sorter.
    #[must_use]
    pub fn new(config: SortConfig) -> Self {
        Self { config, held: Vec::new(), held_bytes: 0, runs: Vec::new() }
    }

    /// Takes an event.
    ///
    /// # Errors
    /// When a temporary file cannot be written.
    pub fn push(&mut self, place: Place, event: &Event) -> io::Result<()> {
        let key = Key { timestamp: event.timestamp, tie: event.tie, place };
        let event = PackedEvent::pack(event);
        self.held_bytes += event.as_bytes().len() + ENTRY_BYTES;
        self.held.push(Entry { key, event });
        if self.held_bytes > self.config.memory_bytes_max {
            self.spill()?;
        }
        Ok(())
    }

    /// How many runs went to files; 0 when all fits in memory.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// All events in order.
    ///
    /// # Errors
    /// When a temporary file cannot be read.
    pub fn finish(mut self) -> io::Result<Sorted> {
        self.held.sort_unstable_by_key(|entry| entry.key);
        if self.runs.is_empty() {
            return Ok(Sorted(Order::Memory(self.held.into_iter())));
        }
        let held = self.held.into_iter();
        Ok(Sorted(Order::Merged(Merge::new(self.runs, held)?)))
    }

    fn spill(&mut self) -> io::Result<()> {
        if self.runs.len() >= self.config.runs_max.max(1) {
            let merged = Merge::new(std::mem::take(&mut self.runs), Vec::new().into_iter())?;
            self.runs.push(write_run(merged)?);
        }
        self.held.sort_unstable_by_key(|entry| entry.key);
        self.held_bytes = 0;
        self.runs.push(write_run(self.held.drain(..).map(Ok))?);
        Ok(())
    }
}

fn write_run(entries: impl Iterator<Item = io::Result<Entry>>) -> io::Result<File> {
    let mut out = BufWriter::with_capacity(1 << 18, tempfile::tempfile()?);
    for entry in entries {
        let Entry { key, event } = entry?;
        let bytes = event.as_bytes();
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(&key.timestamp.0.to_le_bytes())?;
        out.write_all(&[u8::from(key.tie.is_some())])?;
        out.write_all(&key.tie.unwrap_or_default().to_le_bytes())?;
        out.write_all(&key.place.input.to_le_bytes())?;
        out.write_all(&key.place.line.to_le_bytes())?;
        out.write_all(bytes)?;
    }
    let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    Ok(file)
}

/// Events in order.
#[derive(Debug)]
pub struct Sorted(Order);

#[derive(Debug)]
enum Order {
    Memory(std::vec::IntoIter<Entry>),
    Merged(Merge),
}

impl Iterator for Sorted {
    type Item = io::Result<PackedEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Order::Memory(entries) => entries.next().map(|entry| Ok(entry.event)),
            Order::Merged(merge) => merge.next().map(|entry| Ok(entry?.event)),
        }
    }
}

/// Runs and held events, merged.
#[derive(Debug)]
struct Merge {
    runs: Vec<BufReader<File>>,
    held: std::vec::IntoIter<Entry>,
    /// The first event of each run that has one left.
    heads: BinaryHeap<Reverse<Head>>,
}

/// `run` is the number of the runs for the held events.
#[derive(Debug)]
struct Head {
    key: Key,
    run: usize,
    event: PackedEvent,
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl Merge {
    fn new(runs: Vec<File>, held: std::vec::IntoIter<Entry>) -> io::Result<Self> {
        let runs: Vec<_> =
            runs.into_iter().map(|run| BufReader::with_capacity(1 << 18, run)).collect();
        let sources = runs.len() + 1;
        let mut merge = Self { runs, held, heads: BinaryHeap::with_capacity(sources) };
        for run in 0..sources {
            merge.advance(run)?;
        }
        Ok(merge)
    }

    fn advance(&mut self, run: usize) -> io::Result<()> {
        let entry = match self.runs.get_mut(run) {
            Some(run) => read_entry(run)?,
            None => self.held.next(),
        };
        if let Some(Entry { key, event }) = entry {
            self.heads.push(Reverse(Head { key, run, event }));
        }
        Ok(())
    }
}

impl Iterator for Merge {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse(Head { key, run, event }) = self.heads.pop()?;
        Some(self.advance(run).map(|()| Entry { key, event }))
    }
}

fn read_entry(run: &mut impl Read) -> io::Result<Option<Entry>> {
    let mut length = [0; 4];
    match run.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let timestamp = EventTimeMs(i64::from_le_bytes(read_array(run)?));
    let [has_tie] = read_array(run)?;
    let tie = i64::from_le_bytes(read_array(run)?);
    let input = u32::from_le_bytes(read_array(run)?);
    let line = u64::from_le_bytes(read_array(run)?);
    let length = usize::try_from(u32::from_le_bytes(length)).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    run.read_exact(&mut bytes)?;
    let key = Key { timestamp, tie: (has_tie == 1).then_some(tie), place: Place { input, line } };
    Ok(Some(Entry { key, event: PackedEvent::from_bytes(&bytes) }))
}

fn read_array<const N: usize>(run: &mut impl Read) -> io::Result<[u8; N]> {
    let mut array = [0; N];
    run.read_exact(&mut array)?;
    Ok(array)
}

#[cfg(test)]
mod tests {
    use super::*;
    use beckon_engine::model::{EventId, Flags, Id, ServerTimeMs, VisitId};
    use proptest::prelude::*;

    fn event(timestamp: i64, tie: Option<i64>, number: u64) -> Event {
        Event {
            flags: Flags::default(),
            site: "s".into(),
            name: "E".into(),
            id: EventId(Id::Bits(u128::from(number))),
            visit: VisitId(Id::Bits(1)),
            visitor: None,
            page: None,
            timestamp: EventTimeMs(timestamp),
            server_timestamp: ServerTimeMs(timestamp),
            client_timestamp: None,
            tie,
            fields: Vec::new(),
        }
    }

    fn sort(times: &[(i64, Option<i64>)], config: SortConfig) -> (Vec<Id>, usize) {
        let mut sorter = Sorter::new(config);
        for (line, (timestamp, tie)) in (1..).zip(times) {
            let place = Place { input: 0, line };
            sorter.push(place, &event(*timestamp, *tie, line)).expect("a temporary file");
        }
        let runs = sorter.runs();
        let sorted = sorter.finish().expect("a temporary file");
        let ids = sorted.map(|event| event.expect("a run").unpack().expect("an event").id.0);
        (ids.collect(), runs)
    }

    #[test]
    fn order_is_timestamp_tie_place() {
        let times = [(2, None), (1, Some(5)), (1, Some(-1)), (1, None), (2, None)];
        let (ids, runs) = sort(&times, SortConfig::default());
        assert_eq!(ids, [4, 3, 2, 1, 5].map(Id::Bits));
        assert_eq!(runs, 0);
    }

    proptest! {
        #[test]
        fn runs_give_what_memory_gives(
            times in prop::collection::vec((0..50_i64, prop::option::of(-2..2_i64)), 0..200),
            memory_bytes_max in 0..4_000_usize,
            runs_max in 1..5_usize,
        ) {
            let (expected, _) = sort(&times, SortConfig::default());
            let (ids, runs) = sort(&times, SortConfig { memory_bytes_max, runs_max });
            prop_assert_eq!(ids, expected);
            prop_assert!(runs <= runs_max + 1);
        }
    }

    #[test]
    fn the_bound_of_memory_is_held() {
        let times: Vec<_> = (0..100).map(|time| (time, None)).collect();
        let (_, runs) = sort(&times, SortConfig { memory_bytes_max: 2_000, runs_max: 64 });
        assert!(runs > 3, "{runs} runs");
    }
}
