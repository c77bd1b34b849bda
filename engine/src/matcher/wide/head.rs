//! What is said of a window before it is final: `emit = "early"`.
//!
//! The head is what is under way with all events tried that wait. An event behind all others is tried
//! on it once, and what that completes is asserted; a match that waits for a deadline is asserted when
//! the watermark has passed that. What was asserted stands until it is final.
//!
//! An event that sorts before one that was tried, or before a deadline that decided a match, makes
//! its rules be evaluated again at the end of the epoch, once: from the base over the events that
//! wait. The difference to what stands is said.
//!
//! The head has those rules only that an event was tried on since they were the same as in the base:
//! a window in which nothing waits has its state once.
//!
//! **Cost.** A late event costs one trial of its rules on `window_events_max` events at most, and a copy
//! of their state in the base, once for each epoch: 1.5 us for each rule and event that waits. A rule
//! of one event that fires every time costs one trial.

use super::super::index::Hit;
use super::super::standing::{Corrections, Found};
use super::Shared;
use super::window::OpenWindow;
use crate::stage::Effect;
use beckon_rules::plan::{Fire, QueryPlan, RulePlan};

impl OpenWindow {
    /// A rule is evaluated again at the end of the epoch, from the base over all events that wait, if
    /// it says matches before they are final. (The window must be listed for that.)
    pub(super) fn touch(&mut self, rule: u32, shared: &Shared) {
        if shared.is_early(rule) {
            self.state.late_mut().touch(rule);
        }
    }

    /// An event that comes late touches the rules that may still fire, and for which it is not a match
    /// by itself, whatever else there is.
    pub(super) fn touch_open(&mut self, hits: &[Hit], shared: &Shared) {
        let others = hits.iter().filter(|hit| !is_alone(&shared.prepared.rules.rules[hit.rule()]));
        for rule in others.map(|hit| hit.rule_number()) {
            if !self.state.base().is_some_and(|base| base.is_done(rule)) {
                self.touch(rule, shared);
            }
        }
    }

    /// Says what the epoch's events mean, those that came in order and those that did not.
    pub(super) fn end_epoch(&mut self, shared: &mut Shared, out: &mut Vec<Effect>) {
        let before = self.bytes();
        self.try_untried(shared, out);
        self.correct(shared, out);
        shared.count_bytes(before, self);
    }

    /// Tries the events on the head that came in order; late ones on rules that need no other event.
    pub(super) fn try_untried(&mut self, shared: &mut Shared, out: &mut Vec<Effect>) {
        let ordered = self.waiting.len() - std::mem::take(&mut self.untried);
        let first = if std::mem::take(&mut self.late) > 0 { 0 } else { ordered };
        for index in first..self.waiting.len() {
            let is_late = std::mem::take(&mut self.waiting[index].is_late);
            if index < ordered && !is_late {
                continue;
            }
            let mut hits = self.early_hits(index, shared);
            hits.retain(|hit| !is_late || is_alone(&shared.prepared.rules.rules[hit.rule()]));
            self.state.set_aside(self.waiting[index].place.time, &mut hits);
            if hits.is_empty() {
                continue;
            }
            hits.iter().for_each(|hit| self.bring_ahead(hit.rule_number()));
            let mut head = std::mem::take(&mut self.state.windows);
            let mut found = Vec::new();
            let counted = self.try_one((index, &hits), &mut head, shared, &mut found);
            self.state.windows = head;
            // The rest is counted when the event goes into the base.
            shared.stats.stage.hits_over_limit += counted.hits_over_limit;
            self.assert(found, shared, out);
        }
    }

    /// Asserts the matches whose deadline the watermark has passed.
    pub(super) fn fire(&mut self, shared: &mut Shared, out: &mut Vec<Effect>) {
        let due = self.state.windows.take_due(shared.watermark);
        let mut found = Vec::new();
        shared.prepared.pass(due, &mut self.state.windows, &mut found);
        self.assert(found, shared, out);
    }

    /// Leaves to the base what is the same there: nothing waits any more.
    pub(super) fn fall_back(&mut self) {
        let Self { ahead, state, .. } = self;
        let is_held = |rule: u32| state.base().is_some_and(|base| base.is_held(rule));
        let (held, same): (Vec<_>, Vec<_>) = ahead.drain(..).partition(|rule| is_held(*rule));
        *ahead = held;
        same.into_iter().for_each(|rule| state.windows.forget(rule));
    }

    /// The hits of an event that waits of rules that may say something before it is final.
    fn early_hits(&self, index: usize, shared: &Shared) -> Vec<Hit> {
        let (window, base) = (self.key.window(), self.state.base());
        let is_early = |hit: &&Hit| {
            let plan = &shared.prepared.rules.rules[hit.rule()];
            plan.window == window
                && shared.is_early(hit.rule_number())
                && base.is_none_or(|base| !base.is_done(hit.rule_number()))
        };
        self.waiting[index].hits.iter().filter(is_early).copied().collect()
    }

    /// Gives the head a rule, as it is in the base.
    fn bring_ahead(&mut self, rule: u32) {
        if let Err(place) = self.ahead.binary_search(&rule) {
            self.ahead.insert(place, rule);
            self.reset(rule);
        }
    }

    /// What is under way of a rule is that of the base.
    fn reset(&mut self, rule: u32) {
        let base = self.state.late_mut().base.take();
        self.state.windows.reset(rule, base.as_ref());
        self.state.late_mut().base = base;
    }

    /// Evaluates the rules again that late events touched, and corrects what was said of them.
    fn correct(&mut self, shared: &mut Shared, out: &mut Vec<Effect>) {
        if !self.state.is_dirty() {
            return;
        }
        let late = self.state.late_mut();
        let mut rules = std::mem::take(&mut late.dirty);
        rules.sort_unstable();
        let settled = std::mem::take(&mut late.settled);
        for rule in &rules {
            self.bring_ahead(*rule);
            self.reset(*rule);
        }
        let mut head = std::mem::take(&mut self.state.windows);
        let mut found = settled.clone();
        for index in 0..self.waiting.len() {
            let mut hits = self.early_hits(index, shared);
            hits.retain(|hit| rules.binary_search(&hit.rule_number()).is_ok());
            if !hits.is_empty() {
                self.try_one((index, &hits), &mut head, shared, &mut found);
            }
        }
        shared.prepared.pass(head.take_due(shared.watermark), &mut head, &mut found);
        self.state.windows = head;
        let standing = &mut self.state.late_mut().standing;
        let corrections = standing.correct(&rules, found, shared.horizon);
        let Corrections { retracted, asserted } = corrections;
        retracted.iter().for_each(|gone| shared.take_back(&self.key, gone));
        shared.stats.stage.matches_retracted += retracted.len() as u64;
        out.extend(retracted.into_iter().map(|one| Effect::Match(one.fact, -1)));
        self.assert(asserted, shared, out);
        self.state.late_mut().settle(settled);
    }

    /// Asserts matches, which stand until they are final.
    fn assert(&mut self, found: Vec<Found>, shared: &mut Shared, out: &mut Vec<Effect>) {
        let (horizon, max) = (shared.horizon, shared.config.rule_hits_max);
        for mut one in found {
            shared.assign(&self.key, &mut one);
            let is_over = self.state.late_mut().standing.push(one.clone(), horizon, max);
            shared.stats.stage.hits_over_limit += u64::from(is_over);
            shared.stats.stage.matches += 1;
            out.push(Effect::Match(one.fact, 1));
        }
    }
}

/// Whether each event that satisfies a rule is a match of it.
fn is_alone(plan: &RulePlan) -> bool {
    matches!(plan.query, QueryPlan::Event(_)) && plan.fire == Fire::Every
}
