//! The open visits of one virtual partition.
//!
//! The unit of limits, and of what moves between workers: nothing here depends on another partition.

use super::closed::{ClosedVisits, spread};
use super::config::MatcherConfig;
use super::turns::{Turn, Turns};
use super::visit::Visit;
use crate::model::{EventTimeMs, Instance, VisitId};
use hashbrown::HashTable;

/// A visit, and the hash of its window key.
#[derive(Debug)]
struct Slot {
    hash: u64,
    visit: Box<Visit>,
}

/// A visit that was taken out.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) visit: Box<Visit>,
    /// One that ended is remembered no more: `closed_visits_max`.
    pub(super) is_one_forgotten: bool,
}

/// The visits of one partition.
#[derive(Debug)]
pub(super) struct Partition {
    visits: HashTable<Slot>,
    /// By last event.
    idle: Turns,
    /// By the first match that waits for a time.
    due: Turns,
    closed: ClosedVisits,
}

impl Partition {
    pub(super) fn new(config: &MatcherConfig) -> Self {
        Self::with(ClosedVisits::new(config.partition_closed_max()))
    }

    /// One without open visits.
    pub(super) fn with(closed: ClosedVisits) -> Self {
        let (idle, due) = (Turns::default(), Turns::default());
        Self { visits: HashTable::new(), idle, due, closed }
    }

    /// The open visits with the hashes of their window keys, in no order.
    pub(super) fn visits(&self) -> impl Iterator<Item = (u64, &Visit)> {
        self.visits.iter().map(|slot| (slot.hash, &*slot.visit))
    }

    /// Those that ended.
    pub(super) fn closed(&self) -> &ClosedVisits {
        &self.closed
    }

    /// Bytes of the open visits, as far as they are counted.
    pub(super) fn bytes(&self) -> u64 {
        self.visits.iter().map(|slot| slot.visit.bytes()).sum()
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.visits.len()
    }

    /// An open visit.
    pub(super) fn find(&mut self, hash: u64, site: &str, id: &VisitId) -> Option<&mut Visit> {
        find(&mut self.visits, hash, site, id)
    }

    /// The open visit of this hash, most likely; the visit itself is not read.
    pub(super) fn peek(&self, hash: u64) -> Option<&Visit> {
        let slot = self.visits.find(spread(hash), |slot| slot.hash == hash);
        slot.map(|slot| &*slot.visit)
    }

    /// Whether a visit is open.
    pub(super) fn is_open(&self, hash: u64, instance: Instance) -> bool {
        self.visits.find(spread(hash), is_at(hash, instance)).is_some()
    }

    /// Adds a visit that is not open yet.
    pub(super) fn insert(&mut self, hash: u64, visit: Visit) -> &mut Visit {
        self.idle.push(Turn { time: visit.last_event(), instance: visit.instance, hash });
        let slot = Slot { hash, visit: Box::new(visit) };
        let entry = self.visits.insert_unique(spread(hash), slot, |slot| spread(slot.hash));
        &mut entry.into_mut().visit
    }

    /// Adds a visit that was open when it was saved.
    pub(super) fn insert_restored(&mut self, hash: u64, visit: Visit) {
        let instance = visit.instance;
        self.insert(hash, visit);
        self.revise(hash, instance, |_| ());
    }

    /// Takes out a visit that ends; it is remembered.
    pub(super) fn remove(&mut self, hash: u64, site: &str, id: &VisitId) -> Option<Ended> {
        let entry = self.visits.find_entry(spread(hash), is_of(hash, site, id)).ok()?;
        let visit = entry.remove().0.visit;
        let is_one_forgotten = self.closed.insert(hash);
        let Self { visits, idle, due, .. } = self;
        idle.sweep(visits.len(), |turn| last_event(visits, turn).is_some());
        due.sweep(visits.len(), |turn| {
            visits.find(spread(turn.hash), is_scheduled(turn)).is_some()
        });
        Some(Ended { visit, is_one_forgotten })
    }

    /// Whether a visit of this key ended and is remembered.
    pub(super) fn is_closed(&self, hash: u64) -> bool {
        self.closed.contains(hash)
    }

    /// Takes out the visit that is idle longest, if `is_due` says so of its last event (and of all
    /// earlier times); it is remembered.
    pub(super) fn pop_idle(&mut self, is_due: impl Fn(EventTimeMs) -> bool) -> Option<Ended> {
        let Self { visits, idle, closed, .. } = self;
        let idle = idle.pop(is_due, |idle| last_event(visits, idle))?;
        let entry = visits.find_entry(spread(idle.hash), is_at(idle.hash, idle.instance)).ok()?;
        let is_one_forgotten = closed.insert(idle.hash);
        Some(Ended { visit: entry.remove().0.visit, is_one_forgotten })
    }

    /// Puts an open visit into the order of those with a match that waits for a time, if it has one
    /// that is earlier than its place says.
    pub(super) fn schedule(&mut self, hash: u64, site: &str, id: &VisitId) {
        if let Some(visit) = find(&mut self.visits, hash, site, id) {
            reschedule(&mut self.due, visit, hash);
        }
    }

    /// Gives an instance to `revise`, if it is still open.
    pub(super) fn revise(
        &mut self,
        hash: u64,
        instance: Instance,
        revise: impl FnOnce(&mut Visit),
    ) {
        let found = self.visits.find_mut(spread(hash), is_at(hash, instance));
        if let Some(Slot { visit, .. }) = found {
            revise(visit);
            reschedule(&mut self.due, visit, hash);
        }
    }

    /// Gives each visit with a match that waited for a time before the watermark to `fire`, which
    /// takes those matches out.
    pub(super) fn fire_due(&mut self, watermark: EventTimeMs, mut fire: impl FnMut(&mut Visit)) {
        while let Some(turn) = self.due.pop_first(|time| watermark > time) {
            let found = self.visits.find_mut(spread(turn.hash), is_scheduled(&turn));
            let Some(Slot { visit, .. }) = found else { continue };
            visit.scheduled = None;
            fire(visit);
            reschedule(&mut self.due, visit, turn.hash);
        }
    }

    /// Gives all open visits to `revise` whose hashes `is_asked` says, in no order.
    pub(super) fn revise_all(
        &mut self,
        is_asked: impl Fn(u64) -> bool,
        mut revise: impl FnMut(&mut Visit),
    ) {
        for Slot { hash, visit } in self.visits.iter_mut().filter(|slot| is_asked(slot.hash)) {
            revise(visit);
            reschedule(&mut self.due, visit, *hash);
        }
    }

    /// No match of an open visit waits for a time before this.
    pub(super) fn first_due(&self) -> Option<EventTimeMs> {
        self.due.first()
    }

    /// No open visit has its last event before this.
    pub(super) fn first_idle(&self) -> Option<EventTimeMs> {
        self.idle.first()
    }
}

fn reschedule(due: &mut Turns, visit: &mut Visit, hash: u64) {
    if let Some(time) = visit.unscheduled() {
        visit.scheduled = Some(time);
        due.push(Turn { time, instance: visit.instance, hash });
    }
}

fn find<'v>(
    visits: &'v mut HashTable<Slot>,
    hash: u64,
    site: &str,
    id: &VisitId,
) -> Option<&'v mut Visit> {
    visits.find_mut(spread(hash), is_of(hash, site, id)).map(|slot| &mut *slot.visit)
}

/// Whether a visit has this window key.
fn is_of(hash: u64, site: &str, id: &VisitId) -> impl Fn(&Slot) -> bool {
    move |slot| slot.hash == hash && slot.visit.id == *id && *slot.visit.site == *site
}

/// Whether this is the visit of an instance.
fn is_at(hash: u64, instance: Instance) -> impl Fn(&Slot) -> bool {
    move |slot| slot.hash == hash && slot.visit.instance == instance
}

/// The same, and no earlier time has overtaken the entry.
fn is_scheduled(turn: &Turn) -> impl Fn(&Slot) -> bool {
    move |slot| is_at(turn.hash, turn.instance)(slot) && slot.visit.scheduled == Some(turn.time)
}

fn last_event(visits: &HashTable<Slot>, turn: &Turn) -> Option<EventTimeMs> {
    visits
        .find(spread(turn.hash), is_at(turn.hash, turn.instance))
        .map(|slot| slot.visit.last_event())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher::testing::Sample;

    /// Visits that end by `VisitEnded`, while no mark passes.
    #[test]
    fn visits_that_end_leave_nothing_in_the_order() {
        let mut partition = Partition::new(&MatcherConfig::default());
        for seq in 1..=1_000 {
            let logged = Sample::new("A", 0).pack(seq);
            let view = logged.event.view().expect("just packed");
            partition.insert(7, Visit::open("shop".into(), &view, logged.seq));
            assert!(partition.remove(7, "shop", &view.visit()).is_some());
        }
        assert!(partition.idle.len() <= 64, "{} entries for no open visit", partition.idle.len());
    }
}
