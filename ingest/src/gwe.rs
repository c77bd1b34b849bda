//! Doors that a Genesys Web Engagement integration knows: `POST /server/data/visits` and
//! `POST /server/data/visits/{visitID}/events`.
//!
//! Sizes, checks and dead letters are those of `/v1/events`. A body with one event that is rejected is
//! 400, as there; an array has a result for each event, about which the original says nothing. What
//! comes with an API token is proven, as under a server key. A page whose origin has a default key
//! (`default_for_origin`) may send here, too.

use crate::answer::{Refusal, json, json_text};
use crate::app::App;
use crate::body::Batch;
use crate::client::origin_of;
use crate::events::{Delivery, Judged, Verdict, Whole, add_cors, peer_of, read_body, refuse_body};
use crate::normalise::{OfVisit, RejectReason, Rejection, Sender};
use crate::sites::WriteKey;
use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, request::Parts as Head};
use axum::response::{IntoResponse, Response};
use beckon_engine::log::{NewRecord, RecordBody};
use beckon_engine::model::{Event, Id, ServerTimeMs, system};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A visit, by the names that the original has.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Visit {
    visit_id: String,
    /// When it began, milliseconds since 1970.
    start_date: i64,
    /// 0: it goes on.
    end_date: i64,
    #[serde(rename = "globalVisitID", skip_serializing_if = "Option::is_none")]
    global_visit_id: Option<String>,
    event_ids: [String; 1],
}

impl Visit {
    fn begun_by(event: &Event) -> Self {
        Self {
            visit_id: event.visit.0.to_string(),
            start_date: event.timestamp.0,
            end_date: 0,
            global_visit_id: event.visitor.as_ref().map(|visitor| visitor.0.to_string()),
            event_ids: [event.id.to_string()],
        }
    }
}

/// `POST /server/data/visits`: a `VisitStarted`; answers with the visit, to which it gives an id if it
/// has none.
pub(crate) async fn visit(
    State(app): State<Arc<App>>,
    Extension(key): Extension<Arc<WriteKey>>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let received = app.clock.now();
    let taken = async {
        let body = read(&app, &head, &key, body).await?;
        let batch = cut(&app, &body.bytes)?;
        if batch.events.len() != 1 {
            let message = format!("expected one VisitStarted, found {} events", batch.events.len());
            return Err(malformed("one_event", message));
        }
        let delivery = delivery(&app, (&head, received), &key, OfVisit::NamedOrNew);
        let mut judged = delivery.judge(&batch)?;
        let event = judged.records.first().and_then(event_of);
        if let Some(event) = event.as_ref().filter(|event| *event.name != *system::VISIT_STARTED) {
            let message = format_args!("eventName: expected VisitStarted, found {}", event.name);
            let rejection = Rejection::field(RejectReason::BadEventName, "eventName", message);
            judged.reject_all(&app, &rejection);
        }
        let (judged, appended) = delivery.append(&batch, judged).await?;
        let refusal = refusal_of(&judged);
        judged.finish(&app, &key.site, &appended);
        match (refusal, event) {
            (None, Some(event)) => Ok(json(StatusCode::OK, &Visit::begun_by(&event))),
            (Some(refusal), _) => Err(refusal),
            (None, None) => Err(Refusal::internal("an event that was taken cannot be read")),
        }
    };
    answer(&app, &head, taken.await)
}

/// `POST /server/data/visits/{visitID}/events`: one event, or several, of that visit.
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    Extension(key): Extension<Arc<WriteKey>>,
    visit: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let received = app.clock.now();
    let taken = async {
        let Path(visit) = visit.map_err(|error| malformed("bad_id", error.body_text()))?;
        let visit = Id::from_hex(&visit)
            .map_err(|error| malformed("bad_id", format!("the visit of the path: {error}")))?;
        let body = read(&app, &head, &key, body).await?;
        let batch = cut(&app, &body.bytes)?;
        let is_one = body.bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'[');
        let delivery = delivery(&app, (&head, received), &key, OfVisit::This(visit));
        let judged = delivery.judge(&batch)?;
        let (judged, appended) = delivery.append(&batch, judged).await?;
        let refusal = refusal_of(&judged).filter(|_| is_one);
        let text = judged.finish(&app, &key.site, &appended);
        refusal.map_or_else(|| Ok(json_text(StatusCode::OK, text)), Err)
    };
    answer(&app, &head, taken.await)
}

fn answer(app: &App, head: &Head, taken: Result<Response, Refusal>) -> Response {
    let mut response = taken.unwrap_or_else(IntoResponse::into_response);
    add_cors(app, origin_of(&head.headers), response.headers_mut());
    response
}

async fn read(
    app: &Arc<App>,
    head: &Head,
    key: &WriteKey,
    body: axum::body::Body,
) -> Result<Whole, Refusal> {
    app.admit_lag()?;
    // Who showed a token has paid for its address; a page has not for what its body inflates to.
    let payer = (key.sender == Sender::Browser).then(|| app.client(peer_of(head), &head.headers));
    read_body(app, head, body, payer).await
}

fn cut<'a>(app: &App, body: &'a [u8]) -> Result<Batch<'a>, Refusal> {
    let batch = Batch::cut(body, app.limits.batch_events_max);
    batch.map_err(|error| refuse_body(&error))
}

fn delivery<'a>(
    app: &'a Arc<App>,
    (head, received): (&'a Head, ServerTimeMs),
    key: &'a WriteKey,
    visit: OfVisit,
) -> Delivery<'a> {
    let client = app.client(peer_of(head), &head.headers);
    Delivery { app, head, client, key, received, visit, shown_keys: [None; 3] }
}

fn event_of(record: &NewRecord) -> Option<Event> {
    match &record.body {
        RecordBody::Event(packed) => packed.unpack().ok(),
        _ => None,
    }
}

/// Why the only event was not taken.
fn refusal_of(judged: &Judged) -> Option<Refusal> {
    let [Verdict::Rejected(Rejection { reason, message, .. })] = &judged.verdicts[..] else {
        return None;
    };
    Some(malformed(reason.as_str(), message.to_string()))
}

fn malformed(code: &'static str, message: String) -> Refusal {
    let help = "GET /openapi.json has the fields of an event";
    Refusal::new(StatusCode::BAD_REQUEST, code, message, help)
}
