//! Whose events a rule sees.

use crate::matcher::MatcherConfig;
use crate::matcher::testing::{Run, Sample, text};
use beckon_rules::compile::{PackageSources, SourceFile, compile};
use beckon_rules::plan::RuleSet;
use beckon_rules::schema::Schema;
use std::sync::Arc;

fn package(name: &str, is_separate: bool, site: Option<&str>) -> PackageSources {
    package_of(name, "any where eventName == 'A'", is_separate, site)
}

fn package_of(name: &str, query: &str, is_separate: bool, site: Option<&str>) -> PackageSources {
    let rule = format!(
        "name = \"{}\"\nfire = \"every\"\nquery = \"{query}\"\n[action]\ntype = \
         \"none\"\n",
        name.replace('.', "-")
    );
    let separated = SourceFile {
        file: format!("{name}/package.toml"),
        text: format!("domain_separation = {is_separate}\n"),
    };
    PackageSources {
        name: name.to_owned(),
        package_file: Some(separated),
        rules: vec![SourceFile {
            file: format!("{name}/r.toml"),
            text: rule.replace('\'', "\\\""),
        }],
        is_operator: true,
        site: site.map(Into::into),
    }
}

fn rules(packages: &[PackageSources]) -> Arc<RuleSet> {
    let (rules, diagnostics) = compile(packages, &Schema::event());
    Arc::new(rules.unwrap_or_else(|| panic!("{diagnostics:?}")))
}

/// The rules that fire at one event, by the packages' names.
fn fired(rules: &Arc<RuleSet>, event: &Sample) -> Vec<String> {
    let config = MatcherConfig { makes_visit_started: false, ..MatcherConfig::default() };
    let mut run = Run::new(rules, config);
    run.event(event);
    run.facts().iter().map(|fact| fact.package.to_string()).collect()
}

/// The test cases of the domain-oriented packages of Genesys Web Engagement.
#[test]
fn an_event_of_a_host_is_seen_by_the_packages_above_it() {
    let names = [
        "com.genesys",
        "com.genesys.blog",
        "com.genesys.communication",
        "com.genesys.communication.personal",
        "com.genesys.communication.personal.my",
    ];
    let separate = rules(&names.map(|name| package(name, true, None)));
    let on = |host: &str| Sample::new("A", 0).with("url.host", text(host));
    let host = "personal.communication.genesys.com";
    assert_eq!(fired(&separate, &on(host)), [names[0], names[2], names[3]]);
    assert_eq!(fired(&separate, &on("BLOG.genesys.com.")), [names[0], names[1]]);
    assert_eq!(fired(&separate, &on("example.com")), [""; 0]);
    assert_eq!(fired(&separate, &Sample::new("A", 0)), [""; 0], "an event without an address");
    let one_for_all = rules(&[package(names[0], true, None), package(names[1], false, None)]);
    assert_eq!(fired(&one_for_all, &on("example.com")), [names[1]], "off unless it is asked for");
}

#[test]
fn a_package_of_a_site_sees_its_events_only() {
    let rules = rules(&[
        package("com.example.all", false, None),
        package("com.example.own", false, Some("shop")),
        package("com.example.own", false, Some("other")),
    ]);
    let mut event = Sample::new("A", 0);
    assert_eq!(fired(&rules, &event), ["com.example.all", "com.example.own"]);
    event.0.site = "third".into();
    assert_eq!(fired(&rules, &event), ["com.example.all"]);
}

/// A made-up `VisitStarted` has the host, and nothing else, of its first event.
#[test]
fn a_made_up_start_is_of_the_host_that_its_visit_came_in_at() {
    let fired = |query: &str, host: &str| {
        let mut run = Run::new(
            &rules(&[package_of("com.genesys", query, true, None)]),
            MatcherConfig::default(),
        );
        let event = Sample::new("PageEntered", 0).with("url.host", text(host));
        run.event(&event.with("url.path", text("/pricing")));
        run.facts().len()
    };
    let started = "VisitStarted where true";
    assert_eq!((fired(started, "www.genesys.com"), fired(started, "example.com")), (1, 0));
    let page = "any where url.path == '/pricing'";
    assert_eq!(fired(page, "www.genesys.com"), 1, "one page is one event of it");
}
