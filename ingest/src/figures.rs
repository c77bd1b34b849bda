//! What the engine says beside the HTTP side, as it is answered: the figures of `/v1/status`, and how
//! far rules have come in a visit of the demo.

use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// What `/v1/status` says beside the server and its log.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct EngineStatus {
    /// The rules that run.
    pub rules: Vec<RuleStatus>,
    /// The engine.
    pub engine: EngineFigures,
    /// What the engine said and some sink has still to read.
    pub outbox: OutboxFigures,
    /// Messages to pages.
    pub notification: NotificationFigures,
    /// Calls to other systems.
    pub webhook: WebhookFigures,
    /// Reports.
    pub parquet: ParquetFigures,
}

/// A rule that runs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RuleStatus {
    /// Its package.
    pub package: Arc<str>,
    /// Its name.
    pub rule: Arc<str>,
    /// Tells whether two rules of one name are the same.
    pub version: String,
    /// Whether it may act.
    pub enabled: bool,
}

/// Figures of the engine.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct EngineFigures {
    /// The last epoch that was worked through.
    pub epoch: u64,
    /// The last record that was.
    pub log_sequence: u64,
    /// Open visits.
    pub visits_open: u64,
    /// Windows that are no visits.
    pub windows_open: u64,
    /// Events that were tried on the rules.
    pub events_matched: u64,
    /// Matches.
    pub matches: u64,
}

/// Figures of the outbox.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct OutboxFigures {
    /// Bytes of its files.
    pub bytes: u64,
    /// The first epoch and the last.
    pub epochs: [u64; 2],
}

/// Figures of messages to pages.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct NotificationFigures {
    /// Streams and long polls that are open.
    pub streams: u64,
    /// Messages that no page has acknowledged.
    pub messages_waiting: u64,
    /// Messages that are remembered.
    pub messages: u64,
}

/// Figures of calls to other systems.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct WebhookFigures {
    /// Calls that wait.
    pub waiting: u64,
    /// Calls that were taken since the start.
    pub delivered: u64,
    /// Calls that were given up.
    pub dead_letters: u64,
}

/// Figures of reports.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct ParquetFigures {
    /// Rows in finished files.
    pub rows: u64,
    /// Finished files.
    pub files: u64,
    /// The last epoch in them.
    pub epoch_durable: u64,
    /// Failures that were tried again.
    pub errors: u64,
}

/// How far the rules have come in a visit.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct VisitProgress {
    /// Whether all of the visit is remembered.
    pub whole: bool,
    /// The rules on a visit.
    pub rules: Vec<RuleProgress>,
}

/// How far a rule has come.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct RuleProgress {
    /// Its package.
    pub package: String,
    /// Its name.
    pub rule: String,
    /// What its author says of it.
    pub description: String,
    /// The kind of its action.
    pub kind: &'static str,
    /// `once` or `every`.
    pub fire: &'static str,
    /// Within how long its steps must happen.
    #[schema(required)]
    pub maxspan_ms: Option<i64>,
    /// Its steps.
    pub steps: Vec<StepProgress>,
    /// The events that it has, by their ids.
    pub events: Vec<String>,
    /// Until when it waits.
    #[schema(required)]
    pub until_ms: Option<i64>,
}

/// A step of a rule.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StepProgress {
    /// In its author's words.
    pub text: String,
    /// It must not happen.
    pub missing: bool,
    /// How often it must.
    pub runs: u32,
}
