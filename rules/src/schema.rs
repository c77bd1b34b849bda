//! Which fields an event has, and of which type: data, not code.
//!
//! The checker takes a schema and knows no event model of its own. [`Schema::event`] is Beckon's
//! event (the GWE model); a source mapping builds another with
//! [`Schema::new`], [`Schema::field`] and [`Schema::open_map`]; a package's `[types]` refine
//! either with [`Schema::refine`].
//!
//! **Invariant:** a name is looked up whole first, then by its longest open prefix, as the engine
//! resolves a path on an event.

use crate::ast::Path;
use crate::suggest::closest;
use std::collections::BTreeMap;

/// What a field holds. A value of another type reads as null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FieldType {
    /// Text.
    Str,
    /// A whole number; `3.0` counts as one.
    Int,
    /// Any number; whole numbers are read as floating.
    Float,
    /// A truth value.
    Bool,
    /// A point in time: epoch milliseconds, or ISO 8601 text. Read as milliseconds.
    Date,
    /// Whatever JSON type the value has.
    Any,
}

impl FieldType {
    /// All types with their names in `[types]` and source mappings.
    pub const NAMES: [(&'static str, Self); 6] = [
        ("string", Self::Str),
        ("integer", Self::Int),
        ("float", Self::Float),
        ("boolean", Self::Bool),
        ("date", Self::Date),
        ("any", Self::Any),
    ];

    /// The type of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, kind)| kind)
    }

    /// The name in `[types]`, source mappings and diagnostics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Str => "string",
            Self::Int => "integer",
            Self::Float => "float",
            Self::Bool => "boolean",
            Self::Date => "date",
            Self::Any => "any",
        }
    }
}

/// A field's type, and whether it may hold several values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSpec {
    /// The type of each value.
    pub kind: FieldType,
    /// Declared to hold several values, as `category` is. Other fields may still hold a list;
    /// this only decides which warnings are given.
    pub several: bool,
}

impl FieldSpec {
    /// One value of a type.
    #[must_use]
    pub fn one(kind: FieldType) -> Self {
        Self { kind, several: false }
    }

    /// Several values of a type.
    #[must_use]
    pub fn several(kind: FieldType) -> Self {
        Self { kind, several: true }
    }
}

/// What becomes of a name that the schema lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownFields {
    /// An error with a suggestion.
    Error,
    /// A field that no event has.
    Null,
}

/// The fields that rules may name.
#[derive(Clone, Debug)]
pub struct Schema {
    fields: BTreeMap<Box<str>, FieldSpec>,
    /// Prefixes under which any name may stand (`data`), with the type of what stands there.
    open_maps: BTreeMap<Box<str>, FieldSpec>,
    event_name: Box<str>,
    unknown_fields: UnknownFields,
}

/// What a path means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// A declared field.
    Declared(FieldSpec),
    /// Something below an open map.
    Open(FieldSpec),
    /// An open map itself, which has no value to compare.
    Map,
    /// No such name, and the schema says that it then reads as null.
    Absent,
    /// No such name.
    Unknown,
}

impl Schema {
    /// A schema whose only field is the event's name.
    #[must_use]
    pub fn new(event_name: &str, unknown_fields: UnknownFields) -> Self {
        let fields = BTreeMap::from([(event_name.into(), FieldSpec::one(FieldType::Str))]);
        Self { fields, open_maps: BTreeMap::new(), event_name: event_name.into(), unknown_fields }
    }

    /// Adds a field; a second one of the name replaces the first.
    #[must_use]
    pub fn field(mut self, name: &str, spec: FieldSpec) -> Self {
        self.fields.insert(name.into(), spec);
        self
    }

    /// Says that any name may stand below `prefix`.
    #[must_use]
    pub fn open_map(mut self, prefix: &str, spec: FieldSpec) -> Self {
        self.open_maps.insert(prefix.into(), spec);
        self
    }

    /// This schema with types that a package declares.
    #[must_use]
    pub fn refine<'a>(&self, types: impl IntoIterator<Item = (&'a str, FieldType)>) -> Self {
        types
            .into_iter()
            .fold(self.clone(), |schema, (name, kind)| schema.field(name, FieldSpec::one(kind)))
    }

    /// Beckon's own event.
    #[must_use]
    pub fn event() -> Self {
        use FieldType::{Any, Bool, Date, Int, Str};
        let texts = [
            "eventType",
            "eventID",
            "visitID",
            "globalVisitID",
            "pageID",
            "site",
            "userID",
            "visitScope",
            "url",
            "url.host",
            "url.path",
            "referrer",
            "title",
            "languageCode",
            "userAgent.name",
            "userAgent.version",
            "userAgent.os",
            "userAgent.device",
            "campaign.source",
            "campaign.medium",
            "campaign.name",
            "campaign.term",
            "campaign.content",
            "ip",
        ];
        texts
            .iter()
            .fold(Self::new("eventName", UnknownFields::Error), |schema, name| {
                schema.field(name, FieldSpec::one(Str))
            })
            .field("category", FieldSpec::several(Str))
            .field("timestamp", FieldSpec::one(Date))
            .field("serverTimestamp", FieldSpec::one(Date))
            .field("seq", FieldSpec::one(Int))
            .field("isBot", FieldSpec::one(Bool))
            .open_map("url.query", FieldSpec::one(Str))
            .open_map("data", FieldSpec::one(Any))
    }

    /// The field that holds the event's name (`eventName where ...`).
    #[must_use]
    pub fn event_name(&self) -> &str {
        &self.event_name
    }

    /// The names of all fields but those below open prefixes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(AsRef::as_ref)
    }

    /// What a path means.
    #[must_use]
    pub fn resolve(&self, path: &Path) -> Resolved {
        let name = path.parts.join(".");
        if let Some(spec) = self.fields.get(name.as_str()) {
            return Resolved::Declared(*spec);
        }
        if self.open_maps.contains_key(name.as_str()) {
            return Resolved::Map;
        }
        let open = (1..path.parts.len())
            .rev()
            .find_map(|length| self.open_maps.get(prefix(path, length).as_str()));
        match (open, self.unknown_fields) {
            (Some(spec), _) => Resolved::Open(*spec),
            (None, UnknownFields::Null) => Resolved::Absent,
            (None, UnknownFields::Error) => Resolved::Unknown,
        }
    }

    /// Whether a step may not take this name, because a field's path begins with it.
    #[must_use]
    pub fn begins_a_path(&self, name: &str) -> bool {
        let first = |known: &str| known.split('.').next() == Some(name);
        self.fields.keys().any(|known| first(known))
            || self.open_maps.keys().any(|known| first(known))
    }

    /// The known name that is most like `name`, if any is like it.
    #[must_use]
    pub fn suggest(&self, name: &str) -> Option<&str> {
        let known = self.fields.keys().chain(self.open_maps.keys()).map(AsRef::as_ref);
        closest(name, known)
    }
}

/// The first `length` parts of a path, dotted.
fn prefix(path: &Path, length: usize) -> String {
    path.parts.iter().take(length).map(AsRef::as_ref).collect::<Vec<&str>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(name: &str) -> Resolved {
        let parts = name.split('.').map(Into::into).collect();
        Schema::event().refine([("data.price", FieldType::Float)]).resolve(&Path { parts })
    }

    #[test]
    fn a_name_is_looked_up_whole_then_by_its_open_prefix() {
        assert_eq!(resolve("category"), Resolved::Declared(FieldSpec::several(FieldType::Str)));
        assert_eq!(resolve("url.path"), Resolved::Declared(FieldSpec::one(FieldType::Str)));
        assert_eq!(resolve("url.query.q"), Resolved::Open(FieldSpec::one(FieldType::Str)));
        assert_eq!(resolve("data.a.b"), Resolved::Open(FieldSpec::one(FieldType::Any)));
        assert_eq!(resolve("data.price"), Resolved::Declared(FieldSpec::one(FieldType::Float)));
        assert_eq!(resolve("data"), Resolved::Map);
        assert_eq!(resolve("url.pth"), Resolved::Unknown);
    }

    #[test]
    fn a_schema_may_read_unknown_names_as_null() {
        let schema = Schema::new("event_type", UnknownFields::Null);
        let path = Path { parts: vec!["x".into()] };
        assert_eq!(schema.resolve(&path), Resolved::Absent);
    }

    #[test]
    fn a_suggestion_is_near_or_not_given() {
        assert_eq!(Schema::event().suggest("catgory"), Some("category"));
        assert_eq!(Schema::event().suggest("EventName"), Some("eventName"));
        assert_eq!(Schema::event().suggest("zzz"), None);
    }

    #[test]
    fn a_step_may_not_take_the_first_part_of_a_path() {
        assert!(Schema::event().begins_a_path("url"));
        assert!(Schema::event().begins_a_path("campaign"));
        assert!(!Schema::event().begins_a_path("cart"));
    }
}
