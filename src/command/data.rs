//! Where the server's data lies, for commands that read or write it beside the server.

use crate::config::{self, ConfigArgs};
use anyhow::Context;
use clap::Args;
use std::path::PathBuf;

/// The folder, as a flag or the configuration names it.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// The server's data folder [default: what the configuration says]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Configuration file [default: beckon.toml, if there is one]
    #[arg(long)]
    config: Option<PathBuf>,
}

impl DataArgs {
    /// The folder, whether or not it exists.
    ///
    /// # Errors
    /// When the configuration is wrong.
    pub(crate) fn folder(&self) -> anyhow::Result<PathBuf> {
        if let Some(data) = &self.data {
            return Ok(data.clone());
        }
        let args = ConfigArgs { config: self.config.clone(), ..ConfigArgs::default() };
        let loaded = config::load(&args, std::env::vars())
            .context("the configuration should say where the server's data lies")?;
        Ok(loaded.config.server.data)
    }

    /// The folder, where it exists.
    ///
    /// # Errors
    /// When it does not, or the configuration is wrong.
    pub(crate) fn existing(&self) -> anyhow::Result<PathBuf> {
        let folder = self.folder()?;
        anyhow::ensure!(
            folder.is_dir(),
            "there is no data folder {}: --data names another, --config the configuration that does",
            folder.display()
        );
        Ok(folder)
    }
}
