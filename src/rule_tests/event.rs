//! A test's event as the engine reads it.
//!
//! It is the event as rules see it: besides what a tracker sends it may say what the server would
//! add (`isBot`, `url.path`). A `url` is taken apart as at the door; dotted keys are fields of
//! their own; `category` may be one text with `;` between. All of it is one visitor's, in one visit,
//! unless it says otherwise, and proven: a `SignIn` says who the user is.

use anyhow::Context;
use beckon_engine::model::{
    Event, EventId, EventTimeMs, Flags, Id, LogSeq, PageId, ServerTimeMs, Value, VisitId, VisitorId,
};
use beckon_ingest::normalise::{Address, QueryPolicy};
use beckon_ingest::source::value_of;
use serde_json::{Map, Value as Json};

/// The event that a test's table says.
///
/// # Errors
/// When it has no name, an id is none, its address is none, or a value nests too deep.
pub(super) fn event(
    fields: &Map<String, Json>,
    timestamp_ms: i64,
    seq: LogSeq,
) -> anyhow::Result<Event> {
    let id = |name: &str| -> anyhow::Result<Option<Id>> {
        let Some(text) = fields.get(name).and_then(Json::as_str) else { return Ok(None) };
        Ok(Some(Id::from_hex(text).or_else(|_| Id::from_text(text)).context(name.to_owned())?))
    };
    let name = fields.get("eventName").and_then(Json::as_str);
    Ok(Event {
        flags: Flags::VERIFIED,
        site: "default".into(),
        name: name.context("an event has an eventName")?.into(),
        id: EventId(id("eventID")?.unwrap_or(Id::Bits(u128::from(seq.0)))),
        visit: VisitId(id("visitID")?.unwrap_or(Id::Bits(1))),
        visitor: Some(VisitorId(id("globalVisitID")?.unwrap_or(Id::Bits(1)))),
        page: id("pageID")?.map(PageId),
        timestamp: EventTimeMs(timestamp_ms),
        server_timestamp: ServerTimeMs(timestamp_ms),
        client_timestamp: None,
        tie: fields.get("seq").and_then(Json::as_i64),
        fields: rest(fields)?,
    })
}

/// Everything that is not in the header, under its dotted name.
fn rest(fields: &Map<String, Json>) -> anyhow::Result<Vec<(Box<str>, Value)>> {
    const HEADER: [&str; 7] =
        ["eventName", "eventType", "eventID", "visitID", "globalVisitID", "pageID", "seq"];
    let mut out = Vec::new();
    for (name, json) in fields.iter().filter(|(name, _)| !HEADER.contains(&name.as_str())) {
        match (name.as_str(), json) {
            ("url", Json::String(text)) => {
                let policy = QueryPolicy { allowed: vec!["*".to_owned()] };
                Address::clean(text, &policy).context("url")?.push_fields(&mut out);
            }
            ("category", Json::String(text)) => {
                let names = text.split(';').map(|name| Value::Str(name.trim().into()));
                out.push(("category".into(), Value::List(names.collect())));
            }
            ("data", json) => out.push(("data".into(), value_of(json).context("data")?)),
            (name, json) => flatten(name, json, &mut out)?,
        }
    }
    Ok(out)
}

fn flatten(name: &str, json: &Json, out: &mut Vec<(Box<str>, Value)>) -> anyhow::Result<()> {
    match json {
        Json::Object(inner) => {
            for (part, json) in inner {
                flatten(&format!("{name}.{part}"), json, out)?;
            }
        }
        json => out.push((name.into(), value_of(json).context(name.to_owned())?)),
    }
    Ok(())
}
