//! What a compiled condition costs for one event: the goal is well under 100 ns for three terms.
//!
//! The event is an array of values by slot, as the matcher hands it over; what it costs to read
//! the fields out of a packed event is the matcher's bench.

use beckon_rules::compile::{PackageSources, SourceFile, compile};
use beckon_rules::plan::{BindingSlot, FieldSlot, QueryPlan, RuleSet};
use beckon_rules::program::{Datum, Fields, Program};
use beckon_rules::schema::Schema;
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

/// An event by slot.
struct Row<'a>(Vec<Datum<'a>>);

impl Fields for Row<'_> {
    fn field(&self, slot: FieldSlot) -> Datum<'_> {
        self.0.get(usize::from(slot.0)).copied().unwrap_or(Datum::Null)
    }

    fn bound(&self, _step: BindingSlot, _slot: FieldSlot) -> Datum<'_> {
        Datum::Null
    }
}

const CATEGORIES: [Datum<'static>; 3] =
    [Datum::Str("shoes"), Datum::Str("sale"), Datum::Str("pricing")];

/// The values of the one event that all conditions are run on.
fn value(name: &str) -> Datum<'static> {
    match name {
        "url.path" => Datum::Str("/shop/lamps/table/walnut-lamp-42"),
        "title" => Datum::Str("Walnut lamp, 42 cm | Example Shop"),
        "category" => Datum::Many(&CATEGORIES),
        "data.kind" => Datum::Str("checkout"),
        "data.price" => Datum::Int(120),
        "data.discount" => Datum::Float(0.25),
        _ => Datum::Null,
    }
}

/// The set of one rule of this condition.
fn compiled(condition: &str) -> RuleSet {
    let text =
        format!("name = \"bench\"\nquery = '''A where {condition}'''\n[action]\ntype = \"none\"\n");
    let rules = vec![SourceFile { file: "bench.toml".to_owned(), text }];
    let name = "com.example".to_owned();
    let package = PackageSources { name, package_file: None, rules, is_operator: true, site: None };
    let (rules, diagnostics) = compile(&[package], &Schema::event());
    rules.unwrap_or_else(|| panic!("{condition}: {diagnostics:?}"))
}

fn program(rules: &RuleSet) -> &Program {
    match &rules.rules.first().expect("one rule").query {
        QueryPlan::Event(step) => step.condition.as_ref().expect("not for the index alone"),
        QueryPlan::Sequence(_) | QueryPlan::Sample(_) => panic!("an event query"),
    }
}

const CONDITIONS: [(&str, &str); 7] = [
    ("one comparison", "data.price >= 100"),
    (
        "three terms: equality or, order, substring",
        "(data.kind == \"checkout\" or data.kind == \"cart\") and data.price >= 100 \
         and stringContains(url.path, \"lamp\")",
    ),
    (
        "list of twelve",
        "data.kind in (\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\", \"i\", \"j\", \"k\", \"checkout\")",
    ),
    ("wildcard without regard to case", "title : \"*LAMP*shop\""),
    ("several values", "category like \"pri*\""),
    ("regular expression", "url.path regex \"/shop/[a-z]+/.*lamp-[0-9]+\""),
    ("arithmetic", "data.price * (1 - data.discount) >= 90"),
];

fn conditions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("program");
    for (name, condition) in CONDITIONS {
        let rules = compiled(condition);
        let row = Row(rules.fields.iter().map(|path| value(&path.parts.join("."))).collect());
        let program = program(&rules);
        assert!(program.matches(&row), "{condition}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(program).matches(black_box(&row)));
        });
    }
    group.finish();
}

criterion_group!(benches, conditions);
criterion_main!(benches);
