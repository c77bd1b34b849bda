//! What a call says: `{"type", "timestamp", "data"}`, the same bytes at each attempt.

use beckon_engine::model::{ActionFact, MessageId, ServerTimeMs};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fmt::Write as _;
use std::sync::Arc;

/// What a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Said {
    /// A rule matched.
    Asserted,
    /// A late event showed that it had not.
    Retracted,
}

impl Said {
    /// The `type`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Asserted => "action.asserted",
            Self::Retracted => "action.retracted",
        }
    }

    /// The `webhook-id`: that of the action, and one of its own for its being taken back. A receiver
    /// that passes over ids that it has dealt with hears of both.
    pub(super) fn webhook_id(self, message: MessageId) -> String {
        match self {
            Self::Asserted => message.to_string(),
            Self::Retracted => format!("{message}-retracted"),
        }
    }
}

/// The body. An assertion has the time that the match was decided at, being taken back that of its epoch.
pub(super) fn body_of(said: Said, fact: &ActionFact, now: ServerTimeMs) -> Arc<str> {
    let at = match said {
        Said::Asserted => fact.decided.0,
        Said::Retracted => now.0,
    };
    let at = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    let message = MessageId::from(fact.action);
    let mut data = json!({
        "action": message.to_string(),
        "site": fact.site,
        "package": fact.package,
        "rule": fact.rule,
        "version": format!("{:032x}", fact.version),
        "window": fact.window.kind(),
        "visit": fact.visit.0.to_string(),
        "visitor": fact.visitor.as_ref().map(|visitor| visitor.0.to_string()),
        "priority": fact.priority,
        "events": fact.events.iter().map(|event| event.0.to_string()).collect::<Vec<_>>(),
    })
    .to_string();
    // What the rule's template came to is JSON text already.
    if said == Said::Asserted {
        data.truncate(data.len() - 1);
        let rendered = fact.data.as_deref().unwrap_or("null");
        write!(data, ",\"data\":{rendered}}}").expect("a String takes all text");
    }
    format!("{{\"type\":\"{}\",\"timestamp\":\"{at}\",\"data\":{data}}}", said.as_str()).into()
}
