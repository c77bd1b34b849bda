//! What is answered of packages.

use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// A package, by its name and site.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PackageName)]
pub(crate) struct Named {
    pub(super) package: Arc<str>,
    /// The site whose events it sees; null: all of them.
    #[schema(required)]
    pub(super) site: Option<Arc<str>>,
}

/// A package that was taken.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PackageDeployed)]
pub(crate) struct Deployed {
    #[serde(flatten)]
    pub(super) key: Named,
    /// It stood so before.
    pub(super) is_unchanged: bool,
    pub(super) rules: Vec<Rule>,
    pub(super) warnings: Vec<Finding>,
    /// The warnings, drawn.
    pub(super) text: String,
    /// What is paused of it: it deploys, and nothing of it goes out.
    pub(super) paused: Vec<Paused>,
}

/// Packages that were refused; what ran before runs on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RulesRefused)]
pub(crate) struct Wrong {
    pub(super) error: WrongRules,
}

/// What is wrong with them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RulesError)]
pub(crate) struct WrongRules {
    /// For programs.
    pub(super) code: &'static str,
    /// What was wrong, in a sentence.
    pub(super) message: String,
    /// What to do.
    pub(super) help: &'static str,
    pub(super) diagnostics: Vec<Finding>,
    /// The diagnostics, drawn.
    pub(super) text: String,
}

/// An error or a warning, and where it stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RuleFinding)]
pub(crate) struct Finding {
    /// `error` or `warning`.
    pub(super) severity: &'static str,
    /// For programs.
    pub(super) code: &'static str,
    pub(super) file: String,
    #[schema(required)]
    pub(super) line: Option<usize>,
    #[schema(required)]
    pub(super) column: Option<usize>,
    pub(super) message: String,
    /// What to do.
    #[schema(required)]
    pub(super) help: Option<String>,
}

/// All packages that are asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Packages {
    pub(super) packages: Vec<Package>,
    /// What is paused.
    pub(super) paused: Vec<Paused>,
}

/// A package that is deployed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Package {
    #[serde(flatten)]
    pub(super) key: Named,
    /// `folder`: that of `--rules`; `token`.
    pub(super) owner: &'static str,
    /// Who deployed it.
    pub(super) by: Arc<str>,
    /// It stands in the log, and this version cannot run it.
    pub(super) is_broken: bool,
    pub(super) rules: Vec<RuleStanding>,
    /// Its files with their texts, where one package is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = BTreeMap<String, String>, required = false)]
    pub(super) files: Option<BTreeMap<Arc<str>, Arc<str>>>,
}

/// A rule.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rule {
    pub(super) rule: Arc<str>,
    /// Tells whether two rules of one name are the same.
    pub(super) version: String,
    pub(super) description: String,
    pub(super) enabled: bool,
    /// The kind of its action.
    pub(super) action: &'static str,
}

/// A rule, and what came of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RuleStanding {
    #[serde(flatten)]
    pub(super) rule: Rule,
    /// How often it acted within the last hour.
    pub(super) acted_last_hour: i64,
    pub(super) since_start: SinceStart,
    /// It is shown the log now, and sees nothing else yet.
    pub(super) is_backfilling: bool,
    /// From when on it was shown the log.
    #[schema(required)]
    pub(super) backfilled_from: Option<String>,
    /// Visits that had had more events than they keep: it was shown the newest.
    pub(super) partial_visits: u64,
}

/// What became of a rule's matches since the start.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SinceStart {
    /// Those that acted.
    pub(super) acted: u64,
    /// Those that did not, by the reason; reasons that none had are left out.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub(super) suppressed: BTreeMap<&'static str, u64>,
    /// Those that took the place of another and sent nothing.
    pub(super) corrected: u64,
    /// Those that no longer hold.
    pub(super) retracted: u64,
}

/// What is paused.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Paused {
    /// Null: all packages.
    #[schema(required)]
    pub(super) package: Option<Arc<str>>,
    /// Null: on all sites.
    #[schema(required)]
    pub(super) site: Option<Arc<str>>,
}

/// What is paused now, and what was and goes on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Pauses {
    pub(super) paused: Vec<Paused>,
    pub(super) resumed: Vec<Paused>,
}

/// What a reload changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Reloaded {
    /// Packages that came, went or are others now.
    pub(super) changes: usize,
}
