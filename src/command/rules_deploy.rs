//! `beckon rules deploy`: brings the packages of a folder to a running server.
//!
//! Each package is sent whole and taken or refused whole; one that is refused keeps no other from being
//! sent. One that the server has from its own folder is not taken: the server is asked to read that
//! folder again.

use crate::command::actions;
use crate::command::rules_check::RulesFolderArgs;
use crate::command::server::{Said, ServerArgs, send};
use crate::serve::FolderRules;
use crate::{output, rules_dir};
use beckon_engine::catalog::FolderPackage;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

/// Arguments of `beckon rules deploy`.
#[derive(Debug, clap::Args)]
pub(crate) struct RulesDeployArgs {
    #[command(flatten)]
    folder: RulesFolderArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the command.
///
/// # Errors
/// When there is no folder, or it cannot be read, or the server cannot be reached or refuses a package, once all
/// were sent.
pub(crate) fn run(args: &RulesDeployArgs) -> anyhow::Result<()> {
    let (config, folder) = args.folder.read()?;
    let packages = FolderRules::packages(&rules_dir::read(&folder)?);
    anyhow::ensure!(!packages.is_empty(), "{}: no packages", folder.display());
    let server = args.server.or_of(&config.server);
    let mut of_folder = Vec::new();
    let mut refused = 0;
    for package in &packages {
        match deploy(&server, package)? {
            Outcome::Taken => {}
            Outcome::OfFolder => of_folder.push(&package.name),
            Outcome::Refused => refused += 1,
        }
    }
    for name in &of_folder {
        output::line(&format!("{name}: not sent, the server has it from its own folder"))?;
    }
    if !of_folder.is_empty() && !reload(&server)? {
        refused += of_folder.len();
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

fn deploy(server: &ServerArgs, package: &FolderPackage) -> anyhow::Result<Outcome> {
    let FolderPackage { name, files } = package;
    let path = format!("/v1/rules/{name}");
    let said = send(server, Method::PUT, &path, &json!({ "files": files }))?;
    if said.body["error"]["code"] == "owned_by_folder" {
        return Ok(Outcome::OfFolder);
    }
    if is_refused(&said) {
        tell_why(said, name)?;
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
    for key in body["paused"].as_array().into_iter().flatten() {
        output::line(&format!(
            "{name}: its actions do not go out: {} is paused; see beckon actions resume --help",
            actions::said(key)
        ))?;
    }
    Ok(Outcome::Taken)
}

/// Lets the server read its own folder again; false: it is refused.
fn reload(server: &ServerArgs) -> anyhow::Result<bool> {
    let said = send(server, Method::POST, "/v1/rules/reload", &Value::Null)?;
    if is_refused(&said) {
        tell_why(said, "the server's own folder")?;
        return Ok(false);
    }
    let changes = said.into_ok()?["changes"].as_u64().unwrap_or_default();
    let changes = output::count(usize::try_from(changes).unwrap_or(usize::MAX), "change");
    output::line(&format!("the server took {changes} from its own folder"))?;
    Ok(true)
}

/// Whether it is what was sent that the server does not take. Who may not deploy, and a server that
/// has no time, are the same for all packages.
fn is_refused(said: &Said) -> bool {
    matches!(
        said.status,
        StatusCode::BAD_REQUEST
            | StatusCode::CONFLICT
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY
    )
}

/// Says why something is refused.
fn tell_why(said: Said, what: &str) -> anyhow::Result<()> {
    let findings = text(&said.body["error"]);
    if !findings.is_empty() {
        output::line(findings)?;
        return output::line(&format!("{what}: refused"));
    }
    let why = said.into_ok().err().map(|why| why.to_string());
    output::line(&format!("{what}: refused: {}", why.unwrap_or_default()))
}

/// Findings, drawn by the server.
fn text(body: &Value) -> &str {
    body["text"].as_str().unwrap_or_default().trim_end()
}
