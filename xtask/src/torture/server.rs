//! A server under torture: started, killed, started again on the same data.

use super::memory::Resident;
use anyhow::Context;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where the server's data lies and how it is started.
#[derive(Debug)]
pub(crate) struct Server {
    binary: PathBuf,
    folder: PathBuf,
    address: String,
    child: Option<Child>,
}

impl Server {
    /// A server that is not yet running.
    pub(crate) fn new(binary: PathBuf, folder: &Path, address: String) -> Self {
        Self { binary, folder: folder.to_owned(), address, child: None }
    }

    /// `http://address`.
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Starts it with so many workers; does not wait until it answers.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub(crate) fn start(&mut self, workers: u32) -> anyhow::Result<()> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("server.log"))?;
        let child = Command::new(&self.binary)
            .arg("serve")
            .args(["--listen", &self.address])
            .arg("--config")
            .arg(self.folder.join("beckon.toml"))
            .env("BECKON_ENGINE__WORKERS", workers.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// `kill -9`, and waits until it is gone. An error if it had ended by itself before.
    ///
    /// # Errors
    /// When it ended by itself.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        if let Some(status) = child.try_wait()? {
            anyhow::bail!("the server ended by itself, {status}:\n{}", self.last_words());
        }
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Asks it to end and waits until it did.
    ///
    /// # Errors
    /// When it fails, or does not end within two minutes.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            if let Some(status) = child.try_wait()? {
                anyhow::ensure!(status.success(), "{status}:\n{}", self.last_words());
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < deadline, "it does not end:\n{}", self.last_words());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// What memory it has.
    ///
    /// # Errors
    /// When it does not run.
    pub(crate) fn resident(&self) -> anyhow::Result<Resident> {
        Resident::of(self.child.as_ref().context("it does not run")?.id())
    }

    /// Processor time that it has used, in the kernel's ticks of 10 ms.
    ///
    /// # Errors
    /// When it does not run.
    pub(crate) fn processor_ticks(&self) -> anyhow::Result<u64> {
        let process = self.child.as_ref().context("it does not run")?.id();
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        let (_, behind_name) = stat.rsplit_once(") ").context("a name")?;
        let fields: Vec<&str> = behind_name.split(' ').collect();
        let [user, system] =
            [11, 12].map(|at| fields.get(at).and_then(|it| it.parse::<u64>().ok()));
        user.zip(system).map(|(user, system)| user + system).context("times")
    }

    /// The end of what it logged.
    pub(crate) fn last_words(&self) -> String {
        let Ok(file) = std::fs::File::open(self.folder.join("server.log")) else {
            return String::new();
        };
        let lines: Vec<String> = BufReader::new(file).lines().map_while(Result::ok).collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
