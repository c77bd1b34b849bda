//! A rule set made ready to run: its index, its actions, and what its conditions across steps read.

use super::action::Action;
use super::fields::Extractor;
use super::index::{BoundFields, EventFields, Index};
use super::windows::BoundEvent;
use beckon_rules::plan::RuleSet;
use beckon_rules::program::Program;
use std::sync::Arc;

/// A rule set, ready to run.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) rules: Arc<RuleSet>,
    pub(super) index: Index,
    /// By rule.
    pub(super) actions: Vec<Action>,
    /// Every field, for events of earlier steps.
    bound_extractor: Extractor,
    bound_places: Vec<usize>,
}

impl Prepared {
    pub(super) fn new(rules: Arc<RuleSet>) -> Self {
        Self {
            index: Index::new(&rules),
            actions: rules.rules.iter().map(|rule| Action::new(&rule.action)).collect(),
            bound_extractor: Extractor::new(&rules.fields),
            bound_places: (0..rules.fields.len()).collect(),
            rules,
        }
    }

    /// Whether a condition that names earlier events is true.
    pub(super) fn is_true_across(
        &self,
        across: &Program,
        fields: EventFields<'_>,
        bound: &[BoundEvent],
    ) -> bool {
        let views: Vec<_> = bound.iter().filter_map(|event| event.event.view().ok()).collect();
        let bound: Vec<BoundFields<'_>> = bound
            .iter()
            .zip(&views)
            .filter_map(|(event, view)| {
                let mut captures = self.bound_extractor.capture(view).ok()?;
                self.bound_extractor.stamp(&mut captures, &event.identity);
                Some(BoundFields { step: event.step, places: &self.bound_places, captures })
            })
            .collect();
        across.matches(&fields.with_bound(&bound))
    }
}
