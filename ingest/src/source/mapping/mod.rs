//! A source mapping: what the fields of somebody else's JSON or CSV mean to Beckon.
//!
//! It is a TOML file, described in `docs/source-mapping.md`. Only `event_name`, `window_key` and
//! `[time]` are required:
//!
//! ```toml
//! format       = "csv"            # csv | ndjson; found out from the content otherwise
//! delimiter    = ";"              # of a CSV; found out from its header otherwise
//! site         = "shop"           # default: "default"
//! event_name   = "event"          # a field, or { constant = "Request" }
//! window_key   = "session_id"     # a field, or { constant = "all" }: one window over everything
//! id           = "event_id"       # text up to 128 bytes; otherwise derived from file and line
//! visitor      = "user_id"        # globalVisitID
//! tie          = "serial"         # whole numbers that order events of one timestamp
//! user         = "account"        # becomes data.userID of SignIn and UserInfo
//! verified     = true             # these accounts are proven (default false)
//! inactivity   = "30m"            # a visit's end; "none": visits end with the input
//! visit_started = true            # make up a VisitStarted where there is none (default false)
//! unknown_fields = "null"         # rules may name fields that are not listed (default "error")
//!
//! [time]
//! field      = "timestamp"
//! format     = "%Y-%m-%d %H:%M:%S"   # or ms, s, iso8601
//! utc_offset = "+02:00"              # of times that do not say theirs (default UTC)
//!
//! [event_names]                   # renames: the source's name = ours
//! login = "SignIn"
//!
//! [fields]                        # what rules may name, and its type
//! platform      = "string"        # string | integer | float | boolean | date | any
//! "cart.price"  = { type = "float", from = "price" }
//! tags          = { type = "string", several = true }    # a JSON list, or text split at `;`
//! ```
//!
//! A name with dots is looked up flat (`{"cart.price": 1}`) first, then nested
//! (`{"cart": {"price": 1}}`). Besides the listed fields rules may name `eventName`, `eventID`,
//! `visitID`, `globalVisitID`, `timestamp`, `seq`, `site`, `userID` and `visitScope`. A value that
//! is not of its declared type reads as null and is counted.

mod apply;
#[cfg(test)]
mod documentation;
mod file;

pub(crate) use apply::Mapper;

use super::time::TimeFormat;
use beckon_rules::schema::{FieldSpec, FieldType, Schema, UnknownFields};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The form of a mapped source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordFormat {
    /// Comma-separated values with a header.
    Csv,
    /// A JSON object on each line.
    Ndjson,
}

/// A checked source mapping.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// The form, where the mapping says it.
    pub format: Option<RecordFormat>,
    /// The delimiter of a CSV, where the mapping says it.
    pub delimiter: Option<u8>,
    /// The site of all events.
    pub site: Arc<str>,
    /// After how much silence a visit ends; `None`: with the input.
    pub inactivity: Option<Duration>,
    /// Whether a missing `VisitStarted` is made up.
    pub visit_started: bool,
    unknown_fields: UnknownFields,
    columns: Columns,
    time: TimeFormat,
    event_names: BTreeMap<Box<str>, Box<str>>,
    verified: bool,
    fields: Vec<MappedField>,
}

/// Which field says what.
#[derive(Clone, Debug)]
struct Columns {
    event_name: Origin,
    window_key: Origin,
    time: Box<str>,
    id: Option<Box<str>>,
    visitor: Option<Box<str>>,
    tie: Option<Box<str>>,
    user: Option<Box<str>>,
}

/// Where a required value comes from.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(untagged)]
enum Origin {
    /// A field of the source.
    Field(Box<str>),
    /// The same for all events.
    Constant {
        /// The value.
        constant: Box<str>,
    },
}

/// A field that rules may name.
#[derive(Clone, Debug)]
struct MappedField {
    name: Box<str>,
    from: Box<str>,
    spec: FieldSpec,
}

/// What is wrong with a mapping, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct MappingError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Mapping {
    /// Reads a mapping; all that is wrong with it comes at once.
    ///
    /// # Errors
    /// At least one [`MappingError`], in the order of the file.
    pub fn parse(text: &str) -> Result<Self, Vec<MappingError>> {
        file::parse(text)
    }

    /// The declared fields and their types, by name.
    pub fn fields(&self) -> impl Iterator<Item = (&str, FieldType)> {
        self.fields.iter().map(|field| (&*field.name, field.spec.kind))
    }

    /// What rules over this source may name.
    #[must_use]
    pub fn schema(&self) -> Schema {
        let text = FieldSpec::one(FieldType::Str);
        let headers = [
            ("eventID", text),
            ("visitID", text),
            ("globalVisitID", text),
            ("site", text),
            ("userID", text),
            ("visitScope", text),
            ("timestamp", FieldSpec::one(FieldType::Date)),
            ("serverTimestamp", FieldSpec::one(FieldType::Date)),
            ("seq", FieldSpec::one(FieldType::Int)),
        ];
        let own = self.fields.iter().map(|field| (&*field.name, field.spec));
        headers
            .into_iter()
            .chain(own)
            .fold(Schema::new("eventName", self.unknown_fields), |schema, (name, spec)| {
                schema.field(name, spec)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beckon_rules::ast::Path;
    use beckon_rules::schema::Resolved;

    #[test]
    fn the_schema_has_headers_and_declared_fields_and_no_others() {
        let mapping = Mapping::parse(
            "event_name = 'event'\nwindow_key = 'session'\n[time]\nfield = 'ts'\nformat = 'ms'\n\
             [fields]\n'cart.price' = 'float'\n",
        )
        .expect("a mapping");
        let resolve = |name: &str| {
            mapping.schema().resolve(&Path { parts: name.split('.').map(Into::into).collect() })
        };
        assert_eq!(resolve("cart.price"), Resolved::Declared(FieldSpec::one(FieldType::Float)));
        assert_eq!(resolve("visitID"), Resolved::Declared(FieldSpec::one(FieldType::Str)));
        assert_eq!(resolve("url"), Resolved::Unknown);
    }
}
