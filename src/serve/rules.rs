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

/// A file of its folder, by name and text.
macro_rules! demo_file {
    ($name:literal) => {
        ($name, include_str!(concat!("../../resources/demo/rules/com.example.demo/", $name)))
    };
}

const DEMO_PACKAGE_FILE: (&str, &str) = demo_file!("package.toml");
const DEMO_RULES: [(&str, &str); 6] = [
    demo_file!("big-cart.toml"),
    demo_file!("hot-lead.toml"),
    demo_file!("keeps-searching.toml"),
    demo_file!("known-customer-buys.toml"),
    demo_file!("knows-the-way.toml"),
    demo_file!("searched-then-priced.toml"),
];

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
    let source =
        |(file, text): (&str, &str)| SourceFile { file: file.to_owned(), text: text.to_owned() };
    let package = PackageSources {
        name: DEMO_PACKAGE.to_owned(),
        package_file: Some(source(DEMO_PACKAGE_FILE)),
        rules: DEMO_RULES.into_iter().map(source).collect(),
        is_operator: true,
        site: None,
    };
    let (rules, diagnostics) = compile(&[package], &Schema::event());
    rules.with_context(|| format!("the demo's rules are wrong: {diagnostics:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_has_rules_and_a_bare_server_none() {
        assert!(load(None, true).expect("they compile").rules.len() == 6);
        assert!(load(None, false).expect("none").rules.is_empty());
    }
}
