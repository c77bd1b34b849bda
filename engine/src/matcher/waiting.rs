//! What only some rules need of a window: matches that wait for a time, events that a missing event
//! at the start is looked for in, and samples under way.
//!
//! Apart from the partial matches, and on the heap only where there is something, because most
//! windows have nothing of it.

use super::kept::Ordinal;
use super::keys::Key;
use super::sample::SampleState;
use super::standing::Found;
use super::windows::{BoundEvent, Windows};
use crate::model::{ActionFact, EventTimeMs, Instance};
use beckon_rules::plan::{Fire, RulePlan};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A rule, and a join key of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RuleKey {
    pub(super) rule: u32,
    pub(super) key: Key,
}

/// A match whose positive steps are complete, and that waits for its time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) of: RuleKey,
    /// Whether a deadline decides it and not its last event.
    pub(super) is_deadline: bool,
    /// It is asserted when the watermark has passed this: what decides it, and for `emit = "final"`
    /// the lateness behind that.
    pub(super) due: EventTimeMs,
    /// Its events that the missing event is compared with.
    pub(super) bound: Vec<BoundEvent>,
    /// What is said of it.
    pub(super) fact: Box<ActionFact>,
}

impl Held {
    /// When it is decided. What an event decides goes before a deadline at the same time.
    fn moment(&self) -> (EventTimeMs, bool) {
        (self.fact.decided, self.is_deadline)
    }

    /// The match is found, if its rule may still fire in the window. The same match of another value
    /// of the join key waits no longer.
    pub(super) fn pass(self, plan: &RulePlan, windows: &mut Windows, found: &mut Vec<Found>) {
        if windows.is_done(self.of.rule) {
            return;
        }
        if let Some(waiting) = windows.waiting_mut_if_any() {
            waiting.held.retain(|held| held.fact.matched != self.fact.matched);
        }
        let Self { of, is_deadline, fact, .. } = self;
        found.push(Found { rule: of.rule, is_deadline, fact });
        if plan.fire == Fire::Once {
            windows.finish(of.rule);
        }
    }
}

/// When the newest events happened that a missing event at the start asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Leading {
    of: RuleKey,
    newest: EventTimeMs,
    /// The newest before `newest`.
    earlier: Option<EventTimeMs>,
}

/// What waits in one window.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Waiting {
    /// In the order in which they became complete.
    held: Vec<Held>,
    leading: Vec<Leading>,
    samples: Vec<SampleState>,
}

impl Waiting {
    /// Lets a match wait.
    pub(super) fn hold(&mut self, held: Held) {
        self.held.push(held);
    }

    /// How many matches of a rule and key wait for a deadline that is not before `now`.
    pub(super) fn absences(&self, of: &RuleKey, now: EventTimeMs) -> usize {
        let is_pending =
            |held: &&Held| held.is_deadline && held.fact.decided >= now && held.of == *of;
        self.held.iter().filter(is_pending).count()
    }

    /// The first match of a rule that is decided by `now` and only waits for its turn, if more than
    /// `max` do.
    pub(super) fn pop_over(&mut self, rule: u32, now: EventTimeMs, max: u32) -> Option<Held> {
        let is_decided =
            |held: &Held| held.of.rule == rule && (!held.is_deadline || held.fact.decided < now);
        first_over(&self.held, max, is_decided, Held::moment).map(|first| self.held.remove(first))
    }

    /// Whether a match of a rule was decided before this time and is only waiting for its turn.
    pub(super) fn is_decided_before(&self, rule: u32, time: EventTimeMs) -> bool {
        self.held.iter().any(|held| held.of.rule == rule && held.fact.decided < time)
    }

    /// Drops the waiting matches that an event at `now` prevents, if `is_hit` says that it is what
    /// they must not see.
    pub(super) fn prevent(
        &mut self,
        of: &RuleKey,
        now: EventTimeMs,
        is_hit: impl Fn(&[BoundEvent]) -> bool,
    ) {
        self.held.retain(|held| {
            let is_asked = held.is_deadline
                && held.of == *of
                && held.fact.timestamp < now
                && now <= held.fact.decided;
            !(is_asked && is_hit(&held.bound))
        });
    }

    /// Takes out the matches whose time the watermark has passed, in the order in which they were
    /// decided, each once.
    pub(super) fn take_due(&mut self, watermark: EventTimeMs) -> Vec<Held> {
        self.take(|held| watermark > held.due)
    }

    /// Takes out the matches that were decided before a time, in that order, each once.
    pub(super) fn take_decided(&mut self, before: EventTimeMs) -> Vec<Held> {
        self.take(|held| before > held.fact.decided)
    }

    fn take(&mut self, is_asked: impl Fn(&Held) -> bool) -> Vec<Held> {
        let mut due: Vec<Held> = self.held.extract_if(.., |held| is_asked(held)).collect();
        due.sort_by_key(Held::moment);
        let mut known = BTreeSet::new();
        due.retain(|held| known.insert(held.fact.matched));
        due
    }

    /// A visit ended: matches whose last event is of it say so.
    pub(super) fn visit_ended(&mut self, instance: Instance) {
        for held in self.held.iter_mut().filter(|held| held.fact.instance == instance) {
            held.fact.is_visit_open = false;
        }
    }

    /// Whether a match of a rule waits.
    pub(super) fn is_held(&self, rule: u32) -> bool {
        self.held.iter().any(|held| held.of.rule == rule)
    }

    /// The earliest time that a match waits for.
    pub(super) fn first_due(&self) -> Option<EventTimeMs> {
        self.held.iter().map(|held| held.due).min()
    }

    /// An event that a missing event at the start asks for. Returns whether another was forgotten
    /// because the rule has more than `max` keys.
    pub(super) fn lead(&mut self, of: RuleKey, now: EventTimeMs, max: u32) -> bool {
        if let Some(leading) = self.leading.iter_mut().find(|leading| leading.of == of) {
            if leading.newest < now {
                leading.earlier = Some(leading.newest);
                leading.newest = now;
            }
            return false;
        }
        let rule = of.rule;
        self.leading.push(Leading { of, newest: now, earlier: None });
        let is_of_rule = |leading: &Leading| leading.of.rule == rule;
        let oldest = first_over(&self.leading, max.max(1), is_of_rule, |leading| leading.newest);
        oldest.map(|oldest| self.leading.remove(oldest)).is_some()
    }

    /// The newest event before a time that a missing event at the start asks for.
    pub(super) fn leading(&self, of: &RuleKey, first: EventTimeMs) -> Option<EventTimeMs> {
        let leading = self.leading.iter().find(|leading| leading.of == *of)?;
        if leading.newest < first { Some(leading.newest) } else { leading.earlier }
    }

    /// The sample of a rule and key.
    pub(super) fn sample_mut(&mut self, of: &RuleKey) -> Option<&mut SampleState> {
        self.samples.iter_mut().find(|sample| sample.of == *of && !sample.is_done)
    }

    /// The sample of a rule and key, new if there is none yet. The flag says whether another was
    /// forgotten because the rule has more than `max`: the one whose newest event is oldest.
    pub(super) fn sample_or_new(
        &mut self,
        of: RuleKey,
        steps: usize,
        max: u32,
    ) -> (&mut SampleState, bool) {
        if let Some(index) = self.samples.iter().position(|sample| sample.of == of) {
            return (&mut self.samples[index], false);
        }
        let is_of_rule = |sample: &SampleState| sample.of.rule == of.rule;
        let others_max = max.max(1) - 1;
        let oldest = first_over(&self.samples, others_max, is_of_rule, SampleState::newest);
        let is_full = oldest.map(|oldest| self.samples.remove(oldest)).is_some();
        let index = self.samples.len();
        self.samples.push(SampleState::new(of, steps));
        (&mut self.samples[index], is_full)
    }

    /// A rule is done here.
    pub(super) fn finish(&mut self, rule: u32) {
        self.held.retain(|held| held.of.rule != rule);
        self.leading.retain(|leading| leading.of.rule != rule);
        self.samples.retain(|sample| sample.of.rule != rule);
    }

    /// Takes over what another window has of a rule; of this one there must be nothing.
    pub(super) fn adopt(&mut self, rule: u32, from: &Self) {
        self.held.extend(from.held.iter().filter(|held| held.of.rule == rule).cloned());
        self.leading.extend(from.leading.iter().filter(|it| it.of.rule == rule).cloned());
        self.samples.extend(from.samples.iter().filter(|it| it.of.rule == rule).cloned());
    }

    /// The ordinals of events that samples name, to be changed in the same order.
    pub(super) fn ordinals_mut(&mut self) -> impl Iterator<Item = &mut Ordinal> {
        self.samples.iter_mut().flat_map(SampleState::ordinals_mut)
    }

    /// Events that samples name.
    pub(super) fn named(&self) -> impl Iterator<Item = Ordinal> {
        self.samples.iter().flat_map(SampleState::named)
    }

    /// Bytes, by a figure for each thing that waits.
    pub(super) fn bytes(&self) -> u64 {
        let held = self.held.len() * (size_of::<Held>() + size_of::<ActionFact>());
        let leading = self.leading.len() * size_of::<Leading>();
        let samples: usize = self.samples.iter().map(SampleState::bytes).sum();
        (held + leading + samples) as u64
    }
}

/// Of those that `is_asked` counts the first in the order of `place`, if there are more than `max`.
fn first_over<T, P: Ord>(
    all: &[T],
    max: u32,
    is_asked: impl Fn(&T) -> bool,
    place: impl Fn(&T) -> P,
) -> Option<usize> {
    let asked = || all.iter().enumerate().filter(|(_, one)| is_asked(one));
    let is_over = asked().count() > usize::try_from(max).unwrap_or(usize::MAX);
    let first = asked().min_by_key(|(_, one)| place(one)).filter(|_| is_over);
    first.map(|(index, _)| index)
}
