//! Ids that the engine derives: of matches, actions, and made-up events.
//!
//! Each is the first 128 bits of SHA-256 over parts that are each preceded by their length (64
//! bits, little endian), so that no two lists of parts give the same bytes. The same after a
//! restart, a replay, on another node: every sink's idempotency stands on it.
//!
//! **Invariant:** the bytes hashed are part of the outbox format. A pinned-value test guards them.

use super::{
    ActionId, Event, EventId, EventView, Flags, Id, Instance, MatchId, PackedEvent, Value, VisitId,
    WindowKey, system,
};
use sha2::{Digest, Sha256};

/// One window instance as one rule sees it.
#[derive(Clone, Copy, Debug)]
pub struct RuleWindow<'a> {
    /// The rule's package.
    pub package: &'a str,
    /// The rule's name.
    pub rule: &'a str,
    /// Which instance of its window.
    pub key: &'a WindowKey,
    /// The site.
    pub site: &'a str,
    /// The visit; that of the last event on windows other than the visit.
    pub visit: &'a VisitId,
    /// Its instance.
    pub instance: Instance,
}

impl RuleWindow<'_> {
    /// *Match id*: hash(package, rule, version, window instance, matched event ids in step order).
    #[must_use]
    pub fn match_id<'e>(
        &self,
        version: u128,
        events: impl IntoIterator<Item = &'e EventId>,
    ) -> MatchId {
        let mut parts = Parts::new("match");
        parts.push(self.package.as_bytes());
        parts.push(self.rule.as_bytes());
        parts.push(&version.to_be_bytes());
        self.push_window(&mut parts);
        for event in events {
            parts.push_id(&event.0);
        }
        MatchId(parts.finish())
    }

    /// *Action id*: hash(package, rule, window instance); for `fire = "every"` also the last
    /// event's id.
    #[must_use]
    pub fn action_id(&self, last_event: Option<&EventId>) -> ActionId {
        let mut parts = Parts::new("action");
        parts.push(self.package.as_bytes());
        parts.push(self.rule.as_bytes());
        self.push_window(&mut parts);
        if let Some(event) = last_event {
            parts.push_id(&event.0);
        }
        ActionId(parts.finish())
    }

    /// Site, kind (but of a visit, which has the form of its id there) and key; a window over all
    /// sites has the empty site.
    fn push_window(&self, parts: &mut Parts) {
        let site = if *self.key == WindowKey::Global { "" } else { self.site };
        parts.push(site.as_bytes());
        if *self.key != WindowKey::Visit {
            parts.push(self.key.kind().as_bytes());
        }
        match self.key {
            WindowKey::Visit => {
                parts.push_id(&self.visit.0);
                parts.push(&self.instance.0.0.to_be_bytes());
            }
            WindowKey::Visitor(visitor) => parts.push_id(&visitor.0),
            WindowKey::User(user) => parts.push(user.as_bytes()),
            WindowKey::Site | WindowKey::Global => {}
        }
    }
}

/// The `VisitStarted` of a visit whose first event is another: the same place in time, and of its
/// fields the host, so that rules of a host see it. No others: a rule that counts `any` event of a page
/// would count two.
#[must_use]
pub fn made_up_visit_started(first: &EventView<'_>, instance: Instance) -> PackedEvent {
    let visit = first.visit();
    let host = first.host().map(|host| ("url.host".into(), Value::Str(host.into())));
    let mut parts = Parts::new("made-up VisitStarted");
    parts.push(first.site.as_bytes());
    parts.push_id(&visit.0);
    parts.push(&instance.0.0.to_be_bytes());
    PackedEvent::pack(&Event {
        flags: Flags::MADE_UP,
        site: first.site.into(),
        name: system::VISIT_STARTED.into(),
        id: EventId(Id::Bits(parts.finish())),
        visit,
        visitor: first.visitor(),
        page: first.page(),
        timestamp: first.timestamp,
        server_timestamp: first.server_timestamp,
        client_timestamp: None,
        tie: first.tie,
        fields: host.into_iter().collect(),
    })
}

/// Parts under way to a hash.
struct Parts(Sha256);

impl Parts {
    /// Begins with what the id is of, so that an id of one kind is never one of another.
    fn new(kind: &str) -> Self {
        let mut parts = Self(Sha256::new());
        parts.push(kind.as_bytes());
        parts
    }

    fn push(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    /// An id is two parts: its form, and its bytes.
    fn push_id(&mut self, id: &Id) {
        match id {
            Id::Bits(bits) => {
                self.push(b"bits");
                self.push(&bits.to_be_bytes());
            }
            Id::Text(text) => {
                self.push(b"text");
                self.push(text.as_bytes());
            }
        }
    }

    fn finish(self) -> u128 {
        let digest: [u8; 32] = self.0.finalize().into();
        let (first, _) = digest.split_first_chunk().expect("SHA-256 has 32 bytes");
        u128::from_be_bytes(*first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventTimeMs, LogSeq, ServerTimeMs, VisitorId};

    fn window<'a>(package: &'a str, rule: &'a str, visit: &'a VisitId) -> RuleWindow<'a> {
        let (key, instance) = (&WindowKey::Visit, Instance(LogSeq(7)));
        RuleWindow { package, rule, key, site: "shop", visit, instance }
    }

    /// The figures are part of the outbox format: a change of them is a change of format.
    #[test]
    fn ids_are_pinned() {
        let visit = VisitId(Id::Bits(0x44D2_5DDB_7817_4DEC_8F33_E28F_9642_8336));
        let events = [EventId(Id::Bits(1)), EventId(Id::Text("line-2".into()))];
        let window = window("com.example.shop", "hot-lead", &visit);
        assert_eq!(window.match_id(3, &events), MatchId(PINNED_MATCH));
        assert_eq!(window.action_id(None), ActionId(PINNED_ONCE));
        assert_eq!(window.action_id(Some(&events[1])), ActionId(PINNED_EVERY));
    }

    // Computed apart, with Python's hashlib.
    const PINNED_MATCH: u128 = 0xE2E7_1CB9_9F75_DAF2_A4B6_5D91_84F1_77C4;
    const PINNED_ONCE: u128 = 0x5DDF_B457_0FD4_17A2_836F_DD39_F714_0CF2;
    const PINNED_EVERY: u128 = 0x6255_337A_C60E_CE5F_A9C9_5DC2_7D97_DC49;

    /// What a match's last visit is makes no difference on other windows; nor does the site where
    /// there are all.
    #[test]
    fn ids_of_other_windows_are_pinned() {
        let visitor = VisitorId(Id::Bits(9));
        for (key, pinned) in [
            (WindowKey::Visitor(visitor), 0x91D7_F35E_B2C1_2252_CE93_71ED_4107_6FEE),
            (WindowKey::User("ada".into()), 0x61A5_AFA3_DADE_09BA_FC0C_4A35_4B80_B643),
            (WindowKey::Site, 0x26CE_6F41_9211_DEF7_B669_B570_AE40_580F),
            (WindowKey::Global, 0x8AE3_E89F_4CC9_7C3C_8511_9194_3B54_16A8),
        ] {
            for visit in [VisitId(Id::Bits(1)), VisitId(Id::Text("line-2".into()))] {
                let window =
                    RuleWindow { key: &key, ..window("com.example.shop", "hot-lead", &visit) };
                assert_eq!(window.action_id(None), ActionId(pinned), "{key:?}");
            }
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let visit = VisitId(Id::Bits(1));
        let a = window("com.example", "ab", &visit).action_id(None);
        let b = window("com.examplea", "b", &visit).action_id(None);
        assert_ne!(a, b);
        let text = VisitId(Id::Text("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\u{1}".into()));
        assert_ne!(a, window("com.example", "ab", &text).action_id(None));
    }

    #[test]
    fn a_made_up_start_stands_at_its_cause() {
        let cause = Event {
            flags: Flags::VERIFIED,
            site: "shop".into(),
            name: system::PAGE_ENTERED.into(),
            id: EventId(Id::Bits(1)),
            visit: VisitId(Id::Bits(2)),
            visitor: None,
            page: Some(crate::model::PageId(Id::Bits(3))),
            timestamp: EventTimeMs(10),
            server_timestamp: ServerTimeMs(20),
            client_timestamp: Some(EventTimeMs(9)),
            tie: Some(4),
            fields: vec![("title".into(), crate::model::Value::Bool(true))],
        };
        let packed = PackedEvent::pack(&cause);
        let view = packed.view().expect("just packed");
        let made_up = made_up_visit_started(&view, Instance(LogSeq(5)));
        let made_up = made_up.unpack().expect("just packed");
        assert_eq!(made_up.flags, Flags::MADE_UP);
        assert_eq!(&*made_up.name, system::VISIT_STARTED);
        assert_eq!((made_up.timestamp, made_up.tie), (cause.timestamp, cause.tie));
        assert_eq!((made_up.visit, made_up.page), (cause.visit, cause.page));
        let other = made_up_visit_started(&view, Instance(LogSeq(6)));
        assert_ne!(other.unpack().expect("just packed").id, made_up.id);
    }
}
