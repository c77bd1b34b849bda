//! Turns a record of a mapped source into an event.

use super::{MappedField, Mapping, Origin};
use crate::normalise::{EVENT_NAME_CHARACTERS_MAX, is_event_name};
use crate::source::json::{TooDeep, value_of};
use crate::source::record::{Cell, Header, Locator, MissingColumn, Record};
use beckon_engine::model::{
    Event, EventId, EventTimeMs, Flags, Id, IdError, ServerTimeMs, Value, VisitId, VisitorId,
    system,
};
use beckon_rules::schema::FieldType;
use std::borrow::Cow;
use std::sync::Arc;

/// Why a record is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("`{0}` is missing")]
    Missing(Box<str>),
    #[error("`{column}` is \"{found}\", which is not a time of the mapping's format")]
    Time { column: Box<str>, found: String },
    #[error("`{column}`: {error}")]
    Id { column: Box<str>, error: IdError },
    #[error("`{0}` is not a whole number")]
    Tie(Box<str>),
    #[error(
        "an event's name has 1 to {EVENT_NAME_CHARACTERS_MAX} characters and no control characters"
    )]
    Name,
    #[error(transparent)]
    Depth(#[from] TooDeep),
}

/// A mapping with its fields looked up in one input's header.
pub(crate) struct Mapper {
    mapping: Arc<Mapping>,
    event_name: Source,
    window_key: Source,
    time: Named,
    id: Option<Named>,
    visitor: Option<Named>,
    tie: Option<Named>,
    user: Option<Named>,
    fields: Vec<Locator>,
    /// Values that were not of their declared type.
    pub(crate) mismatched_values: u64,
}

enum Source {
    Field(Named),
    Constant(Box<str>),
}

struct Named {
    name: Box<str>,
    locator: Locator,
}

impl Named {
    fn text<'r>(&self, record: &Record<'r>) -> Option<Cow<'r, str>> {
        record.cell(&self.locator).text()
    }

    fn id(&self, text: &str) -> Result<Id, RecordError> {
        Id::from_text(text).map_err(|error| RecordError::Id { column: self.name.clone(), error })
    }
}

impl Mapper {
    /// Looks the mapping's fields up in a CSV's header; JSON has none.
    pub(crate) fn new(
        mapping: &Arc<Mapping>,
        header: Option<&Header>,
    ) -> Result<Self, MissingColumn> {
        let locate = |name: &str| Locator::new(name, header);
        let named = |name: &str| Ok(Named { name: name.into(), locator: locate(name)? });
        let optional = |name: &Option<Box<str>>| name.as_deref().map(named).transpose();
        let source = |origin: &Origin| match origin {
            Origin::Field(name) => named(name).map(Source::Field),
            Origin::Constant { constant } => Ok(Source::Constant(constant.clone())),
        };
        let columns = &mapping.columns;
        Ok(Self {
            event_name: source(&columns.event_name)?,
            window_key: source(&columns.window_key)?,
            time: named(&columns.time)?,
            id: optional(&columns.id)?,
            visitor: optional(&columns.visitor)?,
            tie: optional(&columns.tie)?,
            user: optional(&columns.user)?,
            fields: mapping
                .fields
                .iter()
                .map(|field| locate(&field.from))
                .collect::<Result<_, _>>()?,
            mapping: Arc::clone(mapping),
            mismatched_values: 0,
        })
    }

    /// The event of a record; `derived_id` is taken where the source has no id.
    pub(crate) fn event(
        &mut self,
        record: &Record<'_>,
        derived_id: impl FnOnce() -> u128,
    ) -> Result<Event, RecordError> {
        let name = self.name(record)?;
        let timestamp = self.timestamp(record)?;
        let visit = match &self.window_key {
            Source::Constant(constant) => Id::Text(constant.clone()),
            Source::Field(key) => key.id(&required(key, record)?)?,
        };
        let id = match self.id.as_ref().and_then(|id| Some((id, id.text(record)?))) {
            Some((id, text)) => id.id(&text)?,
            None => Id::Bits(derived_id()),
        };
        let visitor = match self.visitor.as_ref().and_then(|id| Some((id, id.text(record)?))) {
            Some((visitor, text)) => Some(VisitorId(visitor.id(&text)?)),
            None => None,
        };
        let is_identity = matches!(&*name, system::SIGN_IN | system::USER_INFO);
        let proven = is_identity && self.mapping.verified;
        Ok(Event {
            flags: if proven { Flags::VERIFIED } else { Flags::default() },
            site: Arc::clone(&self.mapping.site),
            id: EventId(id),
            visit: VisitId(visit),
            visitor,
            page: None,
            timestamp: EventTimeMs(timestamp),
            server_timestamp: ServerTimeMs(timestamp),
            client_timestamp: None,
            tie: self.tie(record)?,
            fields: self.fields(record, is_identity)?,
            name,
        })
    }

    fn name(&self, record: &Record<'_>) -> Result<Box<str>, RecordError> {
        let name = match &self.event_name {
            Source::Constant(constant) => Cow::Borrowed(&**constant),
            Source::Field(field) => required(field, record)?,
        };
        let renamed = self.mapping.event_names.get(&*name).map_or(&*name, |ours| &**ours);
        if is_event_name(renamed) { Ok(renamed.into()) } else { Err(RecordError::Name) }
    }

    fn timestamp(&self, record: &Record<'_>) -> Result<i64, RecordError> {
        let column = &self.time;
        let cell = record.cell(&column.locator);
        let found = match cell {
            Cell::Text(text) => self.mapping.time.parse_text(text),
            Cell::Json(serde_json::Value::String(text)) => self.mapping.time.parse_text(text),
            Cell::Json(serde_json::Value::Number(number)) => self.mapping.time.parse_number(number),
            Cell::Absent => return Err(RecordError::Missing(column.name.clone())),
            Cell::Json(_) => None,
        };
        found.ok_or_else(|| RecordError::Time {
            column: column.name.clone(),
            found: cell.text().unwrap_or_default().chars().take(100).collect(),
        })
    }

    fn tie(&self, record: &Record<'_>) -> Result<Option<i64>, RecordError> {
        let Some(tie) = &self.tie else { return Ok(None) };
        let Some(text) = tie.text(record) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| RecordError::Tie(tie.name.clone()))
    }

    fn fields(
        &mut self,
        record: &Record<'_>,
        is_identity: bool,
    ) -> Result<Vec<(Box<str>, Value)>, RecordError> {
        let mut fields = Vec::with_capacity(self.fields.len());
        for (field, locator) in self.mapping.fields.iter().zip(&self.fields) {
            let cell = record.cell(locator);
            match value(field, cell)? {
                Some(value) => fields.push((field.name.clone(), value)),
                None if matches!(cell, Cell::Absent) => {}
                None => self.mismatched_values += 1,
            }
        }
        let user = self.user.as_ref().filter(|_| is_identity);
        if let Some(user) = user.and_then(|user| user.text(record)) {
            let data = Value::Map(vec![("userID".into(), Value::Str((&*user).into()))]);
            fields.push(("data".into(), data));
        }
        Ok(fields)
    }
}

fn required<'r>(field: &Named, record: &Record<'r>) -> Result<Cow<'r, str>, RecordError> {
    field.text(record).ok_or_else(|| RecordError::Missing(field.name.clone()))
}

/// The value of a declared type; `None` where it is absent or of another.
fn value(field: &MappedField, cell: Cell<'_>) -> Result<Option<Value>, RecordError> {
    let kind = field.spec.kind;
    match cell {
        Cell::Absent => Ok(None),
        Cell::Text(text) if field.spec.several => Ok(text_values(kind, text)),
        Cell::Text(text) => Ok(text_value(kind, text)),
        Cell::Json(json) if field.spec.several => json_values(kind, json),
        Cell::Json(json) => json_value(kind, json),
    }
}

fn text_values(kind: FieldType, text: &str) -> Option<Value> {
    let parts = text.split(';').filter(|part| !part.is_empty());
    let values: Vec<Value> = parts.filter_map(|part| text_value(kind, part)).collect();
    (!values.is_empty()).then_some(Value::List(values))
}

fn json_values(kind: FieldType, json: &serde_json::Value) -> Result<Option<Value>, RecordError> {
    match json {
        serde_json::Value::String(text) => Ok(text_values(kind, text)),
        serde_json::Value::Array(values) => {
            let values = values.iter().filter_map(|value| json_value(kind, value).transpose());
            Ok(Some(Value::List(values.collect::<Result<_, _>>()?)))
        }
        single => Ok(json_value(kind, single)?.map(|value| Value::List(vec![value]))),
    }
}

fn text_value(kind: FieldType, text: &str) -> Option<Value> {
    match kind {
        FieldType::Str | FieldType::Any | FieldType::Date => Some(Value::Str(text.into())),
        FieldType::Int => text.parse().ok().map(Value::Int),
        FieldType::Float => {
            text.parse().ok().filter(|float: &f64| float.is_finite()).map(Value::Float)
        }
        FieldType::Bool => match text {
            "true" | "True" | "TRUE" | "1" => Some(Value::Bool(true)),
            "false" | "False" | "FALSE" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
    }
}

fn json_value(kind: FieldType, json: &serde_json::Value) -> Result<Option<Value>, RecordError> {
    use serde_json::Value as Json;
    Ok(match (kind, json) {
        (FieldType::Any, json) => Some(value_of(json)?),
        (FieldType::Str | FieldType::Date, Json::String(text)) => {
            Some(Value::Str(text.as_str().into()))
        }
        (FieldType::Int | FieldType::Date, Json::Number(number)) => match number.as_i64() {
            Some(whole) => Some(Value::Int(whole)),
            None => number.as_f64().filter(|float| float.fract() == 0.0).map(Value::Float),
        },
        (FieldType::Float, Json::Number(number)) => number.as_f64().map(Value::Float),
        (FieldType::Bool, Json::Bool(bool)) => Some(Value::Bool(*bool)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPPING: &str = "
        event_name = 'kind'
        window_key = 'session'
        id = 'id'
        visitor = 'person'
        tie = 'n'
        user = 'account'
        verified = true
        [time]
        field = 'at'
        format = 'ms'
        [event_names]
        login = 'SignIn'
        [fields]
        'cart.price' = 'float'
        count = 'integer'
        tags = { type = 'string', several = true }
        rest = 'any'
        where = { type = 'string', from = 'place' }
    ";

    fn map(json: &str) -> (Result<Event, RecordError>, u64) {
        let mapping = Arc::new(Mapping::parse(MAPPING).expect("a mapping"));
        let mut mapper = Mapper::new(&mapping, None).expect("JSON has no header");
        let object = serde_json::from_str(json).expect("an object");
        let event = mapper.event(&Record::Json(&object), || 7);
        (event, mapper.mismatched_values)
    }

    fn event(json: &str) -> Event {
        map(json).0.expect(json)
    }

    fn text(text: &str) -> Id {
        Id::Text(text.into())
    }

    #[test]
    fn headers_are_taken_from_their_fields() {
        let event = event(
            r#"{"kind":"view","session":"s1","id":12,"person":"p","n":3,"at":1000,"account":"a"}"#,
        );
        assert_eq!(&*event.name, "view");
        assert_eq!((event.id.0, event.visit.0), (text("12"), text("s1")));
        assert_eq!(event.visitor, Some(VisitorId(text("p"))));
        assert_eq!((event.tie, event.timestamp), (Some(3), EventTimeMs(1000)));
        assert_eq!((event.fields.len(), event.flags), (0, Flags::default()));
    }

    #[test]
    fn an_id_is_derived_where_there_is_none() {
        assert_eq!(event(r#"{"kind":"view","session":"s","at":"5"}"#).id.0, Id::Bits(7));
    }

    #[test]
    fn a_sign_in_carries_its_account_and_is_proven() {
        let event = event(r#"{"kind":"login","session":"s","at":1,"account":"jane"}"#);
        assert_eq!((&*event.name, event.flags), ("SignIn", Flags::VERIFIED));
        let data = Value::Map(vec![("userID".into(), Value::Str("jane".into()))]);
        assert_eq!(event.field("data"), Some(&data));
    }

    #[test]
    fn fields_are_found_flat_or_nested_and_typed() {
        let flat = event(r#"{"kind":"v","session":"s","at":1,"cart.price":2,"place":"x"}"#);
        assert_eq!(flat.field("cart.price"), Some(&Value::Float(2.0)));
        assert_eq!(flat.field("where"), Some(&Value::Str("x".into())));
        let nested = event(r#"{"kind":"v","session":"s","at":1,"cart":{"price":2.5}}"#);
        assert_eq!(nested.field("cart.price"), Some(&Value::Float(2.5)));
        let lists =
            event(r#"{"kind":"v","session":"s","at":1,"tags":["a",1,"b"],"rest":[1,null]}"#);
        let tags = Value::List(vec![Value::Str("a".into()), Value::Str("b".into())]);
        assert_eq!(lists.field("tags"), Some(&tags));
        assert_eq!(lists.field("rest"), Some(&Value::List(vec![Value::Int(1), Value::Null])));
    }

    #[test]
    fn a_value_of_another_type_is_null_and_counted() {
        let (event, mismatched) =
            map(r#"{"kind":"v","session":"s","at":1,"count":1.5,"cart.price":"2","place":null}"#);
        let event = event.expect("an event");
        assert_eq!((event.fields, mismatched), (vec![], 2));
    }

    #[test]
    fn what_is_no_event_says_which_field() {
        let check = |json: &str, part: &str| {
            let message = map(json).0.expect_err(json).to_string();
            assert!(message.contains(part), "{message}");
        };
        check(r#"{"session":"s","at":1}"#, "`kind` is missing");
        check(r#"{"kind":"v","at":1}"#, "`session` is missing");
        check(r#"{"kind":"v","session":"s"}"#, "`at` is missing");
        check(r#"{"kind":"v","session":"s","at":"noon"}"#, "\"noon\"");
        check(r#"{"kind":"v","session":"s","at":1,"n":"x"}"#, "`n` is not a whole number");
        check(r#"{"kind":"v\u0007","session":"s","at":1}"#, "control characters");
        let long = format!(r#"{{"kind":"v","session":"{}","at":1}}"#, "s".repeat(129));
        check(&long, "`session`: expected 1 to 128 bytes");
        let deep = format!(
            r#"{{"kind":"v","session":"s","at":1,"rest":{}{}}}"#,
            "[".repeat(40),
            "]".repeat(40)
        );
        check(&deep, "nest deeper");
    }
}
