//! Late events, and what they correct.
//!
//! A late event is put in its place among the events that its visit keeps. The rules that it touches
//! are evaluated again at the end of the epoch, once, however many came: from the state before the
//! oldest kept event (`base`) over all that are kept, as if they had come in order. What is found then
//! is compared with what was asserted; the difference is said.
//!
//! The same is done with an event that comes in the order of its visit, but before a deadline that
//! already decided a match: a deadline decides when the watermark has passed it, and until the
//! horizon has, an event may come that prevents the match.
//!
//! **Cost.** A late event costs one evaluation of `visit_events_max` events at most, once for each
//! epoch; a visit that never had more than that keeps no state for it.

use super::Shared;
use super::arrival::Arrival;
use super::fields::Captures;
use super::index::Hit;
use super::kept::Ordinal;
use super::sequence::Trial;
use super::standing::{Corrections, Found};
use super::visit::Visit;
use super::windows::Windows;
use crate::model::{EventRow, EventTimeMs, Fate, Instance, PackedEvent, WindowKey};
use crate::stage::Effect;

/// A visit with rules to be evaluated again.
#[derive(Clone, Copy, Debug)]
pub(super) struct DirtyVisit {
    /// Index of its partition.
    pub(super) partition: usize,
    pub(super) hash: u64,
    pub(super) instance: Instance,
}

impl Shared {
    /// Puts a late event in its place, if the visit still keeps it; the rules that it satisfies are
    /// evaluated again.
    pub(super) fn put_in_place(
        &mut self,
        arrival: &Arrival<'_>,
        mut captures: Captures<'_>,
        visit: &mut Visit,
        out: &mut Vec<Effect>,
    ) {
        let Arrival { logged, view, .. } = arrival;
        let place = visit.kept.place(super::visit::order(view, logged.seq));
        let is_full = visit.kept.is_full(self.config.visit_events_max);
        if place == visit.kept.range().start && (is_full || visit.kept.has_left()) {
            self.stats.events_not_correctable += 1;
            out.push(Effect::Event(arrival.row(Fate::NotCorrectable, Some(visit))));
            self.buffers = captures.into_buffers();
            return;
        }
        self.stats.events_matched += 1;
        let held_bytes = visit.bytes();
        if is_full {
            self.leave(visit);
        }
        let bytes = logged.event.as_bytes();
        visit.kept.insert(place, bytes, logged.seq, &visit.identity);
        visit.windows.ordinals_mut().filter(|it| **it >= place).for_each(|it| *it += 1);
        let entry = self.prepared.index.entry(view.name);
        entry.extractor().stamp(&mut captures, &visit.identity);
        self.prepared.select((&self.prepared.index, entry), (view, &captures), &mut self.hits);
        if !self.hits.is_empty() {
            let late = visit.late_mut();
            self.hits.iter().for_each(|hit| late.touch(hit.rule_number()));
        }
        self.buffers = captures.into_buffers();
        self.count_bytes(held_bytes, visit);
        out.push(Effect::Event(arrival.row(Fate::PutInPlace, Some(visit))));
    }

    /// The oldest event that a visit keeps leaves it, for the state before those that stay.
    pub(super) fn leave(&mut self, visit: &mut Visit) {
        let oldest = visit.kept.range().start;
        self.stats.kept_events_dropped += 1;
        let mut base = visit.late_mut().base.take().unwrap_or_default();
        let mut found = Vec::new();
        self.retry((visit, oldest), |_| true, &mut base, &mut found);
        visit.kept.drop_first();
        // Of the matches that wait there nothing can change any more those that were decided before
        // the horizon, and before the events that stay.
        let next = visit.kept.get(oldest + 1).map_or(EventTimeMs::MAX, |kept| kept.view.timestamp);
        let decided = base.take_decided(next.min(self.horizon));
        self.prepared.pass(decided, &mut base, &mut found);
        if visit.kept.is_sweep_due() {
            let mut named = visit.windows.named();
            named.extend(base.named());
            named.sort_unstable();
            visit.kept.sweep(&named);
        }
        let late = visit.late_mut();
        late.base = Some(base);
        late.settle(found);
    }

    /// Tries a kept event once more, on those rules that are asked for.
    fn retry(
        &mut self,
        (visit, ordinal): (&Visit, Ordinal),
        is_asked: impl Fn(u32) -> bool,
        windows: &mut Windows,
        found: &mut Vec<Found>,
    ) {
        let Some(kept) = visit.kept.get(ordinal) else { return };
        let Self { config, prepared, stats, hits, buffers, .. } = self;
        let entry = prepared.index.entry(kept.view.name);
        let taken = std::mem::take(buffers);
        let Ok(mut captures) = entry.extractor().capture_into(&kept.view, taken) else { return };
        entry.extractor().stamp(&mut captures, &kept.identity);
        prepared.select((&prepared.index, entry), (&kept.view, &captures), hits);
        hits.retain(|hit: &Hit| is_asked(hit.rule_number()));
        if !hits.is_empty() {
            let row = EventRow {
                seq: kept.seq,
                event: PackedEvent::from_bytes(kept.bytes),
                instance: Some(visit.instance),
                fate: Fate::Matched,
                identity: kept.identity,
            };
            let fields = entry.fields(&captures);
            let window = &WindowKey::Visit;
            let (row, view) = (&row, &kept.view);
            let trial = Trial { prepared, config, window, row, view, fields, visit, ordinal };
            trial.run(hits, windows, stats, found);
        }
        *buffers = captures.into_buffers();
    }

    /// Tries all kept events once more on some rules (sorted), and finds what is due by now.
    pub(super) fn retry_all(
        &mut self,
        visit: &Visit,
        rules: &[u32],
        windows: &mut Windows,
        found: &mut Vec<Found>,
    ) {
        let is_asked = |rule: u32| rules.binary_search(&rule).is_ok();
        for ordinal in visit.kept.range() {
            self.retry((visit, ordinal), is_asked, windows, found);
        }
        self.prepared.pass(windows.take_due(self.watermark), windows, found);
    }

    /// Evaluates the rules again that late events touched, and corrects what was said of them.
    pub(super) fn correct(&mut self, visit: &mut Visit, out: &mut Vec<Effect>) {
        if !visit.is_dirty() {
            return;
        }
        let held_bytes = visit.bytes();
        let late = visit.late_mut();
        let mut rules = std::mem::take(&mut late.dirty);
        rules.sort_unstable();
        let base = late.base.take();
        let settled = std::mem::take(&mut late.settled);
        let mut windows = std::mem::take(&mut visit.windows);
        rules.iter().for_each(|rule| windows.reset(*rule, base.as_ref()));
        let mut found = settled.clone();
        self.retry_all(visit, &rules, &mut windows, &mut found);
        visit.windows = windows;
        let horizon = self.horizon;
        let late = visit.late_mut();
        late.base = base;
        let Corrections { retracted, mut asserted } = late.standing.correct(&rules, found, horizon);
        self.stats.matches_retracted += retracted.len() as u64;
        out.extend(retracted.into_iter().map(|one| Effect::Match(one.fact, -1)));
        self.assert(visit, &mut asserted, true, out);
        visit.late_mut().settle(settled);
        self.count_bytes(held_bytes, visit);
    }

    /// Asserts matches. While the visit is open they stand until they are final.
    pub(super) fn assert(
        &mut self,
        visit: &mut Visit,
        found: &mut Vec<Found>,
        is_visit_open: bool,
        out: &mut Vec<Effect>,
    ) {
        for mut one in found.drain(..) {
            visit.settle_visitor(&mut one);
            one.fact.is_visit_open = is_visit_open;
            one.fact.is_backfilled = self.changes.is_backfilled(&one);
            self.stats.matches += 1;
            if is_visit_open {
                let standing = &mut visit.late_mut().standing;
                let is_over = standing.push(one.clone(), self.horizon, self.config.rule_hits_max);
                self.stats.hits_over_limit += u64::from(is_over);
            }
            out.push(Effect::Match(one.fact, 1));
        }
    }

    /// The state of a visit had so many bytes before.
    pub(super) fn count_bytes(&mut self, before: u64, visit: &Visit) {
        self.stats.state_bytes = (self.stats.state_bytes + visit.bytes()).saturating_sub(before);
    }
}
