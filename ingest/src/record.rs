//! From an event to a record of the log.

use beckon_engine::log::{NewRecord, RecordBody, dedup_key};
use beckon_engine::model::{Event, PackedEvent, PackedFields};
use std::sync::Arc;

/// The record of an event, with the fields that all events of its request share. Its deduplication key is the one that the log derives again from the
/// event when it is opened: another key would let a repeated event in after a restart.
#[must_use]
pub fn record_of(event: &Event, more: &PackedFields) -> NewRecord {
    let visitor = event.visitor.as_ref().map_or(&event.visit.0, |visitor| &visitor.0);
    NewRecord {
        site: Arc::clone(&event.site),
        visitor_hash: visitor.stable_hash(),
        dedup: Some(dedup_key(&event.site, &event.id)),
        body: RecordBody::Event(PackedEvent::pack_with(event, more)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalise::{Agent, Context, Normaliser, OfVisit, Sender, Unproven};
    use beckon_engine::matcher::{Matcher, MatcherConfig};
    use beckon_engine::model::{Id, LogSeq, LoggedEvent, ServerTimeMs, Value, VisitorId};
    use beckon_engine::stage::Stage;
    use beckon_rules::compile::compile;
    use beckon_rules::schema::Schema;

    const AGENT: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 \
        (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

    /// The size that the budget of a kept event is for.
    fn json(number: u64) -> String {
        let id = |factor: u128| format!("{:032X}", factor.wrapping_mul(u128::from(number + 1)));
        let event = format!(
            r#"{{"eventName":"AddToCart","eventID":"{}","visitID":"{:032X}","globalVisitID":"{:032X}","pageID":"{}","timestamp":{},"url":"https://a.example/l/{}","data":{{"price":{}}}}}"#,
            id(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835),
            0x44D2_5DDB_7817_4DEC_8F33_E28F_9642_8336_u128,
            0x55D2_5DDB_7817_4DEC_8F33_E28F_9642_8336_u128,
            id(0x7F4A_7C15_F39C_C060_5CED_C835_1234_5678),
            1_700_000_000_000 + number * 1_000,
            100 + number,
            100 + number,
        );
        assert!((285..=295).contains(&event.len()), "{} bytes of JSON", event.len());
        event
    }

    /// As a browser sends it.
    fn event(normaliser: &Normaliser, number: u64) -> Event {
        let context = Context {
            site: &"shop".into(),
            received: ServerTimeMs(1_700_000_100_000),
            sent: None,
            sender: Sender::Browser,
            proven_visit: None,
            unproven: Unproven::Match,
            agent: Agent::Apart,
            address: None,
            identity: None,
            visit: OfVisit::Named,
        };
        normaliser.event(&json(number), &context).expect("a valid event").event
    }

    /// What a visit of so many events keeps for each, as they come from a browser.
    fn kept_bytes(events: u64) -> u64 {
        let normaliser = Normaliser::default();
        let mut shared = vec![("ip".into(), Value::Str("192.0.2.0".into()))];
        normaliser.user_agents().parse(AGENT).push_fields(&mut shared);
        let shared = PackedFields::pack(&shared);
        let (rules, _) = compile(&[], &Schema::event());
        let mut matcher = Matcher::new(Arc::new(rules.expect("none")), MatcherConfig::default());
        for number in 0..events {
            let RecordBody::Event(event) = record_of(&event(&normaliser, number), &shared).body
            else {
                panic!("an event");
            };
            matcher.events(&[LoggedEvent { seq: LogSeq(number + 1), event }], &mut Vec::new());
        }
        let memory = matcher.visit_memory();
        // A visit begins with a made-up `VisitStarted`.
        assert_eq!((memory.visits, memory.events), (1, events + 1));
        memory.kept_bytes / memory.events
    }

    /// By it a person's records are found in the log to be erased.
    #[test]
    fn a_record_has_the_hash_of_its_visitor_or_else_of_its_visit() {
        let event = event(&Normaliser::default(), 1);
        let hash = |visitor: Option<Id>| {
            let event = Event { visitor: visitor.map(VisitorId), ..event.clone() };
            record_of(&event, &PackedFields::default()).visitor_hash
        };
        assert_eq!(hash(Some(Id::Bits(7))), Id::Bits(7).stable_hash());
        assert_eq!(hash(None), event.visit.0.stable_hash());
        assert_ne!(hash(None), hash(Some(Id::Bits(7))));
    }

    #[test]
    fn a_kept_event_of_290_bytes_of_json_takes_300_at_most() {
        for events in [25, 100, 400] {
            let each = kept_bytes(events);
            assert!(each <= 300, "{each} bytes for each of {events}");
        }
    }
}
