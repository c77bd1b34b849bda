//! Samples: one event for each step, in any order, all of one key.
//!
//! A sample is there with the first event by which all steps can be filled with distinct events,
//! that one among them and none more than `maxspan` before it. Of the ways to fill them it has, step
//! by step, the earliest events. Each key gives one sample.

use super::expression::Stamped;
use super::pattern::{Key, Match, Places, keys, passes};
use beckon_rules::ast::Sequence;

/// Every sample, in the order of the events that complete them.
pub(super) fn matches(sample: &Sequence, events: &[&Stamped]) -> Vec<Match> {
    let mut found: Vec<(Key, Match)> = Vec::new();
    for (last, event) in events.iter().enumerate() {
        for term in sample.terms.iter().rev().filter(|term| passes(&term.filter, event, &[])) {
            for key in keys(sample, term, event) {
                let is_done = found.iter().any(|(done, _)| *done == key);
                if let Some(places) = filled(sample, events, last, &key).filter(|_| !is_done) {
                    found.push((key, Match::at_last_event(places, events)));
                }
            }
        }
    }
    found.into_iter().map(|(_, found)| found).collect()
}

/// The earliest events, up to the last, that fill all steps under a key.
fn filled(sample: &Sequence, events: &[&Stamped], last: usize, key: &Key) -> Option<Places> {
    let now = events[last].event.timestamp;
    let earliest = sample.maxspan_ms.as_ref().map(|maxspan| now.saturating_add(-maxspan.node));
    let fits = |step: usize, place: usize| {
        let (term, event) = (&sample.terms[step], events[place]);
        earliest.is_none_or(|earliest| event.event.timestamp >= earliest)
            && passes(&term.filter, event, &[])
            && keys(sample, term, event).contains(key)
    };
    let mut places = Vec::new();
    fill(&mut places, sample.terms.len(), last, &fits).then_some(places)
}

/// Fills the steps behind those filled; false where there is no way.
fn fill(
    places: &mut Places,
    steps: usize,
    last: usize,
    fits: &impl Fn(usize, usize) -> bool,
) -> bool {
    let step = places.len();
    if step == steps {
        return true;
    }
    for place in 0..=last {
        if !places.contains(&place) && fits(step, place) {
            places.push(place);
            if fill(places, steps, last, fits) {
                return true;
            }
            places.pop();
        }
    }
    false
}
