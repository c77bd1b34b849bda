//! How far sequences have come: what is under way at the end of the log, for a person who watches.
//!
//! Of each rule and window the partial match that has come farthest, of equals the newest; one that
//! is too old (`maxspan`) has come nowhere. A sequence whose steps are all filled is under way while
//! it waits for its deadline. Rules on one event and samples are never under way here.

use super::journal::{Journal, Seen};
use super::window::{by_window, matches, over};
use super::{WindowKey, sequence};
use crate::model::{EventId, EventTimeMs};
use beckon_rules::ast::{QueryBody, Sequence};
use beckon_rules::plan::{Fire, RulePlan};
use std::sync::Arc;

/// A rule that has begun in a window and has not fired for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// The rule's package.
    pub package: Arc<str>,
    /// The rule.
    pub rule: Arc<str>,
    /// The window instance.
    pub window: WindowKey,
    /// Ids of the events that fill its first steps, in order.
    pub events: Vec<EventId>,
    /// When it is given up, or fires where all steps are filled; `None`: never by time.
    pub until: Option<EventTimeMs>,
}

/// What is under way of a rule.
pub(super) fn under_way(rule: &RulePlan, journal: &Journal) -> Vec<UnderWay> {
    let QueryBody::Sequence(sequence) = &rule.tree.body else { return Vec::new() };
    let windows = by_window(rule, journal).into_iter();
    windows
        .filter(|((_, window), _)| !over(window, journal))
        .filter_map(|((_, window), seen)| {
            let (events, until) = farthest(rule, sequence, &seen, journal.watermark)?;
            let (package, rule) = (Arc::clone(&rule.package), Arc::clone(&rule.name));
            Some(UnderWay { package, rule, window, events, until })
        })
        .collect()
}

fn farthest(
    rule: &RulePlan,
    sequence: &Sequence,
    seen: &[&Seen],
    now: EventTimeMs,
) -> Option<(Vec<EventId>, Option<EventTimeMs>)> {
    let events: Vec<_> = seen.iter().map(|seen| &seen.stamped).collect();
    let ids = |places: &[usize]| places.iter().map(|at| events[*at].event.id.clone()).collect();
    let matches = matches(rule, &events);
    let is_decided = |at: EventTimeMs, is_deadline: bool| !is_deadline || at < now;
    if rule.fire == Fire::Once
        && matches.iter().any(|one| is_decided(one.decided.at, one.decided.is_deadline))
    {
        return None;
    }
    let mut waiting =
        matches.iter().filter(|one| !is_decided(one.decided.at, one.decided.is_deadline));
    if let Some(first) = waiting.next() {
        return Some((ids(&first.places), Some(first.decided.at)));
    }
    let ends = |places: &[usize]| {
        let maxspan = sequence.maxspan_ms.as_ref()?;
        let first = events[*places.first()?].event.timestamp;
        Some(first.saturating_add(maxspan.node))
    };
    let open = sequence::partials(sequence, &events).into_iter();
    let open = open.filter(|places| ends(places).is_none_or(|end| end >= now));
    let best = open.max_by_key(|places| (places.len(), places.last().copied()))?;
    Some((ids(&best), ends(&best)))
}
