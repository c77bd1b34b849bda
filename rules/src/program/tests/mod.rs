//! Programs by hand; the public function and folding cases; a naive evaluator to compare with.

mod naive;
mod random;
mod suite;

use crate::ast::Expr;
use crate::check::{Bindings, Checker, Extent, Findings, Slots};
use crate::plan::{BindingSlot, FieldSlot};
use crate::program::{Datum, Fields, Node, Program};
use crate::schema::{FieldSpec, FieldType, Schema, UnknownFields};
use crate::syntax;

/// Fields `a` to `e` of any type, `many` of several texts.
fn schema() -> Schema {
    ["a", "b", "c", "d", "e"]
        .iter()
        .fold(Schema::new("name", UnknownFields::Error), |schema, name| {
            schema.field(name, FieldSpec::one(FieldType::Any))
        })
        .field("many", FieldSpec::several(FieldType::Str))
        .field("int", FieldSpec::one(FieldType::Int))
        .field("when", FieldSpec::one(FieldType::Date))
}

/// An event by field name.
pub(super) struct Row<'a> {
    names: Vec<String>,
    values: &'a [(&'a str, Datum<'a>)],
}

impl Fields for Row<'_> {
    fn field(&self, slot: FieldSlot) -> Datum<'_> {
        let name = &self.names[usize::from(slot.0)];
        let found = self.values.iter().find(|(known, _)| known == name);
        found.map_or(Datum::Null, |(_, value)| *value)
    }

    fn bound(&self, _step: BindingSlot, _slot: FieldSlot) -> Datum<'_> {
        Datum::Null
    }
}

/// Checks an expression; `Err` has the codes of the errors.
fn checked<'a>(
    text: &str,
    values: &'a [(&'a str, Datum<'a>)],
) -> Result<(Node, Row<'a>), Vec<&'static str>> {
    check_expression(&syntax::parse_expression(text).expect(text), values)
}

fn check_expression<'a>(
    expression: &Expr,
    values: &'a [(&'a str, Datum<'a>)],
) -> Result<(Node, Row<'a>), Vec<&'static str>> {
    let (schema, mut slots) = (schema(), Slots::default());
    let mut checker = Checker {
        schema: &schema,
        slots: &mut slots,
        bindings: Bindings::default(),
        extent: Extent::VISIT,
        findings: Findings::default(),
    };
    let node = checker.expression(expression).node;
    let errors = checker.findings.errors();
    if errors > 0 {
        let codes = checker.findings.into_sorted().into_iter().map(|finding| finding.code);
        return Err(codes.collect());
    }
    let names = slots.into_paths().into_iter().map(|path| path.parts.join(".")).collect();
    Ok((node, Row { names, values }))
}

/// A condition on an event, as a whole and negated: of the two at most one matches.
fn check(text: &str, values: &[(&str, Datum<'_>)], expected: Option<bool>) {
    let (node, row) = checked(text, values).expect(text);
    assert_eq!(Program::compile(&node).matches(&row), expected == Some(true), "{text}");
    let negated = format!("not ({text})");
    let (node, row) = checked(&negated, values).expect(text);
    assert_eq!(Program::compile(&node).matches(&row), expected == Some(false), "{negated}");
}

fn refused(text: &str, code: &str) {
    match checked(text, &[]) {
        Err(codes) => assert_eq!(codes, [code], "{text}"),
        Ok((node, _)) => panic!("{text} was accepted as {node:?}"),
    }
}

const TRUE: Option<bool> = Some(true);
const FALSE: Option<bool> = Some(false);
const NULL: Option<bool> = None;

#[test]
fn null_is_neither_true_nor_false() {
    let values = [("a", Datum::Int(1)), ("b", Datum::Str("x"))];
    check("a == 1", &values, TRUE);
    check("a == 2", &values, FALSE);
    check("c == 1", &values, NULL);
    check("a == 1 and c == 1", &values, NULL);
    check("a == 2 and c == 1", &values, FALSE);
    check("a == 1 or c == 1", &values, TRUE);
    check("a == 2 or c == 1", &values, NULL);
    check("not c == 1 and a == 1", &values, NULL);
    check("c == null and a != null", &values, TRUE);
    check("(c > 1) == null", &values, TRUE);
    check("(a > 1) == null", &values, FALSE);
    check("((a == 1 and c == 1) or b == \"y\") == null", &values, TRUE);
    check("a == \"1\"", &values, NULL);
    check("b != 5", &values, NULL);
    // `or` makes a truth of any value: it may not be simplified away.
    check("(b or false) == null", &values, TRUE);
    check("b", &values, NULL);
}

#[test]
fn two_optional_fields_that_are_both_absent_are_equal() {
    let values = [("a", Datum::Int(1))];
    check("?c == ?d", &values, TRUE);
    check("?c != ?d", &values, FALSE);
    check("?a == ?c", &values, NULL);
    check("c == ?d", &values, NULL);
    check("?nowhere == ?c", &values, TRUE);
    check("?nowhere == null", &values, TRUE);
    check("?nowhere == 1", &values, NULL);
}

#[test]
fn any_of_several_values_satisfies_a_comparison() {
    let several = [Datum::Str("red"), Datum::Str("blue")];
    let values = [("many", Datum::Many(&several)), ("a", Datum::Str("re"))];
    check("many == \"blue\"", &values, TRUE);
    check("many != \"blue\"", &values, TRUE);
    check("many != \"red\" and many != \"blue\"", &values, TRUE);
    check("many == \"green\"", &values, FALSE);
    check("many in (\"green\", \"red\")", &values, TRUE);
    check("many not in (\"green\", \"red\")", &values, FALSE);
    check("many : \"B*\"", &values, TRUE);
    check("many like \"B*\"", &values, FALSE);
    check("many regex \"bl.e\"", &values, TRUE);
    check("length(many) == 3", &values, TRUE);
    check("length(many) == 5", &values, FALSE);
    check("startsWith(many, \"re\")", &values, TRUE);
    check("stringContains(\"infrared\", many)", &values, TRUE);
    // A function says a truth of each value, whether what it is asked is a constant or not.
    check("startsWith(many, \"re\") != true", &values, TRUE);
    check("startsWith(many, a) != true", &values, TRUE);
    check("(many : \"re*\") != true", &values, FALSE);
    check("many == null", &values, FALSE);
    let none = [("many", Datum::Many(&[]))];
    check("many == null", &none, TRUE);
    check("many == \"blue\"", &none, NULL);
}

#[test]
fn case_counts_as_the_operator_says() {
    let values = [("a", Datum::Str("Foo"))];
    check("a == \"foo\"", &values, FALSE);
    check("a : \"foo\"", &values, TRUE);
    check("a in (\"foo\")", &values, FALSE);
    check("a in~ (\"foo\", \"bar\")", &values, TRUE);
    check("a like \"f*\"", &values, FALSE);
    check("a like~ (\"x\", \"f*\")", &values, TRUE);
    check("a regex \"foo\"", &values, FALSE);
    check("a regex~ \"foo\"", &values, TRUE);
    check("endsWith(a, \"OO\")", &values, FALSE);
    check("endswith~(a, \"OO\")", &values, TRUE);
    check("a == \"F*\"", &values, FALSE);
    check("a in~ (\"f*\")", &values, FALSE);
}

#[test]
fn a_regex_covers_the_whole_text() {
    let values = [("a", Datum::Str("net1 localgroup"))];
    check("a regex \"net1\"", &values, FALSE);
    check("a regex \".*net1 .*\"", &values, TRUE);
    check("a regex (\"x\", \".*?net[0-9]? localgroup.*?\")", &values, TRUE);
}

#[test]
fn numbers_compare_and_divide_by_their_types() {
    let values = [("a", Datum::Int(83)), ("b", Datum::Float(41.0))];
    check("a / 2 == 41", &values, TRUE);
    check("a / 2.0 == 41.5", &values, TRUE);
    check("b == 41", &values, TRUE);
    check("a % 40 == 3 and -a + 100 == 17", &values, TRUE);
    check("a > b and b <= 41", &values, TRUE);
    check("a / (b - 41) == null", &values, TRUE);
}

#[test]
fn a_declared_type_makes_other_values_null() {
    check("int == null", &[("int", Datum::Str("5"))], TRUE);
    check("int in (5, 6)", &[("int", Datum::Float(5.0))], TRUE);
    let when = [("when", Datum::Str("2017-08-30T20:47:33Z"))];
    check("when == \"2017-08-30T22:47:33+02:00\"", &when, TRUE);
    check("when > 1504126053000", &when, FALSE);
    check("when in (\"2017-08-30T20:47:33Z\")", &when, TRUE);
}

#[test]
fn networks_hold_addresses() {
    let values = [("a", Datum::Str("10.6.48.157")), ("b", Datum::Str("nowhere"))];
    check("cidrMatch(a, \"192.168.0.0/16\", \"10.6.48.157/8\")", &values, TRUE);
    check("cidrmatch(a, \"192.168.0.0/16\") == false", &values, TRUE);
    check("cidrMatch(b, \"0.0.0.0/0\")", &values, NULL);
}

#[test]
fn what_cannot_be_is_refused() {
    refused("a == catgory", "unknown-field");
    refused("startsWith(1, \"x\")", "type-mismatch");
    refused("int == \"x\"", "type-mismatch");
    refused("true < false", "type-mismatch");
    refused("int : \"x*\"", "type-mismatch");
    refused("int and true", "type-mismatch");
    refused("when == \"yesterday\"", "bad-date");
    refused("length()", "arity");
    refused("lenght(a)", "unknown-function");
    refused("length~(a)", "no-insensitive");
    refused("cidrMatch(a, b)", "type-mismatch");
    refused("cidrMatch(a, \"10.0.0.0/40\")", "bad-network");
    refused("a regex \"\\\\w+\"", "bad-regex");
    refused("a in~ (b)", "constant-expected");
    refused("a / 0 == 1", "division-by-zero");
}

/// `match` and `wildcard`, which Elastic's reference no longer has, as the older suite uses them.
#[test]
fn older_names_are_functions_too() {
    let values = [("a", Datum::Str("Foo")), ("b", Datum::Str("999"))];
    check("wildcard(a, \"Bar*\", \"*oo\")", &values, TRUE);
    check("wildcard(a, \"f*o*o*\")", &values, FALSE);
    check("wildcard~(a, \"f*o*o*\")", &values, TRUE);
    check("wildcard(c, \"f*o*o*\")", &values, NULL);
    check("match(b, \"[a-z]{3}\", \"[0-9]{5}\")", &values, FALSE);
    check("match(b, \"[a-z]{3}\", \"[0-9]{5}\", \"[9][9][9]\")", &values, TRUE);
    refused("match(1, \"*\")", "type-mismatch");
    refused("match(\"eql\", 1)", "type-mismatch");
}
