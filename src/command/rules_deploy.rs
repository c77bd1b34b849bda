//! `beckon rules deploy`: brings the packages of a folder to a running server.
//!
//! Each package is sent whole and taken or refused whole. One that the server has from its own folder
//! is not sent: the server is asked to read that folder again.

use crate::command::server::{ServerArgs, send};
use crate::serve::FolderRules;
use crate::{output, rules_dir};
use beckon_engine::catalog::FolderPackage;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Arguments of `beckon rules deploy`.
#[derive(Debug, clap::Args)]
pub(crate) struct RulesDeployArgs {
    /// Folder of rule packages
    dir: PathBuf,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the command.
///
/// # Errors
/// When the folder cannot be read, or the server cannot be reached or refuses a package.
pub(crate) fn run(args: &RulesDeployArgs) -> anyhow::Result<()> {
    let packages = FolderRules::packages(&rules_dir::read(&args.dir)?);
    anyhow::ensure!(!packages.is_empty(), "{}: no packages", args.dir.display());
    let mut of_folder = 0;
    let mut refused = 0;
    for package in &packages {
        match deploy(args, package)? {
            Outcome::Taken => {}
            Outcome::OfFolder => of_folder += 1,
            Outcome::Refused => refused += 1,
        }
    }
    if of_folder > 0 {
        let reloaded = send(&args.server, Method::POST, "/v1/rules/reload", &Value::Null)?;
        if reloaded.status == StatusCode::UNPROCESSABLE_ENTITY {
            output::line(text(&reloaded.body["error"]))?;
        }
        let changes = reloaded.into_ok()?["changes"].as_u64().unwrap_or_default();
        let changes = usize::try_from(changes).unwrap_or(usize::MAX);
        let changes = output::count(changes, "change");
        output::line(&format!("the server took {changes} from its own folder"))?;
    }
    let packages = output::count(packages.len(), "package");
    anyhow::ensure!(refused == 0, "{refused} of {packages} refused");
    Ok(())
}

/// What became of one package.
enum Outcome {
    Taken,
    OfFolder,
    Refused,
}

fn deploy(args: &RulesDeployArgs, package: &FolderPackage) -> anyhow::Result<Outcome> {
    let FolderPackage { name, files } = package;
    let path = format!("/v1/rules/{name}");
    let said = send(&args.server, Method::PUT, &path, &json!({ "files": files }))?;
    if said.body["error"]["code"] == "owned_by_folder" {
        return Ok(Outcome::OfFolder);
    }
    if said.status == StatusCode::UNPROCESSABLE_ENTITY {
        output::line(text(&said.body["error"]))?;
        output::line(&format!("{name}: refused"))?;
        return Ok(Outcome::Refused);
    }
    let body = said.into_ok()?;
    let warnings = text(&body);
    if !warnings.is_empty() {
        output::line(warnings)?;
    }
    let rules = output::count(body["rules"].as_array().map_or(0, Vec::len), "rule");
    let word = if body["is_unchanged"] == true { "unchanged" } else { "deployed" };
    output::line(&format!("{name}: {word}, {rules}"))?;
    Ok(Outcome::Taken)
}

/// Findings, drawn by the server.
fn text(body: &Value) -> &str {
    body["text"].as_str().unwrap_or_default().trim_end()
}
