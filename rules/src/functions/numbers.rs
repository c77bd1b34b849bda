//! `number(text[, base])`.

use crate::program::{Datum, Value};

/// A whole number where the text is one, else a floating one; `0x` in front means base 16. The
/// base is 2 to 36, 10 unless given; only base 10 has fractions. Null for anything else.
pub(super) fn number(text: Datum<'_>, base: Datum<'_>) -> Value<'static> {
    let Datum::Str(text) = text else {
        return Value::NULL;
    };
    let base = match base {
        Datum::Null => None,
        Datum::Int(base) => match u32::try_from(base) {
            Ok(base @ 2..=36) => Some(base),
            _ => return Value::NULL,
        },
        _ => return Value::NULL,
    };
    Value::One(parse(text, base).unwrap_or(Datum::Null))
}

fn parse(text: &str, base: Option<u32>) -> Option<Datum<'static>> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (digits, base) = match (hexadecimal, base) {
        (Some(digits), None | Some(16)) => (digits, 16),
        (_, base) => (digits, base.unwrap_or(10)),
    };
    // Only letters and digits from here: `from_str_radix` would take another sign, and floats
    // their `inf` and `nan`.
    if !digits.starts_with(|character: char| character.is_ascii_alphanumeric() || character == '.')
    {
        return None;
    }
    if let Ok(whole) = i128::from_str_radix(digits, base) {
        let whole = if negative { -whole } else { whole };
        return i64::try_from(whole).ok().map(Datum::Int);
    }
    let is_decimal =
        base == 10 && digits.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    let float = digits.parse::<f64>().ok().filter(|float| is_decimal && float.is_finite())?;
    Some(Datum::Float(if negative { -float } else { float }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_numbers_or_null() {
        let check = |text, base, expected| {
            assert_eq!(number(Datum::Str(text), base), Value::One(expected), "{text} {base:?}");
        };
        check("314", Datum::Null, Datum::Int(314));
        check("-3.15", Datum::Int(10), Datum::Float(-3.15));
        check("1e3", Datum::Null, Datum::Float(1000.0));
        check("0x1337", Datum::Null, Datum::Int(4919));
        check("0x1337", Datum::Int(16), Datum::Int(4919));
        check("0x1337", Datum::Int(10), Datum::Null);
        check("-9223372036854775808", Datum::Null, Datum::Int(i64::MIN));
        check("9223372036854775808", Datum::Null, Datum::Null);
        check("052403", Datum::Int(8), Datum::Int(21763));
        for text in ["", "x", "inf", "nan", "--1", "+-1", "1 ", "1.5.2", "-"] {
            check(text, Datum::Null, Datum::Null);
        }
        check("12", Datum::Int(1), Datum::Null);
        check("12", Datum::Int(37), Datum::Null);
    }
}
