//! Whose events a rule sees.

use crate::matcher::MatcherConfig;
use crate::matcher::testing::{Run, Sample, text};
use crate::model::Value;
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

/// A made-up `VisitStarted` says where the visit came in, and nothing else of its first event.
#[test]
fn a_made_up_start_is_of_the_host_that_its_visit_came_in_at() {
    let query = "VisitStarted where campaign.source == 'ads' and category == null";
    let rules = rules(&[package_of("com.genesys", query, true, None)]);
    let on = |host: &str| {
        let event = Sample::new("PageEntered", 0).with("url.host", text(host));
        event.with("campaign.source", text("ads")).with("category", Value::List(vec![text("c")]))
    };
    let fired = |host: &str| {
        let mut run = Run::new(&rules, MatcherConfig::default());
        run.event(&on(host));
        run.facts().len()
    };
    assert_eq!((fired("www.genesys.com"), fired("example.com")), (1, 0));
}
