//! `beckon dead-letters`: rejected events of a running server, over HTTP.

use crate::command::server::{ServerArgs, ask};
use crate::output;
use beckon_ingest::dead_letters::LetterId;
use clap::Subcommand;
use comfy_table::Table;
use hyper::Method;
use serde_json::{Value, json};

/// What is done with dead letters.
#[derive(Debug, Subcommand)]
pub(crate) enum DeadLettersCommand {
    /// Show them, the oldest first
    List {
        #[command(flatten)]
        server: ServerArgs,
        /// Of this reason only (`missing_field`)
        #[arg(long)]
        code: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Behind this letter
        #[arg(long, value_parser = letter_id)]
        after: Option<LetterId>,
    },
    /// Show one, with its original bytes
    Show {
        #[command(flatten)]
        server: ServerArgs,
        /// Its id, as `list` shows it
        #[arg(value_parser = letter_id)]
        id: LetterId,
    },
    /// Send them through today's checks
    Replay {
        #[command(flatten)]
        server: ServerArgs,
        /// Their ids; none: all that were not replayed yet
        #[arg(value_parser = letter_id)]
        ids: Vec<LetterId>,
    },
}

fn letter_id(text: &str) -> Result<LetterId, std::num::ParseIntError> {
    text.parse().map(LetterId)
}

/// Runs the command.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub(crate) fn run(command: &DeadLettersCommand) -> anyhow::Result<()> {
    match command {
        DeadLettersCommand::List { server, code, limit, after } => {
            let mut path = format!("/v1/dead-letters?limit={limit}");
            if let Some(code) = code {
                path.push_str(&format!("&code={}", encode(code)));
            }
            if let Some(after) = after {
                path.push_str(&format!("&after={after}"));
            }
            let page = ask(server, Method::GET, &path, &Value::Null)?;
            list(&page)
        }
        DeadLettersCommand::Show { server, id } => {
            let path = format!("/v1/dead-letters/{id}");
            let letter = ask(server, Method::GET, &path, &Value::Null)?;
            output::line(&serde_json::to_string_pretty(&letter)?)
        }
        DeadLettersCommand::Replay { server, ids } => replay(server, ids),
    }
}

pub(super) fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// The text of a value, without quotes.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn list(page: &Value) -> anyhow::Result<()> {
    let letters = page["letters"].as_array().map_or(&[][..], Vec::as_slice);
    if letters.is_empty() {
        return output::line("no dead letters");
    }
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    table.set_header(["id", "key", "code", "path", "what was wrong", "replayed"]);
    for letter in letters {
        let columns = ["id", "key", "code", "path", "message", "is_replayed"];
        table.add_row(columns.map(|name| shown(&letter[name])));
    }
    output::line(&table.to_string())?;
    match page["next"].as_u64() {
        Some(next) => output::line(&format!("more: --after {next}")),
        None => Ok(()),
    }
}

fn replay(server: &ServerArgs, ids: &[LetterId]) -> anyhow::Result<()> {
    let mut counts = std::collections::BTreeMap::<String, u64>::new();
    let mut request = if ids.is_empty() { json!({}) } else { json!({ "ids": ids }) };
    loop {
        let answer = ask(server, Method::POST, "/v1/dead-letters/replay", &request)?;
        for outcome in answer["results"].as_array().into_iter().flatten() {
            *counts.entry(shown(&outcome["status"])).or_default() += 1;
            if outcome["status"] == "rejected" {
                let why = shown(&outcome["message"]);
                output::line(&format!("{}: {why}", shown(&outcome["id"])))?;
            }
        }
        let Some(next) = answer["next"].as_u64().filter(|_| ids.is_empty()) else { break };
        request = json!({ "after": next });
    }
    let counted: Vec<String> = counts.iter().map(|(status, n)| format!("{n} {status}")).collect();
    let said = if counted.is_empty() { "nothing to replay".to_owned() } else { counted.join(", ") };
    output::line(&said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_stays_within_its_parameter() {
        assert_eq!(encode("a/../b?c=1&d"), "a%2F..%2Fb%3Fc%3D1%26d");
    }
}
