//! Asking a running server over HTTP.

use crate::http_client::HttpClient;
use anyhow::Context;
use clap::Args;
use hyper::{Method, StatusCode};
use serde_json::Value;

/// Where the server is, and who asks.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// The running server
    #[arg(long, default_value = "http://127.0.0.1:7700")]
    server: String,
    /// An API token with the scope that this needs: `dead-letters` (replay: `events:replay` too),
    /// `rules:write`
    #[arg(long, env = "BECKON_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// An answer with its JSON.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Said {
    /// What was asked for.
    ///
    /// # Errors
    /// With what the server said against it.
    pub(crate) fn into_ok(self) -> anyhow::Result<Value> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let error = &self.body["error"];
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        anyhow::bail!("{}: {}; {}", self.status, text("message"), text("help"))
    }
}

/// Asks, and reads the answer whatever its status is.
///
/// # Errors
/// When the server cannot be reached, or answers without JSON.
pub(crate) fn send(
    server: &ServerArgs,
    method: Method,
    path: &str,
    body: &Value,
) -> anyhow::Result<Said> {
    let client = HttpClient::new(&server.server, server.token.clone())?;
    let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(client.send(method, path, body))?;
    let body = serde_json::from_slice(&answer.body)
        .with_context(|| format!("{} answered {} without JSON", server.server, answer.status))?;
    Ok(Said { status: answer.status, body })
}

/// Asks for what must succeed.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub(crate) fn ask(
    server: &ServerArgs,
    method: Method,
    path: &str,
    body: &Value,
) -> anyhow::Result<Value> {
    send(server, method, path, body)?.into_ok()
}
