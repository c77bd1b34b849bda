//! The server's own log lines, on standard error.

use crate::config::{LogFormat, ServerSection};
use anyhow::Context;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts them, as text for people or JSON for programs.
///
/// # Errors
/// When the filter is none.
pub(crate) fn start(config: &ServerSection) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log_filter)
        .with_context(|| format!("server.log_filter = `{}`", config.log_filter))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match config.log_format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    }
    .map_err(|error| anyhow::anyhow!("log lines cannot be started: {error}"))
}
