//! What happened in a test, on one line of time: events, what acted, and what should have.

use super::TestResult;
use beckon_engine::model::SuppressReason;
use serde_json::{Map, Value as Json};

/// The most characters of an event's fields that are shown.
const FIELDS_CHARS_MAX: usize = 72;

/// One thing on the line of time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Moment<'a> {
    /// Milliseconds after the start.
    pub(super) at_ms: i64,
    /// What it is.
    pub(super) what: What,
    /// The event with its fields, or the kind of the action.
    pub(super) text: &'a str,
}

/// What a moment is; at the same time in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// An event of the test.
    Event,
    /// An action that was expected and came.
    Met,
    /// An action that was expected and did not come.
    Missed,
    /// An action that came and was not expected.
    Unexpected,
    /// A match that does not act.
    Suppressed(SuppressReason),
}

/// All moments of a test in the order of time.
pub(super) fn moments(test: &TestResult) -> Vec<Moment<'_>> {
    let mut out = Vec::new();
    for (at_ms, text) in &test.events {
        out.push(Moment { at_ms: *at_ms, what: What::Event, text });
    }
    let mut missed: Vec<_> = test.expected.iter().map(|(at_ms, kind)| (*at_ms, &**kind)).collect();
    for acted in test.outcome.iter().flatten() {
        let (at_ms, text) = (acted.at_ms, &*acted.action);
        let what = match acted.suppressed {
            Some(reason) => What::Suppressed(reason),
            None => match missed.iter().position(|one| *one == (at_ms, text)) {
                Some(place) => {
                    missed.remove(place);
                    What::Met
                }
                None => What::Unexpected,
            },
        };
        out.push(Moment { at_ms, what, text });
    }
    out.extend(missed.iter().map(|&(at_ms, text)| Moment { at_ms, what: What::Missed, text }));
    out.sort_by_key(|moment| (moment.at_ms, moment.what));
    out
}

/// An event's name and fields: `AddToCart  data.price=120`.
pub(super) fn event_text(fields: &Map<String, Json>) -> String {
    let mut shown = Vec::new();
    for (name, json) in fields.iter().filter(|(name, _)| *name != "eventName") {
        flatten(name, json, &mut shown);
    }
    let mut text = shown.join(" ");
    if let Some((end, _)) = text.char_indices().nth(FIELDS_CHARS_MAX) {
        text.truncate(end);
        text.push_str("...");
    }
    let name = fields.get("eventName").and_then(Json::as_str).unwrap_or("(no eventName)");
    format!("{name}  {text}").trim_end().to_owned()
}

fn flatten(name: &str, json: &Json, out: &mut Vec<String>) {
    match json {
        Json::Object(inner) if !inner.is_empty() => {
            for (part, json) in inner {
                flatten(&format!("{name}.{part}"), json, out);
            }
        }
        json => out.push(format!("{name}={json}")),
    }
}

/// A time after the start as rule files write it: `90s`, in the largest unit that is exact.
pub(super) fn time(at_ms: i64) -> String {
    const UNITS: [(&str, i64); 4] =
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    if at_ms == 0 {
        return "0s".to_owned();
    }
    match UNITS.iter().find(|(_, unit_ms)| at_ms % unit_ms == 0) {
        Some((unit, unit_ms)) => format!("{}{unit}", at_ms / unit_ms),
        None => format!("{at_ms}ms"),
    }
}
