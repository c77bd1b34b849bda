//! Why an event is not taken: a code for programs, a place, and a sentence for people.

use serde::Serialize;
use std::fmt;
use utoipa::ToSchema;

/// What is wrong with a rejected event. The codes are part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RejectReason {
    /// A line of NDJSON, or an element, that is not JSON.
    InvalidJson,
    /// JSON, but not an object.
    NotAnObject,
    /// Longer than `event_bytes_max`.
    TooLarge,
    /// Nested deeper than `json_depth_max`.
    TooDeep,
    /// A required field is absent or null.
    MissingField,
    /// A field has the wrong JSON type.
    WrongType,
    /// `eventName` is not 1 to 100 characters without controls.
    BadEventName,
    /// `eventType` contradicts `eventName`.
    BadEventType,
    /// Actionable events are made by rules only.
    ActionableEvent,
    /// An id that is not 32 hex digits.
    BadId,
    /// A time outside the years 1970 to 9999.
    BadTimestamp,
    /// `url` is no address.
    BadUrl,
    /// More than `CATEGORIES_MAX` categories.
    TooManyCategories,
    /// A replayed event's write key is no longer known.
    KeyGone,
    /// `visitID` is not the visit that the request names.
    OtherVisit,
}

impl RejectReason {
    /// All reasons, for metrics that start at zero.
    pub const ALL: [Self; 15] = [
        Self::InvalidJson,
        Self::NotAnObject,
        Self::TooLarge,
        Self::TooDeep,
        Self::MissingField,
        Self::WrongType,
        Self::BadEventName,
        Self::BadEventType,
        Self::ActionableEvent,
        Self::BadId,
        Self::BadTimestamp,
        Self::BadUrl,
        Self::TooManyCategories,
        Self::KeyGone,
        Self::OtherVisit,
    ];

    /// The code in results, dead letters and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::MissingField => "missing_field",
            Self::WrongType => "wrong_type",
            Self::BadEventName => "bad_event_name",
            Self::BadEventType => "bad_event_type",
            Self::ActionableEvent => "actionable_event",
            Self::BadId => "bad_id",
            Self::BadTimestamp => "bad_timestamp",
            Self::BadUrl => "bad_url",
            Self::TooManyCategories => "too_many_categories",
            Self::KeyGone => "key_gone",
            Self::OtherVisit => "other_visit",
        }
    }
}

/// A rejected event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at {path}")]
pub struct Rejection {
    /// The code.
    pub reason: RejectReason,
    /// JSON path of the culprit within the event: `$.eventName`.
    pub path: Box<str>,
    /// One sentence: what was wrong and what is expected.
    pub message: Box<str>,
}

impl Rejection {
    /// A rejection of the whole event.
    pub(crate) fn whole(reason: RejectReason, message: impl fmt::Display) -> Self {
        Self { reason, path: "$".into(), message: message.to_string().into() }
    }

    /// A rejection because of one top-level field.
    pub(crate) fn field(reason: RejectReason, field: &str, message: impl fmt::Display) -> Self {
        Self { reason, path: format!("$.{field}").into(), message: message.to_string().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_what_serde_writes() {
        for reason in RejectReason::ALL {
            let written = serde_json::to_string(&reason).expect("a unit variant");
            assert_eq!(written, format!("\"{}\"", reason.as_str()));
        }
    }
}
