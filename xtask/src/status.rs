//! Asks a server what it has counted.

use anyhow::Context;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a step may take on a busy machine.
pub(crate) const STEP_MAX: Duration = Duration::from_secs(120);

/// `GET /v1/status` of one server, with a token of its own.
pub(crate) struct Status {
    agent: ureq::Agent,
    url: String,
    token: String,
}

impl Status {
    /// Makes a token for the server at `base` whose data folder this is or will be.
    ///
    /// # Errors
    /// When none can be made.
    pub(crate) fn new(binary: &Path, data: &Path, base: &str) -> anyhow::Result<Self> {
        let output = Command::new(binary)
            .args(["token", "create", "--scope", "metrics:read", "--data"])
            .arg(data)
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let token = text.lines().next().context("no token was made")?.to_owned();
        let agent = ureq::Agent::config_builder().timeout_global(Some(STEP_MAX)).build().into();
        Ok(Self { agent, url: format!("{base}/v1/status"), token })
    }

    /// Waits until the server answers.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn wait_for_answer(&self) -> anyhow::Result<()> {
        wait("it answers", || Ok(self.get().is_ok()))
    }

    /// A figure, by its JSON pointer.
    ///
    /// # Errors
    /// When the server does not answer, or has no such figure.
    pub(crate) fn number(&self, pointer: &str) -> anyhow::Result<u64> {
        let status = self.get()?;
        let number = status.pointer(pointer).and_then(Value::as_u64);
        number.with_context(|| format!("{pointer} of {status}"))
    }

    fn get(&self) -> anyhow::Result<Value> {
        let token = format!("Bearer {}", self.token);
        let mut answer = self.agent.get(&self.url).header("authorization", token).call()?;
        Ok(serde_json::from_str(&answer.body_mut().read_to_string()?)?)
    }
}

/// Waits until something is so.
///
/// # Errors
/// When it is not within [`STEP_MAX`], or cannot be found out.
pub(crate) fn wait(
    what: &str,
    mut is_so: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + STEP_MAX;
    while !is_so()? {
        anyhow::ensure!(Instant::now() < deadline, "not in time: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    Ok(())
}
