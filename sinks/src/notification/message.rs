//! Messages as pages see them.

use beckon_engine::model::{MessageId, PageId, ServerTimeMs, VisitId};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;
use std::sync::Arc;
use utoipa::ToSchema;

/// A visit of a site.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VisitKey {
    /// The site.
    pub site: Arc<str>,
    /// The visit.
    pub visit: VisitId,
}

impl VisitKey {
    pub(super) fn new(site: &Arc<str>, visit: &VisitId) -> Self {
        Self { site: Arc::clone(site), visit: visit.clone() }
    }
}

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = MessageKind)]
pub enum Kind {
    /// An invitation.
    Invite,
    /// A content to show.
    Content,
    /// Anything else; what a server sends.
    Notify,
}

impl Kind {
    /// That of an action; `None` for one that goes to no page.
    #[must_use]
    pub fn of(action: &str) -> Option<Self> {
        [Self::Invite, Self::Content, Self::Notify].into_iter().find(|kind| kind.as_str() == action)
    }

    /// The name in rules and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invite => "invite",
            Self::Content => "content",
            Self::Notify => "notify",
        }
    }
}

/// Bytes of a message, as `message_bytes_max` counts them.
pub(super) fn text_bytes(channel: Option<&str>, data: Option<&str>) -> usize {
    channel.map_or(0, str::len) + data.map_or(0, str::len)
}

/// What is said to a page, in its words.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Message)]
pub(super) enum Words<'a> {
    Holds(Holds<'a>),
    Withdrawn(Withdrawn),
}

/// A message that holds.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageThatHolds)]
pub(super) struct Holds<'a> {
    /// By which it is acknowledged: 32 hex digits.
    id: String,
    #[serde(rename = "type")]
    kind: Kind,
    /// What the page does with it.
    #[schema(required)]
    channel: Option<&'a str>,
    /// The page that it is for; null: any.
    #[schema(required)]
    page: Option<String>,
    /// From then on it does not hold, milliseconds since 1970.
    expires_ms: i64,
    /// Any JSON. It is text already, and put behind the others as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required, value_type = Value)]
    data: Option<Value>,
}

/// A message that is taken back.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageWithdrawn)]
pub(super) struct Withdrawn {
    id: String,
    #[serde(rename = "type")]
    kind: WithdrawnKind,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = MessageWithdrawnKind)]
enum WithdrawnKind {
    Withdrawn,
}

/// What is said to a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The message.
    pub id: MessageId,
    /// Its place among what is said to the visit's pages.
    pub place: u64,
    /// What it is for; `None`: it is taken back.
    pub kind: Option<Kind>,
    /// The page that it is for; `None`: any.
    pub page: Option<PageId>,
    /// What the page does with it.
    pub channel: Option<Arc<str>>,
    /// JSON text.
    pub data: Option<Arc<str>>,
    /// From then on it does not hold.
    pub expires: ServerTimeMs,
}

impl Said {
    /// As JSON in one line:
    ///
    /// ```json
    /// {"id": "9A...", "type": "invite", "channel": "chat", "page": null, "expires_ms": 0, "data": {}}
    /// {"id": "9A...", "type": "withdrawn"}
    /// ```
    #[must_use]
    pub fn json(&self) -> String {
        let id = self.id.to_string();
        let text = |words| serde_json::to_string(&words).expect("texts have a JSON form");
        let Some(kind) = self.kind else {
            return text(Words::Withdrawn(Withdrawn { id, kind: WithdrawnKind::Withdrawn }));
        };
        let mut text = text(Words::Holds(Holds {
            id,
            kind,
            channel: self.channel.as_deref(),
            page: self.page.as_ref().map(ToString::to_string),
            expires_ms: self.expires.0,
            data: None,
        }));
        // The data is JSON text already; a line's end within it stands between its words.
        let data = self.data.as_deref().unwrap_or("null").replace(['\n', '\r'], " ");
        text.truncate(text.len() - 1);
        write!(text, ",\"data\":{data}}}").expect("a String takes all text");
        text
    }

    /// As a server-sent event.
    #[must_use]
    pub fn event(&self) -> String {
        let name = self.kind.map_or("withdrawn", |_| "message");
        format!("id: {}\nevent: {name}\ndata: {}\n\n", self.id, self.json())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beckon_engine::model::Id;
    use serde_json::json;

    fn said(kind: Option<Kind>, data: &str) -> Said {
        Said {
            id: MessageId(0xAB),
            place: 1,
            kind,
            page: Some(PageId(Id::Bits(5))),
            channel: Some("chat \"1\"".into()),
            data: Some(data.into()),
            expires: ServerTimeMs(30_000),
        }
    }

    #[test]
    fn a_message_is_one_line_of_json() {
        let text = said(Some(Kind::Invite), "{\n\"a\":\r\n1}").json();
        assert!(!text.contains('\n'), "{text}");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let expected = json!({
            "id": format!("{:032X}", 0xAB),
            "type": "invite",
            "channel": "chat \"1\"",
            "page": format!("{:032X}", 5),
            "expires_ms": 30_000,
            "data": { "a": 1 },
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn an_event_has_the_id_by_which_a_stream_is_resumed() {
        let id = format!("{:032X}", 0xAB);
        let text = said(Some(Kind::Notify), "{}").event();
        assert!(text.starts_with(&format!("id: {id}\nevent: message\ndata: {{")), "{text}");
        let withdrawn = format!(
            "id: {id}\nevent: withdrawn\ndata: {{\"id\":\"{id}\",\"type\":\"withdrawn\"}}\n\n"
        );
        assert_eq!(said(None, "{}").event(), withdrawn);
    }

    #[test]
    fn only_what_goes_to_pages_has_a_kind() {
        for kind in [Kind::Invite, Kind::Content, Kind::Notify] {
            assert_eq!(Kind::of(kind.as_str()), Some(kind));
        }
        assert_eq!((Kind::of("webhook"), Kind::of("none")), (None, None));
    }
}
