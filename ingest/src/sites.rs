//! Sites and their write keys.
//!
//! A key is `browser` (public, so it opens nothing but writing, and needs an Origin of its list) or
//! `server` (secret). In memory a key is its SHA-256: a request's key is hashed and looked up, so
//! that the time of the look-up says nothing about a secret, and a core dump holds none.

use crate::identity::{IdentityCheck, IdentityConfig};
use crate::normalise::{Sender, Unproven};
use beckon_engine::model::SiteName;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use url::Url;

/// Characters that a server key needs at least: it is a secret.
pub const SERVER_KEY_CHARACTERS_MIN: usize = 16;
/// Bytes of a site's or key's name.
pub const NAME_BYTES_MAX: usize = 64;

/// `[sites.NAME]` of the configuration, by name.
pub type SitesConfig = BTreeMap<String, SiteConfig>;

/// One site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteConfig {
    /// Its write keys.
    #[serde(default)]
    pub keys: Vec<KeyConfig>,
    /// What proves who signed in; without it no browser's word does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentityConfig>,
    /// Requests of pages of its browser key's origins that show no key are let in by that key.
    #[serde(default)]
    pub default_for_origin: bool,
}

/// One write key, `[[sites.NAME.keys]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// What logs, metrics and dead letters call it.
    pub name: String,
    /// Who holds it.
    pub kind: KeyKind,
    /// The key itself; never written out again.
    #[serde(default, skip_serializing)]
    pub key: Option<String>,
    /// Instead of `key`: its SHA-256, 64 hex digits.
    #[serde(default)]
    pub key_sha256: Option<String>,
    /// Browser keys: the origins that may use it (`https://shop.example`).
    #[serde(default)]
    pub origins: Vec<String>,
    /// Browser keys: what becomes of events of a visit whose secret was not shown.
    #[serde(default)]
    pub unproven: Unproven,
}

/// Who holds a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// Anyone who opens the page.
    Browser,
    /// The site's servers.
    Server,
}

/// Why sites cannot be used as configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sites.{site}{key}: {message}", key = key.as_ref().map(|key| format!(", key {key}")).unwrap_or_default())]
pub struct SitesError {
    site: String,
    key: Option<String>,
    message: String,
}

/// A write key that was checked.
#[derive(Clone, Debug)]
pub struct WriteKey {
    /// The site that its events belong to.
    pub site: SiteName,
    /// What logs, metrics and dead letters call it: `site/name`.
    pub name: Arc<str>,
    /// Who holds it.
    pub sender: Sender,
    /// What becomes of unproven events.
    pub unproven: Unproven,
    /// What proves who signed in, where the site has that.
    pub identity: Option<Arc<IdentityCheck>>,
    origins: BTreeSet<Box<str>>,
}

impl WriteKey {
    /// The key of the demo: takes events from a browser on this machine, without a secret.
    #[must_use]
    pub fn demo(site: &str) -> Self {
        Self {
            site: site.into(),
            name: format!("{site}/demo").into(),
            sender: Sender::Browser,
            unproven: Unproven::Match,
            identity: None,
            origins: BTreeSet::new(),
        }
    }

    /// The key of a site's servers that show an API token; no configured key has its name.
    fn of_tokens(site: &str) -> Self {
        Self {
            site: site.into(),
            name: format!("{site}/@token").into(),
            sender: Sender::Server,
            unproven: Unproven::Record,
            identity: None,
            origins: BTreeSet::new(),
        }
    }

    /// Whether a page of this origin may use the key. `null` never matches.
    #[must_use]
    pub fn allows(&self, origin: &str) -> bool {
        self.origins.contains(origin.to_ascii_lowercase().as_str())
    }
}

/// All sites and keys.
#[derive(Debug, Default)]
pub struct Sites {
    names: BTreeSet<SiteName>,
    keys: BTreeMap<[u8; 32], Arc<WriteKey>>,
    origins: BTreeSet<Box<str>>,
    /// By origin: the key of pages that show none.
    defaults: BTreeMap<Box<str>, Arc<WriteKey>>,
    /// By site: the key of servers that show an API token.
    of_tokens: BTreeMap<SiteName, Arc<WriteKey>>,
}

impl Sites {
    /// Checks the configuration.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn new(config: &SitesConfig) -> Result<Self, Vec<SitesError>> {
        let mut sites = Self::default();
        let mut errors = Vec::new();
        for (site, site_config) in config {
            sites.names.insert(site.as_str().into());
            let mut say = |key: Option<&KeyConfig>, message: String| {
                let key = key.map(|key| key.name.clone());
                errors.push(SitesError { site: site.clone(), key, message });
            };
            if let Err(message) = check_name(site) {
                say(None, message);
            }
            let identity = site_config.identity.as_ref().map(IdentityCheck::new).transpose();
            let identity = identity.unwrap_or_else(|message| {
                say(None, message);
                None
            });
            let identity = identity.map(Arc::new);
            sites.of_tokens.insert(site.as_str().into(), Arc::new(WriteKey::of_tokens(site)));
            let mut names = BTreeSet::new();
            for key in &site_config.keys {
                if !names.insert(&key.name) {
                    say(Some(key), "two keys of the site have this name".into());
                }
                if let Err(message) = sites.add(site, key, identity.clone()) {
                    say(Some(key), message);
                }
            }
            if site_config.default_for_origin
                && let Err(message) = sites.set_default(site)
            {
                say(None, message);
            }
        }
        if errors.is_empty() { Ok(sites) } else { Err(errors) }
    }

    fn add(
        &mut self,
        site: &str,
        config: &KeyConfig,
        identity: Option<Arc<IdentityCheck>>,
    ) -> Result<(), String> {
        check_name(&config.name)?;
        let digest = digest_of(config)?;
        let origins = origins_of(config)?;
        let sender = match config.kind {
            KeyKind::Browser => Sender::Browser,
            KeyKind::Server => Sender::Server,
        };
        self.origins.extend(origins.iter().cloned());
        let key = WriteKey {
            site: site.into(),
            name: format!("{site}/{}", config.name).into(),
            sender,
            unproven: config.unproven,
            identity,
            origins,
        };
        match self.keys.insert(digest, Arc::new(key)) {
            None => Ok(()),
            Some(other) => Err(format!("the same key is also {}", other.name)),
        }
    }

    /// Lets pages of the site's browser key in that show no key.
    fn set_default(&mut self, site: &str) -> Result<(), String> {
        let of_site = self.keys.values().filter(|key| &*key.site == site);
        let mut browser = of_site.filter(|key| key.sender == Sender::Browser);
        let (Some(key), None) = (browser.next(), browser.next()) else {
            return Err("default_for_origin needs a site with one browser key".into());
        };
        if key.unproven != Unproven::Match {
            return Err(
                "default_for_origin needs unproven = \"match\" in the browser key: who shows \
                no key shows no visit's secret either"
                    .into(),
            );
        }
        for origin in &key.origins {
            if let Some(other) = self.defaults.insert(origin.clone(), Arc::clone(key)) {
                return Err(format!("default_for_origin: {origin} is also that of {}", other.site));
            }
        }
        Ok(())
    }

    /// The key of pages of this origin that show none.
    #[must_use]
    pub fn default_of(&self, origin: &str) -> Option<&Arc<WriteKey>> {
        self.defaults.get(origin.to_ascii_lowercase().as_str())
    }

    /// The key of servers that show an API token of this site.
    #[must_use]
    pub fn of_tokens(&self, site: &str) -> Option<&Arc<WriteKey>> {
        self.of_tokens.get(site)
    }

    /// The key that a request shows.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Arc<WriteKey>> {
        self.keys.get(&sha256(key.as_bytes()))
    }

    /// The names of all sites, those without keys too.
    #[must_use]
    pub fn names(&self) -> &BTreeSet<SiteName> {
        &self.names
    }

    /// The key of a name: `site/name`.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<WriteKey>> {
        self.keys.values().chain(self.of_tokens.values()).find(|key| &*key.name == name)
    }

    /// Whether any key allows the origin: what a preflight asks.
    #[must_use]
    pub fn any_allows(&self, origin: &str) -> bool {
        self.origins.contains(origin.to_ascii_lowercase().as_str())
    }
}

fn check_name(name: &str) -> Result<(), String> {
    // Names become folders of dead letters: none is hidden, none is `..`.
    let good = !name.is_empty()
        && !name.starts_with('.')
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if good {
        return Ok(());
    }
    Err(format!(
        "the name {name:?} must be 1 to {NAME_BYTES_MAX} letters, digits, '-', '_', inner '.'"
    ))
}

fn digest_of(config: &KeyConfig) -> Result<[u8; 32], String> {
    match (&config.key, &config.key_sha256) {
        (Some(_), Some(_)) => Err("has key and key_sha256, expected one of them".into()),
        (None, None) => Err("has neither key nor key_sha256".into()),
        (None, Some(hex)) => {
            decode_hex(hex).ok_or_else(|| "key_sha256 must be 64 hex digits".into())
        }
        (Some(key), None) => {
            if key.trim() != key || key.is_empty() {
                return Err("key is empty, or begins or ends with white space".into());
            }
            if config.kind == KeyKind::Server && key.chars().count() < SERVER_KEY_CHARACTERS_MIN {
                return Err(format!(
                    "a server key is a secret: it needs {SERVER_KEY_CHARACTERS_MIN} characters"
                ));
            }
            Ok(sha256(key.as_bytes()))
        }
    }
}

fn origins_of(config: &KeyConfig) -> Result<BTreeSet<Box<str>>, String> {
    match config.kind {
        KeyKind::Browser if config.origins.is_empty() => {
            Err("a browser key needs origins, such as [\"https://shop.example\"]".into())
        }
        KeyKind::Server if !config.origins.is_empty() => {
            Err("a server key has no origins: it must not be in a page".into())
        }
        KeyKind::Browser | KeyKind::Server => {
            config.origins.iter().map(|origin| check_origin(origin)).collect()
        }
    }
}

/// An origin as browsers write it.
fn check_origin(text: &str) -> Result<Box<str>, String> {
    let refuse = || format!("{text:?} is no origin, expected scheme://host or scheme://host:port");
    let url = Url::parse(text).map_err(|_| refuse())?;
    let bare = matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty();
    let origin = url.origin();
    if !bare || !origin.is_tuple() || text.contains('*') {
        return Err(refuse());
    }
    Ok(origin.ascii_serialization().into())
}

/// 64 hex digits.
pub(crate) fn decode_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut out = [0; 32];
    if digits.len() != 2 * out.len() {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(*pair.get(at)?).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(out)
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The first 128 bits of SHA-256: of a visit's secret they are its visitID.
#[must_use]
pub fn first_128_bits(bytes: &[u8]) -> u128 {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = sha256(bytes);
    u128::from_be_bytes([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: KeyKind) -> KeyConfig {
        KeyConfig {
            name: "k".into(),
            kind,
            key: Some("0123456789abcdef".into()),
            key_sha256: None,
            origins: Vec::new(),
            unproven: Unproven::Record,
        }
    }

    fn sites(keys: Vec<KeyConfig>) -> Result<Sites, Vec<SitesError>> {
        Sites::new(&BTreeMap::from([(
            "shop".to_owned(),
            SiteConfig { keys, ..SiteConfig::default() },
        )]))
    }

    #[track_caller]
    fn check_refused(key: KeyConfig, expected: &str) {
        let errors = sites(vec![key]).expect_err("refused");
        let text = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn keys_are_found_by_what_they_are() {
        let hashed = KeyConfig {
            name: "hashed".into(),
            key: None,
            key_sha256: Some(
                // SHA-256 of "abc".
                "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD".into(),
            ),
            ..key(KeyKind::Server)
        };
        let sites = sites(vec![key(KeyKind::Server), hashed]).expect("good keys");
        assert_eq!(sites.find("0123456789abcdef").map(|key| &*key.name), Some("shop/k"));
        assert_eq!(sites.find("abc").map(|key| &*key.name), Some("shop/hashed"));
        assert!(sites.find("abd").is_none());
        assert!(sites.find("").is_none());
    }

    #[test]
    fn origins_are_compared_as_browsers_write_them() {
        let origins = vec!["https://Shop.example:443/".into(), "http://localhost:8080".into()];
        let sites = sites(vec![KeyConfig { origins, ..key(KeyKind::Browser) }]).expect("good");
        let key = sites.find("0123456789abcdef").expect("the key");
        for origin in ["https://shop.example", "HTTPS://SHOP.EXAMPLE", "http://localhost:8080"] {
            assert!(key.allows(origin) && sites.any_allows(origin), "{origin}");
        }
        for origin in
            ["null", "", "http://shop.example", "https://evil.example", "https://shop.example:8"]
        {
            assert!(!key.allows(origin) && !sites.any_allows(origin), "{origin}");
        }
    }

    #[test]
    fn a_page_without_a_key_has_the_one_browser_key_of_its_origin() {
        let origins = vec!["https://shop.example".to_owned()];
        let web = KeyConfig { origins, unproven: Unproven::Match, ..key(KeyKind::Browser) };
        let site = |keys: Vec<KeyConfig>| SiteConfig {
            keys,
            default_for_origin: true,
            ..SiteConfig::default()
        };
        let sites = |all: &[(&str, Vec<KeyConfig>)]| {
            let all = all.iter().map(|(name, keys)| ((*name).to_owned(), site(keys.clone())));
            let sites = Sites::new(&all.collect());
            sites.map_err(|errors| errors.iter().map(ToString::to_string).collect::<String>())
        };
        let good = sites(&[("shop", vec![web.clone()])]).expect("good");
        let name = |origin: &str| good.default_of(origin).map(|key| key.name.to_string());
        assert_eq!(name("HTTPS://shop.example"), Some("shop/k".to_owned()));
        assert_eq!(name("https://other.example"), None);
        let check = |all: &[(&str, Vec<KeyConfig>)], expected: &str| {
            let said = sites(all).expect_err("refused");
            assert!(said.contains(expected), "{said}");
        };
        check(&[("shop", vec![key(KeyKind::Server)])], "one browser key");
        let named = |name: &str, text: &str| KeyConfig {
            name: name.into(),
            key: Some(text.into()),
            ..web.clone()
        };
        check(&[("shop", vec![named("a", "1"), named("b", "2")])], "one browser key");
        let recording = KeyConfig { unproven: Unproven::Record, ..web.clone() };
        check(&[("shop", vec![recording])], "needs unproven = \"match\"");
        let two = [("blog", vec![named("a", "1")]), ("shop", vec![named("b", "2")])];
        check(&two, "is also that of blog");
    }

    #[test]
    fn what_cannot_work_is_said() {
        check_refused(key(KeyKind::Browser), "needs origins");
        for origin in ["*", "null", "shop.example", "https://*.shop.example", "https://a.b/x"] {
            let origins = vec![origin.to_owned()];
            check_refused(KeyConfig { origins, ..key(KeyKind::Browser) }, "is no origin");
        }
        let origins = vec!["https://a.b".to_owned()];
        check_refused(KeyConfig { origins, ..key(KeyKind::Server) }, "has no origins");
        check_refused(KeyConfig { key: Some("short".into()), ..key(KeyKind::Server) }, "secret");
        check_refused(KeyConfig { key: None, ..key(KeyKind::Server) }, "neither");
        check_refused(KeyConfig { name: "a/b".into(), ..key(KeyKind::Server) }, "letters");
        let both = sites(vec![key(KeyKind::Server), key(KeyKind::Server)]).expect_err("twice");
        assert_eq!(both.len(), 2);
    }
}
