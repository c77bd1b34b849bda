//! Takes apart a line of an Apache or nginx access log.
//!
//! Read are the `common` format, the `combined` one (the default of both servers), either with a
//! virtual host before it (Apache's `vhost_combined`), and whatever a configuration appends.
//!
//! ```text
//! [vhost:port ]host ident user [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 512 "referrer" "agent"
//! ```
//!
//! Texts in quotes are escaped by the servers: `\"`, `\\`, `\t`, `\n`, `\r`, `\v`, `\b` (Apache) and
//! `\xHH` (both). Bytes that are not UTF-8 become U+FFFD. `-` stands for nothing.

use super::time::parse_offset;
use jiff::civil;
use std::borrow::Cow;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessLine<'a> {
    /// The virtual host, where the line begins with one.
    pub(crate) vhost: Option<&'a str>,
    /// Address or name of the client.
    pub(crate) host: &'a str,
    /// When the request came, in milliseconds since 1970.
    pub(crate) timestamp_ms: i64,
    /// `GET`; none where the request line is not one of HTTP.
    pub(crate) method: Option<Box<str>>,
    /// The request's target, usually a path with a query.
    pub(crate) target: Option<Box<str>>,
    /// The answer's status.
    pub(crate) status: u16,
    /// Bytes of the answer's body.
    pub(crate) bytes: Option<u64>,
    /// The page the request came from.
    pub(crate) referrer: Option<Box<str>>,
    /// The browser.
    pub(crate) user_agent: Option<Box<str>>,
}

/// Why a line is not one of an access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AccessLineError {
    #[error("expected `[day/month/year:hour:minute:second zone]` after the client")]
    Time,
    #[error("expected a client's address and two more words before the time")]
    Client,
    #[error("expected the request in quotes after the time")]
    Request,
    #[error("expected a status of three digits after the request")]
    Status,
    #[error("expected the number of bytes, or `-`, after the status")]
    Bytes,
    #[error("the line ends within quotes")]
    Quote,
}

impl<'a> AccessLine<'a> {
    pub(crate) fn parse(line: &'a str) -> Result<Self, AccessLineError> {
        let (client, rest) = line.split_once(" [").ok_or(AccessLineError::Time)?;
        let (vhost, host) = split_client(client)?;
        let (time, rest) = rest.split_once("] ").ok_or(AccessLineError::Time)?;
        let timestamp_ms = parse_time(time).ok_or(AccessLineError::Time)?;
        let (request, rest) = quoted(rest)?.ok_or(AccessLineError::Request)?;
        let (status, rest) = word(rest);
        let status = parse_status(status).ok_or(AccessLineError::Status)?;
        let (bytes, rest) = word(rest);
        let bytes = match bytes {
            "-" => None,
            digits => Some(digits.parse().map_err(|_| AccessLineError::Bytes)?),
        };
        let (referrer, rest) = quoted(rest)?.unzip();
        let (user_agent, _) = quoted(rest.unwrap_or_default())?.unzip();
        let (method, target) = split_request(&request).unzip();
        Ok(Self {
            vhost,
            host,
            timestamp_ms,
            method,
            target,
            status,
            bytes,
            referrer: referrer.and_then(present),
            user_agent: user_agent.and_then(present),
        })
    }
}

/// `[vhost ]host ident user`; a user's name may hold spaces.
fn split_client(client: &str) -> Result<(Option<&str>, &str), AccessLineError> {
    let mut words = client.split(' ');
    let mut next = || words.next().filter(|word| !word.is_empty()).ok_or(AccessLineError::Client);
    let (first, second) = (next()?, next()?);
    next()?;
    if is_address(second) && !is_address(first) {
        next()?;
        return Ok((Some(first), second));
    }
    Ok((None, first))
}

fn is_address(word: &str) -> bool {
    word.parse::<std::net::IpAddr>().is_ok()
}

/// `17/May/2015:10:05:03 +0000`, in milliseconds since 1970.
fn parse_time(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (local, zone) = text.split_once(' ')?;
    let mut parts = local.splitn(3, '/');
    let day = parts.next()?.parse().ok()?;
    let name = parts.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? + 1;
    let mut parts = parts.next()?.splitn(4, ':');
    let year = parts.next()?.parse().ok()?;
    let hour = parts.next()?.parse().ok()?;
    let minute = parts.next()?.parse().ok()?;
    let second = parts.next()?.parse::<i8>().ok()?.min(59);
    let date = civil::Date::new(year, i8::try_from(month).ok()?, day).ok()?;
    let time = civil::Time::new(hour, minute, second, 0).ok()?;
    let instant = parse_offset(zone)?.to_timestamp(date.to_datetime(time)).ok()?;
    Some(instant.as_millisecond())
}

fn parse_status(word: &str) -> Option<u16> {
    let status = word.parse().ok()?;
    (word.len() == 3 && status >= 100).then_some(status)
}

/// Method and target of a request line; the target may hold spaces, the version may be missing.
fn split_request(request: &str) -> Option<(Box<str>, Box<str>)> {
    let (method, rest) = request.split_once(' ')?;
    let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    let target = match rest.rsplit_once(' ') {
        Some((target, version)) if version.starts_with("HTTP/") => target,
        _ => rest,
    };
    (is_method && !target.is_empty()).then(|| (method.into(), target.into()))
}

fn present(text: Cow<'_, str>) -> Option<Box<str>> {
    (!text.is_empty() && text != "-").then(|| text.into())
}

/// The next word, and what follows the space behind it.
fn word(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

/// A text in quotes, escapes resolved, and what follows it; `None` where no quote begins.
fn quoted(text: &str) -> Result<Option<(Cow<'_, str>, &str)>, AccessLineError> {
    let Some(body) = text.strip_prefix('"') else { return Ok(None) };
    let mut escaped = false;
    let end = body.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    let (inside, rest) =
        end.and_then(|end| body.split_at_checked(end)).ok_or(AccessLineError::Quote)?;
    let rest = rest.strip_prefix('"').unwrap_or(rest);
    Ok(Some((unescape(inside), rest.strip_prefix(' ').unwrap_or(rest))))
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b't') => out.push(b'\t'),
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b'v') => out.push(0x0b),
            Some(b'b') => out.push(0x08),
            Some(b'x') => match (bytes.clone().next(), bytes.clone().nth(1)) {
                (Some(high), Some(low)) if hex(high).is_some() && hex(low).is_some() => {
                    let digit = |byte| hex(byte).unwrap_or_default();
                    out.push(digit(high) << 4 | digit(low));
                    bytes.nth(1);
                }
                _ => out.extend_from_slice(b"\\x"),
            },
            Some(other) => out.push(other),
            None => out.push(b'\\'),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMBINED: &str = "83.149.9.216 - - [17/May/2015:10:05:03 +0000] \
        \"GET /a/b.html?q=1 HTTP/1.1\" 200 203023 \"http://x.example/\" \"Mozilla/5.0 (X11)\"";

    fn parse(line: &str) -> AccessLine<'_> {
        AccessLine::parse(line).expect(line)
    }

    #[test]
    fn a_combined_line() {
        let line = parse(COMBINED);
        assert_eq!(line.host, "83.149.9.216");
        assert_eq!(line.timestamp_ms, 1_431_857_103_000);
        assert_eq!(line.method.as_deref(), Some("GET"));
        assert_eq!(line.target.as_deref(), Some("/a/b.html?q=1"));
        assert_eq!((line.status, line.bytes), (200, Some(203_023)));
        assert_eq!(line.referrer.as_deref(), Some("http://x.example/"));
        assert_eq!(line.user_agent.as_deref(), Some("Mozilla/5.0 (X11)"));
    }

    #[test]
    fn a_common_line_and_one_with_more_than_combined() {
        let common = parse("::1 - bob [01/Jan/1970:01:00:00 +0100] \"HEAD / HTTP/1.0\" 304 -");
        assert_eq!((common.host, common.timestamp_ms), ("::1", 0));
        assert_eq!((common.bytes, common.referrer, common.user_agent), (None, None, None));
        let longer = format!("{COMBINED} \"10.0.0.1\" 0.003");
        assert_eq!(parse(&longer), parse(COMBINED));
    }

    #[test]
    fn clients_of_all_kinds() {
        let client = |prefix: &str| {
            let line = format!("{prefix} [01/Jan/1970:00:00:00 +0000] \"GET / HTTP/1.1\" 200 1");
            let line = parse(&line);
            (line.vhost.map(str::to_owned), line.host.to_owned())
        };
        assert_eq!(client("2001:db8::7 - -"), (None, "2001:db8::7".to_owned()));
        assert_eq!(client("host.example - Jane Doe"), (None, "host.example".to_owned()));
        let vhost = Some("shop.example:443".to_owned());
        assert_eq!(client("shop.example:443 10.1.2.3 - -"), (vhost, "10.1.2.3".to_owned()));
    }

    #[test]
    fn escapes_in_quotes() {
        let line = "h - - [01/Jan/1970:00:00:00 +0000] \"GET /\\\"q\\x22\\\\ HTTP/1.1\" 200 1 \
            \"-\" \"caf\\xc3\\xa9 \\xff \\xg1\"";
        let line = parse(line);
        assert_eq!(line.target.as_deref(), Some("/\"q\"\\"));
        assert_eq!(line.referrer, None);
        assert_eq!(line.user_agent.as_deref(), Some("caf\u{e9} \u{fffd} \\xg1"));
    }

    #[test]
    fn odd_requests_are_lines_without_a_target() {
        let target = |request: &str| {
            let line = format!("h - - [01/Jan/1970:00:00:00 +0000] \"{request}\" 400 0");
            parse(&line).target.map(String::from)
        };
        assert_eq!(target("-"), None);
        assert_eq!(target("\\x16\\x03\\x01 \\x00"), None);
        assert_eq!(target("GET /a b HTTP/1.1"), Some("/a b".to_owned()));
        assert_eq!(target("GET /old"), Some("/old".to_owned()));
    }

    #[test]
    fn what_is_no_line_says_why() {
        use AccessLineError::{Bytes, Client, Quote, Request, Status, Time};
        let check = |line: &str, expected| assert_eq!(AccessLine::parse(line), Err(expected));
        check("", Time);
        check("h - - [32/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1", Time);
        check("h - - [17/Mai/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1", Time);
        check("h - - [17/May/2015:10:05:03 0000] \"GET / HTTP/1.1\" 200 1", Time);
        check("h [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1", Client);
        check("h - - [17/May/2015:10:05:03 +0000] GET / 200 1", Request);
        check("h - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 2x0 1", Status);
        check("h - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 x", Bytes);
        check("h - - [17/May/2015:10:05:03 +0000] \"GET /", Quote);
        check("h - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"Moz", Quote);
    }
}
