//! `POST /v1/visits/{visitID}/notifications/{id}`: a page says what became of a message.
//!
//! Without a body it is acknowledged. 204 once that is on disk, also when it was said before; 404 for a
//! message that is not known, or is over for so long that it was forgotten.

use super::{Admitted, message_of, page_of};
use crate::answer::Refusal;
use crate::notification::Word;
use crate::notification::notifications::Notifications;
use crate::object::object;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use beckon_engine::model::Outcome;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Bytes of a reason.
const REASON_BYTES_MAX: usize = 128;
const HELP: &str = "{\"status\": \"acknowledged\" | \"withdrawn\" | \"failed\", \"page\": ID, \
                    \"reason\": a word}, or nothing";

/// What became of a message.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = MessageWord)]
pub(super) struct Wire {
    /// Without it the message is acknowledged.
    status: Option<Status>,
    /// The page that says so.
    page: Option<String>,
    /// Why, in a word.
    #[schema(max_length = 128)]
    reason: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = MessageWordStatus)]
enum Status {
    /// The page did what it was to do.
    Acknowledged,
    /// The page is gone.
    Withdrawn,
    /// The page could not do it.
    Failed,
}

/// The handler.
pub(super) async fn word(
    State(notifications): State<Arc<Notifications>>,
    Extension(Admitted(key)): Extension<Admitted>,
    Path((_, id)): Path<(String, String)>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let word = read(&body)?;
    let id = message_of(&id).ok_or_else(unknown)?;
    if notifications.word(&key, (id, word)).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(unknown())
}

fn unknown() -> Refusal {
    let help = "it never was one of this visit, or it is over for long";
    Refusal::new(StatusCode::NOT_FOUND, "message_unknown", "the message is not known", help)
}

fn read(body: &[u8]) -> Result<Word, Refusal> {
    let is_empty = body.iter().all(u8::is_ascii_whitespace);
    let wire: Wire = if is_empty {
        Wire::default()
    } else {
        object(body).map_err(|error| Refusal::bad("bad_word", error.to_string(), HELP))?
    };
    let outcome = match wire.status {
        None | Some(Status::Acknowledged) => Outcome::Acknowledged,
        Some(Status::Withdrawn) => Outcome::Withdrawn,
        Some(Status::Failed) => Outcome::Failed,
    };
    if wire.reason.as_ref().is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
        let message = format!("the reason has more than {REASON_BYTES_MAX} bytes");
        return Err(Refusal::bad("bad_word", message, HELP));
    }
    let gone = (outcome == Outcome::Withdrawn).then(|| "page_gone".into());
    let reason = wire.reason.map(Into::into).or(gone);
    Ok(Word { outcome, page: page_of(wire.page.as_deref())?, reason })
}
