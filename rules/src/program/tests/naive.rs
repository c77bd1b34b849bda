//! A naive evaluator of the syntax tree: what a compiled program is compared with.
//!
//! It shares nothing with the programs but the tree: no slots, no folding, no jumps. A value is the
//! list of the single values it has; none is null.

use super::Datum;
use crate::ast::{BinaryOp, Expr, Literal, MatchOp, UnaryOp};

/// A single value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Single {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Vec<char>),
}

type Values = Vec<Single>;
type Event<'a> = [(&'a str, Datum<'a>)];

pub(super) fn truth(expr: &Expr, event: &Event<'_>) -> Option<bool> {
    truth_of(&values(expr, event))
}

fn truth_of(values: &[Single]) -> Option<bool> {
    let truths: Vec<bool> = values
        .iter()
        .filter_map(|value| if let Single::Bool(truth) = value { Some(*truth) } else { None })
        .collect();
    if truths.is_empty() { None } else { Some(truths.contains(&true)) }
}

fn of_truth(truth: Option<bool>) -> Values {
    truth.map(Single::Bool).into_iter().collect()
}

fn values(expr: &Expr, event: &Event<'_>) -> Values {
    match expr {
        Expr::Literal(literal) => of_literal(&literal.node),
        Expr::Field { path, .. } => {
            let name = path.node.parts.join(".");
            let found = event.iter().find(|(known, _)| *known == name);
            found.map_or_else(Vec::new, |(_, datum)| of_datum(*datum))
        }
        Expr::Unary { op: UnaryOp::Not, operand, .. } => {
            of_truth(truth(operand, event).map(|truth| !truth))
        }
        Expr::Unary { op: UnaryOp::Neg, operand, .. } => values(operand, event)
            .into_iter()
            .filter_map(|value| match value {
                Single::Int(int) => int.checked_neg().map(Single::Int),
                Single::Float(float) => Some(Single::Float(-float)),
                _ => None,
            })
            .collect(),
        Expr::Binary { op: BinaryOp::And, left, right, .. } => {
            of_truth(match (truth(left, event), truth(right, event)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            })
        }
        Expr::Binary { op: BinaryOp::Or, left, right, .. } => {
            of_truth(match (truth(left, event), truth(right, event)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            })
        }
        Expr::Binary { op, left, right, .. } => binary(*op, left, right, event),
        Expr::In { value, list, negated, insensitive, .. } => {
            let found = membership(&values(value, event), list, *insensitive, event);
            of_truth(if *negated { found.map(|found| !found) } else { found })
        }
        Expr::Match { op, value, patterns, .. } => {
            let patterns: Vec<&str> = patterns
                .iter()
                .filter_map(|pattern| match &pattern.node {
                    Literal::Str(text) => Some(text.as_ref()),
                    _ => None,
                })
                .collect();
            matching(*op, &values(value, event), &patterns)
        }
        Expr::Call { name, insensitive, args, .. } => {
            let arguments: Vec<Values> = args.iter().map(|arg| values(arg, event)).collect();
            call(&name.node, *insensitive, &arguments)
        }
    }
}

fn of_literal(literal: &Literal) -> Values {
    match literal {
        Literal::Null => vec![],
        Literal::Bool(value) => vec![Single::Bool(*value)],
        Literal::Int(value) => vec![Single::Int(*value)],
        Literal::Float(value) => vec![Single::Float(*value)],
        Literal::Str(text) => vec![Single::Text(text.chars().collect())],
    }
}

fn of_datum(datum: Datum<'_>) -> Values {
    match datum {
        Datum::Null => vec![],
        Datum::Bool(value) => vec![Single::Bool(value)],
        Datum::Int(value) => vec![Single::Int(value)],
        Datum::Float(value) => vec![Single::Float(value)],
        Datum::Str(text) => vec![Single::Text(text.chars().collect())],
        Datum::Many(several) => several.iter().flat_map(|one| of_datum(*one)).collect(),
    }
}

fn binary(op: BinaryOp, left: &Expr, right: &Expr, event: &Event<'_>) -> Values {
    let is_null =
        |expr: &Expr| matches!(expr, Expr::Literal(literal) if literal.node == Literal::Null);
    let is_optional = |expr: &Expr| matches!(expr, Expr::Field { optional: true, .. });
    let (one, other) = (values(left, event), values(right, event));
    let tested = if is_null(right) { Some(&one) } else { is_null(left).then_some(&other) };
    let both_absent = is_optional(left) && is_optional(right) && one.is_empty() && other.is_empty();
    match (op, tested) {
        (BinaryOp::Eq, Some(tested)) => return of_truth(Some(tested.is_empty())),
        (BinaryOp::Ne, Some(tested)) => return of_truth(Some(!tested.is_empty())),
        (BinaryOp::Eq, None) if both_absent => return of_truth(Some(true)),
        (BinaryOp::Ne, None) if both_absent => return of_truth(Some(false)),
        _ => {}
    }
    let pairs = one.iter().flat_map(|one| other.iter().map(move |other| (one, other)));
    match op {
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Rem => {
            pairs.filter_map(|(one, other)| arithmetic(op, one, other)).collect()
        }
        _ => any(pairs.map(|(one, other)| compare(op, one, other))),
    }
}

fn any(verdicts: impl Iterator<Item = Option<bool>>) -> Values {
    let known: Vec<bool> = verdicts.flatten().collect();
    of_truth(if known.is_empty() { None } else { Some(known.contains(&true)) })
}

#[expect(clippy::cast_precision_loss, reason = "the random numbers are small")]
fn float_of(value: &Single) -> Option<f64> {
    match value {
        Single::Int(int) => Some(*int as f64),
        Single::Float(float) => Some(*float),
        _ => None,
    }
}

fn compare(op: BinaryOp, one: &Single, other: &Single) -> Option<bool> {
    let order = match (one, other) {
        (Single::Text(one), Single::Text(other)) => one.cmp(other),
        (Single::Bool(one), Single::Bool(other)) if matches!(op, BinaryOp::Eq | BinaryOp::Ne) => {
            one.cmp(other)
        }
        _ => float_of(one)?.partial_cmp(&float_of(other)?)?,
    };
    Some(match op {
        BinaryOp::Eq => order.is_eq(),
        BinaryOp::Ne => order.is_ne(),
        BinaryOp::Lt => order.is_lt(),
        BinaryOp::Le => order.is_le(),
        BinaryOp::Gt => order.is_gt(),
        _ => order.is_ge(),
    })
}

fn arithmetic(op: BinaryOp, one: &Single, other: &Single) -> Option<Single> {
    if let (Single::Int(one), Single::Int(other)) = (one, other) {
        let (one, other) = (i128::from(*one), i128::from(*other));
        let result = match op {
            BinaryOp::Add => one + other,
            BinaryOp::Sub => one - other,
            BinaryOp::Mul => one * other,
            _ if other == 0 => return None,
            BinaryOp::Div => one / other,
            _ => one % other,
        };
        return i64::try_from(result).ok().map(Single::Int);
    }
    let (one, other) = (float_of(one)?, float_of(other)?);
    let result = match op {
        BinaryOp::Add => one + other,
        BinaryOp::Sub => one - other,
        BinaryOp::Mul => one * other,
        BinaryOp::Div => one / other,
        _ => one % other,
    };
    result.is_finite().then_some(Single::Float(result))
}

fn lower(text: &[char]) -> Vec<char> {
    text.iter().map(char::to_ascii_lowercase).collect()
}

/// The random texts are ASCII.
fn in_case(value: &Single, insensitive: bool) -> Single {
    match value {
        Single::Text(text) if insensitive => Single::Text(lower(text)),
        other => other.clone(),
    }
}

/// Lists of constants only.
fn membership(
    values: &[Single],
    list: &[Expr],
    insensitive: bool,
    event: &Event<'_>,
) -> Option<bool> {
    let items: Vec<Values> = list.iter().map(|item| self::values(item, event)).collect();
    let verdicts = values.iter().map(|value| {
        let value = in_case(value, insensitive);
        let known: Vec<bool> = items
            .iter()
            .flatten()
            .filter_map(|item| compare(BinaryOp::Eq, &value, &in_case(item, insensitive)))
            .collect();
        let has_null = items.iter().any(Vec::is_empty);
        match known.contains(&true) {
            true => Some(true),
            false if known.is_empty() || has_null => None,
            false => Some(false),
        }
    });
    truth_of(&any(verdicts))
}

fn matching(op: MatchOp, values: &[Single], patterns: &[&str]) -> Values {
    let insensitive = matches!(op, MatchOp::Colon | MatchOp::LikeInsensitive);
    any(values.iter().map(|value| {
        let Single::Text(text) = in_case(value, insensitive) else { return None };
        Some(patterns.iter().any(|pattern| {
            let pattern: Vec<char> = pattern.chars().collect();
            wildcard(&if insensitive { lower(&pattern) } else { pattern }, &text)
        }))
    }))
}

/// By recursion, whatever that costs.
fn wildcard(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|skipped| wildcard(rest, &text[skipped..])),
        Some(('?', rest)) => !text.is_empty() && wildcard(rest, &text[1..]),
        Some((first, rest)) => text.first() == Some(first) && wildcard(rest, &text[1..]),
    }
}

/// All combinations of the arguments' values; a trailing argument of `substring` and `indexOf` may
/// be null.
fn call(name: &str, insensitive: bool, arguments: &[Values]) -> Values {
    let mut combinations: Vec<Vec<Option<Single>>> = vec![vec![]];
    for (index, argument) in arguments.iter().enumerate() {
        let is_optional = match name {
            "substring" => index >= 1,
            "indexOf" => index >= 2,
            _ => false,
        };
        let choices: Vec<Option<Single>> = match argument.as_slice() {
            [] if is_optional => vec![None],
            values => values.iter().cloned().map(Some).collect(),
        };
        combinations = combinations
            .into_iter()
            .flat_map(|before| {
                choices.iter().map(move |choice| [before.clone(), vec![choice.clone()]].concat())
            })
            .collect();
    }
    combinations.iter().filter_map(|single| apply(name, insensitive, single)).collect()
}

fn apply(name: &str, insensitive: bool, arguments: &[Option<Single>]) -> Option<Single> {
    let text = |index: usize| match arguments.get(index)? {
        Some(Single::Text(text)) if insensitive => Some(lower(text)),
        Some(Single::Text(text)) => Some(text.clone()),
        _ => None,
    };
    // `Err` is an argument of another type; a missing or null one is `absent`.
    let whole = |index: usize, absent: i64| match arguments.get(index) {
        None | Some(None) => Ok(absent),
        Some(Some(Single::Int(int))) => Ok(*int),
        Some(Some(_)) => Err(()),
    };
    let length = |text: &[char]| i64::try_from(text.len()).expect("short");
    let at = |place: i64| usize::try_from(place).expect("not negative");
    match name {
        "length" => text(0).map(|text| Single::Int(length(&text))),
        "startsWith" => Some(Single::Bool(text(0)?.starts_with(&text(1)?))),
        "endsWith" => Some(Single::Bool(text(0)?.ends_with(&text(1)?))),
        "stringContains" => {
            let (text, part) = (text(0)?, text(1)?);
            let mut places = 0..=text.len();
            Some(Single::Bool(places.any(|place| text[place..].starts_with(&part))))
        }
        "indexOf" => {
            let (text, part, start) = (text(0)?, text(1)?, whole(2, 0).ok()?);
            let start = at(start.max(0)).min(text.len());
            let place = (start..=text.len()).find(|place| text[*place..].starts_with(&part))?;
            Some(Single::Int(i64::try_from(place).expect("short")))
        }
        "substring" => {
            let text = text(0)?;
            let bounded = |place: i64| {
                let place = if place < 0 { place + length(&text) } else { place };
                at(place.max(0)).min(text.len())
            };
            let start = bounded(whole(1, 0).ok()?);
            let end = bounded(whole(2, length(&text)).ok()?);
            Some(Single::Text(text[start..end.max(start)].to_vec()))
        }
        "concat" | "string" => {
            let mut out = Vec::new();
            for argument in arguments {
                match argument.as_ref()? {
                    Single::Text(text) => out.extend(text),
                    Single::Int(int) => out.extend(int.to_string().chars()),
                    Single::Bool(truth) => out.extend(truth.to_string().chars()),
                    Single::Float(float) => out.extend(format!("{float:?}").chars()),
                }
            }
            Some(Single::Text(out))
        }
        other => panic!("{other} is not compared"),
    }
}
