//! The server's own log lines, on standard error.

use super::traces::Traces;
use crate::config::{LogFormat, ServerSection};
use anyhow::Context;
use beckon_engine::SPANS;
use std::io::IsTerminal;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Starts them, as text for people or JSON for programs; and the spans of traces, which no line shows.
///
/// # Errors
/// When the filter is none.
pub(crate) fn start(config: &ServerSection, traces: Option<&Traces>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log_filter)
        .with_context(|| format!("server.log_filter = `{}`", config.log_filter))?
        .add_directive(format!("{SPANS}=off").parse()?);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match config.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let spans = traces.map(|traces| {
        tracing_opentelemetry::layer()
            .with_tracer(traces.tracer())
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_target(SPANS, Level::INFO))
    });
    tracing_subscriber::registry()
        .with(spans)
        .with(lines.with_filter(filter))
        .try_init()
        .map_err(|error| anyhow::anyhow!("log lines cannot be started: {error}"))
}
