//! API tokens: who may administer, as files of the data folder.
//!
//! A token is 256 random bits behind `bkn_`, shown once. What is kept is its SHA-256, in one JSON
//! file a token (`tokens/ID.json`). A fast hash is enough: there is no dictionary of 256-bit
//! numbers. `beckon token create` writes the file itself, also beside a running server, which looks
//! at the folder's names at most once a second, and at once when a token is shown that it does not
//! know; so no running server, and no first token, is needed to make a token.
//!
//! **Invariant:** a token file is written whole, under another name, synced and renamed, and never
//! changed afterwards. A revoked token's file is gone. So the names say all that there is to know,
//! and a file is read once.
//!
//! The file, version 1 ([`TokenInfo`]; a test holds it to a fixture):
//!
//! ```text
//! {"version": 1, "id": 16 hex digits, the file's name, "name": text, "scopes": ["live:read", ...],
//!  "site": text or null, "created_ms": ms since 1970, "sha256": 64 hex digits}
//! ```
//!
//! A file that cannot be read as a token opens nothing and is named in the log; the others stay
//! valid. If the folder itself cannot be read, tokens that are known stay valid.

mod scope;

pub use scope::{Scope, ScopeError};

use crate::hex::hex;
use beckon_engine::clock::Clock;
use beckon_engine::disk::{Disk, replace_file};
use beckon_engine::model::{ServerTimeMs, SiteName};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use subtle::ConstantTimeEq;

/// Tokens that one data folder holds. Over it none is made; of a folder with more the first by
/// name are valid, and the log says so.
pub const TOKENS_MAX: usize = 1_000;
/// Characters of a token's name.
pub const NAME_CHARACTERS_MAX: usize = 64;
/// How old the view of the folder may be: so long may a revoked token still be taken.
pub const LOOK_AGAIN_MS: i64 = 1_000;
/// Between two looks for the sake of an unknown token, so that a flood of wrong ones costs nothing.
pub const LOOK_FOR_UNKNOWN_MS: i64 = 100;

const VERSION: u32 = 1;
const PREFIX: &str = "bkn_";
const FILE_END: &str = ".json";
const FILE_BYTES_MAX: u64 = 16 << 10;

/// A token as its holder shows it. It is never logged: `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The text to hand out, once.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// What a token is asked to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// What people call it: 1 to [`NAME_CHARACTERS_MAX`] characters.
    pub name: String,
    /// What it may do; at least one.
    pub scopes: BTreeSet<Scope>,
    /// The site that it is for; none: all sites.
    pub site: Option<SiteName>,
}

/// What is kept of a token; its file's JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenInfo {
    /// Of the file's form; first, and read before the others.
    version: u32,
    /// 16 hex digits, random; the name of its file.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// The site that it is for; none: all sites.
    pub site: Option<SiteName>,
    /// When it was made.
    pub created_ms: ServerTimeMs,
    /// SHA-256 of the token, 64 hex digits.
    sha256: String,
}

impl TokenInfo {
    /// Whether the token may do this on that site. `None` asks for what concerns all sites, which a
    /// token of one site may not; the operator may everything.
    #[must_use]
    pub fn grants(&self, wanted: Scope, site: Option<&str>) -> bool {
        let is_operator = self.scopes.contains(&Scope::Operator) && self.site.is_none();
        let reaches = self.site.is_none() || (site.is_some() && self.site.as_deref() == site);
        is_operator || (reaches && self.scopes.iter().any(|scope| scope.implies(wanted)))
    }
}

/// Why a token was not made, listed or revoked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The name is empty, too long, or holds control characters.
    #[error("the token's name must be 1 to {NAME_CHARACTERS_MAX} characters without controls")]
    BadName,
    /// A token that may do nothing.
    #[error("a token needs at least one scope")]
    NoScope,
    /// The folder is full.
    #[error("there are {TOKENS_MAX} tokens already, revoke one first")]
    TooMany,
    /// No token has this id.
    #[error("there is no token with the id {0:?}")]
    Unknown(String),
    /// The operating system's source of random numbers.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
    /// The operating system.
    #[error("{}: {source}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// What every version of a token's file has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// The tokens of a data folder.
#[derive(Debug)]
pub struct TokenStore {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    clock: Arc<dyn Clock>,
    view: Mutex<View>,
}

/// What is known of the folder: a file's name, and its token unless it holds none.
#[derive(Debug, Default)]
struct View {
    files: BTreeMap<String, Option<TokenInfo>>,
    looked: Option<ServerTimeMs>,
    /// When a token that was not known made us look.
    looked_for_unknown: Option<ServerTimeMs>,
}

impl View {
    /// Compares with every hash to the end.
    fn find(&self, sha256: &str) -> Option<&TokenInfo> {
        let mut found = None;
        for info in self.files.values().flatten() {
            if bool::from(info.sha256.as_bytes().ct_eq(sha256.as_bytes())) {
                found = Some(info);
            }
        }
        found
    }
}

impl TokenStore {
    /// Opens the folder, making it where there is none.
    ///
    /// # Errors
    /// [`TokenError::Disk`].
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: impl Into<PathBuf>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TokenError> {
        let dir = dir.into();
        disk.create_dir_all(&dir).map_err(|source| at(&dir, source))?;
        let store = Self { disk, dir, clock, view: Mutex::default() };
        store.look(&mut store.view())?;
        Ok(store)
    }

    /// Makes a token. It is on disk when this returns.
    ///
    /// # Errors
    /// All of [`TokenError`] but `Unknown`.
    pub fn create(&self, new: NewToken) -> Result<(Token, TokenInfo), TokenError> {
        let characters = new.name.chars().count();
        if !(1..=NAME_CHARACTERS_MAX).contains(&characters) || new.name.contains(char::is_control) {
            return Err(TokenError::BadName);
        }
        if new.scopes.is_empty() {
            return Err(TokenError::NoScope);
        }
        let mut view = self.view();
        self.look(&mut view)?;
        if view.files.len() >= TOKENS_MAX {
            return Err(TokenError::TooMany);
        }
        let token = Token(format!("{PREFIX}{}", hex(&random::<32>()?)));
        let info = TokenInfo {
            version: VERSION,
            id: hex(&random::<8>()?),
            name: new.name,
            scopes: new.scopes,
            site: new.site,
            created_ms: self.clock.now(),
            sha256: hex(&digest(token.as_str())),
        };
        self.write(&info)?;
        view.files.insert(file_name(&info.id), Some(info.clone()));
        Ok((token, info))
    }

    /// The token that a request shows, if it is valid. Hashes what is shown and compares it with
    /// every stored hash to the end, so that the time tells nothing. One that is not known may have
    /// been made a moment ago: then the folder is looked at, once in [`LOOK_FOR_UNKNOWN_MS`].
    #[must_use]
    pub fn verify(&self, shown: &str) -> Option<TokenInfo> {
        let is_token = shown.len() == PREFIX.len() + 64 && shown.starts_with(PREFIX);
        let shown = hex(&digest(shown));
        let now = self.clock.now();
        let is_within =
            |at: Option<ServerTimeMs>, ms| at.is_some_and(|at| now.0.saturating_sub(at.0) < ms);
        let mut view = self.view();
        if !is_within(view.looked, LOOK_AGAIN_MS) {
            self.look_or_log(&mut view);
        }
        let found = view.find(&shown).filter(|_| is_token).cloned();
        let is_unknown = is_token && found.is_none();
        if is_unknown && !is_within(view.looked_for_unknown, LOOK_FOR_UNKNOWN_MS) {
            view.looked_for_unknown = Some(now);
            self.look_or_log(&mut view);
            return view.find(&shown).cloned();
        }
        found
    }

    fn look_or_log(&self, view: &mut View) {
        if let Err(error) = self.look(view) {
            tracing::error!(%error, "the folder of tokens cannot be read, known tokens stay valid");
            view.looked = Some(self.clock.now());
        }
    }

    /// All valid tokens, by id.
    ///
    /// # Errors
    /// [`TokenError::Disk`].
    pub fn list(&self) -> Result<Vec<TokenInfo>, TokenError> {
        let mut view = self.view();
        self.look(&mut view)?;
        Ok(view.files.values().flatten().cloned().collect())
    }

    /// Makes a token invalid, here at once, elsewhere within [`LOOK_AGAIN_MS`].
    ///
    /// # Errors
    /// [`TokenError::Unknown`], [`TokenError::Disk`].
    pub fn revoke(&self, id: &str) -> Result<(), TokenError> {
        let mut view = self.view();
        self.look(&mut view)?;
        let name = file_name(id);
        if !view.files.contains_key(&name) {
            return Err(TokenError::Unknown(id.to_owned()));
        }
        let path = self.dir.join(&name);
        self.disk.remove(&path).map_err(|source| at(&path, source))?;
        view.files.remove(&name);
        self.disk.sync_dir(&self.dir).map_err(|source| at(&self.dir, source))
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the view up to the folder's names.
    fn look(&self, view: &mut View) -> Result<(), TokenError> {
        let names = self.disk.list(&self.dir).map_err(|source| at(&self.dir, source))?;
        let mut names: Vec<_> = names.into_iter().filter(|name| name.ends_with(FILE_END)).collect();
        if names.len() > TOKENS_MAX {
            tracing::error!(files = names.len(), TOKENS_MAX, "more token files than are read");
            names.truncate(TOKENS_MAX);
        }
        view.files.retain(|name, _| names.binary_search(name).is_ok());
        for name in names {
            if view.files.contains_key(&name) {
                continue;
            }
            let read = self.read(&name);
            if let Err(why) = &read {
                tracing::error!(file = name, why, "a token file is not valid, revoke or remove it");
            }
            view.files.insert(name, read.ok());
        }
        view.looked = Some(self.clock.now());
        Ok(())
    }

    fn read(&self, name: &str) -> Result<TokenInfo, String> {
        let file = self.disk.open(&self.dir.join(name)).map_err(|error| error.to_string())?;
        let size_bytes = file.bytes().map_err(|error| error.to_string())?;
        let bytes = usize::try_from(size_bytes).ok().filter(|_| size_bytes <= FILE_BYTES_MAX);
        let mut buffer = vec![0; bytes.ok_or("too long")?];
        let filled = file.read_at(0, &mut buffer).map_err(|error| error.to_string())?;
        buffer.truncate(filled);
        let Versioned { version } =
            serde_json::from_slice(&buffer).map_err(|error| error.to_string())?;
        if version != VERSION {
            return Err(format!("version {version} is unknown, this Beckon reads {VERSION}"));
        }
        let info: TokenInfo = serde_json::from_slice(&buffer).map_err(|error| error.to_string())?;
        if file_name(&info.id) != name || info.sha256.len() != 64 {
            return Err("its id is not its file's name, or its hash is not SHA-256".into());
        }
        Ok(info)
    }

    fn write(&self, info: &TokenInfo) -> Result<(), TokenError> {
        let json = serde_json::to_vec_pretty(info).expect("texts and numbers have a JSON form");
        let path = self.dir.join(file_name(&info.id));
        let written = replace_file(&*self.disk, &path, &path.with_extension("new"), &json);
        written.map_err(|source| at(&path, source))
    }
}

fn at(path: &Path, source: io::Error) -> TokenError {
    TokenError::Disk { path: path.to_path_buf(), source }
}

fn file_name(id: &str) -> String {
    format!("{id}{FILE_END}")
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], TokenError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(TokenError::Random)?;
    Ok(bytes)
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests;
