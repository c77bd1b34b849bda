//! The owned event, and the names the system gives a meaning to.

use super::{EventId, EventTimeMs, PageId, ServerTimeMs, Value, VisitId, VisitorId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The site an event belongs to, set by the server from the write key.
pub type SiteName = Arc<str>;

/// Names of system events (the GWE event model, and our `VisitEnded`).
pub mod system {
    /// The first page of a visit was entered.
    pub const VISIT_STARTED: &str = "VisitStarted";
    /// A page was entered.
    pub const PAGE_ENTERED: &str = "PageEntered";
    /// A page was left.
    pub const PAGE_EXITED: &str = "PageExited";
    /// The site authenticated the visitor: `data.userID`.
    pub const SIGN_IN: &str = "SignIn";
    /// The visitor signed out.
    pub const SIGN_OUT: &str = "SignOut";
    /// The visitor was recognised, or the profile changed: `data.userID`.
    pub const USER_INFO: &str = "UserInfo";
    /// The visit is over (ours).
    pub const VISIT_ENDED: &str = "VisitEnded";

    /// Whether `name` is one of the system's; all other names are business events.
    #[must_use]
    pub fn is_system(name: &str) -> bool {
        matches!(
            name,
            VISIT_STARTED
                | PAGE_ENTERED
                | PAGE_EXITED
                | SIGN_IN
                | SIGN_OUT
                | USER_INFO
                | VISIT_ENDED
        )
    }
}

/// What the server found out about an event before it was logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Flags(pub u16);

impl Flags {
    /// The visit's secret was not shown.
    pub const UNPROVEN: Self = Self(1);
    /// Recorded, but no rule, visit or identity advances by it (`unproven = "record"`).
    pub const RECORD_ONLY: Self = Self(1 << 1);
    /// The user id of a `SignIn` or `UserInfo` is proven.
    pub const VERIFIED: Self = Self(1 << 2);
    /// The timestamp lay too far in the future (or past) and was set to the bound.
    pub const CLAMPED: Self = Self(1 << 3);
    /// The timestamp was corrected by the client's send time.
    pub const SKEW_CORRECTED: Self = Self(1 << 4);
    /// Made up by the engine (a missing `VisitStarted`); never in the log.
    pub const MADE_UP: Self = Self(1 << 5);

    /// Whether all of `other` is set.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These flags and `other`.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One event, validated and normalised.
///
/// `fields` holds everything that is not named here: `url`, `url.path`, `url.query.*`,
/// `campaign.*`, `referrer`, `title`, `languageCode`, `category` (a list), `userAgent.*`, `isBot`,
/// `ip`, `data` (a map), and for a mapped source whatever it has. A name stands once.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What the server found out.
    pub flags: Flags,
    /// The site of the write key.
    pub site: SiteName,
    /// `eventName`; the event category of EQL.
    pub name: Box<str>,
    /// `eventID`.
    pub id: EventId,
    /// `visitID`, or the window key of a mapped source.
    pub visit: VisitId,
    /// `globalVisitID`.
    pub visitor: Option<VisitorId>,
    /// `pageID`.
    pub page: Option<PageId>,
    /// When it happened, corrected.
    pub timestamp: EventTimeMs,
    /// When the server received it (`serverTimestamp`).
    pub server_timestamp: ServerTimeMs,
    /// What the client said, where that was corrected or clamped.
    pub client_timestamp: Option<EventTimeMs>,
    /// `seq`: the client's tie-breaker among equal timestamps.
    pub tie: Option<i64>,
    /// Everything else, by its field name.
    pub fields: Vec<(Box<str>, Value)>,
}

impl Event {
    /// The value of a top-level field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(field, _)| &**field == name).map(|(_, value)| value)
    }
}
