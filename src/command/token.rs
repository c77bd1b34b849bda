//! `beckon token`: API tokens, written to the data folder; a running server sees at once what is
//! made, and within a second what is revoked.

use super::data::DataArgs;
use crate::output;
use beckon_engine::clock::SystemClock;
use beckon_engine::disk::RealDisk;
use beckon_ingest::tokens::{NewToken, Scope, TokenStore};
use clap::Subcommand;
use comfy_table::Table;
use std::path::Path;
use std::sync::Arc;

/// What is done with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; it is shown once and kept as a hash
    Create {
        /// What it may do; may be given several times
        #[arg(long, required = true)]
        scope: Vec<Scope>,
        /// The one site whose data it may see [default: all sites]
        #[arg(long)]
        site: Option<String>,
        /// What people call it
        #[arg(long, default_value = "command line")]
        name: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Show the tokens there are, without their secrets
    List {
        #[command(flatten)]
        data: DataArgs,
    },
    /// Take a token back
    Revoke {
        /// Its id, as `list` shows it
        id: String,
        #[command(flatten)]
        data: DataArgs,
    },
}

/// Runs the command.
///
/// # Errors
/// When the folder cannot be read or written, or a name or an id is wrong.
pub(crate) fn run(command: &TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Create { scope, site, name, data } => {
            let (token, info) = open(&data.folder()?)?.create(NewToken {
                name: name.clone(),
                scopes: scope.iter().copied().collect(),
                site: site.as_deref().map(Into::into),
            })?;
            output::line(&format!("{}\n\nid {}; it is not shown again", token.as_str(), info.id))
        }
        TokenCommand::List { data } => list(&data.existing()?),
        TokenCommand::Revoke { id, data } => {
            open(&data.existing()?)?.revoke(id)?;
            output::line(&format!("token {id} is revoked"))
        }
    }
}

fn open(data: &Path) -> anyhow::Result<TokenStore> {
    let clock = Arc::new(SystemClock::new());
    Ok(TokenStore::open(Arc::new(RealDisk), data.join("tokens"), clock)?)
}

fn list(data: &Path) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    table.set_header(["id", "name", "scopes", "site"]);
    for info in open(data)?.list()? {
        let scopes: Vec<String> = info.scopes.iter().map(ToString::to_string).collect();
        let site = info.site.as_deref().unwrap_or("all").to_owned();
        table.add_row([info.id, info.name, scopes.join(" "), site]);
    }
    output::line(&table.to_string())
}
