//! Checks of manifests: who may depend on whom, shared lints, and a reason for each dependency.

use super::{Finding, Tree};
use anyhow::Context;

/// What each crate of ours may depend on, of ours.
const DIRECTIONS: &[(&str, &[&str])] = &[
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
    for (folder, allowed) in DIRECTIONS {
        let path = format!("{folder}/Cargo.toml");
        let text = manifest(tree, &path)?;
        let table: toml::Table = text.parse().with_context(|| path.clone())?;
        directions(&path, &table, allowed, &mut findings);
        let inherits = table.get("lints").and_then(|lints| lints.get("workspace"));
        if inherits.and_then(toml::Value::as_bool) != Some(true) {
            let what = "inherits the workspace's lints: [lints] workspace = true".to_owned();
            findings.push(Finding { file: path, line: 0, what });
        }
    }
    reasons(manifest(tree, "Cargo.toml")?, &mut findings);
    Ok(findings)
}

fn manifest<'a>(tree: &'a Tree, path: &str) -> anyhow::Result<&'a str> {
    let file = tree.files.iter().find(|file| file.path == path);
    Ok(&file.with_context(|| format!("{path} is missing"))?.text)
}

fn directions(path: &str, table: &toml::Table, allowed: &[&str], findings: &mut Vec<Finding>) {
    let sections = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = sections.iter().filter_map(|section| table.get(*section)?.as_table());
    for name in tables.flat_map(toml::Table::keys) {
        let ours = name.starts_with("beckon");
        if ours && !allowed.contains(&name.as_str()) {
            let what = format!("depends on {name}: rules <- engine <- {{ingest, sinks}} <- beckon");
            findings.push(Finding { file: path.to_owned(), line: 0, what });
        }
        if DATAFLOW.contains(&name.as_str()) && path != "engine/Cargo.toml" {
            let what = format!("depends on {name}: only engine/src/dataflow names it");
            findings.push(Finding { file: path.to_owned(), line: 0, what });
        }
    }
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

    #[test]
    fn a_wrong_direction_and_a_missing_reason_are_found() {
        let mut findings = Vec::new();
        let table = "[dependencies]\nbeckon-ingest = \"1\"".parse().expect("TOML");
        directions("rules/Cargo.toml", &table, &[], &mut findings);
        assert_eq!(findings.len(), 1);
        let table = "[dev-dependencies]\nbeckon-engine = \"1\"\ntimely = \"1\"".parse();
        directions("sinks/Cargo.toml", &table.expect("TOML"), &[], &mut findings);
        assert_eq!(findings.len(), 3);
        reasons("[workspace.dependencies]\n# why\na = \"1\"\n\nb = \"1\"\n", &mut findings);
        assert_eq!(findings.len(), 4);
    }
}
