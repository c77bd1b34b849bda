//! JSON text straight from packed values, without an owned value between.
//!
//! What is written reads back as the same value: integers stay integers, a float always has a
//! point or an exponent, entries of a map keep their order. JSON has no words for what is not a
//! number and the infinities; they become `null`.

use super::value::{DEPTH_MAX, ValueView};
use super::{MapIter, UnpackError};
use std::fmt::Write as _;

/// Appends `value` to `out` as JSON text.
///
/// # Errors
/// When the bytes are damaged or nest deeper than [`DEPTH_MAX`]; `out` then ends in the middle.
pub fn write_json(value: ValueView<'_>, out: &mut String) -> Result<(), UnpackError> {
    write_within(value, DEPTH_MAX, out)
}

fn write_within(value: ValueView<'_>, depth: usize, out: &mut String) -> Result<(), UnpackError> {
    let inner = depth.checked_sub(1).ok_or(UnpackError::Depth)?;
    match value {
        ValueView::Null => out.push_str("null"),
        ValueView::Bool(true) => out.push_str("true"),
        ValueView::Bool(false) => out.push_str("false"),
        ValueView::Int(int) => write!(out, "{int}").expect("a String takes all text"),
        ValueView::Float(float) => write_float(float, out),
        ValueView::Str(text) => write_json_str(text, out),
        ValueView::List(values) => {
            out.push('[');
            for (index, value) in values.enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_within(value?, inner, out)?;
            }
            out.push(']');
        }
        ValueView::Map(entries) => write_map(entries, inner, out)?,
    }
    Ok(())
}

fn write_map(entries: MapIter<'_>, inner: usize, out: &mut String) -> Result<(), UnpackError> {
    out.push('{');
    for (index, entry) in entries.enumerate() {
        let (key, value) = entry?;
        if index > 0 {
            out.push(',');
        }
        write_json_str(key, out);
        out.push(':');
        write_within(value, inner, out)?;
    }
    out.push('}');
    Ok(())
}

/// The shortest text that reads back as the same float; `Debug` never leaves out the point.
fn write_float(float: f64, out: &mut String) {
    if float.is_finite() {
        write!(out, "{float:?}").expect("a String takes all text");
    } else {
        out.push_str("null");
    }
}

/// Appends `text` to `out` in quotes, escaped as RFC 8259 asks for.
pub fn write_json_str(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(position) = rest.bytes().position(needs_escape) {
        let (plain, tail) = rest.split_at(position);
        out.push_str(plain);
        let mut chars = tail.chars();
        write_escape(chars.next().expect("the byte found is one ASCII character"), out);
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn write_escape(char: char, out: &mut String) {
    match char {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        other => write!(out, "\\u{:04x}", u32::from(other)).expect("a String takes all text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Value;
    use crate::model::view::Cursor;

    fn text_of(value: &Value) -> Result<String, UnpackError> {
        let mut bytes = Vec::new();
        value.pack(&mut bytes);
        let view = ValueView::read(&mut Cursor::new(&bytes))?;
        let mut out = String::new();
        write_json(view, &mut out)?;
        Ok(out)
    }

    fn check(value: &Value, expected: &str) {
        assert_eq!(text_of(value).as_deref(), Ok(expected));
        assert!(serde_json::from_str::<serde_json::Value>(expected).is_ok());
    }

    #[test]
    fn numbers_keep_their_kind() {
        check(&Value::Int(i64::MIN), "-9223372036854775808");
        check(&Value::Float(12.0), "12.0");
        check(&Value::Float(1e300), "1e300");
        check(&Value::Float(-0.0), "-0.0");
        check(&Value::Float(f64::NAN), "null");
        check(&Value::Float(f64::INFINITY), "null");
    }

    #[test]
    fn texts_are_escaped_and_read_back() {
        check(&Value::Str("plain \u{e4}\u{1F600}".into()), "\"plain \u{e4}\u{1F600}\"");
        check(&Value::Str("a\"b\\c\nd\u{1}".into()), "\"a\\\"b\\\\c\\nd\\u0001\"");
        let all: String = (0..0x300).filter_map(char::from_u32).collect();
        let text = text_of(&Value::Str(all.as_str().into())).expect("whole bytes");
        assert_eq!(serde_json::from_str::<String>(&text).expect("JSON"), all);
    }

    #[test]
    fn nesting_keeps_order_and_ends_at_its_bound() {
        let map = Value::Map(vec![
            ("b".into(), Value::List(vec![Value::Null, Value::Bool(true)])),
            ("a".into(), Value::Map(vec![])),
        ]);
        check(&map, r#"{"b":[null,true],"a":{}}"#);
        let nested =
            |levels: usize| (1..levels).fold(Value::Int(1), |value, _| Value::List(vec![value]));
        assert!(text_of(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(text_of(&nested(DEPTH_MAX + 1)), Err(UnpackError::Depth));
    }
}
