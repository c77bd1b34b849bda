//! Pipes: what is done with the matches.

use super::SyntaxError;
use super::cursor::{Cursor, Parsed};
use super::token::{Sign, TokenKind};
use crate::ast::{Expr, Literal, Pipe, Spanned};

/// The names of all pipes.
const ALL: &[&str] = &[
    "where",
    "eval",
    "keep",
    "lookup",
    "stats",
    "head",
    "tail",
    "filter",
    "unique",
    "unique_count",
    "count",
    "sort",
];

impl Cursor {
    /// All pipes to the end of the query; errors in one do not hide those of the next.
    pub(super) fn pipes(&mut self) -> Parsed<Vec<Spanned<Pipe>>> {
        let mut pipes = Vec::new();
        while self.eat_sign(Sign::Pipe) {
            let start = self.span();
            match self.pipe() {
                Ok(node) => pipes.push(Spanned { node, span: self.span_from(start) }),
                Err(error) => self.recover_in_pipe(error),
            }
        }
        Ok(pipes)
    }

    fn pipe(&mut self) -> Parsed<Pipe> {
        let span = self.span();
        let word: Box<str> = match self.peek() {
            TokenKind::Word(word) => word.clone(),
            _ => return Err(self.unexpected("the name of a pipe", &[])),
        };
        let unknown = self.unexpected("the name of a pipe", ALL);
        self.advance();
        match &*word {
            "head" => self.count().map(Pipe::Head),
            "tail" => self.count().map(Pipe::Tail),
            "where" | "filter" => self.expression().map(Pipe::Where),
            "eval" => self.assignments().map(Pipe::Eval),
            "keep" => self.keep(),
            "lookup" => self.lookup(),
            "stats" => self.stats(),
            "unique" | "unique_count" | "count" | "sort" => {
                let is_empty = matches!(self.peek(), TokenKind::End | TokenKind::Sign(Sign::Pipe));
                let args = if is_empty { Vec::new() } else { self.expressions()? };
                Ok(Pipe::Reference { name: Spanned { node: word, span }, args })
            }
            _ => Err(unknown),
        }
    }

    /// The number of `head` and `tail`.
    fn count(&mut self) -> Parsed<u64> {
        let span = self.span();
        match self.literal() {
            Some(Ok(Spanned { node: Literal::Int(number), .. })) if number >= 0 => {
                Ok(number.unsigned_abs())
            }
            _ => Err(SyntaxError::new(span, "expected a whole number from 0 up")),
        }
    }

    /// `name = expression, ...`.
    fn assignments(&mut self) -> Parsed<Vec<(Spanned<Box<str>>, Expr)>> {
        let mut list = Vec::new();
        loop {
            let name = self.name("a name for the value")?;
            if !self.eat_sign(Sign::Assign) {
                let error = self.unexpected("`=`", &[]);
                return Err(error.with_help("each value has a name: `n = count()`"));
            }
            list.push((name, self.expression()?));
            if !self.eat_sign(Sign::Comma) {
                return Ok(list);
            }
        }
    }

    fn keep(&mut self) -> Parsed<Pipe> {
        let mut paths = vec![self.path("a field")?];
        while self.eat_sign(Sign::Comma) {
            paths.push(self.path("a field")?);
        }
        Ok(Pipe::Keep(paths))
    }

    fn lookup(&mut self) -> Parsed<Pipe> {
        let table = self.name("the name of a table")?;
        self.expect_word("on")?;
        Ok(Pipe::Lookup { table, on: self.path("a field")? })
    }

    fn stats(&mut self) -> Parsed<Pipe> {
        let aggregates = self.assignments()?;
        let by = if self.eat_word("by") { self.expressions()? } else { Vec::new() };
        let over_ms = if self.eat_word("over") { Some(self.duration()?) } else { None };
        let every_ms = match &over_ms {
            Some(_) if self.eat_word("every") => Some(self.duration()?),
            _ => None,
        };
        Ok(Pipe::Stats { aggregates, by, over_ms, every_ms })
    }
}
