//! Takes keys and secrets out of the bytes of a rejected event.
//!
//! A dead letter is read by people and kept for weeks, so what opens something must not be in it:
//!
//! - the write key and the visit's secret that the request showed, wherever they stand;
//! - the value of a member named like a credential (`key`, `visitSecret`, `password`), which
//!   becomes `null`, so that the rest still parses and can be replayed;
//! - in addresses, the value of a parameter named like a secret, and `user:password@`.
//!
//! The bytes need not be JSON: that may be why they were rejected. What does not parse is searched
//! for `name: value` and `name=value` with any quotes, and rather too much is taken than too little.
//!
//! **Invariant:** secrets go before bytes are cut, so half a secret is never kept. The work is
//! linear in the bytes.

use crate::normalise::{is_credential, is_secret_like};
use std::borrow::Cow;

/// Bytes of an original that are kept.
pub const ORIGINAL_BYTES_MAX: usize = 64 << 10;
/// A shown secret shorter than this is no secret, and would tear holes into everything.
const SHOWN_BYTES_MIN: usize = 4;

/// Bytes that hold no secret. Only [`strip_secrets`] makes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stripped {
    pub(super) bytes: Vec<u8>,
    pub(super) came_bytes: usize,
    pub(super) secrets: u32,
    pub(super) is_cut: bool,
}

/// The bytes of a rejected event, without what must not be kept; at most [`ORIGINAL_BYTES_MAX`].
/// `shown` are the write key and the visit's secret of the request.
#[must_use]
pub fn strip_secrets(original: &[u8], shown: &[&str]) -> Stripped {
    let mut secrets = 0;
    let mut bytes = original.to_vec();
    for secret in shown.iter().filter(|secret| secret.len() >= SHOWN_BYTES_MIN) {
        bytes = without(&bytes, secret.as_bytes(), &mut secrets);
    }
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok();
    if is_json {
        bytes = members(&bytes, &mut secrets);
    }
    let signs: &[u8] = if is_json { b"=" } else { b"=:" };
    bytes = logins(&assignments(&bytes, signs, &mut secrets), &mut secrets);
    let is_cut = bytes.len() > ORIGINAL_BYTES_MAX;
    if is_cut {
        let mut end = ORIGINAL_BYTES_MAX;
        while end > 0 && bytes.get(end).is_some_and(|byte| byte & 0xC0 == 0x80) {
            end -= 1;
        }
        bytes.truncate(end);
    }
    Stripped { bytes, came_bytes: original.len(), secrets, is_cut }
}

fn without(bytes: &[u8], secret: &[u8], secrets: &mut u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = 0;
    for at in memchr::memmem::find_iter(bytes, secret) {
        out.extend_from_slice(&bytes[rest..at]);
        rest = at + secret.len();
        *secrets = secrets.saturating_add(1);
    }
    out.extend_from_slice(&bytes[rest..]);
    out
}

/// Puts `null` for the values of members named like credentials; `bytes` are JSON.
fn members(bytes: &[u8], secrets: &mut u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte != b'"' {
            out.push(byte);
            at += 1;
            continue;
        }
        let end = string_end(bytes, at);
        out.extend_from_slice(&bytes[at..end]);
        let colon = past_blank(bytes, end);
        let is_name = bytes.get(colon) == Some(&b':');
        if is_name && is_credential(&unquoted(&bytes[at..end])) {
            let value = past_blank(bytes, colon + 1);
            let after = value_end(bytes, value);
            out.extend_from_slice(&bytes[end..value]);
            out.extend_from_slice(b"null");
            *secrets = secrets.saturating_add(u32::from(&bytes[value..after] != b"null"));
            at = after;
        } else {
            at = end;
        }
    }
    out
}

fn unquoted(json: &[u8]) -> Cow<'_, str> {
    match serde_json::from_slice::<String>(json) {
        Ok(text) => Cow::Owned(text),
        Err(_) => String::from_utf8_lossy(json),
    }
}

fn past_blank(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// Behind the string whose first quote stands at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Behind the JSON value that begins at `start`.
fn value_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = string_end(bytes, at);
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return at + depth,
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => return at,
            byte if depth == 0 && byte.is_ascii_whitespace() => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// Empties the values of `name=value` with a name like a secret, and of `name: value` with a name
/// like a credential, where `signs` holds the sign between them.
fn assignments(bytes: &[u8], signs: &[u8], secrets: &mut u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        out.push(byte);
        at += 1;
        if !signs.contains(&byte) {
            continue;
        }
        let name = name_before(&out[..out.len() - 1]);
        if !(if byte == b'=' { is_secret_like(&name) } else { is_credential(&name) }) {
            continue;
        }
        // In JSON a quote behind the sign is the end of the string that it stands in.
        let is_json = !signs.contains(&b':');
        let (value, after) =
            if is_json { (at, parameter_end(bytes, at)) } else { loose_value(bytes, at) };
        *secrets = secrets.saturating_add(u32::from(after > value));
        out.extend_from_slice(&bytes[at..value]);
        at = after;
    }
    out
}

/// Start and end of the value behind a sign at `start`, in what is no JSON: within quotes, a
/// container, or up to what ends a parameter.
fn loose_value(bytes: &[u8], start: usize) -> (usize, usize) {
    let value = start + bytes[start..].iter().take_while(|byte| b" \t".contains(byte)).count();
    match bytes.get(value) {
        Some(b'{' | b'[') => (value, value_end(bytes, value)),
        Some(quote @ (b'"' | b'\'')) => {
            let inside = &bytes[value + 1..];
            let length = inside.iter().position(|byte| byte == quote || *byte == b'\n');
            (value + 1, value + 1 + length.unwrap_or(inside.len()))
        }
        _ => (value, parameter_end(bytes, value)),
    }
}

/// The name that ends where its sign stands; quotes and blanks between them are passed over.
fn name_before(bytes: &[u8]) -> String {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.%[]".contains(byte);
    let name = bytes.trim_ascii_end();
    let name = name.strip_suffix(b"\"").or_else(|| name.strip_suffix(b"'")).unwrap_or(name);
    let letters = name.iter().rev().take(NAME_BYTES_MAX).take_while(|byte| is_part(byte)).count();
    let name = &name[name.len() - letters..];
    // An escaped ampersand before the name.
    let name = if bytes.get(..bytes.len() - letters).is_some_and(|head| head.ends_with(b"\\")) {
        name.strip_prefix(b"u0026").unwrap_or(name)
    } else {
        name
    };
    let decoded = url::form_urlencoded::parse(name).next();
    decoded.map(|(name, _)| name.into_owned()).unwrap_or_default()
}

/// Characters of a name that are looked at, so that the work stays linear.
const NAME_BYTES_MAX: usize = 128;

/// Behind the value of a parameter that begins at `start`.
fn parameter_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if bytes.get(at + 1) == Some(&b'/') => at += 2,
            b'\\' | b'&' | b'#' | b'"' | b'\'' | b'<' | b'>' => return at,
            byte if byte.is_ascii_whitespace() || byte.is_ascii_control() => return at,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Takes `user:password@` out of addresses.
fn logins(bytes: &[u8], secrets: &mut u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        out.push(byte);
        at += 1;
        if byte != b'/' || !(out.ends_with(b"://") || out.ends_with(br":\/\/")) {
            continue;
        }
        let host = bytes.get(at..).unwrap_or_default();
        let ends = |byte: &u8| b"/?#\"'\\<>".contains(byte) || byte.is_ascii_whitespace();
        let length = host.iter().position(ends).unwrap_or(host.len());
        if let Some(login) = host[..length].iter().rposition(|byte| *byte == b'@') {
            *secrets = secrets.saturating_add(1);
            at += login + 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(original: &str, expected: &str) {
        let stripped = strip_secrets(original.as_bytes(), &["the-write-key", "s3cr3t-of-visit"]);
        let text = String::from_utf8_lossy(&stripped.bytes);
        assert_eq!(text, expected);
        assert_eq!(stripped.secrets > 0, text != original, "{original}");
        assert_eq!(stripped.came_bytes, original.len());
        assert!(!stripped.is_cut);
    }

    #[test]
    fn members_named_like_credentials_become_null() {
        check(r#"{"key":"k","a":1}"#, r#"{"key":null,"a":1}"#);
        check(r#"{"visitSecret" : "x\"y" , "a":1}"#, r#"{"visitSecret" : null , "a":1}"#);
        check(r#"{"data":{"password":{"a":["}"]},"b":2}}"#, r#"{"data":{"password":null,"b":2}}"#);
        check(r#"[{"apiKey":12},{"k\u0065y":[1,2]}]"#, r#"[{"apiKey":null},{"k\u0065y":null}]"#);
        check(r#"{"token":null,"pin":7}"#, r#"{"token":null,"pin":null}"#);
    }

    #[test]
    fn what_events_are_about_stays() {
        for original in [
            r#"{"eventName":"SignIn","data":{"userID":"u-1","code":"c","state":"TX"}}"#,
            r#"{"data":{"keyword":"key","text":"the key: under the mat"}}"#,
            r#"{"url":"https://shop.example/a?q=lamp&utm_source=x#top","n":[1,{"b":"\\"}]}"#,
            "",
            "null",
            "not JSON at all",
        ] {
            check(original, original);
        }
    }

    #[test]
    fn shown_secrets_go_wherever_they_stand() {
        check(r#"{"a":"the-write-key","b":["s3cr3t-of-visit!"]}"#, r#"{"a":"","b":["!"]}"#);
        check("broken the-write-key", "broken ");
    }

    #[test]
    fn addresses_lose_parameters_and_logins() {
        check(
            r#"{"url":"https://joe:pw@shop.example/?token=abc%20d&q=1"}"#,
            r#"{"url":"https://shop.example/?token=&q=1"}"#,
        );
        check(
            r#"{"url":"https:\/\/joe:pw@a.b\/?q=1\u0026acc%65ss_token=a\/b\u0026x=2"}"#,
            r#"{"url":"https:\/\/a.b\/?q=1\u0026acc%65ss_token=\u0026x=2"}"#,
        );
        check(r#"{"url":"/a?code=","b":"x"}"#, r#"{"url":"/a?code=","b":"x"}"#);
    }

    #[test]
    fn what_is_no_json_is_searched_too() {
        check(r#"{"a":"x, "password": "p w", "b":1"#, r#"{"a":"x, "password": "", "b":1"#);
        check(r#"{"a":"x, "token": {"b":[1]}, "c":1"#, r#"{"a":"x, "token": , "c":1"#);
        check("{'key': 'abc', 'a': 1}", "{'key': '', 'a': 1}");
        check("key=abc&a=1", "key=&a=1");
        check("{visitSecret: abc}", "{visitSecret: ");
    }

    #[test]
    fn long_originals_are_cut_between_characters() {
        let long = "\u{e9}".repeat(ORIGINAL_BYTES_MAX);
        let stripped = strip_secrets(long.as_bytes(), &[]);
        assert!(stripped.is_cut && stripped.came_bytes == long.len());
        assert_eq!(stripped.bytes.len(), ORIGINAL_BYTES_MAX);
        let stripped = strip_secrets(format!("a{long}").as_bytes(), &[]);
        assert_eq!(stripped.bytes.len(), ORIGINAL_BYTES_MAX - 1);
        let secret = format!("{}the-write-key", " ".repeat(ORIGINAL_BYTES_MAX - 3));
        let stripped = strip_secrets(secret.as_bytes(), &["the-write-key"]);
        assert!(!stripped.bytes.contains(&b't') && !stripped.is_cut);
    }

    #[test]
    fn any_bytes_are_taken() {
        for bytes in [&b"\xff\xfe\""[..], b"\"\\", b"{\"key\":", b"{\"key\"", b"=", b"://", b"key="]
        {
            let stripped = strip_secrets(bytes, &["", "x"]);
            assert!(stripped.bytes.len() <= bytes.len() + 4);
        }
    }
}
