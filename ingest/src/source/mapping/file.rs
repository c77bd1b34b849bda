//! The mapping's TOML: shapes, defaults, and everything that can be wrong with it.

use super::{Columns, MappedField, Mapping, MappingError, Origin, RecordFormat};
use crate::normalise::is_event_name;
use crate::source::SITE_DEFAULT;
use crate::source::time::{TimeFormat, TimeFormatError, parse_duration};
use beckon_engine::model::Id;
use beckon_rules::schema::{FieldSpec, FieldType, UnknownFields};
use beckon_rules::suggest::did_you_mean;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

const INACTIVITY_DEFAULT: Duration = Duration::from_secs(30 * 60);
pub(super) const KEYS: &[&str] = &[
    "format",
    "delimiter",
    "site",
    "event_name",
    "window_key",
    "id",
    "visitor",
    "tie",
    "user",
    "verified",
    "inactivity",
    "visit_started",
    "unknown_fields",
    "time",
    "event_names",
    "fields",
];
pub(super) const TIME_KEYS: &[&str] = &["field", "format", "utc_offset"];
pub(super) const FIELD_KEYS: &[&str] = &["type", "from", "several"];

#[derive(Deserialize)]
struct MappingFile {
    format: Option<RecordFormat>,
    delimiter: Option<Spanned<char>>,
    #[serde(default)]
    site: Option<Box<str>>,
    event_name: Origin,
    window_key: Origin,
    id: Option<Box<str>>,
    visitor: Option<Box<str>>,
    tie: Option<Box<str>>,
    user: Option<Box<str>>,
    #[serde(default)]
    verified: bool,
    inactivity: Option<Spanned<String>>,
    #[serde(default)]
    visit_started: bool,
    #[serde(default)]
    unknown_fields: Unknown,
    time: TimeTable,
    #[serde(default)]
    event_names: BTreeMap<Box<str>, Box<str>>,
    #[serde(default)]
    fields: BTreeMap<Box<str>, Spanned<FieldEntry>>,
}

#[derive(Deserialize)]
struct TimeTable {
    field: Box<str>,
    format: Spanned<String>,
    utc_offset: Option<Spanned<String>>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unknown {
    #[default]
    Error,
    Null,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum FieldEntry {
    Type(String),
    Table {
        #[serde(rename = "type")]
        kind: String,
        from: Option<Box<str>>,
        #[serde(default)]
        several: bool,
    },
}

/// Collects what is wrong, with its line.
struct Findings<'a> {
    text: &'a str,
    found: Vec<(usize, String)>,
}

impl Findings<'_> {
    fn add(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.found.push((span.start, message.into()));
    }

    fn into_errors(mut self) -> Vec<MappingError> {
        self.found.sort();
        let text = self.text;
        let line = |at: usize| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        self.found
            .into_iter()
            .map(|(at, message)| MappingError { line: line(at), message })
            .collect()
    }
}

pub(super) fn parse(text: &str) -> Result<Mapping, Vec<MappingError>> {
    let mut findings = Findings { text, found: Vec::new() };
    let mapping = parse_with(text, &mut findings);
    match mapping {
        Some(mapping) if findings.found.is_empty() => Ok(mapping),
        _ => Err(findings.into_errors()),
    }
}

fn parse_with(text: &str, findings: &mut Findings<'_>) -> Option<Mapping> {
    let at_start = |span: Option<Range<usize>>| span.unwrap_or(0..0);
    match DeTable::parse(text) {
        Ok(table) => unknown_keys(table.get_ref(), findings),
        Err(error) => findings.add(at_start(error.span()), error.message()),
    }
    match toml::from_str::<MappingFile>(text) {
        Ok(file) => check(file, findings),
        Err(error) => {
            if findings.found.is_empty() {
                findings.add(at_start(error.span()), error.message());
            }
            None
        }
    }
}

fn unknown_keys(table: &DeTable<'_>, findings: &mut Findings<'_>) {
    known_only(table, KEYS, "", findings);
    for (key, value) in table {
        let inner = value.get_ref().as_table();
        match (key.get_ref().as_ref(), inner) {
            ("time", Some(time)) => known_only(time, TIME_KEYS, "time.", findings),
            ("fields", Some(fields)) => {
                for (name, entry) in fields {
                    if let DeValue::Table(entry) = entry.get_ref() {
                        let place = format!("fields.{}.", name.get_ref());
                        known_only(entry, FIELD_KEYS, &place, findings);
                    }
                }
            }
            ("event_name" | "window_key", Some(origin)) => {
                known_only(origin, &["constant"], &format!("{}.", key.get_ref()), findings);
                constant(key.get_ref(), origin, findings);
            }
            _ => {}
        }
    }
}

/// What is the same for all events is judged once, here.
fn constant(key: &str, origin: &DeTable<'_>, findings: &mut Findings<'_>) {
    let Some((value, text)) =
        origin.get("constant").and_then(|it| Some((it, it.get_ref().as_str()?)))
    else {
        return;
    };
    if key == "event_name" && !is_event_name(text) {
        findings.add(value.span(), "an event's name has 1 to 100 characters, none a control");
    }
    if key == "window_key"
        && let Err(error) = Id::from_text(text)
    {
        findings.add(value.span(), format!("window_key: {error}"));
    }
}

fn known_only(table: &DeTable<'_>, known: &[&str], place: &str, findings: &mut Findings<'_>) {
    for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
        let name = key.get_ref().as_ref();
        let help = did_you_mean(name, known.iter().copied())
            .unwrap_or_else(|| format!("known are {}", known.join(", ")));
        findings.add(key.span(), format!("unknown key `{place}{name}`: {help}"));
    }
}

fn check(file: MappingFile, findings: &mut Findings<'_>) -> Option<Mapping> {
    let offset = file.time.utc_offset.as_ref().map(|offset| (offset.span(), offset.get_ref()));
    let format = &file.time.format;
    let time = match TimeFormat::new(format.get_ref(), offset.as_ref().map(|(_, text)| &***text)) {
        Ok(time) => Some(time),
        Err(error) => {
            let is_offset = matches!(error, TimeFormatError::Offset(_));
            let span = offset.filter(|_| is_offset).map_or(format.span(), |(span, _)| span);
            findings.add(span, error.to_string());
            None
        }
    };
    let inactivity = inactivity(file.inactivity.as_ref(), findings);
    let delimiter = file.delimiter.as_ref().and_then(|delimiter| {
        let byte = u8::try_from(*delimiter.get_ref()).ok().filter(u8::is_ascii);
        if byte.is_none() {
            findings.add(delimiter.span(), "the delimiter is one ASCII character");
        }
        byte
    });
    let fields = fields(file.fields, findings);
    Some(Mapping {
        format: file.format,
        delimiter,
        site: file.site.as_deref().unwrap_or(SITE_DEFAULT).into(),
        inactivity,
        visit_started: file.visit_started,
        unknown_fields: match file.unknown_fields {
            Unknown::Error => UnknownFields::Error,
            Unknown::Null => UnknownFields::Null,
        },
        columns: Columns {
            event_name: file.event_name,
            window_key: file.window_key,
            time: file.time.field,
            id: file.id,
            visitor: file.visitor,
            tie: file.tie,
            user: file.user,
        },
        time: time?,
        event_names: file.event_names,
        verified: file.verified,
        fields,
    })
}

fn inactivity(entry: Option<&Spanned<String>>, findings: &mut Findings<'_>) -> Option<Duration> {
    let Some(entry) = entry else { return Some(INACTIVITY_DEFAULT) };
    if entry.get_ref() == "none" {
        return None;
    }
    let duration = parse_duration(entry.get_ref());
    if duration.is_none() {
        let message = "expected a duration such as \"30m\" (ms, s, m, h, d), or \"none\"";
        findings.add(entry.span(), message);
    }
    duration
}

fn fields(
    entries: BTreeMap<Box<str>, Spanned<FieldEntry>>,
    findings: &mut Findings<'_>,
) -> Vec<MappedField> {
    let mut fields = Vec::with_capacity(entries.len());
    for (name, entry) in entries {
        let span = entry.span();
        let (kind, from, several) = match entry.into_inner() {
            FieldEntry::Type(kind) => (kind, None, false),
            FieldEntry::Table { kind, from, several } => (kind, from, several),
        };
        let Some(known) = FieldType::from_name(&kind) else {
            let names = || FieldType::NAMES.into_iter().map(|(name, _)| name);
            let help = did_you_mean(&kind, names())
                .unwrap_or_else(|| format!("known are {}", names().collect::<Vec<_>>().join(", ")));
            findings.add(span, format!("unknown type \"{kind}\" of `{name}`: {help}"));
            continue;
        };
        let spec = if several { FieldSpec::several(known) } else { FieldSpec::one(known) };
        fields.push(MappedField { from: from.unwrap_or_else(|| name.clone()), name, spec });
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "event_name = 'event'\nwindow_key = 'session'\n";
    const TIME: &str = "[time]\nfield = 'ts'\nformat = 'ms'\n";

    fn check(text: &str, expected: &[(usize, &str)]) {
        let errors = Mapping::parse(text).expect_err("a wrong mapping");
        let found: Vec<_> =
            errors.iter().map(|error| (error.line, error.message.as_str())).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for ((line, message), (expected_line, part)) in found.iter().zip(expected) {
            assert!(line == expected_line && message.contains(part), "{found:?}");
        }
    }

    #[test]
    fn defaults() {
        let mapping = Mapping::parse(&format!("{HEAD}{TIME}")).expect("a mapping");
        assert_eq!(mapping.inactivity, Some(INACTIVITY_DEFAULT));
        assert_eq!((&*mapping.site, mapping.visit_started), (SITE_DEFAULT, false));
        let none = Mapping::parse(&format!("{HEAD}inactivity = 'none'\n{TIME}")).expect("none");
        assert_eq!(none.inactivity, None);
    }

    #[test]
    fn a_constant_is_judged_with_the_mapping() {
        let long = "x".repeat(129);
        let head =
            format!("event_name = {{ constant = '' }}\nwindow_key = {{ constant = '{long}' }}\n");
        check(&format!("{head}{TIME}"), &[(1, "1 to 100 characters"), (2, "window_key: ")]);
        let head = "event_name = { constant = 'A' }\nwindow_key = { constant = '' }\n";
        check(&format!("{head}{TIME}"), &[(2, "window_key: ")]);
    }

    #[test]
    fn unknown_keys_come_all_at_once_with_suggestions() {
        check(
            &format!("{HEAD}windowkey = 1\n{TIME}zone = 'x'\n[fields]\na = {{ typ = 'any' }}\n"),
            &[
                (3, "`windowkey`: did you mean `window_key`?"),
                (7, "unknown key `time.zone`: known are field, format, utc_offset"),
                (9, "`fields.a.typ`: did you mean `type`?"),
            ],
        );
        check(
            &format!("event_name = {{ const = 'x' }}\nwindow_key = 'w'\n{TIME}"),
            &[(1, "`event_name.const`: ")],
        );
    }

    #[test]
    fn wrong_values_say_where() {
        check(
            &format!(
                "{HEAD}inactivity = 'soon'\ndelimiter = '\u{20ac}'\n{TIME}utc_offset = 'x'\n\
                 [fields]\na = 'strng'\nb = 'blob'\n"
            ),
            &[
                (3, "expected a duration"),
                (4, "one ASCII character"),
                (8, "utc_offset"),
                (10, "did you mean `string`?"),
                (11, "known are string"),
            ],
        );
        check(&format!("{HEAD}[time]\nfield = 'ts'\nformat = 'epoch'\n"), &[(5, "ms, s, iso8601")]);
    }

    #[test]
    fn what_is_missing_or_no_toml_is_said() {
        check(&format!("window_key = 'w'\n{TIME}"), &[(1, "event_name")]);
        check("event_name = \n", &[(1, "")]);
    }
}
