//! Matches of one query over the events of one visit instance, in order.

use super::expression::{Stamped, evaluate, is_true};
use crate::model::Value;
use beckon_rules::ast::{EventFilter, Query, QueryBody, Sequence, Term};

/// A partial match: its events by position, and their join key's values.
#[derive(Clone, Debug)]
struct Partial {
    step: usize,
    key: Vec<Value>,
    events: Vec<usize>,
}

/// Every match as positions in `events`, in the order of their last events.
pub(super) fn matches(query: &Query, events: &[Stamped]) -> Vec<Vec<usize>> {
    match &query.body {
        QueryBody::Event(filter) => {
            let hits = (0..events.len()).filter(|at| passes(filter, &events[*at], &[]));
            hits.map(|at| vec![at]).collect()
        }
        QueryBody::Sequence(sequence) => sequence_matches(sequence, events),
        QueryBody::Sample(_) => Vec::new(),
    }
}

fn passes(filter: &EventFilter, event: &Stamped, bound: &[(&str, &Stamped)]) -> bool {
    let named = filter.name.as_ref().is_none_or(|name| *name.node == *event.event.name);
    named && is_true(&filter.condition, event, bound)
}

/// A term for each position of a match: `runs=n` is the term n times.
fn written_out(sequence: &Sequence) -> Vec<&Term> {
    let runs = |term: &Term| term.runs.as_ref().map_or(1, |runs| runs.node as usize);
    sequence.terms.iter().flat_map(|term| std::iter::repeat_n(term, runs(term))).collect()
}

fn sequence_matches(sequence: &Sequence, events: &[Stamped]) -> Vec<Vec<usize>> {
    let steps = written_out(sequence);
    let mut run = Run { sequence, steps, events, partials: Vec::new(), found: Vec::new() };
    for (at, event) in events.iter().enumerate() {
        for step in (0..run.steps.len()).rev() {
            for key in keys(sequence, run.steps[step], event) {
                run.advance(at, step, key);
            }
        }
    }
    run.found
}

struct Run<'a> {
    sequence: &'a Sequence,
    steps: Vec<&'a Term>,
    events: &'a [Stamped],
    partials: Vec<Partial>,
    found: Vec<Vec<usize>>,
}

impl Run<'_> {
    /// Tries the event at a position on a step, under one key.
    fn advance(&mut self, at: usize, step: usize, key: Vec<Value>) {
        let waits = |partial: &Partial| partial.step + 1 == step && partial.key == key;
        let before = self.partials.iter().position(waits);
        if step > 0 && before.is_none() {
            return;
        }
        let taken = before.map_or(&[][..], |index| &self.partials[index].events);
        let named: Vec<(&str, &Stamped)> = taken
            .iter()
            .zip(&self.steps)
            .filter_map(|(event, term)| Some((&*term.name.as_ref()?.node, &self.events[*event])))
            .rev()
            .collect();
        if !passes(&self.steps[step].filter, &self.events[at], &named) {
            return;
        }
        let mut reached = before.map_or_else(Vec::new, |index| self.partials.remove(index).events);
        let first = reached.first().map_or(at, |first| *first);
        let span_ms = self.events[at].event.timestamp.0 - self.events[first].event.timestamp.0;
        if self.sequence.maxspan_ms.as_ref().is_some_and(|maxspan| span_ms > maxspan.node) {
            return;
        }
        reached.push(at);
        if step + 1 == self.steps.len() {
            self.found.push(reached);
        } else {
            self.partials.retain(|partial| partial.step != step || partial.key != key);
            self.partials.push(Partial { step, key, events: reached });
        }
    }
}

/// The keys under which an event may fill a term: none where a key is absent, several where one
/// has several values.
fn keys(sequence: &Sequence, term: &Term, event: &Stamped) -> Vec<Vec<Value>> {
    let mut keys = vec![Vec::new()];
    for part in sequence.by.iter().chain(&term.by) {
        let values = match evaluate(&part.expr, event, &[]) {
            Value::List(values) => values,
            value => vec![value],
        };
        let mut distinct: Vec<Value> = Vec::new();
        for value in values.into_iter().map(by_value) {
            if (part.optional || value != Value::Null) && !distinct.contains(&value) {
                distinct.push(value);
            }
        }
        keys = keys
            .iter()
            .flat_map(|key| {
                distinct.iter().map(|value| [key.as_slice(), std::slice::from_ref(value)].concat())
            })
            .collect();
    }
    keys
}

/// Keys compare by value: 1.0 is 1.
fn by_value(value: Value) -> Value {
    match value {
        #[expect(clippy::cast_possible_truncation, reason = "a whole float below 2^53")]
        Value::Float(float) if float.fract() == 0.0 && float.abs() < 9e15 => {
            Value::Int(float as i64)
        }
        value => value,
    }
}
