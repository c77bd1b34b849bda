//! How visits begin and end.

use super::Shared;
use super::arrival::{Arrival, Reading};
use super::partition::{Ended, Partition};
use super::visit::Visit;
use crate::model::{
    CloseReason, EventRow, EventTimeMs, Fate, LogSeq, PackedEvent, VisitChange,
    made_up_visit_started, system,
};
use crate::stage::Effect;
use std::sync::Arc;

impl Shared {
    /// Opens the visit of an event, and makes up its beginning if that is missing.
    pub(super) fn open<'p>(
        &mut self,
        arrival: &Arrival<'_>,
        partition: &'p mut Partition,
        out: &mut Vec<Effect>,
    ) -> &'p mut Visit {
        while partition.len() >= self.config.partition_visits_max()
            && let Some(ended) = partition.pop_idle(|_| true)
        {
            self.stats.visits_evicted += 1;
            self.closed(ended, CloseReason::Evicted, out);
        }
        let Arrival { logged, view, hash } = arrival;
        let site = Arc::clone(self.sites.entry(view.site, || view.site.into()));
        let resumed = partition.is_closed(*hash);
        let visit = partition.insert(*hash, Visit::open(site, view, logged.seq));
        self.stats.visits_open += 1;
        self.stats.state_bytes += visit.bytes();
        visit.changes = self.changes.count();
        visit.visitor = view.visitor();
        visit.events = 1;
        out.push(Effect::Visit(visit.row(VisitChange::Opened { resumed }).into()));
        visit.events = 0;
        if self.config.makes_visit_started && view.name != system::VISIT_STARTED {
            visit.is_made_up = true;
            let event = made_up_visit_started(view, visit.instance);
            self.take_made_up(&event, logged.seq, visit, out);
        }
        visit
    }

    fn take_made_up(
        &mut self,
        event: &PackedEvent,
        seq: LogSeq,
        visit: &mut Visit,
        out: &mut Vec<Effect>,
    ) {
        let view = event.view().expect("just packed");
        let entry = self.prepared.index.entry(view.name);
        let captures = entry.extractor().capture(&view).expect("just packed");
        let row = EventRow {
            seq,
            event: event.clone(),
            instance: Some(visit.instance),
            fate: Fate::Matched,
            identity: visit.identity.clone(),
        };
        self.try_rules(row, Reading { view, captures }, visit, out);
    }

    /// Whether a visit with this last event is over by the horizon.
    pub(super) fn is_over(&self, last_event: EventTimeMs) -> bool {
        self.config
            .inactivity_ms
            .is_some_and(|inactivity_ms| last_event.saturating_add(inactivity_ms) < self.horizon)
    }

    /// Tells of a visit that was taken out, and asserts the matches that nothing can refuse any more: of
    /// one that ended all that wait.
    pub(super) fn closed(&mut self, ended: Ended, reason: CloseReason, out: &mut Vec<Effect>) {
        let Ended { mut visit, is_one_forgotten } = ended;
        self.catch_up(&mut visit, false, out);
        self.correct(&mut visit, out);
        match reason {
            CloseReason::Evicted => self.push_out(&mut visit, out),
            CloseReason::Ended | CloseReason::Inactive | CloseReason::EndOfInput => {
                self.fire(&mut visit, EventTimeMs::MAX, false, out);
            }
        }
        self.stats.visits_open -= 1;
        self.stats.closed_visits_forgotten += u64::from(is_one_forgotten);
        self.stats.state_bytes = self.stats.state_bytes.saturating_sub(visit.bytes());
        out.push(Effect::Visit(visit.row(VisitChange::Closed(reason)).into()));
    }

    /// Asserts the matches of a visit that are known by now; those that wait for what may still come
    /// are dropped.
    fn push_out(&mut self, visit: &mut Visit, out: &mut Vec<Effect>) {
        let watermark = self.watermark;
        let mut dropped = 0;
        self.assert_found(visit, false, out, |prepared, windows, found| {
            dropped = prepared.pass_known(watermark, windows, found);
        });
        self.stats.absences_dropped += dropped;
    }
}
