//! Asking a running server over HTTP.

use crate::config::{self, ConfigArgs, ServerSection};
use crate::http_client::HttpClient;
use anyhow::Context;
use clap::Args;
use hyper::{Method, StatusCode};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the server is, and who asks.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// The running server [default: where the configuration says that it listens]
    #[arg(long, value_name = "URL", env = "BECKON_SERVER")]
    server: Option<String>,
    /// An API token with the scope that this needs: `dead-letters` (replay: `events:replay` too),
    /// `rules:write`
    #[arg(long, env = "BECKON_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A certificate (PEM) that may have signed the server's, beside the authorities of this machine
    #[arg(long, value_name = "FILE", env = "BECKON_CA")]
    ca: Option<PathBuf>,
}

impl ServerArgs {
    /// The server that is named, else that of this machine which has this configuration.
    pub(crate) fn or_of(&self, config: &ServerSection) -> Self {
        let server = self.server.clone().unwrap_or_else(|| url_of(config));
        Self { server: Some(server), token: self.token.clone(), ca: self.ca.clone() }
    }

    fn url(&self) -> anyhow::Result<String> {
        self.server.clone().map_or_else(local_server, Ok)
    }
}

/// Where the server of this machine is, by the configuration in the working folder.
///
/// # Errors
/// When the configuration is wrong.
pub(crate) fn local_server() -> anyhow::Result<String> {
    let loaded = config::load(&ConfigArgs::default(), std::env::vars())
        .context("the configuration should say where the server listens")?;
    Ok(url_of(&loaded.config.server))
}

/// Where the server with this configuration is, for this machine.
fn url_of(server: &ServerSection) -> String {
    let scheme = if server.certificate.is_some() { "https" } else { "http" };
    format!("{scheme}://{}", reached_at(&server.listen))
}

/// The address of who listens there; of all addresses of a machine its own.
fn reached_at(listen: &str) -> String {
    match listen.parse::<SocketAddr>() {
        Ok(SocketAddr::V4(at)) if at.ip().is_unspecified() => {
            format!("127.0.0.1:{}", at.port())
        }
        Ok(SocketAddr::V6(at)) if at.ip().is_unspecified() => format!("[::1]:{}", at.port()),
        _ => listen.to_owned(),
    }
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
    let url = server.url()?;
    let client = HttpClient::new(&url, server.token.clone(), server.ca.as_deref())?;
    let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(client.send(method, path, body))?;
    let body = serde_json::from_slice(&answer.body)
        .with_context(|| format!("{url} answered {} without JSON", answer.status))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_on_all_addresses_is_asked_on_this_machine() {
        for (listen, url) in [
            ("127.0.0.1:7700", "127.0.0.1:7700"),
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("shop.example:80", "shop.example:80"),
        ] {
            assert_eq!(reached_at(listen), url);
        }
    }
}
