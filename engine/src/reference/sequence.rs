//! Sequences: the positive steps, event by event, with `until`.

use super::expression::Stamped;
use super::missing::Missing;
use super::pattern::{Key, Match, Places, keys, passes};
use beckon_rules::ast::{Sequence, Term};

/// Every match, in the order of the last events.
pub(super) fn matches(sequence: &Sequence, events: &[&Stamped]) -> Vec<Match> {
    let missing = Missing::new(sequence, events);
    let complete = complete(sequence, events);
    complete.into_iter().filter_map(|complete| missing.judge(&complete)).collect()
}

/// Positive steps that were all filled.
#[derive(Clone, Debug)]
pub(super) struct Complete {
    pub(super) key: Key,
    pub(super) places: Places,
}

/// A term for each step: `runs=n` is the term n times, a missing event is none.
pub(super) fn steps(sequence: &Sequence) -> Vec<&Term> {
    let runs = |term: &Term| term.runs.as_ref().map_or(1, |runs| runs.node as usize);
    let positive = sequence.terms.iter().filter(|term| !term.missing);
    positive.flat_map(|term| std::iter::repeat_n(term, runs(term))).collect()
}

/// The events that conditions may name once these places are filled; of `runs=n` the last.
pub(super) fn named<'a>(
    steps: &[&'a Term],
    places: &[usize],
    events: &[&'a Stamped],
) -> Vec<(&'a str, &'a Stamped)> {
    let filled = places.iter().zip(steps).rev();
    let named = filled.filter_map(|(place, term)| Some((term.name.as_ref()?, events[*place])));
    named.map(|(name, event)| (&*name.node, event)).collect()
}

/// A partial match: one for each step and key.
#[derive(Clone, Debug)]
struct Partial {
    /// The last step that is filled.
    step: usize,
    key: Key,
    places: Places,
}

fn complete(sequence: &Sequence, events: &[&Stamped]) -> Vec<Complete> {
    run(sequence, events).complete
}

/// The events of the partial matches that are left behind the last event, too old ones among them.
pub(super) fn partials(sequence: &Sequence, events: &[&Stamped]) -> Vec<Places> {
    run(sequence, events).partials.into_iter().map(|partial| partial.places).collect()
}

fn run<'a>(sequence: &'a Sequence, events: &'a [&'a Stamped]) -> Run<'a> {
    let steps = steps(sequence);
    let mut run = Run { sequence, steps, events, partials: Vec::new(), complete: Vec::new() };
    for (place, event) in events.iter().enumerate() {
        for step in (0..run.steps.len()).rev() {
            for key in keys(sequence, run.steps[step], event) {
                run.advance(place, step, key);
            }
        }
        // Behind the steps: what the event completes is complete, what it advances ends here.
        if let Some(until) = &sequence.until
            && passes(&until.filter, event, &[])
        {
            let ended = keys(sequence, until, event);
            run.partials.retain(|partial| !ended.contains(&partial.key));
        }
    }
    run
}

struct Run<'a> {
    sequence: &'a Sequence,
    steps: Vec<&'a Term>,
    events: &'a [&'a Stamped],
    partials: Vec<Partial>,
    complete: Vec<Complete>,
}

impl Run<'_> {
    /// Tries an event on a step, under one key.
    fn advance(&mut self, place: usize, step: usize, key: Key) {
        let waits = |partial: &Partial| partial.step + 1 == step && partial.key == key;
        let before = self.partials.iter().position(waits);
        if step > 0 && before.is_none() {
            return;
        }
        let filled = before.map_or(&[][..], |index| &self.partials[index].places);
        let bound = named(&self.steps, filled, self.events);
        if !passes(&self.steps[step].filter, self.events[place], &bound) {
            return;
        }
        let mut places = before.map_or_else(Vec::new, |index| self.partials.remove(index).places);
        let time = |place: usize| self.events[place].event.timestamp.0;
        let first = places.first().map_or(place, |first| *first);
        let maxspan = self.sequence.maxspan_ms.as_ref();
        if maxspan.is_some_and(|maxspan| time(place).saturating_sub(time(first)) > maxspan.node) {
            return;
        }
        places.push(place);
        if step + 1 == self.steps.len() {
            self.complete.push(Complete { key, places });
        } else {
            self.partials.retain(|partial| partial.step != step || partial.key != key);
            self.partials.push(Partial { step, key, places });
        }
    }
}
