//! One match as a person reads it: who, when, and the events that made it.

use super::observer::Recent;
use beckon_engine::model::{ActionFact, Event, EventId, EventTimeMs, Value};
use jiff::Timestamp;

/// A match with its events, as far as they are still known.
#[derive(Clone, Debug)]
pub(super) struct Example {
    pub(super) fact: ActionFact,
    pub(super) events: Vec<(EventId, Option<Event>)>,
}

impl Example {
    pub(super) fn new(fact: &ActionFact, recent: &Recent) -> Self {
        let event = |id: &EventId| recent.find(fact.instance, id)?.unpack().ok();
        let events = fact.events.iter().map(|id| (id.clone(), event(id))).collect();
        Self { fact: fact.clone(), events }
    }

    /// The visitor: address and browser where they are known, and the id.
    pub(super) fn who(&self) -> String {
        let id = match &self.fact.visitor {
            Some(visitor) => format!("visitor {visitor}"),
            None => format!("visit {}", self.fact.visit),
        };
        let mut parts = self.looks();
        parts.push(id);
        parts.join(", ")
    }

    /// The visitor in a table: the id only where nothing else is known.
    pub(super) fn who_short(&self) -> String {
        let looks = self.looks();
        if looks.is_empty() { self.who() } else { looks.join(", ") }
    }

    /// Address and browser.
    fn looks(&self) -> Vec<String> {
        let last = self.events.iter().rev().find_map(|(_, event)| event.as_ref());
        let text = |name: &str| last.and_then(|event| event.field(name)).and_then(scalar);
        let browser = text("userAgent.name").map(|name| match text("userAgent.os") {
            Some(system) => format!("{name} on {system}"),
            None => name,
        });
        [text("ip"), browser].into_iter().flatten().collect()
    }

    /// A line for each event: time, name, and what it was about.
    pub(super) fn why(&self) -> Vec<String> {
        let line = |(id, event): &(EventId, Option<Event>)| match event {
            Some(event) => {
                let about = about(event);
                format!("{}  {}  {about}", time(event.timestamp), event.name).trim_end().to_owned()
            }
            None => format!("event {id}"),
        };
        self.events.iter().map(line).collect()
    }
}

/// Where the event happened and where its visitor came from, else its first fields.
fn about(event: &Event) -> String {
    /// Fields of a mapped source that are shown.
    const FIELDS_MAX: usize = 4;
    let text = |name: &str| event.field(name).and_then(scalar);
    if let Some(url) = text("url") {
        let status = match event.field("data") {
            Some(Value::Map(data)) => {
                data.iter().find(|(name, _)| &**name == "status").and_then(|(_, v)| scalar(v))
            }
            _ => None,
        };
        let failed = status.filter(|status| status.starts_with(['4', '5']));
        let failed = failed.map(|status| format!(" ({status})")).unwrap_or_default();
        let from = text("referrer").map(|referrer| format!("  from {referrer}"));
        return format!("{url}{failed}{}", from.unwrap_or_default());
    }
    let fields = event.fields.iter().filter_map(|(name, value)| Some((name, scalar(value)?)));
    let shown: Vec<String> =
        fields.take(FIELDS_MAX).map(|(name, value)| format!("{name}={value}")).collect();
    shown.join(" ")
}

/// A time as people read it, in UTC.
pub(super) fn time(timestamp: EventTimeMs) -> String {
    Timestamp::from_millisecond(timestamp.0)
        .map_or_else(|_| timestamp.0.to_string(), |time| time.to_string())
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Bool(bool) => Some(bool.to_string()),
        Value::Int(int) => Some(int.to_string()),
        Value::Float(float) => Some(float.to_string()),
        Value::Str(text) => Some(text.to_string()),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}
