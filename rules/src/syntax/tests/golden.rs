//! What trees texts become.

use crate::canonical::{expression_text, query_text};
use crate::syntax::{parse, parse_expression};

fn check(text: &str, expected: &str) {
    let tree = parse(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
    assert_eq!(query_text(&tree), expected, "{text}");
}

fn check_expression(text: &str, expected: &str) {
    let tree = parse_expression(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
    assert_eq!(expression_text(&tree), expected, "{text}");
}

#[test]
fn events() {
    check("PageEntered where true", "PageEntered where true");
    check("any where true", "any where true");
    check("\"my event\" where true", r#""my event" where true"#);
    check("`any` where true", r#""any" where true"#);
    check("A where x == 1 // why\n /* and */ | head 3", "A where (== x 1) | head 3");
}

#[test]
fn precedence() {
    check_expression("a or b and not c == d", "(or a (and b (not (== c d))))");
    check_expression("not a and b", "(and (not a) b)");
    check_expression("not not a", "(not (not a))");
    check_expression("a + b * c - d / e % f", "(- (+ a (* b c)) (% (/ d e) f))");
    check_expression("-a * b", "(* (neg a) b)");
    check_expression("a - -1", "(- a -1)");
    check_expression("a -1", "(- a 1)");
    check_expression("- (1 + +2)", "(neg (+ 1 2))");
    check_expression("(a or b) and c", "(and (or a b) c)");
    check_expression("a + 1 in (2, 3)", "(+ a (in 1 2 3))");
    check_expression("a : \"x\" == true", "(== (: a \"x\") true)");
    check_expression("a and b and c", "(and a b c)");
    check_expression("a or b or c or d", "(or a b c d)");
}

#[test]
fn literals() {
    check_expression("1 == 1.5", "(== 1 1.5)");
    check_expression(".5 + 1e3 + 2.5E-1", "(+ (+ 0.5 1000.0) 0.25)");
    check_expression("-9223372036854775808", "-9223372036854775808");
    check_expression("x == null or y == true", "(or (== x null) (== y true))");
    check_expression(r#""a\"\\\t\u{20ac}b""#, "\"a\\\"\\\\\\t\u{20ac}b\"");
    check_expression(r#""""a\d "quoted"""""#, r#""a\\d \"quoted\"""#);
    check_expression(r#""""""""#, r#""""#);
    check_expression("\"\"", "\"\"");
}

#[test]
fn fields() {
    check_expression("data.sku", "data.sku");
    check_expression("?data.sku == null", "(== ?data.sku null)");
    check_expression("data.in.`my key`.`a``b`", "data.`in`.`my key`.`a``b`");
    check_expression("@timestamp > 1", "(> @timestamp 1)");
}

#[test]
fn operators_on_lists_and_patterns() {
    check_expression("a in (1, \"b\", c)", "(in a 1 \"b\" c)");
    check_expression("a in~ (\"b\")", "(in~ a \"b\")");
    check_expression("a not in (1)", "(not-in a 1)");
    check_expression("a not in~ (1)", "(not-in~ a 1)");
    check_expression("not a not in (1)", "(not (not-in a 1))");
    check_expression("a : \"x*\"", "(: a \"x*\")");
    check_expression("a : (\"x\", 3, -1, null)", "(: a \"x\" 3 -1 null)");
    check_expression("a like \"x\"", "(like a \"x\")");
    check_expression("a like~ (\"x\", \"y?\")", "(like~ a \"x\" \"y?\")");
    check_expression("a regex \"x\"", "(regex a \"x\")");
    check_expression("a regex~ (\"x\")", "(regex~ a \"x\")");
}

#[test]
fn calls() {
    check_expression("length(a) > 3", "(> (length a) 3)");
    check_expression("endsWith~(a, \"x\")", "(endswith~ a \"x\")");
    check_expression("concat()", "(concat)");
    check_expression("concat(a, 1 + 2) : \"x\"", "(: (concat a (+ 1 2)) \"x\")");
}

#[test]
fn sequences() {
    check(
        "sequence by user, ?ip with maxspan=30m [A where true] by x [B where y == 1] by z",
        "sequence by user by ?ip maxspan=1800000 [A where true] by x [B where (== y 1)] by z",
    );
    check(
        "sequence with maxspan=1d by user [A where true] ![B where true] until [C where true]",
        "sequence by user maxspan=86400000 [A where true] ![B where true] until [C where true]",
    );
    check("sequence [A where true] with runs=3", "sequence [A where true] runs=3");
    check(
        "sequence [A where true] by k with runs=2 as first [B where b == first.data.x]",
        "sequence [A where true] by k runs=2 as first [B where (== b first.data.x)]",
    );
    check("sample by k [A where true] [B where true]", "sample by k [A where true] [B where true]");
    check(
        "sample with maxspan=500ms [A where true] as a [B where true]",
        "sample maxspan=500 [A where true] as a [B where true]",
    );
}

#[test]
fn pipes() {
    check("any where true | head 3 | tail 2", "any where true | head 3 | tail 2");
    check("any where true | where n > 20", "any where true | where (> n 20)");
    check("any where true | filter n > 20", "any where true | where (> n 20)");
    check("any where true | eval a = b + 1, c = d", "any where true | eval a=(+ b 1) c=d");
    check("any where true | keep a.b, c", "any where true | keep a.b c");
    check(
        "any where true | lookup prices on data.sku",
        "any where true | lookup prices on data.sku",
    );
    check(
        "any where true | stats n = count(), t = sum(data.price) by data.gateway over 5m every 1m",
        "any where true | stats n=(count) t=(sum data.price) by data.gateway \
         over=300000 every=60000",
    );
    check("any where true | unique a, b | count", "any where true | unique a b | count");
}

#[test]
fn spans_are_bytes_of_the_text() {
    let text = "A where \u{20ac} == 1";
    assert!(parse(text).is_err());
    let tree = parse_expression("data.sku == \"\u{20ac}\" and x in (1, 2)").expect("it parses");
    let crate::ast::Expr::Binary { left, right, span, .. } = &tree else { panic!("not binary") };
    assert_eq!((span.start, span.end), (0, 33));
    assert_eq!((left.span().start, left.span().end), (0, 17));
    assert_eq!((right.span().start, right.span().end), (22, 33));
}

#[test]
fn long_chains_stay_flat_enough_to_walk() {
    let chain = vec!["a == 1"; 6_000].join(" or ");
    let tree = parse_expression(&chain).expect("it parses");
    assert!(height(&tree) < 20);
}

fn height(tree: &crate::ast::Expr) -> usize {
    match tree {
        crate::ast::Expr::Binary { left, right, .. } => 1 + height(left).max(height(right)),
        _ => 1,
    }
}
