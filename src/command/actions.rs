//! `beckon actions`: pauses what rules do on a running server, and lets it go on.

use crate::command::server::{ServerArgs, ask};
use crate::output;
use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

/// What is done with actions.
#[derive(Debug, Subcommand)]
pub(crate) enum ActionsCommand {
    /// Matches are recorded, and nothing goes out
    Pause {
        #[command(flatten)]
        server: ServerArgs,
        /// Of this package only
        package: Option<String>,
    },
    /// What goes out goes out again
    Resume {
        #[command(flatten)]
        server: ServerArgs,
        /// Of this package only
        package: Option<String>,
    },
}

/// Runs the command.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub(crate) fn run(command: &ActionsCommand) -> anyhow::Result<()> {
    let (server, package, path) = match command {
        ActionsCommand::Pause { server, package } => (server, package, "/v1/actions/pause"),
        ActionsCommand::Resume { server, package } => (server, package, "/v1/actions/resume"),
    };
    let answer = ask(server, Method::POST, path, &json!({ "package": package }))?;
    let keys = |word: &str| answer[word].as_array().map_or(&[][..], Vec::as_slice).iter();
    for key in keys("resumed") {
        output::line(&format!("resumed: {}", said(key)))?;
    }
    if keys("resumed").len() == 0 && keys("paused").len() == 0 {
        output::line("nothing is paused")?;
    } else if let (ActionsCommand::Resume { .. }, Some(package), 0) =
        (command, package, keys("resumed").len())
    {
        output::line(&format!("{package} is not paused by itself"))?;
    }
    keys("paused").try_for_each(|key| output::line(&format!("paused: {}", said(key))))
}

/// What a pause holds back.
pub(super) fn said(key: &Value) -> String {
    let package = key["package"].as_str().unwrap_or("everything");
    key["site"].as_str().map_or_else(|| package.to_owned(), |site| format!("{package} on {site}"))
}
