//! Reads typed values out of TOML tables and says what is wrong with them.

use crate::ast::{Span, Spanned};
use crate::diagnostic::{Diagnostic, Severity};
use crate::suggest::did_you_mean;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// A TOML value and its place.
pub(super) type Value<'i> = toml::Spanned<DeValue<'i>>;

/// Bytes of a file as a span.
pub(super) fn span(range: Range<usize>) -> Span {
    let offset = |at: usize| u32::try_from(at).expect("a rule file is shorter than 4 GB");
    Span { start: offset(range.start), end: offset(range.end) }
}

/// One file, and what is wrong in it.
pub(super) struct Reader<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// A table of the file whose keys were checked.
pub(super) struct Section<'a, 'i> {
    pub(super) table: &'a DeTable<'i>,
    /// Where a missing key is shown.
    pub(super) range: Range<usize>,
    /// How messages name the table: `[action]`.
    pub(super) title: &'static str,
}

impl<'a, 'i> Section<'a, 'i> {
    pub(super) fn value(&self, key: &str) -> Option<&'a Value<'i>> {
        self.table.get(key)
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, diagnostics: Vec::new() }
    }

    /// Reads the file; `None` if it is too long or not TOML.
    pub(super) fn document(&mut self, bytes_max: usize) -> Option<DeTable<'a>> {
        if self.text.len() > bytes_max {
            let message = format!("the file is longer than {bytes_max} bytes");
            self.error("too-long", 0..0, message);
            return None;
        }
        if let Some(at) = self.text.find(char::REPLACEMENT_CHARACTER) {
            let range = at..at + char::REPLACEMENT_CHARACTER.len_utf8();
            let message = "this is no UTF-8, or the character U+FFFD that stands for such bytes";
            self.error("not-utf8", range, message);
            return None;
        }
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let range = error.span().unwrap_or(0..0);
            self.error("toml", range, error.message().to_owned());
        }
        errors.is_empty().then(|| table.into_inner())
    }

    pub(super) fn error(
        &mut self,
        code: &'static str,
        range: Range<usize>,
        message: impl Into<String>,
    ) {
        self.error_with_help(code, range, message, None);
    }

    pub(super) fn error_with_help(
        &mut self,
        code: &'static str,
        range: Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.diagnostics.push(Diagnostic {
            severity: Severity::Error,
            code,
            file: self.file.into(),
            range,
            message: message.into(),
            help,
        });
    }

    /// A table of which only `keys` may be there.
    pub(super) fn section<'t, 'i>(
        &mut self,
        table: &'t DeTable<'i>,
        range: Range<usize>,
        title: &'static str,
        keys: &[&str],
    ) -> Section<'t, 'i> {
        let mut unknown: Vec<_> =
            table.keys().filter(|key| !keys.contains(&key.get_ref().as_ref())).collect();
        unknown.sort_by_key(|key| key.span().start);
        for key in unknown {
            let name = key.get_ref();
            let help = did_you_mean(name, keys.iter().copied())
                .unwrap_or_else(|| format!("the keys are {}", keys.join(", ")));
            let message = format!("{title} has no key `{name}`");
            self.error_with_help("unknown-key", key.span(), message, Some(help));
        }
        Section { table, range, title }
    }

    /// Reports the absence of a value that must be there and was not refused already.
    pub(super) fn require(&mut self, section: &Section<'_, '_>, key: &str, help: &str) {
        if section.value(key).is_none() {
            let message = format!("{} lacks the key `{key}`", section.title);
            let range = section.range.clone();
            self.error_with_help("missing-key", range, message, Some(help.to_owned()));
        }
    }

    fn mismatch(&mut self, key: &str, value: &Value<'_>, expected: &str) {
        let found = value.get_ref().type_str();
        let message = format!("`{key}` is {expected}, found a value of type {found}");
        self.error("wrong-type", value.span(), message);
    }

    /// A value of one type; `read` gives `None` for those of others.
    fn typed<T>(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
        expected: &str,
        read: impl Fn(&DeValue<'_>) -> Option<T>,
    ) -> Option<Spanned<T>> {
        let value = section.value(key)?;
        match read(value.get_ref()) {
            Some(node) => Some(Spanned { node, span: span(value.span()) }),
            None => {
                self.mismatch(key, value, expected);
                None
            }
        }
    }

    pub(super) fn text(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
    ) -> Option<Spanned<Box<str>>> {
        self.typed(section, key, "a text", |value| value.as_str().map(Into::into))
    }

    /// A date and time, as text or as TOML writes it.
    pub(super) fn time(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
    ) -> Option<Spanned<Box<str>>> {
        self.typed(section, key, "a date and time", |value| match value {
            DeValue::String(text) => Some(text.as_ref().into()),
            DeValue::Datetime(time) => Some(time.to_string().into()),
            _ => None,
        })
    }

    pub(super) fn boolean(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
    ) -> Option<Spanned<bool>> {
        self.typed(section, key, "true or false", |value| value.as_bool())
    }

    /// A whole number within bounds, both included.
    pub(super) fn integer(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
        bounds: (i64, i64),
    ) -> Option<Spanned<i64>> {
        let expected = format!("a whole number from {} to {}", bounds.0, bounds.1);
        self.typed(section, key, &expected, |value| {
            integer(value).filter(|number| (bounds.0..=bounds.1).contains(number))
        })
    }

    /// A share, 0 to 1.
    pub(super) fn share(&mut self, section: &Section<'_, '_>, key: &str) -> Option<Spanned<f64>> {
        self.typed(section, key, "a number from 0 to 1", |value| {
            let number = match value {
                DeValue::Integer(number) => number.as_str().parse().ok()?,
                DeValue::Float(number) => number.as_str().parse::<f64>().ok()?,
                _ => return None,
            };
            (0.0..=1.0).contains(&number).then_some(number)
        })
    }

    /// `"30m"` in milliseconds.
    pub(super) fn duration_ms(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
    ) -> Option<Spanned<i64>> {
        let text = self.text(section, key)?;
        let Some(node) = duration_ms(&text.node) else {
            let message = format!("`{key}` is a time such as \"30m\", found \"{}\"", text.node);
            let help = "a whole number and a unit: ms, s, m, h, d".to_owned();
            let range = text.span.range();
            self.error_with_help("bad-value", range, message, Some(help));
            return None;
        };
        Some(Spanned { node, span: text.span })
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
        choices: &[(&str, T)],
    ) -> Option<Spanned<T>> {
        let text = self.text(section, key)?;
        if let Some((_, node)) = choices.iter().find(|(name, _)| *name == &*text.node) {
            return Some(Spanned { node: *node, span: text.span });
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let message = format!("`{key}` is one of {}, found \"{}\"", names.join(", "), text.node);
        let help = did_you_mean(&text.node, names);
        let range = text.span.range();
        self.error_with_help("bad-value", range, message, help);
        None
    }

    pub(super) fn table<'t, 'i>(
        &mut self,
        section: &Section<'t, 'i>,
        key: &str,
    ) -> Option<(&'t DeTable<'i>, Range<usize>)> {
        let value = section.value(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some((table, value.span())),
            _ => {
                self.mismatch(key, value, "a table");
                None
            }
        }
    }

    /// The tables of a list, each with its place; nothing where the key is not there.
    pub(super) fn tables<'t, 'i>(
        &mut self,
        section: &Section<'t, 'i>,
        key: &str,
    ) -> Vec<(&'t DeTable<'i>, Range<usize>)> {
        let Some(value) = section.value(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            self.mismatch(key, value, "a list of tables");
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in array.iter() {
            match item.get_ref() {
                DeValue::Table(table) => tables.push((table, item.span())),
                _ => self.mismatch(key, item, "a list of tables"),
            }
        }
        tables
    }
}

/// A whole number of 64 bits.
pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// `30m` in milliseconds.
fn duration_ms(text: &str) -> Option<i64> {
    let unit = text.trim_start_matches(|character: char| character.is_ascii_digit());
    let number: i64 = text.strip_suffix(unit)?.parse().ok()?;
    number.checked_mul(crate::syntax::unit_ms(unit)?)
}
