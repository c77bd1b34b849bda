//! From the texts of packages to a rule set: the facade of this crate.
//!
//! Every file of every package is read and checked, whatever is wrong in others, so that all
//! diagnostics come at once; there is a rule set only where none of them is an error. Packages and
//! rules are taken in the order of their names, so that the same texts give the same plan in
//! whatever order they come.

mod declared;
mod rule;

#[cfg(test)]
mod tests;

use crate::canonical::Shared;
use crate::check::Slots;
use crate::diagnostic::{Diagnostic, Severity};
use crate::package::{RuleFile, is_package_name, parse_package_file, parse_rule_file};
use crate::plan::{RulePlan, RuleSet};
use crate::schema::Schema;
use declared::DeclaredTypes;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// The most rules that run together.
pub const RULES_MAX: usize = 100_000;

/// A file's text under the name that diagnostics give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Usually its path.
    pub file: String,
    /// All of it.
    pub text: String,
}

/// The files of one package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageSources {
    /// A reversed domain: the name of its folder.
    pub name: String,
    /// `package.toml`, if there is one.
    pub package_file: Option<SourceFile>,
    /// The rule files, in any order.
    pub rules: Vec<SourceFile>,
    /// Whether it is deployed by the operator of the server, as those of its own folder are: only
    /// then may a rule see all sites.
    pub is_operator: bool,
    /// The site whose events it sees; `None`: those of all sites.
    pub site: Option<Arc<str>>,
}

/// What the configuration of a server bounds rules by, as far as a rule is warned of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// How long a window of a visitor or user is remembered without an event; `None`: not known.
    pub window_memory_ms: Option<i64>,
    /// The endpoints of webhooks; `None`: not known.
    pub endpoints: Option<Arc<BTreeSet<Box<str>>>>,
}

/// Compiles packages against a schema. All diagnostics come in the order of package, file and place;
/// the rule set is there if none of them is an error.
#[must_use]
pub fn compile(packages: &[PackageSources], schema: &Schema) -> (Option<RuleSet>, Vec<Diagnostic>) {
    compile_within(packages, schema, Limits::default())
}

/// The same for a server with these limits, which change no plan: rules are warned of them.
#[must_use]
pub fn compile_within(
    packages: &[PackageSources],
    schema: &Schema,
    limits: Limits,
) -> (Option<RuleSet>, Vec<Diagnostic>) {
    let mut sorted: Vec<&PackageSources> = packages.iter().collect();
    sorted.sort_by_key(|package| place(package));
    let mut compiler = Compiler {
        limits,
        slots: Slots::default(),
        types: DeclaredTypes::default(),
        rules: Vec::new(),
        diagnostics: Vec::new(),
    };
    for (index, package) in sorted.iter().enumerate() {
        let is_second = index > 0 && place(sorted[index - 1]) == place(package);
        compiler.package(package, schema, is_second);
    }
    compiler.finish()
}

/// What tells a package from all others.
fn place(package: &PackageSources) -> (&str, Option<&str>) {
    (&package.name, package.site.as_deref())
}

/// What the rules of one package have in common.
struct Context {
    package: Arc<str>,
    /// With the package's types.
    schema: Schema,
    shared: Shared,
    is_operator: bool,
    site: Option<Arc<str>>,
}

struct Compiler {
    limits: Limits,
    slots: Slots,
    types: DeclaredTypes,
    rules: Vec<Arc<RulePlan>>,
    diagnostics: Vec<Diagnostic>,
}

impl Compiler {
    fn package(&mut self, package: &PackageSources, schema: &Schema, is_second: bool) {
        let first_file = package.package_file.as_ref().or(package.rules.first());
        let first_file = first_file.map_or(package.name.as_str(), |source| source.file.as_str());
        if !is_package_name(&package.name) {
            let message = format!(
                "`{}` is no package name: it is a reversed domain such as `com.example.shop`",
                package.name
            );
            self.diagnostics.push(error("package-name", first_file, 0..0, message));
        }
        if is_second {
            let message = format!("the package `{}` is there twice", package.name);
            self.diagnostics.push(error("duplicate-package", first_file, 0..0, message));
        }
        let mut context = Context {
            package: package.name.as_str().into(),
            schema: schema.clone(),
            shared: Shared::default(),
            is_operator: package.is_operator,
            site: package.site.clone(),
        };
        if let Some(source) = &package.package_file {
            let (file, diagnostics) = parse_package_file(&source.file, &source.text);
            self.diagnostics.extend(diagnostics);
            if let Some(file) = file {
                context.schema = self.types.declare(&file, schema, &mut self.diagnostics);
                context.shared = Shared::of(file);
            }
        }
        for rule in self.rule_files(package) {
            let plan = rule::plan(&rule, &context, self);
            self.rules.push(Arc::new(plan));
        }
    }

    /// The rule files that could be read, by rule name, each name once.
    fn rule_files(&mut self, package: &PackageSources) -> Vec<RuleFile> {
        let mut sources: Vec<&SourceFile> = package.rules.iter().collect();
        sources.sort_by(|one, other| one.file.cmp(&other.file));
        let mut by_name: BTreeMap<Box<str>, RuleFile> = BTreeMap::new();
        for source in sources {
            let (rule, diagnostics) = parse_rule_file(&source.file, &source.text);
            self.diagnostics.extend(diagnostics);
            let Some(rule) = rule else {
                continue;
            };
            match by_name.get(&rule.name.node) {
                Some(first) => {
                    let message =
                        format!("the rule `{}` stands in {} already", rule.name.node, first.file);
                    let range = range_of(rule.name.span);
                    self.diagnostics.push(error("duplicate-rule", &rule.file, range, message));
                }
                None => {
                    by_name.insert(rule.name.node.clone(), rule);
                }
            }
        }
        by_name.into_values().collect()
    }

    fn finish(mut self) -> (Option<RuleSet>, Vec<Diagnostic>) {
        if self.rules.len() > RULES_MAX {
            let file = self.rules.first().map_or("", |rule| rule.package.as_ref()).to_owned();
            let message = format!("there are more than {RULES_MAX} rules");
            self.diagnostics.push(error("over-limit", &file, 0..0, message));
        }
        let has_error =
            self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
        let rule_set = (!has_error).then(|| RuleSet {
            fields: self.slots.into_paths(),
            rules: self.rules,
            types: self.types.into_list(),
        });
        (rule_set, self.diagnostics)
    }
}

/// An error in a file.
fn error(code: &'static str, file: &str, range: Range<usize>, message: String) -> Diagnostic {
    let file = file.into();
    Diagnostic { severity: Severity::Error, code, file, range, message, help: None }
}

/// A span of the file as a range.
fn range_of(span: crate::ast::Span) -> Range<usize> {
    let offset = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
    offset(span.start)..offset(span.end)
}
