//! What the engine says: rows for each epoch, in one order whatever the number of workers.
//!
//! These rows are the outbox records and the rows of the Parquet tables. Within an epoch events
//! are sorted by (`seq`, made-up first), notices by `seq`, visits and actions by their derived order.

use super::{EpochMark, EventId, EventTimeMs, LogSeq, NoticeRow, PackedEvent, VisitId, VisitorId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A visit instance: the log sequence of its first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instance(pub LogSeq);

/// 128 bits of SHA-256 of (package, rule, version, window instance, matched event ids).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MatchId(pub u128);

/// 128 bits of SHA-256 of (package, rule, window instance[, last event's id]): the actionable
/// event's `eventID` and every sink's idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActionId(pub u128);

/// What became of an event in the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Fate {
    /// Tried on the rules.
    Matched,
    /// It sorts before all events that its visit keeps, and others left: not matched.
    NotCorrectable,
    /// It lies before the horizon.
    BeforeHorizon,
    /// Its visit had `visit_events_matched_max` events already.
    OverVisitLimit,
    /// The visit's secret was not shown and the key says `unproven = "record"`.
    Unproven,
    /// A real `VisitStarted` behind a made-up one.
    Superseded,
    /// Its bytes could not be read; recorded for inspection.
    Unreadable,
    /// It sorts before an event of its visit that was seen before: tried on the rules in its place.
    PutInPlace,
}

impl Fate {
    /// The name in exports and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::NotCorrectable => "not_correctable",
            Self::BeforeHorizon => "before_horizon",
            Self::OverVisitLimit => "over_visit_limit",
            Self::Unproven => "unproven",
            Self::Superseded => "superseded",
            Self::Unreadable => "unreadable",
            Self::PutInPlace => "put_in_place",
        }
    }

    /// Whether the event came late: in its visit, or for all.
    #[must_use]
    pub fn is_late(self) -> bool {
        matches!(self, Self::PutInPlace | Self::NotCorrectable | Self::BeforeHorizon)
    }

    /// Whether the event was tried on the rules.
    #[must_use]
    pub fn is_matched(self) -> bool {
        matches!(self, Self::Matched | Self::PutInPlace)
    }
}

/// The identity state of a visit (the GWE event model).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum VisitScope {
    /// Nobody is known.
    #[default]
    Anonymous,
    /// Known from before, or signed out.
    Recognized,
    /// Signed in.
    Authenticated,
}

impl VisitScope {
    /// The name that rules and exports use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "Anonymous",
            Self::Recognized => "Recognized",
            Self::Authenticated => "Authenticated",
        }
    }
}

/// Who the visitor is, as stamped in log order.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The state.
    pub scope: VisitScope,
    /// `userID`; present unless anonymous.
    pub user: Option<Arc<str>>,
    /// Proven by a server key, or by the source mapping.
    pub verified: bool,
}

/// One event as recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRow {
    /// Its place in the log; a made-up `VisitStarted` has that of the event that caused it.
    pub seq: LogSeq,
    /// The event itself; `Flags::MADE_UP` where the engine made it.
    pub event: PackedEvent,
    /// The visit instance, where it belongs to one.
    pub instance: Option<Instance>,
    /// What became of it.
    pub fate: Fate,
    /// Who the visitor was.
    pub identity: Identity,
}

/// Why a visit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CloseReason {
    /// The horizon passed its last event and the inactivity.
    Inactive,
    /// `VisitEnded` came.
    Ended,
    /// The limit of open visits was reached and it was the longest idle.
    Evicted,
    /// A replay's input ended.
    EndOfInput,
}

impl CloseReason {
    /// The name in exports and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Ended => "ended",
            Self::Evicted => "evicted",
            Self::EndOfInput => "end_of_input",
        }
    }
}

/// What happened to a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum VisitChange {
    /// Its first event came. `resumed`: an instance of the same id was closed before.
    Opened {
        /// Whether one of the same id was closed before and is remembered.
        resumed: bool,
    },
    /// It ended.
    Closed(CloseReason),
}

/// A visit's beginning or end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VisitRow {
    /// The instance.
    pub instance: Instance,
    /// What happened.
    pub change: VisitChange,
    /// The site.
    pub site: Arc<str>,
    /// The visit.
    pub visit: VisitId,
    /// The visitor, where known.
    pub visitor: Option<VisitorId>,
    /// Timestamp of the first event.
    pub started: EventTimeMs,
    /// Timestamp of the last event so far.
    pub last_event: EventTimeMs,
    /// Events so far.
    pub events: u64,
    /// Who the visitor is.
    pub identity: Identity,
}

/// Why a match was recorded but does not act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SuppressReason {
    /// The rule is disabled.
    Disabled,
    /// In the control group.
    Holdout,
    /// It fired in this window instance before.
    Once,
    /// Its package is paused.
    Paused,
    /// Outside of the rule's opening hours.
    Schedule,
    /// It acted for this visitor less than its `cooldown` ago.
    Cooldown,
    /// An action of the same visitor and epoch went first.
    Priority,
    /// The visit or the visitor had as many invitations as it may.
    Limit,
    /// An invitation for a visit that is over.
    VisitEnded,
    /// It was complete before its rule was deployed.
    Backfilled,
}

impl SuppressReason {
    /// The name in exports and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Holdout => "holdout",
            Self::Once => "once",
            Self::Paused => "paused",
            Self::Schedule => "schedule",
            Self::Cooldown => "cooldown",
            Self::Priority => "priority",
            Self::Limit => "limit",
            Self::VisitEnded => "visit_ended",
            Self::Backfilled => "backfilled",
        }
    }
}

/// Which instance of a rule's window, within the site unless it is global.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum WindowKey {
    /// The visit instance.
    Visit,
    /// A visitor.
    Visitor(VisitorId),
    /// A user whose identity was proven.
    User(Arc<str>),
    /// All of the site.
    Site,
    /// All sites.
    Global,
}

impl WindowKey {
    /// The kind's name in rule files and exports.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Visit => "visit",
            Self::Visitor(_) => "visitor",
            Self::User(_) => "user",
            Self::Site => "site",
            Self::Global => "global",
        }
    }
}

/// A match of a rule: the data of a signed fact. Equal facts with opposite signs in one epoch
/// cancel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActionFact {
    /// The window in which it was found. First, with the next six: the outbox order (window kind,
    /// key, rule, id).
    pub window: WindowKey,
    /// The site.
    pub site: Arc<str>,
    /// The visit of the match's last event.
    pub visit: VisitId,
    /// Its instance.
    pub instance: Instance,
    /// The rule's package.
    pub package: Arc<str>,
    /// The rule.
    pub rule: Arc<str>,
    /// The action.
    pub action: ActionId,
    /// The match.
    pub matched: MatchId,
    /// The rule's version.
    pub version: u128,
    /// `None` acts; otherwise why not.
    pub suppressed: Option<SuppressReason>,
    /// The visitor, where known.
    pub visitor: Option<VisitorId>,
    /// Timestamp of the match's last event.
    pub timestamp: EventTimeMs,
    /// Log sequence of the match's last event.
    pub seq: LogSeq,
    /// Ids of the matched events, in step order.
    pub events: Vec<EventId>,
    /// `invite`, `content`, `notify`, `webhook` or `none`.
    pub kind: Arc<str>,
    /// `channel` of a message.
    pub channel: Option<Arc<str>>,
    /// `expires` of a message, in milliseconds, where its rule says it.
    pub expires_ms: Option<i64>,
    /// `endpoint` of a webhook.
    pub endpoint: Option<Arc<str>>,
    /// Rendered `data`, JSON text.
    pub data: Option<Arc<str>>,
    /// A placeholder of `data` was null.
    pub has_null_placeholder: bool,
    /// `priority` of the rule.
    pub priority: i32,
    /// When it was decided: the time of its last event, or the deadline of what was missing.
    pub decided: EventTimeMs,
    /// Whether the visit was open then.
    pub is_visit_open: bool,
    /// It was complete before its rule was deployed.
    pub is_backfilled: bool,
}

/// What is said of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Op {
    /// It exists and acts.
    Assert,
    /// It no longer holds.
    Retract,
    /// It exists and does not act.
    Suppress,
    /// The match behind an action was replaced by another; nothing is sent.
    Correct,
}

impl Op {
    /// The name in exports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Assert => "assert",
            Self::Retract => "retract",
            Self::Suppress => "suppress",
            Self::Correct => "correct",
        }
    }
}

/// One line of the actions table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ActionRow {
    /// The match.
    pub fact: ActionFact,
    /// What is said of it.
    pub op: Op,
    /// The match in whose place it stands, for [`Op::Correct`]: take that out before this is put in, as
    /// it may be the same one, decided at another time.
    pub replaced: Option<MatchId>,
}

/// Everything the engine says of one epoch. Empty epochs are said too (timer epochs).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochOutput {
    /// The epoch's mark.
    pub mark: EpochMark,
    /// Recorded events, by (seq, made-up first).
    pub events: Vec<EventRow>,
    /// Visits that began or ended, sorted.
    pub visits: Vec<VisitRow>,
    /// Matches, sorted.
    pub actions: Vec<ActionRow>,
    /// What sinks and servers said of messages, in the log's order: no rule sees it.
    pub notices: Vec<NoticeRow>,
}
