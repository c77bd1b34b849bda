//! JSON bodies that are objects.

use serde::de::{DeserializeOwned, Error as _};

/// Reads an object. serde takes an array for a struct, too, its values for the fields in their order, and
/// for one whose fields may all be left out `[]` is everything: nobody means that.
///
/// # Errors
/// For anything but an object of this kind.
pub(crate) fn object<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(serde_json::Error::custom("expected an object, found an array"));
    }
    serde_json::from_slice(body)
}
