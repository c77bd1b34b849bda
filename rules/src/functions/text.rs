//! Functions of texts. Positions count characters.

use super::Function;
use crate::program::{Case, Datum, Value, Wildcard, fold};

/// The text as a function compares it.
fn in_case(text: &str, case: Case) -> String {
    match case {
        Case::Sensitive => text.to_owned(),
        Case::Insensitive => text.chars().map(fold).collect(),
    }
}

/// A number as a position in a text; negative ones stay so.
fn position(datum: Datum<'_>) -> Option<i64> {
    match datum {
        Datum::Int(position) => Some(position),
        _ => None,
    }
}

/// The byte at which the character `count` begins; the end where there are fewer.
fn byte_at(text: &str, count: usize) -> usize {
    text.char_indices().nth(count).map_or(text.len(), |(byte, _)| byte)
}

fn count_of(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(i64::MAX)
}

/// What lies between the first `left` and the first `right` behind it (the last one, where
/// `greedy`); null where either is not there. Folding keeps the number of characters, so a place
/// in the folded text is a place in the text.
pub(super) fn between(case: Case, arguments: &[Datum<'_>]) -> Value<'static> {
    let (Some(Datum::Str(source)), Some(Datum::Str(left)), Some(Datum::Str(right))) =
        (arguments.first(), arguments.get(1), arguments.get(2))
    else {
        return Value::NULL;
    };
    let is_greedy = matches!(arguments.get(3), Some(Datum::Bool(true)));
    let (folded, left, right) = (in_case(source, case), in_case(left, case), in_case(right, case));
    let inner = folded.split_once(left.as_str()).and_then(|(before, behind)| {
        let end = if is_greedy { behind.rfind(&right) } else { behind.find(&right) }?;
        let inner = behind.get(..end)?;
        Some((before.chars().count() + left.chars().count(), inner.chars().count()))
    });
    inner.map_or(Value::NULL, |(skipped, length)| {
        Value::Text(source.chars().skip(skipped).take(length).collect())
    })
}

/// All arguments as text, one behind the other.
pub(super) fn concat(arguments: &[Datum<'_>]) -> Value<'static> {
    let mut out = String::new();
    for argument in arguments {
        if !append(*argument, &mut out) {
            return Value::NULL;
        }
    }
    Value::Text(out)
}

/// A value as text.
pub(super) fn string(argument: Datum<'_>) -> Value<'static> {
    concat(&[argument])
}

/// Floating numbers keep their point (`3.0`). Returns whether there was a value.
fn append(argument: Datum<'_>, out: &mut String) -> bool {
    match argument {
        Datum::Null | Datum::Many(_) => return false,
        Datum::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Datum::Int(value) => out.push_str(&value.to_string()),
        Datum::Float(value) => out.push_str(&format!("{value:?}")),
        Datum::Str(text) => out.push_str(text),
    }
    true
}

/// `startsWith`, `endsWith`, `stringContains` of texts that are not constant.
pub(super) fn test(
    function: Function,
    case: Case,
    text: Datum<'_>,
    part: Datum<'_>,
) -> Value<'static> {
    let (Datum::Str(text), Datum::Str(part)) = (text, part) else {
        return Value::NULL;
    };
    let wildcard = match function {
        Function::StartsWith => Wildcard::prefix(part, case),
        Function::EndsWith => Wildcard::suffix(part, case),
        _ => Wildcard::contains(part, case),
    };
    Value::of_truth(Some(wildcard.fits(text)))
}

/// The place of the first `part` at or behind `start`; null where there is none.
pub(super) fn index_of(
    case: Case,
    text: Datum<'_>,
    part: Datum<'_>,
    start: Datum<'_>,
) -> Value<'static> {
    let (Datum::Str(text), Datum::Str(part)) = (text, part) else {
        return Value::NULL;
    };
    let start = match start {
        Datum::Null => 0,
        Datum::Int(start) => usize::try_from(start).unwrap_or(0).min(text.chars().count()),
        _ => return Value::NULL,
    };
    let (text, part) = (in_case(text, case), in_case(part, case));
    let found = text.get(byte_at(&text, start)..).and_then(|rest| {
        let byte = rest.find(&part)?;
        rest.get(..byte).map(|before| start + before.chars().count())
    });
    let place = found.and_then(|place| i64::try_from(place).ok());
    Value::One(place.map_or(Datum::Null, Datum::Int))
}

/// The number of characters.
pub(super) fn length(text: Datum<'_>) -> Value<'static> {
    Value::One(match text {
        Datum::Str(text) => Datum::Int(count_of(text)),
        _ => Datum::Null,
    })
}

/// From `start` (0 where null) up to `end` (the text's where null); negative places count from
/// the end of the text, and all are cut to it.
pub(super) fn substring(text: Datum<'_>, start: Datum<'_>, end: Datum<'_>) -> Value<'static> {
    let Datum::Str(text) = text else {
        return Value::NULL;
    };
    let count = count_of(text);
    let place = |datum: Datum<'_>, absent: i64| match datum {
        Datum::Null => Some(absent),
        other => position(other).map(|place| {
            let from_start = if place < 0 { place.saturating_add(count) } else { place };
            from_start.clamp(0, count)
        }),
    };
    let (Some(start), Some(end)) = (place(start, 0), place(end, count)) else {
        return Value::NULL;
    };
    let skipped = usize::try_from(start).unwrap_or(0);
    let length = usize::try_from(end - start).unwrap_or(0);
    Value::Text(text.chars().skip(skipped).take(length).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: Datum<'static> = Datum::Str("d\u{e9}j\u{e0} VU");

    #[test]
    fn places_count_characters() {
        let found = index_of(Case::Insensitive, TEXT, Datum::Str("vu"), Datum::Null);
        assert_eq!(found, Value::One(Datum::Int(5)));
        assert_eq!(length(TEXT), Value::One(Datum::Int(7)));
        let cut = substring(TEXT, Datum::Int(1), Datum::Int(-3));
        assert_eq!(cut, Value::Text("\u{e9}j\u{e0}".to_owned()));
        let inner = between(Case::Insensitive, &[TEXT, Datum::Str("\u{c9}"), Datum::Str("v")]);
        assert_eq!(inner, Value::Text("j\u{e0} ".to_owned()));
    }

    #[test]
    fn places_outside_a_text_are_cut_to_it() {
        let check = |start, end, expected: &str| {
            let cut = substring(Datum::Str("abc"), Datum::Int(start), Datum::Int(end));
            assert_eq!(cut, Value::Text(expected.to_owned()), "{start} {end}");
        };
        check(i64::MIN, i64::MAX, "abc");
        check(2, 1, "");
        check(9, 12, "");
        let none = index_of(Case::Sensitive, Datum::Str("abc"), Datum::Str("c"), Datum::Int(9));
        assert_eq!(none, Value::NULL);
        let end = index_of(Case::Sensitive, Datum::Str("abc"), Datum::Str(""), Datum::Int(9));
        assert_eq!(end, Value::One(Datum::Int(3)));
        let any = index_of(Case::Sensitive, Datum::Str("abc"), Datum::Str("c"), Datum::Int(-9));
        assert_eq!(any, Value::One(Datum::Int(2)));
    }

    #[test]
    fn floating_numbers_keep_their_point() {
        assert_eq!(string(Datum::Float(3.0)), Value::Text("3.0".to_owned()));
        assert_eq!(string(Datum::Float(2.1828)), Value::Text("2.1828".to_owned()));
        assert_eq!(string(Datum::Null), Value::NULL);
    }
}
