//! Whole packages.

mod plans;

use super::*;
use crate::ast::Literal;
use crate::plan::{ActionKind, Fire, QueryPlan, SequencePlan, StepPlan};
use crate::plan::{BindingSlot, FieldSlot};
use crate::program::{Datum, Fields};

/// A rule file about a query.
fn rule(name: &str, query: &str) -> String {
    format!("name = \"{name}\"\nquery = '''\n{query}'''\n[action]\ntype = \"none\"\n")
}

fn source(file: &str, text: impl Into<String>) -> SourceFile {
    SourceFile { file: file.to_owned(), text: text.into() }
}

fn package(name: &str, rules: &[(&str, String)]) -> PackageSources {
    let rules = rules.iter().map(|(file, text)| source(file, text)).collect();
    PackageSources {
        name: name.to_owned(),
        package_file: None,
        rules,
        is_operator: true,
        site: None,
    }
}

/// The rule set of one query.
fn compiled(query: &str) -> RuleSet {
    let package = package("com.example", &[("a.toml", rule("a", query))]);
    let (rules, diagnostics) = compile(&[package], &Schema::event());
    rules.unwrap_or_else(|| panic!("{query}: {diagnostics:?}"))
}

fn sequence(rules: &RuleSet) -> &SequencePlan {
    match &rules.rules[0].query {
        QueryPlan::Sequence(sequence) => sequence,
        QueryPlan::Event(_) | QueryPlan::Sample(_) => panic!("a sequence"),
    }
}

fn step(rules: &RuleSet) -> &StepPlan {
    match &rules.rules[0].query {
        QueryPlan::Event(step) => step,
        QueryPlan::Sequence(_) | QueryPlan::Sample(_) => panic!("an event query"),
    }
}

/// The diagnostics of one query: code and the text that each is about.
fn check(query: &str, expected: &[(&str, &str)]) {
    check_file(&rule("a", query), expected);
}

/// The same of a whole rule file.
fn check_file(text: &str, expected: &[(&str, &str)]) {
    let package = package("com.example", &[("a.toml", text.to_owned())]);
    let (rules, diagnostics) = compile(&[package], &Schema::event());
    let found: Vec<(&str, &str)> = diagnostics
        .iter()
        .map(|found| (found.code, text.get(found.range.clone()).expect("a range of the file")))
        .collect();
    assert_eq!(found, expected, "{text}: {diagnostics:?}");
    let has_error = diagnostics.iter().any(|found| found.severity == Severity::Error);
    assert_eq!(rules.is_none(), has_error, "{text}");
}

#[test]
fn pipes_and_computed_keys_are_refused() {
    let not_yet = |query: &str, about: &str| check(query, &[("not-yet", about)]);
    not_yet("sequence by length(url) [A where true] [B where true]", "length(url)");
    not_yet("A where true | head 3", "head 3");
}

#[test]
fn names_types_and_numbers_are_checked() {
    check("A where catgory == \"x\"", &[("unknown-field", "catgory")]);
    check("A where data == null", &[("map-is-no-value", "data")]);
    check("A where url", &[("type-mismatch", "url")]);
    check(
        "A where category == 5 and nope == 1",
        &[("type-mismatch", "category == 5"), ("unknown-field", "nope")],
    );
    check(
        "sequence [A where data.x == b.data.x] [B where true] as b",
        &[("unknown-step", "b.data.x")],
    );
    check("sequence [A where a.data.x == 1] as a [B where true]", &[("unknown-step", "a.data.x")]);
    check("sequence [A where true] as url [B where true]", &[("step-name", "url")]);
    check("sequence [A where true] as a [B where true] as a", &[("step-name", "a")]);
    check("sequence [A where true] as a [B where a == 1]", &[("step-is-no-value", "a")]);
    check("sequence [A where true] with runs=65", &[("over-limit", "[A where true] with runs=65")]);
    check(
        "sequence [A where true] by url [B where true] by url, title",
        &[("key-count", "[B where true] by url, title")],
    );
    check("sequence [A where true] by url [B where true] by seq", &[("type-mismatch", "seq")]);
}

#[test]
fn conditions_that_say_nothing_are_warned_of() {
    check("A where url == null and 1 == 2", &[("never-matches", "url == null and 1 == 2")]);
    check("A where 1 == 1", &[("always-true", "1 == 1")]);
    check("A where true", &[]);
    check(
        "A where title == \"a\" and title == \"b\"",
        &[("never-matches", "title == \"a\" and title == \"b\"")],
    );
    check("A where category == \"a\" and category == \"b\"", &[]);
    check("A where data.x == 1 and data.x == 2", &[]);
    check("A where category != \"a\"", &[("several-values-ne", "category != \"a\"")]);
    check("A where eventName == \"B\"", &[("never-matches", "eventName == \"B\"")]);
    check("A where ?nowhere == 1", &[("never-matches", "nowhere == 1")]);
}

#[test]
fn a_key_is_suggested_for_an_equality_of_two_terms() {
    let equality = "data.sku == c.data.sku";
    check(
        &format!("sequence [A where true] as c [B where {equality}]"),
        &[("prefer-by", equality)],
    );
    check("sequence [A where true] as c [B where data.n > c.data.n]", &[]);
    check(&format!("sequence [A where true] as c [B where true] [C where {equality}]"), &[]);
}

#[test]
fn equalities_are_split_from_the_rest() {
    let rules = compiled("A where category == \"x\" and 5 == data.n and data.n > seq and true");
    let step = step(&rules);
    let names: Vec<(String, &Literal)> = step
        .equals
        .iter()
        .map(|(slot, constant)| (rules.fields[usize::from(slot.0)].parts.join("."), constant))
        .collect();
    assert_eq!(
        names,
        [
            ("category".to_owned(), &Literal::Str("x".into())),
            ("data.n".to_owned(), &Literal::Int(5)),
        ]
    );
    assert!(step.condition.is_some());
    assert!(compiled("A where category == \"x\"").rules[0].enabled);
}

#[test]
fn an_equality_on_the_name_is_the_name() {
    let rules = compiled("any where eventName == \"CheckoutError\" and isBot == false");
    assert_eq!(step(&rules).name.as_deref(), Some("CheckoutError"));
    assert_eq!(step(&rules).equals.len(), 1);
    assert!(step(&rules).condition.is_none());
}

#[test]
fn dates_are_left_to_the_program() {
    let rules = compiled("A where timestamp == \"2026-03-01T00:00:00Z\"");
    assert!(step(&rules).equals.is_empty() && step(&rules).condition.is_some());
}

#[test]
fn runs_are_steps_and_a_name_is_the_last_of_them() {
    let rules = compiled(
        "sequence by pageID with maxspan=30m
           [A where true] by url with runs=3 as a
           [B where data.n > a.data.n and data.m == 1] by ?title",
    );
    let SequencePlan { steps, maxspan_ms, .. } = sequence(&rules);
    assert_eq!(*maxspan_ms, Some(1_800_000));
    let names: Vec<Option<&str>> = steps.iter().map(|step| step.name.as_deref()).collect();
    assert_eq!(names, [Some("A"), Some("A"), Some("A"), Some("B")]);
    let bound: Vec<bool> = steps.iter().map(|step| step.is_bound).collect();
    assert_eq!(bound, [false, false, true, false]);
    let optional: Vec<Vec<bool>> =
        steps.iter().map(|step| step.keys.iter().map(|key| key.optional).collect()).collect();
    assert_eq!(optional, [[false, false], [false, false], [false, false], [false, true]]);
}

/// Fields by slot, the same for the event and every step but `data.n`.
struct Two<'a> {
    slot: FieldSlot,
    now: Datum<'a>,
    earlier: (u8, Datum<'a>),
}

impl Fields for Two<'_> {
    fn field(&self, slot: FieldSlot) -> Datum<'_> {
        if slot == self.slot { self.now } else { Datum::Null }
    }

    fn bound(&self, step: BindingSlot, slot: FieldSlot) -> Datum<'_> {
        let is_it = slot == self.slot && step.0 == self.earlier.0;
        if is_it { self.earlier.1 } else { Datum::Null }
    }
}

#[test]
fn conditions_across_steps_read_the_named_step() {
    let rules = compiled(
        "sequence [A where true] with runs=2 as a [B where data.n > a.data.n and isBot == true]",
    );
    let steps = &sequence(&rules).steps;
    let bound: Vec<bool> = steps.iter().map(|step| step.is_bound).collect();
    assert_eq!(bound, [false, true, false]);
    assert_eq!(steps[2].equals.len(), 1);
    let across = steps[2].across.as_ref().expect("a condition across steps");
    let slot = rules.fields.iter().position(|path| path.parts.join(".") == "data.n");
    let slot = FieldSlot(u16::try_from(slot.expect("a slot")).expect("few"));
    let fields = |step, now| Two { slot, now, earlier: (step, Datum::Int(5)) };
    assert!(across.matches(&fields(1, Datum::Int(6))));
    assert!(!across.matches(&fields(1, Datum::Int(5))));
    assert!(!across.matches(&fields(0, Datum::Int(6))));
}

#[test]
fn rules_are_sorted_and_share_their_fields() {
    let a = ("z.toml", rule("a", "A where data.x == 1"));
    let b = ("b.toml", rule("b", "A where data.x == 2 and data.y == 1"));
    let forwards =
        [package("com.b", &[a.clone(), b.clone()]), package("com.a", std::slice::from_ref(&b))];
    let (rules, diagnostics) = compile(&forwards, &Schema::event());
    let rules = rules.unwrap_or_else(|| panic!("{diagnostics:?}"));
    let names: Vec<(&str, &str)> =
        rules.rules.iter().map(|rule| (rule.package.as_ref(), rule.name.as_ref())).collect();
    assert_eq!(names, [("com.a", "b"), ("com.b", "a"), ("com.b", "b")]);
    assert_eq!(rules.fields.len(), 2);
}

#[test]
fn all_files_are_checked_at_once() {
    let packages = [
        package(
            "com.b",
            &[
                ("1.toml", rule("a", "A where nope == 1")),
                ("2.toml", rule("a", "A where true")),
                ("3.toml", rule("c", "A wher true")),
            ],
        ),
        package("com.b", &[]),
        package("nodots", &[("4.toml", rule("d", "A where nope == 1"))]),
    ];
    let (rules, diagnostics) = compile(&packages, &Schema::event());
    assert!(rules.is_none());
    let codes: Vec<&str> = diagnostics.iter().map(|found| found.code).collect();
    assert_eq!(
        codes,
        [
            "duplicate-rule",
            "syntax",
            "unknown-field",
            "duplicate-package",
            "package-name",
            "unknown-field"
        ]
    );
}

#[test]
fn types_refine_data_and_must_agree() {
    let typed = |name: &str, file: &str, types: &str, query: &str| PackageSources {
        package_file: Some(source(file, format!("[types]\n{types}\n"))),
        ..package(name, &[("a.toml", rule("a", query))])
    };
    let one = typed("com.a", "1/package.toml", "data.price = \"float\"", "A where data.price > 1");
    let (rules, _) = compile(std::slice::from_ref(&one), &Schema::event());
    let types = rules.expect("right").types;
    assert_eq!(types.len(), 1);
    let wrong =
        typed("com.b", "2/package.toml", "data.price = \"string\"", "A where data.price > 1");
    let (rules, diagnostics) = compile(&[one, wrong], &Schema::event());
    assert!(rules.is_none());
    let found: Vec<(&str, &str)> =
        diagnostics.iter().map(|found| (found.code, found.file.as_ref())).collect();
    assert_eq!(found, [("type-contradiction", "2/package.toml"), ("type-mismatch", "a.toml")]);
    let slip = typed("com.a", "1/package.toml", "data.price = \"flaot\"", "A where true");
    let (_, diagnostics) = compile(&[slip], &Schema::event());
    assert_eq!(diagnostics[0].code, "unknown-type");
    assert_eq!(diagnostics[0].help.as_deref(), Some("did you mean `float`?"));
}

#[test]
fn actions_name_events_and_steps() {
    let action = |data: &str| {
        format!(
            "name = \"a\"\nfire = \"every\"\npriority = 7\n\
             query = 'sequence [A where true] as cart [B where true]'\n\
             [action]\ntype = \"invite\"\nchannel = \"chat\"\ndata = {{ x = \"{data}\" }}\n"
        )
    };
    let run = |data: &str| {
        compile(&[package("com.example", &[("a.toml", action(data))])], &Schema::event())
    };
    let (rules, diagnostics) = run("{{ cart.data.name }} and {{ event.url }}");
    let rules = rules.unwrap_or_else(|| panic!("{diagnostics:?}"));
    let plan = &rules.rules[0];
    assert_eq!((plan.fire, plan.priority), (Fire::Every, 7));
    assert_eq!(plan.action.kind, ActionKind::Invite);
    assert!(sequence(&rules).steps[0].is_bound && !sequence(&rules).steps[1].is_bound);
    for (data, code) in [
        ("{{ basket.url }}", "unknown-step"),
        ("{{ url }}", "unknown-step"),
        ("{{ event }}", "map-is-no-value"),
        ("{{ event.data }}", "map-is-no-value"),
        ("{{ cart.urll }}", "unknown-field"),
    ] {
        let (rules, diagnostics) = run(data);
        assert!(rules.is_none(), "{data}");
        assert_eq!(diagnostics[0].code, code, "{data}: {diagnostics:?}");
    }
}
