//! The rules that the server runs: a folder's, the demo's, or none.

use crate::output;
use crate::rules_dir;
use anyhow::Context;
use beckon_rules::compile::{PackageSources, SourceFile, compile};
use beckon_rules::diagnostic::Severity;
use beckon_rules::plan::RuleSet;
use beckon_rules::render::Colors;
use beckon_rules::schema::Schema;
use std::path::Path;

/// The demo's package.
const DEMO_PACKAGE: &str = "com.example.demo";

/// Its files.
const DEMO_RULES: &[(&str, &str)] = &[];

/// Loads the rules; warnings are shown, errors refuse the start.
///
/// # Errors
/// When the folder cannot be read, or a rule is wrong.
pub(crate) fn load(folder: Option<&Path>, is_demo: bool) -> anyhow::Result<RuleSet> {
    let Some(folder) = folder else {
        return if is_demo { demo() } else { Ok(RuleSet::default()) };
    };
    let checked = rules_dir::check(folder, &Schema::event())?;
    if !checked.diagnostics.is_empty() {
        output::line(&checked.render(Colors::Plain))?;
    }
    let errors = checked.count(Severity::Error);
    checked.rules.with_context(|| format!("{errors} errors in the rules of {}", folder.display()))
}

fn demo() -> anyhow::Result<RuleSet> {
    let files = DEMO_RULES.iter();
    let rules = files
        .map(|(file, text)| SourceFile { file: (*file).to_owned(), text: (*text).to_owned() })
        .collect();
    let package = PackageSources { name: DEMO_PACKAGE.to_owned(), package_file: None, rules };
    let (rules, diagnostics) = compile(&[package], &Schema::event());
    rules.with_context(|| format!("the demo's rules are wrong: {diagnostics:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_has_rules_and_a_bare_server_none() {
        assert!(load(None, true).expect("they compile").rules.len() >= 3);
        assert!(load(None, false).expect("none").rules.is_empty());
    }
}
