//! The canonical text of a query: its tree as an S-expression.
//!
//! Chains of `and` and `or` are flat, so that the shape of the tree makes no difference; names of
//! functions are in lower case, as they are matched in any.

use crate::ast::{
    BinaryOp, EventFilter, Expr, JoinKey, Literal, MatchOp, Path, Pipe, Query, QueryBody, Sequence,
    Spanned, Term, UnaryOp,
};
use crate::package::DeclaredType;
use crate::syntax::is_keyword;
use crate::template::json_text;
use std::fmt::Display;
use std::fmt::Write;

/// Writes trees.
pub(super) struct Writer<'a> {
    pub(super) out: String,
    types: &'a [DeclaredType],
    term_names: Vec<&'a str>,
}

/// The text of a query without declared types.
#[cfg(test)]
pub(crate) fn query_text(query: &Query) -> String {
    let mut writer = Writer::new(&[], Vec::new());
    writer.query(query);
    writer.out
}

/// The text of an expression without declared types.
#[cfg(test)]
pub(crate) fn expression_text(expr: &Expr) -> String {
    let mut writer = Writer::new(&[], Vec::new());
    writer.expr(expr);
    writer.out
}

impl<'a> Writer<'a> {
    pub(super) fn new(types: &'a [DeclaredType], term_names: Vec<&'a str>) -> Self {
        Self { out: String::new(), types, term_names }
    }

    fn put(&mut self, part: impl Display) {
        write!(self.out, "{part}").expect("text takes text");
    }

    pub(super) fn query(&mut self, query: &Query) {
        match &query.body {
            QueryBody::Event(filter) => self.filter(filter),
            QueryBody::Sequence(sequence) => self.sequence("sequence", sequence),
            QueryBody::Sample(sequence) => self.sequence("sample", sequence),
        }
        for pipe in &query.pipes {
            self.put(" | ");
            self.pipe(&pipe.node);
        }
    }

    fn filter(&mut self, filter: &EventFilter) {
        match &filter.name {
            None => self.put("any"),
            Some(name) if is_plain(&name.node) => self.put(&name.node),
            Some(name) => self.put(json_text(&name.node)),
        }
        self.put(" where ");
        self.expr(&filter.condition);
    }

    fn sequence(&mut self, kind: &str, sequence: &Sequence) {
        self.put(kind);
        self.keys(&sequence.by);
        if let Some(maxspan) = &sequence.maxspan_ms {
            self.put(format_args!(" maxspan={}", maxspan.node));
        }
        for term in &sequence.terms {
            self.put(" ");
            self.term(term);
        }
        if let Some(until) = &sequence.until {
            self.put(" until ");
            self.term(until);
        }
    }

    fn keys(&mut self, keys: &[JoinKey]) {
        for key in keys {
            self.put(" by ");
            self.expr(&key.expr);
        }
    }

    fn term(&mut self, term: &Term) {
        self.put(if term.missing { "![" } else { "[" });
        self.filter(&term.filter);
        self.put("]");
        self.keys(&term.by);
        if let Some(runs) = &term.runs {
            self.put(format_args!(" runs={}", runs.node));
        }
        if let Some(name) = &term.name {
            self.put(" as ");
            self.part(&name.node);
        }
    }

    /// A name: as it is, or in backquotes.
    fn part(&mut self, part: &str) {
        if is_plain(part) {
            self.put(part);
        } else {
            self.put(format_args!("`{}`", part.replace('`', "``")));
        }
    }

    /// A path, and the type that the package declares for it.
    pub(super) fn path(&mut self, path: &Path) {
        for (index, part) in path.parts.iter().enumerate() {
            self.put(if index > 0 { "." } else { "" });
            self.part(part);
        }
        let is_of_term =
            path.parts.first().is_some_and(|first| self.term_names.contains(&&**first));
        let field = path.parts.get(usize::from(is_of_term)..).unwrap_or_default();
        if let Some(declared) = self.types.iter().find(|one| one.path.node.parts == field) {
            self.put(format_args!("::{}", declared.type_name.node));
        }
    }

    fn literal(&mut self, literal: &Literal) {
        match literal {
            Literal::Null => self.put("null"),
            Literal::Bool(value) => self.put(value),
            Literal::Int(value) => self.put(value),
            Literal::Float(value) => self.put(format_args!("{value:?}")),
            Literal::Str(value) => self.put(json_text(value)),
        }
    }

    fn exprs(&mut self, exprs: &[Expr]) {
        for expr in exprs {
            self.put(" ");
            self.expr(expr);
        }
    }

    pub(super) fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Literal(literal) => self.literal(&literal.node),
            Expr::Field { path, optional } => {
                self.put(if *optional { "?" } else { "" });
                self.path(&path.node);
            }
            Expr::Unary { op, operand, .. } => {
                self.put(match op {
                    UnaryOp::Not => "(not ",
                    UnaryOp::Neg => "(neg ",
                });
                self.expr(operand);
                self.put(")");
            }
            Expr::Binary { op, .. } => {
                self.put(format_args!("({}", binary_text(*op)));
                self.operands(*op, expr);
                self.put(")");
            }
            Expr::In { value, list, negated, insensitive, .. } => {
                self.put(if *negated { "(not-in" } else { "(in" });
                self.put(if *insensitive { "~ " } else { " " });
                self.expr(value);
                self.exprs(list);
                self.put(")");
            }
            Expr::Match { op, value, patterns, .. } => {
                self.put(format_args!("({} ", match_text(*op)));
                self.expr(value);
                for pattern in patterns {
                    self.put(" ");
                    self.literal(&pattern.node);
                }
                self.put(")");
            }
            Expr::Call { name, insensitive, args, .. } => {
                let tilde = if *insensitive { "~" } else { "" };
                self.put(format_args!("({}{tilde}", name.node.to_lowercase()));
                self.exprs(args);
                self.put(")");
            }
        }
    }

    /// The operands of an operator; those of a chain of `and` or `or` together.
    fn operands(&mut self, chain: BinaryOp, expr: &Expr) {
        match expr {
            Expr::Binary { op, left, right, .. } if *op == chain => {
                let is_flat = matches!(op, BinaryOp::And | BinaryOp::Or);
                for side in [left, right] {
                    if is_flat {
                        self.operands(chain, side);
                    } else {
                        self.put(" ");
                        self.expr(side);
                    }
                }
            }
            other => {
                self.put(" ");
                self.expr(other);
            }
        }
    }

    fn assignments(&mut self, list: &[(Spanned<Box<str>>, Expr)]) {
        for (name, value) in list {
            self.put(" ");
            self.part(&name.node);
            self.put("=");
            self.expr(value);
        }
    }

    fn pipe(&mut self, pipe: &Pipe) {
        match pipe {
            Pipe::Head(count) => self.put(format_args!("head {count}")),
            Pipe::Tail(count) => self.put(format_args!("tail {count}")),
            Pipe::Where(condition) => {
                self.put("where ");
                self.expr(condition);
            }
            Pipe::Eval(list) => {
                self.put("eval");
                self.assignments(list);
            }
            Pipe::Keep(paths) => {
                self.put("keep");
                for path in paths {
                    self.put(" ");
                    self.path(&path.node);
                }
            }
            Pipe::Lookup { table, on } => {
                self.put("lookup ");
                self.part(&table.node);
                self.put(" on ");
                self.path(&on.node);
            }
            Pipe::Stats { aggregates, by, over_ms, every_ms } => {
                self.put("stats");
                self.assignments(aggregates);
                self.put(" by");
                self.exprs(by);
                for (word, time) in [("over", over_ms), ("every", every_ms)] {
                    if let Some(time) = time {
                        self.put(format_args!(" {word}={}", time.node));
                    }
                }
            }
            Pipe::Reference { name, args } => {
                self.put(&name.node);
                self.exprs(args);
            }
        }
    }
}

/// Whether a name needs no quotes.
fn is_plain(name: &str) -> bool {
    let is_digit = |first: char| first.is_ascii_digit();
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'@';
    let is_word = name.bytes().all(is_part) && name.starts_with(|first| !is_digit(first));
    is_word && !is_keyword(name)
}

fn binary_text(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::And => "and",
        BinaryOp::Or => "or",
        BinaryOp::Eq => "==",
        BinaryOp::Ne => "!=",
        BinaryOp::Lt => "<",
        BinaryOp::Le => "<=",
        BinaryOp::Gt => ">",
        BinaryOp::Ge => ">=",
        BinaryOp::Add => "+",
        BinaryOp::Sub => "-",
        BinaryOp::Mul => "*",
        BinaryOp::Div => "/",
        BinaryOp::Rem => "%",
    }
}

fn match_text(op: MatchOp) -> &'static str {
    match op {
        MatchOp::Colon => ":",
        MatchOp::Like => "like",
        MatchOp::LikeInsensitive => "like~",
        MatchOp::Regex => "regex",
        MatchOp::RegexInsensitive => "regex~",
    }
}
