//! Live counts: each worker's stage and suppression add up what an epoch said, differential keeps the
//! counts.
//!
//! ```text
//! [stage], [suppress] --(key, epoch, +n)--> count_total (exchange by key) --> inspect --> LiveHandle
//! ```
//!
//! The count lies in the difference, so an epoch costs one update for each key it touches, whatever
//! its number of events. A [`Tally`] remembers what it has said for each of the last 60 minutes and
//! takes a minute back when the marks' clock leaves it behind, so that keys vanish from the
//! arrangement. Everything of an epoch counts in the minute of its mark. This part of the graph has
//! no way back to the outbox: it delays no delivery.
//!
//! A key costs differential about 0.4 us, so changes are said at most every `live_interval_ms` of the
//! marks' clock. While a visit is open an epoch comes at least every second; without one (`is_quiet`)
//! changes are said at once.

use super::graph::{Diff, Time};
use super::saved_count::SavedCount;
use crate::live::{LiveConfig, LiveHandle, LiveKey, LiveName, Minute, OTHER};
use crate::model::{ActionRow, EpochMark, Op, PackedEvent, ServerTimeMs, ValueView, VisitChange};
use crate::snapshot::{Unreadable, decode, encode};
use crate::stage::Effect;
use differential_dataflow::AsCollection;
use differential_dataflow::operators::CountTotal;
use hashbrown::HashTable;
use std::collections::BTreeMap;
use std::sync::Arc;
use timely::dataflow::StreamVec;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Maintains the counts of `updates` in `handle`.
pub(super) fn maintain(updates: StreamVec<'_, Time, (LiveKey, Time, Diff)>, handle: LiveHandle) {
    let counts = updates.as_collection().count_total_core::<Diff>();
    counts.inspect_batch(move |_, changes| {
        handle.add_counts(changes.iter().map(|((key, count), _, sign)| (key, count * sign)));
    });
}

/// What names stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Event,
    Category,
}

/// A name that events brought.
#[derive(Debug)]
struct Slot {
    kind: Kind,
    site: Arc<str>,
    name: Arc<str>,
    /// Events not said yet.
    events: i64,
    /// Shown minutes in which it was said.
    minutes: usize,
}

/// Names that events brought, in all sites. Never iterated: no order of it reaches anything.
#[derive(Debug)]
struct Names {
    table: HashTable<Slot>,
    names_max: usize,
    /// How many there are; [`OTHER`] is not counted.
    names: usize,
}

fn hash(kind: Kind, site: &str, name: &str) -> u64 {
    let seed = xxh3_64_with_seed(site.as_bytes(), kind as u64);
    xxh3_64_with_seed(name.as_bytes(), seed)
}

impl Slot {
    fn is(&self, kind: Kind, site: &str, name: &str) -> bool {
        self.kind == kind && *self.name == *name && *self.site == *site
    }

    fn live_name(&self) -> LiveName {
        let (site, name) = (Arc::clone(&self.site), Arc::clone(&self.name));
        match self.kind {
            Kind::Event => LiveName::Event { site, name },
            Kind::Category => LiveName::Category { site, category: name },
        }
    }
}

/// Kind, site and text of a name; rules have no slot.
fn parts(name: &LiveName) -> Option<(Kind, &str, &str)> {
    match name {
        LiveName::Event { site, name } => Some((Kind::Event, site, name)),
        LiveName::Category { site, category } => Some((Kind::Category, site, category)),
        LiveName::Rule { .. } => None,
    }
}

impl Names {
    /// Counts an event for a name, or for [`OTHER`] when there are too many. The name, if this is
    /// the first since it was said.
    fn add(&mut self, kind: Kind, site: &str, name: &str) -> Option<LiveName> {
        let place = hash(kind, site, name);
        if let Some(slot) = self.table.find_mut(place, |slot| slot.is(kind, site, name)) {
            slot.events += 1;
            return (slot.events == 1).then(|| slot.live_name());
        }
        if name != OTHER && self.names >= self.names_max {
            return self.add(kind, site, OTHER);
        }
        Some(self.insert(kind, site, name, 1).live_name())
    }

    /// A new name.
    fn insert(&mut self, kind: Kind, site: &str, name: &str, events: i64) -> &mut Slot {
        self.names += usize::from(name != OTHER);
        let slot = Slot { kind, site: site.into(), name: name.into(), events, minutes: 0 };
        let place = hash(kind, site, name);
        let entry = self.table.insert_unique(place, slot, |it| hash(it.kind, &it.site, &it.name));
        entry.into_mut()
    }

    /// Events of a name that were not said yet.
    fn events(&self, name: &LiveName) -> i64 {
        let slot = parts(name).and_then(|(kind, site, name)| {
            self.table.find(hash(kind, site, name), |slot| slot.is(kind, site, name))
        });
        slot.map_or(0, |slot| slot.events)
    }

    fn slot(&mut self, name: &LiveName) -> Option<&mut Slot> {
        let (kind, site, name) = parts(name)?;
        self.table.find_mut(hash(kind, site, name), |slot| slot.is(kind, site, name))
    }

    /// One minute more has the name.
    fn restore(&mut self, name: &LiveName) {
        let Some((kind, site, text)) = parts(name) else { return };
        match self.slot(name) {
            Some(slot) => slot.minutes += 1,
            None => self.insert(kind, site, text, 0).minutes = 1,
        }
    }

    /// One minute less has the name; a name without any, and nothing to say, is free again.
    fn release(&mut self, name: &LiveName) {
        let Some((kind, site, name)) = parts(name) else { return };
        let entry = self.table.find_entry(hash(kind, site, name), |slot| slot.is(kind, site, name));
        let Ok(mut entry) = entry else { return };
        let slot = entry.get_mut();
        slot.minutes -= 1;
        if slot.minutes == 0 && slot.events == 0 {
            entry.remove();
            self.names -= usize::from(name != OTHER);
        }
    }
}

/// One worker's share of the counts.
#[derive(Debug)]
pub(super) struct Tally {
    interval_ms: i64,
    /// When changes were said last.
    said_at: Option<ServerTimeMs>,
    names: Names,
    /// Names with events not said yet.
    touched: Vec<LiveName>,
    /// The minute of what was not said yet.
    minute: Minute,
    /// Net matches not said yet.
    rules: BTreeMap<LiveName, i64>,
    /// Visits opened less those closed, not said yet.
    visits: BTreeMap<Arc<str>, i64>,
    /// Open visits, as said.
    open: BTreeMap<Arc<str>, i64>,
    /// What was said for each minute, to be taken back.
    said: BTreeMap<Minute, BTreeMap<LiveName, i64>>,
    /// What was restored and not said yet.
    restored: Vec<(LiveKey, i64)>,
}

impl Tally {
    pub(super) fn new(config: LiveConfig) -> Self {
        let table = HashTable::new();
        Self {
            interval_ms: i64::from(config.live_interval_ms),
            said_at: None,
            names: Names { table, names_max: config.live_names_max, names: 0 },
            touched: Vec::new(),
            minute: Minute::default(),
            rules: BTreeMap::new(),
            visits: BTreeMap::new(),
            open: BTreeMap::new(),
            said: BTreeMap::new(),
            restored: Vec::new(),
        }
    }

    /// Appends all that was counted: net counts by key.
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        let mut counts = BTreeMap::<LiveKey, i64>::new();
        let mut add = |key, count| *counts.entry(key).or_default() += count;
        for (minute, said) in &self.said {
            said.iter()
                .for_each(|(name, count)| add(LiveKey::InMinute(name.clone(), *minute), *count));
        }
        for name in &self.touched {
            let events = self.names.events(name);
            add(LiveKey::InMinute(name.clone(), self.minute), events);
        }
        for (name, count) in &self.rules {
            add(LiveKey::InMinute(name.clone(), self.minute), *count);
        }
        for (site, count) in self.open.iter().chain(&self.visits) {
            add(LiveKey::OpenVisits(Arc::clone(site)), *count);
        }
        let counts = counts.into_iter().filter(|(_, count)| *count != 0);
        encode(&counts.map(SavedCount::from).collect::<Vec<_>>(), out);
    }

    /// Adds what another one had counted; it is said with the next epoch.
    pub(super) fn restore(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        let counts: Vec<SavedCount> = decode(bytes)?;
        for (key, count) in counts.into_iter().map(SavedCount::into_count) {
            match &key {
                LiveKey::OpenVisits(site) => {
                    *self.open.entry(Arc::clone(site)).or_default() += count;
                }
                LiveKey::InMinute(name, minute) => {
                    let said = self.said.entry(*minute).or_default();
                    if !said.contains_key(name) {
                        self.names.restore(name);
                    }
                    *said.entry(name.clone()).or_default() += count;
                }
            }
            self.restored.push((key, count));
        }
        Ok(())
    }

    /// Lets `add` count what was said in an epoch, and gives every change of a count to `say` when it
    /// is time to. `is_quiet`: nothing asks for a further epoch soon, which could say it.
    pub(super) fn epoch(
        &mut self,
        mark: &EpochMark,
        is_quiet: bool,
        add: impl FnOnce(&mut Self),
        mut say: impl FnMut(LiveKey, i64),
    ) {
        for (key, count) in std::mem::take(&mut self.restored) {
            say(key, count);
        }
        let minute = Minute::of(mark.now);
        if minute != self.minute {
            self.say_changes(&mut say);
            self.minute = minute;
            self.take_back(&mut say);
        }
        add(self);
        let next_ms = self.said_at.map_or(i64::MIN, |at| at.0.saturating_add(self.interval_ms));
        if is_quiet || mark.now.0 >= next_ms {
            self.said_at = Some(mark.now);
            self.say_changes(&mut say);
        }
    }

    pub(super) fn add(&mut self, effect: &Effect) {
        match effect {
            Effect::Event(row) => self.add_event(&row.event),
            Effect::Visit(row) => {
                let change = match row.change {
                    VisitChange::Opened { .. } => 1,
                    VisitChange::Closed(_) => -1,
                };
                *self.visits.entry(Arc::clone(&row.site)).or_default() += change;
            }
            // Counted behind the suppression.
            Effect::Match(..) => {}
        }
    }

    pub(super) fn add_action(&mut self, row: &ActionRow) {
        let change = match row.op {
            Op::Assert => 1,
            Op::Retract if row.fact.suppressed.is_none() => -1,
            Op::Retract | Op::Suppress | Op::Correct => return,
        };
        let name = LiveName::Rule {
            site: Arc::clone(&row.fact.site),
            package: Arc::clone(&row.fact.package),
            rule: Arc::clone(&row.fact.rule),
        };
        *self.rules.entry(name).or_default() += change;
    }

    fn add_event(&mut self, event: &PackedEvent) {
        let Ok(view) = event.view() else { return };
        let (names, touched) = (&mut self.names, &mut self.touched);
        touched.extend(names.add(Kind::Event, view.site, view.name));
        let mut add = |category| touched.extend(names.add(Kind::Category, view.site, category));
        let walked = view.for_each_field(|name, value| match value {
            ValueView::Str(category) if name.as_str() == "category" => add(category),
            ValueView::List(values) if name.as_str() == "category" => {
                for value in values {
                    if let Ok(ValueView::Str(category)) = value {
                        add(category);
                    }
                }
            }
            _ => {}
        });
        if walked.is_err() {
            tracing::debug!("the fields of an event could not be read");
        }
    }

    /// Says what was counted since the last time, all of it in one minute.
    fn say_changes(&mut self, say: &mut impl FnMut(LiveKey, i64)) {
        for name in std::mem::take(&mut self.touched) {
            let count = self.names.slot(&name).map_or(0, |slot| std::mem::take(&mut slot.events));
            self.say_count(name, count, say);
        }
        for (name, count) in std::mem::take(&mut self.rules) {
            if count != 0 {
                self.say_count(name, count, say);
            }
        }
        for (site, change) in std::mem::take(&mut self.visits) {
            if change != 0 {
                *self.open.entry(Arc::clone(&site)).or_default() += change;
                say(LiveKey::OpenVisits(site), change);
            }
        }
    }

    fn say_count(&mut self, name: LiveName, count: i64, say: &mut impl FnMut(LiveKey, i64)) {
        let said = self.said.entry(self.minute).or_default();
        if let Some(total) = said.get_mut(&name) {
            *total += count;
        } else {
            said.insert(name.clone(), count);
            if let Some(slot) = self.names.slot(&name) {
                slot.minutes += 1;
            }
        }
        say(LiveKey::InMinute(name, self.minute), count);
    }

    /// Takes back the minutes that are shown no more.
    fn take_back(&mut self, say: &mut impl FnMut(LiveKey, i64)) {
        while let Some(oldest) = self.said.first_entry() {
            if *oldest.key() >= self.minute.first_shown() {
                break;
            }
            let (minute, counts) = oldest.remove_entry();
            for (name, count) in counts {
                self.names.release(&name);
                if count != 0 {
                    say(LiveKey::InMinute(name, minute), -count);
                }
            }
        }
    }
}
