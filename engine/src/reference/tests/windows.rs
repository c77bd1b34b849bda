//! Section 3.1 and 1: windows, and the hosts of a package.

use super::{check_rule, matches, output, rule};
use crate::reference::WindowKey;
use beckon_rules::plan::{HostSuffix, RuleSet};
use std::sync::Arc;

const AB: &str = "sequence with maxspan=1h [A where true] [B where true]";

fn check(window: &str, log: &str, expected: &[&str]) {
    check_rule(AB, &format!("fire = \"every\"\nwindow = \"{window}\""), log, expected);
}

#[test]
fn a_rule_sees_the_events_of_one_window_instance() {
    let log = "0s A visit=1 visitor=7; 1s B visit=2 visitor=7; 2s B visit=1 visitor=8; end";
    check("visit", log, &["1 3"]);
    check("visitor", log, &["1 2"]);
    check("site", log, &["1 2"]);
    check("user", log, &[]);
    check("visitor", "0s A; 1s B; end", &[]);
}

#[test]
fn the_site_is_part_of_every_window_key_but_the_global_one() {
    let log = "0s A visitor=7 site=a; 1s B visitor=7 site=b; end";
    for window in ["visit", "visitor", "site"] {
        check(window, log, &[]);
    }
    check("global", log, &["1 2"]);
}

#[test]
fn a_user_is_one_who_was_proven_and_earlier_events_are_not_rewritten() {
    let log = "0s A visit=1; 1s SignIn visit=1 user=u verified; 2s A visit=1;
               3s SignIn visit=2 user=u verified; 4s B visit=2; end";
    check("user", log, &["3 5"]);
    let log = log.replace(" verified", "");
    check("user", &log, &[]);
    // In log order: a late event is stamped with who the visitor was when it came.
    check("user", "5s SignIn user=u verified; 0s A; 6s B; end", &["2 3"]);
}

#[test]
fn windows_but_a_visit_outlive_their_visits() {
    let log = "0s A visitor=7; 1s VisitEnded; 2s B visitor=7; mark 3m";
    check("visit", log, &[]);
    check("visitor", log, &["1 3"]);
    // Only time decides what is missing there.
    let keys = "window = \"visitor\"";
    let absence = "sequence with maxspan=10m [A where true] ![X where true]";
    check_rule(absence, keys, "0s A visitor=7; 1s VisitEnded visitor=7; mark 10m", &[]);
    check_rule(absence, keys, "0s A visitor=7; mark 13m", &["1"]);
}

/// As on a visit: the horizon lies two minutes behind the watermark.
#[test]
fn a_match_is_early_or_final_on_every_window() {
    for window in ["visitor", "site", "global"] {
        let absence = "sequence with maxspan=10m [A where true] ![X where true]";
        let early = &format!("window = \"{window}\"\nfire = \"every\"");
        let last = &format!("{early}\nemit = \"final\"");
        check_rule("A where true", early, "0s A visitor=7; mark 0s", &["1"]);
        check_rule("A where true", last, "0s A visitor=7; mark 2m", &[]);
        check_rule("A where true", last, "0s A visitor=7; mark 120001ms", &["1"]);
        check_rule(absence, early, "0s A visitor=7; mark 10m", &[]);
        check_rule(absence, early, "0s A visitor=7; mark 600001ms", &["1"]);
        check_rule(absence, last, "0s A visitor=7; mark 12m", &[]);
        check_rule(absence, last, "0s A visitor=7; mark 720001ms", &["1"]);
        let late = "10s B visitor=7; mark 11s; 5s A visitor=7 visit=2; mark 3m";
        check_rule(AB, last, late, &["2 1"]);
    }
}

#[test]
fn once_is_once_a_window() {
    let once = |window: &str, log: &str| {
        matches(&rule("A where true", &format!("window = \"{window}\"")), log)
    };
    let log = "0s A visit=1 visitor=7; 1s A visit=1 visitor=7; 2s A visit=2 visitor=7; end";
    assert_eq!(once("visit", log), ["1", "3"]);
    assert_eq!(once("visitor", log), ["1"]);
    assert_eq!(once("site", log), ["1"]);
    assert_eq!(once("visit", "0s A; 1s VisitEnded; 2s A; end"), ["1", "3"]);
}

#[test]
fn matches_name_their_window() {
    let windows = |window: &str| {
        let rules = rule("A where true", &format!("window = \"{window}\""));
        let matches = output(&rules, "0s SignIn visitor=7 user=u verified; 1s A visitor=7; end");
        matches.matches.iter().map(|one| (one.site.clone(), one.window.clone())).collect::<Vec<_>>()
    };
    let site = Some(Arc::from("shop"));
    assert_eq!(windows("user"), [(site.clone(), WindowKey::User("u".into()))]);
    assert_eq!(windows("site"), [(site, WindowKey::Site)]);
    assert_eq!(windows("global"), [(None, WindowKey::Global)]);
}

/// With `domain_separation` an event of another host is not there at all.
#[test]
fn a_package_of_a_domain_sees_its_own_hosts() {
    let mut rules = rule("sequence [A where true] ![X where true] [B where true]", "");
    let plan = Arc::get_mut(&mut rules.rules[0]).expect("one owner");
    plan.hosts = Some(HostSuffix::of_package(&plan.package));
    let check = |rules: &RuleSet, log: &str, expected: &[&str]| {
        assert_eq!(matches(rules, log), expected, "{log}");
    };
    let own = "host=www.shop.example.com";
    check(&rules, &format!("0s A {own}; 1s B host=shop.example.com; end"), &["1 2"]);
    check(&rules, &format!("0s A {own}; 1s X host=blog.example.com; 2s B {own}; end"), &["1 3"]);
    check(&rules, &format!("0s A {own}; 1s X {own}; 2s B {own}; end"), &[]);
    check(&rules, &format!("0s A; 2s B {own}; end"), &[]);
}
