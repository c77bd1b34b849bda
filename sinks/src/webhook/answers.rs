//! What operators are answered about webhooks.

use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use utoipa::ToSchema;

/// The endpoints of the configuration.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpoints)]
pub(super) struct Endpoints {
    pub(super) endpoints: Vec<Endpoint>,
    /// Calls that were given up and can be replayed.
    pub(super) dead_letters: u64,
}

/// An endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
pub(super) struct Endpoint {
    /// Its name.
    pub(super) endpoint: Arc<str>,
    /// It said 410 and is not called.
    pub(super) is_gone: bool,
    /// `closed`: it is called; `open`: it failed in a row and rests; `half_open`: it is tried.
    pub(super) breaker: &'static str,
    /// Calls that wait.
    pub(super) waiting: u64,
    /// Calls that are under way.
    pub(super) in_flight: u64,
    /// Attempts that came to an end since the start.
    pub(super) attempts: u64,
    /// Those that it took.
    pub(super) delivered: u64,
    /// Those that failed.
    pub(super) failed: u64,
}

/// Calls that were given up, oldest first.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDeadLetters)]
pub(super) struct Letters {
    pub(super) letters: Vec<DeadCall>,
    /// The next call's `after`; none at the end.
    #[schema(required)]
    pub(super) next: Option<u64>,
}

/// A call that was given up.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDeadLetter)]
pub(super) struct DeadCall {
    /// Its `webhook-id`: 32 hex digits.
    pub(super) id: String,
    pub(super) endpoint: Arc<str>,
    pub(super) site: Arc<str>,
    pub(super) visit: String,
    /// Why it was given up, in a word.
    pub(super) reason: Arc<str>,
    /// Since when, milliseconds since 1970.
    pub(super) dead_since_ms: i64,
    /// When it began to wait, milliseconds since 1970.
    pub(super) waited_since_ms: i64,
    /// How often it was tried.
    pub(super) attempts: u32,
    /// What was sent.
    pub(super) body: Value,
}

/// What became of each.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDeadLettersReplayed)]
pub(super) struct Replayed {
    pub(super) results: Vec<Outcome>,
    /// With a filter: the next call's `after`; none at the end.
    #[schema(required)]
    pub(super) next: Option<u64>,
}

/// What became of a call.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDeadLetterReplayed)]
pub(super) struct Outcome {
    pub(super) id: String,
    /// In a word: whether it waits again.
    pub(super) status: &'static str,
}

/// An endpoint that is called again.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEnabled)]
pub(super) struct Enabled {
    pub(super) endpoint: String,
    pub(super) is_gone: bool,
}
