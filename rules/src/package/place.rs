//! Where the bytes of a TOML string stand in the file.

use crate::ast::Span;
use std::ops::Range;

/// For each byte of a string's value, and the byte behind it, its place in the file.
#[derive(Clone, Debug)]
pub(super) struct TextPlace {
    /// One more than the value has bytes; empty if the value could not be followed in the file.
    starts: Box<[u32]>,
    whole: Range<usize>,
}

impl TextPlace {
    /// Follows `value` through the literal that stands at `whole` of `file`.
    pub(super) fn new(file: &str, whole: Range<usize>, value: &str) -> Self {
        let starts = follow(file, &whole, value).unwrap_or_default();
        Self { starts: starts.into(), whole }
    }

    /// Bytes of the file for bytes of the value; the whole literal where they are not known.
    pub(super) fn range(&self, span: Span) -> Range<usize> {
        let place = |at: u32| self.starts.get(at as usize).map(|&start| start as usize);
        match (place(span.start), place(span.end)) {
            (Some(start), Some(end)) => start..end,
            _ => self.whole.clone(),
        }
    }
}

/// The place of each byte of `value`; `None` if literal and value do not fit together.
fn follow(file: &str, whole: &Range<usize>, value: &str) -> Option<Vec<u32>> {
    let literal = file.get(whole.clone())?;
    let quotes = ["'''", "\"\"\"", "'", "\""].into_iter().find(|&all| literal.starts_with(all))?;
    let has_escapes = quotes.starts_with('"');
    let inside = literal.strip_prefix(quotes)?.strip_suffix(quotes)?;
    let mut rest = inside;
    if quotes.len() == 3 {
        // A line end directly behind the quotes is not part of the value.
        rest = rest.strip_prefix("\r\n").or(rest.strip_prefix('\n')).unwrap_or(rest);
    }
    let end = whole.end - quotes.len();
    let mut starts = Vec::with_capacity(value.len() + 1);
    for character in value.chars() {
        if has_escapes {
            rest = skip_line_continuations(rest);
        }
        let start = u32::try_from(end - rest.len()).ok()?;
        starts.extend(std::iter::repeat_n(start, character.len_utf8()));
        let first = rest.chars().next()?;
        let length = match first {
            '\\' if has_escapes => escape_bytes(rest)?,
            '\r' if character == '\n' => 2,
            same if same == character => same.len_utf8(),
            _ => return None,
        };
        rest = rest.get(length..)?;
    }
    if has_escapes {
        rest = skip_line_continuations(rest);
    }
    starts.push(u32::try_from(end).ok()?);
    rest.is_empty().then_some(starts)
}

/// How long the escape is that `rest` begins with.
fn escape_bytes(rest: &str) -> Option<usize> {
    match rest.chars().nth(1)? {
        'x' => Some(4),
        'u' => Some(6),
        'U' => Some(10),
        other => Some(1 + other.len_utf8()),
    }
}

/// Skips backslashes at the end of a line with the white space that they swallow.
fn skip_line_continuations(mut rest: &str) -> &str {
    while let Some(behind) = rest.strip_prefix('\\') {
        let is_blank = |character: char| matches!(character, ' ' | '\t' | '\r' | '\n');
        let trimmed = behind.trim_start_matches(is_blank);
        let skipped = behind.get(..behind.len() - trimmed.len()).unwrap_or_default();
        if !skipped.contains('\n') {
            break;
        }
        rest = trimmed;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::TextPlace;
    use crate::ast::Span;

    /// The part `needle` of the value stands in the file as `expected`.
    fn check(literal: &str, needle: &str, expected: &str) {
        let file = format!("key = {literal}\n");
        let table: toml::Table = file.parse().expect("TOML");
        let value = table["key"].as_str().expect("a text");
        let start = u32::try_from(value.find(needle).expect("it is there")).expect("short");
        let end = start + u32::try_from(needle.len()).expect("short");
        let place = TextPlace::new(&file, 6..6 + literal.len(), value);
        assert_eq!(file.get(place.range(Span { start, end })), Some(expected), "{literal}");
    }

    #[test]
    fn every_kind_of_string() {
        check("'A where x'", "where", "where");
        check("'''\nA where\n\u{20ac} x'''", "x", "x");
        check("'''A where'''", "where", "where");
        check("\"A \\\"b\\\" where\"", "where", "where");
        check("\"A \\\"b\\\" where\"", "\"b\"", "\\\"b\\\"");
        check("\"\\u20ac\\U000020ac\\x41 where\"", "where", "where");
        check("\"\"\"\r\nA\r\nwhere \\\n   x\"\"\"", "x", "x");
        check("\"\"\"\nA \"\"b\" where\"\"\"", "where", "where");
    }

    #[test]
    fn what_cannot_be_followed_is_the_whole_literal() {
        let place = TextPlace::new("key = 'abc'", 6..11, "xyz");
        assert_eq!(place.range(Span { start: 0, end: 1 }), 6..11);
    }
}
