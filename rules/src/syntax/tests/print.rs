//! A tree as an S-expression, short enough for a line of a golden test.

use crate::ast::*;

pub(super) fn query(query: &Query) -> String {
    let mut out = match &query.body {
        QueryBody::Event(filter) => event(filter),
        QueryBody::Sequence(sequence) => terms("sequence", sequence),
        QueryBody::Sample(sequence) => terms("sample", sequence),
    };
    for one in &query.pipes {
        out.push_str(" | ");
        out.push_str(&pipe(&one.node));
    }
    out
}

fn event(filter: &EventFilter) -> String {
    let name = filter.name.as_ref().map_or("any", |name| &name.node);
    format!("{name}? {}", expr(&filter.condition))
}

fn terms(kind: &str, sequence: &Sequence) -> String {
    let mut out = format!("{kind}{}", keys(&sequence.by));
    if let Some(maxspan) = &sequence.maxspan_ms {
        out.push_str(&format!(" maxspan={}", maxspan.node));
    }
    for one in &sequence.terms {
        out.push_str(&format!(" {}", term(one)));
    }
    if let Some(until) = &sequence.until {
        out.push_str(&format!(" until {}", term(until)));
    }
    out
}

fn keys(keys: &[JoinKey]) -> String {
    keys.iter().map(|key| format!(" by {}", expr(&key.expr))).collect()
}

fn term(term: &Term) -> String {
    let missing = if term.missing { "!" } else { "" };
    let runs = term.runs.as_ref().map_or(String::new(), |runs| format!(" runs={}", runs.node));
    let name = term.name.as_ref().map_or(String::new(), |name| format!(" as {}", name.node));
    format!("{missing}[{}]{}{runs}{name}", event(&term.filter), keys(&term.by))
}

fn list(exprs: &[Expr]) -> String {
    exprs.iter().map(|one| format!(" {}", expr(one))).collect()
}

fn path(path: &Path) -> String {
    path.parts.join(".")
}

fn literal(literal: &Literal) -> String {
    match literal {
        Literal::Null => "null".to_owned(),
        Literal::Bool(value) => value.to_string(),
        Literal::Int(value) => value.to_string(),
        Literal::Float(value) => format!("{value:?}"),
        Literal::Str(value) => format!("{value:?}"),
    }
}

pub(super) fn expr(tree: &Expr) -> String {
    match tree {
        Expr::Literal(value) => literal(&value.node),
        Expr::Field { path: at, optional: true } => format!("?{}", path(&at.node)),
        Expr::Field { path: at, optional: false } => path(&at.node),
        Expr::Unary { op, operand, .. } => format!("({op:?} {})", expr(operand)),
        Expr::Binary { op, left, right, .. } => {
            format!("({op:?} {} {})", expr(left), expr(right))
        }
        Expr::In { value, list: values, negated, insensitive, .. } => {
            let not = if *negated { "not-" } else { "" };
            let tilde = if *insensitive { "~" } else { "" };
            format!("({not}in{tilde} {}{})", expr(value), list(values))
        }
        Expr::Match { op, value, patterns, .. } => {
            let all: String =
                patterns.iter().map(|one| format!(" {}", literal(&one.node))).collect();
            format!("({op:?} {}{all})", expr(value))
        }
        Expr::Call { name, insensitive, args, .. } => {
            let tilde = if *insensitive { "~" } else { "" };
            format!("({}{tilde}{})", name.node, list(args))
        }
    }
}

fn pipe(pipe: &Pipe) -> String {
    let assignments = |list: &[(Spanned<Box<str>>, Expr)]| -> String {
        list.iter().map(|(name, value)| format!(" {}={}", name.node, expr(value))).collect()
    };
    match pipe {
        Pipe::Head(count) => format!("head {count}"),
        Pipe::Tail(count) => format!("tail {count}"),
        Pipe::Where(condition) => format!("where {}", expr(condition)),
        Pipe::Eval(list) => format!("eval{}", assignments(list)),
        Pipe::Keep(paths) => {
            format!(
                "keep{}",
                paths.iter().map(|at| format!(" {}", path(&at.node))).collect::<String>()
            )
        }
        Pipe::Lookup { table, on } => format!("lookup {} on {}", table.node, path(&on.node)),
        Pipe::Stats { aggregates, by, over_ms, every_ms } => format!(
            "stats{} by{} over {:?} every {:?}",
            assignments(aggregates),
            list(by),
            over_ms.as_ref().map(|over| over.node),
            every_ms.as_ref().map(|every| every.node)
        ),
        Pipe::Reference { name, args } => format!("{}{}", name.node, list(args)),
    }
}
