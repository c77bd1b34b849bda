//! What keeps webhooks from starting.

use std::io;

/// Why webhooks cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// The configuration does not make sense.
    #[error("webhooks{key}: {message}")]
    Config {
        /// The key, with a dot before it.
        key: String,
        /// What is wrong and what to write instead.
        message: String,
    },
    /// The file of calls that wait cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: Box<str>,
        /// What the system said.
        source: io::Error,
    },
    /// The file's bytes are not what was written.
    #[error(
        "{path} is damaged; restore it from a copy, or remove it: the webhooks that waited there \
         are then not called"
    )]
    Damaged {
        /// The file.
        path: Box<str>,
    },
    /// A newer Beckon wrote the file.
    #[error(
        "{path} has version {version}, this beckon reads version {known}: start the beckon that \
         wrote it"
    )]
    Version {
        /// The file.
        path: Box<str>,
        /// Its version.
        version: u16,
        /// The version that is known.
        known: u16,
    },
}

impl WebhookError {
    pub(super) fn config(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Config { key: key.into(), message: message.into() }
    }
}
