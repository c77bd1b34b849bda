//! Which query parameters and fields are named like secrets.
//!
//! A name is taken apart into words at anything that is no letter or digit, and where a capital
//! follows a small letter (`resetToken`, `api_key`). Long words of [`PARTS`] count anywhere in the
//! name, so that `accesstoken` is found too; short ones of [`WORDS`] only as a whole word, so that
//! `keyword` and `barcode` are not. A false alarm costs a parameter in a report; a miss puts a
//! password into a data lake, so doubtful names are in.

/// Found anywhere in the name.
const PARTS: &[&str] = &[
    "token",
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "session",
    "signature",
    "credential",
    "authoriz",
    "authentic",
    "apikey",
    "accesskey",
    "privatekey",
    "email",
    "ticket",
    "nonce",
    "phone",
    "creditcard",
    "cardnumber",
    "iban",
];

/// Found as a whole word of the name.
const WORDS: &[&str] = &[
    "key", "auth", "oauth", "code", "pass", "pwd", "pw", "pin", "otp", "jwt", "sid", "sig", "hash",
    "mail", "login", "user", "username", "saml", "state", "sso", "ssn", "cvv", "cvc", "iban",
    "mobile", "cookie",
];

/// Of [`PARTS`] and [`WORDS`], what a field of an event is not called unless it holds a secret: an
/// event has users, states and codes, and loses its meaning without them.
const CREDENTIAL_PARTS: &[&str] = &[
    "token",
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "credential",
    "authoriz",
    "apikey",
    "accesskey",
    "privatekey",
    "creditcard",
    "cardnumber",
    "userhash",
];
const CREDENTIAL_WORDS: &[&str] =
    &["key", "auth", "oauth", "pwd", "pw", "pin", "otp", "jwt", "cvv", "cvc", "ssn", "cookie"];

/// Whether a parameter of this name may hold a secret or name a person.
pub(crate) fn is_secret_like(name: &str) -> bool {
    has(name, PARTS, WORDS)
}

/// Whether a field of this name may hold a secret; milder than [`is_secret_like`].
pub(crate) fn is_credential(name: &str) -> bool {
    has(name, CREDENTIAL_PARTS, CREDENTIAL_WORDS)
}

fn has(name: &str, parts: &[&str], whole_words: &[&str]) -> bool {
    let mut words: Vec<String> = vec![String::new()];
    let mut letters = String::with_capacity(name.len());
    let mut after_small = false;
    for character in name.chars() {
        let breaks = !character.is_alphanumeric() || (after_small && character.is_uppercase());
        if breaks && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        after_small = character.is_lowercase();
        if character.is_alphanumeric() {
            for small in character.to_lowercase() {
                letters.push(small);
                if let Some(word) = words.last_mut() {
                    word.push(small);
                }
            }
        }
    }
    parts.iter().any(|part| letters.contains(part))
        || words.iter().any(|word| whole_words.contains(&word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found() {
        for name in [
            "token",
            "access_token",
            "accessToken",
            "ACCESSTOKEN",
            "resetPasswordToken",
            "api_key",
            "apikey",
            "X-Api-Key",
            "auth",
            "code",
            "e-mail",
            "userEmail",
            "PHPSESSID_session",
            "client_secret",
            "sid",
            "sig",
            "key",
        ] {
            assert!(is_secret_like(name), "{name}");
        }
    }

    #[test]
    fn what_events_are_about_is_no_credential() {
        for name in ["key", "visitSecret", "apiKey", "userHash", "Authorization", "cvv"] {
            assert!(is_credential(name), "{name}");
        }
        for name in ["userID", "code", "state", "email", "sessionID", "hash", "keyword", "author"] {
            assert!(!is_credential(name), "{name}");
        }
    }

    #[test]
    fn ordinary_names_are_not() {
        for name in [
            "q",
            "page",
            "utm_source",
            "keyword",
            "barcode",
            "category",
            "sort",
            "monkey",
            "author",
            "authors",
            "decode",
            "pinned",
            "statement",
            "",
            "___",
        ] {
            assert!(!is_secret_like(name), "{name}");
        }
    }
}
