//! Running a program.

use super::{ACCEPT, Operation, Program, Term};
use crate::functions;
use crate::program::Fields;
use crate::program::datum::{Datum, Relation, any, relate};
use crate::program::node::Load;
use crate::program::value::{Value, calculate, map_over, negate, relate_values};
use crate::schema::FieldType;
use smallvec::SmallVec;

impl Program {
    /// Whether the condition is true (not false and not null).
    #[must_use]
    pub fn matches(&self, fields: &impl Fields) -> bool {
        if self.tests.is_empty() {
            return true;
        }
        let mut position = 0_u32;
        while let Some(test) = usize::try_from(position).ok().and_then(|at| self.tests.get(at)) {
            let branch = test.branch;
            position = if self.verdict(&test.term, fields) == Some(branch.wanted) {
                branch.holds
            } else {
                branch.fails
            };
        }
        position == ACCEPT
    }

    #[inline]
    fn verdict(&self, term: &Term, fields: &impl Fields) -> Option<bool> {
        match term {
            Term::Constant { load, relation, constant } => {
                let constant = Datum::of_literal(constant);
                each(*load, fields, |value| relate(*relation, value, constant))
            }
            Term::Member { load, set } => each(*load, fields, |value| set.contains(value)),
            Term::Fits { load, pattern } => each(*load, fields, |value| match value {
                Datum::Str(text) => pattern.fits(text),
                _ => None,
            }),
            Term::IsNull(load) => Some(is_null(*load, fields)),
            Term::Fields { left, right, relation, both_absent } => {
                if both_absent.is_some() && is_null(*left, fields) && is_null(*right, fields) {
                    return *both_absent;
                }
                each(*left, fields, |one| {
                    each(*right, fields, |other| relate(*relation, one, other))
                })
            }
            Term::Value { start, end } => {
                let range = usize::try_from(*start).ok()?..usize::try_from(*end).ok()?;
                evaluate(self.operations.get(range)?, fields).truth()
            }
        }
    }
}

fn load_raw(load: Load, fields: &impl Fields) -> Datum<'_> {
    match load.step {
        None => fields.field(load.slot),
        Some(step) => fields.bound(step, load.slot),
    }
}

/// Asks `verdict` of each of a field's values; true if any is.
#[inline]
fn each<'a>(
    load: Load,
    fields: &'a impl Fields,
    verdict: impl Fn(Datum<'a>) -> Option<bool>,
) -> Option<bool> {
    match load_raw(load, fields) {
        Datum::Many(values) => any(values.iter().map(|value| verdict(value.read_as(load.kind)))),
        one if load.kind == FieldType::Any => verdict(one),
        one => verdict(one.read_as(load.kind)),
    }
}

fn is_null(load: Load, fields: &impl Fields) -> bool {
    match load_raw(load, fields) {
        Datum::Many(values) => values.iter().all(|value| value.read_as(load.kind) == Datum::Null),
        one => one.read_as(load.kind) == Datum::Null,
    }
}

/// Values under way; deeper expressions than the inline ones allocate.
type Stack<'a> = SmallVec<[Value<'a>; 4]>;

/// The value that a stretch of postfix operations leaves; null for none.
#[inline(never)]
pub(super) fn evaluate<'a>(operations: &'a [Operation], fields: &'a impl Fields) -> Value<'a> {
    let mut stack = Stack::new();
    for operation in operations {
        let value = match operation {
            Operation::Constant(literal) => Value::One(Datum::of_literal(literal)),
            Operation::Field(load) => Value::of_datum(load_raw(*load, fields), load.kind),
            Operation::All(count) => {
                apply_to_last(&mut stack, *count, |parts| Value::of_truth(joined(parts, false)))
            }
            Operation::Any(count) => {
                apply_to_last(&mut stack, *count, |parts| Value::of_truth(joined(parts, true)))
            }
            Operation::Call { function, case, count } => {
                apply_to_last(&mut stack, *count, |arguments| {
                    map_over(arguments, |single| functions::apply(*function, *case, single))
                })
            }
            Operation::Relate { relation, both_absent } => {
                let (right, left) = (pop(&mut stack), pop(&mut stack));
                Value::of_truth(relate_or_absent(*relation, &left, &right, *both_absent))
            }
            Operation::Arithmetic(operator) => apply_to_last(&mut stack, 2, |sides| {
                map_over(sides, |single| match single {
                    [left, right] => calculate(*operator, *left, *right),
                    _ => Value::NULL,
                })
            }),
            single => apply_to_one(single, &pop(&mut stack)),
        };
        stack.push(value);
    }
    pop(&mut stack)
}

/// Takes the last `count` values off the stack for an operation.
fn apply_to_last<'a>(
    stack: &mut Stack<'a>,
    count: u32,
    operation: impl FnOnce(&[Value<'a>]) -> Value<'static>,
) -> Value<'a> {
    let start = stack.len().saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
    let result = operation(stack.get(start..).unwrap_or_default());
    stack.truncate(start);
    result
}

/// The operations of one operand.
fn apply_to_one(operation: &Operation, operand: &Value<'_>) -> Value<'static> {
    match operation {
        Operation::Not => Value::of_truth(operand.truth().map(|truth| !truth)),
        Operation::IsNull => Value::of_truth(Some(operand.is_null())),
        Operation::Member(set) => {
            Value::of_truth(any(operand.each().map(|value| set.contains(value))))
        }
        Operation::Fits(pattern) => map_over(std::slice::from_ref(operand), |single| {
            Value::of_truth(match single {
                [Datum::Str(text)] => pattern.fits(text),
                _ => None,
            })
        }),
        Operation::Negate => map_over(std::slice::from_ref(operand), |single| {
            negate(single.first().copied().unwrap_or(Datum::Null))
        }),
        _ => Value::NULL,
    }
}

/// Kleene's `or` (`deciding` is true) or `and` (`deciding` is false).
fn joined(parts: &[Value<'_>], deciding: bool) -> Option<bool> {
    let mut result = Some(!deciding);
    for part in parts {
        match part.truth() {
            Some(truth) if truth == deciding => return Some(deciding),
            Some(_) => {}
            None => result = None,
        }
    }
    result
}

fn relate_or_absent(
    relation: Relation,
    left: &Value<'_>,
    right: &Value<'_>,
    both_absent: Option<bool>,
) -> Option<bool> {
    if left.is_null() && right.is_null() {
        both_absent
    } else {
        relate_values(relation, left, right)
    }
}

fn pop<'a>(stack: &mut Stack<'a>) -> Value<'a> {
    stack.pop().unwrap_or(Value::NULL)
}
