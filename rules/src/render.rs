//! Pictures of diagnostics: the line of the file, what of it is meant, and what to write.

use crate::diagnostic::{Diagnostic, Severity};
use ariadne::{CharSet, Config, IndexType, Label, Report, ReportKind, Source};
use std::fmt::Write;
use std::ops::Range;

/// Whether a picture has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colors {
    /// For a file, a log, a pipe.
    Plain,
    /// For a terminal that understands ANSI escapes.
    Ansi,
}

/// All diagnostics as text, sorted by file and place. `source` gives the text of a file by the name
/// that the diagnostic has; one without text is told in a line.
#[must_use]
pub fn render<'a>(
    diagnostics: &[Diagnostic],
    source: impl Fn(&str) -> Option<&'a str>,
    colors: Colors,
) -> String {
    let mut sorted: Vec<&Diagnostic> = diagnostics.iter().collect();
    sorted.sort_by_key(|one| (one.file.clone(), one.range.start, one.range.end));
    let mut out = String::new();
    for diagnostic in sorted {
        match source(&diagnostic.file) {
            Some(text) => out.push_str(&picture(diagnostic, text, colors)),
            None => out.push_str(&line(diagnostic)),
        }
    }
    out
}

fn picture(diagnostic: &Diagnostic, text: &str, colors: Colors) -> String {
    let kind = match diagnostic.severity {
        Severity::Error => ReportKind::Error,
        Severity::Warning => ReportKind::Warning,
    };
    let span = (&*diagnostic.file, visible(text, &diagnostic.range));
    let signs = match colors {
        Colors::Plain => CharSet::Ascii,
        Colors::Ansi => CharSet::Unicode,
    };
    let config = Config::default()
        .with_index_type(IndexType::Byte)
        .with_color(colors == Colors::Ansi)
        .with_char_set(signs);
    let label = diagnostic.help.as_deref().unwrap_or("here");
    let report = Report::build(kind, span.clone())
        .with_config(config)
        .with_code(diagnostic.code)
        .with_message(&diagnostic.message)
        .with_label(Label::new(span).with_message(label))
        .finish();
    let mut bytes = Vec::new();
    match report.write((&*diagnostic.file, Source::from(text)), &mut bytes) {
        Ok(()) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => line(diagnostic),
    }
}

/// A range inside the text that has at least one character, where the text has one: the end of a
/// query is shown as the character before it.
fn visible(text: &str, range: &Range<usize>) -> Range<usize> {
    let boundary = |at: usize| {
        (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
    };
    let end = boundary(range.end);
    let start = boundary(range.start.min(end));
    if start < end {
        return start..end;
    }
    let before = text.get(..start).unwrap_or_default().trim_end();
    match before.chars().next_back() {
        Some(last) => before.len() - last.len_utf8()..before.len(),
        None => 0..text.chars().next().map_or(0, char::len_utf8),
    }
}

fn line(diagnostic: &Diagnostic) -> String {
    let kind = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let Diagnostic { code, file, message, help, .. } = diagnostic;
    let mut line = format!("{kind} [{code}] {file}: {message}");
    if let Some(help) = help {
        write!(line, " ({help})").expect("text takes text");
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::{Colors, render};
    use crate::diagnostic::{Diagnostic, Severity};
    use crate::package::parse_rule_file;

    const ACTION: &str = "[action]\ntype = \"none\"\n";

    fn check(text: &str, expected: &[&str]) {
        let text = format!("{text}{ACTION}");
        let (_, diagnostics) = parse_rule_file("shop/cart.toml", &text);
        let picture = render(&diagnostics, |_| Some(text.as_str()), Colors::Plain);
        let lines: Vec<&str> = picture.lines().map(str::trim_end).collect();
        assert_eq!(lines, expected, "\n{picture}");
    }

    #[test]
    fn a_picture_shows_file_line_column_and_what_to_write() {
        check(
            "name = \"a\"\nquery = '''\n// \u{20ac}\n  A wher x == 1\n'''\n",
            &[
                "[syntax] Error: expected `where` after the name of the event, found `wher`",
                "   ,-[ shop/cart.toml:4:5 ]",
                "   |",
                " 4 |   A wher x == 1",
                "   |     ^^|^",
                "   |       `--- did you mean `where`?",
                "---'",
            ],
        );
    }

    #[test]
    fn the_end_of_a_query_is_its_last_character() {
        check(
            "name = \"a\"\nquery = 'A where '\n",
            &[
                "[syntax] Error: expected a field, a constant or a function, found the end of the \
                 query",
                "   ,-[ shop/cart.toml:2:16 ]",
                "   |",
                " 2 | query = 'A where '",
                "   |                |",
                "   |                `-- here",
                "---'",
            ],
        );
    }

    #[test]
    fn files_and_places_are_in_order_and_a_file_may_be_gone() {
        let at = |file: &str, start| Diagnostic {
            severity: Severity::Warning,
            code: "x",
            file: file.into(),
            range: start..start,
            message: format!("at {start}"),
            help: Some("write y".to_owned()),
        };
        let picture = render(&[at("b", 9), at("b", 0), at("a", 5)], |_| None, Colors::Plain);
        let lines = ["a: at 5", "b: at 0", "b: at 9"];
        assert_eq!(picture, lines.map(|line| format!("warning [x] {line} (write y)\n")).concat());
    }

    #[test]
    fn any_range_of_any_text_has_a_picture() {
        for text in ["", "\u{20ac}", "a\r\n\u{20ac}\n", "\n\n"] {
            for start in 0..8 {
                for end in 0..8 {
                    let diagnostic = Diagnostic {
                        severity: Severity::Error,
                        code: "x",
                        file: "f".into(),
                        range: start..end,
                        message: "a sentence".to_owned(),
                        help: None,
                    };
                    let picture = render(&[diagnostic], |_| Some(text), Colors::Ansi);
                    assert!(picture.contains("a sentence"), "{text:?} {start}..{end}");
                }
            }
        }
    }
}
