//! Events as they are sent, and what each is told: for the description alone.
//!
//! Bodies are cut and read, and results written, by hand (`body`, `normalise::wire`, `events::judge`):
//! that is the hot path. A test of `events::judge` holds what it writes against [`EventResult`].

#![expect(dead_code, reason = "events are read by hand; these only describe them")]

use crate::normalise::RejectReason;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// One event, an array of events, or an envelope.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Events {
    /// One event.
    One(Box<Event>),
    /// Several events.
    Several(Vec<Event>),
    /// Several events, and what they have in common.
    Envelope(Envelope),
}

/// One event or several.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum EventsOfVisit {
    /// One event.
    One(Box<Event>),
    /// Several events.
    Several(Vec<Event>),
}

/// Events with what they have in common.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope {
    /// A write key.
    key: Option<String>,
    /// When it is sent by the client's clock, milliseconds since 1970: clocks that are wrong are put right.
    sent_at: Option<f64>,
    /// The visit's secret, which proves it.
    visit_secret: Option<String>,
    events: Vec<Event>,
}

/// Something that a visitor did. Fields with other names are dropped, and named in the answer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "eventName": "VisitStarted",
    "visitID": "0123456789abcdef0123456789abcdef",
    "url": "https://shop.example/",
}))]
pub(super) struct Event {
    /// What was done: `PageEntered`, `AddToCart`.
    #[schema(min_length = 1, max_length = 100)]
    event_name: String,
    /// `SYSTEM` for the names that Beckon knows, else `BUSINESS`; or nothing.
    event_type: Option<String>,
    /// By which a second sending is told; without it the server gives one.
    #[serde(rename = "eventID")]
    #[schema(pattern = "^[0-9A-Fa-f]{32}$")]
    event_id: Option<String>,
    /// The visit. Required, unless the path names it.
    #[serde(rename = "visitID")]
    #[schema(pattern = "^[0-9A-Fa-f]{32}$")]
    visit_id: Option<String>,
    /// The visitor, over visits.
    #[serde(rename = "globalVisitID")]
    #[schema(pattern = "^[0-9A-Fa-f]{32}$")]
    global_visit_id: Option<String>,
    /// The page.
    #[serde(rename = "pageID")]
    #[schema(pattern = "^[0-9A-Fa-f]{32}$")]
    page_id: Option<String>,
    /// When, milliseconds since 1970; without it now.
    timestamp: Option<f64>,
    /// The order of events of one millisecond: an integer; of another number the fraction is cut off.
    seq: Option<f64>,
    url: Option<String>,
    referrer: Option<String>,
    title: Option<String>,
    language_code: Option<String>,
    category: Option<Categories>,
    /// Whatever else belongs to it.
    data: Option<BTreeMap<String, Value>>,
}

/// One category or several.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Categories {
    One(String),
    Several(Vec<String>),
}

/// What became of the events.
#[derive(Serialize, ToSchema)]
pub(super) struct EventResults {
    /// One for each event, in order.
    results: Vec<EventResult>,
}

/// What became of an event.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum EventResult {
    Taken(EventTaken),
    Rejected(EventRejected),
}

/// An event that is on disk.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventTaken {
    pub(crate) status: TakenStatus,
    /// The id that the server gave it.
    #[serde(rename = "eventID", skip_serializing_if = "Option::is_none")]
    pub(crate) event_id: Option<String>,
    /// Fields that were not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dropped: Option<Vec<String>>,
    /// Why a sign-in is not proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unverified: Option<String>,
}

/// New, or sent before.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TakenStatus {
    Ok,
    Duplicate,
}

/// An event that was not taken. It is kept as a dead letter.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventRejected {
    pub(crate) status: RejectedStatus,
    pub(crate) reason: RejectReason,
    /// JSON path of the culprit within the event: `$.eventName`.
    pub(crate) path: String,
    /// What was wrong, and what is expected.
    pub(crate) message: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RejectedStatus {
    Rejected,
}
