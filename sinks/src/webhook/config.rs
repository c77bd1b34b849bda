//! Endpoints, and every bound of webhooks.

use super::WebhookError;
use super::address::{Place, Policy, place_of};
use super::schedule::RETRIES_MS;
use super::sign::Signer;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use url::{Host, Url};

/// Bytes of an endpoint's name.
const NAME_BYTES_MAX: usize = 64;
/// Entries of `retries_ms`.
const RETRIES_MAX: usize = 32;
/// The most that `redirects_max` may be.
const REDIRECTS_MAX: u32 = 5;

/// `[webhooks]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhooksConfig {
    /// How long a call waits after each attempt that failed, in milliseconds, moved by up to a tenth.
    /// After one more attempt than there are waits it is a dead letter.
    pub retries_ms: Vec<i64>,
    /// How long an attempt may take, redirects too.
    pub timeout_ms: u64,
    /// The most that an endpoint's `Retry-After` is followed.
    pub retry_after_ms_max: i64,
    /// A call that is older is a dead letter.
    pub age_ms_max: i64,
    /// Calls of an endpoint that are under way at a time.
    pub in_flight_max: usize,
    /// Calls of an endpoint that wait. Over it the new one is a dead letter.
    pub waiting_max: usize,
    /// Bytes that they are counted with.
    pub waiting_bytes_max: usize,
    /// Bytes of a call's body. A larger one is not called, and kept nowhere.
    pub call_bytes_max: usize,
    /// Calls that failed in a row after which an endpoint rests.
    pub breaker_failures: u32,
    /// How long it rests before one call tries it.
    pub breaker_open_ms: i64,
    /// Dead letters of all endpoints. Over it the oldest goes.
    pub dead_letters_max: usize,
    /// Bytes that they are counted with.
    pub dead_letter_bytes_max: usize,
    /// Days that a dead letter is kept: it holds what a visitor did.
    pub dead_letter_days_max: i64,
    /// How often what waits is written to disk at most, in milliseconds; what came behind it is read
    /// again after a crash.
    pub save_interval_ms: u64,
    /// By the name that rules call it.
    pub endpoints: BTreeMap<String, EndpointConfig>,
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        Self {
            retries_ms: RETRIES_MS.to_vec(),
            timeout_ms: 15_000,
            retry_after_ms_max: 3_600_000,
            age_ms_max: 4 * 24 * 3_600_000,
            in_flight_max: 4,
            waiting_max: 10_000,
            waiting_bytes_max: 16 << 20,
            call_bytes_max: 64 << 10,
            breaker_failures: 5,
            breaker_open_ms: 30_000,
            dead_letters_max: 10_000,
            dead_letter_bytes_max: 32 << 20,
            dead_letter_days_max: 30,
            save_interval_ms: 5_000,
            endpoints: BTreeMap::new(),
        }
    }
}

/// One endpoint, `[webhooks.endpoints.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    /// Where it is.
    pub url: String,
    /// What calls are signed with: one, or two while they are exchanged. Never written out again.
    #[serde(default, skip_serializing)]
    pub secrets: Vec<String>,
    /// It may lie on this machine or in its network, and then speak `http`.
    #[serde(default)]
    pub allow_private: bool,
    /// How many redirects (307, 308) are followed; 0: one is a failure, as the standard has it.
    #[serde(default)]
    pub redirects_max: u32,
    /// A file with a certificate (PEM) that may have signed the endpoint's, beside those of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<PathBuf>,
}

/// An endpoint as it is called.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    pub(super) url: Url,
    pub(super) signer: Signer,
    pub(super) allow_private: bool,
    pub(super) redirects_max: u32,
}

impl EndpointConfig {
    /// Changes when the configuration does: an endpoint that said 410 is then called again.
    pub(super) fn fingerprint(&self) -> u64 {
        // Compared with one of the same build or not at all: an update that hashes otherwise calls the
        // endpoint once more.
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    pub(super) fn checked(&self, name: &str) -> Result<Checked, WebhookError> {
        let key = |key: &str| format!(".endpoints.{name}{key}");
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(is_name) {
            let message = format!(
                "expected a name of 1 to {NAME_BYTES_MAX} letters, digits, hyphens, underscores and dots"
            );
            return Err(WebhookError::config(key(""), message));
        }
        let url = check_url(&self.url, self.allow_private)
            .map_err(|message| WebhookError::config(key(".url"), message))?;
        let signer = Signer::new(&self.secrets)
            .map_err(|message| WebhookError::config(key(".secrets"), message))?;
        if self.redirects_max > REDIRECTS_MAX {
            let message = format!("{} is more than {REDIRECTS_MAX}", self.redirects_max);
            return Err(WebhookError::config(key(".redirects_max"), message));
        }
        let Self { allow_private, redirects_max, .. } = *self;
        Ok(Checked { url, signer, allow_private, redirects_max })
    }
}

impl WebhooksConfig {
    /// What no type can say; numbers are checked with those of other sections.
    ///
    /// # Errors
    /// For the first endpoint or list that does not make sense.
    pub fn check(&self) -> Result<(), WebhookError> {
        if self.retries_ms.len() > RETRIES_MAX || self.retries_ms.iter().any(|wait| *wait < 1) {
            let message = format!("expected at most {RETRIES_MAX} waits of 1 ms or more");
            return Err(WebhookError::config(".retries_ms", message));
        }
        self.endpoints.iter().try_for_each(|(name, endpoint)| endpoint.checked(name).map(drop))
    }
}

/// The policy of an address.
pub(super) fn policy_of(url: &Url, allow_private: bool) -> Option<Policy> {
    match (url.scheme(), allow_private) {
        ("https", false) => Some(Policy::Public),
        ("https", true) => Some(Policy::Any),
        ("http", true) => Some(Policy::Private),
        _ => None,
    }
}

fn check_url(text: &str, allow_private: bool) -> Result<Url, String> {
    let url = Url::parse(text)
        .map_err(|error| format!("{error}; expected such as https://crm.example.com/hooks"))?;
    let Some(policy) = policy_of(&url, allow_private) else {
        return Err(match url.scheme() {
            "http" => "http is for endpoints in the machine's own network: use https, or set \
                       allow_private = true"
                .to_owned(),
            other => format!("expected https, found {other}"),
        });
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a name and a password have no place here: calls are signed".to_owned());
    }
    if url.fragment().is_some() {
        return Err("what stands behind # is never sent: leave it out".to_owned());
    }
    let address = match url.host() {
        Some(Host::Ipv4(address)) => Some(address.into()),
        Some(Host::Ipv6(address)) => Some(address.into()),
        Some(Host::Domain(_)) => None,
        None => return Err("the host is missing".to_owned()),
    };
    match address.map(|address| (policy.admits(address), place_of(address))) {
        None | Some((true, _)) => Ok(url),
        Some((false, Place::Private)) => {
            Err("the address is a private one: set allow_private = true if it is meant".to_owned())
        }
        Some((false, Place::Public)) => Err("the address is a public one: use https".to_owned()),
        Some((false, Place::Never)) => {
            Err("the address is of a link, a group or reserved, and is never called".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str, allow_private: bool) -> EndpointConfig {
        let secrets = vec!["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()];
        EndpointConfig { url: url.to_owned(), secrets, allow_private, ..EndpointConfig::default() }
    }

    fn complaint(name: &str, endpoint: &EndpointConfig) -> String {
        endpoint.checked(name).expect_err("wrong").to_string()
    }

    #[test]
    fn endpoints_on_the_internet_speak_https() {
        assert!(endpoint("https://crm.example.com/hooks", false).checked("crm").is_ok());
        assert!(endpoint("https://crm.internal/hooks", true).checked("crm").is_ok());
        assert!(endpoint("http://127.0.0.1:9/", true).checked("crm").is_ok());
        let complaints = [
            ("http://crm.example.com/", false, "http is for endpoints in the machine's own"),
            ("http://8.8.8.8/", true, "the address is a public one"),
            ("https://127.0.0.1/", false, "the address is a private one"),
            ("https://[::ffff:10.0.0.1]/", false, "the address is a private one"),
            ("https://2130706433/", false, "the address is a private one"),
            ("https://169.254.169.254/latest", true, "the address is of a link"),
            ("ftp://crm.example.com/", true, "expected https, found ftp"),
            ("https://me:word@crm.example.com/", false, "a name and a password have no place"),
            ("https://crm.example.com/#top", false, "what stands behind #"),
            ("crm.example.com", false, "relative URL without a base"),
        ];
        for (url, allow_private, start) in complaints {
            let said = complaint("crm", &endpoint(url, allow_private));
            assert!(said.starts_with(&format!("webhooks.endpoints.crm.url: {start}")), "{said}");
        }
    }

    #[test]
    fn names_secrets_and_bounds_are_checked() {
        let good = endpoint("https://crm.example.com/", false);
        assert!(complaint("c r m", &good).contains("expected a name of 1 to 64"));
        let secretless = EndpointConfig { secrets: Vec::new(), ..good.clone() };
        assert!(complaint("crm", &secretless).starts_with("webhooks.endpoints.crm.secrets: one "));
        let wandering = EndpointConfig { redirects_max: 6, ..good };
        assert!(complaint("crm", &wandering).ends_with("6 is more than 5"));
        let config = WebhooksConfig { retries_ms: vec![0], ..WebhooksConfig::default() };
        assert!(config.check().expect_err("0").to_string().starts_with("webhooks.retries_ms: "));
        assert_eq!(WebhooksConfig::default().check().map_err(|error| error.to_string()), Ok(()));
    }

    #[test]
    fn another_configuration_has_another_fingerprint() {
        let one = endpoint("https://crm.example.com/", false);
        let other = EndpointConfig { redirects_max: 1, ..one.clone() };
        assert_eq!(one.fingerprint(), endpoint("https://crm.example.com/", false).fingerprint());
        assert_ne!(one.fingerprint(), other.fingerprint());
    }
}
