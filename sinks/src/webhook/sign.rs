//! Signatures of Standard Webhooks: HMAC-SHA256 of `id.timestamp.body`, one for each secret.
//!
//! With two secrets a receiver may change from one to the other at any time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt;

/// Begins a secret as configured.
const PREFIX: &str = "whsec_";
/// Bytes of a secret, by the specification.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Secrets of an endpoint: one, and the next while it is exchanged.
const SECRETS_MAX: usize = 2;

/// Signs calls. It prints no secret.
#[derive(Clone)]
pub(super) struct Signer(Vec<Hmac<Sha256>>);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signer").field(&self.0.len()).finish()
    }
}

impl Signer {
    /// A signer by secrets as they are configured. The error says what is wrong without saying a secret.
    pub(super) fn new(secrets: &[String]) -> Result<Self, String> {
        if secrets.is_empty() || secrets.len() > SECRETS_MAX {
            return Err(format!(
                "one secret is needed, and a second one while they are exchanged; there are {}",
                secrets.len()
            ));
        }
        let keys = secrets.iter().enumerate().map(|(at, secret)| {
            key_of(secret).ok_or_else(|| {
                format!(
                    "secret {} is none: expected {PREFIX} and the base64 of {} to {} bytes, as \
                     `echo {PREFIX}$(openssl rand -base64 32)` makes one",
                    at + 1,
                    SECRET_BYTES.start(),
                    SECRET_BYTES.end(),
                )
            })
        });
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// The value of `webhook-signature`.
    pub(super) fn sign(&self, id: &str, timestamp_s: i64, body: &str) -> String {
        let one = |key: &Hmac<Sha256>| {
            let mut mac = key.clone();
            mac.update(format!("{id}.{timestamp_s}.").as_bytes());
            mac.update(body.as_bytes());
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        };
        self.0.iter().map(one).collect::<Vec<_>>().join(" ")
    }
}

fn key_of(secret: &str) -> Option<Hmac<Sha256>> {
    let bytes = STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()?;
    SECRET_BYTES.contains(&bytes.len()).then_some(())?;
    Hmac::new_from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(secrets: &[&str]) -> Result<Signer, String> {
        Signer::new(&secrets.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
    }

    /// The example of the specification, as its libraries test it.
    #[test]
    fn the_published_example_has_the_published_signature() {
        let signer = signer(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]).expect("a secret");
        let body = "{\"test\": 2432232314}";
        let signature = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn two_secrets_sign_side_by_side() {
        let (old, new) = (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        );
        let sign = |secrets: &[&str]| signer(secrets).expect("secrets").sign("a", 1, "{}");
        assert_eq!(sign(&[old, new]), format!("{} {}", sign(&[old]), sign(&[new])));
    }

    #[test]
    fn what_is_no_secret_is_refused_without_being_said() {
        for wrong in ["whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_%%%"] {
            let error = signer(&[wrong]).expect_err(wrong);
            assert!(error.starts_with("secret 1 is none") && !error.contains(wrong), "{error}");
        }
        assert!(signer(&[]).expect_err("none").ends_with("there are 0"));
        assert!(signer(&["", "", ""]).expect_err("three").ends_with("there are 3"));
    }
}
