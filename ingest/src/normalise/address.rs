//! Web addresses without what must not be kept.
//!
//! Of the query, `utm_*` and the parameters of an allow list are kept; names like secrets are
//! dropped even then. Fragments, user names and passwords are always dropped. The same is done to
//! the referrer.
//!
//! Two ways lead to the same result: plain `http(s)` addresses (nearly all) are cut by hand, which
//! costs a tenth of a full parse; everything else goes through the `url` crate. A property test
//! holds the two together.

use super::secrets::is_secret_like;
use beckon_engine::model::Value;
use serde::{Deserialize, Serialize};
use url::{Url, form_urlencoded};

/// Parameters that are kept of one address; more are dropped.
pub const QUERY_PARAMETERS_MAX: usize = 32;

/// Which query parameters are kept besides `utm_*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QueryPolicy {
    /// Names, compared without case; `*` keeps all that are not named like secrets.
    pub allowed: Vec<String>,
}

impl Default for QueryPolicy {
    fn default() -> Self {
        let names = [
            "q", "query", "search", "s", "page", "category", "product", "sku", "sort", "filter",
            "lang", "ref", "variant", "tab",
        ];
        Self { allowed: names.map(String::from).to_vec() }
    }
}

impl QueryPolicy {
    fn keeps(&self, name: &str) -> bool {
        let listed = name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("utm_"))
            || self
                .allowed
                .iter()
                .any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(name));
        listed && !name.is_empty() && !is_secret_like(name)
    }
}

/// An address, cleaned and taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The whole of it, without fragment, user name, password and dropped parameters.
    pub full: Box<str>,
    /// Its host in lower case, IDNA-encoded; none for `/path` and `about:blank`.
    pub host: Option<Box<str>>,
    /// Its path.
    pub path: Box<str>,
    /// Kept parameters, decoded, in order; a name may come again.
    pub query: Vec<(String, String)>,
    /// Parameters that are not kept because of [`QUERY_PARAMETERS_MAX`] alone.
    pub over_limit: u32,
}

/// The text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an absolute address, or a path that begins with /")]
pub struct AddressError;

impl Address {
    /// Cleans `text`: an absolute address, or a path that begins with `/`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn clean(text: &str, policy: &QueryPolicy) -> Result<Self, AddressError> {
        if let Some(plain) = Plain::cut(text) {
            return Ok(plain.clean(policy));
        }
        if text.starts_with('/') && !text.starts_with("//") {
            let base = Url::parse("http://relative.invalid").expect("a constant address");
            let url = base.join(text).map_err(|_| AddressError)?;
            return Ok(Self::of_parts("", None, &url, policy));
        }
        let url = Url::parse(text).map_err(|_| AddressError)?;
        let Some(host) = url.host_str() else {
            return Ok(Self::of_parts(&format!("{}:", url.scheme()), None, &url, policy));
        };
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let start = format!("{}://{host}{port}", url.scheme());
        Ok(Self::of_parts(&start, Some(host), &url, policy))
    }

    /// Cleans `text` and keeps it whole, for a referrer; and its parameters over the limit.
    ///
    /// # Errors
    /// When it is no address.
    pub fn clean_text(text: &str, policy: &QueryPolicy) -> Result<(Box<str>, u32), AddressError> {
        match Plain::cut(text) {
            // Nothing to drop, nothing to rewrite.
            Some(plain) if plain.is_whole() => Ok((text.into(), 0)),
            _ => Self::clean(text, policy).map(|address| (address.full, address.over_limit)),
        }
    }

    fn of_parts(start: &str, host: Option<&str>, url: &Url, policy: &QueryPolicy) -> Self {
        let mut full = format!("{start}{}", url.path());
        let (query, over_limit) = append_kept(&mut full, url.query(), policy);
        let (host, path) = (host.map(Into::into), url.path().into());
        Self { full: full.into(), host, path, query, over_limit }
    }

    /// Adds `url`, `url.path`, `url.host`, `url.query.*` and `campaign.*` to an event's fields.
    pub fn push_fields(self, fields: &mut Vec<(Box<str>, Value)>) {
        fields.push(("url".into(), Value::Str(self.full)));
        fields.push(("url.path".into(), Value::Str(self.path)));
        if let Some(host) = self.host {
            fields.push(("url.host".into(), Value::Str(host)));
        }
        let first = fields.len();
        for (name, value) in self.query {
            if let Some(campaign) = campaign_field(&name) {
                push_value(fields, first, campaign.into(), Value::Str(value.as_str().into()));
            }
            push_value(fields, first, format!("url.query.{name}").into(), Value::Str(value.into()));
        }
    }
}

/// A name stands once: what comes again makes a list of it.
fn push_value(fields: &mut Vec<(Box<str>, Value)>, first: usize, name: Box<str>, value: Value) {
    let there = fields.iter_mut().skip(first).find(|(there, _)| *there == name);
    match there.map(|(_, there)| there) {
        None => fields.push((name, value)),
        Some(Value::List(values)) => values.push(value),
        Some(single) => {
            let before = std::mem::replace(single, Value::Null);
            *single = Value::List(vec![before, value]);
        }
    }
}

fn campaign_field(parameter: &str) -> Option<&'static str> {
    Some(match parameter.to_ascii_lowercase().as_str() {
        "utm_source" => "campaign.source",
        "utm_medium" => "campaign.medium",
        "utm_campaign" => "campaign.name",
        "utm_term" => "campaign.term",
        "utm_content" => "campaign.content",
        _ => return None,
    })
}

/// Appends the kept parameters as they were written, and gives them decoded; and how many more
/// there were to keep.
fn append_kept(
    full: &mut String,
    query: Option<&str>,
    policy: &QueryPolicy,
) -> (Vec<(String, String)>, u32) {
    let mut kept = Vec::new();
    let mut over_limit = 0;
    for raw in query.unwrap_or_default().split('&') {
        let Some((name, value)) = form_urlencoded::parse(raw.as_bytes()).next() else { continue };
        if !policy.keeps(&name) {
            continue;
        }
        if kept.len() >= QUERY_PARAMETERS_MAX {
            over_limit += 1;
            continue;
        }
        full.push(if kept.is_empty() { '?' } else { '&' });
        full.push_str(raw);
        kept.push((name.into_owned(), value.into_owned()));
    }
    (kept, over_limit)
}

/// A plain address, cut by hand: `http(s)`, a lower-case DNS name, nothing to be rewritten.
struct Plain<'a> {
    text: &'a str,
    host: &'a str,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Plain<'a> {
    fn cut(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let host_end = rest
            .bytes()
            .position(|byte| !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
            .unwrap_or(rest.len());
        let (host, rest) = rest.split_at(host_end);
        let last_label = host.rsplit('.').next()?;
        let begins_with_letter = last_label.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        if !begins_with_letter || host.contains("xn--") || !rest.starts_with('/') {
            return None;
        }
        let without_fragment = rest.split('#').next()?;
        let (path, query) = match without_fragment.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (without_fragment, None),
        };
        let plain_path = path.bytes().all(is_plain_path_byte)
            && !path.contains("/.")
            && !contains_encoded_dot(path);
        let plain_query = query.is_none_or(|query| query.bytes().all(is_plain_query_byte));
        let plain_fragment = rest.len() == without_fragment.len() || rest.is_ascii();
        (plain_path && plain_query && plain_fragment).then_some(Self { text, host, path, query })
    }

    /// Neither a query nor a fragment.
    fn is_whole(&self) -> bool {
        self.query.is_none() && self.text.ends_with(self.path)
    }

    fn clean(&self, policy: &QueryPolicy) -> Address {
        let scheme = if self.text.starts_with("https") { "https://" } else { "http://" };
        let mut full = String::with_capacity(self.text.len());
        full.push_str(scheme);
        full.push_str(self.host);
        full.push_str(self.path);
        let (query, over_limit) = append_kept(&mut full, self.query, policy);
        let (host, path) = (Some(self.host.into()), self.path.into());
        Address { full: full.into(), host, path, query, over_limit }
    }
}

fn is_plain_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-_.~%!$&'()*+,;=:@".contains(&byte)
}

fn is_plain_query_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'#')
}

/// `%2e` is a dot to the `url` crate, which resolves it.
fn contains_encoded_dot(path: &str) -> bool {
    path.as_bytes().windows(3).any(|three| three.eq_ignore_ascii_case(b"%2e"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, full: &str, path: &str, host: Option<&str>) {
        let address = Address::clean(text, &QueryPolicy::default()).expect("an address");
        assert_eq!(&*address.full, full);
        assert_eq!(&*address.path, path);
        assert_eq!(address.host.as_deref(), host);
    }

    #[test]
    fn what_may_be_kept_is_kept() {
        check(
            "https://shop.example/shoes?utm_source=mail&page=2&token=abc&x=1#top",
            "https://shop.example/shoes?utm_source=mail&page=2",
            "/shoes",
            Some("shop.example"),
        );
        check("https://shop.example", "https://shop.example/", "/", Some("shop.example"));
        check(
            "https://ann:pw@Shop.EXAMPLE:8443/a/../b?page=1",
            "https://shop.example:8443/b?page=1",
            "/b",
            Some("shop.example"),
        );
        check("/pricing?page=1&code=9", "/pricing?page=1", "/pricing", None);
        check("about:blank", "about:blank", "blank", None);
        check(
            "https://b\u{fc}cher.example/",
            "https://xn--bcher-kva.example/",
            "/",
            Some("xn--bcher-kva.example"),
        );
    }

    #[test]
    fn a_secret_is_dropped_from_an_open_list_too() {
        let all = QueryPolicy { allowed: vec!["*".into()] };
        let address = Address::clean("https://a.example/?a=1&api_key=2&utm_token=3", &all)
            .expect("an address");
        assert_eq!(&*address.full, "https://a.example/?a=1");
    }

    #[test]
    fn no_address_is_refused() {
        for text in ["", "pricing", "http://", "//host/path", "https://a b/"] {
            assert_eq!(Address::clean(text, &QueryPolicy::default()), Err(AddressError), "{text}");
        }
    }

    #[test]
    fn repeated_parameters_become_a_list() {
        let address = Address::clean(
            "https://a.example/?utm_source=x&q=a+b&q=%63&utm_source=y",
            &QueryPolicy::default(),
        )
        .expect("an address");
        let mut fields = Vec::new();
        address.push_fields(&mut fields);
        let field = |name: &str| {
            fields.iter().find(|(field, _)| &**field == name).map(|(_, value)| value.clone())
        };
        let list = |values: &[&str]| {
            Some(Value::List(values.iter().map(|value| Value::Str((*value).into())).collect()))
        };
        assert_eq!(field("url.query.q"), list(&["a b", "c"]));
        assert_eq!(field("campaign.source"), list(&["x", "y"]));
    }

    #[test]
    fn parameters_stop_at_the_bound() {
        let clean = |count: usize| {
            let query: Vec<_> = (0..count).map(|n| format!("utm_{n}={n}&x{n}=1")).collect();
            let text = format!("https://a.example/?{}", query.join("&"));
            let address = Address::clean(&text, &QueryPolicy::default()).expect("an address");
            (address.query.len(), address.over_limit)
        };
        assert_eq!(clean(QUERY_PARAMETERS_MAX), (QUERY_PARAMETERS_MAX, 0));
        assert_eq!(clean(QUERY_PARAMETERS_MAX + 2), (QUERY_PARAMETERS_MAX, 2));
    }

    proptest::proptest! {
        /// Where both ways are open they give the same.
        #[test]
        fn the_short_way_equals_the_long_way(
            text in "https?://[a-z0-9.-]{1,12}(/[a-zA-Z0-9._~%!'-]{0,6}){0,3}(\\?[a-z0-9=&%'+_]{0,12})?(#[a-z]{0,3})?"
        ) {
            let policy = QueryPolicy { allowed: vec!["*".into()] };
            if let (Some(plain), Ok(url)) = (Plain::cut(&text), Url::parse(&text)) {
                let host = url.host_str().expect("http has a host");
                let start = format!("{}://{host}", url.scheme());
                let long = Address::of_parts(&start, Some(host), &url, &policy);
                proptest::prop_assert_eq!(plain.clean(&policy), long);
            }
        }
    }
}
