//! Tokens of visits whose ids came from elsewhere: who has one may do what the visit's secret allows.
//!
//! Nothing is stored of them: a token is the site and the time at which it ends, with an HMAC-SHA256
//! over these and the visit by a key of this server. The key is a file of the data folder
//! (`visit-token-key`, mode 0600), made at the first start; removing it ends all tokens.
//!
//! ```text
//! token = "bkv_" base64url( u8 version 1, i64 end in ms big endian, 32 bytes MAC, site )
//! MAC   = HMAC-SHA256( key, "beckon visit token 1" end u8 site bytes, site, kind of id, id )
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use beckon_engine::model::{Id, ServerTimeMs, SiteName, VisitId};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// How long a token holds.
pub const VISIT_TOKEN_MS: i64 = 60 * 60 * 1_000;
/// The name of the key's file in the data folder.
const FILE: &str = "visit-token-key";
const PREFIX: &str = "bkv_";
const VERSION: u8 = 1;
const PURPOSE: &[u8] = b"beckon visit token 1";
const KEY_BYTES: usize = 32;
const MAC_BYTES: usize = 32;

/// Makes tokens of visits and checks them.
pub struct VisitTokens {
    key: [u8; KEY_BYTES],
}

impl fmt::Debug for VisitTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VisitTokens(..)")
    }
}

/// Why there is no key for tokens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VisitTokenError {
    /// The file system said no.
    #[error("{path}: {source}")]
    Disk {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The file has another length than a key.
    #[error("{path} is no key of {KEY_BYTES} bytes: remove it, and a new one is made")]
    Length {
        /// The file.
        path: PathBuf,
    },
    /// The system gives no random numbers.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
}

impl VisitTokens {
    /// Takes the key of a data folder; makes it where there is none.
    ///
    /// # Errors
    /// [`VisitTokenError`].
    pub fn open(data: &Path) -> Result<Self, VisitTokenError> {
        let path = data.join(FILE);
        let at = |source| VisitTokenError::Disk { path: path.clone(), source };
        match std::fs::read(&path) {
            Ok(bytes) => {
                let key = <[u8; KEY_BYTES]>::try_from(bytes);
                Ok(Self { key: key.map_err(|_| VisitTokenError::Length { path })? })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut key = [0; KEY_BYTES];
                getrandom::fill(&mut key).map_err(VisitTokenError::Random)?;
                write(data, &path, &key).map_err(at)?;
                Ok(Self { key })
            }
            Err(error) => Err(at(error)),
        }
    }

    /// A token for a visit, and when it ends.
    #[must_use]
    pub fn issue(&self, site: &str, visit: &VisitId, now: ServerTimeMs) -> (String, ServerTimeMs) {
        let end = ServerTimeMs(now.0.saturating_add(VISIT_TOKEN_MS));
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&end.0.to_be_bytes());
        bytes.extend_from_slice(&self.mac(site, visit, end).finalize().into_bytes());
        bytes.extend_from_slice(site.as_bytes());
        (format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)), end)
    }

    /// The site of a token for the visit that holds at that time. The MAC is compared in constant time.
    #[must_use]
    pub fn site_of(&self, token: &str, visit: &VisitId, now: ServerTimeMs) -> Option<SiteName> {
        let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?;
        let (version, rest) = bytes.split_first()?;
        let (end, rest) = rest.split_first_chunk()?;
        let (mac, site) = rest.split_first_chunk::<MAC_BYTES>()?;
        let (end, site) = (ServerTimeMs(i64::from_be_bytes(*end)), std::str::from_utf8(site).ok()?);
        self.mac(site, visit, end).verify_slice(mac).ok()?;
        (*version == VERSION && now < end).then(|| site.into())
    }

    fn mac(&self, site: &str, visit: &VisitId, end: ServerTimeMs) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("any length will do");
        mac.update(PURPOSE);
        mac.update(&end.0.to_be_bytes());
        mac.update(&(site.len() as u64).to_be_bytes());
        mac.update(site.as_bytes());
        match &visit.0 {
            Id::Bits(bits) => {
                mac.update(&[0]);
                mac.update(&bits.to_be_bytes());
            }
            Id::Text(text) => {
                mac.update(&[1]);
                mac.update(text.as_bytes());
            }
        }
        mac
    }
}

/// Whether it looks like a token of a visit.
pub(crate) fn is_visit_token(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Written whole under another name, synced and renamed: after a crash there is a key or none.
fn write(data: &Path, path: &Path, key: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(key)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    File::open(data)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const NOW: ServerTimeMs = ServerTimeMs(1_700_000_000_000);

    fn visit(bits: u128) -> VisitId {
        VisitId(Id::Bits(bits))
    }

    #[test]
    fn a_token_opens_its_visit_for_an_hour_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let tokens = VisitTokens::open(folder.path()).expect("a key");
        let (token, end) = tokens.issue("shop", &visit(7), NOW);
        assert_eq!(end, ServerTimeMs(NOW.0 + 3_600_000));
        let site =
            |token: &str, visit: &VisitId, ms| tokens.site_of(token, visit, ServerTimeMs(ms));
        assert_eq!(site(&token, &visit(7), NOW.0).as_deref(), Some("shop"));
        assert_eq!(site(&token, &visit(7), end.0 - 1).as_deref(), Some("shop"));
        assert_eq!(site(&token, &visit(7), end.0), None);
        assert_eq!(site(&token, &visit(8), NOW.0), None);
        let as_text = VisitId(Id::from_text(&"\0".repeat(16)).expect("a text"));
        assert_eq!(site(&tokens.issue("shop", &visit(0), NOW).0, &as_text, NOW.0), None);
        for text in ["", "bkv_", "bkv_!", "bkn_", token.trim_end_matches(|_| true)] {
            assert_eq!(site(text, &visit(7), NOW.0), None, "{text}");
        }
    }

    /// No bit of it may be another.
    #[test]
    fn a_token_that_was_changed_opens_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let tokens = VisitTokens::open(folder.path()).expect("a key");
        let (token, _) = tokens.issue("shop", &visit(7), NOW);
        let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX).expect("it")).expect("it");
        for bit in 0..8 * bytes.len() {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let changed = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&bytes));
            assert_eq!(tokens.site_of(&changed, &visit(7), NOW), None, "bit {bit}");
        }
    }

    #[test]
    fn the_key_is_made_once_and_is_nobody_elses() {
        let folder = tempfile::tempdir().expect("a folder");
        let (token, _) =
            VisitTokens::open(folder.path()).expect("a key").issue("shop", &visit(7), NOW);
        let again = VisitTokens::open(folder.path()).expect("the same");
        assert_eq!(again.site_of(&token, &visit(7), NOW).as_deref(), Some("shop"));
        let path = folder.path().join(FILE);
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&path, "short").expect("written");
        let error = VisitTokens::open(folder.path()).expect_err("no key").to_string();
        assert!(error.contains("no key of 32 bytes"), "{error}");
        std::fs::remove_file(&path).expect("gone");
        let other = VisitTokens::open(folder.path()).expect("a new one");
        assert_eq!(other.site_of(&token, &visit(7), NOW), None);
    }
}
