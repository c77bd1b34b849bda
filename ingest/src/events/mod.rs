//! `POST /v1/events`: events in.
//!
//! The order of work is the order of cost, so that what is refused is refused early:
//!
//! 1. the address's rate, the engine's lag, the head (a key in the header or the query: known? its
//!    origin? its rate?);
//! 2. the body, frame by frame, under its own bound, the bound of all bodies, and a deadline;
//! 3. inflate, by the address's rate; cut into events; a key in the envelope is judged here, before
//!    any event is read;
//! 4. check and normalise each event;
//! 5. append what is good, wait until it is on disk, answer each event in order.
//!
//! **Invariant:** 200 is written only after the log has called back, and the log calls back only
//! after the sync. A request whose client has gone is appended all the same.

mod admit;
mod judge;
mod letters;
mod read;

pub(crate) use admit::{Door, add_cors, preflight, preflight_of};
pub(crate) use judge::{Judged, Verdict, judge_one};
pub(crate) use read::{Whole, read as read_body};

use crate::answer::{Refusal, json_text};
use crate::app::{App, Peer};
use crate::body::{Batch, BodyError};
use crate::normalise::{Agent, Context, OfVisit, Sender};
use crate::sites::{WriteKey, decode_hex, first_128_bits};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header, request::Parts as Head};
use axum::response::{IntoResponse, Response};
use beckon_engine::SPANS;
use beckon_engine::log::{Appended, NewRecord, Refused};
use beckon_engine::model::{EventTimeMs, PackedFields, ServerTimeMs, Value};
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::oneshot;
use tracing::Instrument as _;

/// The handler.
pub(crate) async fn post(State(app): State<Arc<App>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let door = Door::new(&app, &head);
    let taken = take(&app, &head, &door, body).await;
    let mut response = match taken {
        Ok(text) => json_text(StatusCode::OK, text),
        Err(refusal) => refusal.into_response(),
    };
    add_cors(&app, door.origin.as_deref(), response.headers_mut());
    response
}

async fn take(
    app: &Arc<App>,
    head: &Head,
    door: &Door,
    body: axum::body::Body,
) -> Result<String, Refusal> {
    app.admit_address(door.client)?;
    app.admit_lag()?;
    let early = door.key_of_head(app)?;
    let received = app.clock.now();
    // A browser's key is no secret, and its origin is what a stranger says it is.
    let is_known = early.as_ref().is_some_and(|key| key.sender == Sender::Server);
    let body = read::read(app, head, body, (!is_known).then_some(door.client)).await?;
    let batch = Batch::cut(&body.bytes, app.limits.batch_events_max)
        .map_err(|error| refuse_body(&error))?;
    let key = door.key_of_batch(app, early, batch.key.as_deref())?;
    let delivery = Delivery {
        app,
        head,
        client: door.client,
        key: &key,
        received,
        visit: OfVisit::Named,
        shown_keys: door.shown_keys(batch.key.as_deref()),
    };
    let judged = delivery.judge(&batch)?;
    let (judged, appended) = delivery.append(&batch, judged).await?;
    Ok(judged.finish(app, &key.site, &appended))
}

/// Events of one request, under the key that lets them in.
pub(crate) struct Delivery<'a> {
    pub(crate) app: &'a Arc<App>,
    pub(crate) head: &'a Head,
    pub(crate) client: IpAddr,
    pub(crate) key: &'a WriteKey,
    pub(crate) received: ServerTimeMs,
    pub(crate) visit: OfVisit,
    /// Every key that the request shows: none of them is kept.
    pub(crate) shown_keys: [Option<&'a str>; 3],
}

impl Delivery<'_> {
    /// Judges each event.
    ///
    /// # Errors
    /// As of [`judge::judge`].
    pub(crate) fn judge(&self, batch: &Batch<'_>) -> Result<Judged, Refusal> {
        let agent = self.agent();
        let shared = shared_fields(self.app, self.key.sender, self.client, agent.as_deref());
        judge::judge(self.app, batch, &self.context(batch), &shared)
    }

    /// Waits until what is good is on disk, and keeps the rest as dead letters.
    pub(crate) async fn append(
        &self,
        batch: &Batch<'_>,
        mut judged: Judged,
    ) -> Result<(Judged, Vec<Appended>), Refusal> {
        let records = std::mem::take(&mut judged.records);
        let appended = append(self.app, records).await?;
        let agent = self.agent();
        let request = letters::Request {
            key: self.key,
            client: self.client,
            user_agent: agent.as_deref(),
            shown_keys: self.shown_keys,
        };
        letters::keep(self.app, &request, batch, &judged, &self.context(batch));
        Ok((judged, appended))
    }

    fn agent(&self) -> Option<Cow<'_, str>> {
        let agent = self.head.headers.get(header::USER_AGENT);
        agent.map(|text| String::from_utf8_lossy(text.as_bytes()))
    }

    fn context(&self, batch: &Batch<'_>) -> Context<'_> {
        let Self { key, received, .. } = self;
        Context {
            site: &key.site,
            received: *received,
            sent: batch.sent_ms.map(EventTimeMs),
            sender: key.sender,
            proven_visit: batch.secret.as_deref().and_then(proven_visit),
            unproven: key.unproven,
            agent: match key.sender {
                Sender::Browser => Agent::Apart,
                Sender::Server => Agent::Said,
            },
            address: None,
            identity: key.identity.as_deref(),
            visit: self.visit.clone(),
        }
    }
}

/// What all events of a browser's request have in common: its agent, and what is kept of its address.
fn shared_fields(app: &App, sender: Sender, client: IpAddr, agent: Option<&str>) -> PackedFields {
    if sender == Sender::Server {
        return PackedFields::default();
    }
    let mut fields = Vec::with_capacity(6);
    if let Some(text) = agent {
        app.normaliser.user_agents().parse(text).push_fields(&mut fields);
    }
    if let Some(kept) = app.normaliser.addresses().keep(client) {
        fields.push(("ip".into(), Value::Str(kept)));
    }
    PackedFields::pack(&fields)
}

/// The visit whose secret this is: the first 128 bits of the SHA-256 of 256 random bits, written as
/// 64 hex digits. Anything else proves no visit.
pub(crate) fn proven_visit(secret: &str) -> Option<u128> {
    decode_hex(secret).map(|secret| first_128_bits(&secret))
}

/// Waits until the records are on disk.
pub(crate) async fn append(
    app: &Arc<App>,
    records: Vec<NewRecord>,
) -> Result<Vec<Appended>, Refusal> {
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let (done, on_disk) = oneshot::channel();
    let acknowledge = Box::new(move |result| {
        // The client may have gone; the records are on disk all the same.
        drop(done.send(result));
    });
    let span = tracing::info_span!(target: SPANS, "append", records = records.len());
    app.log.append(records, acknowledge).map_err(|refused| app.refuse_append(refused))?;
    match on_disk.instrument(span).await {
        Ok(result) => result.map_err(|refused| app.refuse_append(refused)),
        Err(_) => Err(app.refuse_append(Refused::Closed)),
    }
}

pub(crate) fn refuse_body(error: &BodyError) -> Refusal {
    let (status, code, help) = match error {
        BodyError::TooManyEvents(_) => {
            (StatusCode::PAYLOAD_TOO_LARGE, "too_many_events", "limits.batch_events_max")
        }
        BodyError::BadEnvelope { .. } => (
            StatusCode::BAD_REQUEST,
            "bad_envelope",
            "an envelope is {key, sentAt, visitSecret, events: [...]}",
        ),
        BodyError::Empty | BodyError::NotUtf8(_) | BodyError::NotJson(_) => {
            (StatusCode::BAD_REQUEST, "not_json", NOT_JSON_HELP)
        }
    };
    Refusal::new(status, code, error.to_string(), help)
}

pub(crate) const NOT_JSON_HELP: &str =
    "send one event, an array, an envelope, or one event on each line";

/// The peer that the accept loop has put into the request.
pub(crate) fn peer_of(head: &Head) -> Peer {
    head.extensions.get::<Peer>().copied().unwrap_or(Peer(([0, 0, 0, 0], 0).into()))
}
