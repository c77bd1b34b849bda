//! Text without regard to case: character by character, without an allocation.
//!
//! A character stands for its lower case where that is one character; the few whose lower case is
//! several (such as U+0130) stand for themselves.

use std::cmp::Ordering;

/// The character that stands for all cases of `character`.
#[inline]
pub(crate) fn fold(character: char) -> char {
    if character.is_ascii() {
        return character.to_ascii_lowercase();
    }
    let mut lower = character.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => character,
    }
}

/// `text` with each character folded.
pub(crate) fn folded(text: &str) -> String {
    text.chars().map(fold).collect()
}

/// Compares `text`, folded, with a text that is folded already.
pub(crate) fn compare_folded(text: &str, folded: &str) -> Ordering {
    text.chars().map(fold).cmp(folded.chars())
}

/// Whether `text`, folded, begins with a text that is folded already.
pub(crate) fn starts_with_folded(text: &str, folded: &str) -> bool {
    let mut characters = text.chars().map(fold);
    folded.chars().all(|expected| characters.next() == Some(expected))
}

/// Whether `text`, folded, ends with a text that is folded already.
pub(crate) fn ends_with_folded(text: &str, folded: &str) -> bool {
    let mut characters = text.chars().rev().map(fold);
    folded.chars().rev().all(|expected| characters.next() == Some(expected))
}

/// Whether `text`, folded, contains a text that is folded already.
pub(crate) fn contains_folded(text: &str, folded: &str) -> bool {
    let mut rest = text.chars();
    loop {
        if starts_with_folded(rest.as_str(), folded) {
            return true;
        }
        if rest.next().is_none() {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_is_set_aside_beyond_ascii() {
        assert!(starts_with_folded("\u{c9}COLE", "\u{e9}co"));
        assert!(ends_with_folded("l'\u{c9}COLE", "\u{e9}cole"));
        assert!(contains_folded("Grande \u{c9}cole", "e \u{e9}c"));
        assert!(!contains_folded("abc", "abcd"));
        assert_eq!(compare_folded("ABC", "abc"), Ordering::Equal);
        assert_eq!(fold('\u{130}'), '\u{130}');
    }
}
