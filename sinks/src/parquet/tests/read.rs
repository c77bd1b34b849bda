//! Reads tables back: rows by the row reader, and events from their rows.

use crate::parquet::events::{FLAG_COLUMNS, TEXT_FIELDS};
use beckon_engine::model::{
    Event, EventId, EventTimeMs, Flags, Id, PageId, ServerTimeMs, Value, VisitId, VisitorId,
};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

/// A row by column names.
pub(super) type Row = BTreeMap<String, Field>;

/// All rows of a table, files in the order of their names.
pub(super) fn rows(directory: &Path, table: &str) -> Vec<Row> {
    let mut files = Vec::new();
    let folder = directory.join(table);
    if folder.is_dir() {
        super::collect(&folder, &mut files);
    }
    files.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
    files.iter().flat_map(|path| file_rows(path)).collect()
}

/// The rows of a file.
pub(super) fn file_rows(path: &Path) -> Vec<Row> {
    let reader = SerializedFileReader::new(File::open(path).expect("a file")).expect("Parquet");
    let to_row = |row: parquet::record::Row| -> Row {
        row.get_column_iter().map(|(name, field)| (name.clone(), field.clone())).collect()
    };
    reader.get_row_iter(None).expect("rows").map(|row| to_row(row.expect("a row"))).collect()
}

pub(super) fn text(row: &Row, column: &str) -> Option<String> {
    match &row[column] {
        Field::Str(text) => Some(text.clone()),
        Field::Null => None,
        other => panic!("{column} is no text: {other:?}"),
    }
}

pub(super) fn long(row: &Row, column: &str) -> Option<i64> {
    match &row[column] {
        Field::Long(long) => Some(*long),
        Field::Int(int) => Some(i64::from(*int)),
        Field::Null => None,
        other => panic!("{column} is no integer: {other:?}"),
    }
}

pub(super) fn boolean(row: &Row, column: &str) -> Option<bool> {
    match &row[column] {
        Field::Bool(boolean) => Some(*boolean),
        Field::Null => None,
        other => panic!("{column} is no boolean: {other:?}"),
    }
}

pub(super) fn time_ms(row: &Row, column: &str) -> Option<i64> {
    match &row[column] {
        Field::TimestampMicros(micros) => Some(micros / 1000),
        Field::Null => None,
        other => panic!("{column} is no time: {other:?}"),
    }
}

pub(super) fn texts(row: &Row, column: &str) -> Option<Vec<String>> {
    match &row[column] {
        Field::ListInternal(list) => Some(
            list.elements()
                .iter()
                .map(|element| match element {
                    Field::Str(text) => text.clone(),
                    other => panic!("{column} holds {other:?}"),
                })
                .collect(),
        ),
        Field::Null => None,
        other => panic!("{column} is no list: {other:?}"),
    }
}

/// The sequence numbers of a table's rows, sorted.
pub(super) fn sequences(directory: &Path, table: &str) -> Vec<i64> {
    let rows = rows(directory, table);
    let mut found: Vec<i64> = rows.iter().filter_map(|row| long(row, "log_sequence")).collect();
    found.sort_unstable();
    found
}

/// The event that a row of the events table was made from; top-level fields sorted by name.
pub(super) fn to_event(row: &Row) -> Event {
    let kinds = long(row, "text_ids").unwrap_or(0);
    let id = |column: &str, bit: u32| {
        let text = text(row, column)?;
        let is_text = kinds >> bit & 1 == 1;
        Some(if is_text { Id::Text(text.into()) } else { Id::from_hex(&text).expect("hex") })
    };
    let mut event = Event {
        flags: flags(row),
        site: text(row, "site").expect("a site").into(),
        name: text(row, "event_name").expect("a name").into(),
        id: EventId(id("event_id", 0).expect("an id")),
        visit: VisitId(id("visit_id", 1).expect("a visit")),
        visitor: id("global_visit_id", 2).map(VisitorId),
        page: id("page_id", 3).map(PageId),
        timestamp: EventTimeMs(time_ms(row, "timestamp").expect("a time")),
        server_timestamp: ServerTimeMs(time_ms(row, "server_timestamp").expect("a time")),
        client_timestamp: time_ms(row, "client_timestamp").map(EventTimeMs),
        tie: long(row, "seq"),
        fields: fields(row),
    };
    event.fields.sort_by(|one, other| one.0.cmp(&other.0));
    event
}

fn flags(row: &Row) -> Flags {
    let names = ["unproven", "record_only", "user_proven", "clamped", "skew_corrected", "made_up"];
    names.iter().zip(FLAG_COLUMNS).fold(Flags::default(), |flags, (name, flag)| {
        if boolean(row, name) == Some(true) { flags.with(flag) } else { flags }
    })
}

fn fields(row: &Row) -> Vec<(Box<str>, Value)> {
    let mut fields: Vec<(Box<str>, Value)> = Vec::new();
    for name in TEXT_FIELDS {
        let mut column = name.replace('.', "_");
        if let Some(position) = column.find(char::is_uppercase) {
            column = column.to_lowercase();
            column.insert(position, '_');
        }
        if let Some(text) = text(row, &column) {
            fields.push((name.into(), Value::Str(text.into())));
        }
    }
    if let Some(list) = texts(row, "category") {
        let list = list.into_iter().map(|text| Value::Str(text.into())).collect();
        fields.push(("category".into(), Value::List(list)));
    }
    if let Some(is_bot) = boolean(row, "is_bot") {
        fields.push(("isBot".into(), Value::Bool(is_bot)));
    }
    if let Some(data) = text(row, "data") {
        fields.push(("data".into(), parse(&data)));
    }
    if let Some(others) = text(row, "fields") {
        let Value::Map(entries) = parse(&others) else { panic!("`fields` is an object") };
        fields.extend(entries);
    }
    fields
}

fn parse(text: &str) -> Value {
    serde_json::from_str::<Json>(text).expect("JSON").0
}

/// JSON as a value that keeps integers, order and repeated keys.
struct Json(Value);

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor).map(Self)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, bool: bool) -> Result<Value, E> {
        Ok(Value::Bool(bool))
    }

    fn visit_i64<E>(self, int: i64) -> Result<Value, E> {
        Ok(Value::Int(int))
    }

    fn visit_u64<E>(self, int: u64) -> Result<Value, E> {
        Ok(Value::Int(i64::try_from(int).expect("an i64 was written")))
    }

    fn visit_f64<E>(self, float: f64) -> Result<Value, E> {
        Ok(Value::Float(float))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Str(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Json(value)) = access.next_element()? {
            list.push(value);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, Json(value))) = access.next_entry::<String, Json>()? {
            entries.push((key.into(), value));
        }
        Ok(Value::Map(entries))
    }
}
