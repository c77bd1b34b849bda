//! Checks of manifests: who may depend on whom, shared lints, and a reason for each dependency.

use super::{Finding, Tree};
use anyhow::Context;
use std::iter::once;
use toml::{Table, Value};

/// What each member of the workspace, by its folder, may depend on, of ours.
const DIRECTIONS: &[(&str, &[&str])] = &[
    (".", &["beckon-engine", "beckon-ingest", "beckon-rules", "beckon-sinks"]),
    ("rules", &[]),
    ("engine", &["beckon-rules"]),
    ("ingest", &["beckon-engine", "beckon-rules"]),
    ("sinks", &["beckon-engine", "beckon-rules"]),
    ("benches", &["beckon-engine", "beckon-ingest", "beckon-rules", "beckon-sinks"]),
    ("xtask", &[]),
];

/// What one crate instantiates, because it is dear to compile and breaks with each release.
const DATAFLOW: &[&str] = &["timely", "differential-dataflow"];

/// All findings in manifests.
///
/// # Errors
/// When a manifest is missing or is not TOML.
pub(crate) fn check(tree: &Tree) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let text = manifest(tree, "Cargo.toml")?;
    let root: Table = text.parse().context("Cargo.toml")?;
    reasons(text, &mut findings);
    members(&root, &mut findings);
    for (folder, allowed) in DIRECTIONS {
        let path = match *folder {
            "." => "Cargo.toml".to_owned(),
            folder => format!("{folder}/Cargo.toml"),
        };
        let table: Table = manifest(tree, &path)?.parse().with_context(|| path.clone())?;
        directions(&path, (&table, &root), allowed, &mut findings);
        let inherits = table.get("lints").and_then(|lints| lints.get("workspace"));
        if inherits.and_then(Value::as_bool) != Some(true) {
            let what = "inherits the workspace's lints: [lints] workspace = true";
            findings.push(finding(&path, what));
        }
    }
    Ok(findings)
}

fn manifest<'a>(tree: &'a Tree, path: &str) -> anyhow::Result<&'a str> {
    let file = tree.files.iter().find(|file| file.path == path);
    Ok(&file.with_context(|| format!("{path} is missing"))?.text)
}

fn finding(path: &str, what: impl Into<String>) -> Finding {
    Finding { file: path.to_owned(), line: 0, what: what.into() }
}

/// Who is a member has its directions.
fn members(root: &Table, findings: &mut Vec<Finding>) {
    let members = root.get("workspace").and_then(|workspace| workspace.get("members"));
    let members = members.and_then(Value::as_array).into_iter().flatten();
    for member in members.filter_map(Value::as_str) {
        if !DIRECTIONS.iter().any(|(folder, _)| *folder == member) {
            let what = format!("the member {member} has no directions in xtask's tidy");
            findings.push(finding("Cargo.toml", what));
        }
    }
}

/// `root` is the manifest that a dependency of the workspace stands in.
fn directions(
    path: &str,
    (table, root): (&Table, &Table),
    allowed: &[&str],
    findings: &mut Vec<Finding>,
) {
    for (name, package) in dependencies(table, root) {
        let ours = package.starts_with("beckon");
        if ours && !allowed.contains(&package) {
            let what =
                format!("depends on {package}: rules <- engine <- {{ingest, sinks}} <- beckon");
            findings.push(finding(path, what));
        }
        let is_dataflow = DATAFLOW.contains(&package);
        if is_dataflow && path != "engine/Cargo.toml" {
            let what = format!("depends on {package}: only engine/src/dataflow names it");
            findings.push(finding(path, what));
        }
        if (ours || is_dataflow) && name != package {
            let what = format!("{package} is called {name}: under that name no check sees it");
            findings.push(finding(path, what));
        }
    }
}

/// All that a manifest depends on, for any target: how it calls it, and the package.
fn dependencies<'a>(table: &'a Table, root: &'a Table) -> Vec<(&'a str, &'a str)> {
    let targets = table.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables = once(table).chain(targets.filter_map(Value::as_table));
    let sections = ["dependencies", "dev-dependencies", "build-dependencies"];
    let sections = tables.flat_map(|table| sections.map(|section| table.get(section)));
    let shared = root.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    sections
        .flatten()
        .filter_map(Value::as_table)
        .flatten()
        .map(|(name, said)| {
            let said = if said.get("workspace").is_some() {
                shared.and_then(|shared| shared.get(name))
            } else {
                Some(said)
            };
            let package = said.and_then(|said| said.get("package")).and_then(Value::as_str);
            (name.as_str(), package.unwrap_or(name))
        })
        .collect()
}

/// Every outside dependency stands under a comment that says what it is for; a block of them, up
/// to an empty line, may share one.
fn reasons(text: &str, findings: &mut Vec<Finding>) {
    let mut inside = false;
    let mut has_reason = false;
    for (number, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            inside = line == "[workspace.dependencies]";
        } else if line.trim().is_empty() {
            has_reason = false;
        } else if line.starts_with('#') {
            has_reason = true;
        } else if inside && !has_reason && !line.starts_with("beckon") && line.contains(" = ") {
            let what = "no comment says what this dependency is for".to_owned();
            findings.push(Finding { file: "Cargo.toml".to_owned(), line: number + 1, what });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many findings a manifest has, beside a root that calls timely `t` for all.
    #[track_caller]
    fn check_directions(path: &str, text: &str, expected: usize) {
        let root = "[workspace.dependencies]\nt = { package = \"timely\" }\ntimely = \"1\"";
        let parse = |text: &str| text.parse::<Table>().expect("TOML");
        let mut findings = Vec::new();
        directions(path, (&parse(text), &parse(root)), &["beckon-rules"], &mut findings);
        assert_eq!(findings.len(), expected, "{text}: {findings:?}");
    }

    #[test]
    fn a_wrong_direction_is_found() {
        let sinks = |text, expected| check_directions("sinks/Cargo.toml", text, expected);
        sinks("[dependencies]\nbeckon-rules = \"1\"\nserde = \"1\"", 0);
        sinks("[dependencies]\nbeckon-ingest = \"1\"", 1);
        sinks("[dev-dependencies]\nbeckon-engine = \"1\"\ntimely = \"1\"", 2);
        sinks("[build-dependencies.timely]\nworkspace = true", 1);
        sinks("[target.'cfg(unix)'.dependencies]\ntimely = \"1\"", 1);
        sinks("[target.x86_64-unknown-linux-gnu.dev-dependencies.beckon-ingest]\npath = \"..\"", 1);
    }

    /// Once for what it is, and once because its name hides that.
    #[test]
    fn another_name_hides_nothing() {
        let sinks = |text, expected| check_directions("sinks/Cargo.toml", text, expected);
        sinks("[dependencies]\nx = { package = \"beckon-engine\", path = \"..\" }", 2);
        sinks("[dependencies]\nt = { workspace = true }", 2);
        sinks("[dependencies.x]\npackage = \"serde\"", 0);
        let engine = "[dependencies]\ntimely = { workspace = true }";
        check_directions("engine/Cargo.toml", engine, 0);
        check_directions("engine/Cargo.toml", "[dependencies]\nt.workspace = true", 1);
    }

    #[test]
    fn a_member_without_directions_is_found() {
        let found = |text: &str| {
            let mut findings = Vec::new();
            members(&text.parse().expect("TOML"), &mut findings);
            findings.len()
        };
        assert_eq!(found("[workspace]\nmembers = [\"rules\", \"engine\"]"), 0);
        assert_eq!(found("[workspace]\nmembers = [\"rules\", \"engage\", \"crates/*\"]"), 2);
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let mut findings = Vec::new();
        reasons("[workspace.dependencies]\n# why\na = \"1\"\n\nb = \"1\"\n", &mut findings);
        assert_eq!(findings.len(), 1);
    }
}
