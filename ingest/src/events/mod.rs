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

pub(crate) use admit::preflight;
pub(crate) use judge::judge_one;
pub(crate) use read::read as read_body;

use crate::answer::{Refusal, json_text};
use crate::app::{App, Peer};
use crate::body::{Batch, BodyError};
use crate::normalise::{Agent, Context, Sender, truncate};
use crate::sites::{WriteKey, decode_hex, first_128_bits};
use admit::{Door, add_cors};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header, request::Parts as Head};
use axum::response::{IntoResponse, Response};
use beckon_engine::log::{Appended, NewRecord, Refused};
use beckon_engine::model::{EventTimeMs, PackedFields, ServerTimeMs, Value};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::oneshot;

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
    let agent_text = head.headers.get(header::USER_AGENT);
    let agent_text = agent_text.map(|text| String::from_utf8_lossy(text.as_bytes()));
    let agent_text = agent_text.as_deref();
    let context = context(&key, &batch, received);
    let shared = shared_fields(app, key.sender, door.client, agent_text);
    let mut judged = judge::judge(app, &batch, &context, &shared)?;
    let records = std::mem::take(&mut judged.records);
    let appended = append(app, records).await?;
    let request = letters::Request {
        key: &key,
        client: door.client,
        user_agent: agent_text,
        shown_keys: door.shown_keys(batch.key.as_deref()),
    };
    letters::keep(app, &request, &batch, &judged, &context);
    Ok(judged.finish(app, &key.site, &appended))
}

/// What all events of a browser's request have in common: its agent and its truncated address.
fn shared_fields(app: &App, sender: Sender, client: IpAddr, agent: Option<&str>) -> PackedFields {
    if sender == Sender::Server {
        return PackedFields::default();
    }
    let mut fields = Vec::with_capacity(6);
    if let Some(text) = agent {
        app.normaliser.user_agents().parse(text).push_fields(&mut fields);
    }
    fields.push(("ip".into(), Value::Str(truncate(client).into())));
    PackedFields::pack(&fields)
}

fn context<'a>(key: &'a WriteKey, batch: &Batch<'_>, received: ServerTimeMs) -> Context<'a> {
    Context {
        site: &key.site,
        received,
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
    }
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
    app.log.append(records, acknowledge).map_err(|refused| app.refuse_append(refused))?;
    match on_disk.await {
        Ok(result) => result.map_err(|refused| app.refuse_append(refused)),
        Err(_) => Err(app.refuse_append(Refused::Closed)),
    }
}

fn refuse_body(error: &BodyError) -> Refusal {
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
