//! `beckon webhooks`: endpoints and dead letters of a running server, over HTTP.

use crate::command::dead_letters::{encode, shown};
use crate::command::server::{ServerArgs, ask};
use crate::output;
use clap::Subcommand;
use comfy_table::Table;
use hyper::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Where dead letters are replayed.
const REPLAY: &str = "/v1/webhooks/dead-letters/replay";

/// What is done with webhooks.
#[derive(Debug, Subcommand)]
pub(crate) enum WebhooksCommand {
    /// Show the endpoints, and what each has to do
    List {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Show the calls that were given up, the oldest first
    DeadLetters {
        #[command(flatten)]
        server: ServerArgs,
        /// Of this endpoint only
        #[arg(long)]
        endpoint: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Behind this place, as the end of a list says it
        #[arg(long)]
        after: Option<u64>,
    },
    /// Call what was given up again
    Replay {
        #[command(flatten)]
        server: ServerArgs,
        /// Of this endpoint only
        #[arg(long, conflicts_with = "ids")]
        endpoint: Option<String>,
        /// Their ids; none: all
        ids: Vec<String>,
    },
    /// Call an endpoint again that said 410, or rests
    Enable {
        #[command(flatten)]
        server: ServerArgs,
        /// Its name in the configuration
        endpoint: String,
    },
}

/// Runs the command.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub(crate) fn run(command: &WebhooksCommand) -> anyhow::Result<()> {
    match command {
        WebhooksCommand::List { server } => {
            let said = ask(server, Method::GET, "/v1/webhooks", &Value::Null)?;
            let columns = ["endpoint", "waiting", "delivered", "failed", "breaker", "is_gone"];
            table(&said["endpoints"], &columns, "no endpoints: [webhooks.endpoints.NAME]")?;
            output::line(&format!("{} dead letters", said["dead_letters"]))
        }
        WebhooksCommand::DeadLetters { server, endpoint, limit, after } => {
            let mut path = format!("/v1/webhooks/dead-letters?limit={limit}");
            if let Some(endpoint) = endpoint {
                path.push_str(&format!("&endpoint={}", encode(endpoint)));
            }
            if let Some(after) = after {
                path.push_str(&format!("&after={after}"));
            }
            let said = ask(server, Method::GET, &path, &Value::Null)?;
            let columns = ["id", "endpoint", "site", "visit", "reason", "attempts"];
            table(&said["letters"], &columns, "no dead letters")?;
            match said["next"].as_u64() {
                Some(next) => output::line(&format!("more: --after {next}")),
                None => Ok(()),
            }
        }
        WebhooksCommand::Replay { server, endpoint, ids } => {
            replay(server, endpoint.as_deref(), ids)
        }
        WebhooksCommand::Enable { server, endpoint } => {
            let path = format!("/v1/webhooks/{}/enable", encode(endpoint));
            ask(server, Method::POST, &path, &json!({}))?;
            output::line(&format!("{endpoint} is called again"))
        }
    }
}

fn table(rows: &Value, columns: &[&str], nothing: &str) -> anyhow::Result<()> {
    let rows = rows.as_array().map_or(&[][..], Vec::as_slice);
    if rows.is_empty() {
        return output::line(nothing);
    }
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    table.set_header(columns.to_vec());
    for row in rows {
        table.add_row(columns.iter().map(|name| shown(&row[*name])));
    }
    output::line(&table.to_string())
}

fn replay(server: &ServerArgs, endpoint: Option<&str>, ids: &[String]) -> anyhow::Result<()> {
    let mut counts = BTreeMap::<String, u64>::new();
    let mut after = 0;
    loop {
        let request = match (ids, endpoint) {
            ([], None) => json!({ "after": after }),
            ([], Some(endpoint)) => json!({ "after": after, "endpoint": endpoint }),
            (ids, _) => json!({ "ids": ids }),
        };
        let answer = ask(server, Method::POST, REPLAY, &request)?;
        for outcome in answer["results"].as_array().into_iter().flatten() {
            *counts.entry(shown(&outcome["status"])).or_default() += 1;
        }
        let Some(next) = answer["next"].as_u64().filter(|_| ids.is_empty()) else { break };
        after = next;
    }
    let counted: Vec<String> = counts.iter().map(|(status, n)| format!("{n} {status}")).collect();
    let said = if counted.is_empty() { "nothing to replay".to_owned() } else { counted.join(", ") };
    output::line(&said)
}
