//! Missing events: which complete positive steps `![...]` refuses, and when that is decided.
//!
//! An event refuses by its timestamp alone: between two steps strictly between theirs; at the start
//! strictly before the first event, at the end strictly behind the last. At the ends it also lies
//! within `maxspan`: at the start counted back from the last event, at the end from the first; at
//! both ends the two refuse together, where they lie within one `maxspan` of each other.

use super::expression::Stamped;
use super::pattern::{Match, Moment, keys, passes};
use super::sequence::{Complete, named, steps};
use crate::model::EventTimeMs;
use beckon_rules::ast::{Sequence, Term};
use std::ops::RangeInclusive;

/// The missing events of a sequence, over the events of a window.
pub(super) struct Missing<'a> {
    sequence: &'a Sequence,
    steps: Vec<&'a Term>,
    events: &'a [&'a Stamped],
}

/// Where a missing event stands, by the steps before it.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Start,
    Between(usize),
    End,
}

impl<'a> Missing<'a> {
    pub(super) fn new(sequence: &'a Sequence, events: &'a [&'a Stamped]) -> Self {
        Self { sequence, steps: steps(sequence), events }
    }

    /// The match, unless a missing event is there.
    pub(super) fn judge(&self, complete: &Complete) -> Option<Match> {
        let time = |step: usize| self.events[complete.places[step]].event.timestamp;
        let last_step = complete.places.len() - 1;
        let (first, last) = (time(0), time(last_step));
        let is_refused = |(place, term): &(Place, &Term)| match place {
            Place::Between(before) => {
                let between = after(time(before - 1))..=before_it(time(*before));
                !self.hits(term, *before, complete, between).is_empty()
            }
            Place::Start | Place::End => false,
        };
        let missing = self.missing();
        if missing.iter().any(is_refused) {
            return None;
        }
        let at_last_event = Match::at_last_event(complete.places.clone(), self.events);
        let Some(maxspan) = &self.sequence.maxspan_ms else { return Some(at_last_event) };
        let has = |place: Place| missing.iter().any(|(known, _)| *known == place);
        let hits = |place: Place, range: RangeInclusive<EventTimeMs>| {
            let steps = if place == Place::Start { 0 } else { complete.places.len() };
            let terms = missing.iter().filter(move |(known, _)| *known == place);
            terms.flat_map(move |(_, term)| self.hits(term, steps, complete, range.clone()))
        };
        let leading = || {
            let back = last.saturating_add(-maxspan.node);
            hits(Place::Start, back..=before_it(first)).max()
        };
        // What a missing event at the end is counted from.
        let from = match (has(Place::Start), has(Place::End)) {
            (false, false) => return Some(at_last_event),
            (true, false) => return leading().is_none().then_some(at_last_event),
            (false, true) => first,
            (true, true) => match leading() {
                None => return Some(at_last_event),
                Some(leading) => leading,
            },
        };
        let deadline = from.saturating_add(maxspan.node);
        let is_prevented = hits(Place::End, after(last)..=deadline).next().is_some();
        let decided = Moment { at: deadline, is_deadline: true };
        (!is_prevented).then_some(Match { decided, ..at_last_event })
    }

    /// The missing terms and where they stand.
    fn missing(&self) -> Vec<(Place, &'a Term)> {
        let mut before = 0;
        let mut missing = Vec::new();
        for term in &self.sequence.terms {
            if term.missing {
                let place = match before {
                    0 => Place::Start,
                    steps if steps == self.steps.len() => Place::End,
                    steps => Place::Between(steps),
                };
                missing.push((place, term));
            } else {
                before += term.runs.as_ref().map_or(1, |runs| runs.node as usize);
            }
        }
        missing
    }

    /// Timestamps, within a range, of the events that a missing term asks for: of the match's key,
    /// and by what the steps before the term hold.
    fn hits(
        &self,
        term: &Term,
        steps_before: usize,
        complete: &Complete,
        range: RangeInclusive<EventTimeMs>,
    ) -> Vec<EventTimeMs> {
        let bound = named(&self.steps, &complete.places[..steps_before], self.events);
        let hits = self.events.iter().filter(|event| {
            range.contains(&event.event.timestamp)
                && keys(self.sequence, term, event).contains(&complete.key)
                && passes(&term.filter, event, &bound)
        });
        hits.map(|event| event.event.timestamp).collect()
    }
}

fn after(time: EventTimeMs) -> EventTimeMs {
    time.saturating_add(1)
}

fn before_it(time: EventTimeMs) -> EventTimeMs {
    time.saturating_add(-1)
}
