//! That a letter was replayed, as a line in the file beside its own.
//!
//! Version 2 is a line like a letter's, `CRC {"version":2,"replayed":ID}`. Version 1 was the id alone, and is
//! read still; a file may have lines of both. A line that a crash tore marks nothing: its letter comes once
//! more, and is then a duplicate.

use super::letter::{LetterId, UnknownVersion, checked, whole_json};
use serde::Deserialize;

const VERSION: u64 = 2;

/// What is read of any version, and of this one.
#[derive(Deserialize)]
struct Mark {
    version: u64,
    replayed: Option<LetterId>,
}

/// The line of a mark, behind the end of what may be torn.
pub(super) fn mark(id: LetterId) -> String {
    format!("\n{}", checked(&format!("{{\"version\":{VERSION},\"replayed\":{id}}}")))
}

/// The letter that a line without its end marks.
///
/// # Errors
/// For a whole line of a version that is not known.
pub(super) fn marked(line: &[u8]) -> Result<Option<LetterId>, UnknownVersion> {
    let Some(json) = whole_json(line) else {
        let id = std::str::from_utf8(line).ok().and_then(|text| text.parse().ok());
        return Ok(id.map(LetterId));
    };
    match serde_json::from_slice(json) {
        Ok(Mark { version: VERSION, replayed: Some(id) }) => Ok(Some(id)),
        _ => Err(UnknownVersion { what: "a mark", known: "versions 1 and 2" }),
    }
}
