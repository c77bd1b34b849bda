//! What becomes of an event, from its bytes to what its visit's rules say at once.

use super::fields::Captures;
use super::late::DirtyVisit;
use super::partition::Partition;
use super::sequence::Trial;
use super::visit::{self, Visit};
use super::{Shared, identity};
use crate::model::{
    CloseReason, EventRow, EventView, Fate, Flags, Identity, LoggedEvent, PartitionId, WindowKey,
    system, window_hash,
};
use crate::stage::Effect;

/// An event that could be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival<'a> {
    pub(super) logged: &'a LoggedEvent,
    pub(super) view: EventView<'a>,
    /// Of its window key.
    pub(super) hash: u64,
}

/// What rules read of an event.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub(super) view: EventView<'a>,
    pub(super) captures: Captures<'a>,
}

impl<'a> Arrival<'a> {
    /// `None` where the bytes are damaged.
    pub(super) fn read(logged: &'a LoggedEvent) -> Option<Self> {
        let view = logged.event.view().ok()?;
        let hash = window_hash(view.site, &view.visit().0);
        Some(Self { logged, view, hash })
    }

    /// Index of its partition.
    pub(super) fn partition(&self) -> usize {
        usize::from(PartitionId::of(self.hash).0)
    }

    /// What is recorded of it.
    pub(super) fn row(&self, fate: Fate, visit: Option<&Visit>) -> EventRow {
        EventRow {
            seq: self.logged.seq,
            event: self.logged.event.clone(),
            instance: visit.map(|visit| visit.instance),
            fate,
            identity: visit.map_or_else(Identity::default, |visit| visit.identity.clone()),
        }
    }
}

impl Shared {
    pub(super) fn event(
        &mut self,
        arrival: Arrival<'_>,
        partition: &mut Partition,
        out: &mut Vec<Effect>,
    ) {
        let Arrival { logged, view, hash } = arrival;
        let entry = self.prepared.index.entry(view.name);
        let buffers = std::mem::take(&mut self.buffers);
        let Ok(captures) = entry.extractor().capture_into(&view, buffers) else {
            return self.pass_over(logged, Fate::Unreadable, out);
        };
        if view.flags.has(Flags::RECORD_ONLY) {
            return self.pass_over(logged, Fate::Unproven, out);
        }
        let id = view.visit();
        if view.timestamp < self.horizon {
            self.stats.events_late += 1;
            let mut visit = partition.find(hash, view.site, &id);
            if let Some(visit) = &mut visit {
                visit.events += 1;
            }
            return out.push(Effect::Event(arrival.row(Fate::BeforeHorizon, visit.as_deref())));
        }
        let visit = match partition.find(hash, view.site, &id) {
            Some(visit) => {
                self.catch_up(visit, true, out);
                visit
            }
            None => self.open(&arrival, partition, out),
        };
        visit.events += 1;
        if visit.is_made_up && view.name == system::VISIT_STARTED {
            visit.newest = visit.newest.max(visit::order(&view, logged.seq));
            return out.push(Effect::Event(arrival.row(Fate::Superseded, Some(visit))));
        }
        let was_dirty = visit.is_dirty();
        self.take(&arrival, captures, visit, out);
        if visit.is_dirty() && !was_dirty {
            let (partition, instance) = (arrival.partition(), visit.instance);
            self.dirty.push(DirtyVisit { partition, hash, instance });
        }
        if visit.unscheduled().is_some() {
            partition.schedule(hash, view.site, &id);
        }
        // Whoever knows no more than a visit's id cannot end it.
        if view.name == system::VISIT_ENDED
            && !view.flags.has(Flags::UNPROVEN)
            && let Some(ended) = partition.remove(hash, view.site, &id)
        {
            self.closed(ended, CloseReason::Ended, out);
        }
    }

    /// Takes an event of a visit, in order or late.
    fn take(
        &mut self,
        arrival: &Arrival<'_>,
        captures: Captures<'_>,
        visit: &mut Visit,
        out: &mut Vec<Effect>,
    ) {
        let order = visit::order(&arrival.view, arrival.logged.seq);
        let is_late = order < visit.newest;
        visit.newest = visit.newest.max(order);
        identity::advance(&mut visit.identity, &arrival.view);
        if let Some(visitor) = arrival.view.visitor() {
            visit.visitor = Some(visitor);
        }
        self.stats.events_late += u64::from(is_late);
        if visit.matchable >= self.config.visit_events_matched_max {
            self.stats.events_over_limit += 1;
            return out.push(Effect::Event(arrival.row(Fate::OverVisitLimit, Some(visit))));
        }
        visit.matchable += 1;
        if is_late {
            return self.put_in_place(arrival, captures, visit, out);
        }
        self.stats.events_matched += 1;
        let row = arrival.row(Fate::Matched, Some(visit));
        self.try_rules(row, Reading { view: arrival.view, captures }, visit, out);
    }

    /// Keeps an event that comes in order, and tries it on the rules.
    pub(super) fn try_rules(
        &mut self,
        row: EventRow,
        reading: Reading<'_>,
        visit: &mut Visit,
        out: &mut Vec<Effect>,
    ) {
        let before = visit.bytes();
        if visit.kept.is_full(self.config.visit_events_max) {
            self.leave(visit);
        }
        let ordinal = visit.kept.push(row.event.as_bytes(), row.seq, &row.identity);
        let Self { config, prepared, stats, hits, buffers, .. } = self;
        let Reading { view, mut captures } = reading;
        let entry = prepared.index.entry(view.name);
        entry.extractor().stamp(&mut captures, &row.identity);
        prepared.select((&prepared.index, entry), (&view, &captures), hits);
        visit.set_aside(view.timestamp, hits);
        let mut found = std::mem::take(&mut self.found);
        if !hits.is_empty() {
            let mut windows = std::mem::take(&mut visit.windows);
            let fields = entry.fields(&captures);
            let window = &WindowKey::Visit;
            let (row, view) = (&row, &view);
            let trial = Trial { prepared, config, window, row, view, fields, visit, ordinal };
            trial.run(hits, &mut windows, stats, &mut found);
            visit.windows = windows;
        }
        *buffers = captures.into_buffers();
        self.assert(visit, &mut found, true, out);
        self.count_bytes(before, visit);
        self.found = found;
        out.push(Effect::Event(row));
    }

    /// Records an event that belongs to no visit.
    pub(super) fn pass_over(&mut self, event: &LoggedEvent, fate: Fate, out: &mut Vec<Effect>) {
        self.stats.events_unreadable += u64::from(fate == Fate::Unreadable);
        out.push(Effect::Event(EventRow {
            seq: event.seq,
            event: event.event.clone(),
            instance: None,
            fate,
            identity: Identity::default(),
        }));
    }
}
