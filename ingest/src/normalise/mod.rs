//! From an event as it came to the one [`Event`] that the rest of Beckon sees.
//!
//! Knows no HTTP: `beckon replay` and the dead letters' replay use the same checks. What comes out
//! is valid for good: the log, the rules and Parquet check nothing again.
//!
//! Order of work: read (one pass, `wire.rs`), check what decides about rejection, then derive. The
//! first error is the event's result; a rejected event leaves nothing behind.
//!
//! Fields that the server owns are dropped from input, as are names that no field has; both are
//! named in [`Normalised::dropped`], so that a developer sees the slip and a metric counts it.

mod address;
mod client_address;
mod ids;
mod owned;
mod reject;
mod secrets;
mod sign_in;
mod time;
mod user_agent;
mod wire;

pub use address::{Address, AddressError, QUERY_PARAMETERS_MAX, QueryPolicy};
pub use client_address::{AddressPolicy, truncate};
use ids::{id, random_id, visit};
pub(crate) use owned::is_owned;
pub use reject::{RejectReason, Rejection};
pub(crate) use secrets::{is_credential, is_secret_like};
pub use time::{CORRECTED_PAST_MAX_MS, FUTURE_MAX_MS, SKEW_MIN_MS};
pub use user_agent::{USER_AGENT_BYTES_MAX, USER_AGENTS_MAX, UserAgent, UserAgents};

use crate::identity::{Doubt, IdentityCheck};
use beckon_engine::model::{
    Event, EventId, EventTimeMs, Flags, Id, PageId, ServerTimeMs, SiteName, Value, VisitId,
    VisitorId, system,
};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wire::{Slot, WireEvent};

/// Characters of an event's name.
pub const EVENT_NAME_CHARACTERS_MAX: usize = 100;
/// Categories of one event.
pub const CATEGORIES_MAX: usize = 50;

/// Who sent an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A visitor's browser.
    Browser,
    /// A server of the site, with its secret: what it says is proven.
    Server,
}

/// What becomes of events of a visit whose secret was not shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unproven {
    /// Stored; no rule, visit or identity advances by it.
    #[default]
    Record,
    /// Stored as unproven, and matched like any other.
    Match,
}

/// What is known of an event besides its JSON.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// The site of the key.
    pub site: &'a SiteName,
    /// When the request came.
    pub received: ServerTimeMs,
    /// When the client says it sent, by its own clock.
    pub sent: Option<EventTimeMs>,
    /// Who sent it.
    pub sender: Sender,
    /// The visit that the shown secret proves: the first 128 bits of its SHA-256.
    pub proven_visit: Option<u128>,
    /// What becomes of unproven events.
    pub unproven: Unproven,
    /// What the visitor's browser is known from.
    pub agent: Agent<'a>,
    /// Of the visitor.
    pub address: Option<IpAddr>,
    /// What proves who signed in, where the site has that.
    pub identity: Option<&'a IdentityCheck>,
    /// What is known of its visit.
    pub visit: OfVisit,
}

/// Which visit an event is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OfVisit {
    /// The one that it names.
    #[default]
    Named,
    /// The one that it names, or a new one.
    NamedOrNew,
    /// This one, whether the event names it or not.
    This(Id),
}

/// What a visitor's browser is known from.
#[derive(Clone, Copy, Debug)]
pub enum Agent<'a> {
    /// From `data.userAgent`, if that is there: a server speaks for a browser.
    Said,
    /// From the request, parsed.
    Header(&'a UserAgent),
    /// The caller packs the agent's fields, once for all events of the request.
    Apart,
}

/// An event that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalised {
    /// The event.
    pub event: Event,
    /// Whether the id was given by the server because the input had none.
    pub has_new_id: bool,
    /// Names of input fields that were not taken.
    pub dropped: Vec<Box<str>>,
    /// Why a sign-in is not proven, where the site has a way to prove it.
    pub doubt: Option<Doubt>,
}

/// Why an event was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NormaliseError {
    /// The text is no JSON.
    #[error("not JSON: {0}")]
    Syntax(Box<str>),
    /// JSON that is no valid event.
    #[error(transparent)]
    Rejected(#[from] Rejection),
}

/// Checks and normalises events.
#[derive(Debug, Default)]
pub struct Normaliser {
    query: QueryPolicy,
    addresses: AddressPolicy,
    user_agents: UserAgents,
    parameters_over_limit: AtomicU64,
}

impl Normaliser {
    /// A normaliser that keeps the query parameters of `query`.
    #[must_use]
    pub fn new(query: QueryPolicy) -> Self {
        Self { query, ..Self::default() }
    }

    /// The same, with another policy of addresses.
    #[must_use]
    pub fn with_addresses(self, addresses: AddressPolicy) -> Self {
        Self { addresses, ..self }
    }

    /// What is kept of a client's address.
    #[must_use]
    pub fn addresses(&self) -> AddressPolicy {
        self.addresses
    }

    /// Which query parameters are kept.
    #[must_use]
    pub fn query_policy(&self) -> &QueryPolicy {
        &self.query
    }

    /// Query parameters that were not kept because of [`QUERY_PARAMETERS_MAX`].
    #[must_use]
    pub fn parameters_over_limit(&self) -> u64 {
        self.parameters_over_limit.load(Ordering::Relaxed)
    }

    fn count_over_limit(&self, parameters: u32) {
        if parameters > 0 {
            self.parameters_over_limit.fetch_add(parameters.into(), Ordering::Relaxed);
        }
    }

    /// The cached parser of user agents.
    #[must_use]
    pub fn user_agents(&self) -> &UserAgents {
        &self.user_agents
    }

    /// Reads one event. The nesting of `json` must be bounded before (at most
    /// [`beckon_engine::model::DEPTH_MAX`]).
    ///
    /// # Errors
    /// [`NormaliseError::Syntax`] when `json` is not JSON, else why it is no valid event.
    pub fn event(&self, json: &str, context: &Context<'_>) -> Result<Normalised, NormaliseError> {
        let mut wire = read(json)?;
        if wire.not_an_object {
            let message = "expected an object with the event's fields";
            return Err(Rejection::whole(RejectReason::NotAnObject, message).into());
        }
        Ok(self.normalise(&mut wire, context)?)
    }

    fn normalise(
        &self,
        wire: &mut WireEvent<'_>,
        context: &Context<'_>,
    ) -> Result<Normalised, Rejection> {
        let name = event_name(&wire.event_name)?;
        check_type(&wire.event_type, &name)?;
        let given = id("eventID", &wire.event_id)?;
        let visit = visit(id("visitID", &wire.visit_id)?, (&context.visit, given.as_ref()))?;
        let has_new_id = given.is_none();
        let event_id = given.unwrap_or_else(random_id);
        let said = match integer("timestamp", &wire.timestamp)? {
            Some(said) => time::check_range("timestamp", said)?,
            None => EventTimeMs(context.received.0),
        };
        let sent = context.sent.filter(|_| !matches!(wire.timestamp, Slot::Absent | Slot::Null));
        let judged = time::judge(said, sent, context.received);
        let mut event = Event {
            flags: judged.flags.with(proof(&visit, context)),
            site: Arc::clone(context.site),
            name,
            id: EventId(event_id),
            visit: VisitId(visit),
            visitor: id("globalVisitID", &wire.global_visit_id)?.map(VisitorId),
            page: id("pageID", &wire.page_id)?.map(PageId),
            timestamp: judged.timestamp,
            server_timestamp: context.received,
            client_timestamp: judged.client,
            tie: integer("seq", &wire.seq)?,
            fields: Vec::with_capacity(12),
        };
        let mut data = data(wire.data.take())?;
        let mut doubt = None;
        if matches!(&*event.name, system::SIGN_IN | system::USER_INFO) {
            match sign_in::sign_in(&mut data, context)? {
                Ok(()) => event.flags = event.flags.with(Flags::VERIFIED),
                Err(why) => doubt = context.identity.map(|_| why),
            }
        }
        self.fill(&mut event.fields, data, wire, context)?;
        let dropped = std::mem::take(&mut wire.others);
        Ok(Normalised { event, has_new_id, dropped, doubt })
    }

    /// Everything that is not in the event's header.
    fn fill(
        &self,
        fields: &mut Vec<(Box<str>, Value)>,
        mut data: Entries,
        wire: &mut WireEvent<'_>,
        context: &Context<'_>,
    ) -> Result<(), Rejection> {
        if let Some(url) = text("url", &wire.url)? {
            let clean = Address::clean(url, &self.query).map_err(|error| {
                Rejection::field(RejectReason::BadUrl, "url", format_args!("url: {error}"))
            })?;
            self.count_over_limit(clean.over_limit);
            clean.push_fields(fields);
        }
        if let Some(referrer) = lifted("referrer", &wire.referrer, &mut data)? {
            match Address::clean_text(&referrer, &self.query) {
                Ok((clean, over_limit)) => {
                    self.count_over_limit(over_limit);
                    fields.push(("referrer".into(), Value::Str(clean)));
                }
                Err(AddressError) if referrer.is_empty() => {}
                Err(AddressError) => wire.others.push("referrer".into()),
            }
        }
        if let Some(title) = lifted("title", &wire.title, &mut data)? {
            fields.push(("title".into(), Value::Str(title)));
        }
        if let Some(language) = text("languageCode", &wire.language_code)? {
            fields.push(("languageCode".into(), Value::Str(language.into())));
        }
        if let Some(category) = categories(wire.category.take())? {
            fields.push(("category".into(), category));
        }
        self.fill_agent(fields, &data, context);
        if let Some(kept) = context.address.and_then(|address| self.addresses.keep(address)) {
            fields.push(("ip".into(), Value::Str(kept)));
        }
        if !data.is_empty() {
            fields.push(("data".into(), Value::Map(data)));
        }
        Ok(())
    }

    /// The agent's fields, where they are to be in the event.
    fn fill_agent(
        &self,
        fields: &mut Vec<(Box<str>, Value)>,
        data: &[(Box<str>, Value)],
        context: &Context<'_>,
    ) {
        match context.agent {
            Agent::Header(agent) => return agent.push_fields(fields),
            Agent::Apart => return,
            Agent::Said => {}
        }
        let said = data.iter().rfind(|(name, _)| &**name == "userAgent");
        if let Some((_, Value::Str(said))) = said {
            self.user_agents.parse(said).push_fields(fields);
        }
    }
}

/// Reads the JSON; lone halves of surrogate pairs (a tracker cut a text inside an emoji) become
/// the replacement character.
fn read(json: &str) -> Result<WireEvent<'_>, NormaliseError> {
    let error = match sonic_rs::from_str::<WireEvent<'_>>(json) {
        Ok(wire) => return Ok(wire),
        Err(error) => error,
    };
    let mut lossy = sonic_rs::Deserializer::from_str(json).utf8_lossy();
    if let Ok(wire) = lossy.deserialize::<WireEvent<'_>>()
        && lossy.end().is_ok()
    {
        return Ok(wire);
    }
    if serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok() {
        let message = "holds a number or text that cannot be represented";
        return Err(Rejection::whole(RejectReason::InvalidJson, message).into());
    }
    let text = error.to_string();
    Err(NormaliseError::Syntax(text.lines().next().unwrap_or_default().into()))
}

fn missing(field: &str) -> Rejection {
    Rejection::field(RejectReason::MissingField, field, format_args!("{field} is required"))
}

fn wrong_type(field: &str, found: &str, expected: &str) -> Rejection {
    Rejection::field(
        RejectReason::WrongType,
        field,
        format_args!("{field} is {found}, expected {expected}"),
    )
}

/// The text of an optional field.
fn text<'s>(field: &str, slot: &'s Slot<'_>) -> Result<Option<&'s str>, Rejection> {
    match slot {
        Slot::Absent | Slot::Null => Ok(None),
        Slot::Str(text) => Ok(Some(text)),
        other => Err(wrong_type(field, other.kind(), "a string")),
    }
}

/// The integer of an optional field; a float without fraction is one, a fraction of a millisecond
/// (`performance.now`) is cut off.
fn integer(field: &str, slot: &Slot<'_>) -> Result<Option<i64>, Rejection> {
    /// Beyond 2^53 a float names no certain integer.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    match slot {
        Slot::Absent | Slot::Null => Ok(None),
        Slot::Int(int) => Ok(Some(*int)),
        #[expect(clippy::cast_possible_truncation, reason = "within 2^53, and cut on purpose")]
        Slot::Float(float) if float.abs() <= EXACT_MAX => Ok(Some(*float as i64)),
        other => Err(wrong_type(field, other.kind(), "an integer of 64 bits")),
    }
}

/// Whether a name is one of an event: 1 to 100 characters, none of them a control.
pub(crate) fn is_event_name(name: &str) -> bool {
    // Bytes bound characters from above: the exact count is needed for long names only.
    let long =
        name.len() > EVENT_NAME_CHARACTERS_MAX && name.chars().count() > EVENT_NAME_CHARACTERS_MAX;
    !name.is_empty() && !long && !name.chars().any(char::is_control)
}

fn event_name(slot: &Slot<'_>) -> Result<Box<str>, Rejection> {
    let name = text("eventName", slot)?.ok_or_else(|| missing("eventName"))?;
    if !is_event_name(name) {
        return Err(Rejection::field(
            RejectReason::BadEventName,
            "eventName",
            format_args!(
                "eventName must have 1 to {EVENT_NAME_CHARACTERS_MAX} characters, none a control"
            ),
        ));
    }
    Ok(name.into())
}

fn check_type(slot: &Slot<'_>, name: &str) -> Result<(), Rejection> {
    let Some(said) = text("eventType", slot)? else { return Ok(()) };
    if said.eq_ignore_ascii_case("ACTIONABLE") {
        let message = "actionable events are made by rules only";
        return Err(Rejection::field(RejectReason::ActionableEvent, "eventType", message));
    }
    let expected = if system::is_system(name) { "SYSTEM" } else { "BUSINESS" };
    if said.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(Rejection::field(
        RejectReason::BadEventType,
        "eventType",
        format_args!("an event of this name has the type {expected}, or leaves it out"),
    ))
}

fn proof(visit: &Id, context: &Context<'_>) -> Flags {
    let proven = context.sender == Sender::Server
        || matches!((visit, context.proven_visit), (Id::Bits(visit), Some(shown)) if *visit == shown);
    match (proven, context.unproven) {
        (true, _) => Flags::default(),
        (false, Unproven::Match) => Flags::UNPROVEN,
        (false, Unproven::Record) => Flags::UNPROVEN.with(Flags::RECORD_ONLY),
    }
}

type Entries = Vec<(Box<str>, Value)>;

fn data(value: Option<Value>) -> Result<Entries, Rejection> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Map(entries)) => Ok(entries),
        Some(_) => Err(wrong_type("data", "no object", "an object")),
    }
}

/// A field that may also stand in `data`, where it is taken out, each time it is there; the last counts.
fn lifted(field: &str, slot: &Slot<'_>, data: &mut Entries) -> Result<Option<Box<str>>, Rejection> {
    let top = text(field, slot)?.map(Box::from);
    let mut inner = None;
    data.retain_mut(|(name, value)| {
        let is_lifted = &**name == field && matches!(value, Value::Str(_) | Value::Null);
        if is_lifted {
            inner = Some(std::mem::replace(value, Value::Null));
        }
        !is_lifted
    });
    Ok(top.or(match inner {
        Some(Value::Str(text)) => Some(text),
        _ => None,
    }))
}

/// One text with `;` between, or a list of texts; empty parts are nothing.
fn categories(value: Option<Value>) -> Result<Option<Value>, Rejection> {
    let list = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Str(joined)) => split_categories(&joined),
        Some(Value::List(values)) => {
            let mut list = Vec::with_capacity(values.len());
            for (index, value) in values.iter().enumerate() {
                let Value::Str(text) = value else {
                    let field = format!("category[{index}]");
                    return Err(wrong_type(&field, "no string", "a string"));
                };
                list.extend(split_categories(text));
            }
            list
        }
        Some(_) => {
            return Err(wrong_type("category", "no string or list", "a string or list of strings"));
        }
    };
    if list.len() > CATEGORIES_MAX {
        return Err(Rejection::field(
            RejectReason::TooManyCategories,
            "category",
            format_args!("{} categories, at most {CATEGORIES_MAX} are taken", list.len()),
        ));
    }
    Ok((!list.is_empty()).then_some(Value::List(list)))
}

fn split_categories(joined: &str) -> Vec<Value> {
    joined
        .split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| Value::Str(part.into()))
        .collect()
}

#[cfg(test)]
mod tests;
