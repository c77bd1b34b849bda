//! Who signed in, proven by the site's own server: what a page says of its visitor is hearsay.
//!
//! The site's server knows who is signed in, and gives the page a proof for `SignIn` and `UserInfo`:
//!
//! - `data.userHash`, HMAC-SHA256 of the `userID` with a secret of the site, 64 hex digits; or
//! - `data.userToken`, a JSON web token (RFC 7519) whose `sub` is the `userID`. It needs an `exp`, so that
//!   one that leaked ends by itself. Its algorithm is the configured one, whatever its header says.
//!
//! A proven event is `verified`: it may open windows of the user. One without proof, or with a wrong one,
//! is taken all the same and counts within its visit only; the answer says so, since nobody would find the
//! slip in a page that seems to work. Proofs are taken out of the event: who reads the log or the reports
//! cannot sign in with them.
//!
//! **Bound:** a token has at most [`TOKEN_BYTES_MAX`] bytes.

use beckon_engine::model::ServerTimeMs;
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::fmt;

/// Bytes that a secret needs at least: less can be guessed from a hash that was seen.
pub const SECRET_BYTES_MIN: usize = 32;
/// Bytes of a token; longer ones prove nothing.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// How far the clocks of the two servers may be apart.
const LEEWAY_S: i64 = 60;

/// `[sites.NAME.identity]` of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IdentityConfig {
    /// Secrets of `userHash`, and of tokens by an HS algorithm; each counts, so that one can follow
    /// another. Never written out again.
    #[serde(skip_serializing)]
    pub secrets: Vec<String>,
    /// The algorithm of `userToken`; none: no token proves anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_algorithm: Option<TokenAlgorithm>,
    /// The public key of tokens, PEM, where the algorithm has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_public_key: Option<String>,
    /// The `aud` that tokens must have; needed beside a public key, whose issuer signs for others too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_audience: Option<String>,
}

/// How tokens are signed (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the standard")]
pub enum TokenAlgorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    PS256,
    ES256,
    EdDSA,
}

impl TokenAlgorithm {
    fn name(self) -> Algorithm {
        match self {
            Self::HS256 => Algorithm::HS256,
            Self::HS384 => Algorithm::HS384,
            Self::HS512 => Algorithm::HS512,
            Self::RS256 => Algorithm::RS256,
            Self::PS256 => Algorithm::PS256,
            Self::ES256 => Algorithm::ES256,
            Self::EdDSA => Algorithm::EdDSA,
        }
    }

    /// The key of a PEM text; `None` where the algorithm's key is a secret.
    fn public_key(self, pem: &[u8]) -> Option<Result<DecodingKey, jsonwebtoken::errors::Error>> {
        match self {
            Self::HS256 | Self::HS384 | Self::HS512 => None,
            Self::RS256 | Self::PS256 => Some(DecodingKey::from_rsa_pem(pem)),
            Self::ES256 => Some(DecodingKey::from_ec_pem(pem)),
            Self::EdDSA => Some(DecodingKey::from_ed_pem(pem)),
        }
    }
}

/// Checks the proofs of a site.
pub struct IdentityCheck {
    secrets: Vec<Box<[u8]>>,
    token: Option<(Validation, Vec<DecodingKey>)>,
}

impl fmt::Debug for IdentityCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityCheck").finish_non_exhaustive()
    }
}

/// Why a sign-in is not proven, as the answer says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Neither hash nor token.
    NoProof,
    /// The hash is none of this `userID`.
    Hash,
    /// The token is none of this site, or of another user.
    Token,
    /// The token is over, or not valid yet.
    TokenTime,
}

impl Doubt {
    /// The name in answers and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoProof => "no_proof",
            Self::Hash => "wrong_hash",
            Self::Token => "wrong_token",
            Self::TokenTime => "token_expired",
        }
    }
}

/// What is read of a token; the signature stands for all of it.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
    nbf: Option<i64>,
}

impl IdentityCheck {
    /// Checks the configuration.
    ///
    /// # Errors
    /// A sentence for people, where it cannot prove anything.
    pub fn new(config: &IdentityConfig) -> Result<Self, String> {
        if config.secrets.iter().any(|secret| secret.len() < SECRET_BYTES_MIN) {
            return Err(format!("identity: a secret needs {SECRET_BYTES_MIN} bytes"));
        }
        let secrets: Vec<_> =
            config.secrets.iter().map(|secret| secret.as_bytes().into()).collect();
        let token = config.token_algorithm.map(|algorithm| token_keys(config, algorithm));
        let token = token.transpose()?;
        if secrets.is_empty() && token.is_none() {
            return Err("identity: needs secrets, or token_algorithm and token_public_key".into());
        }
        if token.is_none() && config.token_public_key.is_some() {
            return Err("identity: token_public_key needs a token_algorithm".into());
        }
        Ok(Self { secrets, token })
    }

    /// Whether the hash, in hex, is one of the user.
    ///
    /// # Errors
    /// [`Doubt::Hash`].
    pub(crate) fn check_hash(&self, user: &str, hash: &str) -> Result<(), Doubt> {
        let said = crate::sites::decode_hex(hash).ok_or(Doubt::Hash)?;
        let is_proof = |secret: &[u8]| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length will do");
            mac.update(user.as_bytes());
            mac.verify_slice(&said).is_ok()
        };
        self.secrets.iter().any(|secret| is_proof(secret)).then_some(()).ok_or(Doubt::Hash)
    }

    /// The user of a token that holds at that time.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn user_of(&self, token: &str, now: ServerTimeMs) -> Result<String, Doubt> {
        let (validation, keys) = self.token.as_ref().ok_or(Doubt::Token)?;
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Doubt::Token);
        }
        let read = |key| jsonwebtoken::decode::<Claims>(token, key, validation).ok();
        let claims = keys.iter().find_map(read).ok_or(Doubt::Token)?.claims;
        let now_s = now.0.div_euclid(1_000);
        let is_early = claims.nbf.is_some_and(|begin| begin > now_s.saturating_add(LEEWAY_S));
        if is_early || claims.exp.saturating_add(LEEWAY_S) <= now_s {
            return Err(Doubt::TokenTime);
        }
        Ok(claims.sub)
    }
}

/// How tokens are checked: the times by us, since the event's arrival counts and not when it is read.
fn token_keys(
    config: &IdentityConfig,
    algorithm: TokenAlgorithm,
) -> Result<(Validation, Vec<DecodingKey>), String> {
    let mut validation = Validation::new(algorithm.name());
    validation.validate_exp = false;
    match &config.token_audience {
        Some(audience) => {
            validation.set_audience(&[audience]);
            validation.set_required_spec_claims(&["exp", "sub", "aud"]);
        }
        None => validation.validate_aud = false,
    }
    let pem = config.token_public_key.as_deref();
    let keys = match (algorithm.public_key(pem.unwrap_or_default().as_bytes()), pem) {
        (None, Some(_)) => {
            return Err(format!("identity: {algorithm:?} has no public key, it uses secrets"));
        }
        (None, None) if config.secrets.is_empty() => {
            return Err(format!("identity: {algorithm:?} needs secrets"));
        }
        (None, None) => {
            let key = |secret: &String| DecodingKey::from_secret(secret.as_bytes());
            config.secrets.iter().map(key).collect()
        }
        (Some(_), None) => {
            return Err(format!("identity: {algorithm:?} needs token_public_key, a PEM text"));
        }
        (Some(_), Some(_)) if config.token_audience.is_none() => {
            return Err(format!(
                "identity: {algorithm:?} needs token_audience: who has the key signs for others too"
            ));
        }
        (Some(key), Some(_)) => {
            let wrong = |error| {
                format!("identity: token_public_key is no PEM of a key for {algorithm:?}: {error}")
            };
            vec![key.map_err(wrong)?]
        }
    };
    Ok((validation, keys))
}

#[cfg(test)]
mod tests;
