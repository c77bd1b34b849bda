//! Any text gives a tree or errors, never a panic; errors lie inside the text.

use crate::syntax::parse;
use proptest::prelude::*;

const PARTS: &[&str] = &[
    "sequence",
    "sample",
    "by",
    "with",
    "maxspan",
    "runs",
    "=",
    "5m",
    "[",
    "]",
    "![",
    "A",
    "where",
    "true",
    "a.b",
    "?x",
    "==",
    "=",
    "(",
    ")",
    ",",
    "\"t*\"",
    "'t'",
    "in",
    "in~",
    "not",
    "like~",
    ":",
    "regex",
    "-",
    "+",
    "1",
    "2.5",
    "and",
    "or",
    "|",
    "head",
    "stats",
    "n",
    "over",
    "every",
    "as",
    "until",
    "eval",
    "`q r`",
    "concat~(",
    "//c\n",
    "\"\"\"",
    "\u{20ac}",
    "9999999999999999999",
];

fn check(text: &str) {
    let Err(errors) = parse(text) else { return };
    assert!(!errors.is_empty(), "{text}");
    for error in errors {
        let range = error.span.range();
        assert!(text.get(range).is_some(), "{text}: {error:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn text_of_any_characters(text in "\\PC{0,80}") {
        check(&text);
    }

    #[test]
    fn text_of_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn text_of_tokens(parts in prop::collection::vec(prop::sample::select(PARTS), 0..60)) {
        check(&parts.join(" "));
        check(&parts.concat());
    }
}
