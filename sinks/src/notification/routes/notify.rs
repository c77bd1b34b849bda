//! `POST /server/data/notification/notify/{visitID}`: a server sends messages itself, as Genesys Web
//! Engagement's servers are asked to: `[{"page": ID, "channel": "name", "data": {}}]`.
//!
//! 200 without a body once all of them are in the log; nothing of a request is taken unless all of it
//! is. A message without a page is for any page of the visit. Fields with other names are passed over.

use super::{Admitted, page_of};
use crate::answer::Refusal;
use crate::notification::VisitKey;
use crate::notification::message::text_bytes;
use crate::notification::notifications::Notifications;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use beckon_engine::model::{Message, MessageId};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::ToSchema;

const HELP: &str = "an array of {\"page\": ID, \"channel\": \"name\", \"data\": {}}";

/// Messages to a visit.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = MessagesToSend)]
pub(super) struct Wires(#[serde(deserialize_with = "objects")] Vec<Wire>);

/// A message.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = MessageToSend)]
struct Wire {
    /// The page that it is for; without it any of the visit.
    #[serde(default)]
    page: Option<String>,
    /// What the page does with it.
    channel: String,
    /// Any JSON.
    #[serde(default)]
    data: Value,
}

/// Messages are objects: serde takes an array for a struct, too.
fn objects<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Wire>, D::Error> {
    let objects = Vec::<Map<String, Value>>::deserialize(deserializer)?.into_iter();
    let wire = |object| Wire::deserialize(Value::Object(object)).map_err(D::Error::custom);
    objects.map(wire).collect()
}

/// The handler.
pub(super) async fn notify(
    State(notifications): State<Arc<Notifications>>,
    Extension(Admitted(key)): Extension<Admitted>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let Wires(wires) = serde_json::from_slice(&body)
        .map_err(|error| Refusal::bad("bad_messages", error.to_string(), HELP))?;
    let config = &notifications.config;
    let messages_max = config.visit_messages_max;
    if wires.len() > messages_max {
        let message = format!("{} messages, and a visit holds {messages_max}", wires.len());
        let help = "notification.visit_messages_max";
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        return Err(Refusal::new(status, "too_many_messages", message, help));
    }
    let bytes_max = config.message_bytes_max;
    let expires_ms = config.notify_expires_ms;
    let messages = wires.into_iter().map(|wire| message(&key, wire, (bytes_max, expires_ms)));
    let messages = messages.collect::<Result<_, _>>()?;
    notifications.send(messages).await?;
    Ok(StatusCode::OK)
}

fn message(
    key: &VisitKey,
    wire: Wire,
    (bytes_max, expires_ms): (usize, i64),
) -> Result<Message, Refusal> {
    let page = page_of(wire.page.as_deref())?;
    let data = wire.data.to_string();
    if text_bytes(Some(&wire.channel), Some(&data)) > bytes_max {
        let message = format!("a message has more than {bytes_max} bytes");
        let help = "notification.message_bytes_max";
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        return Err(Refusal::new(status, "message_too_large", message, help));
    }
    Ok(Message {
        site: Arc::clone(&key.site),
        visit: key.visit.clone(),
        id: drawn()?,
        page,
        channel: wire.channel.into(),
        data: data.into(),
        expires_ms,
    })
}

/// An id that no other message has.
fn drawn() -> Result<MessageId, Refusal> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        let help = "the server's log has more";
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Refusal::new(status, "internal", error.to_string(), help)
    })?;
    Ok(MessageId(u128::from_le_bytes(bytes)))
}
