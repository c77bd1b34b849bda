//! What stands in the columns, and where the files lie.

use super::read::{Row, boolean, long, rows, text, texts, time_ms};
use super::{DAY_MS, NOON, epoch, epoch_of, event, files, open, row, write_all};
use crate::parquet::ParquetConfig;
use beckon_engine::model::{
    ActionFact, ActionId, ActionRow, CloseReason, Delivery, EpochOutput, EventId, EventTimeMs,
    Fate, Id, Identity, Instance, LogSeq, MatchId, Message, MessageId, Notice, NoticeRow, Op,
    Outcome, PackedEvent, PageId, SinkName, SuppressReason, VisitChange, VisitId, VisitRow,
    VisitScope, VisitorId, WindowKey,
};

#[test]
fn files_lie_by_table_load_date_and_event() {
    let folder = tempfile::tempdir().expect("a folder");
    let epochs = [
        epoch(1, NOON, &["PageEntered", "a b"]),
        epoch(3, NOON + 1000, &["PageEntered"]),
        epoch(4, NOON + DAY_MS, &["PageEntered"]),
    ];
    write_all(folder.path(), ParquetConfig::default(), &epochs);
    let expected = [
        "actions/date=2026-11-25/r0000000001-0003.parquet",
        "deliveries/date=2026-11-25/r0000000001-0005.parquet",
        "epochs/date=2026-11-25/r0000000001-0004.parquet",
        "epochs/date=2026-11-26/r0000000002-0001.parquet",
        "events/date=2026-11-25/event=PageEntered/r0000000001-0000.parquet",
        "events/date=2026-11-25/event=a%20b/r0000000001-0001.parquet",
        "events/date=2026-11-26/event=PageEntered/r0000000002-0000.parquet",
        "visits/date=2026-11-25/r0000000001-0002.parquet",
    ];
    assert_eq!(files(folder.path()), expected);
    let path = folder.path().join("actions/date=2026-11-25/r0000000001-0003.parquet");
    let file = std::fs::File::open(path).expect("a file");
    let reader = parquet::file::reader::SerializedFileReader::new(file).expect("Parquet");
    let metadata = parquet::file::reader::FileReader::metadata(&reader).file_metadata().clone();
    assert_eq!(metadata.num_rows(), 0, "new tables have a file each, for their columns");
    assert!(metadata.schema_descr().num_columns() > 20);
}

#[test]
fn nothing_unfinished_lies_in_a_table_or_ends_in_parquet() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut tables =
        open(folder.path(), ParquetConfig { open_bytes_max: 0, ..ParquetConfig::default() });
    tables.write(&epoch(1, NOON, &["a", "b"])).expect("written");
    let unfinished = files(folder.path());
    assert_eq!(unfinished.len(), 3, "with no memory allowed each is on its way: {unfinished:?}");
    for file in unfinished {
        assert!(file.starts_with("_tmp/") && file.ends_with(".part"), "{file}");
    }
}

#[test]
fn no_column_is_named_like_a_folder() {
    for table in [
        crate::parquet::events::EVENT_COLUMNS,
        crate::parquet::facts::VISIT_COLUMNS,
        crate::parquet::facts::ACTION_COLUMNS,
        crate::parquet::facts::EPOCH_COLUMNS,
        crate::parquet::facts::DELIVERY_COLUMNS,
    ] {
        assert!(table.iter().all(|(name, _)| *name != "date" && *name != "event"));
    }
}

#[test]
fn event_rows_say_what_became_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let late = beckon_engine::model::EventRow {
        fate: Fate::PutInPlace,
        instance: None,
        identity: Identity {
            scope: VisitScope::Authenticated,
            user: Some("ada".into()),
            verified: true,
        },
        ..row(8, &event("a", 8))
    };
    let broken = beckon_engine::model::EventRow {
        event: PackedEvent::from_bytes(&[9, 9]),
        fate: Fate::Unreadable,
        ..row(9, &event("a", 9))
    };
    write_all(folder.path(), ParquetConfig::default(), &[epoch_of(1, NOON, vec![late, broken])]);
    let found = rows(folder.path(), "events");
    let [late, broken] = found.as_slice() else { panic!("two rows: {found:?}") };
    assert_eq!(text(late, "fate").as_deref(), Some("put_in_place"));
    assert_eq!(boolean(late, "is_late"), Some(true));
    assert_eq!(long(late, "visit_instance"), None);
    assert_eq!(text(late, "user_id").as_deref(), Some("ada"));
    assert_eq!(text(late, "visit_scope").as_deref(), Some("Authenticated"));
    assert_eq!(text(late, "event_type").as_deref(), Some("BUSINESS"));
    assert_eq!(long(late, "epoch"), Some(1));
    assert_eq!(text(broken, "fate").as_deref(), Some("unreadable"));
    assert_eq!(text(broken, "event_name"), None);
    assert!(matches!(&broken["unreadable"], parquet::record::Field::Bytes(bytes)
        if bytes.data() == [9, 9]));
    let folders = files(folder.path());
    assert!(folders.iter().any(|file| file.contains("event=__other/")), "{folders:?}");
}

fn fact(suppressed: Option<SuppressReason>) -> ActionFact {
    ActionFact {
        window: WindowKey::Visit,
        site: "shop".into(),
        visit: VisitId(Id::Text("v-1".into())),
        instance: Instance(LogSeq(3)),
        package: "leads".into(),
        rule: "hot_lead".into(),
        action: ActionId(1),
        matched: MatchId(2),
        version: 0xAB,
        suppressed,
        visitor: Some(VisitorId(Id::Bits(5))),
        timestamp: EventTimeMs(NOON),
        seq: LogSeq(9),
        events: vec![EventId(Id::Bits(6)), EventId(Id::Text("e-2".into()))],
        kind: "invite".into(),
        channel: Some("chat".into()),
        expires_ms: None,
        endpoint: None,
        data: Some("{\"a\":1}".into()),
        has_null_placeholder: false,
        priority: -2,
        decided: EventTimeMs(NOON + 7),
        is_visit_open: true,
        is_backfilled: false,
    }
}

/// A server's message, and what became of it and of an action at a webhook.
fn notices() -> Vec<NoticeRow> {
    let visit = VisitId(Id::Text("v-1".into()));
    let message = Message {
        site: "shop".into(),
        visit: visit.clone(),
        id: MessageId(0xAB),
        page: None,
        channel: "chat".into(),
        data: "{}".into(),
        expires_ms: 60_000,
    };
    let shown = Delivery {
        site: "shop".into(),
        visit,
        message: message.id,
        sink: SinkName::Notification,
        outcome: Outcome::Delivered,
        page: Some(PageId(Id::Bits(5))),
        reason: None,
        attempt: None,
    };
    let failed = Delivery {
        message: ActionId(1).into(),
        sink: SinkName::Webhook("crm".into()),
        outcome: Outcome::Failed,
        page: None,
        reason: Some("status_500".into()),
        attempt: Some(2),
        ..shown.clone()
    };
    let rows = [Notice::Message(message), Notice::Delivery(shown), Notice::Delivery(failed)];
    let row = |(seq, notice): (u64, Notice)| NoticeRow { seq: LogSeq(seq), notice: notice.into() };
    (20..).zip(rows).map(row).collect()
}

pub(super) fn with_facts() -> EpochOutput {
    let visit = |change, events| VisitRow {
        instance: Instance(LogSeq(3)),
        change,
        site: "shop".into(),
        visit: VisitId(Id::Text("v-1".into())),
        visitor: None,
        started: EventTimeMs(NOON),
        last_event: EventTimeMs(NOON + 5),
        events,
        identity: Identity::default(),
    };
    EpochOutput {
        visits: vec![
            visit(VisitChange::Opened { resumed: true }, 1),
            visit(VisitChange::Closed(CloseReason::Evicted), 4),
        ],
        actions: vec![
            ActionRow { fact: fact(None), op: Op::Assert, replaced: None },
            ActionRow {
                fact: fact(Some(SuppressReason::Holdout)),
                op: Op::Suppress,
                replaced: None,
            },
            ActionRow { fact: fact(None), op: Op::Retract, replaced: None },
            ActionRow { fact: fact(None), op: Op::Correct, replaced: Some(MatchId(7)) },
        ],
        notices: notices(),
        ..epoch(9, NOON, &["a"])
    }
}

#[test]
fn action_rows_are_complete() {
    let folder = tempfile::tempdir().expect("a folder");
    write_all(folder.path(), ParquetConfig::default(), &[with_facts()]);
    let found = rows(folder.path(), "actions");
    let said = found.iter().map(|row| (text(row, "op"), text(row, "suppress_reason")));
    let said = said.collect::<Vec<_>>();
    let expected =
        [("assert", None), ("suppress", Some("holdout")), ("retract", None), ("correct", None)];
    let expected = expected.map(|(op, why)| (Some(op.to_owned()), why.map(str::to_owned)));
    assert_eq!(said, expected);
    let replaced = found.iter().map(|row| text(row, "replaced_match_id")).collect::<Vec<_>>();
    assert_eq!(replaced, [None, None, None, Some("00000000000000000000000000000007".to_owned())]);
    let row: &Row = &found[0];
    let check = |column: &str, expected: &str| {
        assert_eq!(text(row, column).as_deref(), Some(expected), "{column}");
    };
    check("package", "leads");
    check("rule", "hot_lead");
    check("rule_version", "000000000000000000000000000000AB");
    check("window_kind", "visit");
    check("window_key", "v-1");
    check("visit_id", "v-1");
    check("global_visit_id", "00000000000000000000000000000005");
    check("action_id", "00000000000000000000000000000001");
    check("match_id", "00000000000000000000000000000002");
    check("kind", "invite");
    check("channel", "chat");
    check("data", "{\"a\":1}");
    let events = ["00000000000000000000000000000006".to_owned(), "e-2".to_owned()];
    assert_eq!(texts(row, "event_ids"), Some(events.to_vec()));
    assert_eq!(long(row, "priority"), Some(-2));
    assert_eq!(long(row, "log_sequence"), Some(9));
    assert_eq!(long(row, "visit_instance"), Some(3));
    assert_eq!(time_ms(row, "timestamp"), Some(NOON));
    assert_eq!(time_ms(row, "decided"), Some(NOON + 7));
    assert_eq!(boolean(row, "visit_open"), Some(true));
    assert_eq!(boolean(row, "backfilled"), Some(false));
}

#[test]
fn a_window_has_a_kind_and_a_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let windows = [
        (WindowKey::Visit, "visit", Some("v-1")),
        (WindowKey::Visitor(VisitorId(Id::Text("v-2".into()))), "visitor", Some("v-2")),
        (WindowKey::User("ada".into()), "user", Some("ada")),
        (WindowKey::Site, "site", Some("shop")),
        (WindowKey::Global, "global", None),
    ];
    let action = |(window, _, _): &(WindowKey, _, _)| ActionRow {
        fact: ActionFact { window: window.clone(), ..fact(None) },
        op: Op::Assert,
        replaced: None,
    };
    let actions = windows.iter().map(action).collect();
    write_all(
        folder.path(),
        ParquetConfig::default(),
        &[EpochOutput { actions, ..epoch(9, NOON, &["a"]) }],
    );
    let found = rows(folder.path(), "actions");
    assert_eq!(found.len(), windows.len());
    for (row, (_, kind, key)) in found.iter().zip(windows) {
        assert_eq!(text(row, "window_kind").as_deref(), Some(kind));
        assert_eq!(text(row, "window_key").as_deref(), key, "{kind}");
    }
}

#[test]
fn what_became_of_messages_is_said_line_by_line() {
    let folder = tempfile::tempdir().expect("a folder");
    write_all(folder.path(), ParquetConfig::default(), &[with_facts()]);
    let found = rows(folder.path(), "deliveries");
    let [shown, failed] = found.as_slice() else { panic!("two rows: {found:?}") };
    let texts_of = |row: &Row| {
        ["site", "visit_id", "message_id", "sink", "endpoint", "outcome", "page_id", "reason"]
            .map(|column| text(row, column).unwrap_or_default())
    };
    let (message, page) = (format!("{:032X}", 0xAB), format!("{:032X}", 5));
    let expected = ["shop", "v-1", &message, "notification", "", "delivered", &page, ""];
    assert_eq!(texts_of(shown), expected);
    let actions = rows(folder.path(), "actions");
    let action = text(&actions[0], "action_id").expect("an id");
    let expected = ["shop", "v-1", &action, "webhook", "crm", "failed", "", "status_500"];
    assert_eq!(texts_of(failed), expected);
    let numbers = |row: &Row| ["log_sequence", "epoch", "attempt"].map(|column| long(row, column));
    assert_eq!(numbers(shown), [Some(21), Some(9), None]);
    assert_eq!(numbers(failed), [Some(22), Some(9), Some(2)]);
    assert_eq!(time_ms(shown, "time"), Some(NOON));
}

#[test]
fn visits_and_epochs_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let timer = EpochOutput {
        mark: beckon_engine::model::EpochMark {
            watermark: EventTimeMs::MAX,
            ..epoch(10, NOON, &[]).mark
        },
        ..epoch(10, NOON, &[])
    };
    write_all(folder.path(), ParquetConfig::default(), &[with_facts(), timer]);
    let visits = rows(folder.path(), "visits");
    assert_eq!(text(&visits[0], "change").as_deref(), Some("opened"));
    assert_eq!(boolean(&visits[0], "resumed"), Some(true));
    assert_eq!(text(&visits[1], "close_reason").as_deref(), Some("evicted"));
    assert_eq!(long(&visits[1], "events"), Some(4));
    let epochs = rows(folder.path(), "epochs");
    assert_eq!(epochs.len(), 2, "an epoch without records is said too");
    let counts = |row: &Row| {
        [
            "events",
            "late_events",
            "visits_opened",
            "visits_closed",
            "actions_asserted",
            "actions_retracted",
            "actions_suppressed",
            "actions_corrected",
            "deliveries",
        ]
        .map(|column| long(row, column).expect("a count"))
    };
    assert_eq!(counts(&epochs[0]), [1, 0, 1, 1, 1, 1, 1, 1, 2]);
    assert_eq!(time_ms(&epochs[0], "watermark"), Some(NOON - 2000));
    assert_eq!(time_ms(&epochs[1], "watermark"), None, "the end of input is no time");
    assert_eq!(long(&epochs[1], "log_sequence_first"), Some(11));
    assert_eq!(long(&epochs[1], "log_sequence_last"), Some(10));
}
