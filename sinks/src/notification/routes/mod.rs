//! The Router: messages out by a stream or a long poll, pages' words and servers' messages in.
//!
//! Who may do what is not decided here: a request that comes this far carries [`Admitted`] as an
//! extension, and one without is refused (500).

mod listen;
mod notify;
mod word;

use super::VisitKey;
use super::notifications::Notifications;
use crate::answer::Refusal;
use crate::schemas::{Schemas, schema};
use axum::Router;
use axum::routing::{get, post};
use beckon_engine::model::{Id, MessageId, PageId};
use std::sync::Arc;

/// The visit that a request may hear of and speak for, as its caller found out.
#[derive(Clone, Debug)]
pub struct Admitted(pub VisitKey);

/// The routes below `/v1/visits/{visitID}` that have to do with messages, and GWE's.
pub fn router(notifications: Arc<Notifications>) -> Router {
    Router::new()
        .route("/v1/visits/{visitID}/notifications", get(listen::listen))
        .route("/v1/visits/{visitID}/notifications/{id}", post(word::word))
        .route("/server/data/notification/notify/{visitID}", post(notify::notify))
        .with_state(notifications)
}

/// What these routes read and answer with, for the description of the API.
#[must_use]
pub fn schemas() -> Schemas {
    let all = [schema::<listen::Messages>(), schema::<word::Wire>(), schema::<notify::Wires>()];
    all.concat()
}

/// An id as events have them: 32 hex digits, or a mapped source's text.
fn id_of(text: &str) -> Option<Id> {
    Id::from_hex(text).or_else(|_| Id::from_text(text)).ok()
}

fn page_of(text: Option<&str>) -> Result<Option<PageId>, Refusal> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let help = "32 hex digits, as the events of the page have them";
    let id = id_of(text).ok_or_else(|| Refusal::bad("bad_page", "the page is no id", help))?;
    Ok(Some(PageId(id)))
}

/// A message's id; `None` for a text that is none.
fn message_of(text: &str) -> Option<MessageId> {
    match Id::from_hex(text) {
        Ok(Id::Bits(bits)) => Some(MessageId(bits)),
        Ok(Id::Text(_)) | Err(_) => None,
    }
}
