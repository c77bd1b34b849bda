//! What a request's body may be: one event, an array, an envelope, or lines of NDJSON.
//!
//! The content type is not looked at: beacons send `text/plain`. Which form it is follows from the
//! text alone. One JSON value: an array of events, an object with `events` (the envelope), or an
//! event. More than one line, at least one of them an object by itself, and the first no open
//! bracket: NDJSON, judged line by line. Everything else is refused whole.

mod inflate;
mod split;

pub use inflate::{CHUNK_BYTES, Encoding, InflateError, inflate};
pub use split::{Piece, SplitError};

use split::Scanner;
use std::borrow::Cow;

/// A body, cut into its events.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch<'a> {
    /// The events, unread.
    pub events: Vec<Piece<'a>>,
    /// The envelope's `key`.
    pub key: Option<Cow<'a, str>>,
    /// The envelope's `sentAt`, milliseconds since 1970 by the client's clock.
    pub sent_ms: Option<i64>,
    /// The envelope's `visitSecret`.
    pub secret: Option<Cow<'a, str>>,
    /// Each event stands on a line of its own, and only that line is lost if it is no JSON.
    pub is_by_line: bool,
}

/// Why a body is refused whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Nothing but white space.
    #[error("the body is empty")]
    Empty,
    /// Not UTF-8.
    #[error("the body is not UTF-8 from byte {0} on")]
    NotUtf8(usize),
    /// Neither JSON nor NDJSON.
    #[error("the body is not JSON: {0}")]
    NotJson(SplitError),
    /// More than `batch_events_max` events.
    #[error("more than {0} events")]
    TooManyEvents(usize),
    /// A field of the envelope has the wrong type.
    #[error("the envelope's {field} is not {expected}")]
    BadEnvelope {
        /// Which.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

impl From<SplitError> for BodyError {
    fn from(error: SplitError) -> Self {
        match error {
            SplitError::TooMany(max) => Self::TooManyEvents(max),
            error @ SplitError::Unexpected { .. } => Self::NotJson(error),
        }
    }
}

impl<'a> Batch<'a> {
    /// Cuts `body` into at most `events_max` events.
    ///
    /// # Errors
    /// When the body is none of the forms, or holds more events.
    pub fn cut(body: &'a [u8], events_max: usize) -> Result<Self, BodyError> {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let text = match std::str::from_utf8(body) {
            Ok(text) => text,
            Err(error) => {
                return lines(body, events_max)
                    .unwrap_or(Err(BodyError::NotUtf8(error.valid_up_to())));
            }
        };
        let mut scanner = Scanner::new(text);
        let first = scanner.peek().ok_or(BodyError::Empty)?;
        if first == b'[' {
            let events = scanner.elements(events_max)?;
            scanner.end()?;
            return Ok(Self { events, ..Self::default() });
        }
        let whole = scanner.value().and_then(|value| scanner.end().map(|()| value));
        match whole {
            Ok(value) if first == b'{' => Self::object(value, events_max),
            Ok(value) => Ok(Self { events: vec![value], ..Self::default() }),
            Err(error) => lines(body, events_max).unwrap_or(Err(error.into())),
        }
    }

    /// An envelope, or one event.
    fn object(value: Piece<'a>, events_max: usize) -> Result<Self, BodyError> {
        let mut batch = Self::default();
        let mut is_envelope = false;
        let members = Scanner::new(value.text).members(|key, scanner| {
            match &*unquote(key).unwrap_or_default() {
                "events" => {
                    if scanner.peek() != Some(b'[') {
                        let expected = "an array of events";
                        return Err(BodyError::BadEnvelope { field: "events", expected });
                    }
                    is_envelope = true;
                    batch.events = scanner.elements(events_max)?;
                }
                "key" => batch.key = optional_text("key", scanner.value()?.text)?,
                "visitSecret" => {
                    batch.secret = optional_text("visitSecret", scanner.value()?.text)?;
                }
                "sentAt" => batch.sent_ms = optional_time("sentAt", scanner.value()?.text)?,
                _ => {
                    scanner.value()?;
                }
            }
            Ok::<(), BodyError>(())
        });
        match members {
            Ok(()) if is_envelope => Ok(batch),
            Err(error @ (BodyError::TooManyEvents(_) | BodyError::NotJson(_))) => Err(error),
            Err(error) if is_envelope || has_events(value.text) => Err(error),
            _ => Ok(Self { events: vec![value], ..Self::default() }),
        }
    }
}

/// Whether the object has a member `events`, whatever it is.
fn has_events(text: &str) -> bool {
    let mut found = false;
    let walked = Scanner::new(text).members(|key, scanner| {
        found |= unquote(key).as_deref() == Some("events");
        scanner.value().map(drop)
    });
    walked.is_ok() && found
}

/// One JSON value and nothing else.
///
/// # Errors
/// Where it stops being one.
pub fn one(text: &str) -> Result<Piece<'_>, SplitError> {
    let mut scanner = Scanner::new(text);
    scanner.value().and_then(|value| scanner.end().map(|()| value))
}

/// NDJSON, or `None` when the body does not look like it: no line is an object, or the first one goes
/// on behind its end as if the body were one value over several lines. It is an event that was cut off
/// if two lines or more come behind it, all of them objects: those of one value end with a comma.
fn lines(body: &[u8], events_max: usize) -> Option<Result<Batch<'_>, BodyError>> {
    let mut events = Vec::new();
    let mut objects = 0_usize;
    let mut goes_on = false;
    for line in body.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if events.is_empty() {
            goes_on = matches!(line.last(), Some(b'[' | b'{' | b',' | b':'));
        }
        if events.len() >= events_max {
            return Some(Err(BodyError::TooManyEvents(events_max)));
        }
        let text = std::str::from_utf8(line).unwrap_or_default();
        let value = one(text);
        objects += usize::from(value.is_ok() && line.starts_with(b"{"));
        // A line that is no JSON is kept as it is: its parser says so, and its depth is 0 because
        // only a whole value is ever handed to a recursive parser.
        events.push(match value {
            Ok(value) => value,
            Err(_) => Piece { raw: line, text: "", depth: 0 },
        });
    }
    let is_by_line = if goes_on {
        objects > 1 && objects == events.len() - 1
    } else {
        events.len() > 1 && objects > 0
    };
    is_by_line.then(|| Ok(Batch { events, is_by_line, ..Batch::default() }))
}

/// The text of a JSON string as written, with its quotes.
fn unquote(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str::<String>(json).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

fn optional_text<'a>(
    field: &'static str,
    json: &'a str,
) -> Result<Option<Cow<'a, str>>, BodyError> {
    if json == "null" {
        return Ok(None);
    }
    unquote(json).map(Some).ok_or(BodyError::BadEnvelope { field, expected: "a string" })
}

fn optional_time(field: &'static str, json: &str) -> Result<Option<i64>, BodyError> {
    if json == "null" {
        return Ok(None);
    }
    // A fraction of a millisecond is cut off.
    let whole = json.split('.').next().unwrap_or_default();
    let time = whole.parse().ok().filter(|time| (0..=i64::MAX / 2).contains(time));
    time.map(Some).ok_or(BodyError::BadEnvelope { field, expected: "milliseconds since 1970" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: &[&str]) -> Batch<'static> {
        let leaked: &'static str = String::leak(body.into());
        let batch = Batch::cut(leaked.as_bytes(), 4).expect("a batch");
        let texts: Vec<_> = batch.events.iter().map(|event| event.text).collect();
        assert_eq!(texts, expected);
        batch
    }

    #[track_caller]
    fn check_refused(body: &[u8], expected: fn(&BodyError) -> bool) {
        let error = Batch::cut(body, 4).expect_err("no batch");
        assert!(expected(&error), "{error:?}");
    }

    #[test]
    fn four_forms_are_told_apart() {
        check(r#"{"a":1}"#, &[r#"{"a":1}"#]);
        check(" {\n\"a\":\n1}\n", &["{\n\"a\":\n1}"]);
        check("[]", &[]);
        check(r#"[{"a":1}, 2]"#, &[r#"{"a":1}"#, "2"]);
        let envelope = check(
            r#"{"key":"k\u0031","sentAt":12.5,"visitSecret":"s","x":{},"events":[{},{}]}"#,
            &["{}", "{}"],
        );
        assert_eq!(envelope.key.as_deref(), Some("k1"));
        assert_eq!(envelope.secret.as_deref(), Some("s"));
        assert_eq!(envelope.sent_ms, Some(12));
        assert!(!envelope.is_by_line);
        assert!(check("{}\n\n{}\r\n", &["{}", "{}"]).is_by_line);
    }

    #[test]
    fn lines_are_judged_one_by_one() {
        let batch = check("{\"a\":1}\n{\"b\":\nnonsense\n{}", &["{\"a\":1}", "", "nonsense", "{}"]);
        assert_eq!(batch.events[1].raw, b"{\"b\":");
        let cut = check("{\"a\":\n{\"b\":1}\n{}", &["", "{\"b\":1}", "{}"]);
        assert_eq!(cut.events[0].raw, b"{\"a\":");
        check_refused(b"{\"events\":[\n{}", |error| matches!(error, BodyError::NotJson(_)));
        check_refused(b"{\"a\":\n{}\n}}", |error| matches!(error, BodyError::NotJson(_)));
        let latin = Batch::cut(b"{}\n{\"a\":\"\xfc\"}\n{}", 4).expect("lines");
        assert_eq!(latin.events[1].text, "");
        assert_eq!(latin.events[1].raw, b"{\"a\":\"\xfc\"}");
    }

    #[test]
    fn what_is_no_json_is_refused_whole() {
        check_refused(b"", |error| *error == BodyError::Empty);
        check_refused(b" \n", |error| *error == BodyError::Empty);
        check_refused(b"{\"a\":\"\xfc\"}", |error| *error == BodyError::NotUtf8(6));
        for body in [
            "{\"a\":1",
            "[{},",
            "[{}\n{}]",
            "{\"events\":[\n{}\n",
            "{\n\"a\":1\n\n{}",
            "{} {}",
            "hello\nworld",
        ] {
            check_refused(body.as_bytes(), |error| matches!(error, BodyError::NotJson(_)));
        }
    }

    #[test]
    fn an_envelope_has_its_types() {
        for body in [
            r#"{"events":{}}"#,
            r#"{"events":[],"key":1}"#,
            r#"{"key":1,"events":[]}"#,
            r#"{"events":[],"sentAt":"now"}"#,
            r#"{"events":[],"sentAt":-1}"#,
        ] {
            check_refused(body.as_bytes(), |error| matches!(error, BodyError::BadEnvelope { .. }));
        }
        check(r#"{"key":1,"a":2}"#, &[r#"{"key":1,"a":2}"#]);
    }

    #[test]
    fn events_stop_at_the_bound() {
        check("[1,2,3,4]", &["1", "2", "3", "4"]);
        for body in ["[1,2,3,4,5]", r#"{"events":[1,2,3,4,5]}"#, "{}\n{}\n{}\n{}\n{}"] {
            check_refused(body.as_bytes(), |error| *error == BodyError::TooManyEvents(4));
        }
    }
}
