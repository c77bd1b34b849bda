//! Rule packages of a folder: `DIR/PACKAGE/RULE.toml`, and `DIR/PACKAGE/package.toml`.
//!
//! Everything is read, and everything that is wrong with it comes at once. Files are taken in the
//! order of their names; what does not end in `.toml`, and what begins with a dot, is passed over.

use crate::output;
use anyhow::Context;
use beckon_rules::compile::{Limits, PackageSources, SourceFile, compile_within};
use beckon_rules::diagnostic::{Diagnostic, Severity};
use beckon_rules::package::RULE_FILE_BYTES_MAX;
use beckon_rules::plan::RuleSet;
use beckon_rules::render::{Colors, render};
use beckon_rules::schema::Schema;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The file with a package's types.
const PACKAGE_FILE: &str = "package.toml";

/// The packages of a folder, checked.
#[derive(Debug)]
pub(crate) struct CheckedRules {
    /// What runs; `None` if there is an error.
    pub(crate) rules: Option<RuleSet>,
    /// What was found.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// What was read.
    pub(crate) packages: Vec<PackageSources>,
}

impl CheckedRules {
    /// How many findings of a kind there are.
    pub(crate) fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }

    /// How many findings there are, in words: `1 error, 2 warnings`.
    pub(crate) fn summary(&self) -> String {
        let errors = output::count(self.count(Severity::Error), "error");
        let warnings = output::count(self.count(Severity::Warning), "warning");
        format!("{errors}, {warnings}")
    }

    /// All findings, drawn in their sources.
    pub(crate) fn render(&self, colors: Colors) -> String {
        render(&self.diagnostics, |file| self.text(file), colors)
    }

    /// The text of a file by its name.
    pub(crate) fn text(&self, file: &str) -> Option<&str> {
        let packages = self.packages.iter();
        let mut files =
            packages.flat_map(|package| package.rules.iter().chain(&package.package_file));
        files.find(|source| source.file == file).map(|source| source.text.as_str())
    }
}

/// Reads and checks the packages of a folder, for a server with these limits.
///
/// # Errors
/// When the folder or a file in it cannot be read, or a rule lies beside the packages.
pub(crate) fn check(
    directory: &Path,
    schema: &Schema,
    limits: Limits,
) -> anyhow::Result<CheckedRules> {
    let packages = read(directory)?;
    let (rules, diagnostics) = compile_within(&packages, schema, limits);
    Ok(CheckedRules { rules, diagnostics, packages })
}

/// Reads the packages of a folder.
///
/// # Errors
/// As [`check`].
pub(crate) fn read(directory: &Path) -> anyhow::Result<Vec<PackageSources>> {
    let mut packages = Vec::new();
    for path in entries(directory)? {
        if path.is_dir() {
            packages.push(read_package(&path)?);
        } else {
            anyhow::ensure!(
                path.extension().is_none_or(|ending| ending != "toml"),
                "{}: a rule lies in the folder of its package, {}/PACKAGE/RULE.toml",
                path.display(),
                directory.display()
            );
        }
    }
    Ok(packages)
}

fn read_package(directory: &Path) -> anyhow::Result<PackageSources> {
    let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut package = PackageSources {
        name,
        package_file: None,
        rules: Vec::new(),
        is_operator: true,
        site: None,
    };
    for path in entries(directory)? {
        if path.extension().is_none_or(|ending| ending != "toml") || path.is_dir() {
            continue;
        }
        let source = SourceFile { file: path.display().to_string(), text: read_text(&path)? };
        if path.file_name().is_some_and(|name| name == PACKAGE_FILE) {
            package.package_file = Some(source);
        } else {
            package.rules.push(source);
        }
    }
    Ok(package)
}

/// What lies in a folder, by name, without what begins with a dot.
fn entries(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let failed = || format!("{}: the folder cannot be read", directory.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// A file's text, of which at most one byte more than is allowed is read. What is no UTF-8 is U+FFFD there, which
/// is refused in its place.
fn read_text(path: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let failed = || format!("{}: cannot be read", path.display());
    let file = File::open(path).with_context(failed)?;
    file.take(RULE_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).with_context(failed)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "name = \"a\"\ndescription = \"d\"\nquery = \"any where true\"\n\
        [action]\ntype = \"none\"\n";

    fn write(folder: &Path, path: &str, text: &str) {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a temporary folder");
        std::fs::write(path, text).expect("a temporary file");
    }

    #[test]
    fn packages_are_folders() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "com.example.b/a.toml", RULE);
        write(folder.path(), "com.example.a/a.toml", RULE);
        write(folder.path(), "com.example.a/package.toml", "");
        write(folder.path(), "com.example.a/notes.md", "");
        write(folder.path(), "README.md", "");
        write(folder.path(), ".hidden/x.toml", "");
        let packages = read(folder.path()).expect("packages");
        let found: Vec<_> = packages
            .iter()
            .map(|package| {
                (package.name.as_str(), package.package_file.is_some(), package.rules.len())
            })
            .collect();
        assert_eq!(found, [("com.example.a", true, 1), ("com.example.b", false, 1)]);
        let checked = check(folder.path(), &Schema::event(), Limits::default()).expect("packages");
        assert_eq!(checked.rules.map(|rules| rules.rules.len()), Some(2));
    }

    #[test]
    fn a_wrong_rule_is_drawn_with_its_file() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "com.example.a/a.toml", &RULE.replace("true", "nothing == 1"));
        let checked = check(folder.path(), &Schema::event(), Limits::default()).expect("packages");
        assert!(checked.rules.is_none());
        assert_eq!(checked.count(Severity::Error), 1);
        let picture = checked.render(Colors::Plain);
        assert!(picture.contains("a.toml") && picture.contains("nothing == 1"), "{picture}");
    }

    /// The others are checked all the same.
    #[test]
    fn a_file_that_is_no_text_is_refused_where_it_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "com.example.a/a.toml", &RULE.replace("true", "nothing == 1"));
        let latin = RULE.replace("\"a\"", "\"b\"").replace("\"d\"", "\"caf_\"");
        let latin: Vec<u8> =
            latin.bytes().map(|byte| if byte == b'_' { 0xe9 } else { byte }).collect();
        std::fs::write(folder.path().join("com.example.a/b.toml"), latin).expect("a file");
        let checked = check(folder.path(), &Schema::event(), Limits::default()).expect("packages");
        let picture = checked.render(Colors::Plain);
        assert_eq!(checked.count(Severity::Error), 2, "{picture}");
        assert!(picture.contains("no UTF-8") && picture.contains("nothing == 1"), "{picture}");
    }

    #[test]
    fn a_rule_beside_the_packages_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "a.toml", RULE);
        let message = read(folder.path()).expect_err("no package").to_string();
        assert!(message.contains("PACKAGE/RULE.toml"), "{message}");
    }
}
