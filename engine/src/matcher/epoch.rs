//! What becomes of visits at the end of an epoch: corrections, deadlines, their own end.

use super::late::DirtyVisit;
use super::prepared::Prepared;
use super::standing::Found;
use super::visit::Visit;
use super::windows::Windows;
use super::{Matcher, Shared, config};
use crate::model::{CloseReason, EpochMark, EventTimeMs};
use crate::stage::Effect;

impl Matcher {
    /// Corrects what late events of the epoch changed.
    pub(super) fn correct(&mut self, out: &mut Vec<Effect>) {
        let Self { shared, partitions, first_due, .. } = self;
        for DirtyVisit { partition: index, hash, instance } in std::mem::take(&mut shared.dirty) {
            let Some(partition) = &mut partitions[index] else { continue };
            partition.revise(hash, instance, |visit| shared.correct(visit, out));
            first_due[index] = partition.first_due().unwrap_or(EventTimeMs::MAX);
        }
    }

    /// Asserts the matches whose time the watermark has passed.
    pub(super) fn fire_due(&mut self, out: &mut Vec<Effect>) {
        let Self { shared, partitions, first_due, .. } = self;
        let watermark = shared.watermark;
        for (partition, first) in partitions.iter_mut().zip(first_due) {
            let Some(partition) = partition.as_mut().filter(|_| watermark > *first) else {
                continue;
            };
            partition.fire_due(watermark, |visit| shared.fire(visit, watermark, true, out));
            *first = partition.first_due().unwrap_or(EventTimeMs::MAX);
        }
    }

    /// The time moves on to the mark's.
    pub(super) fn advance(&mut self, mark: &EpochMark) {
        let shared = &mut self.shared;
        shared.watermark = shared.watermark.max(mark.watermark);
        let horizon = config::horizon(mark.watermark, shared.config.lateness_ms);
        shared.horizon = shared.horizon.max(horizon);
    }

    /// Ends the visits that the horizon has passed; all of them at the end of time.
    pub(super) fn close(&mut self, is_end: bool, out: &mut Vec<Effect>) {
        let Self { shared, partitions, first_idle, .. } = self;
        for (partition, first) in partitions.iter_mut().zip(first_idle) {
            let Some(partition) = partition else { continue };
            if !is_end && !shared.is_over(*first) {
                continue;
            }
            while let Some(ended) = partition.pop_idle(|last| is_end || shared.is_over(last)) {
                let reason = if is_end { CloseReason::EndOfInput } else { CloseReason::Inactive };
                shared.closed(ended, reason, out);
            }
            *first = partition.first_idle().unwrap_or(EventTimeMs::MAX);
        }
    }
}

impl Shared {
    /// Asserts the matches that waited for a time before the watermark, in the order in which they
    /// were decided.
    pub(super) fn fire(
        &mut self,
        visit: &mut Visit,
        watermark: EventTimeMs,
        is_visit_open: bool,
        out: &mut Vec<Effect>,
    ) {
        self.assert_found(visit, is_visit_open, out, |prepared, windows, found| {
            prepared.pass(windows.take_due(watermark), windows, found);
        });
    }

    /// Asserts the matches of a visit that `find` takes from what is under way in it.
    pub(super) fn assert_found(
        &mut self,
        visit: &mut Visit,
        is_visit_open: bool,
        out: &mut Vec<Effect>,
        find: impl FnOnce(&Prepared, &mut Windows, &mut Vec<Found>),
    ) {
        let held_bytes = visit.bytes();
        let mut windows = std::mem::take(&mut visit.windows);
        let mut found = std::mem::take(&mut self.found);
        find(&self.prepared, &mut windows, &mut found);
        visit.windows = windows;
        self.assert(visit, &mut found, is_visit_open, out);
        self.count_bytes(held_bytes, visit);
        self.found = found;
    }
}
