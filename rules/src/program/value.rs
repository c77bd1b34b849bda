//! What an operation leaves on the stack: a borrowed value, a text of its own, or several.
//!
//! **Invariant:** several values are never none, never one in another, and none is null, so that
//! "there is no value" has one form.

use crate::ast::Literal;
use crate::program::datum::{Datum, Relation, any, int_to_float, relate};
use crate::schema::FieldType;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU64, Ordering};

/// The most values that a function of several-valued arguments gives; over it the result is null,
/// counted.
pub(crate) const MAPPED_VALUES_MAX: usize = 1024;

/// Of the whole process: what runs a program has no state, and many threads run them.
static OVER_LIMIT: AtomicU64 = AtomicU64::new(0);

/// Results of functions and operators that were null because several-valued arguments have more
/// than 1,024 combinations, since the process began.
#[must_use]
pub fn results_over_limit() -> u64 {
    OVER_LIMIT.load(Ordering::Relaxed)
}

/// A value under way.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    /// One value, or null.
    One(Datum<'a>),
    /// Text that an operation made.
    Text(String),
    /// Two or more values.
    Many(Vec<Value<'a>>),
}

impl<'a> Value<'a> {
    pub(crate) const NULL: Self = Self::One(Datum::Null);

    /// A field's value, read as `kind`.
    pub(crate) fn of_datum(datum: Datum<'a>, kind: FieldType) -> Self {
        match datum {
            Datum::Many(values) => {
                Self::of_values(values.iter().map(|value| Self::One(value.read_as(kind))))
            }
            one => Self::One(one.read_as(kind)),
        }
    }

    /// Several values: without nulls, and null where nothing is left.
    pub(crate) fn of_values(values: impl Iterator<Item = Self>) -> Self {
        let mut values: Vec<Self> = values.filter(|value| !value.is_null()).collect();
        match values.len() {
            0 => Self::NULL,
            1 => values.pop().expect("there is one"),
            _ => Self::Many(values),
        }
    }

    /// A three-valued truth.
    pub(crate) fn of_truth(truth: Option<bool>) -> Self {
        Self::One(truth.map_or(Datum::Null, Datum::Bool))
    }

    /// Whether there is no value.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::One(Datum::Null))
    }

    /// The value as a borrowed one; `None` for several.
    fn as_single(&self) -> Option<Datum<'_>> {
        match self {
            Self::One(datum) => Some(*datum),
            Self::Text(text) => Some(Datum::Str(text)),
            Self::Many(_) => None,
        }
    }

    /// The values as borrowed ones: one for a single value.
    pub(crate) fn each(&self) -> impl Iterator<Item = Datum<'_>> + Clone {
        let values = match self {
            Self::Many(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        values.iter().map(|value| value.as_single().unwrap_or(Datum::Null))
    }

    /// True if any value is true, false if none is, null if none is a truth value.
    pub(crate) fn truth(&self) -> Option<bool> {
        any(self.each().map(truth_of))
    }

    /// The value with texts of its own.
    pub(crate) fn into_owned(self) -> Value<'static> {
        match self {
            Self::One(Datum::Null | Datum::Many(_)) => Value::NULL,
            Self::One(Datum::Bool(value)) => Value::One(Datum::Bool(value)),
            Self::One(Datum::Int(value)) => Value::One(Datum::Int(value)),
            Self::One(Datum::Float(value)) => Value::One(Datum::Float(value)),
            Self::One(Datum::Str(text)) => Value::Text(text.to_owned()),
            Self::Text(text) => Value::Text(text),
            Self::Many(values) => Value::Many(values.into_iter().map(Self::into_owned).collect()),
        }
    }

    /// The value as a constant; `None` for several.
    pub(crate) fn into_literal(self) -> Option<Literal> {
        Some(match self {
            Self::One(Datum::Null) => Literal::Null,
            Self::One(Datum::Bool(value)) => Literal::Bool(value),
            Self::One(Datum::Int(value)) => Literal::Int(value),
            Self::One(Datum::Float(value)) => Literal::Float(value),
            Self::One(Datum::Str(text)) => Literal::Str(text.into()),
            Self::Text(text) => Literal::Str(text.into()),
            Self::One(Datum::Many(_)) | Self::Many(_) => return None,
        })
    }
}

/// The truth of one value.
pub(crate) fn truth_of(datum: Datum<'_>) -> Option<bool> {
    match datum {
        Datum::Bool(value) => Some(value),
        _ => None,
    }
}

/// `left relation right`: true if any pair of values satisfies it.
pub(crate) fn relate_values(
    relation: Relation,
    left: &Value<'_>,
    right: &Value<'_>,
) -> Option<bool> {
    any(left.each().flat_map(|one| right.each().map(move |other| relate(relation, one, other))))
}

/// The arithmetic operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

/// Whole numbers give whole numbers (division cuts off towards zero); one floating operand makes
/// the result floating. Null where an operand is no number, where the divisor is zero, and where
/// the result is over the range of its type.
pub(crate) fn calculate(operator: Arithmetic, left: Datum<'_>, right: Datum<'_>) -> Value<'static> {
    let datum = match (left, right) {
        (Datum::Int(left), Datum::Int(right)) => match operator {
            Arithmetic::Add => left.checked_add(right),
            Arithmetic::Subtract => left.checked_sub(right),
            Arithmetic::Multiply => left.checked_mul(right),
            Arithmetic::Divide => left.checked_div(right),
            Arithmetic::Modulo => left.checked_rem(right),
        }
        .map_or(Datum::Null, Datum::Int),
        (Datum::Int(left), Datum::Float(right)) => floating(operator, int_to_float(left), right),
        (Datum::Float(left), Datum::Int(right)) => floating(operator, left, int_to_float(right)),
        (Datum::Float(left), Datum::Float(right)) => floating(operator, left, right),
        _ => Datum::Null,
    };
    Value::One(datum)
}

fn floating(operator: Arithmetic, left: f64, right: f64) -> Datum<'static> {
    let result = match operator {
        Arithmetic::Add => left + right,
        Arithmetic::Subtract => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide => left / right,
        Arithmetic::Modulo => left % right,
    };
    if result.is_finite() { Datum::Float(result) } else { Datum::Null }
}

/// `-x`.
pub(crate) fn negate(datum: Datum<'_>) -> Value<'static> {
    Value::One(match datum {
        Datum::Int(value) => value.checked_neg().map_or(Datum::Null, Datum::Int),
        Datum::Float(value) => Datum::Float(-value),
        _ => Datum::Null,
    })
}

/// Applies a function of single values to all combinations of the arguments' values, the last
/// argument's values going round fastest; null over [`MAPPED_VALUES_MAX`] combinations.
pub(crate) fn map_over<'a>(
    arguments: &[Value<'_>],
    apply: impl Fn(&[Datum<'_>]) -> Value<'a>,
) -> Value<'a> {
    let mut combination: SmallVec<[Datum<'_>; 4]> = SmallVec::new();
    for argument in arguments {
        match argument.as_single() {
            Some(single) => combination.push(single),
            None => break,
        }
    }
    if combination.len() == arguments.len() {
        return apply(&combination);
    }
    let combinations = arguments
        .iter()
        .map(|argument| argument.each().count())
        .try_fold(1_usize, usize::checked_mul);
    match combinations {
        Some(count) if count <= MAPPED_VALUES_MAX => Value::of_values((0..count).map(|index| {
            combination.clear();
            let mut rest = index;
            for argument in arguments.iter().rev() {
                let count = argument.each().count();
                combination.push(argument.each().nth(rest % count).unwrap_or(Datum::Null));
                rest /= count;
            }
            combination.reverse();
            apply(&combination)
        })),
        _ => {
            OVER_LIMIT.fetch_add(1, Ordering::Relaxed);
            Value::NULL
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_stay_whole_and_never_wrap() {
        let check = |operator, left, right, expected| {
            assert_eq!(calculate(operator, left, right), Value::One(expected));
        };
        check(Arithmetic::Divide, Datum::Int(7), Datum::Int(-2), Datum::Int(-3));
        check(Arithmetic::Modulo, Datum::Int(-7), Datum::Int(3), Datum::Int(-1));
        check(Arithmetic::Divide, Datum::Int(7), Datum::Float(2.0), Datum::Float(3.5));
        check(Arithmetic::Divide, Datum::Int(7), Datum::Int(0), Datum::Null);
        check(Arithmetic::Divide, Datum::Float(7.0), Datum::Int(0), Datum::Null);
        check(Arithmetic::Add, Datum::Int(i64::MAX), Datum::Int(1), Datum::Null);
        check(Arithmetic::Divide, Datum::Int(i64::MIN), Datum::Int(-1), Datum::Null);
        check(Arithmetic::Add, Datum::Str("1"), Datum::Int(1), Datum::Null);
    }

    #[test]
    fn a_function_maps_over_several_values() {
        let several = |values: &[i64]| {
            Value::of_values(values.iter().map(|value| Value::One(Datum::Int(*value))))
        };
        let sum =
            |combination: &[Datum<'_>]| calculate(Arithmetic::Add, combination[0], combination[1]);
        assert_eq!(
            map_over(&[several(&[1, 2]), several(&[10, 20])], sum),
            several(&[11, 21, 12, 22])
        );
        assert_eq!(map_over(&[several(&[1, 2]), Value::NULL], sum), Value::NULL);
    }

    #[test]
    fn over_the_bound_of_combinations_the_result_is_null() {
        let values =
            |count: usize| Value::of_values((0..count).map(|_| Value::One(Datum::Bool(true))));
        let first = |combination: &[Datum<'_>]| Value::of_truth(truth_of(combination[0]));
        let before = results_over_limit();
        let at_bound = map_over(&[values(32), values(32)], first);
        assert_eq!(at_bound.each().count(), MAPPED_VALUES_MAX);
        assert_eq!(results_over_limit(), before, "no other test is over the bound");
        assert_eq!(map_over(&[values(32), values(33)], first), Value::NULL);
        assert_eq!(results_over_limit(), before + 1);
    }
}
