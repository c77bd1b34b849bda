//! The rules that the server runs: a folder's, the demo's, or none.

use crate::config::Config;
use crate::{engine_config, output, rules_dir};
use anyhow::Context;
use beckon_engine::catalog::FolderPackage;
use beckon_ingest::RulesFolder;
use beckon_rules::compile::{PackageSources, SourceFile, compile};
use beckon_rules::diagnostic::Severity;
use beckon_rules::plan::RuleSet;
use beckon_rules::render::Colors;
use beckon_rules::schema::Schema;
use std::path::{Path, PathBuf};

/// The demo's package.
const DEMO_PACKAGE: &str = "com.example.demo";

/// A file of its folder, by name and text.
macro_rules! demo_file {
    ($name:literal) => {
        ($name, include_str!(concat!("../../resources/demo/rules/com.example.demo/", $name)))
    };
}

const DEMO_PACKAGE_FILE: (&str, &str) = demo_file!("package.toml");
const DEMO_RULES: [(&str, &str); 7] = [
    demo_file!("big-cart.toml"),
    demo_file!("hesitates.toml"),
    demo_file!("hot-lead.toml"),
    demo_file!("keeps-searching.toml"),
    demo_file!("known-customer-buys.toml"),
    demo_file!("knows-the-way.toml"),
    demo_file!("searched-then-priced.toml"),
];

/// What the server's folder says, or the demo.
#[derive(Debug, Default)]
pub(crate) struct FolderRules {
    /// The rules, compiled by themselves.
    pub(crate) rules: RuleSet,
    /// Their packages, as they are deployed.
    pub(crate) packages: Vec<FolderPackage>,
}

impl FolderRules {
    /// Loads the rules; warnings are shown, errors refuse the start.
    ///
    /// # Errors
    /// When the folder cannot be read, or a rule is wrong.
    pub(crate) fn load(config: &Config, is_demo: bool) -> anyhow::Result<Self> {
        let Some(folder) = &config.server.rules else {
            return if is_demo { demo() } else { Ok(Self::default()) };
        };
        let checked =
            rules_dir::check(folder, &Schema::event(), engine_config::server_limits(config))?;
        if !checked.diagnostics.is_empty() {
            output::line(&checked.render(Colors::Plain))?;
        }
        let errors = checked.count(Severity::Error);
        let what = || format!("{errors} errors in the rules of {}", folder.display());
        let packages = Self::packages(&checked.packages);
        Ok(Self { rules: checked.rules.with_context(what)?, packages })
    }

    /// Packages as they are deployed: files by their names alone.
    pub(crate) fn packages(packages: &[PackageSources]) -> Vec<FolderPackage> {
        let file = |source: &SourceFile| {
            let path = Path::new(&source.file).file_name().unwrap_or_default();
            (path.to_string_lossy().into(), source.text.as_str().into())
        };
        let package = |package: &PackageSources| FolderPackage {
            name: package.name.as_str().into(),
            files: package.package_file.iter().chain(&package.rules).map(file).collect(),
        };
        packages.iter().map(package).collect()
    }
}

/// The folder, to be read again while the server runs.
#[derive(Debug)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl RulesFolder for Folder {
    fn read(&self) -> Result<Vec<FolderPackage>, String> {
        let packages = rules_dir::read(&self.0).map_err(|error| format!("{error:#}"))?;
        Ok(FolderRules::packages(&packages))
    }
}

fn demo() -> anyhow::Result<FolderRules> {
    let source =
        |(file, text): (&str, &str)| SourceFile { file: file.to_owned(), text: text.to_owned() };
    let packages = [PackageSources {
        name: DEMO_PACKAGE.to_owned(),
        package_file: Some(source(DEMO_PACKAGE_FILE)),
        rules: DEMO_RULES.into_iter().map(source).collect(),
        is_operator: true,
        site: None,
    }];
    let (rules, diagnostics) = compile(&packages, &Schema::event());
    let rules = rules.with_context(|| format!("the demo's rules are wrong: {diagnostics:?}"))?;
    Ok(FolderRules { rules, packages: FolderRules::packages(&packages) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_has_rules_and_a_bare_server_none() {
        let config = Config::default();
        let demo = FolderRules::load(&config, true).expect("they compile");
        assert_eq!((demo.rules.rules.len(), demo.packages[0].files.len()), (7, 8));
        assert!(FolderRules::load(&config, false).expect("none").packages.is_empty());
    }
}
