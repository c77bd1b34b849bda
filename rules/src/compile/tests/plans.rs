//! Missing events, `until`, samples, and what else a rule file asks for: what is refused, and what
//! the plan then says.

use super::*;
use crate::plan::{Emit, HostSuffix, Window};

/// A rule file about a query, with more keys.
fn rule_with(query: &str, keys: &str) -> String {
    format!("name = \"a\"\nquery = '{query}'\n{keys}\n[action]\ntype = \"none\"\n")
}

#[test]
fn missing_events_at_the_ends_need_a_bound() {
    let bound = |query: &str, about: &str| check(query, &[("missing-bound", about)]);
    bound("sequence ![A where true] [B where true]", "![A where true]");
    bound("sequence [A where true] ![B where true]", "![B where true]");
    check(
        "sequence ![A where true] ![B where true] [C where true] ![D where true]",
        &[
            ("missing-bound", "![A where true]"),
            ("missing-bound", "![B where true]"),
            ("missing-bound", "![D where true]"),
        ],
    );
    check("sequence with maxspan=1m ![A where true] [B where true] ![C where true]", &[]);
    check("sequence [A where true] ![B where true] [C where true]", &[]);
}

#[test]
fn windows_without_end_need_a_bound() {
    let bound = |query: &str, keys: &str, expected: &[(&str, &str)]| {
        check_file(&rule_with(query, keys), expected);
    };
    for window in ["visitor", "user", "site", "global"] {
        let window = &format!("window = \"{window}\"");
        let first = &[("missing-bound", "[A where true]")];
        bound("sequence [A where true] [B where true]", window, first);
        bound("sample [A where true] [B where true]", window, first);
        bound("sample with maxspan=1h [A where true] [B where true]", window, &[]);
        bound("A where true", window, &[]);
        let kept = &format!("{window}\nstate_max = 10");
        bound("sequence [A where true] [B where true]", kept, &[]);
        bound("sample [A where true] [B where true]", kept, &[]);
        let middle = "sequence [A where true] ![B where true] [C where true]";
        bound(middle, kept, &[("missing-bound", "![B where true]")]);
    }
    bound("sample [A where true] [B where true]", "window = \"visit\"", &[]);
}

/// Of many visitors, and where something is under way between the first event and the last.
#[test]
fn many_keys_under_one_bound_are_warned_of() {
    const QUERIES: [(&str, bool); 6] = [
        ("sequence by url with maxspan=1m [A where true] [B where true]", true),
        ("sequence with maxspan=1m [A where true] by url [B where true] by url", true),
        ("sequence by url with maxspan=1m ![A where true] [B where true]", true),
        ("sample by url with maxspan=1m [A where true] [B where true]", true),
        ("sequence by url with maxspan=1m [A where true] ![B where true]", true),
        ("sequence with maxspan=1m [A where true] [B where true]", false),
    ];
    for (window, is_of_many) in
        [("site", true), ("global", true), ("user", true), ("visitor", false)]
    {
        let window = format!("window = \"{window}\"");
        for (query, is_warned) in QUERIES {
            let expected: &[_] = if is_of_many && is_warned { &[("few-keys", "url")] } else { &[] };
            check_file(&rule_with(query, &window), expected);
            check_file(&rule_with(query, &format!("{window}\nstate_max = 10000")), &[]);
        }
    }
    check(QUERIES[0].0, &[]);
}

/// What waits longer than its window is remembered without events is forgotten.
#[test]
fn absences_that_outlast_their_window_are_warned_of() {
    let limits = Limits { window_memory_ms: Some(90 * 86_400_000), ..Limits::default() };
    let found = |query: &str, window: &str, limits: &Limits| {
        let text = rule_with(query, &format!("window = \"{window}\"\nstate_max = 10"));
        let package = package("com.example", &[("a.toml", text)]);
        let (rules, found) = compile_within(&[package], &Schema::event(), limits.clone());
        assert!(rules.is_some(), "{found:?}");
        found
    };
    let query = |days: u32| format!("sequence with maxspan={days}d [A where true] ![B where true]");
    for (window, is_warned) in
        [("visitor", true), ("user", true), ("site", false), ("global", false), ("visit", false)]
    {
        assert!(found(&query(90), window, &limits).is_empty());
        assert!(found(&query(91), window, &Limits::default()).is_empty());
        let found = found(&query(91), window, &limits);
        assert_eq!(found.len(), usize::from(is_warned), "{window}: {found:?}");
        for warning in found {
            assert_eq!((warning.severity, warning.code), (Severity::Warning, "short-memory"));
            assert!(warning.message.contains("for 90d (`window_memory_ms`)"), "{warning:?}");
            let help = warning.help.expect("what to do");
            assert!(
                help.starts_with("write `maxspan=90d` or less, or `window_memory_ms = 7862400000`")
            );
        }
    }
    let positive = "sequence with maxspan=91d ![B where true] [A where true]";
    assert!(found(positive, "visitor", &limits).is_empty(), "it waits for nothing");
}

/// A webhook that goes nowhere yet is deployed, and warned of where the server's endpoints are known.
#[test]
fn endpoints_that_the_server_does_not_know_are_warned_of() {
    let text =
        "name = \"a\"\nquery = 'A where true'\n[action]\ntype = \"webhook\"\nendpoint = \"crm\"\n";
    let found = |endpoints: Option<&[&str]>| {
        let endpoints = endpoints.map(|names| names.iter().map(|name| (*name).into()).collect());
        let limits = Limits { endpoints: endpoints.map(std::sync::Arc::new), ..Limits::default() };
        let package = package("com.example", &[("a.toml", text.to_owned())]);
        let (rules, found) = compile_within(&[package], &Schema::event(), limits);
        assert!(rules.is_some(), "{found:?}");
        found
    };
    assert!(found(None).is_empty() && found(Some(&["erp", "crm"])).is_empty());
    for (known, start) in [(&[][..], "write [webhooks.endpoints.crm]"), (&["crn"], "did you mean")]
    {
        let found = found(Some(known));
        let [warning] = &found[..] else { panic!("{found:?}") };
        assert_eq!((warning.severity, warning.code), (Severity::Warning, "unknown-endpoint"));
        assert_eq!(text.get(warning.range.clone()), Some("\"crm\""));
        assert!(warning.help.as_ref().is_some_and(|help| help.starts_with(start)), "{warning:?}");
    }
}

#[test]
fn the_plan_says_where_an_event_is_missing() {
    let rules = compiled(
        "sequence by pageID with maxspan=1m
           ![A where category == \"x\"]
           [B where true] with runs=2 as b
           ![C where data.n > b.data.n] ![D where true]
           [E where true]
           ![F where data.n == b.data.n]",
    );
    let sequence = sequence(&rules);
    let places: Vec<(u8, Option<&str>)> =
        sequence.missing.iter().map(|one| (one.after, one.step.name.as_deref())).collect();
    let expected = [(0, Some("A")), (2, Some("C")), (2, Some("D")), (3, Some("F"))];
    assert_eq!(places, expected);
    assert_eq!(sequence.missing[0].step.equals.len(), 1);
    let across: Vec<bool> = sequence.missing.iter().map(|one| one.step.across.is_some()).collect();
    assert_eq!(across, [false, true, false, true]);
    assert!(sequence.missing.iter().all(|one| one.step.keys.len() == 1));
    let bound: Vec<bool> = sequence.steps.iter().map(|step| step.is_bound).collect();
    assert_eq!(bound, [false, true, false]);
    check(
        "sequence with maxspan=1m ![A where data.n == b.data.n] [B where true] as b",
        &[("unknown-step", "b.data.n")],
    );
    let many = "![A where true] ".repeat(17);
    check(
        &format!("sequence [A where true] {many}[A where true]"),
        &[("over-limit", "![A where true]")],
    );
}

#[test]
fn until_has_the_keys_and_names_no_step() {
    let rules = compiled(
        "sequence by pageID [A where true] by url [B where true] by title
         until [C where data.n == 1] by category",
    );
    let until = sequence(&rules).until.as_ref().expect("until");
    assert_eq!((until.name.as_deref(), until.keys.len()), (Some("C"), 2));
    check(
        "sequence [A where true] as a [B where true] until [C where data.n == a.data.n]",
        &[("unknown-step", "a.data.n")],
    );
    check(
        "sequence [A where true] by url [B where true] by url until [C where true]",
        &[("key-count", "[C where true]")],
    );
}

#[test]
fn samples_have_steps_without_order() {
    let rules = compiled("sample by ?pageID with maxspan=1h [A where true] [B where data.n == 1]");
    let QueryPlan::Sample(sample) = &rules.rules[0].query else { panic!("a sample") };
    assert_eq!((sample.steps.len(), sample.maxspan_ms), (2, Some(3_600_000)));
    assert!(sample.steps.iter().all(|step| step.keys.len() == 1 && step.keys[0].optional));
    check(
        "sample [A where true] as a [B where data.n == a.data.n]",
        &[("unknown-step", "a.data.n")],
    );
    let text = "name = \"a\"\nquery = 'sample [A where true] as a [B where true]'\n[action]\n\
                type = \"notify\"\ndata = { x = \"{{ a.data.n }}\" }\n";
    let package = package("com.example", &[("a.toml", text.to_owned())]);
    let rules = compile(&[package], &Schema::event()).0.expect("right");
    let QueryPlan::Sample(sample) = &rules.rules[0].query else { panic!("a sample") };
    assert!(sample.steps[0].is_bound && !sample.steps[1].is_bound);
}

#[test]
fn keys_of_the_file_are_in_the_plan() {
    let keys = "window = \"visitor\"\nemit = \"final\"\nschedule = \"Mo-Fr 09:00-18:00\"
timezone = \"Europe/Paris\"\ncooldown = \"7d\"\nholdout = 0.1\nstate_max = 10
backfill = \"act\"\npriority = 7";
    let package = package("com.example", &[("a.toml", rule_with("A where true", keys))]);
    let (rules, diagnostics) = compile(&[package], &Schema::event());
    let rules = rules.unwrap_or_else(|| panic!("{diagnostics:?}"));
    let plan = &rules.rules[0];
    assert_eq!((plan.window, plan.emit, plan.priority), (Window::Visitor, Emit::Final, 7));
    assert_eq!(plan.schedule.as_deref(), Some("Mo-Fr 09:00-18:00"));
    assert_eq!(plan.timezone.as_deref(), Some("Europe/Paris"));
    assert_eq!((plan.cooldown_ms, plan.state_max), (Some(604_800_000), Some(10)));
    assert!((plan.holdout - 0.1).abs() < f64::EPSILON && plan.backfill_acts);
    assert_eq!(plan.hosts, None);
}

#[test]
fn keys_of_the_file_are_checked() {
    let check = |keys: &str, expected: &[(&str, &str)]| {
        check_file(&rule_with("A where true", keys), expected);
    };
    check("schedule = \"Mo-Fr 9 to 5\"", &[("bad-value", "\"Mo-Fr 9 to 5\"")]);
    check("schedule = \"24/7\"\ntimezone = \"Europe/Pari\"", &[("bad-value", "\"Europe/Pari\"")]);
    for window in ["site", "global"] {
        check(
            &format!("window = \"{window}\"\ncooldown = \"7d\"\nholdout = 0.1"),
            &[("no-visitor", "\"7d\""), ("no-visitor", "0.1")],
        );
    }
    check("window = \"user\"\ncooldown = \"7d\"\nholdout = 0.1", &[]);
}

#[test]
fn only_an_operator_sees_all_sites() {
    let text = rule_with("A where true", "window = \"global\"");
    let mut package = package("com.example", &[("a.toml", text)]);
    assert!(compile(std::slice::from_ref(&package), &Schema::event()).0.is_some());
    package.is_operator = false;
    let (rules, diagnostics) = compile(&[package], &Schema::event());
    assert!(rules.is_none());
    assert_eq!(diagnostics[0].code, "scope");
}

#[test]
fn every_window_runs() {
    for (window, _) in Window::ALL {
        let keys = format!("window = \"{window}\"\nstate_max = 10");
        let package = package("com.example", &[("a.toml", rule_with("A where true", &keys))]);
        assert!(compile(&[package], &Schema::event()).0.is_some(), "{window}");
    }
}

/// The test cases of the domain-oriented packages of Genesys Web Engagement.
#[test]
fn hosts_are_those_below_the_package() {
    let host = "personal.communication.genesys.com";
    for (package, is_seen) in [
        ("com.genesys", true),
        ("com.genesys.communication", true),
        ("com.genesys.communication.personal", true),
        ("com.genesys.blog", false),
        ("com.genesys.communication.personal.my", false),
        ("com.genesy", false),
        ("com.genesys.comm", false),
    ] {
        assert_eq!(HostSuffix::of_package(package).covers(host), is_seen, "{package}");
    }
    let suffix = HostSuffix::of_package("com.genesys");
    assert!(suffix.covers("Genesys.COM.") && !suffix.covers("mygenesys.com"));
    assert!(
        !suffix.covers("") && !suffix.covers("com") && suffix.covers("b\u{fc}cher.genesys.com")
    );
    let mut package = package("com.genesys", &[("a.toml", rule("a", "A where true"))]);
    package.package_file = Some(source("package.toml", "domain_separation = true\n"));
    let (rules, _) = compile(&[package], &Schema::event());
    assert_eq!(rules.expect("right").rules[0].hosts, Some(suffix));
}
