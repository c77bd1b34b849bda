//! What a user agent says: browser, version, system, kind of device, and whether it is a bot.
//!
//! Parsing runs some twenty regular expressions (tens of microseconds), and a site sees the same
//! few thousand agents again and again, so results are cached. The cache has two generations: when
//! the young one is full it becomes the old one, and what was in the old one is forgotten unless
//! it was asked for since. That bounds it without a list to keep in order.

use beckon_engine::model::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use woothee::parser::Parser;

/// Parsed agents in each of the two generations of the cache.
pub const USER_AGENTS_MAX: usize = 4_096;
/// Bytes of an agent that are read; the rest is cut off.
pub const USER_AGENT_BYTES_MAX: usize = 512;
const UNKNOWN: &str = "UNKNOWN";

/// A parsed user agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserAgent {
    /// `userAgent.name`: `Chrome`, `Safari`, `Googlebot`.
    pub name: Option<Box<str>>,
    /// `userAgent.version`, as written.
    pub version: Option<Box<str>>,
    /// `userAgent.os`: `Windows 10`, `iPhone`, `Android`.
    pub os: Option<Box<str>>,
    /// `userAgent.device`: `pc`, `smartphone`, `mobilephone`, `appliance`, `crawler`, `misc`.
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
    let known = |value: &str| (!value.is_empty() && value != UNKNOWN).then(|| Box::from(value));
    let Some(found) = Parser::new().parse(text) else {
        return UserAgent { is_bot: is_program(text), ..UserAgent::default() };
    };
    UserAgent {
        name: known(found.name),
        version: known(found.version),
        os: known(found.os),
        device: known(found.category),
        is_bot: found.category == "crawler" || is_program(text),
    }
}

/// Programs that fetch pages and that woothee does not count among crawlers.
fn is_program(text: &str) -> bool {
    const PROGRAMS: &[&str] = &[
        "bot",
        "crawl",
        "spider",
        "curl/",
        "wget/",
        "python-",
        "python/",
        "aiohttp",
        "go-http",
        "java/",
        "okhttp",
        "libwww",
        "httpclient",
        "headless",
        "phantomjs",
        "scrapy",
        "slurp",
        "feed",
        "monitor",
        "lighthouse",
    ];
    let small = text.to_ascii_lowercase();
    PROGRAMS.iter().any(|program| small.contains(program))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 \
        (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";

    #[test]
    fn a_browser_is_read() {
        let chrome = parse(CHROME);
        assert_eq!(chrome.name.as_deref(), Some("Chrome"));
        assert_eq!(chrome.version.as_deref(), Some("120.0.0.0"));
        assert_eq!(chrome.os.as_deref(), Some("Windows 10"));
        assert_eq!(chrome.device.as_deref(), Some("pc"));
        assert!(!chrome.is_bot);
    }

    #[test]
    fn bots_are_found() {
        for text in [
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "curl/8.5.0",
            "python-requests/2.31",
            "Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/120.0.0.0 Safari/537.36",
        ] {
            assert!(parse(text).is_bot, "{text}");
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
