//! How long messages hold, and every bound of the hub and its routes.

use super::Kind;
use serde::{Deserialize, Serialize};

/// `[notification]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotificationConfig {
    /// How long an invitation holds, in milliseconds from the `now` of the epoch that asserts it.
    pub invite_expires_ms: i64,
    /// The same of a content.
    pub content_expires_ms: i64,
    /// The same of a `notify`, and of what a server sends.
    pub notify_expires_ms: i64,
    /// How long a message is remembered at least, counted alike: so long can a page that has it be
    /// told that it is taken back.
    pub remembered_ms: i64,
    /// Messages of a visit that are not over. Over it the oldest is out, counted.
    pub visit_messages_max: usize,
    /// Bytes of a message. A larger one of an action is out, counted; of a server 413.
    pub message_bytes_max: usize,
    /// Bytes of all messages held. Over it the oldest is out, counted.
    pub bytes_max: usize,
    /// Streams and long polls that are open. Over it 503.
    pub streams_max: usize,
    /// The same of one visit. Over it 429.
    pub visit_streams_max: usize,
    /// After so long without a message a stream says that it is there.
    pub heartbeat_ms: u64,
    /// How long a long poll waits.
    pub poll_ms_max: u64,
}

impl Default for NotificationConfig {
    fn default() -> Self {
        Self {
            invite_expires_ms: 30_000,
            content_expires_ms: 5 * 60_000,
            notify_expires_ms: 60_000,
            remembered_ms: 5 * 60_000,
            visit_messages_max: 100,
            message_bytes_max: 64 << 10,
            bytes_max: 256 << 20,
            streams_max: 10_000,
            visit_streams_max: 16,
            heartbeat_ms: 15_000,
            poll_ms_max: 25_000,
        }
    }
}

/// What the hub goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubConfig {
    /// As [`NotificationConfig::invite_expires_ms`].
    pub invite_expires_ms: i64,
    /// As [`NotificationConfig::content_expires_ms`].
    pub content_expires_ms: i64,
    /// As [`NotificationConfig::notify_expires_ms`].
    pub notify_expires_ms: i64,
    /// As [`NotificationConfig::remembered_ms`].
    pub remembered_ms: i64,
    /// As [`NotificationConfig::visit_messages_max`].
    pub visit_messages_max: usize,
    /// As [`NotificationConfig::message_bytes_max`].
    pub message_bytes_max: usize,
    /// As [`NotificationConfig::bytes_max`].
    pub bytes_max: usize,
}

impl HubConfig {
    /// How long a message of an action holds.
    #[must_use]
    pub fn expires_ms(&self, kind: Kind) -> i64 {
        match kind {
            Kind::Invite => self.invite_expires_ms,
            Kind::Content => self.content_expires_ms,
            Kind::Notify => self.notify_expires_ms,
        }
    }
}

impl From<&NotificationConfig> for HubConfig {
    fn from(config: &NotificationConfig) -> Self {
        Self {
            invite_expires_ms: config.invite_expires_ms,
            content_expires_ms: config.content_expires_ms,
            notify_expires_ms: config.notify_expires_ms,
            remembered_ms: config.remembered_ms,
            visit_messages_max: config.visit_messages_max,
            message_bytes_max: config.message_bytes_max,
            bytes_max: config.bytes_max,
        }
    }
}
