//! Samples: one event for each step, in any order, all of one key.
//!
//! A sample is there with the first event by which all steps can be filled with distinct events of
//! one `maxspan`. Of the ways to fill them it has, step by step, the earliest events: they are found
//! by looking for a perfect matching of steps and events (Kuhn's algorithm), and then fixing the
//! earliest event of each step that leaves one for the rest. A key is done when it had its sample.

use super::kept::Ordinal;
use super::waiting::RuleKey;
use super::windows::BoundEvent;
use crate::model::EventTimeMs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An event that may fill a step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Candidate {
    pub(super) ordinal: Ordinal,
    pub(super) time: EventTimeMs,
    /// The event, where the step is bound.
    pub(super) bound: Option<BoundEvent>,
}

/// A sample of one rule and key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SampleState {
    pub(super) of: RuleKey,
    /// It was found: there is no second.
    pub(super) is_done: bool,
    /// By step, in order.
    steps: Vec<Vec<Candidate>>,
}

impl SampleState {
    pub(super) fn new(of: RuleKey, steps: usize) -> Self {
        Self { of, is_done: false, steps: vec![Vec::new(); steps] }
    }

    /// Adds an event that may fill a step. Without `maxspan` only the earliest can ever be of use,
    /// one for each step; with it those that are too old go. Returns whether one went because a step
    /// has more than `max`.
    pub(super) fn add(
        &mut self,
        step: u8,
        candidate: Candidate,
        maxspan_ms: Option<i64>,
        max: u32,
    ) -> bool {
        let steps = self.steps.len();
        let candidates = &mut self.steps[usize::from(step)];
        match maxspan_ms {
            None if candidates.len() >= steps => return false,
            None => {}
            Some(maxspan_ms) => {
                let from = candidate.time.saturating_add(-maxspan_ms);
                candidates.retain(|known| known.time >= from);
            }
        }
        candidates.push(candidate);
        let is_over = candidates.len() > usize::try_from(max).unwrap_or(usize::MAX).max(steps);
        if is_over {
            candidates.remove(0);
        }
        is_over
    }

    /// The events that fill all steps, by step, if they can be filled by `now`; then it is done.
    pub(super) fn fill(
        &mut self,
        now: EventTimeMs,
        maxspan_ms: Option<i64>,
    ) -> Option<Vec<Candidate>> {
        let from =
            maxspan_ms.map_or(EventTimeMs::MIN, |maxspan_ms| now.saturating_add(-maxspan_ms));
        let steps: Vec<Vec<&Candidate>> = self
            .steps
            .iter()
            .map(|candidates| {
                let fit = candidates.iter().filter(|candidate| candidate.time >= from);
                fit.take(self.steps.len()).collect()
            })
            .collect();
        let ordinals = |step: &Vec<&Candidate>| step.iter().map(|one| one.ordinal).collect();
        let mut left: Vec<Vec<Ordinal>> = steps.iter().map(ordinals).collect();
        if !has_matching(&left) {
            return None;
        }
        let mut filled = Vec::with_capacity(steps.len());
        for candidates in &steps {
            let (open, others) = left.split_first()?;
            let free = candidates.iter().filter(|candidate| open.contains(&candidate.ordinal));
            let (earliest, rest) = free
                .map(|candidate| (candidate, without(others, candidate.ordinal)))
                .find(|(_, rest)| has_matching(rest))?;
            filled.push((*earliest).clone());
            left = rest;
        }
        self.is_done = true;
        self.steps.iter_mut().for_each(Vec::clear);
        Some(filled)
    }

    /// The ordinals of its events, to be changed in the same order.
    pub(super) fn ordinals_mut(&mut self) -> impl Iterator<Item = &mut Ordinal> {
        self.steps.iter_mut().flatten().map(|candidate| &mut candidate.ordinal)
    }

    /// Its events.
    pub(super) fn named(&self) -> impl Iterator<Item = Ordinal> {
        self.steps.iter().flatten().map(|candidate| candidate.ordinal)
    }

    /// Its newest event.
    pub(super) fn newest(&self) -> Option<Ordinal> {
        self.named().max()
    }

    pub(super) fn bytes(&self) -> usize {
        let candidates = self.steps.iter().flatten().map(|candidate| {
            let bound = candidate.bound.as_ref().map_or(0, |bound| bound.event.as_bytes().len());
            size_of::<Candidate>() + bound
        });
        size_of::<Self>() + candidates.sum::<usize>()
    }
}

/// Steps without an event that is taken.
fn without(steps: &[Vec<Ordinal>], taken: Ordinal) -> Vec<Vec<Ordinal>> {
    let step = |step: &Vec<Ordinal>| step.iter().copied().filter(|one| *one != taken).collect();
    steps.iter().map(step).collect()
}

/// Whether every step can have an event of its own.
fn has_matching(steps: &[Vec<Ordinal>]) -> bool {
    let mut taken_by: BTreeMap<Ordinal, usize> = BTreeMap::new();
    (0..steps.len()).all(|step| augment(steps, step, &mut Vec::new(), &mut taken_by))
}

/// Finds an event for a step, if need be by giving another step another one.
fn augment(
    steps: &[Vec<Ordinal>],
    step: usize,
    tried: &mut Vec<Ordinal>,
    taken_by: &mut BTreeMap<Ordinal, usize>,
) -> bool {
    for event in &steps[step] {
        if tried.contains(event) {
            continue;
        }
        tried.push(*event);
        let is_free = match taken_by.get(event).copied() {
            None => true,
            Some(other) => augment(steps, other, tried, taken_by),
        };
        if is_free {
            taken_by.insert(*event, step);
            return true;
        }
    }
    false
}
