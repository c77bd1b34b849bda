//! Rows -> Parquet -> event: nothing of an event is lost, whatever stands in it.

use super::read::{rows, to_event};
use super::{NOON, epoch_of, row, write_all};
use crate::parquet::{ColumnType, ParquetConfig, TypedColumn};
use beckon_engine::model::{
    Event, EventId, EventTimeMs, Flags, Id, PageId, ServerTimeMs, Value, VisitId, VisitorId,
    WELL_KNOWN_FIELDS,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

fn id() -> impl Strategy<Value = Id> {
    prop_oneof![
        any::<u128>().prop_map(Id::Bits),
        "[a-z0-9-]{1,20}".prop_map(|text| Id::Text(text.into())),
        any::<u128>().prop_map(|bits| Id::Text(format!("{bits:032X}").into())),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let finite = any::<f64>().prop_filter("JSON has no others", |float| float.is_finite());
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        finite.prop_map(Value::Float),
        any::<String>().prop_map(|text| Value::Str(text.into())),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::List),
            vec(("[a-c\"\\\\\u{e9}]{0,3}", inner), 0..4).prop_map(|entries| {
                Value::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
            }),
        ]
    })
}

fn texts() -> impl Strategy<Value = Value> {
    vec("[a-z]{0,5}", 0..3)
        .prop_map(|texts| Value::List(texts.into_iter().map(|t| Value::Str(t.into())).collect()))
}

/// Known names with values of any type, the right one among them, and unknown names.
fn fields() -> impl Strategy<Value = Vec<(Box<str>, Value)>> {
    let known = (0..WELL_KNOWN_FIELDS.len()).prop_map(|index| WELL_KNOWN_FIELDS[index].to_owned());
    let name = prop_oneof![4 => known, 1 => "url\\.query\\.[a-z]{1,3}", 1 => "[a-z.\"]{1,6}"];
    let value = prop_oneof![
        2 => any::<String>().prop_map(|text| Value::Str(text.into())),
        1 => texts(),
        2 => value(),
    ];
    btree_map(name, value, 0..12)
        .prop_map(|fields| fields.into_iter().map(|(name, v)| (name.into(), v)).collect())
}

fn event() -> impl Strategy<Value = Event> {
    let time = -1_000_000_000_000_i64..i64::MAX / 1000;
    let header = (0_u16..64, "[a-z]{1,8}", "[A-Za-z _/\u{fc}]{1,20}");
    let ids = (id(), id(), option::of(id()), option::of(id()));
    let times = (time.clone(), time.clone(), option::of(time), option::of(any::<i64>()));
    (header, ids, times, fields()).prop_map(|(header, ids, times, fields)| Event {
        flags: Flags(header.0),
        site: header.1.into(),
        name: header.2.into(),
        id: EventId(ids.0),
        visit: VisitId(ids.1),
        visitor: ids.2.map(VisitorId),
        page: ids.3.map(PageId),
        timestamp: EventTimeMs(times.0),
        server_timestamp: ServerTimeMs(times.1),
        client_timestamp: times.2.map(EventTimeMs),
        tie: times.3,
        fields,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn an_event_can_be_built_again_from_its_row(events in vec(event(), 1..8)) {
        let folder = tempfile::tempdir().expect("a folder");
        let rows_in = events.iter().zip(1..).map(|(event, seq)| row(seq, event)).collect();
        let typed = TypedColumn { path: "data.a".into(), kind: ColumnType::Number };
        let config = ParquetConfig { typed_columns: vec![typed], ..ParquetConfig::default() };
        write_all(folder.path(), config, &[epoch_of(1, NOON, rows_in)]);
        let mut found = rows(folder.path(), "events");
        found.sort_by_key(|row| super::read::long(row, "log_sequence"));
        prop_assert_eq!(found.len(), events.len());
        for (row, event) in found.iter().zip(events) {
            let mut expected = event;
            expected.fields.sort_by(|one, other| one.0.cmp(&other.0));
            prop_assert_eq!(to_event(row), expected);
        }
    }
}
