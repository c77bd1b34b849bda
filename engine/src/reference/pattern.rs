//! What sequences and samples have in common: filters, join keys, and the moment of a match.

use super::expression::{Bound, Stamped, evaluate, is_true};
use crate::model::{EventTimeMs, Value};
use beckon_rules::ast::{EventFilter, Sequence, Term};

/// Events of a window by position, one for each step.
pub(super) type Places = Vec<usize>;

/// The values of a join key.
pub(super) type Key = Vec<Value>;

/// When a match is decided. Ordered: what an event decides goes before a deadline at the same time,
/// which the event could still have passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    pub(super) at: EventTimeMs,
    pub(super) is_deadline: bool,
}

/// A match of a query.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Match {
    pub(super) places: Places,
    pub(super) decided: Moment,
}

impl Match {
    /// One that its last event decides.
    pub(super) fn at_last_event(places: Places, events: &[&Stamped]) -> Self {
        let at = places.iter().map(|place| events[*place].event.timestamp).max();
        let at = at.expect("a match has events");
        Self { places, decided: Moment { at, is_deadline: false } }
    }
}

/// Whether the event has the name and satisfies the condition.
pub(super) fn passes(filter: &EventFilter, event: &Stamped, bound: Bound<'_>) -> bool {
    let named = filter.name.as_ref().is_none_or(|name| *name.node == *event.event.name);
    named && is_true(&filter.condition, event, bound)
}

/// The keys under which an event may fill a term: none where a key is absent, several where one
/// has several values.
pub(super) fn keys(sequence: &Sequence, term: &Term, event: &Stamped) -> Vec<Key> {
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
