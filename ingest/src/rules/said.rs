//! What is said of packages: their JSON is in `answers`.

use super::answers::{
    Deployed, Finding, Named, Package, Packages, Paused, Pauses, Rule, RuleStanding, SinceStart,
    Wrong, WrongRules,
};
use crate::app::EngineView;
use beckon_engine::catalog::{Compiled, Deployed as Taken, Deployer};
use beckon_engine::log::{Deployment, Owner, PackageKey, PauseKey, Standing};
use beckon_engine::model::ServerTimeMs;
use beckon_engine::pipeline::RuleCounts;
use beckon_rules::diagnostic::{Diagnostic, Severity};
use beckon_rules::plan::RulePlan;
use beckon_rules::render::{Colors, render};
use jiff::Timestamp;
use serde_json::Value;
use std::sync::Arc;

/// What the engine says of rules now.
#[derive(Debug)]
pub(super) struct Now<'a> {
    /// Whose figures are asked for; `None`: those of all sites together.
    pub(super) site: Option<&'a str>,
    /// What is shown live.
    pub(super) live: Value,
    pub(super) engine: &'a dyn EngineView,
}

/// A package that was taken, with its warnings, and what is paused of it: a pause stays until it is taken
/// back, also where the package went meanwhile.
pub(super) fn deployed(key: &PackageKey, deployed: &Taken, standing: &Standing) -> Deployed {
    let is_of = |paused: &&PauseKey| paused.package.as_ref().is_none_or(|name| *name == key.name);
    let paused = standing.paused.iter().filter(is_of);
    let compiled = &deployed.compiled;
    let warnings: Vec<_> =
        compiled.diagnostics.iter().filter(|found| compiled.is_in(found, key)).collect();
    Deployed {
        key: named(key),
        is_unchanged: deployed.is_unchanged,
        rules: rules(compiled, key).map(said).collect(),
        warnings: warnings.iter().map(|found| finding(compiled, found)).collect(),
        text: text(compiled, &warnings),
        paused: pauses(paused, key.site.as_deref()),
    }
}

/// A package's name.
pub(super) fn named(key: &PackageKey) -> Named {
    Named { package: Arc::clone(&key.name), site: key.site.clone() }
}

/// A package that was refused: what is wrong in it, and where others contradict it.
pub(super) fn refused(key: &PackageKey, compiled: &Compiled) -> Wrong {
    wrong(compiled, |found| found.severity == Severity::Error || compiled.is_in(found, key))
}

/// The same of the server's folder.
pub(super) fn refused_all(compiled: &Compiled) -> Wrong {
    wrong(compiled, |_| true)
}

fn wrong(compiled: &Compiled, is_asked: impl Fn(&Diagnostic) -> bool) -> Wrong {
    let found: Vec<_> = compiled.diagnostics.iter().filter(|found| is_asked(found)).collect();
    let errors = found.iter().filter(|found| found.severity == Severity::Error).count();
    let what = if errors == 1 { "error" } else { "errors" };
    let error = WrongRules {
        code: "rules_refused",
        message: format!("{errors} {what}; what ran before runs on"),
        help: "see diagnostics, or text, which is them drawn",
        diagnostics: found.iter().map(|found| finding(compiled, found)).collect(),
        text: text(compiled, &found),
    };
    Wrong { error }
}

fn text(compiled: &Compiled, found: &[&Diagnostic]) -> String {
    let found: Vec<Diagnostic> = found.iter().map(|found| (*found).clone()).collect();
    render(&found, |file| compiled.text(file), Colors::Plain)
}

fn finding(compiled: &Compiled, found: &Diagnostic) -> Finding {
    let before = compiled.text(&found.file).and_then(|text| text.get(..found.range.start));
    let column = |before: &str| before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Finding {
        severity: match found.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        code: found.code,
        file: found.file.to_string(),
        line: before.map(|before| before.matches('\n').count() + 1),
        column: before.map(column),
        message: found.message.clone(),
        help: found.help.clone(),
    }
}

/// All packages that see a site; of all sites for `None`.
pub(super) fn list(deployer: &Deployer, now: &Now<'_>, site: Option<&str>) -> Packages {
    let (standing, compiled) = (deployer.standing(), deployer.compiled());
    let seen = standing.packages.iter().filter(|(key, _)| key.concerns(site));
    let packages = seen.map(|(key, deployment)| package(key, deployment, &compiled, now)).collect();
    Packages { packages, paused: pauses(standing.paused.iter(), site) }
}

/// One package with its files.
pub(super) fn show(deployer: &Deployer, now: &Now<'_>, key: &PackageKey) -> Option<Package> {
    let standing = deployer.standing();
    let deployment = standing.packages.get(key)?;
    let said = package(key, deployment, &deployer.compiled(), now);
    Some(Package { files: Some(deployment.files.clone()), ..said })
}

/// What is paused now on a site (on all of them for `None`), and what was and goes on.
pub(super) fn paused(before: &Standing, now: &Standing, site: Option<&str>) -> Pauses {
    Pauses {
        paused: pauses(now.paused.iter(), site),
        resumed: pauses(before.paused.difference(&now.paused), site),
    }
}

fn pauses<'a>(paused: impl Iterator<Item = &'a PauseKey>, site: Option<&str>) -> Vec<Paused> {
    let seen = paused.filter(|key| key.concerns(site));
    seen.map(|key| Paused { package: key.package.clone(), site: key.site.clone() }).collect()
}

fn package(
    key: &PackageKey,
    deployment: &Arc<Deployment>,
    compiled: &Compiled,
    now: &Now<'_>,
) -> Package {
    Package {
        key: named(key),
        owner: match deployment.owner {
            Owner::Folder => "folder",
            Owner::Token => "token",
        },
        by: Arc::clone(&deployment.by),
        is_broken: compiled.broken.contains(key),
        rules: rules(compiled, key).map(|rule| standing(key, rule, now)).collect(),
        files: None,
    }
}

fn rules<'a>(compiled: &'a Compiled, key: &PackageKey) -> impl Iterator<Item = &'a RulePlan> {
    let of_package = move |rule: &&RulePlan| rule.package == key.name && rule.site == key.site;
    compiled.rules.rules.iter().map(|rule| &**rule).filter(of_package)
}

fn said(rule: &RulePlan) -> Rule {
    Rule {
        rule: Arc::clone(&rule.name),
        version: format!("{:032x}", rule.version.0),
        description: rule.description.to_string(),
        enabled: rule.enabled,
        action: rule.action.kind.as_str(),
    }
}

/// A rule with what came of it.
fn standing(key: &PackageKey, rule: &RulePlan, now: &Now<'_>) -> RuleStanding {
    let Now { site, live, engine } = now;
    let shown = engine.backfill(&(key.clone(), Arc::clone(&rule.name)));
    let site = rule.site.as_deref().or(*site);
    RuleStanding {
        rule: said(rule),
        acted_last_hour: acted(live, rule),
        since_start: since_start(&engine.rule_counts(&rule.package, &rule.name, site)),
        is_backfilling: shown.is_under_way,
        backfilled_from: shown.from.and_then(time),
        partial_visits: shown.partial_visits,
    }
}

/// What became of a rule's matches; reasons that none had are left out.
fn since_start(counts: &RuleCounts) -> SinceStart {
    let suppressed = counts.suppressed.iter();
    SinceStart {
        acted: counts.acted,
        suppressed: suppressed.map(|(reason, count)| (reason.as_str(), *count)).collect(),
        corrected: counts.corrected,
        retracted: counts.retracted,
    }
}

/// As RFC 3339 has it, in UTC.
fn time(time: ServerTimeMs) -> Option<String> {
    Timestamp::from_millisecond(time.0).ok().map(|time| time.to_string())
}

/// How often a rule acted within the hour that is shown live.
fn acted(live: &Value, rule: &RulePlan) -> i64 {
    let counts = live["rules"].as_array().into_iter().flatten();
    let of_rule = counts.filter(|count| {
        count["package"] == *rule.package
            && count["rule"] == *rule.name
            && rule.site.as_ref().is_none_or(|site| count["site"] == **site)
    });
    of_rule.filter_map(|count| count["count"].as_i64()).sum()
}
