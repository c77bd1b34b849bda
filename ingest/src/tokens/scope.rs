//! What an API token may do.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// One right. A token has one or more of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Send events as a server of the site.
    #[serde(rename = "events:write")]
    EventsWrite,
    /// List and show dead letters.
    #[serde(rename = "dead-letters")]
    DeadLetters,
    /// Send dead letters through today's checks.
    #[serde(rename = "events:replay")]
    EventsReplay,
    /// See which rules run.
    #[serde(rename = "rules:read")]
    RulesRead,
    /// Deploy and remove rules; pause what acts.
    #[serde(rename = "rules:write")]
    RulesWrite,
    /// See what happens now.
    #[serde(rename = "live:read")]
    LiveRead,
    /// Send messages to visits.
    #[serde(rename = "notify:write")]
    NotifyWrite,
    /// Get tokens for visits.
    #[serde(rename = "visits:token")]
    VisitsToken,
    /// Read the server's metrics.
    #[serde(rename = "metrics:read")]
    MetricsRead,
    /// Everything, on every site.
    #[serde(rename = "operator")]
    Operator,
}

/// A text that names no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no scope {text:?}{suggestion}; the scopes are {}", names())]
pub struct ScopeError {
    text: String,
    suggestion: String,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 10] = [
        Self::EventsWrite,
        Self::DeadLetters,
        Self::EventsReplay,
        Self::RulesRead,
        Self::RulesWrite,
        Self::LiveRead,
        Self::NotifyWrite,
        Self::VisitsToken,
        Self::MetricsRead,
        Self::Operator,
    ];

    /// The name on the command line, in token files and in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EventsWrite => "events:write",
            Self::DeadLetters => "dead-letters",
            Self::EventsReplay => "events:replay",
            Self::RulesRead => "rules:read",
            Self::RulesWrite => "rules:write",
            Self::LiveRead => "live:read",
            Self::NotifyWrite => "notify:write",
            Self::VisitsToken => "visits:token",
            Self::MetricsRead => "metrics:read",
            Self::Operator => "operator",
        }
    }

    /// Whether whoever has this scope may do what `wanted` allows.
    #[must_use]
    pub fn implies(self, wanted: Self) -> bool {
        self == wanted || self == Self::Operator
    }
}

fn names() -> String {
    Scope::ALL.map(Scope::as_str).join(", ")
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        if let Some(scope) = Self::ALL.into_iter().find(|scope| scope.as_str() == text) {
            return Ok(scope);
        }
        let near = |scope: &Self| strsim::damerau_levenshtein(scope.as_str(), text);
        let nearest = Self::ALL.into_iter().min_by_key(near).filter(|scope| near(scope) <= 4);
        let suggestion =
            nearest.map(|scope| format!(" (did you mean \"{scope}\"?)")).unwrap_or_default();
        Err(ScopeError { text: text.to_owned(), suggestion })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_are_what_serde_writes() {
        for scope in Scope::ALL {
            assert_eq!(scope.to_string().parse(), Ok(scope));
            let json = serde_json::to_string(&scope).expect("a unit variant");
            assert_eq!(json, format!("\"{scope}\""));
        }
    }

    #[test]
    fn only_the_operator_may_do_what_others_may() {
        for scope in Scope::ALL {
            for wanted in Scope::ALL {
                let expected = scope == wanted || scope == Scope::Operator;
                assert_eq!(scope.implies(wanted), expected, "{scope} {wanted}");
            }
        }
    }

    #[test]
    fn a_slip_is_answered_with_the_scope_that_was_meant() {
        let say = |text: &str| text.parse::<Scope>().expect_err("no scope").to_string();
        assert!(say("deadletters").contains("did you mean \"dead-letters\"?"));
        assert!(say("rule:read").contains("did you mean \"rules:read\"?"));
        let far = say("everything");
        assert!(!far.contains("did you mean") && far.contains("live:read, notify:write"), "{far}");
    }
}
