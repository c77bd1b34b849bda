//! A compiled program says what the naive evaluator says, of random conditions and events.
//!
//! A failure prints the condition and the event, shrunk, and proptest's seed to replay it.

use super::{Datum, Program, check_expression, naive};
use crate::syntax;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::Cell;

/// A value of an event, owned.
#[derive(Clone, Debug)]
enum Owned {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

impl Owned {
    fn datum(&self) -> Datum<'_> {
        match self {
            Self::Null => Datum::Null,
            Self::Bool(value) => Datum::Bool(*value),
            Self::Int(value) => Datum::Int(*value),
            Self::Float(value) => Datum::Float(*value),
            Self::Text(text) => Datum::Str(text),
        }
    }
}

const FIELDS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn single() -> impl Strategy<Value = Owned> {
    prop_oneof![
        2 => Just(Owned::Null),
        2 => any::<bool>().prop_map(Owned::Bool),
        4 => (-3_i64..6).prop_map(Owned::Int),
        2 => (-4_i32..8).prop_map(|half| Owned::Float(f64::from(half) / 2.0)),
        5 => "[aAbB]{0,3}".prop_map(Owned::Text),
    ]
}

/// For each of the fields one value, or several.
fn event() -> impl Strategy<Value = Vec<Vec<Owned>>> {
    let field = prop_oneof![
        4 => single().prop_map(|one| vec![one]),
        1 => prop::collection::vec(single(), 0..3),
    ];
    prop::collection::vec(field, FIELDS.len())
}

fn field() -> impl Strategy<Value = String> {
    (prop::sample::select(&FIELDS[..]), 0_u8..4)
        .prop_map(|(name, optional)| format!("{}{name}", if optional == 0 { "?" } else { "" }))
}

fn text_literal() -> impl Strategy<Value = String> {
    "[aAbB]{0,3}".prop_map(|text| format!("\"{text}\""))
}

fn number() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        3 => field(),
        2 => (-3_i64..6).prop_map(|int| int.to_string()),
        1 => (-4_i32..8).prop_map(|half| format!("{:?}", f64::from(half) / 2.0)),
    ];
    leaf.prop_recursive(2, 8, 2, |inner| {
        let operator = prop::sample::select(&["+", "-", "*", "/", "%"][..]);
        prop_oneof![
            (inner.clone(), operator, inner.clone())
                .prop_map(|(one, sign, other)| format!("({one} {sign} {other})")),
            inner.prop_map(|one| format!("-({one})")),
            field().prop_map(|field| format!("length({field})")),
            (text(), text_literal()).prop_map(|(one, part)| format!("indexOf({one}, {part})")),
            (text(), text_literal(), field())
                .prop_map(|(one, part, from)| format!("indexOf({one}, {part}, {from})")),
        ]
    })
    .boxed()
}

fn text() -> BoxedStrategy<String> {
    let leaf = prop_oneof![3 => field(), 2 => text_literal()];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone())
                .prop_map(|(one, other)| format!("concat({one}, {other})")),
            (inner.clone(), -3_i64..4)
                .prop_map(|(one, start)| format!("substring({one}, {start})")),
            (inner, field(), -3_i64..4)
                .prop_map(|(one, start, end)| format!("substring({one}, {start}, {end})")),
            field().prop_map(|field| format!("string({field})")),
        ]
    })
    .boxed()
}

fn condition() -> BoxedStrategy<String> {
    let relation = || prop::sample::select(&["==", "!=", "<", "<=", ">", ">="][..]);
    let equality = || prop::sample::select(&["==", "!="][..]);
    let item = prop_oneof![
        3 => text_literal(),
        3 => (-3_i64..6).prop_map(|int| int.to_string()),
        1 => Just("1.0".to_owned()),
        1 => Just("true".to_owned()),
        1 => Just("null".to_owned()),
    ];
    let list = prop::collection::vec(item, 1..4).prop_map(|items| items.join(", "));
    let membership = prop::sample::select(&["in", "not in", "in~"][..]);
    let pattern = "[aAbB*?]{0,4}".prop_map(|text| format!("\"{text}\""));
    let patterns = prop::collection::vec(pattern, 1..3).prop_map(|all| all.join(", "));
    let matching = prop::sample::select(&[":", "like", "like~"][..]);
    let test = prop::sample::select(
        &["startsWith", "startsWith~", "endsWith", "endsWith~", "stringContains~"][..],
    );
    let leaf = prop_oneof![
        3 => (number(), relation(), number()).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
        3 => (text(), relation(), text()).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
        2 => (field(), equality(), field()).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
        2 => (field(), membership, list).prop_map(|(a, sign, all)| format!("{a} {sign} ({all})")),
        2 => (text(), matching, patterns).prop_map(|(a, sign, all)| format!("{a} {sign} ({all})")),
        2 => (test, text(), text()).prop_map(|(name, a, b)| format!("{name}({a}, {b})")),
        1 => (field(), equality()).prop_map(|(a, sign)| format!("{a} {sign} null")),
        1 => field(),
        1 => prop::sample::select(&["true", "false", "null"][..]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 3, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|all| format!("({})", all.join(" and "))),
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|all| format!("({})", all.join(" or "))),
            inner.clone().prop_map(|one| format!("not ({one})")),
            inner.clone().prop_map(|one| format!("({one}) == null")),
            (inner.clone(), equality(), inner)
                .prop_map(|(a, sign, b)| format!("({a}) {sign} ({b})")),
        ]
    })
    .boxed()
}

#[test]
fn a_program_agrees_with_the_naive_evaluator() {
    let config = ProptestConfig::with_source_file(file!());
    let mut runner = TestRunner::new(ProptestConfig { cases: 10_000, ..config });
    // Of the random conditions some are refused for their types; most must not be, and all three
    // verdicts must come up, or nothing is compared.
    let (refused, seen) = (Cell::new(0_u32), [Cell::new(0_u32), Cell::new(0), Cell::new(0)]);
    let result = runner.run(&(condition(), event()), |(text, event)| {
        let data: Vec<Vec<Datum<'_>>> =
            event.iter().map(|values| values.iter().map(Owned::datum).collect()).collect();
        let values: Vec<(&str, Datum<'_>)> = FIELDS
            .iter()
            .zip(&data)
            .map(|(name, values)| match values.as_slice() {
                [one] => (*name, *one),
                several => (*name, Datum::Many(several)),
            })
            .collect();
        let tree = syntax::parse_expression(&text).expect("the text is an expression");
        let Ok((node, row)) = check_expression(&tree, &values) else {
            refused.set(refused.get() + 1);
            return Ok(());
        };
        let expected = naive::truth(&tree, &values);
        let which = expected.map_or(2, usize::from);
        seen[which].set(seen[which].get() + 1);
        prop_assert_eq!(Program::compile(&node).matches(&row), expected == Some(true));
        let negated = crate::program::Node::Not(Box::new(node.clone()));
        prop_assert_eq!(Program::compile(&negated).matches(&row), expected == Some(false));
        prop_assert_eq!(Program::value_of(&node, &row).truth(), expected);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    assert!(refused.get() < 5000, "{} refused", refused.get());
    assert!(seen.iter().all(|count| count.get() > 1000), "{seen:?}");
}
