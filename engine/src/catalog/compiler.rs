//! Compiles packages, and remembers what it compiled last.

use super::ahead::Ahead;
use crate::log::{Deployment, PackageKey};
use beckon_rules::compile::{Limits, PackageSources, SourceFile, compile_within};
use beckon_rules::diagnostic::{Diagnostic, Severity};
use beckon_rules::plan::RuleSet;
use beckon_rules::schema::Schema;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Rule sets that are remembered: what was checked, and what runs.
const REMEMBERED_MAX: usize = 4;
/// The file with a package's types.
pub(super) const PACKAGE_FILE: &str = "package.toml";

/// Packages by their places.
pub(super) type Packages = BTreeMap<PackageKey, Arc<Deployment>>;

/// What came of some packages.
#[derive(Debug)]
pub struct Compiled {
    packages: Packages,
    /// The rules of all packages that are right.
    pub rules: Arc<RuleSet>,
    /// Packages with an error, of which nothing runs.
    pub broken: BTreeSet<PackageKey>,
    /// What was found, in files named `PACKAGE/FILE` (`PACKAGE@SITE/FILE` for those of one site).
    pub diagnostics: Vec<Diagnostic>,
}

impl Compiled {
    /// Whether something was found in a file of a package.
    #[must_use]
    pub fn is_in(&self, found: &Diagnostic, key: &PackageKey) -> bool {
        is_of(found, key)
    }

    /// The text of a file by the name that diagnostics give it.
    #[must_use]
    pub fn text(&self, file: &str) -> Option<&str> {
        self.packages.iter().find_map(|(key, deployment)| {
            let name = file.strip_prefix(&*prefix(key))?;
            deployment.files.get(name).map(|text| &**text)
        })
    }
}

/// Compiles packages.
#[derive(Debug)]
pub struct Compiler {
    schema: Schema,
    limits: Limits,
    /// The last ones, the newest at the end.
    remembered: Mutex<VecDeque<Arc<Compiled>>>,
    pub(super) ahead: Mutex<Ahead>,
}

impl Compiler {
    /// A compiler for events of a schema, and a server with these limits.
    #[must_use]
    pub fn new(schema: Schema, limits: Limits) -> Self {
        Self { schema, limits, remembered: Mutex::default(), ahead: Mutex::default() }
    }

    /// Compiles packages together. One with an error is left out, so that the others run.
    #[must_use]
    pub fn compile(&self, packages: &BTreeMap<PackageKey, Arc<Deployment>>) -> Arc<Compiled> {
        let remembered = || self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = remembered().iter().find(|known| known.packages == *packages) {
            return Arc::clone(known);
        }
        let compiled = Arc::new(self.compile_anew(packages));
        let mut remembered = remembered();
        if remembered.len() == REMEMBERED_MAX {
            remembered.pop_front();
        }
        remembered.push_back(Arc::clone(&compiled));
        compiled
    }

    fn compile_anew(&self, packages: &Packages) -> Compiled {
        let mut sources: BTreeMap<&PackageKey, PackageSources> =
            packages.iter().map(|(key, deployment)| (key, sources(key, deployment))).collect();
        let mut broken = BTreeSet::new();
        let mut found = Vec::new();
        loop {
            let texts: Vec<PackageSources> = sources.values().cloned().collect();
            let (rules, diagnostics) = compile_within(&texts, &self.schema, self.limits.clone());
            if let Some(rules) = rules {
                found.extend(diagnostics);
                let (packages, rules) = (packages.clone(), Arc::new(rules));
                return Compiled { packages, rules, broken, diagnostics: found };
            }
            let errors = diagnostics.iter().filter(|found| found.severity == Severity::Error);
            let mut culprits: BTreeSet<PackageKey> = errors
                .filter_map(|error| sources.keys().find(|key| is_of(error, key)))
                .map(|key| (*key).clone())
                .collect();
            // Too many rules together: the last package is one too many.
            if culprits.is_empty() {
                culprits.extend(sources.keys().next_back().map(|key| (*key).clone()));
            }
            sources.retain(|key, _| !culprits.contains(*key));
            let is_culprit = |found: &Diagnostic| culprits.iter().any(|key| is_of(found, key));
            found.extend(
                diagnostics
                    .into_iter()
                    .filter(|found| is_culprit(found) || !found.file.contains('/')),
            );
            broken.extend(culprits);
        }
    }
}

fn is_of(diagnostic: &Diagnostic, key: &PackageKey) -> bool {
    diagnostic.file.starts_with(&*prefix(key)) || *diagnostic.file == *key.name
}

/// In front of the names of a package's files.
fn prefix(key: &PackageKey) -> String {
    match &key.site {
        Some(site) => format!("{}@{site}/", key.name),
        None => format!("{}/", key.name),
    }
}

fn sources(key: &PackageKey, deployment: &Deployment) -> PackageSources {
    let prefix = prefix(key);
    let source = |(name, text): (&Arc<str>, &Arc<str>)| SourceFile {
        file: format!("{prefix}{name}"),
        text: text.to_string(),
    };
    let files = &deployment.files;
    PackageSources {
        name: key.name.to_string(),
        package_file: files.get_key_value(PACKAGE_FILE).map(source),
        rules: files.iter().filter(|(name, _)| &***name != PACKAGE_FILE).map(source).collect(),
        is_operator: deployment.is_operator,
        site: key.site.clone(),
    }
}
