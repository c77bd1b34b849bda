//! Beckon's own events from a file: the same checks as at the door.
//!
//! Nobody received them: `serverTimestamp` is their own timestamp, no clock is corrected, and a
//! missing `timestamp` is an error. They match (`unproven` has no meaning here), but a file proves no
//! account: `SignIn` and `UserInfo` are not `verified`.

use super::report::Dropped;
use crate::normalise::{
    Agent, Context, NormaliseError, Normaliser, OfVisit, QueryPolicy, Sender, Unproven,
};
use beckon_engine::model::{DEPTH_MAX, Event, EventId, Flags, Id, ServerTimeMs, SiteName};

/// Later than any timestamp that is taken, so that none is clamped to it.
const RECEIVED: ServerTimeMs = ServerTimeMs(i64::MAX / 4);

/// Normalises events of files.
#[derive(Debug)]
pub(crate) struct WireEvents {
    site: SiteName,
    normaliser: Normaliser,
}

/// Why a line is no event.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the text is not UTF-8")]
    Utf8,
    #[error("values nest deeper than {DEPTH_MAX}")]
    Depth,
    #[error("timestamp is required in a replay")]
    NoTimestamp,
    #[error(transparent)]
    Normalise(#[from] NormaliseError),
}

impl WireEvents {
    pub(crate) fn new(site: SiteName, query: QueryPolicy) -> Self {
        Self { site, normaliser: Normaliser::new(query) }
    }

    /// The event of a line; `derived_id` is taken where it has none, and what of it is not taken is
    /// added to `dropped`.
    pub(crate) fn event(
        &self,
        line: &[u8],
        derived_id: impl FnOnce() -> u128,
        dropped: &mut Dropped,
    ) -> Result<Event, WireError> {
        let text = std::str::from_utf8(line).map_err(|_| WireError::Utf8)?;
        if nests_deeper(line, DEPTH_MAX) {
            return Err(WireError::Depth);
        }
        let context = Context {
            site: &self.site,
            received: RECEIVED,
            sent: None,
            sender: Sender::Server,
            proven_visit: None,
            unproven: Unproven::Match,
            agent: Agent::Said,
            address: None,
            identity: None,
            visit: OfVisit::Named,
        };
        let parameters_before = self.normaliser.parameters_over_limit();
        let normalised = self.normaliser.event(text, &context)?;
        let mut event = normalised.event;
        if event.timestamp.0 == RECEIVED.0 {
            return Err(WireError::NoTimestamp);
        }
        dropped.parameters += self.normaliser.parameters_over_limit() - parameters_before;
        for name in &normalised.dropped {
            match &**name {
                "referrer" => dropped.addresses += 1,
                _ => dropped.fields += 1,
            }
        }
        if normalised.has_new_id {
            event.id = EventId(Id::Bits(derived_id()));
        }
        event.flags = Flags::default();
        event.server_timestamp = ServerTimeMs(event.timestamp.0);
        Ok(event)
    }
}

/// Whether brackets outside texts nest deeper than `depth_max`.
fn nests_deeper(json: &[u8], depth_max: usize) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in json {
        match *byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                if depth > depth_max {
                    return true;
                }
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Event, WireError> {
        read_and_dropped(line).0
    }

    fn read_and_dropped(line: &str) -> (Result<Event, WireError>, Dropped) {
        let mut dropped = Dropped::default();
        let event = WireEvents::new("default".into(), QueryPolicy::default()).event(
            line.as_bytes(),
            || 9,
            &mut dropped,
        );
        (event, dropped)
    }

    #[test]
    fn a_line_is_checked_as_at_the_door() {
        let event = read(
            r#"{"eventName":"PageEntered","visitID":"44D25DDB78174DEC8F33E28F96428336",
               "timestamp":1000,"url":"https://a.example/x?token=1"}"#,
        )
        .expect("an event");
        assert_eq!((event.id.0.clone(), event.server_timestamp), (Id::Bits(9), ServerTimeMs(1000)));
        assert!(event.field("url").is_some_and(|url| format!("{url:?}").contains("/x\"")));
    }

    #[test]
    fn a_file_proves_no_account() {
        let line = r#"{"eventName":"SignIn","visitID":"44D25DDB78174DEC8F33E28F96428336",
            "timestamp":1,"data":{"userID":"jane"}}"#;
        assert_eq!(read(line).expect("an event").flags, Flags::default());
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let read = |rest: &str| {
            let (event, dropped) = read_and_dropped(&format!(
                "{{\"eventName\":\"A\",\"visitID\":\"44D25DDB78174DEC8F33E28F96428336\",\
                 \"timestamp\":1{rest}}}"
            ));
            (event.is_ok(), dropped)
        };
        let nothing = Dropped::default();
        let foreign = read(",\"verified\":true,\"colour\":1");
        assert_eq!(foreign, (true, Dropped { fields: 2, ..nothing }));
        let referrer = read(",\"referrer\":\"what\"");
        assert_eq!(referrer, (true, Dropped { addresses: 1, ..nothing }));
        let query: String = (0..35).map(|n| format!("utm_{n}=1&")).collect();
        let url = format!(",\"url\":\"https://a.example/?{query}\"");
        assert_eq!(read(&url), (true, Dropped { parameters: 3, ..nothing }));
        let bad = read(&format!("{url},\"colour\":1,\"languageCode\":1"));
        assert_eq!(bad, (false, nothing), "a bad line is counted as one");
    }

    #[test]
    fn what_is_no_event_says_why() {
        let check = |line: &str, part: &str| {
            let message = read(line).expect_err(line).to_string();
            assert!(message.contains(part), "{message}");
        };
        let visit = "\"visitID\":\"44D25DDB78174DEC8F33E28F96428336\"";
        check(&format!("{{\"eventName\":\"A\",{visit}}}"), "timestamp is required");
        check("{\"eventName\":\"A\",\"timestamp\":1}", "visitID");
        check(&format!("{{\"data\":{}", "[".repeat(40)), "nest deeper");
        check("{", "not JSON");
    }
}
