//! What a line of an access log means: the built-in mapping.
//!
//! | request | event |
//! |---|---|
//! | answered with 400 or more | `RequestFailed` |
//! | other than GET, or not of HTTP | `Request` |
//! | answered with 3xx other than 304 | `Redirect` |
//! | GET of a feed (`/feed`, `.rss`, `.atom`, `?flav=rss20`) | `FeedRead` |
//! | GET of what a page loads: style, script, font, picture, `robots.txt` | `Asset` |
//! | GET of an archive, a document, a program, a film | `Download` |
//! | any other GET | `PageEntered` |
//!
//! A visitor, and the key of a visit, is the client's address with its user agent, hashed: the
//! address itself is kept only truncated (`ip`). Visits end by inactivity and a `VisitStarted` is
//! made up, as on the wire. `url` is the path with its kept parameters, with a host before it where
//! the log names one. `data` holds `method`, `status` and `bytes`. A client that says no user agent
//! is no browser: `isBot` is true.

use super::access_log::AccessLine;
use super::report::Dropped;
use crate::normalise::{Address, AddressError, QueryPolicy, UserAgents, truncate};
use beckon_engine::model::{
    Event, EventId, EventTimeMs, Flags, Id, ServerTimeMs, SiteName, Value, VisitId, VisitorId,
    system,
};
use sha2::{Digest, Sha256};

/// The events of access logs besides `PageEntered`.
mod name {
    pub(super) const ASSET: &str = "Asset";
    pub(super) const DOWNLOAD: &str = "Download";
    pub(super) const FEED_READ: &str = "FeedRead";
    pub(super) const REDIRECT: &str = "Redirect";
    pub(super) const REQUEST: &str = "Request";
    pub(super) const REQUEST_FAILED: &str = "RequestFailed";
}

const ASSETS: &[&str] = &[
    "css", "js", "mjs", "map", "json", "png", "jpg", "jpeg", "gif", "svg", "ico", "webp", "avif",
    "bmp", "woff", "woff2", "ttf", "otf", "eot", "cur",
];
const DOWNLOADS: &[&str] = &[
    "pdf", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "odt", "epub", "csv", "zip", "gz", "tgz",
    "bz2", "xz", "tar", "rar", "7z", "jar", "war", "exe", "msi", "dmg", "pkg", "deb", "rpm", "apk",
    "gem", "whl", "iso", "mp3", "mp4", "ogg", "webm", "mov", "avi",
];
const FEEDS: &[&str] = &["rss", "atom", "rdf"];

/// Makes events of lines.
#[derive(Debug)]
pub(crate) struct AccessMapper {
    site: SiteName,
    query_policy: QueryPolicy,
    user_agents: UserAgents,
}

impl AccessMapper {
    pub(crate) fn new(site: SiteName, query_policy: QueryPolicy) -> Self {
        let user_agents = UserAgents::default();
        Self { site, query_policy, user_agents }
    }

    /// The event of a line; what of it is not taken is added to `dropped`.
    pub(crate) fn event(&self, line: &AccessLine<'_>, id: u128, dropped: &mut Dropped) -> Event {
        let visitor = Id::Bits(visitor_of(line));
        let mut fields = Vec::with_capacity(16);
        let is_read = self.push_address(line, &mut fields, dropped);
        match line.referrer.as_ref().map(|text| Address::clean_text(text, &self.query_policy)) {
            None => {}
            Some(Err(AddressError)) => dropped.addresses += 1,
            Some(Ok((referrer, over_limit))) => {
                dropped.parameters += u64::from(over_limit);
                fields.push(("referrer".into(), Value::Str(referrer)));
            }
        }
        match &line.user_agent {
            Some(text) => self.user_agents.parse(text).push_fields(&mut fields),
            None => fields.push(("isBot".into(), Value::Bool(true))),
        }
        if let Ok(ip) = line.host.parse() {
            fields.push(("ip".into(), Value::Str(truncate(ip).into())));
        }
        fields.push(("data".into(), data_of(line)));
        let target = line.target.as_deref().filter(|_| is_read);
        Event {
            flags: Flags::default(),
            site: self.site.clone(),
            name: name_of(line.method.as_deref(), target, line.status).into(),
            id: EventId(Id::Bits(id)),
            visit: VisitId(visitor.clone()),
            visitor: Some(VisitorId(visitor)),
            page: None,
            timestamp: EventTimeMs(line.timestamp_ms),
            server_timestamp: ServerTimeMs(line.timestamp_ms),
            client_timestamp: None,
            tie: None,
            fields,
        }
    }

    /// Adds `url` and what belongs to it; false where the request has no address that can be read.
    fn push_address(
        &self,
        line: &AccessLine<'_>,
        fields: &mut Vec<(Box<str>, Value)>,
        dropped: &mut Dropped,
    ) -> bool {
        // `*` is the server as a whole, not one of its addresses.
        let Some(target) = line.target.as_deref().filter(|target| *target != "*") else {
            return false;
        };
        let with_host = line.vhost.filter(|_| target.starts_with('/')).map(|vhost| {
            let scheme = if vhost.ends_with(":443") { "https" } else { "http" };
            format!("{scheme}://{vhost}{target}")
        });
        let text = with_host.as_deref().unwrap_or(target);
        // `//x` is a path here; in a page it would name another host.
        let path = text.starts_with("//").then(|| format!("/{}", text.trim_start_matches('/')));
        let text = path.as_deref().unwrap_or(text);
        let Ok(address) = Address::clean(text, &self.query_policy) else {
            dropped.addresses += 1;
            return false;
        };
        dropped.parameters += u64::from(address.over_limit);
        address.push_fields(fields);
        true
    }
}

fn data_of(line: &AccessLine<'_>) -> Value {
    let mut data = Vec::with_capacity(3);
    if let Some(method) = &line.method {
        data.push(("method".into(), Value::Str(method.clone())));
    }
    data.push(("status".into(), Value::Int(i64::from(line.status))));
    if let Some(bytes) = line.bytes.and_then(|bytes| i64::try_from(bytes).ok()) {
        data.push(("bytes".into(), Value::Int(bytes)));
    }
    Value::Map(data)
}

/// 128 bits of the address and the user agent.
fn visitor_of(line: &AccessLine<'_>) -> u128 {
    let agent = line.user_agent.as_deref().unwrap_or_default();
    hash_of(&[b"visitor of an access log", line.host.as_bytes(), agent.as_bytes()])
}

/// The first 128 bits of SHA-256 over the parts, each with its length before it.
pub(crate) fn hash_of(parts: &[&[u8]]) -> u128 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    digest.iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte))
}

fn name_of(method: Option<&str>, target: Option<&str>, status: u16) -> &'static str {
    match (method, target, status) {
        (_, _, 400..) => name::REQUEST_FAILED,
        (Some("GET"), Some(target), 200..=299 | 304) => name_of_target(target),
        (Some("GET"), Some(_), 300..=399) => name::REDIRECT,
        _ => name::REQUEST,
    }
}

fn name_of_target(target: &str) -> &'static str {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = path.split('#').next().unwrap_or_default().to_ascii_lowercase();
    let file = path.rsplit('/').next().unwrap_or_default();
    let ending = file.rsplit_once('.').map_or("", |(_, ending)| ending);
    let mut folders = path.split('/');
    let is_feed = FEEDS.contains(&ending)
        || folders.any(|folder| matches!(folder, "feed" | "feeds" | "rss" | "atom"))
        || query.split('&').any(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            matches!(name, "flav" | "feed" | "format")
                && (value.starts_with("rss") || value.starts_with("atom"))
        });
    if is_feed {
        name::FEED_READ
    } else if ASSETS.contains(&ending) || file == "robots.txt" || file.starts_with("sitemap") {
        name::ASSET
    } else if DOWNLOADS.contains(&ending) {
        name::DOWNLOAD
    } else {
        system::PAGE_ENTERED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(line: &str) -> Event {
        event_and_dropped(line).0
    }

    fn event_and_dropped(line: &str) -> (Event, Dropped) {
        let line = AccessLine::parse(line).expect("a line");
        let mut dropped = Dropped::default();
        let event =
            AccessMapper::new("web".into(), QueryPolicy::default()).event(&line, 5, &mut dropped);
        (event, dropped)
    }

    fn text<'e>(event: &'e Event, field: &str) -> Option<&'e str> {
        match event.field(field) {
            Some(Value::Str(text)) => Some(text),
            _ => None,
        }
    }

    #[test]
    fn names() {
        let check = |method, target, status, expected| {
            assert_eq!(name_of(Some(method), Some(target), status), expected, "{target} {status}");
        };
        check("GET", "/", 200, "PageEntered");
        check("GET", "/blog/a.html?page=2", 304, "PageEntered");
        check("GET", "/projects/xdotool/xdotool.xhtml", 200, "PageEntered");
        check("GET", "/old", 301, "Redirect");
        check("GET", "/none.html", 404, "RequestFailed");
        check("POST", "/form", 200, "Request");
        check("HEAD", "/", 200, "Request");
        check("GET", "/style2.CSS", 200, "Asset");
        check("GET", "/robots.txt", 200, "Asset");
        check("GET", "/files/logstash-1.3.2.jar", 206, "Download");
        check("GET", "/blog/tags/puppet?flav=rss20", 200, "FeedRead");
        check("GET", "/feed/", 200, "FeedRead");
        assert_eq!(name_of(None, None, 200), "Request");
    }

    #[test]
    fn a_line_becomes_an_event() {
        let event = event(
            "83.149.9.216 - - [17/May/2015:10:05:03 +0000] \
             \"GET /a/b.html?q=1&token=x HTTP/1.1\" 200 512 \
             \"http://www.google.com/search?q=x&session=1\" \"Mozilla/5.0 (X11; Linux x86_64; \
             rv:27.0) Gecko/20100101 Firefox/27.0\"",
        );
        assert_eq!(&*event.name, "PageEntered");
        assert_eq!(text(&event, "url"), Some("/a/b.html?q=1"));
        assert_eq!(text(&event, "url.path"), Some("/a/b.html"));
        assert_eq!(text(&event, "url.query.q"), Some("1"));
        assert_eq!(text(&event, "referrer"), Some("http://www.google.com/search?q=x"));
        assert_eq!(text(&event, "userAgent.name"), Some("Firefox"));
        assert_eq!(text(&event, "ip"), Some("83.149.9.0"));
        assert_eq!(event.field("isBot"), Some(&Value::Bool(false)));
        let data = Value::Map(vec![
            ("method".into(), Value::Str("GET".into())),
            ("status".into(), Value::Int(200)),
            ("bytes".into(), Value::Int(512)),
        ]);
        assert_eq!(event.field("data"), Some(&data));
    }

    #[test]
    fn hosts_and_odd_targets() {
        let line = |start: &str, target: &str| {
            event(&format!(
                "{start}10.0.0.1 - - [17/May/2015:10:05:03 +0000] \"{target}\" 200 1 \"-\" \"-\""
            ))
        };
        let with_host = line("shop.example:443 ", "GET /a HTTP/1.1");
        assert_eq!(text(&with_host, "url"), Some("https://shop.example/a"));
        assert_eq!(text(&with_host, "url.host"), Some("shop.example"));
        assert_eq!(with_host.field("isBot"), Some(&Value::Bool(true)));
        let garbage = line("", "\\x16\\x03");
        assert_eq!((&*garbage.name, text(&garbage, "url")), ("Request", None));
        let doubled = line("", "GET //favicon.ico HTTP/1.1");
        assert_eq!((&*doubled.name, text(&doubled, "url")), ("Asset", Some("/favicon.ico")));
        let proxy = line("", "GET http://other.example/x HTTP/1.1");
        assert_eq!(text(&proxy, "url.host"), Some("other.example"));
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let check = |target: &str, referrer: &str, expected: Dropped| {
            let (event, dropped) = event_and_dropped(&format!(
                "10.0.0.1 - - [17/May/2015:10:05:03 +0000] \"GET {target} HTTP/1.1\" 200 1 \
                 \"{referrer}\" \"-\""
            ));
            assert_eq!(dropped, expected, "{target} {referrer}");
            event
        };
        let nothing = Dropped::default();
        check("/a?x=1", "https://a.example/?x=1", nothing);
        check("/a", "-", nothing);
        let addresses = |addresses| Dropped { addresses, ..nothing };
        let event = check("/a", "Visit us!", addresses(1));
        assert_eq!((text(&event, "url"), event.field("referrer")), (Some("/a"), None));
        assert_eq!(check("http://", "www.a.example", addresses(2)).field("url"), None);
        check("*", "-", nothing);
        let many = |count: usize| (0..count).map(|n| format!("utm_{n}=1&")).collect::<String>();
        let (target, referrer) =
            (format!("/a?{}", many(33)), format!("https://a.example/?{}", many(34)));
        check(&target, &referrer, Dropped { parameters: 3, ..nothing });
    }

    #[test]
    fn one_visitor_is_an_address_with_an_agent() {
        let visitor = |host: &str, agent: &str| {
            let line = format!(
                "{host} - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"{agent}\""
            );
            event(&line).visitor
        };
        assert_eq!(visitor("10.0.0.1", "a"), visitor("10.0.0.1", "a"));
        assert_ne!(visitor("10.0.0.1", "a"), visitor("10.0.0.2", "a"));
        assert_ne!(visitor("10.0.0.1", "a"), visitor("10.0.0.1", "b"));
    }
}
