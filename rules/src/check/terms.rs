//! The terms of sequences and samples: steps, missing events, `until`, keys, and what bounds them.

use super::expression::Kind;
use super::{Checker, Extent};
use crate::ast::{Expr, JoinKey, Sequence, Span, Spanned, Term};
use crate::plan::{
    KeyPlan, MISSING_MAX, MissingPlan, STEPS_MAX, SamplePlan, SequencePlan, StepPlan, Window,
};
use crate::program::Node;

impl Checker<'_> {
    /// Checks a sequence.
    pub(super) fn sequence(&mut self, sequence: &Sequence) -> SequencePlan {
        let mut plan = SequencePlan::default();
        let mut key_kinds: Vec<Kind> = Vec::new();
        self.name_steps(sequence);
        for term in &sequence.terms {
            let keys = self.keys(sequence, term, &mut key_kinds);
            let mut filter = self.filter(&term.filter);
            filter.could_be_keyed = sequence.terms.len() == 2 && !term.missing;
            let step = self.step(filter, &keys);
            if term.missing {
                plan.missing.push(MissingPlan { after: self.bindings.step, step });
                continue;
            }
            let runs = runs(term);
            let count = usize::try_from(runs).unwrap_or(usize::MAX).min(STEPS_MAX);
            plan.steps.extend(std::iter::repeat_n(step, count));
            self.bindings.step = self.bindings.step.saturating_add(u8_of(runs));
        }
        if let Some(until) = &sequence.until {
            let blind = "`until` is one event for all partial matches: it names no step";
            plan.until = Some(self.blind_step(sequence, until, (blind, &mut key_kinds)));
        }
        self.check_extent(sequence);
        self.check_missing(sequence);
        self.warn_of_short_memory(sequence);
        self.check_window(sequence, "sequence");
        plan.steps.truncate(STEPS_MAX);
        plan.maxspan_ms = sequence.maxspan_ms.as_ref().map(|maxspan| maxspan.node);
        plan
    }

    /// Checks a sample.
    pub(super) fn sample(&mut self, sample: &Sequence) -> SamplePlan {
        let mut key_kinds: Vec<Kind> = Vec::new();
        self.name_steps(sample);
        let blind = "the steps of a sample have no order: a condition names none";
        let steps = sample.terms.iter();
        let mut steps: Vec<StepPlan> =
            steps.map(|term| self.blind_step(sample, term, (blind, &mut key_kinds))).collect();
        self.check_extent(sample);
        self.check_window(sample, "sample");
        steps.truncate(STEPS_MAX);
        SamplePlan { steps, maxspan_ms: sample.maxspan_ms.as_ref().map(|maxspan| maxspan.node) }
    }

    /// A step whose condition may name no other, and why.
    fn blind_step(
        &mut self,
        sequence: &Sequence,
        term: &Term,
        (why, key_kinds): (&'static str, &mut Vec<Kind>),
    ) -> StepPlan {
        let keys = self.keys(sequence, term, key_kinds);
        self.bindings.blind = Some(why);
        let filter = self.filter(&term.filter);
        self.bindings.blind = None;
        self.step(filter, &keys)
    }

    /// Learns all names first, so that the use of a later one is told from an unknown field.
    fn name_steps(&mut self, sequence: &Sequence) {
        let mut steps = 0_u8;
        for term in &sequence.terms {
            if !term.missing {
                steps = steps.saturating_add(u8_of(runs(term)));
            }
            if let Some(name) = &term.name {
                self.check_step_name(name);
                self.bindings.add(&name.node, steps.saturating_sub(1));
            }
        }
    }

    fn check_step_name(&mut self, name: &Spanned<Box<str>>) {
        let problem = if self.schema.begins_a_path(&name.node) || name.node.as_ref() == "event" {
            "is a name of the event's own"
        } else if self.bindings.find(&name.node).is_some() {
            "names two steps"
        } else {
            return;
        };
        self.findings.error_with_help(
            "step-name",
            name.span,
            (format!("`{}` {problem}", name.node), "choose another name behind `as`".to_owned()),
        );
    }

    /// Numbers: steps, runs, maxspan.
    fn check_extent(&mut self, sequence: &Sequence) {
        let mut steps = 0_usize;
        for term in sequence.terms.iter().filter(|term| !term.missing) {
            if let Some(runs) = term.runs.as_ref().filter(|runs| runs.node == 0) {
                self.findings.error("bad-runs", runs.span, "`runs` is at least 1");
            }
            let before = steps;
            steps = steps.saturating_add(usize::try_from(runs(term)).unwrap_or(usize::MAX));
            if steps > STEPS_MAX && before <= STEPS_MAX {
                self.findings.error(
                    "over-limit",
                    term.span,
                    format!("a sequence has at most {STEPS_MAX} steps, `runs` counted"),
                );
            }
        }
        if let Some(maxspan) = sequence.maxspan_ms.as_ref().filter(|maxspan| maxspan.node <= 0) {
            self.findings.error("bad-maxspan", maxspan.span, "`maxspan` is more than nothing");
        }
    }

    /// The keys of a term: the sequence's, then its own. `kinds` are those of the first term.
    fn keys(&mut self, sequence: &Sequence, term: &Term, kinds: &mut Vec<Kind>) -> Vec<KeyPlan> {
        let is_first = kinds.is_empty();
        let mut plans = Vec::new();
        for (index, key) in sequence.by.iter().chain(&term.by).enumerate() {
            let Some((plan, kind)) = self.key(key) else {
                continue;
            };
            plans.push(plan);
            match kinds.get(index) {
                None if is_first => kinds.push(kind),
                Some(first) if !kind.compares_with(*first) => self.findings.error(
                    "type-mismatch",
                    key.expr.span(),
                    format!(
                        "this key is {}, that of the first term {}: they are never equal",
                        kind.noun(),
                        first.noun()
                    ),
                ),
                _ => {}
            }
        }
        let expected = sequence.terms.first().map_or(0, |first| first.by.len());
        if term.by.len() != expected {
            self.findings.error(
                "key-count",
                term.span,
                format!(
                    "all terms have the same number of keys: the first has {expected}, this {}",
                    term.by.len()
                ),
            );
        }
        plans
    }

    fn key(&mut self, key: &JoinKey) -> Option<(KeyPlan, Kind)> {
        let Expr::Field { path, optional } = &key.expr else {
            self.findings.not_yet(key.expr.span(), "keys that are not fields are");
            return None;
        };
        let optional = key.optional || *optional;
        let is_step =
            path.node.parts.first().is_some_and(|name| self.bindings.find(name).is_some());
        if is_step {
            self.findings.error(
                "bad-key",
                path.span,
                "a key is a field of the term's own event; compare steps in the condition",
            );
            return None;
        }
        let field = self.field(path, optional);
        let kind = Kind::of(field.spec.kind);
        // A field that no event has still is a key: absent, it keeps every event out, or is null.
        let field = match field.node {
            Node::Field(load) => load.slot,
            _ => self.slots.of(&path.node)?,
        };
        Some((KeyPlan { field, optional }, kind))
    }

    /// Missing events: how many, and that those at the ends have a bound.
    fn check_missing(&mut self, sequence: &Sequence) {
        let missing: Vec<&Term> = sequence.terms.iter().filter(|term| term.missing).collect();
        if let Some(over) = missing.get(MISSING_MAX) {
            let message = format!("a sequence has at most {MISSING_MAX} missing events");
            self.findings.error("over-limit", over.span, message);
        }
        if sequence.maxspan_ms.is_some() {
            return;
        }
        let is_step = |term: &Term| !term.missing;
        let first = sequence.terms.iter().position(is_step);
        let last = sequence.terms.iter().rposition(is_step);
        for (term, index) in sequence.terms.iter().zip(0..).filter(|(term, _)| term.missing) {
            let what = if first.is_some_and(|first| index < first) {
                "a missing event at the start is looked for within `maxspan`"
            } else if last.is_some_and(|last| index > last) {
                "a missing event at the end is waited for until `maxspan` is over"
            } else if !self.extent.window.ends() {
                "on a window without end a missing event needs `maxspan`"
            } else {
                continue;
            };
            self.missing_bound(term.span, what, "write `sequence with maxspan=30m`");
        }
    }

    /// On a window without end something must bound the partial matches.
    fn check_window(&mut self, sequence: &Sequence, word: &str) {
        let window = self.extent.window;
        if window.ends() || self.extent.has_state_max {
            return;
        }
        if sequence.maxspan_ms.is_some() {
            return self.warn_of_few_keys(sequence);
        }
        let span = sequence.terms.first().map_or(Span::default(), |term| term.span);
        let what = format!(
            "a {word} on `window = \"{}\"` waits without end: it needs `maxspan` or `state_max`",
            window.as_str()
        );
        let help = format!(
            "write `{word} with maxspan=30m`, or `state_max = 1000` to keep the newest partial \
             matches"
        );
        self.missing_bound(span, &what, &help);
    }

    /// Keys of many visitors share one bound, which a rule file does not show: more than that are under
    /// way at once on a busy site, or wait for what is missing behind one step.
    fn warn_of_few_keys(&mut self, sequence: &Sequence) {
        let window = self.extent.window;
        let mut keys = sequence.by.iter().chain(sequence.terms.iter().flat_map(|term| &term.by));
        let positive = sequence.terms.iter().filter(|term| !term.missing);
        let steps: u64 = positive.map(|term| u64::from(runs(term))).sum();
        let is_missing = |term: Option<&Term>| term.is_some_and(|term| term.missing);
        let is_under_way = steps > 1 || is_missing(sequence.terms.first());
        let Some(key) = keys.next() else { return };
        let what = if is_under_way {
            "at most 256 keys are under way at once (`rule_partials_max`): over it the one that waits \
             longest is dropped"
        } else if is_missing(sequence.terms.last()) {
            "at most 4096 matches wait for what is missing (`rule_absences_max`): over it the newest \
             is refused"
        } else {
            return;
        };
        if window == Window::Visitor {
            return;
        }
        let what = format!("on `window = \"{}\"` {what}", window.as_str());
        let help = "write `state_max = 10000`, as many as there may be within `maxspan`";
        self.findings.warn("few-keys", key.expr.span(), (what, help.to_owned()));
    }

    /// A match that waits for what is missing at the end is forgotten with its window, of which there may
    /// be no event until the deadline.
    fn warn_of_short_memory(&mut self, sequence: &Sequence) {
        let Extent { window, window_memory_ms, .. } = self.extent;
        let Some(term) = sequence.terms.last().filter(|term| term.missing) else { return };
        let (Some(maxspan), Some(memory_ms)) = (&sequence.maxspan_ms, window_memory_ms) else {
            return;
        };
        if !matches!(window, Window::Visitor | Window::User) || maxspan.node <= memory_ms {
            return;
        }
        let what = format!(
            "on `window = \"{}\"` the match may be forgotten before `maxspan` is over, and comes to \
             nothing: the server remembers a window without events for {} (`window_memory_ms`)",
            window.as_str(),
            span(memory_ms)
        );
        let help = format!(
            "write `maxspan={}` or less, or `window_memory_ms = {}` under [engine] of the server's \
             configuration",
            span(memory_ms),
            maxspan.node
        );
        self.findings.warn("short-memory", term.span, (what, help));
    }

    fn missing_bound(&mut self, span: Span, what: &str, help: &str) {
        self.findings.error_with_help("missing-bound", span, (what.to_owned(), help.to_owned()));
    }
}

fn runs(term: &Term) -> u32 {
    term.runs.as_ref().map_or(1, |runs| runs.node)
}

/// A time as a query writes it, in the largest unit that it is a number of.
fn span(ms: i64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.into_iter().find(|(unit_ms, _)| ms % unit_ms == 0);
    let (unit_ms, unit) = unit.unwrap_or((1, "ms"));
    format!("{}{unit}", ms / unit_ms)
}

fn u8_of(runs: u32) -> u8 {
    u8::try_from(runs).unwrap_or(u8::MAX)
}
