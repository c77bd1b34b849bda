//! Live counts: each worker's stage adds up what an epoch said, differential keeps the counts.
//!
//! ```text
//! [stage] --(key, epoch, +n)--> count_total (exchange by key) --> inspect --> LiveHandle
//! ```
//!
//! The count lies in the difference, so an epoch costs one update for each key it touches, whatever
//! its number of events. A [`Tally`] remembers what it has said for each of the last 60 minutes and
//! takes a minute back when the marks' clock leaves it behind, so that keys vanish from the
//! arrangement. Everything of an epoch counts in the minute of its mark. This part of the graph has
//! no way back to the outbox: it delays no delivery.

use super::graph::{Diff, Time};
use crate::live::{LiveHandle, LiveKey, LiveName, Minute, OTHER};
use crate::model::{EpochMark, PackedEvent, ValueView, VisitChange};
use crate::stage::Effect;
use differential_dataflow::AsCollection;
use differential_dataflow::operators::CountTotal;
use std::collections::BTreeMap;
use std::sync::Arc;
use timely::dataflow::StreamVec;

/// Maintains the counts of `updates` in `handle`.
pub(super) fn maintain(updates: StreamVec<'_, Time, (LiveKey, Time, Diff)>, handle: LiveHandle) {
    let counts = updates.as_collection().count_total_core::<Diff>();
    counts.inspect_batch(move |_, changes| {
        handle.add_counts(changes.iter().map(|((key, count), _, sign)| (key, count * sign)));
    });
}

/// A name that events brought.
#[derive(Debug, Default)]
struct Slot {
    /// Events in the epoch under way.
    events: i64,
    /// Shown minutes in which it was said.
    minutes: usize,
}

type Names = BTreeMap<Arc<str>, Slot>;

#[derive(Debug, Default)]
struct Site {
    events: Names,
    categories: Names,
}

/// Which names of a [`Site`].
#[derive(Clone, Copy, Debug)]
enum Kind {
    Event,
    Category,
}

impl Site {
    fn names(&mut self, kind: Kind) -> &mut Names {
        match kind {
            Kind::Event => &mut self.events,
            Kind::Category => &mut self.categories,
        }
    }
}

/// One worker's share of the counts.
#[derive(Debug)]
pub(super) struct Tally {
    names_max: usize,
    /// Names in all sites; [`OTHER`] is not counted.
    names: usize,
    sites: BTreeMap<Arc<str>, Site>,
    /// Names with events in the epoch under way.
    touched: Vec<LiveName>,
    /// Net matches in the epoch under way.
    rules: BTreeMap<LiveName, i64>,
    /// Visits opened less those closed in the epoch under way.
    visits: BTreeMap<Arc<str>, i64>,
    /// What was said for each minute, to be taken back.
    said: BTreeMap<Minute, BTreeMap<LiveName, i64>>,
}

impl Tally {
    pub(super) fn new(names_max: usize) -> Self {
        Self {
            names_max,
            names: 0,
            sites: BTreeMap::new(),
            touched: Vec::new(),
            rules: BTreeMap::new(),
            visits: BTreeMap::new(),
            said: BTreeMap::new(),
        }
    }

    /// Counts an effect of the epoch under way.
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
            Effect::Match(fact, sign) if fact.suppressed.is_none() => {
                let name = LiveName::Rule {
                    site: Arc::clone(&fact.site),
                    package: Arc::clone(&fact.package),
                    rule: Arc::clone(&fact.rule),
                };
                *self.rules.entry(name).or_default() += sign;
            }
            Effect::Match(..) => {}
        }
    }

    /// Ends the epoch: gives every change of a count to `say`, and takes back minutes that fell out.
    pub(super) fn end_epoch(&mut self, mark: &EpochMark, mut say: impl FnMut(LiveKey, i64)) {
        let minute = Minute::of(mark.now);
        for name in std::mem::take(&mut self.touched) {
            let count = self.slot(&name).map_or(0, |slot| std::mem::take(&mut slot.events));
            self.say(name, minute, count, &mut say);
        }
        for (name, count) in std::mem::take(&mut self.rules) {
            if count != 0 {
                self.say(name, minute, count, &mut say);
            }
        }
        for (site, change) in std::mem::take(&mut self.visits) {
            if change != 0 {
                say(LiveKey::OpenVisits(site), change);
            }
        }
        while let Some(oldest) = self.said.first_entry() {
            if *oldest.key() >= minute.first_shown() {
                break;
            }
            let (minute, counts) = oldest.remove_entry();
            for (name, count) in counts {
                self.release(&name);
                if count != 0 {
                    say(LiveKey::InMinute(name, minute), -count);
                }
            }
        }
    }

    fn say(
        &mut self,
        name: LiveName,
        minute: Minute,
        count: i64,
        say: &mut impl FnMut(LiveKey, i64),
    ) {
        let said = self.said.entry(minute).or_default();
        let is_new = !said.contains_key(&name);
        *said.entry(name.clone()).or_default() += count;
        if is_new && let Some(slot) = self.slot(&name) {
            slot.minutes += 1;
        }
        say(LiveKey::InMinute(name, minute), count);
    }

    fn add_event(&mut self, event: &PackedEvent) {
        let Ok(view) = event.view() else { return };
        self.add_name(Kind::Event, view.site, view.name);
        let walked = view.for_each_field(|name, value| {
            if name.as_str() != "category" {
                return;
            }
            match value {
                ValueView::Str(category) => self.add_name(Kind::Category, view.site, category),
                ValueView::List(values) => {
                    for value in values {
                        if let Ok(ValueView::Str(category)) = value {
                            self.add_name(Kind::Category, view.site, category);
                        }
                    }
                }
                _ => {}
            }
        });
        if walked.is_err() {
            tracing::debug!("the fields of an event could not be read");
        }
    }

    /// Counts one event for a name, or for [`OTHER`] when there are too many.
    fn add_name(&mut self, kind: Kind, site: &str, name: &str) {
        if !self.sites.contains_key(site) {
            self.sites.insert(site.into(), Site::default());
        }
        let names = self.sites.get_mut(site).expect("it was just seen").names(kind);
        let name =
            if names.contains_key(name) || self.names < self.names_max { name } else { OTHER };
        if let Some(slot) = names.get_mut(name) {
            slot.events += 1;
            if slot.events > 1 {
                return;
            }
        } else {
            self.names += usize::from(name != OTHER);
            names.insert(name.into(), Slot { events: 1, minutes: 0 });
        }
        let (site, name) = (site.into(), name.into());
        self.touched.push(match kind {
            Kind::Event => LiveName::Event { site, name },
            Kind::Category => LiveName::Category { site, category: name },
        });
    }

    /// The names among which one that events brought stands; rules have none.
    fn names_of<'a>(&mut self, name: &'a LiveName) -> Option<(&mut Names, &'a str)> {
        let (kind, site, name) = match name {
            LiveName::Event { site, name } => (Kind::Event, site, name),
            LiveName::Category { site, category } => (Kind::Category, site, category),
            LiveName::Rule { .. } => return None,
        };
        Some((self.sites.get_mut(site)?.names(kind), name))
    }

    fn slot(&mut self, name: &LiveName) -> Option<&mut Slot> {
        let (names, name) = self.names_of(name)?;
        names.get_mut(name)
    }

    /// One minute less has the name; a name without any is free again.
    fn release(&mut self, name: &LiveName) {
        let Some((names, name)) = self.names_of(name) else { return };
        let Some(slot) = names.get_mut(name) else { return };
        slot.minutes -= 1;
        if slot.minutes == 0 {
            names.remove(name);
            self.names -= usize::from(name != OTHER);
        }
    }
}
