//! What is said about errors: where, what was expected, what to write.

use crate::syntax::{
    ARITHMETIC_MAX, ERRORS_MAX, NESTING_MAX, PATH_PARTS_MAX, QUERY_BYTES_MAX, SyntaxError, parse,
};

fn errors(text: &str) -> Vec<SyntaxError> {
    parse(text).expect_err(text)
}

/// One error: the text it is about, its message, its help.
fn check(text: &str, about: &str, message: &str, help: &str) {
    let errors = errors(text);
    let [error] = errors.as_slice() else { panic!("{text}: {errors:?}") };
    let range = error.span.range();
    let found = (
        text.get(range).expect("in the text"),
        &*error.message,
        error.help.as_deref().unwrap_or_default(),
    );
    assert_eq!(found, (about, message, help), "{text}");
}

#[test]
fn slips_of_words() {
    check(
        "A wher x == 1",
        "wher",
        "expected `where` after the name of the event, found `wher`",
        "did you mean `where`?",
    );
    check(
        "A",
        "",
        "expected `where` after the name of the event, found the end of the query",
        "an event without a condition is `name where true`",
    );
    check(
        "sequnce [A where true] [B where true]",
        "sequnce",
        "expected `sequence`, `sample` or an event, found `sequnce`",
        "did you mean `sequence`?",
    );
    check(
        "A where x == 1 AND y == 2",
        "AND",
        "expected an operator or the end, found `AND`",
        "did you mean `and`?",
    );
    check(
        "any where true | heda 3",
        "heda",
        "expected the name of a pipe, found `heda`",
        "did you mean `head`?",
    );
}

#[test]
fn habits_of_other_languages() {
    check("A where x = 1", "=", "`=` does not compare", "write `==`");
    check("A where x == 'a'", "'a'", "a text stands in double quotes", "write \"...\"");
    check("A where a && b", "&&", "`&&` means nothing here", "write `and`");
    check("A where !a", "!", "`!` is not an operator of conditions", "write `not`");
    check("A where a < b < c", "<", "comparisons do not chain", "write `a < b and b < c`");
    check(
        "A where a not like \"x\"",
        "like",
        "expected `in` after `not`, found `like`",
        "`not` stands before the whole: `not x like \"...\"`",
    );
    check(
        "A where a[0] == 1",
        "[",
        "a single value of a list cannot be named",
        "a comparison is true if any value of the list satisfies it",
    );
    check(
        "A where by == 1",
        "by",
        "expected a field, found the keyword `by`",
        "a name that is a keyword stands in backquotes: `` `by` ``",
    );
    check(
        "A where a like b",
        "b",
        "expected a constant, found `b`",
        "a pattern is a text in quotes, or several in parentheses",
    );
}

#[test]
fn times() {
    let units = "the units are `ms`, `s`, `m`, `h`, `d`";
    let query = |time: &str| format!("sequence with maxspan={time} [A where true] [B where true]");
    check(&query("30"), "30", "`30` has no unit", units);
    check(&query("30min"), "30", "`30` has no unit", units);
    check(&query("0s"), "0s", "a time is longer than nothing", "");
    check(&query("99999999999999d"), "99999999999999d", "this time is too long", "");
    check(
        &query("1.5h"),
        "1.5",
        "a time is a whole number and a unit",
        "take a smaller unit: `90m` for one and a half hours",
    );
}

#[test]
fn terms() {
    check(
        "sequence [A where true]",
        "[",
        "a sequence has at least two terms",
        "a query for one event is `name where condition`",
    );
    check(
        "sequence ![A where true] ![B where true]",
        "!",
        "a sequence has at least one term that is not missing",
        "",
    );
    check(
        "sample [A where true] ![B where true]",
        "![B where true]",
        "a missing event `![ ]` exists in a sequence only",
        "",
    );
    check("sequence [A where true] with runs=0", "0", "`runs` is a whole number from 1 up", "");
    check(
        "sequence [A where true] [B where true]]",
        "]",
        "expected an operator or the end, found `]`",
        "",
    );
    check(
        "sequence [A where true] with maxspan=1m [B where true]",
        "maxspan",
        "`maxspan` belongs to the whole sequence",
        "write `sequence with maxspan=... [ ... ]`",
    );
}

#[test]
fn texts_that_do_not_end() {
    check(
        "A where x == \"a",
        "\"a",
        "this text does not end",
        "close it with `\"` on the same line",
    );
    check("A where x == \"\"\"a", "\"\"\"a", "this text does not end", "close it with `\"\"\"`");
    check("A where x /* a", "/* a", "this comment does not end", "close it with `*/`");
    check(
        r#"A where x == "\d""#,
        "\\d",
        "`\\d` is not an escape",
        "write `\\\\` for a backslash, or the text in `\"\"\"`",
    );
}

#[test]
fn several_at_once_in_order() {
    let text = "sequence [A wher x] [B where ==] [C where y = 1] | heda 3 | tail x";
    let starts: Vec<_> = errors(text).iter().map(|error| error.span.start).collect();
    let places = ["wher x", "==", "= 1", "heda", "x"].map(|part| text.rfind(part));
    assert_eq!(starts, places.map(|at| u32::try_from(at.expect("it is there")).expect("short")));
}

#[test]
fn an_unclosed_term_does_not_swallow_the_next() {
    let errors = errors("sequence [A where x == [B where y == ]");
    assert_eq!(errors.len(), 2, "{errors:?}");
}

#[test]
fn bounds() {
    let is_refused = |text: &str| parse(text).is_err();
    let nested = |depth: usize| format!("A where {}x{}", "(".repeat(depth), ")".repeat(depth));
    assert!(!is_refused(&nested(NESTING_MAX - 1)));
    assert!(is_refused(&nested(NESTING_MAX)));
    let sum = |count: usize| format!("A where x{}", " + 1".repeat(count));
    assert!(!is_refused(&sum(ARITHMETIC_MAX)));
    assert!(is_refused(&sum(ARITHMETIC_MAX + 1)));
    let path = |parts: usize| format!("A where {}", vec!["a"; parts].join("."));
    assert!(!is_refused(&path(PATH_PARTS_MAX)));
    assert!(is_refused(&path(PATH_PARTS_MAX + 1)));
    let padded = |bytes: usize| format!("A where x{}", " ".repeat(bytes - 9));
    assert!(!is_refused(&padded(QUERY_BYTES_MAX)));
    assert!(is_refused(&padded(QUERY_BYTES_MAX + 1)));
    let many = format!("sequence {}", "[A where]".repeat(ERRORS_MAX + 1));
    assert_eq!(errors(&many).len(), ERRORS_MAX);
}
