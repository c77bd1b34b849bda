//! The hub alone: epochs and times in, what is said and recorded out.

mod bounds;
mod naive;
mod properties;

use super::*;
use crate::notification::{Answer, NotificationConfig, Word};
use beckon_engine::model::{
    ActionFact, ActionId, Delivery, Event, EventId, EventTimeMs, Fate, Flags, Id, Identity,
    Instance, MatchId, Message, NoticeRow, PackedEvent, VisitId, WindowKey,
};

/// When the first epoch of a test ends.
const NOON: i64 = 1_700_000_000_000;

fn config() -> HubConfig {
    (&NotificationConfig::default()).into()
}

fn key(visit: u128) -> Arc<VisitKey> {
    Arc::new(VisitKey { site: "shop".into(), visit: VisitId(Id::Bits(visit)) })
}

fn page(number: u128) -> PageId {
    PageId(Id::Bits(number))
}

/// What the engine says of a match of a visit.
fn action(op: Op, visit: u128, id: u128, kind: &str) -> ActionRow {
    let fact = ActionFact {
        window: WindowKey::Visit,
        site: "shop".into(),
        visit: VisitId(Id::Bits(visit)),
        instance: Instance(LogSeq(1)),
        package: "com.example".into(),
        rule: "hot-lead".into(),
        action: ActionId(id),
        matched: MatchId(id),
        version: 1,
        suppressed: None,
        visitor: None,
        timestamp: EventTimeMs(0),
        seq: LogSeq(1),
        events: Vec::new(),
        kind: kind.into(),
        channel: Some("chat".into()),
        expires_ms: None,
        endpoint: None,
        data: Some("{\"a\":1}".into()),
        has_null_placeholder: false,
        priority: 0,
        decided: EventTimeMs(0),
        is_visit_open: true,
        is_backfilled: false,
    };
    ActionRow { fact, op, replaced: None }
}

/// A server's message.
fn message(visit: u128, id: u128, page: Option<PageId>) -> Notice {
    Notice::Message(Message {
        site: "shop".into(),
        visit: VisitId(Id::Bits(visit)),
        id: MessageId(id),
        page,
        channel: "news".into(),
        data: "{}".into(),
        expires_ms: 60_000,
    })
}

/// An event by which a page is left.
fn exit(visit: u128, page: PageId) -> EventRow {
    let event = Event {
        flags: Flags::default(),
        site: "shop".into(),
        name: system::PAGE_EXITED.into(),
        id: EventId(Id::Bits(1)),
        visit: VisitId(Id::Bits(visit)),
        visitor: None,
        page: Some(page),
        timestamp: EventTimeMs(0),
        server_timestamp: ServerTimeMs(0),
        client_timestamp: None,
        tie: None,
        fields: Vec::new(),
    };
    EventRow {
        seq: LogSeq(1),
        event: PackedEvent::pack(&event),
        instance: None,
        fate: Fate::Matched,
        identity: Identity::default(),
    }
}

/// A hub, and the outbox that it folds: the log takes what it is given, and the next epoch has it.
#[derive(Clone, Debug)]
struct Life {
    hub: Hub,
    outbox: Vec<EpochOutput>,
    /// In the log, and in no epoch yet.
    logged: Vec<Notice>,
    now: i64,
    cursor: Position,
}

impl Life {
    fn new(config: HubConfig) -> Self {
        let (hub, cursor) = (Hub::new(config), Position::default());
        Self { hub, outbox: Vec::new(), logged: Vec::new(), now: NOON, cursor }
    }

    /// An epoch of these, and of what is in the log.
    fn epoch(&mut self, events: Vec<EventRow>, actions: Vec<ActionRow>) {
        let before = self.outbox.last().map_or(LogSeq(0), |output| output.mark.last_seq);
        let logged = std::mem::take(&mut self.logged);
        let row =
            |(seq, notice): (u64, Notice)| NoticeRow { seq: LogSeq(seq), notice: notice.into() };
        let notices: Vec<_> = (before.0 + 1..).zip(logged).map(row).collect();
        let mark = EpochMark {
            epoch: Epoch(self.outbox.len() as u64 + 1),
            first_seq: before.next(),
            last_seq: notices.last().map_or(before, |row| row.seq),
            now: ServerTimeMs(self.now),
            watermark: EventTimeMs(self.now - 2_000),
        };
        let output = EpochOutput { mark, events, visits: Vec::new(), actions, notices };
        self.hub.fold(&output);
        self.outbox.push(output);
        self.cursor = self.cursor.max(self.hub.durable());
    }

    fn act(&mut self, op: Op, visit: u128, id: u128, kind: &str) {
        self.epoch(Vec::new(), vec![action(op, visit, id, kind)]);
    }

    fn pass(&mut self, ms: i64) {
        self.now += ms;
        self.hub.expire(ServerTimeMs(self.now));
    }

    /// Gives the log what is to be recorded; it keeps each once.
    fn record(&mut self) {
        for delivery in self.hub.unrecorded() {
            self.log(&delivery);
        }
    }

    fn log(&mut self, delivery: &Delivery) {
        let of = |notice: &Notice| match notice {
            Notice::Delivery(it) => Some((it.message, it.outcome)),
            Notice::Message(_) => None,
        };
        let said = self.outbox.iter().flat_map(|it| &it.notices).map(|row| &*row.notice);
        let is_there = |notice| of(notice) == Some((delivery.message, delivery.outcome));
        if !said.chain(&self.logged).any(is_there) {
            self.logged.push(Notice::Delivery(delivery.clone()));
        }
        self.hub.recorded(delivery);
    }

    /// What is recorded, epoch by epoch, until there is nothing more.
    fn settle(&mut self) {
        loop {
            self.record();
            let is_last = self.logged.is_empty();
            self.epoch(Vec::new(), Vec::new());
            if is_last {
                return;
            }
        }
    }

    /// A page listens and gets what is said.
    fn hand(&mut self, visit: u128, of: Option<u128>) -> Vec<(u128, bool)> {
        let now = ServerTimeMs(self.now);
        let said = self.hub.hand(&key(visit), of.map(page).as_ref(), (0, now));
        said.iter().map(|said| (said.id.0, said.kind.is_none())).collect()
    }

    /// The same, and nothing is changed by it.
    fn peek(&self, visit: u128, of: Option<u128>) -> Vec<(u128, bool)> {
        self.clone().hand(visit, of)
    }

    fn say(&mut self, visit: u128, id: u128, outcome: Outcome) -> bool {
        let word = Word { outcome, page: None, reason: None };
        match self.hub.word(&key(visit), MessageId(id), &word) {
            Answer::Record(delivery) => {
                self.log(&delivery);
                true
            }
            Answer::Known | Answer::Unknown => false,
        }
    }

    /// The process ends, and another reads the outbox behind the cursor. What the log was not given
    /// is lost.
    fn restart(&mut self) {
        self.hub = Hub::new(self.hub.config);
        for output in &self.outbox {
            if output.mark.epoch > self.cursor.epoch {
                self.hub.fold(output);
            }
        }
    }

    /// What became of a message, in the order of the log.
    fn outcomes(&self, id: u128) -> Vec<(&'static str, Option<String>)> {
        let rows = self.outbox.iter().flat_map(|output| &output.notices);
        let of = |row: &NoticeRow| match &*row.notice {
            Notice::Delivery(it) if it.message.0 == id => {
                Some((it.outcome.as_str(), it.reason.as_deref().map(str::to_owned)))
            }
            Notice::Delivery(_) | Notice::Message(_) => None,
        };
        rows.filter_map(of).collect()
    }

    /// The same without reasons.
    fn said_of(&self, id: u128) -> Vec<&'static str> {
        self.outcomes(id).into_iter().map(|(outcome, _)| outcome).collect()
    }
}

#[test]
fn a_message_comes_again_until_it_is_acknowledged() {
    let mut life = Life::new(config());
    life.act(Op::Assert, 1, 10, "invite");
    for _ in 0..3 {
        assert_eq!(life.hand(1, None), [(10, false)]);
        assert_eq!(life.hand(2, None), [], "another visit");
        life.settle();
    }
    assert!(life.say(1, 10, Outcome::Acknowledged));
    assert!(!life.say(1, 10, Outcome::Acknowledged), "it is known");
    assert_eq!(life.hand(1, None), []);
    life.pass(30_000);
    life.settle();
    assert_eq!(life.said_of(10), ["delivered", "acknowledged"]);
}

#[test]
fn each_message_expires_by_the_time_of_its_epoch() {
    for (kind, expires_ms) in [("invite", 30_000), ("content", 300_000), ("notify", 60_000)] {
        let mut life = Life::new(config());
        life.act(Op::Assert, 1, 10, kind);
        life.pass(expires_ms - 1);
        assert_eq!(life.peek(1, None), [(10, false)], "{kind}");
        life.restart();
        assert_eq!(life.peek(1, None), [(10, false)], "{kind}, after a restart");
        life.now += 1;
        assert_eq!(life.hand(1, None), [], "{kind}: the clock says so before anybody looked");
        life.pass(0);
        life.settle();
        assert_eq!(life.outcomes(10), [("expired", None)], "{kind}");
    }
    let mut life = Life::new(config());
    let mut own = action(Op::Assert, 1, 10, "invite");
    own.fact.expires_ms = Some(90_000);
    life.epoch(Vec::new(), vec![own]);
    life.pass(89_999);
    assert_eq!(life.peek(1, None), [(10, false)], "as its rule says");
    life.restart();
    assert_eq!(life.peek(1, None), [(10, false)], "after a restart too");
    life.pass(1);
    assert_eq!(life.peek(1, None), [], "as its rule says");
    let mut life = Life::new(config());
    life.act(Op::Assert, 1, 10, "webhook");
    assert_eq!(life.hub.stats().held, 0, "that goes to no page");
}

#[test]
fn a_page_hears_what_is_for_it_and_for_all() {
    let mut life = Life::new(config());
    life.logged.extend([message(1, 10, None), message(1, 11, Some(page(5)))]);
    life.epoch(Vec::new(), Vec::new());
    assert_eq!(life.peek(1, None), [(10, false)]);
    assert_eq!(life.peek(1, Some(6)), [(10, false)]);
    assert_eq!(life.peek(1, Some(5)), [(10, false), (11, false)]);
    // The page is left: what was for it is withdrawn.
    life.epoch(vec![exit(1, page(5))], Vec::new());
    assert_eq!(life.peek(1, Some(5)), [(10, false)]);
    life.settle();
    assert_eq!(life.outcomes(11), [("withdrawn", Some("page_gone".to_owned()))]);
    assert_eq!(life.outcomes(10), []);
}

#[test]
fn what_is_taken_back_before_a_page_has_it_is_dropped() {
    let mut life = Life::new(config());
    life.act(Op::Assert, 1, 10, "invite");
    life.act(Op::Retract, 1, 10, "invite");
    assert_eq!(life.hand(1, None), []);
    life.settle();
    assert_eq!(life.outcomes(10), [("withdrawn", Some("retracted".to_owned()))]);
    life.pass(300_000);
    life.settle();
    assert_eq!(life.said_of(10), ["withdrawn"]);
}

#[test]
fn a_page_that_has_it_is_told_that_it_is_taken_back() {
    for is_acknowledged in [false, true] {
        let mut life = Life::new(config());
        life.act(Op::Assert, 1, 10, "invite");
        life.hand(1, Some(5));
        life.record();
        if is_acknowledged {
            assert!(life.say(1, 10, Outcome::Acknowledged));
        }
        life.settle();
        // Late events take actions back until the horizon has passed them, longer than these hold.
        life.pass(120_000);
        life.act(Op::Retract, 1, 10, "invite");
        life.settle();
        life.restart();
        assert_eq!(life.hand(1, Some(5)), [(10, true)]);
        assert!(!life.say(1, 10, Outcome::Acknowledged), "that is recorded already");
        assert_eq!(life.hand(1, Some(5)), []);
        life.settle();
        let outcomes = life.said_of(10);
        let middle = if is_acknowledged { "acknowledged" } else { "expired" };
        assert_eq!(outcomes, ["delivered", middle, "withdrawn"]);
    }
}

/// The record of it may stand behind what takes it back.
#[test]
fn a_page_that_was_given_it_in_the_last_moment_is_told_too() {
    let mut life = Life::new(config());
    life.act(Op::Assert, 1, 10, "invite");
    life.hand(1, None);
    life.act(Op::Retract, 1, 10, "invite");
    life.settle();
    let cursor = life.cursor;
    life.cursor = Position::default();
    life.restart();
    assert_eq!(life.peek(1, None), [(10, true)]);
    assert!(cursor.epoch < Epoch(1), "the cursor stays behind what is held");
}

/// It was pushed out by later ones; a page has it all the same.
#[test]
fn a_page_that_has_what_was_pushed_out_is_told_too() {
    let mut life = Life::new(HubConfig { visit_messages_max: 1, ..config() });
    life.act(Op::Assert, 1, 10, "content");
    life.hand(1, None);
    life.act(Op::Assert, 1, 11, "content");
    life.settle();
    life.act(Op::Retract, 1, 10, "content");
    assert_eq!(life.hand(1, None), [(11, false), (10, true)]);
    life.settle();
    assert_eq!(
        life.outcomes(10),
        [
            ("delivered", None),
            ("failed", Some("too_many".to_owned())),
            ("withdrawn", Some("retracted".to_owned())),
        ]
    );
}

/// Killed between giving it and recording that: the next process cannot know, and says it.
#[test]
fn a_page_that_may_have_it_from_the_process_before_is_told_too() {
    let mut life = Life::new(config());
    life.act(Op::Assert, 1, 10, "invite");
    life.hand(1, None);
    // No record of it: the process ends here.
    let written = life.outbox.last().expect("an epoch").mark.epoch;
    let mut next = Hub::new(config());
    next.begin(Position::default(), written);
    life.outbox.iter().for_each(|output| drop(next.fold(output)));
    life.hub = next;
    life.act(Op::Assert, 1, 11, "invite");
    life.act(Op::Retract, 1, 10, "invite");
    life.act(Op::Retract, 1, 11, "invite");
    assert_eq!(life.hand(1, None), [(10, true)], "nobody was given the other");
}

#[test]
fn what_a_match_is_replaced_by_and_what_is_suppressed_is_said_to_nobody() {
    let mut life = Life::new(config());
    life.act(Op::Suppress, 1, 10, "invite");
    life.act(Op::Assert, 1, 11, "invite");
    life.hand(1, None);
    life.act(Op::Correct, 1, 11, "invite");
    assert_eq!(life.peek(1, None), [(11, false)]);
    assert_eq!(life.hub.stats().messages, 1);
}

#[test]
fn the_cursor_stays_behind_the_oldest_message_and_moves_on() {
    let mut life = Life::new(config());
    life.epoch(Vec::new(), Vec::new());
    assert_eq!(life.hub.durable().epoch, Epoch(1));
    life.logged.push(message(1, 10, None));
    life.epoch(Vec::new(), Vec::new());
    life.pass(10_000);
    life.act(Op::Assert, 1, 11, "invite");
    assert_eq!(life.hub.durable(), Position { epoch: Epoch(1), seq: LogSeq(0) });
    life.pass(290_000);
    life.settle();
    assert_eq!(life.hub.durable(), Position { epoch: Epoch(2), seq: LogSeq(1) });
    life.pass(10_000);
    life.settle();
    let last = life.outbox.last().expect("epochs").mark;
    assert_eq!(life.hub.durable(), Position { epoch: last.epoch, seq: last.last_seq });
    assert_eq!(life.hub.stats().held, 0);
}

#[test]
fn who_speaks_of_what_never_was_is_told_so() {
    let mut life = Life::new(config());
    life.act(Op::Assert, 1, 10, "invite");
    let word = Word { outcome: Outcome::Acknowledged, page: None, reason: None };
    assert_eq!(life.hub.word(&key(1), MessageId(11), &word), Answer::Unknown);
    assert_eq!(life.hub.word(&key(2), MessageId(10), &word), Answer::Unknown);
    life.pass(30_000);
    life.settle();
    assert!(life.say(1, 10, Outcome::Acknowledged), "it had come, and the word came late");
    life.settle();
    assert_eq!(life.said_of(10), ["expired", "acknowledged"]);
}
