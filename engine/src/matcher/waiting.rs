//! What only some rules need of a window: matches that wait for a time, events that a missing event
//! at the start is looked for in, and samples under way.
//!
//! Apart from the partial matches, and on the heap only where there is something, because most
//! windows have nothing of it.

use super::held::HeldMatches;
use super::kept::Ordinal;
use super::keys::Key;
use super::sample::SampleState;
use crate::model::EventTimeMs;
use serde::{Deserialize, Serialize};

/// A rule, and a join key of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RuleKey {
    pub(super) rule: u32,
    pub(super) key: Key,
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
    pub(super) held: HeldMatches,
    leading: Vec<Leading>,
    samples: Vec<SampleState>,
}

impl Waiting {
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
        self.held.finish(rule);
        self.leading.retain(|leading| leading.of.rule != rule);
        self.samples.retain(|sample| sample.of.rule != rule);
    }

    /// Takes over what another window has of a rule; of this one there must be nothing.
    pub(super) fn adopt(&mut self, rule: u32, from: &Self) {
        self.held.adopt(rule, &from.held);
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
        let leading = self.leading.len() * size_of::<Leading>();
        let samples: usize = self.samples.iter().map(SampleState::bytes).sum();
        (self.held.bytes() + leading + samples) as u64
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
