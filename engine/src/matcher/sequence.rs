//! One event of a visit against the rules whose steps it satisfies: EQL's sequences, step by step.
//!
//! An event is tried on the last step first, so it never fills two steps of one match. A hit takes
//! the partial match that waits at the step before (the newest: there is one for each key), and
//! replaces what waits at its own step. A condition across steps that is not true is no hit: the
//! partial match stays. One that is too old (`maxspan`) is taken all the same, and is gone.
//!
//! The kind of window that a rule sees is decided in this one place: now always the visit.

use super::action::Matched;
use super::config::MatcherConfig;
use super::index::{EventFields, Hit};
use super::kept::{KeptEvents, Ordinal};
use super::keys::{Key, Keys};
use super::prepared::Prepared;
use super::suppress;
use super::visit::Visit;
use super::windows::{BoundEvent, Partial, Windows};
use crate::model::{ActionFact, EventId, EventRow, EventView, RuleWindow, WindowKey};
use crate::stage::{Effect, StageStats};
use beckon_rules::plan::{Fire, QueryPlan, RulePlan, SequencePlan};
use std::sync::Arc;

/// An event, where it is tried.
#[derive(Debug)]
pub(super) struct Trial<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) config: &'a MatcherConfig,
    pub(super) row: &'a EventRow,
    pub(super) view: &'a EventView<'a>,
    pub(super) fields: EventFields<'a>,
}

impl Trial<'_> {
    /// Keeps the event and tries it on the steps that it satisfies by itself.
    pub(super) fn run(
        &self,
        hits: &[Hit],
        visit: &mut Visit,
        stats: &mut StageStats,
        out: &mut Vec<Effect>,
    ) {
        let (ordinal, leaves) = visit.kept.push(&self.row.event, self.config.visit_events_max);
        stats.kept_events_dropped += u64::from(leaves);
        for hit in hits {
            let rule = hit.rule();
            let plan = &self.prepared.rules.rules[rule];
            let number = u32::try_from(rule).expect("a rule's index has 32 bits");
            if visit.windows.is_done(number) {
                continue;
            }
            let mut window = Window {
                trial: self,
                plan,
                index: rule,
                rule: number,
                ordinal,
                windows: &mut visit.windows,
                stats,
            };
            for partial in window.advance(hit.step()) {
                let last = (self.row, hit.step());
                let matched = Matched { last, bound: partial.bound() };
                let ids = ids(&visit.kept, &partial.events);
                out.push(Effect::Match(self.fact(rule, visit, ids, matched).into(), 1));
                stats.matches += 1;
            }
        }
        if leaves && visit.kept.is_sweep_due() {
            visit.kept.sweep(&visit.windows.named());
        }
    }

    fn fact(
        &self,
        rule: usize,
        visit: &Visit,
        events: Vec<EventId>,
        matched: Matched<'_>,
    ) -> ActionFact {
        let plan = &self.prepared.rules.rules[rule];
        let action = &self.prepared.actions[rule];
        let window = RuleWindow {
            package: &plan.package,
            rule: &plan.name,
            site: &visit.site,
            visit: &visit.id,
            instance: visit.instance,
        };
        let last = match plan.fire {
            Fire::Once => None,
            Fire::Every => events.last(),
        };
        let (data, has_null_placeholder) = action.render(matched);
        ActionFact {
            window: WindowKey::Visit,
            site: Arc::clone(&visit.site),
            visit: visit.id.clone(),
            instance: visit.instance,
            package: Arc::clone(&plan.package),
            rule: Arc::clone(&plan.name),
            action: window.action_id(last),
            matched: window.match_id(plan.version.0, &events),
            version: plan.version.0,
            suppressed: suppress::decide(plan),
            visitor: visit.visitor.clone(),
            timestamp: self.view.timestamp,
            seq: self.row.seq,
            events,
            kind: Arc::clone(&action.kind),
            channel: action.channel.clone(),
            endpoint: action.endpoint.clone(),
            data,
            has_null_placeholder,
            priority: plan.priority,
            decided: self.view.timestamp,
            is_visit_open: true,
            is_backfilled: false,
        }
    }
}

fn ids(kept: &KeptEvents, events: &[Ordinal]) -> Vec<EventId> {
    let ids = events.iter().map(|ordinal| {
        kept.id(*ordinal).expect("the id of an event that a partial match names is remembered")
    });
    ids.collect()
}

/// One rule in one window, while an event is tried on it.
struct Window<'a, 'b> {
    trial: &'a Trial<'b>,
    plan: &'a RulePlan,
    /// The rule's index, and the same in 32 bits.
    index: usize,
    rule: u32,
    ordinal: Ordinal,
    windows: &'a mut Windows,
    stats: &'a mut StageStats,
}

impl Window<'_, '_> {
    /// The matches that the event completes at this step.
    fn advance(&mut self, step: u8) -> Vec<Partial> {
        let complete = match &self.plan.query {
            QueryPlan::Event(_) => {
                let mut partial =
                    Partial::start(self.rule, &Key::default(), self.trial.view.timestamp);
                partial.events.push(self.ordinal);
                vec![partial]
            }
            QueryPlan::Sequence(sequence) => self.advance_sequence(sequence, step),
            // Refused by `beckon_rules::compile::runs_now`.
            QueryPlan::Sample(_) => Vec::new(),
        };
        if !complete.is_empty() && self.plan.fire == Fire::Once {
            self.windows.finish(self.rule);
        }
        complete
    }

    fn advance_sequence(&mut self, sequence: &SequencePlan, step: u8) -> Vec<Partial> {
        let combinations_max =
            usize::try_from(self.trial.config.key_combinations_max).unwrap_or(usize::MAX);
        let parts = &sequence.steps[usize::from(step)].keys;
        let keys = Keys::of(parts, &self.trial.fields, combinations_max);
        self.stats.partials_dropped += keys.dropped;
        let mut complete = Vec::new();
        for key in &keys.keys {
            let Some(partial) = self.reach(sequence, step, key) else { continue };
            if usize::from(step) + 1 < sequence.steps.len() {
                let max = self.trial.config.rule_partials_max;
                self.stats.partials_dropped += u64::from(self.windows.put(partial, step, max));
                continue;
            }
            complete.push(partial);
            if self.plan.fire == Fire::Once {
                break;
            }
        }
        complete
    }

    /// The partial match that the event makes at this step, if it is a hit.
    fn reach(&mut self, sequence: &SequencePlan, step: u8, key: &Key) -> Option<Partial> {
        let plan = &sequence.steps[usize::from(step)];
        let now = self.trial.view.timestamp;
        let mut partial = match step.checked_sub(1) {
            None => Partial::start(self.rule, key, now),
            Some(before) => {
                let waiting = self.windows.find(self.rule, before, key)?;
                if let Some(across) = &plan.across
                    && !self.trial.prepared.is_true_across(
                        (self.index, across),
                        self.trial.fields,
                        waiting.bound(),
                    )
                {
                    return None;
                }
                let partial = self.windows.take(self.rule, before, key)?;
                let span_ms = now.0.saturating_sub(partial.first.0);
                if sequence.maxspan_ms.is_some_and(|maxspan_ms| span_ms > maxspan_ms) {
                    return None;
                }
                partial
            }
        };
        partial.events.push(self.ordinal);
        if plan.is_bound {
            partial.bind(BoundEvent {
                step,
                event: self.trial.row.event.clone(),
                identity: self.trial.row.identity.clone(),
            });
        }
        Some(partial)
    }
}
