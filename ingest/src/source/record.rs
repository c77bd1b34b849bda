//! A record of a mapped source, JSON or CSV, and how its fields are found.

use beckon_rules::suggest::did_you_mean;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// The names of a CSV's columns.
pub(crate) type Header = [Box<str>];

/// One record.
pub(crate) enum Record<'r> {
    /// An object.
    Json(&'r Map<String, Value>),
    /// The texts of a line.
    Csv(CsvRecord<'r>),
}

/// The fields of a CSV line in one text, by where they end.
#[derive(Clone, Copy)]
pub(crate) struct CsvRecord<'r> {
    pub(crate) text: &'r str,
    pub(crate) ends: &'r [usize],
}

impl<'r> CsvRecord<'r> {
    /// The field of that column.
    pub(crate) fn field(self, column: usize) -> Option<&'r str> {
        let end = *self.ends.get(column)?;
        let start = match column.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.text.get(start..end)
    }
}

/// Where a field stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Locator {
    Column(usize),
    Path { flat: Box<str>, parts: Vec<Box<str>> },
}

/// A mapping names a column that an input's header does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header has no column `{column}`: {help}")]
pub(crate) struct MissingColumn {
    column: Box<str>,
    help: String,
}

impl Locator {
    pub(crate) fn new(name: &str, header: Option<&Header>) -> Result<Self, MissingColumn> {
        let Some(header) = header else {
            let parts = name.split('.').map(Into::into).collect();
            return Ok(Self::Path { flat: name.into(), parts });
        };
        let found = header.iter().position(|column| &**column == name);
        found.map(Self::Column).ok_or_else(|| {
            let names = || header.iter().map(AsRef::as_ref);
            let help = did_you_mean(name, names()).unwrap_or_else(|| {
                format!("it has {}", names().take(20).collect::<Vec<_>>().join(", "))
            });
            MissingColumn { column: name.into(), help }
        })
    }
}

/// What stands in a field.
#[derive(Clone, Copy)]
pub(crate) enum Cell<'r> {
    /// Nothing, an empty text of a CSV, or `null`.
    Absent,
    /// A text of a CSV.
    Text(&'r str),
    /// Any other JSON.
    Json(&'r Value),
}

impl<'r> Cell<'r> {
    /// Text, number or truth value as text; `None` where it is absent, empty, a list or an object.
    pub(crate) fn text(self) -> Option<Cow<'r, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Json(Value::String(text)) if !text.is_empty() => Some(Cow::Borrowed(text)),
            Self::Json(Value::Number(number)) => Some(Cow::Owned(number.to_string())),
            Self::Json(Value::Bool(bool)) => {
                Some(Cow::Borrowed(if *bool { "true" } else { "false" }))
            }
            Self::Absent | Self::Json(_) => None,
        }
    }
}

impl<'r> Record<'r> {
    /// What stands at a place.
    pub(crate) fn cell(&self, locator: &Locator) -> Cell<'r> {
        match (self, locator) {
            (Self::Csv(record), Locator::Column(column)) => match record.field(*column) {
                None | Some("") => Cell::Absent,
                Some(text) => Cell::Text(text),
            },
            (Self::Json(object), Locator::Path { flat, parts }) => {
                match object.get(&**flat).or_else(|| nested(object, parts)) {
                    None | Some(Value::Null) => Cell::Absent,
                    Some(value) => Cell::Json(value),
                }
            }
            // A mapper's locators are made for the kind of record it gets.
            _ => Cell::Absent,
        }
    }
}

fn nested<'r>(object: &'r Map<String, Value>, parts: &[Box<str>]) -> Option<&'r Value> {
    let (last, folders) = parts.split_last()?;
    let inner = folders.iter().try_fold(object, |object, part| object.get(&**part)?.as_object());
    inner?.get(&**last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_is_missing_is_suggested() {
        let header: Vec<Box<str>> = vec!["user_id".into(), "event".into()];
        assert_eq!(Locator::new("event", Some(&header)), Ok(Locator::Column(1)));
        let error = Locator::new("userid", Some(&header)).expect_err("no such column");
        assert_eq!(error.to_string(), "the header has no column `userid`: did you mean `user_id`?");
        let error = Locator::new("zzz", Some(&header)).expect_err("no such column");
        assert!(error.to_string().ends_with("it has user_id, event"));
    }

    #[test]
    fn fields_of_a_line() {
        let record = CsvRecord { text: "abcd", ends: &[1, 1, 4] };
        let fields: Vec<_> = (0..4).map(|column| record.field(column)).collect();
        assert_eq!(fields, [Some("a"), Some(""), Some("bcd"), None]);
    }
}
