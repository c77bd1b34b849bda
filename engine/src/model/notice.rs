//! What sinks and servers say of messages to pages: records of the log, and rows of the outbox.
//!
//! They pass by the rules: nothing of them is matched. Within an epoch they keep the log's order.

use super::{ActionId, LogSeq, PageId, VisitId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// One message: the id of its action, or a number drawn for one of a server's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId(pub u128);

impl From<ActionId> for MessageId {
    fn from(action: ActionId) -> Self {
        Self(action.0)
    }
}

/// 32 upper-case hex digits.
impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032X}", self.0)
    }
}

/// A message that a server sends to a visit itself, without a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Message {
    /// The visit's site.
    pub site: Arc<str>,
    /// The visit.
    pub visit: VisitId,
    /// Its id.
    pub id: MessageId,
    /// The page that it is for; `None`: any of the visit.
    pub page: Option<PageId>,
    /// What the page does with it.
    pub channel: Arc<str>,
    /// JSON text.
    pub data: Arc<str>,
    /// How long it holds from the `now` of its epoch, in milliseconds.
    pub expires_ms: i64,
}

/// What gave a message on, or tried to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SinkName {
    /// The hub that pages listen to.
    Notification,
    /// A webhook, by the name of its endpoint.
    Webhook(Arc<str>),
}

impl SinkName {
    /// The sink's name in exports.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Notification => "notification",
            Self::Webhook(_) => "webhook",
        }
    }

    /// The endpoint of a webhook.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        match self {
            Self::Notification => None,
            Self::Webhook(endpoint) => Some(endpoint),
        }
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// Given to a page's connection, or to an endpoint.
    Delivered,
    /// Its receiver has said so.
    Acknowledged,
    /// Nobody acknowledged it in time.
    Expired,
    /// It no longer holds, or its page is gone.
    Withdrawn,
    /// It could not be given on.
    Failed,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Delivered, Self::Acknowledged, Self::Expired, Self::Withdrawn, Self::Failed];

    /// The name in exports and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Acknowledged => "acknowledged",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Failed => "failed",
        }
    }
}

/// What became of a message at a sink.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Delivery {
    /// The visit's site.
    pub site: Arc<str>,
    /// The visit.
    pub visit: VisitId,
    /// The message.
    pub message: MessageId,
    /// Who says it.
    pub sink: SinkName,
    /// What became of it.
    pub outcome: Outcome,
    /// The page that has it, or says so; `None` where that is not known.
    pub page: Option<PageId>,
    /// Why, in a word.
    pub reason: Option<Arc<str>>,
    /// Which attempt it was, from 1, where a sink tries more than once.
    pub attempt: Option<u32>,
}

/// What a sink or a server says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Notice {
    /// A server's own message.
    Message(Message),
    /// What became of a message.
    Delivery(Delivery),
}

impl Notice {
    /// The visit that it is about, and its site.
    #[must_use]
    pub fn visit(&self) -> (&Arc<str>, &VisitId) {
        match self {
            Self::Message(message) => (&message.site, &message.visit),
            Self::Delivery(delivery) => (&delivery.site, &delivery.visit),
        }
    }
}

/// A notice at its place in the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NoticeRow {
    /// Its number in the log.
    pub seq: LogSeq,
    /// What it says.
    pub notice: Arc<Notice>,
}
