//! Conditions by walking the tree: three-valued, several-valued, slow.

use crate::model::{Event, Identity, Value, VisitScope};
use beckon_rules::ast::{BinaryOp, Expr, Literal, MatchOp, Path, Spanned, UnaryOp};

/// An event with what was stamped on it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stamped {
    /// The event.
    pub(super) event: Event,
    /// Who the visitor was.
    pub(super) identity: Identity,
}

/// Events that a condition may name, by the `as` of their term.
pub(super) type Bound<'a> = &'a [(&'a str, &'a Stamped)];

/// Whether a condition is true of an event (not false, not null).
pub(super) fn is_true(condition: &Expr, event: &Stamped, bound: Bound<'_>) -> bool {
    evaluate(condition, event, bound) == Value::Bool(true)
}

/// The value of an expression; absent is `Null`, several values are a `List`.
pub(super) fn evaluate(expr: &Expr, event: &Stamped, bound: Bound<'_>) -> Value {
    match expr {
        Expr::Literal(literal) => literal_value(&literal.node),
        Expr::Field { path, .. } => path_value(&path.node, event, bound),
        Expr::Unary { op, operand, .. } => unary(*op, evaluate(operand, event, bound)),
        Expr::Binary { op, left, right, .. } => binary(*op, left, right, event, bound),
        Expr::In { value, list, negated, insensitive, .. } => {
            let value = evaluate(value, event, bound);
            let hits = list.iter().map(|item| {
                let item = evaluate(item, event, bound);
                if *insensitive {
                    compare(BinaryOp::Eq, &fold(&value), &fold(&item))
                } else {
                    compare(BinaryOp::Eq, &value, &item)
                }
            });
            let found = hits.fold(Value::Bool(false), or);
            if *negated { unary(UnaryOp::Not, found) } else { found }
        }
        Expr::Match { op, value, patterns, .. } => {
            let value = evaluate(value, event, bound);
            let hits = patterns.iter().map(|pattern| any(&value, |one| matches(*op, one, pattern)));
            hits.fold(Value::Bool(false), or)
        }
        Expr::Call { name, insensitive, args, .. } => {
            let args = args.iter().map(|argument| evaluate(argument, event, bound));
            call(&name.node, *insensitive, &args.collect::<Vec<_>>())
        }
    }
}

/// A function over every combination of its arguments' values.
fn call(name: &str, insensitive: bool, arguments: &[Value]) -> Value {
    let mut combinations: Vec<Vec<Literal>> = vec![Vec::new()];
    for argument in arguments {
        let singles = match argument {
            Value::List(values) => values.iter().map(literal).collect(),
            value => vec![literal(value)],
        };
        let longer = combinations.iter().flat_map(|combination| {
            singles
                .iter()
                .map(move |single| [combination.as_slice(), std::slice::from_ref(single)].concat())
        });
        combinations = longer.collect();
    }
    let results =
        combinations.iter().map(|one| beckon_rules::program::call(name, insensitive, one));
    let mut results: Vec<Value> = results
        .map(|result| literal_value(&result))
        .filter(|result| *result != Value::Null)
        .collect();
    match results.len() {
        0 => Value::Null,
        1 => results.remove(0),
        _ => Value::List(results),
    }
}

fn literal(value: &Value) -> Literal {
    match value {
        Value::Bool(bool) => Literal::Bool(*bool),
        Value::Int(int) => Literal::Int(*int),
        Value::Float(float) => Literal::Float(*float),
        Value::Str(text) => Literal::Str(text.clone()),
        Value::Null | Value::List(_) | Value::Map(_) => Literal::Null,
    }
}

fn literal_value(literal: &Literal) -> Value {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(bool) => Value::Bool(*bool),
        Literal::Int(int) => Value::Int(*int),
        Literal::Float(float) => Value::Float(*float),
        Literal::Str(text) => Value::Str(text.clone()),
    }
}

/// The value at a path of an event, or of the event that the path's first part names.
pub(super) fn path_value(path: &Path, event: &Stamped, bound: Bound<'_>) -> Value {
    if let [first, rest @ ..] = &*path.parts
        && let Some((_, named)) = bound.iter().find(|(name, _)| **name == **first)
    {
        return field_value(rest, named);
    }
    field_value(&path.parts, event)
}

fn field_value(parts: &[Box<str>], stamped: &Stamped) -> Value {
    let event = &stamped.event;
    let text = |text: String| Value::Str(text.into());
    let dotted = parts.join(".");
    match &*dotted {
        "eventName" => Value::Str(event.name.clone()),
        "eventType" if crate::model::system::is_system(&event.name) => text("SYSTEM".to_owned()),
        "eventType" => text("BUSINESS".to_owned()),
        "eventID" => text(event.id.to_string()),
        "visitID" => text(event.visit.to_string()),
        "globalVisitID" => event.visitor.as_ref().map_or(Value::Null, |id| text(id.to_string())),
        "pageID" => event.page.as_ref().map_or(Value::Null, |id| text(id.to_string())),
        "site" => text(event.site.to_string()),
        "timestamp" => Value::Int(event.timestamp.0),
        "serverTimestamp" => Value::Int(event.server_timestamp.0),
        "seq" => event.tie.map_or(Value::Null, Value::Int),
        "userID" => stamped.identity.user.as_ref().map_or(Value::Null, |id| text(id.to_string())),
        "visitScope" => text(scope_name(stamped.identity.scope).to_owned()),
        _ => longest_prefix(parts, event),
    }
}

fn scope_name(scope: VisitScope) -> &'static str {
    match scope {
        VisitScope::Anonymous => "Anonymous",
        VisitScope::Recognized => "Recognized",
        VisitScope::Authenticated => "Authenticated",
    }
}

/// The longest prefix that is a field, then the rest inside its maps.
fn longest_prefix(parts: &[Box<str>], event: &Event) -> Value {
    for length in (1..=parts.len()).rev() {
        let Some(value) = event.field(&parts[..length].join(".")) else { continue };
        let mut value = value.clone();
        for part in &parts[length..] {
            value = match value {
                Value::Map(entries) => {
                    let entry = entries.into_iter().rfind(|(key, _)| key == part);
                    entry.map_or(Value::Null, |(_, value)| value)
                }
                _ => Value::Null,
            };
        }
        return if matches!(value, Value::Map(_)) { Value::Null } else { value };
    }
    Value::Null
}

fn unary(op: UnaryOp, value: Value) -> Value {
    match (op, value) {
        (UnaryOp::Not, Value::Bool(bool)) => Value::Bool(!bool),
        (UnaryOp::Neg, Value::Int(int)) => int.checked_neg().map_or(Value::Null, Value::Int),
        (UnaryOp::Neg, Value::Float(float)) => Value::Float(-float),
        _ => Value::Null,
    }
}

fn binary(op: BinaryOp, left: &Expr, right: &Expr, event: &Stamped, bound: Bound<'_>) -> Value {
    let (a, b) = (evaluate(left, event, bound), evaluate(right, event, bound));
    match op {
        BinaryOp::And => and(a, b),
        BinaryOp::Or => or(a, b),
        BinaryOp::Eq | BinaryOp::Ne if is_null(left) || is_null(right) => {
            let value = if is_null(left) { &b } else { &a };
            Value::Bool(is_absent(value) == (op == BinaryOp::Eq))
        }
        BinaryOp::Eq
            if is_optional(left) && is_optional(right) && is_absent(&a) && is_absent(&b) =>
        {
            Value::Bool(true)
        }
        BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge => {
            compare(op, &a, &b)
        }
        _ => arithmetic(op, &a, &b),
    }
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(Spanned { node: Literal::Null, .. }))
}

fn is_optional(expr: &Expr) -> bool {
    matches!(expr, Expr::Field { optional: true, .. })
}

fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::List(values) => values.iter().all(is_absent),
        _ => false,
    }
}

fn and(a: Value, b: Value) -> Value {
    match (a, b) {
        (Value::Bool(false), _) | (_, Value::Bool(false)) => Value::Bool(false),
        (Value::Bool(true), Value::Bool(true)) => Value::Bool(true),
        _ => Value::Null,
    }
}

fn or(a: Value, b: Value) -> Value {
    match (a, b) {
        (Value::Bool(true), _) | (_, Value::Bool(true)) => Value::Bool(true),
        (Value::Bool(false), Value::Bool(false)) => Value::Bool(false),
        _ => Value::Null,
    }
}

/// True if the test is true of any value, else null if it is null of any, else false.
fn any(value: &Value, test: impl Fn(&Value) -> Value) -> Value {
    match value {
        Value::List(values) if values.is_empty() => Value::Null,
        Value::List(values) => values.iter().map(test).fold(Value::Bool(false), or),
        value => test(value),
    }
}

fn compare(op: BinaryOp, a: &Value, b: &Value) -> Value {
    any(a, |a| any(b, |b| compare_one(op, a, b)))
}

fn compare_one(op: BinaryOp, a: &Value, b: &Value) -> Value {
    use std::cmp::Ordering;
    let order = match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Str(a), Value::Str(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (a, b) => number(a).zip(number(b)).and_then(|(a, b)| a.partial_cmp(&b)),
    };
    let Some(order) = order else { return Value::Null };
    Value::Bool(match op {
        BinaryOp::Eq => order == Ordering::Equal,
        BinaryOp::Ne => order != Ordering::Equal,
        BinaryOp::Lt => order == Ordering::Less,
        BinaryOp::Le => order != Ordering::Greater,
        BinaryOp::Gt => order == Ordering::Greater,
        _ => order != Ordering::Less,
    })
}

#[expect(clippy::cast_precision_loss, reason = "a comparison with a float is one of floats")]
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(int) => Some(*int as f64),
        Value::Float(float) => Some(*float),
        _ => None,
    }
}

fn arithmetic(op: BinaryOp, a: &Value, b: &Value) -> Value {
    if let (Value::Int(a), Value::Int(b)) = (a, b) {
        let result = match op {
            BinaryOp::Add => a.checked_add(*b),
            BinaryOp::Sub => a.checked_sub(*b),
            BinaryOp::Mul => a.checked_mul(*b),
            BinaryOp::Div => a.checked_div(*b),
            _ => a.checked_rem(*b),
        };
        return result.map_or(Value::Null, Value::Int);
    }
    let Some((a, b)) = number(a).zip(number(b)) else { return Value::Null };
    Value::Float(match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        _ => a % b,
    })
}

fn fold(value: &Value) -> Value {
    match value {
        Value::Str(text) => Value::Str(text.to_lowercase().into()),
        Value::List(values) => Value::List(values.iter().map(fold).collect()),
        value => value.clone(),
    }
}

fn matches(op: MatchOp, value: &Value, pattern: &Spanned<Literal>) -> Value {
    let Literal::Str(pattern) = &pattern.node else {
        return compare_one(BinaryOp::Eq, value, &literal_value(&pattern.node));
    };
    let Value::Str(text) = value else { return Value::Null };
    Value::Bool(match op {
        MatchOp::Like => wildcard(pattern, text),
        MatchOp::Colon | MatchOp::LikeInsensitive => {
            wildcard(&pattern.to_lowercase(), &text.to_lowercase())
        }
        MatchOp::Regex => regular(pattern, text, false),
        MatchOp::RegexInsensitive => regular(pattern, text, true),
    })
}

/// `*` any run, `?` one character: the recursive definition.
fn wildcard(pattern: &str, text: &str) -> bool {
    fn go(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], text) => (0..=text.len()).any(|taken| go(rest, &text[taken..])),
            (['?', pattern @ ..], [_, text @ ..]) => go(pattern, text),
            ([a, pattern @ ..], [b, text @ ..]) if a == b => go(pattern, text),
            _ => false,
        }
    }
    let (pattern, text): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
    go(&pattern, &text)
}

fn regular(pattern: &str, text: &str, insensitive: bool) -> bool {
    let flags = if insensitive { "(?si)" } else { "(?s)" };
    regex::Regex::new(&format!("{flags}^(?:{pattern})$")).is_ok_and(|regex| regex.is_match(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_by_their_definition() {
        let check =
            |pattern, text, expect| assert_eq!(wildcard(pattern, text), expect, "{pattern}");
        check("*.gz", "a.tar.gz", true);
        check("a?c", "abc", true);
        check("a?c", "ac", false);
        check("*", "", true);
    }
}
