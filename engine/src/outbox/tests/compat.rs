//! Outbox files and cursors of every version that was released are read; others are not taken for
//! something else.

use super::*;
use crate::model::{
    ActionFact, ActionId, ActionRow, CloseReason, EventId, Id, Instance, MatchId, NoticeRow, Op,
    SuppressReason, VisitChange, VisitId, VisitRow, VisitScope, VisitorId, WindowKey,
};
use crate::testing::{bytes_of, disk_with, fixture, set_version};

const FATES: [Fate; 8] = [
    Fate::Matched,
    Fate::NotCorrectable,
    Fate::BeforeHorizon,
    Fate::OverVisitLimit,
    Fate::Unproven,
    Fate::Superseded,
    Fate::Unreadable,
    Fate::PutInPlace,
];
const CHANGES: [VisitChange; 6] = [
    VisitChange::Opened { resumed: false },
    VisitChange::Opened { resumed: true },
    VisitChange::Closed(CloseReason::Inactive),
    VisitChange::Closed(CloseReason::Ended),
    VisitChange::Closed(CloseReason::Evicted),
    VisitChange::Closed(CloseReason::EndOfInput),
];
const SAID: [(Op, Option<SuppressReason>); 12] = [
    (Op::Assert, None),
    (Op::Retract, None),
    (Op::Suppress, Some(SuppressReason::Disabled)),
    (Op::Suppress, Some(SuppressReason::Holdout)),
    (Op::Suppress, Some(SuppressReason::Once)),
    (Op::Suppress, Some(SuppressReason::Paused)),
    (Op::Suppress, Some(SuppressReason::Schedule)),
    (Op::Suppress, Some(SuppressReason::Cooldown)),
    (Op::Suppress, Some(SuppressReason::Priority)),
    (Op::Suppress, Some(SuppressReason::Limit)),
    (Op::Suppress, Some(SuppressReason::VisitEnded)),
    (Op::Correct, None),
];

/// Every kind of row, every variant, options with and without a value.
fn everything(epoch: u64) -> EpochOutput {
    let EpochOutput { mark, .. } = output(epoch);
    let events = FATES.iter().zip(1_u64..).map(|(fate, seq)| EventRow {
        seq: LogSeq(seq),
        event: packed(seq, 10),
        instance: seq.is_multiple_of(2).then_some(Instance(LogSeq(seq))),
        fate: *fate,
        identity: identity(seq),
    });
    let visits = CHANGES.iter().zip(1_u64..).map(|(change, seq)| VisitRow {
        instance: Instance(LogSeq(seq)),
        change: *change,
        site: "shop".into(),
        visit: VisitId(Id::Text("session-9".into())),
        visitor: seq.is_multiple_of(2).then_some(VisitorId(Id::Bits(u128::MAX))),
        started: EventTimeMs(-1),
        last_event: EventTimeMs(1_700_000_000_000),
        events: seq * 300,
        identity: identity(seq),
    });
    let actions = SAID.iter().zip(1..).map(|((op, suppressed), seq)| {
        let replaced = (*op == Op::Correct).then_some(MatchId(u128::from(seq)));
        ActionRow { fact: fact(seq, *suppressed), op: *op, replaced }
    });
    let notices = crate::log::notice::tests::everything().into_iter().zip(1_u64..);
    let notices =
        notices.map(|(notice, seq)| NoticeRow { seq: LogSeq(seq), notice: notice.into() });
    EpochOutput {
        mark,
        events: events.collect(),
        visits: visits.collect(),
        actions: actions.collect(),
        notices: notices.collect(),
    }
}

fn identity(number: u64) -> Identity {
    match number % 3 {
        0 => Identity::default(),
        1 => Identity { scope: VisitScope::Recognized, user: Some("ada".into()), verified: false },
        _ => {
            Identity { scope: VisitScope::Authenticated, user: Some("eve".into()), verified: true }
        }
    }
}

fn fact(number: u64, suppressed: Option<SuppressReason>) -> ActionFact {
    let text = |text: &str| number.is_multiple_of(2).then(|| text.into());
    ActionFact {
        window: window(number),
        site: "shop".into(),
        visit: VisitId(Id::Bits(7)),
        instance: Instance(LogSeq(number)),
        package: "com.example".into(),
        rule: "big-cart".into(),
        action: ActionId(u128::from(number)),
        matched: MatchId(u128::MAX - u128::from(number)),
        version: 1 << 100,
        suppressed,
        visitor: number.is_multiple_of(2).then_some(VisitorId(Id::Bits(77))),
        timestamp: EventTimeMs(1_700_000_000_123),
        seq: LogSeq(number),
        events: vec![EventId(Id::Bits(3)), EventId(Id::Text("e-4".into()))],
        kind: "invite".into(),
        channel: text("chat"),
        expires_ms: number.is_multiple_of(2).then_some(90_000),
        endpoint: text("crm"),
        data: text("{\"k\":1}"),
        has_null_placeholder: !number.is_multiple_of(2),
        priority: -5,
        decided: EventTimeMs(1_700_000_000_456),
        is_visit_open: number.is_multiple_of(3),
        is_backfilled: number.is_multiple_of(4),
    }
}

fn window(number: u64) -> WindowKey {
    match number % 5 {
        0 => WindowKey::Global,
        1 => WindowKey::Visit,
        2 => WindowKey::Visitor(VisitorId(Id::Bits(77))),
        3 => WindowKey::User("ada".into()),
        _ => WindowKey::Site,
    }
}

fn outbox_path() -> std::path::PathBuf {
    super::super::frame::file_path(Path::new(DIR), Epoch(1))
}

fn outbox_fixture() -> Vec<u8> {
    let disk = SimDisk::default();
    let open = OpenOutbox { config: OutboxConfig::default(), ..setup(&disk) };
    let (mut writer, _) = OutboxWriter::open(open).expect("opened");
    writer.append(&everything(1)).expect("appended");
    writer.append(&EpochOutput { events: Vec::new(), ..output(2) }).expect("appended");
    fixture("outbox-v5.obx", &bytes_of(&disk, &outbox_path()))
}

fn cursor_fixture() -> Vec<u8> {
    let disk = SimDisk::default();
    let mut cursor = cursors(&disk).cursor("sink").expect("read");
    let position = Position { epoch: Epoch(0x0102_0304_0506), seq: LogSeq(u64::MAX - 1) };
    cursor.advance(position).expect("written");
    fixture("cursor-v1.cur", &bytes_of(&disk, Path::new("cursors/sink")))
}

#[test]
fn version_5_of_the_outbox_is_written_and_read() {
    let disk = disk_with(&outbox_path(), &outbox_fixture());
    let (writer, last) = OutboxWriter::open(setup(&disk)).expect("opened");
    assert_eq!(last, Epoch(2));
    let mut reader = writer.outbox().reader(Epoch(0)).expect("held");
    let read = [1, 2].map(|_| reader.next(LONG).expect("readable").expect("written"));
    assert_eq!(read, [everything(1), EpochOutput { events: Vec::new(), ..output(2) }]);
}

/// The log refuses what a newer beckon wrote; the outbox is derived from it.
#[test]
fn an_outbox_of_another_version_is_derived_again() {
    for version in [4, 6] {
        let mut bytes = outbox_fixture();
        set_version(&mut bytes[..24], version);
        let disk = disk_with(&outbox_path(), &bytes);
        let (writer, last) = OutboxWriter::open(setup(&disk)).expect("opened");
        assert_eq!((last, writer.outbox().stats().files), (Epoch(0), 0));
        assert_eq!(disk.list(Path::new(DIR)).expect("listed"), Vec::<String>::new());
        check_read(&written(&disk, 3).outbox(), 0, 3);
    }
}

#[test]
fn version_1_of_a_cursor_is_written_and_read() {
    let disk = disk_with(Path::new("cursors/sink"), &cursor_fixture());
    let position = cursors(&disk).cursor("sink").expect("read").position();
    let seq = LogSeq(u64::MAX - 1);
    assert_eq!(position, Some(Position { epoch: Epoch(0x0102_0304_0506), seq }));
}

#[test]
fn a_cursor_of_another_version_is_refused_and_stays() {
    let mut bytes = cursor_fixture();
    set_version(&mut bytes, 2);
    let disk = disk_with(Path::new("cursors/sink"), &bytes);
    let error = cursors(&disk).cursor("sink").expect_err("refused");
    assert_eq!(error.to_string(), "cursor cursors/sink has version 2, this beckon reads version 1");
    assert_eq!(bytes_of(&disk, Path::new("cursors/sink")), bytes);
}
