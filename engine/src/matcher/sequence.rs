//! One event of a visit against the rules whose terms it satisfies: EQL's sequences, step by step.
//!
//! An event is tried on the last step first, so it never fills two steps of one match. A hit takes
//! the partial match that waits at the step before (the newest: there is one for each key), and
//! replaces what waits at its own step. A condition across steps that is not true is no hit: the
//! partial match stays. One that is too old (`maxspan`) is taken all the same, and is gone.
//!
//! A missing event is remembered where it can refuse a match: beside the partial match that waits at
//! the step before (`Gap`), by key for one at the start, and for one at the end it takes out the
//! complete matches that wait for their deadline. Its times count strictly, so it makes no difference
//! whether an event is tried on missing events first or on steps. A refused match goes on to its end,
//! as it takes the events that another would have had, and comes to nothing there.
//!
//! What is tried on which window is decided before: here a window is what is under way in it, and the
//! key that its matches carry.

use super::action::Matched;
use super::config::MatcherConfig;
use super::held::{Held, HeldMatches};
use super::index::{EventFields, Hit, Role};
use super::kept::{KeptEvents, Ordinal};
use super::keys::{Key, Keys};
use super::prepared::Prepared;
use super::sample::Candidate;
use super::standing::Found;
use super::visit::Visit;
use super::waiting::RuleKey;
use super::windows::{BoundEvent, Partial, Windows};
use crate::model::{
    ActionFact, EventId, EventRow, EventTimeMs, EventView, LogSeq, MatchId, RuleWindow, WindowKey,
};
use crate::stage::StageStats;
use beckon_rules::plan::{
    Emit, Fire, MissingPlan, QueryPlan, RulePlan, SamplePlan, SequencePlan, StepPlan,
};
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;

/// An event, where it is tried.
#[derive(Debug)]
pub(super) struct Trial<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) config: &'a MatcherConfig,
    /// Which window.
    pub(super) window: &'a WindowKey,
    pub(super) row: &'a EventRow,
    pub(super) view: &'a EventView<'a>,
    pub(super) fields: EventFields<'a>,
    /// The visit, which keeps the event at this place.
    pub(super) visit: &'a Visit,
    pub(super) ordinal: Ordinal,
}

impl Trial<'_> {
    /// Tries the event on the terms that it satisfies by itself. `windows` is what is under way, taken
    /// out of the visit.
    pub(super) fn run(
        &self,
        hits: &[Hit],
        windows: &mut Windows,
        stats: &mut StageStats,
        found: &mut Vec<Found>,
    ) {
        for hits in hits.chunk_by(|one, other| one.rule() == other.rule()) {
            let index = hits[0].rule();
            let rule = u32::try_from(index).expect("a rule's index has 32 bits");
            if windows.is_done(rule) {
                continue;
            }
            let plan = &self.prepared.rules.rules[index];
            let mut window = Window { trial: self, plan, index, rule, windows, stats };
            let mut asserted: SmallVec<[MatchId; 1]> = SmallVec::new();
            for complete in window.advance(hits) {
                let last = (self.row, complete.last_step);
                let matched = Matched { last, bound: &complete.bound };
                let (events, newest) = known(&self.visit.kept, &complete.events);
                let mut fact = self.fact(index, events, matched);
                fact.decided = complete.deadline.unwrap_or(fact.decided);
                // Two values of a join key may make a match of the same events: it is one match.
                if asserted.contains(&fact.matched) {
                    continue;
                }
                if complete.deadline.is_none() {
                    asserted.push(fact.matched);
                }
                let of = RuleKey { rule, key: complete.key };
                let held = Held {
                    of,
                    is_deadline: complete.deadline.is_some(),
                    newest,
                    due: self.due(plan, fact.decided),
                    bound: complete.bound,
                    fact: fact.into(),
                };
                self.settle(plan, held, (&mut *windows, stats), found);
                if windows.is_done(rule) {
                    break;
                }
            }
        }
    }

    /// When a match that is decided then is asserted, if it is not at once.
    fn due(&self, plan: &RulePlan, decided: EventTimeMs) -> EventTimeMs {
        match plan.emit {
            Emit::Early => decided,
            Emit::Final => decided.saturating_add(self.config.lateness_ms),
        }
    }

    /// Finds a match, or lets it wait for its time.
    fn settle(
        &self,
        plan: &RulePlan,
        held: Held,
        (windows, stats): (&mut Windows, &mut StageStats),
        found: &mut Vec<Found>,
    ) {
        let (rule, now) = (held.of.rule, self.view.timestamp);
        if !held.is_deadline && plan.emit == Emit::Early {
            let is_second = plan.fire == Fire::Once
                && windows.waiting().is_some_and(|it| it.held.is_decided_before(rule, now));
            if !is_second {
                held.pass(plan, windows, found);
            }
            return;
        }
        let waiting = &mut windows.waiting_mut().held;
        if held.is_deadline && self.is_full(plan, &held.of, waiting) {
            stats.absences_refused += 1;
            return;
        }
        waiting.hold(held);
        let max = self.config.rule_hits_max;
        while let Some(over) = windows.waiting_mut().held.pop_over(rule, now, max) {
            stats.hits_over_limit += 1;
            over.pass(plan, windows, found);
        }
    }

    /// Whether as many matches wait for a deadline as may, of a rule and key or of the rule.
    fn is_full(&self, plan: &RulePlan, of: &RuleKey, waiting: &HeldMatches) -> bool {
        let now = self.view.timestamp;
        let rule_max = self.config.rule_absences_max;
        let rule_max = plan.state_max.map_or(rule_max, |own| own.max(rule_max));
        let is_over = |count: usize, max: u32| u32::try_from(count).map_or(true, |it| it >= max);
        is_over(waiting.rule_absences(of.rule, now), rule_max)
            || is_over(waiting.absences(of, now), self.config.pending_absences_max)
    }

    /// Whether the condition of a step of a rule that names earlier events is true, or there is none.
    fn is_true(&self, rule: usize, step: &StepPlan, bound: &[BoundEvent]) -> bool {
        step.across
            .as_ref()
            .is_none_or(|across| self.prepared.is_true_across((rule, across), self.fields, bound))
    }

    fn fact(&self, rule: usize, events: Vec<EventId>, matched: Matched<'_>) -> ActionFact {
        let visit = self.visit;
        let plan = &self.prepared.rules.rules[rule];
        let action = &self.prepared.actions[rule];
        let window = RuleWindow {
            package: &plan.package,
            rule: &plan.name,
            key: self.window,
            site: &visit.site,
            visit: &visit.id,
            instance: visit.instance,
        };
        let last = match plan.fire {
            Fire::Once => None,
            Fire::Every => Some(self.view.id()),
        };
        let (data, has_null_placeholder) = action.render(matched);
        ActionFact {
            window: self.window.clone(),
            site: Arc::clone(&visit.site),
            visit: visit.id.clone(),
            instance: visit.instance,
            package: Arc::clone(&plan.package),
            rule: Arc::clone(&plan.name),
            action: window.action_id(last.as_ref()),
            matched: window.match_id(plan.version.0, &events),
            version: plan.version.0,
            suppressed: None,
            visitor: visit.visitor.clone(),
            timestamp: self.view.timestamp,
            seq: self.row.seq,
            events,
            kind: Arc::clone(&action.kind),
            channel: action.channel.clone(),
            expires_ms: action.expires_ms,
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

/// The ids of events in their order, and the greatest log sequence.
fn known(kept: &KeptEvents, events: &[Ordinal]) -> (Vec<EventId>, LogSeq) {
    let mut newest = LogSeq(0);
    let ids = events.iter().map(|ordinal| {
        let known = kept.known(*ordinal).expect("an event that a partial match names is known");
        newest = newest.max(known.seq);
        known.id
    });
    (ids.collect(), newest)
}

/// A match whose positive steps are complete.
#[derive(Debug)]
struct Complete {
    key: Key,
    /// In step order.
    events: SmallVec<[Ordinal; 4]>,
    bound: Vec<BoundEvent>,
    /// The step that the event filled.
    last_step: u8,
    /// What it waits for, where a missing event may still come.
    deadline: Option<EventTimeMs>,
}

/// One rule in one window, while an event is tried on it.
struct Window<'a, 'b> {
    trial: &'a Trial<'b>,
    plan: &'a RulePlan,
    /// The rule's index, and the same in 32 bits.
    index: usize,
    rule: u32,
    windows: &'a mut Windows,
    stats: &'a mut StageStats,
}

impl Window<'_, '_> {
    /// The matches that the event completes.
    fn advance(&mut self, hits: &[Hit]) -> Vec<Complete> {
        let plan = self.plan;
        match &plan.query {
            QueryPlan::Event(_) => vec![Complete {
                key: Key::default(),
                events: smallvec![self.trial.ordinal],
                bound: Vec::new(),
                last_step: 0,
                deadline: None,
            }],
            QueryPlan::Sequence(sequence) => {
                let mut complete = Vec::new();
                for hit in hits {
                    match hit.role() {
                        Role::Missing(place) => self.miss(sequence, place),
                        Role::Step(step) => self.step(sequence, step, &mut complete),
                        Role::Until => self.until(sequence),
                    }
                }
                complete
            }
            QueryPlan::Sample(sample) => self.sample(sample, hits),
        }
    }

    fn keys(&mut self, step: &StepPlan) -> Keys {
        let combinations_max =
            usize::try_from(self.trial.config.key_combinations_max).unwrap_or(usize::MAX);
        let keys = Keys::of(&step.keys, &self.trial.fields, combinations_max);
        self.stats.partials_dropped += keys.dropped;
        keys
    }

    /// Partial matches that the rule may have here.
    fn partials_max(&self) -> u32 {
        self.plan.state_max.unwrap_or(self.trial.config.rule_partials_max)
    }

    /// The event fills a step.
    fn step(&mut self, sequence: &SequencePlan, step: u8, complete: &mut Vec<Complete>) {
        for key in self.keys(&sequence.steps[usize::from(step)]).keys {
            let Some(partial) = self.reach(sequence, step, &key) else { continue };
            if usize::from(step) + 1 < sequence.steps.len() {
                let max = self.partials_max();
                self.stats.partials_dropped += u64::from(self.windows.put(partial, step, max));
                continue;
            }
            let Some(deadline) = self.deadline(sequence, &partial) else { continue };
            let (events, bound) = partial.into_events();
            complete.push(Complete { key, events, bound, last_step: step, deadline });
        }
    }

    /// The partial match that the event makes at this step, if it is a hit.
    fn reach(&mut self, sequence: &SequencePlan, step: u8, key: &Key) -> Option<Partial> {
        let plan = &sequence.steps[usize::from(step)];
        let now = self.trial.view.timestamp;
        let mut partial = match step.checked_sub(1) {
            None => self.start(sequence, key),
            Some(before) => {
                let waiting = self.windows.find(self.rule, before, key)?;
                if !self.is_true_across(plan, waiting.bound()) {
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
        partial.events.push(self.trial.ordinal);
        if !sequence.missing.is_empty() {
            let gap = partial.gap_mut();
            gap.is_refused |= gap.violated.is_some_and(|violated| violated < now);
            (gap.violated, gap.last) = (None, now);
        }
        if plan.is_bound {
            partial.bind(self.bound(step));
        }
        Some(partial)
    }

    fn start(&self, sequence: &SequencePlan, key: &Key) -> Partial {
        let now = self.trial.view.timestamp;
        let mut partial = Partial::start(self.rule, key, now);
        if sequence.missing.iter().any(|missing| missing.after == 0) {
            let of = RuleKey { rule: self.rule, key: key.clone() };
            let waiting = self.windows.waiting();
            partial.gap_mut().leading = waiting.and_then(|waiting| waiting.leading(&of, now));
        }
        partial
    }

    /// What a complete match waits for; `None` where a missing event was there.
    fn deadline(&self, sequence: &SequencePlan, partial: &Partial) -> Option<Option<EventTimeMs>> {
        if sequence.missing.is_empty() {
            return Some(None);
        }
        let gap = partial.gap();
        if gap.is_refused {
            return None;
        }
        let Some(maxspan_ms) = sequence.maxspan_ms else { return Some(None) };
        let steps = sequence.steps.len();
        let is_at = |after: usize| {
            sequence.missing.iter().any(|missing| usize::from(missing.after) == after)
        };
        let from = gap.last.saturating_add(-maxspan_ms);
        let leading = gap.leading.filter(|leading| *leading >= from);
        match (is_at(0), is_at(steps)) {
            (false, false) => Some(None),
            (true, false) => leading.is_none().then_some(None),
            (false, true) => Some(Some(partial.first.saturating_add(maxspan_ms))),
            (true, true) => Some(leading.map(|leading| leading.saturating_add(maxspan_ms))),
        }
    }

    /// The event is one that is missing.
    fn miss(&mut self, sequence: &SequencePlan, place: u8) {
        let missing = &sequence.missing[usize::from(place)];
        let now = self.trial.view.timestamp;
        for key in self.keys(&missing.step).keys {
            let of = RuleKey { rule: self.rule, key };
            if missing.after == 0 {
                let max = self.partials_max();
                let is_over = self.windows.waiting_mut().lead(of, now, max);
                self.stats.partials_dropped += u64::from(is_over);
            } else if usize::from(missing.after) == sequence.steps.len() {
                let Some(waiting) = self.windows.waiting_mut_if_any() else { continue };
                let (trial, index) = (self.trial, self.index);
                waiting.held.prevent(&of, now, |bound| trial.is_true(index, &missing.step, bound));
            } else {
                self.violate(missing, &of.key);
            }
        }
    }

    /// The event lies between two steps and is what must not be there.
    fn violate(&mut self, missing: &MissingPlan, key: &Key) {
        let now = self.trial.view.timestamp;
        let before = missing.after - 1;
        let is_hit = self.windows.find(self.rule, before, key).is_some_and(|partial| {
            let gap = partial.gap();
            gap.last < now
                && gap.violated.is_none()
                && self.is_true_across(&missing.step, partial.bound())
        });
        if is_hit && let Some(partial) = self.windows.find_mut(self.rule, before, key) {
            partial.gap_mut().violated = Some(now);
        }
    }

    fn until(&mut self, sequence: &SequencePlan) {
        let Some(until) = &sequence.until else { return };
        for key in self.keys(until).keys {
            self.windows.end(self.rule, &key);
        }
    }

    /// The event fills steps of a sample, and perhaps the last that was open.
    fn sample(&mut self, sample: &SamplePlan, hits: &[Hit]) -> Vec<Complete> {
        let mut filled = Vec::new();
        for hit in hits {
            let Role::Step(step) = hit.role() else { continue };
            for key in self.keys(&sample.steps[usize::from(step)]).keys {
                self.fill(sample, step, &key);
                filled.push((step, key));
            }
        }
        let now = self.trial.view.timestamp;
        let mut complete = Vec::new();
        for (last_step, key) in filled {
            let of = RuleKey { rule: self.rule, key };
            let Some(state) = self.windows.waiting_mut().sample_mut(&of) else { continue };
            let Some(events) = state.fill(now, sample.maxspan_ms) else { continue };
            let steps = (0..).zip(&events);
            let last = steps.filter(|(_, event)| event.ordinal == self.trial.ordinal).last();
            let last_step = last.map_or(last_step, |(step, _)| step);
            complete.push(Complete {
                key: of.key,
                events: events.iter().map(|event| event.ordinal).collect(),
                bound: events.into_iter().filter_map(|event| event.bound).collect(),
                last_step,
                deadline: None,
            });
        }
        complete
    }

    fn fill(&mut self, sample: &SamplePlan, step: u8, key: &Key) {
        let is_bound = sample.steps[usize::from(step)].is_bound;
        let candidate = Candidate {
            ordinal: self.trial.ordinal,
            time: self.trial.view.timestamp,
            bound: is_bound.then(|| self.bound(step)),
        };
        let max = self.partials_max();
        let of = RuleKey { rule: self.rule, key: key.clone() };
        let (state, dropped) =
            self.windows.waiting_mut().sample_or_new(of, sample.steps.len(), max);
        let mut dropped = u64::from(dropped);
        if !state.is_done {
            dropped += u64::from(state.add(step, candidate, sample.maxspan_ms, max));
        }
        self.stats.partials_dropped += dropped;
    }

    fn bound(&self, step: u8) -> BoundEvent {
        let row = self.trial.row;
        BoundEvent { step, event: row.event.clone(), identity: row.identity.clone() }
    }

    fn is_true_across(&self, step: &StepPlan, bound: &[BoundEvent]) -> bool {
        self.trial.is_true(self.index, step, bound)
    }
}
