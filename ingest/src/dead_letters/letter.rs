//! A dead letter, and its line in a file.
//!
//! A line is `CRC LETTER\n`: eight hex digits of CRC32C over the letter's JSON, a blank, the JSON,
//! which begins with the version of all this. So a person can read a file with `grep`, and a line that a
//! crash tore or a disk damaged is told from a good one. Version 1 of the JSON is `"version":1`, then the
//! fields of [`LetterHead`] in their order, then the `original`, or `original_hex` where that is no UTF-8.

use super::strip::Stripped;
use crate::hex::hex;
use beckon_engine::model::{EventId, EventTimeMs, Id, ServerTimeMs, SiteName};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use utoipa::ToSchema;

/// How the JSON of a line begins.
const START: &str = "{\"version\":1,";
/// Bytes of each text that describes a letter; longer ones are cut.
const TEXT_BYTES_MAX: usize = 1_024;
/// Letters of a millisecond before their ids run ahead of the time.
const IDS_PER_MS: u64 = 1_024;

/// A letter's place: ids rise with the time of arrival, and below 2^53 any JSON reader keeps them.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(transparent)]
#[schema(as = DeadLetterId)]
pub struct LetterId(pub u64);

impl LetterId {
    /// The first id of a time.
    #[must_use]
    pub fn at(time: ServerTimeMs) -> Self {
        Self(u64::try_from(time.0).unwrap_or(0).saturating_mul(IDS_PER_MS))
    }

    /// The time of which this is an id.
    #[must_use]
    pub fn time(self) -> ServerTimeMs {
        ServerTimeMs(i64::try_from(self.0 / IDS_PER_MS).unwrap_or(i64::MAX))
    }

    /// The id of a replayed event that has none of its own (first 128 bits of SHA-256), so that a
    /// second replay is a duplicate.
    #[must_use]
    pub fn event_id(self) -> EventId {
        let mut hash = Sha256::new();
        hash.update(b"dead letter");
        hash.update(self.0.to_be_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = digest;
        EventId(Id::Bits(u128::from_be_bytes([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])))
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A rejected event on its way into the store.
#[derive(Clone, Debug)]
pub struct NewLetter {
    /// When the request came.
    pub received: ServerTimeMs,
    /// The site of the write key.
    pub site: SiteName,
    /// The name of the write key; never the key.
    pub key: Arc<str>,
    /// What is kept of the address that it came from.
    pub address: Option<Box<str>>,
    /// `User-Agent` of the request.
    pub user_agent: Option<Box<str>>,
    /// When the client says that it sent.
    pub sent: Option<EventTimeMs>,
    /// The visit that the shown secret proved (not the secret).
    pub proven_visit: Option<u128>,
    /// The visit that the request named beside its events.
    pub visit: Option<Box<str>>,
    /// Why it was rejected, for programs.
    pub code: Box<str>,
    /// JSON path of the culprit.
    pub path: Box<str>,
    /// One sentence.
    pub message: Box<str>,
    /// What came.
    pub original: Stripped,
}

/// All of a letter but its original.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DeadLetterHead)]
pub struct LetterHead {
    /// Its place.
    pub id: LetterId,
    /// When the request came.
    #[schema(value_type = i64)]
    pub received_ms: ServerTimeMs,
    /// The site of the write key.
    #[schema(value_type = String)]
    pub site: SiteName,
    /// The name of the write key.
    pub key: Arc<str>,
    /// What is kept of the address that it came from.
    #[schema(required)]
    pub address: Option<Box<str>>,
    /// `User-Agent` of the request.
    #[schema(required)]
    pub user_agent: Option<Box<str>>,
    /// When the client says that it sent, milliseconds since 1970.
    #[schema(value_type = Option<i64>, required)]
    pub sent_ms: Option<EventTimeMs>,
    /// The visit that the shown secret proved, 32 hex digits.
    #[schema(required)]
    pub proven_visit: Option<String>,
    /// The visit that the request named beside its events, 32 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visit: Option<Box<str>>,
    /// Why it was rejected, for programs.
    pub code: Box<str>,
    /// JSON path of the culprit.
    pub path: Box<str>,
    /// One sentence.
    pub message: Box<str>,
    /// Bytes as they came.
    pub came_bytes: usize,
    /// Only the first bytes of the original are kept.
    pub is_cut: bool,
    /// Keys and secrets that were taken out.
    pub secrets_removed: u32,
    /// Whether it was replayed; kept beside the letter.
    #[serde(default)]
    pub is_replayed: bool,
}

/// What came, without keys and secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DeadLetterOriginal)]
pub enum Original {
    /// UTF-8.
    #[serde(rename = "original")]
    Text(String),
    /// Other bytes, as hex digits.
    #[serde(rename = "original_hex")]
    Hex(String),
}

/// A stored letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DeadLetter)]
pub struct Letter {
    /// Who, when and why.
    #[serde(flatten)]
    pub head: LetterHead,
    /// What.
    #[serde(flatten)]
    pub original: Original,
}

impl NewLetter {
    /// The letter as it is stored.
    pub(super) fn stored(self, id: LetterId) -> Letter {
        let Stripped { bytes, came_bytes, secrets, is_cut } = self.original;
        let original = match String::from_utf8(bytes) {
            Ok(text) => Original::Text(text),
            Err(error) => Original::Hex(hex(error.as_bytes())),
        };
        let head = LetterHead {
            id,
            received_ms: self.received,
            site: self.site,
            key: self.key,
            address: self.address.map(short),
            user_agent: self.user_agent.map(short),
            sent_ms: self.sent,
            proven_visit: self.proven_visit.map(|bits| format!("{bits:032X}")),
            visit: self.visit,
            code: short(self.code),
            path: short(self.path),
            message: short(self.message),
            came_bytes,
            is_cut,
            secrets_removed: secrets,
            is_replayed: false,
        };
        Letter { head, original }
    }
}

fn short(text: Box<str>) -> Box<str> {
    if text.len() <= TEXT_BYTES_MAX {
        return text;
    }
    let ends = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= TEXT_BYTES_MAX);
    let end = ends.last().unwrap_or(0);
    text.get(..end).unwrap_or_default().into()
}

/// The line of a letter.
pub(super) fn line(letter: &Letter) -> String {
    let mut json = serde_json::to_string(letter).expect("texts and numbers have a JSON form");
    json.replace_range(..1, START);
    checked(&json)
}

/// A line that says of itself whether it is whole.
pub(super) fn checked(json: &str) -> String {
    format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes()))
}

/// The JSON of a line without its end, if nothing happened to it.
///
/// # Errors
/// For a whole line of a version that is not known.
pub(super) fn json_of(line: &[u8]) -> Result<Option<&[u8]>, UnknownVersion> {
    match whole_json(line) {
        Some(json) if !json.starts_with(START.as_bytes()) => {
            Err(UnknownVersion { what: "a letter", known: "version 1" })
        }
        json => Ok(json),
    }
}

/// A line that another version of Beckon wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} of an unknown version, this Beckon reads {known}")]
pub(super) struct UnknownVersion {
    pub(super) what: &'static str,
    pub(super) known: &'static str,
}

/// The JSON of a [`checked`] line without its end, if nothing happened to it.
pub(super) fn whole_json(line: &[u8]) -> Option<&[u8]> {
    let (crc, rest) = line.split_at_checked(8)?;
    let json = rest.strip_prefix(b" ")?;
    let crc = u32::from_str_radix(std::str::from_utf8(crc).ok()?, 16).ok()?;
    (crc32c::crc32c(json) == crc).then_some(json)
}

/// How the JSON of a letter begins in its line.
pub(super) fn start_of(id: LetterId) -> String {
    format!("{START}\"id\":{id},")
}
