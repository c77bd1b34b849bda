//! The values that programs read, and how two of them compare.
//!
//! Comparison is three-valued: `None` is EQL's null. Values of different JSON types do not compare
//! (null), whole and floating numbers do, exactly.

use crate::ast::Literal;
use crate::program::date;
use crate::schema::FieldType;
use std::cmp::Ordering;

/// A value that a program reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Datum<'a> {
    /// Absent, or `null`.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Str(&'a str),
    /// Several values, none of them `Many`.
    Many(&'a [Datum<'a>]),
}

impl<'a> Datum<'a> {
    /// The constant as a value.
    #[must_use]
    pub fn of_literal(literal: &'a Literal) -> Self {
        match literal {
            Literal::Null => Self::Null,
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Int(value) => Self::Int(*value),
            Literal::Float(value) => Self::Float(*value),
            Literal::Str(text) => Self::Str(text),
        }
    }

    /// Whether any value equals the constant, by the rules of `==`: what `StepPlan::equals` means.
    #[must_use]
    pub fn equals(&self, constant: &Literal) -> bool {
        let constant = Datum::of_literal(constant);
        match self {
            Self::Many(values) => {
                values.iter().any(|value| relate(Relation::Eq, *value, constant) == Some(true))
            }
            one => relate(Relation::Eq, *one, constant) == Some(true),
        }
    }

    /// This one value as rules read a field of the type `kind`; null where it is of another one.
    #[must_use]
    pub fn read_as(self, kind: FieldType) -> Datum<'a> {
        match (kind, self) {
            (FieldType::Any, value)
            | (FieldType::Str, value @ Datum::Str(_))
            | (FieldType::Int | FieldType::Date, value @ Datum::Int(_))
            | (FieldType::Float, value @ Datum::Float(_))
            | (FieldType::Bool, value @ Datum::Bool(_)) => value,
            (FieldType::Float, Datum::Int(value)) => Datum::Float(int_to_float(value)),
            (FieldType::Int | FieldType::Date, Datum::Float(value)) => {
                whole(value).map_or(Datum::Null, Datum::Int)
            }
            (FieldType::Date, Datum::Str(text)) => {
                date::parse_iso_ms(text).map_or(Datum::Null, Datum::Int)
            }
            _ => Datum::Null,
        }
    }
}

/// The comparison operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Relation {
    /// The operator that says the same with its sides exchanged.
    pub(crate) fn mirrored(self) -> Self {
        match self {
            Self::Eq | Self::Ne => self,
            Self::Lt => Self::Gt,
            Self::Le => Self::Ge,
            Self::Gt => Self::Lt,
            Self::Ge => Self::Le,
        }
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Eq => order.is_eq(),
            Self::Ne => order.is_ne(),
            Self::Lt => order.is_lt(),
            Self::Le => order.is_le(),
            Self::Gt => order.is_gt(),
            Self::Ge => order.is_ge(),
        }
    }
}

/// Compares two single values; null where either is null or they are of different types.
#[inline]
pub(crate) fn relate(relation: Relation, left: Datum<'_>, right: Datum<'_>) -> Option<bool> {
    let order = match (left, right) {
        (Datum::Str(left), Datum::Str(right)) => match relation {
            Relation::Eq => return Some(left == right),
            Relation::Ne => return Some(left != right),
            _ => left.cmp(right),
        },
        (Datum::Int(left), Datum::Int(right)) => left.cmp(&right),
        (Datum::Float(left), Datum::Float(right)) => left.partial_cmp(&right)?,
        (Datum::Int(left), Datum::Float(right)) => compare_int_float(left, right)?,
        (Datum::Float(left), Datum::Int(right)) => compare_int_float(right, left)?.reverse(),
        (Datum::Bool(left), Datum::Bool(right)) => match relation {
            Relation::Eq | Relation::Ne => left.cmp(&right),
            _ => return None,
        },
        _ => return None,
    };
    Some(relation.holds(order))
}

/// Joins the verdicts on several values: true if any is, null if there is none to say.
pub(crate) fn any(verdicts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut joined = None;
    for verdict in verdicts {
        match verdict {
            Some(true) => return Some(true),
            Some(false) => joined = Some(false),
            None => {}
        }
    }
    joined
}

/// Exact: no whole number is rounded to compare it.
fn compare_int_float(int: i64, float: f64) -> Option<Ordering> {
    // 2^63 is the first float above all i64; -2^63 is the least of both.
    const ABOVE: f64 = 9_223_372_036_854_775_808.0;
    if float.is_nan() {
        None
    } else if float >= ABOVE {
        Some(Ordering::Less)
    } else if float < -ABOVE {
        Some(Ordering::Greater)
    } else {
        let floor = whole(float.floor())?;
        Some(int.cmp(&floor).then(if float > float.floor() {
            Ordering::Less
        } else {
            Ordering::Equal
        }))
    }
}

/// The whole number that a float is, if it is one and fits.
#[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
pub(crate) fn whole(value: f64) -> Option<i64> {
    const ABOVE: f64 = 9_223_372_036_854_775_808.0;
    let fits = value.fract() == 0.0 && (-ABOVE..ABOVE).contains(&value);
    fits.then_some(value as i64)
}

/// The nearest float: beyond 2^53 a whole number loses its last digits, as in JSON readers.
pub(crate) fn int_to_float(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_and_floating_numbers_compare_exactly() {
        let big = 9_007_199_254_740_993_i64; // 2^53 + 1, which no float can be
        let check = |int, float, order| assert_eq!(compare_int_float(int, float), order);
        check(big, 9_007_199_254_740_992.0, Some(Ordering::Greater));
        check(3, 3.0, Some(Ordering::Equal));
        check(3, 3.5, Some(Ordering::Less));
        check(-3, -3.5, Some(Ordering::Greater));
        check(i64::MAX, 9.3e18, Some(Ordering::Less));
        check(i64::MIN, f64::NEG_INFINITY, Some(Ordering::Greater));
        check(0, f64::NAN, None);
    }

    #[test]
    fn values_of_different_types_do_not_compare() {
        assert_eq!(relate(Relation::Ne, Datum::Str("1"), Datum::Int(1)), None);
        assert_eq!(relate(Relation::Lt, Datum::Bool(false), Datum::Bool(true)), None);
        assert_eq!(relate(Relation::Eq, Datum::Null, Datum::Null), None);
    }

    #[test]
    fn a_constant_is_equal_if_any_value_is() {
        let several = [Datum::Str("a"), Datum::Str("b")];
        assert!(Datum::Many(&several).equals(&Literal::Str("b".into())));
        assert!(!Datum::Many(&several).equals(&Literal::Str("c".into())));
        assert!(Datum::Int(3).equals(&Literal::Float(3.0)));
        assert!(!Datum::Null.equals(&Literal::Null));
    }

    #[test]
    fn a_value_of_another_type_reads_as_null() {
        assert_eq!(Datum::Int(3).read_as(FieldType::Str), Datum::Null);
        assert_eq!(Datum::Float(3.0).read_as(FieldType::Int), Datum::Int(3));
        assert_eq!(Datum::Float(3.5).read_as(FieldType::Int), Datum::Null);
        assert_eq!(Datum::Int(3).read_as(FieldType::Float), Datum::Float(3.0));
        let date = Datum::Str("1970-01-01T00:00:01Z").read_as(FieldType::Date);
        assert_eq!(date, Datum::Int(1000));
    }
}
