//! `POST /v1/dead-letters/replay`: rejected events through today's checks.
//!
//! A letter is judged as if it came now under the key that it came under, with the time, the
//! address and the proof that it had then: what was corrected since is the server's rules, not what
//! happened. An event without an id gets the letter's, so that a second replay is a duplicate.
//! What is taken is marked once it is on disk; what is rejected again stays as it was.

use super::ask;
use crate::answer::{Refusal, json};
use crate::app::App;
use crate::body::one;
use crate::dead_letters::{Filter, Letter, LetterId, Original};
use crate::events::read_body;
use crate::events::{append, judge_one};
use crate::normalise::{Agent, Context, NormaliseError, OfVisit, RejectReason, Rejection, Sender};
use crate::object::object;
use crate::reach::Reach;
use crate::record::record_of;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use beckon_engine::log::{Appended, NewRecord};
use beckon_engine::model::{Event, Id, PackedFields};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Letters of one call: each that is taken costs a sync of its mark.
const REPLAY_MAX: usize = 100;

/// Which letters: `{"ids": [...]}`, or a filter with `after` and what comes behind it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = DeadLettersWanted)]
pub(crate) struct Request {
    #[schema(max_items = 100)]
    ids: Option<Vec<LetterId>>,
    after: LetterId,
    site: Option<String>,
    key: Option<String>,
    code: Option<String>,
}

/// What became of each.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLettersReplayed)]
pub(crate) struct Answer {
    results: Vec<Outcome>,
    /// With a filter: the next call's `after`; none at the end.
    #[schema(required)]
    next: Option<LetterId>,
}

/// What became of a letter.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetterReplayed)]
struct Outcome {
    id: LetterId,
    /// `ok`, `duplicate`, `rejected` or `unknown`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Box<str>>,
}

/// The handler.
pub(crate) async fn replay(
    State(app): State<Arc<App>>,
    Extension(reach): Extension<Reach>,
    request: axum::extract::Request,
) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let body = read_body(&app, &head, body, None).await?;
    let request = read(&body.bytes)?;
    app.admit_lag()?;
    let (ids, next) = wanted(&app, &reach, request).await?;
    let letters = ask(&app, move |store| {
        ids.into_iter().map(|id| Ok((id, store.read(id)?))).collect::<Result<Vec<_>, _>>()
    })
    .await?;
    let mut outcomes = Vec::with_capacity(letters.len());
    let mut records: Vec<NewRecord> = Vec::new();
    for (id, letter) in letters {
        let letter = letter.filter(|letter| reach.takes(&letter.head.site));
        match letter.as_ref().map(|letter| judge(&app, letter)) {
            None => outcomes.push(refused(id, "unknown", None)),
            Some(Err(rejection)) => outcomes.push(refused(id, "rejected", Some(rejection))),
            Some(Ok(event)) => {
                records.push(record_of(&event, &PackedFields::default()));
                outcomes.push(refused(id, "ok", None));
            }
        }
    }
    let appended = append(&app, records).await?;
    let mut taken = Vec::with_capacity(appended.len());
    let fates = outcomes.iter_mut().filter(|outcome| outcome.status == "ok");
    for (outcome, appended) in fates.zip(appended) {
        taken.push(outcome.id);
        if appended == Appended::Duplicate {
            outcome.status = "duplicate";
        }
    }
    ask(&app, move |store| taken.into_iter().try_for_each(|id| store.mark_replayed(id).map(drop)))
        .await?;
    Ok(json(StatusCode::OK, &Answer { results: outcomes, next }))
}

fn read(body: &[u8]) -> Result<Request, Refusal> {
    let help = "{\"ids\": [...]}, or a filter: after, site, key, code";
    let refuse =
        |message: String| Refusal::new(StatusCode::BAD_REQUEST, "bad_request", message, help);
    let request: Request = object(body).map_err(|error| refuse(error.to_string()))?;
    if request.ids.as_ref().is_some_and(|ids| ids.len() > REPLAY_MAX) {
        return Err(refuse(format!("more than {REPLAY_MAX} ids")));
    }
    Ok(request)
}

/// The ids, and where the next call goes on.
async fn wanted(
    app: &Arc<App>,
    reach: &Reach,
    request: Request,
) -> Result<(Vec<LetterId>, Option<LetterId>), Refusal> {
    if let Some(ids) = request.ids {
        return Ok((ids, None));
    }
    let Request { after, site, key, code, .. } = request;
    let site = reach.narrow(site)?;
    let filter = Filter { site, key, code, is_replayed: Some(false) };
    let heads = ask(app, move |store| store.list(&filter, after, REPLAY_MAX)).await?;
    let next = heads.last().filter(|_| heads.len() == REPLAY_MAX).map(|last| last.id);
    Ok((heads.into_iter().map(|head| head.id).collect(), next))
}

fn refused(id: LetterId, status: &'static str, rejection: Option<Rejection>) -> Outcome {
    let Some(Rejection { reason, path, message }) = rejection else {
        return Outcome { id, status, reason: None, path: None, message: None };
    };
    let reason = Some(reason.as_str());
    Outcome { id, status, reason, path: Some(path), message: Some(message) }
}

fn judge(app: &App, letter: &Letter) -> Result<Event, Rejection> {
    let invalid = |what: &str| Rejection::whole(RejectReason::InvalidJson, what);
    let head = &letter.head;
    if head.is_cut {
        let message = "the letter holds only the beginning of the event";
        return Err(Rejection::whole(RejectReason::TooLarge, message));
    }
    let Original::Text(text) = &letter.original else {
        return Err(invalid("the event is not UTF-8"));
    };
    let Some(key) = app.key_named(&head.key) else {
        return Err(Rejection::whole(RejectReason::KeyGone, "its write key is no longer known"));
    };
    let piece = one(text).map_err(|error| invalid(&error.to_string()))?;
    let agent = head.user_agent.as_deref().map(|text| app.normaliser.user_agents().parse(text));
    let address = head.address.as_deref().and_then(|address| address.parse().ok());
    let visit = head.visit.as_deref().and_then(|text| Id::from_hex(text).ok());
    let context = Context {
        site: &key.site,
        received: head.received_ms,
        sent: head.sent_ms,
        sender: key.sender,
        proven_visit: head.proven_visit.as_deref().and_then(|h| u128::from_str_radix(h, 16).ok()),
        unproven: key.unproven,
        agent: match (key.sender, &agent) {
            (Sender::Browser, Some(agent)) => Agent::Header(agent),
            (Sender::Browser, None) | (Sender::Server, _) => Agent::Said,
        },
        address: address.filter(|_| key.sender == Sender::Browser),
        identity: key.identity.as_deref(),
        visit: visit.map_or(OfVisit::Named, OfVisit::This),
    };
    let mut taken = judge_one(app, &piece, &context).map_err(|error| match error {
        NormaliseError::Rejected(rejection) => rejection,
        NormaliseError::Syntax(what) => invalid(&what),
    })?;
    if taken.has_new_id {
        taken.event.id = head.id.event_id();
    }
    Ok(taken.event)
}
