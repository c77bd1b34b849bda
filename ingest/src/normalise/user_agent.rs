//! What a user agent says: browser, version, system, kind of device, and whether it is a bot.
//!
//! Browser, version, system and most bots are found by `ua-parser` with the patterns of uap-core, which are
//! compiled into the binary (`resources/user-agents`). To make 570 regular expressions of them takes some 70 ms
//! of processor and 12 MB, so that is done once for the process, on a thread of its own
//! ([`UserAgents::prepare`]).
//!
//! Parsing takes tens of microseconds, and a site sees the same few thousand agents again and again, so
//! results are cached. The cache has two generations: when the young one is full it becomes the old one,
//! and what was in the old one is forgotten unless it was asked for since. That bounds it without a list
//! to keep in order.

use beckon_engine::model::Value;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use ua_parser::{Extractor, Regexes, os, user_agent};

/// Parsed agents in each of the two generations of the cache.
pub const USER_AGENTS_MAX: usize = 4_096;
/// Bytes of an agent that are read; the rest is cut off.
pub const USER_AGENT_BYTES_MAX: usize = 512;
/// What the patterns call the device of a bot.
const SPIDER: &str = "Spider";

/// The patterns, ready to be used; who comes first makes them so.
static PATTERNS: LazyLock<Extractor<'static>> = LazyLock::new(|| {
    let json = include_str!("../../../resources/user-agents/patterns.json");
    let patterns: Regexes<'static> = serde_json::from_str(json).expect("a test reads them");
    Extractor::try_from(patterns).expect("a test makes them")
});

/// A parsed user agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserAgent {
    /// `userAgent.name`: `Chrome`, `Mobile Safari`, `Googlebot`.
    pub name: Option<Box<str>>,
    /// `userAgent.version`, as written.
    pub version: Option<Box<str>>,
    /// `userAgent.os`: `Windows 10`, `iOS`, `Android`, `Mac OS X`.
    pub os: Option<Box<str>>,
    /// `userAgent.device`: `pc`, `smartphone`, `tablet`, `mobilephone`, `appliance`, `crawler`.
    pub device: Option<Box<str>>,
    /// `isBot`.
    pub is_bot: bool,
}

impl UserAgent {
    /// Adds `userAgent.*` and `isBot` to an event's fields.
    pub fn push_fields(&self, fields: &mut Vec<(Box<str>, Value)>) {
        for (name, value) in [
            ("userAgent.name", &self.name),
            ("userAgent.version", &self.version),
            ("userAgent.os", &self.os),
            ("userAgent.device", &self.device),
        ] {
            if let Some(value) = value {
                fields.push((name.into(), Value::Str(value.clone())));
            }
        }
        fields.push(("isBot".into(), Value::Bool(self.is_bot)));
    }
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Box<str>, Arc<UserAgent>>,
    old: HashMap<Box<str>, Arc<UserAgent>>,
}

/// Parses user agents, each seldom more than once.
#[derive(Debug, Default)]
pub struct UserAgents {
    generations: Mutex<Generations>,
}

impl UserAgents {
    /// Makes the patterns ready, so that the first event does not wait for that; nor does the start, as it is
    /// done on a thread of its own.
    pub(crate) fn prepare() {
        let thread = std::thread::Builder::new().name("user-agents".into());
        let ready = thread.spawn(|| {
            LazyLock::force(&PATTERNS);
        });
        if let Err(error) = ready {
            tracing::warn!(%error, "no thread for the patterns of user agents: the first event waits");
        }
    }

    /// What `text` says.
    #[must_use]
    pub fn parse(&self, text: &str) -> Arc<UserAgent> {
        let text = cut(text);
        if let Some(known) = self.known(text) {
            return known;
        }
        let parsed = Arc::new(parse(text));
        self.remember(text, &parsed);
        parsed
    }

    fn known(&self, text: &str) -> Option<Arc<UserAgent>> {
        let mut generations = self.lock();
        if let Some(known) = generations.young.get(text) {
            return Some(Arc::clone(known));
        }
        let known = generations.old.remove(text)?;
        drop(generations);
        self.remember(text, &known);
        Some(known)
    }

    fn remember(&self, text: &str, parsed: &Arc<UserAgent>) {
        let mut generations = self.lock();
        if generations.young.len() >= USER_AGENTS_MAX {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(text.into(), Arc::clone(parsed));
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        // A cache is whole after every statement: a panic elsewhere does not spoil it.
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cut(text: &str) -> &str {
    let end = (0..=USER_AGENT_BYTES_MAX.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    text.split_at(end).0
}

fn parse(text: &str) -> UserAgent {
    let (browser, system, device) = PATTERNS.extract(text);
    let small = text.to_ascii_lowercase();
    let is_bot = device.is_some_and(|device| device.device == SPIDER) || is_program(&small);
    UserAgent {
        version: browser.as_ref().and_then(version_of),
        name: browser.map(|browser| browser.family.into()),
        os: system.map(|system| name_of(&system)),
        device: if is_bot { Some("crawler") } else { device_of(&small) }.map(Box::from),
        is_bot,
    }
}

fn version_of(browser: &user_agent::ValueRef<'_>) -> Option<Box<str>> {
    let parts = [browser.major, browser.minor, browser.patch, browser.patch_minor];
    let parts: Vec<&str> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(".").into())
}

/// The system without its version, which rises with each update; but `10` and `XP` are names of Windows.
fn name_of(system: &os::ValueRef<'_>) -> Box<str> {
    match (&*system.os, &system.major, &system.minor) {
        (name @ "Windows", Some(major), Some(minor)) => format!("{name} {major}.{minor}").into(),
        (name @ "Windows", Some(major), None) => format!("{name} {major}").into(),
        (name, ..) => name.into(),
    }
}

/// The kind of device, by what browsers write in lower case; the first that is found.
fn device_of(small: &str) -> Option<&'static str> {
    const APPLIANCES: &[&str] = &[
        "playstation",
        "xbox",
        "nintendo",
        "smart-tv",
        "smarttv",
        "appletv",
        "googletv",
        "hbbtv",
        "web0s",
        "crkey",
        "roku",
    ];
    const KINDS: &[(&str, &[&str])] = &[
        ("appliance", APPLIANCES),
        ("tablet", &["ipad", "kindle", "silk"]),
        ("mobilephone", &["midp", "j2me"]),
        ("smartphone", &["iphone", "ipod", "mobi"]),
        // Those that are no phones do not say that they are mobile.
        ("tablet", &["android"]),
        ("pc", &["windows", "macintosh", "x11", "linux"]),
    ];
    let is_one = |words: &[&str]| words.iter().any(|word| small.contains(word));
    KINDS.iter().find(|(_, words)| is_one(words)).map(|(kind, _)| *kind)
}

/// Programs that fetch pages and that the patterns do not count among bots, in lower case: 22 of the 559
/// agents of the log that the examples read.
fn is_program(small: &str) -> bool {
    const PROGRAMS: &[&str] = &[
        "curl/",
        "wget/",
        "python-",
        "python/",
        "aiohttp",
        "axios/",
        "node-fetch",
        "go-http",
        "okhttp",
        "libwww",
        "indy library",
        "httpclient",
        "headless",
        "phantomjs",
        "feed",
        "monitor",
        "lighthouse",
    ];
    PROGRAMS.iter().any(|program| small.contains(program))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 \
        (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";

    /// What is read of an agent: name, version, system, kind of device; `-` for none.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let read = parse(text);
        let fields = [read.name, read.version, read.os, read.device];
        let fields = fields.map(|field| field.unwrap_or("-".into()));
        assert_eq!(fields.join(", "), expected, "{text}");
        assert_eq!(read.is_bot, expected.ends_with("crawler"), "{text}");
    }

    #[test]
    fn browsers_are_read() {
        check(CHROME, "Chrome, 120.0.0.0, Windows 10, pc");
        check(&format!("{CHROME} Edg/120.0.2210.91"), "Edge, 120.0.2210.91, Windows 10, pc");
        check(
            "Mozilla/5.0 (Windows NT 6.3; WOW64; Trident/7.0; rv:11.0) like Gecko",
            "IE, 11.0, Windows 8.1, pc",
        );
        check(
            "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
            "Firefox, 127.0, Linux, pc",
        );
        check(
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like \
             Gecko) Version/17.4.1 Safari/605.1.15",
            "Safari, 17.4.1, Mac OS X, pc",
        );
        let apple = |model: &str| {
            format!(
                "Mozilla/5.0 ({model} OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like \
                 Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
            )
        };
        check(&apple("iPhone; CPU iPhone"), "Mobile Safari, 17.5, iOS, smartphone");
        check(&apple("iPad; CPU"), "Mobile Safari, 17.5, iOS, tablet");
        let android = |browser: &str| {
            format!(
                "Mozilla/5.0 (Linux; Android 13; X) AppleWebKit/537.36 (KHTML, like Gecko) {browser}"
            )
        };
        let mobile = "Chrome/126.0.0.0 Mobile Safari/537.36";
        check(&android(mobile), "Chrome Mobile, 126.0.0.0, Android, smartphone");
        check(&android("Chrome/126.0.0.0 Safari/537.36"), "Chrome, 126.0.0.0, Android, tablet");
        check("Opera/9.80 (J2ME/MIDP; Opera Mini/4.1)", "Opera Mini, 4.1, -, mobilephone");
        check("something else", "-, -, -, -");
    }

    #[test]
    fn bots_are_found() {
        check(
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Googlebot, 2.1, -, crawler",
        );
        for text in [
            "curl/8.5.0",
            "python-requests/2.31",
            "Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/120.0.0.0 Safari/537.36",
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.1)",
            "Feedly/1.0 (+http://www.feedly.com/fetcher.html; like FeedFetcher-Google)",
        ] {
            assert!(parse(text).is_bot, "{text}");
        }
    }

    /// A phone and a browser whose names have `bot` and `silk` in them.
    #[test]
    fn what_is_called_like_a_bot_is_none() {
        for text in [
            "Mozilla/5.0 (Linux; Android 12; CUBOT NOTE 20) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/126.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 11; KFTRWI) AppleWebKit/537.36 (KHTML, like Gecko) \
             Silk/126.2.1 like Chrome/126.0.0.0 Safari/537.36",
        ] {
            assert!(!parse(text).is_bot, "{text}");
        }
    }

    #[test]
    fn the_cache_keeps_its_bound_and_what_is_used() {
        let agents = UserAgents::default();
        let first = agents.parse("agent/first");
        for n in 0..3 * USER_AGENTS_MAX {
            agents.remember(&format!("agent/{n}"), &first);
            assert!(Arc::ptr_eq(&first, &agents.parse("agent/first")), "forgotten at {n}");
        }
        let generations = agents.lock();
        assert!(generations.young.len() <= USER_AGENTS_MAX);
        assert!(generations.old.len() <= USER_AGENTS_MAX);
    }

    #[test]
    fn a_long_agent_is_cut_between_characters() {
        let long = "\u{fc}".repeat(USER_AGENT_BYTES_MAX);
        assert_eq!(cut(&format!("x{long}")).len(), USER_AGENT_BYTES_MAX - 1);
    }
}
