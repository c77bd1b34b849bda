//! Finds out what an input is from its first lines.

use super::access_log::AccessLine;

/// What an input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An access log of Apache or nginx, `common` or `combined`.
    AccessLog,
    /// A JSON object on each line: Beckon's own events, or mapped ones.
    Ndjson,
    /// Comma-separated values with a header; always mapped.
    Csv,
}

/// The format of an input that begins with `head`; `None` where it is none that is known.
///
/// One good line among the first ten is enough for an access log: a log may begin with a cut line.
pub(crate) fn format_of(head: &[u8]) -> Option<Format> {
    let text = String::from_utf8_lossy(head);
    let lines = || text.lines().filter(|line| !line.trim().is_empty()).take(10);
    let first = lines().next()?;
    if first.trim_start().starts_with('{') {
        return Some(Format::Ndjson);
    }
    if lines().any(|line| AccessLine::parse(line).is_ok()) {
        return Some(Format::AccessLog);
    }
    super::csv::delimiter_of(first.as_bytes()).map(|_| Format::Csv)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &str, expected: Option<Format>) {
        assert_eq!(format_of(head.as_bytes()), expected, "{head}");
    }

    #[test]
    fn formats() {
        check("{\"eventName\":\"a\"}\n", Some(Format::Ndjson));
        check("\n  {\n", Some(Format::Ndjson));
        check("user_id,event\n1,x\n", Some(Format::Csv));
        let line = "1.2.3.4 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1";
        check(&format!("{line}\n"), Some(Format::AccessLog));
        check(&format!("cut, off\"\n{line}\n"), Some(Format::AccessLog));
        check("hello\n", None);
        check("", None);
    }
}
