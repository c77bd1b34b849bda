//! Windows: whose events a rule sees, in order; and which of its matches are asserted.

use super::expression::Stamped;
use super::journal::{Journal, Seen};
use super::pattern::{Match, Moment, passes};
use super::{ReferenceMatch, WindowKey, sample, sequence};
use crate::model::{EventTimeMs, Value};
use beckon_rules::ast::QueryBody;
use beckon_rules::plan::{Emit, Fire, RulePlan, Window};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The matches of a rule that are asserted at the end of the log, and when they were decided: window
/// by window, in that order.
pub(super) fn asserted(rule: &RulePlan, journal: &Journal) -> Vec<(ReferenceMatch, Moment)> {
    let mut asserted = Vec::new();
    for ((site, window), seen) in by_window(rule, journal) {
        let events: Vec<&Stamped> = seen.iter().map(|seen| &seen.stamped).collect();
        let is_over = over(&window, journal);
        let mut matches = matches(rule, &events);
        matches.sort_by_key(|one| one.decided);
        if rule.fire == Fire::Once {
            matches.truncate(1);
        }
        matches.retain(|one| is_over || is_asserted(rule, one.decided, journal));
        asserted.extend(matches.into_iter().map(|one| {
            let ids = one.places.iter().map(|place| events[*place].event.id.clone());
            let found = ReferenceMatch {
                site: site.clone(),
                window: window.clone(),
                package: Arc::clone(&rule.package),
                rule: Arc::clone(&rule.name),
                events: ids.collect(),
            };
            (found, one.decided)
        }));
    }
    asserted
}

/// The events that a rule sees, by window instance and in order.
pub(super) fn by_window<'a>(
    rule: &RulePlan,
    journal: &'a Journal,
) -> BTreeMap<(Option<Arc<str>>, WindowKey), Vec<&'a Seen>> {
    let mut windows: BTreeMap<(Option<Arc<str>>, WindowKey), Vec<&Seen>> = BTreeMap::new();
    for seen in journal.seen.iter().filter(|seen| is_of_host(rule, &seen.stamped)) {
        if let Some(window) = window_of(rule.window, seen) {
            windows.entry(window).or_default().push(seen);
        }
    }
    for seen in windows.values_mut() {
        seen.sort_by_key(|seen| seen.order);
    }
    windows
}

/// Whether a window has ended.
pub(super) fn over(window: &WindowKey, journal: &Journal) -> bool {
    match window {
        WindowKey::Visit(_, instance) => journal.is_closed(*instance),
        WindowKey::Visitor(_) | WindowKey::User(_) | WindowKey::Site | WindowKey::Global => false,
    }
}

/// Whether the rule sees the event's host.
fn is_of_host(rule: &RulePlan, stamped: &Stamped) -> bool {
    let Some(hosts) = &rule.hosts else { return true };
    matches!(stamped.event.field("url.host"), Some(Value::Str(host)) if hosts.covers(host))
}

/// The window instance that an event belongs to.
fn window_of(window: Window, seen: &Seen) -> Option<(Option<Arc<str>>, WindowKey)> {
    let Stamped { event, identity } = &seen.stamped;
    let key = match window {
        Window::Visit => WindowKey::Visit(event.visit.clone(), seen.instance),
        Window::Visitor => WindowKey::Visitor(event.visitor.clone()?),
        Window::User => WindowKey::User(identity.user.clone().filter(|_| identity.verified)?),
        Window::Site => WindowKey::Site,
        Window::Global => return Some((None, WindowKey::Global)),
    };
    Some((Some(Arc::clone(&event.site)), key))
}

fn is_asserted(rule: &RulePlan, decided: Moment, journal: &Journal) -> bool {
    let has_passed = |time: EventTimeMs| time == EventTimeMs::MAX || time > decided.at;
    match rule.emit {
        Emit::Early => !decided.is_deadline || has_passed(journal.watermark),
        Emit::Final => has_passed(journal.horizon),
    }
}

/// Every match over the events of one window instance, in the order of the last events.
pub(super) fn matches(rule: &RulePlan, events: &[&Stamped]) -> Vec<Match> {
    match &rule.tree.body {
        QueryBody::Event(filter) => {
            let places = (0..events.len()).filter(|place| passes(filter, events[*place], &[]));
            places.map(|place| Match::at_last_event(vec![place], events)).collect()
        }
        QueryBody::Sequence(sequence) => sequence::matches(sequence, events),
        QueryBody::Sample(sample) => sample::matches(sample, events),
    }
}
