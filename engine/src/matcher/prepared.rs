//! A rule set made ready to run: its index, its actions, and what its conditions across steps read.

use super::action::Action;
use super::fields::Captures;
use super::held::Held;
use super::index::{BoundFields, BoundReads, EventFields, Hit, Index, NameEntry};
use super::reach::Reaches;
use super::standing::Found;
use super::windows::{BoundEvent, Windows};
use crate::model::{EventTimeMs, EventView};
use beckon_rules::plan::{RuleSet, Window};
use beckon_rules::program::Program;
use std::sync::Arc;

/// A rule set, ready to run; all workers share one.
#[derive(Debug)]
pub struct Prepared {
    pub(super) rules: Arc<RuleSet>,
    /// Of the rules on the visit.
    pub(super) index: Index,
    /// Of those on other windows, if there are any.
    pub(super) wide: Option<Index>,
    reaches: Reaches,
    /// By rule.
    pub(super) actions: Vec<Action>,
    /// By rule: what is read of events of earlier steps.
    bound_reads: Vec<Vec<BoundReads>>,
}

impl Prepared {
    /// Makes a rule set ready.
    #[must_use]
    pub fn new(rules: Arc<RuleSet>) -> Self {
        Self::of(rules, |_| true)
    }

    /// The same; only those rules see events whose slots are asked for.
    #[must_use]
    pub fn of(rules: Arc<RuleSet>, is_asked: impl Fn(u32) -> bool) -> Self {
        let is_wide = |window| window != Window::Visit;
        let has_wide =
            (0_u32..).zip(&rules.rules).any(|(slot, rule)| is_wide(rule.window) && is_asked(slot));
        let index = |wide: bool| {
            Index::new(&rules, |rule, window| is_wide(window) == wide && is_asked(rule.0))
        };
        Self {
            index: index(false),
            wide: has_wide.then(|| index(true)),
            reaches: Reaches::new(&rules.rules),
            actions: rules.rules.iter().map(|rule| Action::new(&rule.action)).collect(),
            bound_reads: rules.rules.iter().map(|rule| BoundReads::of(&rules, rule)).collect(),
            rules,
        }
    }

    /// The rules, by slot.
    #[must_use]
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// How many slots there are, with a rule or without.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.rules.rules.len()
    }

    /// Writes the steps of an index that an event satisfies by itself to `hits`: sorted, each once,
    /// those of rules that see it.
    pub(super) fn select(
        &self,
        (index, entry): (&Index, &NameEntry),
        (view, captures): (&EventView<'_>, &Captures<'_>),
        hits: &mut Vec<Hit>,
    ) {
        index.select(entry, captures, hits);
        self.reaches.retain(view, hits);
    }

    /// Matches that waited are found, in their order, if their rules may still fire.
    pub(super) fn pass(&self, held: Vec<Held>, windows: &mut Windows, found: &mut Vec<Found>) {
        for held in held.into_iter().filter(|held| self.is_deployed(held)) {
            let plan = &self.rules.rules[index(held.of.rule)];
            held.pass(plan, windows, found);
        }
    }

    /// A window is pushed out of memory: of the matches that wait, those that are known by now are
    /// found, and the others are dropped. Returns how many those were.
    pub(super) fn pass_known(
        &self,
        watermark: EventTimeMs,
        windows: &mut Windows,
        found: &mut Vec<Found>,
    ) -> u64 {
        self.pass(windows.take_known(watermark), windows, found);
        let dropped = windows.take_due(EventTimeMs::MAX);
        dropped.iter().filter(|held| self.is_deployed(held)).count() as u64
    }

    /// Otherwise its rule was removed, and the state of that is not swept yet.
    fn is_deployed(&self, held: &Held) -> bool {
        !self.rules.rules[index(held.of.rule)].is_vacant()
    }

    /// Whether a condition of a rule that names earlier events is true.
    pub(super) fn is_true_across(
        &self,
        (rule, across): (usize, &Program),
        fields: EventFields<'_>,
        bound: &[BoundEvent],
    ) -> bool {
        let read = self.bound_reads[rule].iter().filter_map(|reads| {
            let event = bound.iter().find(|event| event.step == reads.step)?;
            Some((reads, event, event.event.view().ok()?))
        });
        let read: Vec<_> = read.collect();
        let bound: Vec<BoundFields<'_>> = read
            .iter()
            .filter_map(|(reads, event, view)| {
                let mut captures = reads.extractor.capture(view).ok()?;
                reads.extractor.stamp(&mut captures, &event.identity);
                Some(BoundFields { reads, captures })
            })
            .collect();
        across.matches(&fields.with_bound(&bound))
    }
}

fn index(rule: u32) -> usize {
    usize::try_from(rule).expect("an index of the rules")
}
