//! What a replay's output says, kept for the summary: counts, and the first match of each rule.
//!
//! Events are kept so that a match can show what it matched, at most [`RECENT_BYTES_MAX`] of them and
//! only while a rule has no example yet: those of open visits; where a rule looks over several visits,
//! those of visits that ended too.

use super::example::Example;
use beckon_engine::model::{
    ActionFact, ActionRow, EpochOutput, EventId, EventRow, Fate, Flags, Instance, Op, PackedEvent,
    VisitChange, VisitRow,
};
use beckon_rules::plan::{RuleSet, Window};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Bytes of events kept for examples.
const RECENT_BYTES_MAX: usize = 64 << 20;
/// Visitors told apart for each rule; beyond it the count is a lower bound.
const RULE_VISITORS_MAX: usize = 1_000_000;
/// Event names told apart; others are counted together.
const NAMES_MAX: usize = 1_000;

/// Package and name of a rule.
pub(super) type RuleKey = (Arc<str>, Arc<str>);

/// Everything that was seen.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) rules: BTreeMap<RuleKey, RuleSeen>,
    pub(super) totals: Totals,
    /// Events by name.
    pub(super) names: BTreeMap<Box<str>, u64>,
}

/// What one rule did.
#[derive(Debug, Default)]
pub(super) struct RuleSeen {
    pub(super) description: Box<str>,
    pub(super) version: u128,
    /// Matches that act.
    pub(super) fired: u64,
    /// Matches that do not act.
    pub(super) suppressed: u64,
    /// Matches taken back because of a late event.
    pub(super) retracted: u64,
    /// Matches in whose place others stand.
    pub(super) corrected: u64,
    pub(super) visitors: u64,
    pub(super) example: Option<Example>,
    visitor_hashes: HashSet<u64>,
}

/// Counts over all rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) epochs: u64,
    /// Recorded events without those that the engine made up.
    pub(super) events: u64,
    pub(super) made_up: u64,
    pub(super) visits: u64,
    pub(super) put_in_place: u64,
    /// Late in their visit, which keeps no events so old.
    pub(super) not_correctable: u64,
    pub(super) before_horizon: u64,
    pub(super) over_visit_limit: u64,
    pub(super) superseded: u64,
}

/// Watches epochs go by.
pub(super) struct Observer {
    observed: Observed,
    recent: Recent,
    /// A rule may match events of visits that ended.
    sees_ended_visits: bool,
}

impl Observer {
    /// An observer that knows the rules, so that one that never fires is shown too.
    pub(super) fn new(rules: &RuleSet) -> Self {
        let mut observed = Observed::default();
        for rule in &rules.rules {
            let seen = RuleSeen {
                description: rule.description.clone(),
                version: rule.version.0,
                ..RuleSeen::default()
            };
            observed.rules.insert((Arc::clone(&rule.package), Arc::clone(&rule.name)), seen);
        }
        let sees_ended_visits = rules.rules.iter().any(|rule| rule.window != Window::Visit);
        Self { observed, recent: Recent::default(), sees_ended_visits }
    }

    /// Takes an epoch.
    pub(super) fn see(&mut self, output: &EpochOutput) {
        self.observed.totals.epochs += 1;
        let wants_events = self.observed.rules.values().any(|rule| rule.example.is_none());
        for row in &output.events {
            self.see_event(row, wants_events);
        }
        // The order of rows within an epoch is by visit: the first match is the one that came first.
        let mut actions: Vec<&ActionRow> = output.actions.iter().collect();
        actions.sort_by_key(|row| (row.fact.timestamp, row.fact.seq));
        for row in actions {
            self.see_action(row);
        }
        for row in &output.visits {
            self.see_visit(row);
        }
    }

    /// Everything that was seen.
    pub(super) fn finish(self) -> Observed {
        self.observed
    }

    fn see_event(&mut self, row: &EventRow, wants_events: bool) {
        let Ok(view) = row.event.view() else { return };
        let totals = &mut self.observed.totals;
        let is_made_up = view.flags.has(Flags::MADE_UP);
        *(if is_made_up { &mut totals.made_up } else { &mut totals.events }) += 1;
        match row.fate {
            Fate::PutInPlace => totals.put_in_place += 1,
            Fate::NotCorrectable => totals.not_correctable += 1,
            Fate::BeforeHorizon => totals.before_horizon += 1,
            Fate::OverVisitLimit => totals.over_visit_limit += 1,
            Fate::Superseded => totals.superseded += 1,
            Fate::Matched | Fate::Unproven | Fate::Unreadable => {}
        }
        if !is_made_up {
            self.observed.count_name(view.name);
        }
        if let (true, true, Some(instance)) = (wants_events, row.fate.is_matched(), row.instance) {
            self.recent.push(instance, row.event.clone());
        }
    }

    fn see_action(&mut self, row: &ActionRow) {
        let fact = &row.fact;
        let key = (Arc::clone(&fact.package), Arc::clone(&fact.rule));
        let rule = self.observed.rules.entry(key).or_default();
        match row.op {
            Op::Assert => rule.fired += 1,
            Op::Suppress => rule.suppressed += 1,
            Op::Retract => {
                let counted = match row.fact.suppressed {
                    None => &mut rule.fired,
                    Some(_) => &mut rule.suppressed,
                };
                *counted = counted.saturating_sub(1);
                rule.retracted += 1;
            }
            Op::Correct => rule.corrected += 1,
        }
        if matches!(row.op, Op::Assert | Op::Suppress) {
            rule.count_visitor(fact);
            if rule.example.is_none() {
                rule.example = Some(Example::new(fact, &self.recent));
            }
        }
    }

    fn see_visit(&mut self, row: &VisitRow) {
        match row.change {
            VisitChange::Opened { .. } => self.observed.totals.visits += 1,
            VisitChange::Closed(_) if self.sees_ended_visits => {}
            VisitChange::Closed(_) => self.recent.forget(row.instance),
        }
    }
}

impl Observed {
    fn count_name(&mut self, name: &str) {
        if let Some(count) = self.names.get_mut(name) {
            *count += 1;
        } else {
            let name = if self.names.len() < NAMES_MAX { name } else { "(others)" };
            *self.names.entry(name.into()).or_default() += 1;
        }
    }
}

impl RuleSeen {
    /// Whether there may have been more visitors than are told apart.
    pub(super) fn is_visitors_bound(&self) -> bool {
        self.visitor_hashes.len() >= RULE_VISITORS_MAX
    }

    fn count_visitor(&mut self, fact: &ActionFact) {
        let id = fact.visitor.as_ref().map_or(&fact.visit.0, |visitor| &visitor.0);
        if self.visitor_hashes.len() < RULE_VISITORS_MAX {
            self.visitor_hashes.insert(id.stable_hash());
            self.visitors = self.visitor_hashes.len() as u64;
        }
    }
}

/// Events by visit.
#[derive(Debug, Default)]
pub(super) struct Recent {
    visits: BTreeMap<Instance, Vec<PackedEvent>>,
    bytes: usize,
}

impl Recent {
    fn push(&mut self, instance: Instance, event: PackedEvent) {
        self.bytes += event.as_bytes().len();
        self.visits.entry(instance).or_default().push(event);
        while self.bytes > RECENT_BYTES_MAX
            && let Some((oldest, _)) = self.visits.first_key_value()
        {
            self.forget(*oldest);
        }
    }

    fn forget(&mut self, instance: Instance) {
        for event in self.visits.remove(&instance).unwrap_or_default() {
            self.bytes -= event.as_bytes().len();
        }
    }

    /// An event, if it is kept: of this visit, else of any other.
    pub(super) fn find(&self, instance: Instance, id: &EventId) -> Option<&PackedEvent> {
        let is_it = |event: &&PackedEvent| event.view().is_ok_and(|view| view.id() == *id);
        let of_visit = self.visits.get(&instance).and_then(|events| events.iter().rfind(is_it));
        of_visit.or_else(|| self.visits.values().rev().flatten().find(is_it))
    }
}
