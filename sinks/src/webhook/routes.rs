//! The Router of operators: endpoints, dead letters, replay, and calling an endpoint again that said 410.
//!
//! Who may ask is not decided here.

use super::answers::{DeadCall, Enabled, Endpoint, Endpoints, Letters, Outcome, Replayed};
use super::queue::Letter;
use super::webhooks::Webhooks;
use crate::answer::{Refusal, json};
use crate::object::object;
use crate::schemas::{Schemas, schema};
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use beckon_engine::model::{Id, MessageId};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// Letters of an answer where the query does not say.
const LIMIT: usize = 100;
/// Letters of an answer, and of one replay.
const LIMIT_MAX: usize = 1_000;

/// The routes below `/v1/webhooks`.
pub fn router(webhooks: Arc<Webhooks>) -> Router {
    Router::new()
        .route("/v1/webhooks", get(endpoints))
        .route("/v1/webhooks/dead-letters", get(list))
        .route("/v1/webhooks/dead-letters/replay", post(replay))
        .route("/v1/webhooks/{endpoint}/enable", post(enable))
        .with_state(webhooks)
}

/// What these routes read and answer with, for the description of the API.
#[must_use]
pub fn schemas() -> Schemas {
    let all = [
        schema::<Endpoints>(),
        schema::<Letters>(),
        schema::<Wanted>(),
        schema::<Replayed>(),
        schema::<Enabled>(),
    ];
    all.concat()
}

/// `GET /v1/webhooks`
async fn endpoints(State(webhooks): State<Arc<Webhooks>>) -> Response {
    let stats = webhooks.stats();
    let endpoint = |(name, of): &(Arc<str>, super::EndpointStats)| Endpoint {
        endpoint: Arc::clone(name),
        is_gone: of.is_gone,
        breaker: of.breaker,
        waiting: of.waiting,
        in_flight: of.in_flight,
        attempts: of.attempts,
        delivered: of.delivered,
        failed: of.failed,
    };
    let endpoints = stats.endpoints.iter().map(endpoint).collect();
    json(StatusCode::OK, &Endpoints { endpoints, dead_letters: stats.letters })
}

/// Which letters are asked for. Unknown names are refused, so that a slip does not mean everything.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = WebhookDeadLettersWanted)]
struct Wanted {
    /// Those behind this place.
    after: u64,
    /// So many at most.
    limit: Option<usize>,
    /// Those of this endpoint.
    endpoint: Option<String>,
    /// These, whatever else is said. A replay's alone.
    #[schema(max_items = 1000)]
    ids: Option<Vec<String>>,
}

impl Wanted {
    /// The letters, each with its place, and the next call's `after`.
    fn letters(&self, webhooks: &Webhooks) -> (Vec<(u64, Letter)>, Option<u64>) {
        let limit = self.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
        let queue = webhooks.queue();
        let is_asked = |letter: &Letter| {
            self.endpoint.as_ref().is_none_or(|endpoint| **endpoint == *letter.call.endpoint)
        };
        let found = queue.letters().after(self.after).filter(|(_, letter)| is_asked(letter));
        let found: Vec<_> = found.take(limit).map(|(at, letter)| (at, letter.clone())).collect();
        let next = found.last().filter(|_| found.len() == limit).map(|(at, _)| *at);
        (found, next)
    }
}

/// `GET /v1/webhooks/dead-letters?after=&limit=&endpoint=`
async fn list(
    State(webhooks): State<Arc<Webhooks>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let wanted = match wanted {
        Ok(Query(wanted)) => wanted,
        Err(error) => return Refusal::bad("bad_query", error.body_text(), QUERY).into_response(),
    };
    let (letters, next) = wanted.letters(&webhooks);
    let letters = letters.iter().map(|(_, letter)| said(letter)).collect();
    json(StatusCode::OK, &Letters { letters, next })
}

const QUERY: &str = "after, limit, endpoint";

fn said(letter: &Letter) -> DeadCall {
    let call = &letter.call;
    DeadCall {
        id: call.id.to_string(),
        endpoint: Arc::clone(&call.endpoint),
        site: Arc::clone(&call.site),
        visit: call.visit.to_string(),
        reason: Arc::clone(&letter.reason),
        dead_since_ms: letter.at.0,
        waited_since_ms: call.since.0,
        attempts: call.attempts,
        body: serde_json::from_str(&call.body).unwrap_or_default(),
    }
}

const REPLAY: &str = "{\"ids\": [...]}, or a filter: endpoint, after, limit; {} for all";

/// `POST /v1/webhooks/dead-letters/replay`: `{"ids": [...]}`, or a filter.
async fn replay(State(webhooks): State<Arc<Webhooks>>, body: Bytes) -> Response {
    let bad = |message: &str| Refusal::bad("bad_request", message, REPLAY).into_response();
    let wanted: Wanted = match object(&body) {
        Ok(wanted) => wanted,
        Err(error) => return bad(&error.to_string()),
    };
    let (ids, next) = match &wanted.ids {
        Some(ids) if ids.len() > LIMIT_MAX => return bad(&format!("more than {LIMIT_MAX} ids")),
        Some(ids) => match ids.iter().map(|id| id_of(id)).collect::<Option<Vec<_>>>() {
            Some(ids) => (ids, None),
            None => return bad("an id has 32 hex digits"),
        },
        None => {
            let (letters, next) = wanted.letters(&webhooks);
            (letters.iter().map(|(_, letter)| letter.call.id).collect(), next)
        }
    };
    let outcomes = webhooks.replay(&ids);
    let result = |(id, status): (&MessageId, _)| Outcome { id: id.to_string(), status };
    let results = ids.iter().zip(outcomes).map(result).collect();
    json(StatusCode::OK, &Replayed { results, next })
}

fn id_of(text: &str) -> Option<MessageId> {
    match Id::from_hex(text) {
        Ok(Id::Bits(bits)) => Some(MessageId(bits)),
        Ok(Id::Text(_)) | Err(_) => None,
    }
}

/// `POST /v1/webhooks/{endpoint}/enable`
///
/// Where the Router is mounted below another, the path's parts come twice: they are taken by name.
async fn enable(
    State(webhooks): State<Arc<Webhooks>>,
    parts: Result<Path<BTreeMap<String, String>>, PathRejection>,
) -> Response {
    let part = |Path(mut parts): Path<BTreeMap<String, String>>| parts.remove("endpoint");
    // A part that is no text names no endpoint.
    let endpoint = parts.ok().and_then(part).unwrap_or_default();
    if webhooks.enable(&endpoint) {
        return json(StatusCode::OK, &Enabled { endpoint, is_gone: false });
    }
    let message = format!("the configuration has no endpoint {endpoint:?}");
    let help = "GET /v1/webhooks lists them";
    Refusal::new(StatusCode::NOT_FOUND, "endpoint_unknown", message, help).into_response()
}
