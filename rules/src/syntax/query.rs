//! Queries: an event, a sequence, a sample.

use super::SyntaxError;
use super::cursor::{Cursor, Parsed};
use super::token::{Sign, TokenKind};
use crate::ast::{
    EventFilter, Expr, JoinKey, Literal, Query, QueryBody, Sequence, Span, Spanned, Term,
};
use crate::suggest::did_you_mean;

/// `sequence` or `sample`.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Sequence,
    Sample,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Sequence => "sequence",
            Self::Sample => "sample",
        }
    }
}

impl Cursor {
    /// A whole query.
    pub(super) fn query(&mut self) -> Parsed<Query> {
        let body = match self.body() {
            Ok(body) => body,
            Err(error) => {
                // The pipes are still worth reading for their errors.
                self.recover_in_pipe(error.clone());
                self.pipes()?;
                return Err(self.errors.pop().unwrap_or(error));
            }
        };
        Ok(Query { body, pipes: self.pipes()? })
    }

    fn body(&mut self) -> Parsed<QueryBody> {
        if self.eat_word("sequence") {
            return self.terms(Kind::Sequence).map(QueryBody::Sequence);
        }
        if self.eat_word("sample") {
            return self.terms(Kind::Sample).map(QueryBody::Sample);
        }
        if self.is_word("join") {
            let error = SyntaxError::new(self.span(), "`join` is not supported");
            return Err(error.with_help("`sample` finds events in any order"));
        }
        let is_filter = self.peek_at(1).kind == TokenKind::Word("where".into());
        if let TokenKind::Word(word) = self.peek()
            && !is_filter
            && let Some(help) = did_you_mean(word, ["sequence", "sample"])
        {
            let message = format!("expected `sequence`, `sample` or an event, found `{word}`");
            return Err(SyntaxError::new(self.span(), message).with_help(help));
        }
        self.filter().map(QueryBody::Event)
    }

    /// `name where condition`.
    fn filter(&mut self) -> Parsed<EventFilter> {
        let span = self.span();
        let name = match self.peek() {
            TokenKind::Str(name) => {
                let node = name.clone();
                self.advance();
                Some(Spanned { node, span })
            }
            TokenKind::Word(word) if **word == *"any" => {
                self.advance();
                None
            }
            _ => Some(self.name("the name of an event, or `any`")?),
        };
        if !self.eat_word("where") {
            let error = self.unexpected("`where` after the name of the event", &["where"]);
            let help = "an event without a condition is `name where true`";
            return Err(SyntaxError { help: error.help.or(Some(help.to_owned())), ..error });
        }
        Ok(EventFilter { name, condition: self.expression()? })
    }

    /// What follows `sequence` or `sample`.
    fn terms(&mut self, kind: Kind) -> Parsed<Sequence> {
        let start = self.span();
        let mut sequence =
            Sequence { by: Vec::new(), maxspan_ms: None, terms: Vec::new(), until: None };
        loop {
            if sequence.by.is_empty() && self.eat_word("by") {
                sequence.by = self.join_keys()?;
            } else if sequence.maxspan_ms.is_none() && self.eat_word("with") {
                sequence.maxspan_ms = Some(self.maxspan()?);
            } else {
                break;
            }
        }
        while self.is_sign(Sign::LeftBracket) || self.is_sign(Sign::Bang) {
            let term = self.term()?;
            sequence.terms.extend(term);
        }
        if sequence.terms.is_empty() && self.errors.is_empty() {
            let expected = if sequence.by.is_empty() && sequence.maxspan_ms.is_none() {
                "`by`, `with` or `[`"
            } else {
                "`[`"
            };
            return Err(self.unexpected(expected, &["by", "with"]));
        }
        if self.eat_word("until") {
            sequence.until = self.term()?.map(Box::new);
        }
        if self.errors.is_empty() {
            self.check_terms(kind, &sequence, start);
        }
        Ok(sequence)
    }

    fn join_keys(&mut self) -> Parsed<Vec<JoinKey>> {
        let keys = self.expressions()?.into_iter().map(|expr| {
            let optional = matches!(expr, Expr::Field { optional: true, .. });
            JoinKey { expr, optional }
        });
        Ok(keys.collect())
    }

    /// `maxspan=30m`, behind `with`.
    fn maxspan(&mut self) -> Parsed<Spanned<i64>> {
        self.expect_word("maxspan")?;
        self.expect_sign(Sign::Assign)?;
        self.duration()
    }

    /// `30m` in milliseconds: a whole number and `ms`, `s`, `m`, `h` or `d`.
    pub(super) fn duration(&mut self) -> Parsed<Spanned<i64>> {
        const EXPECTED: &str = "a time such as `30m`";
        const UNITS: &str = "the units are `ms`, `s`, `m`, `h`, `d`";
        let start = self.span();
        let number = match self.peek() {
            TokenKind::Int(number) => *number,
            TokenKind::Float(_) => {
                let error = SyntaxError::new(start, "a time is a whole number and a unit");
                return Err(error.with_help("take a smaller unit: `90m` for one and a half hours"));
            }
            _ => return Err(self.unexpected(EXPECTED, &[]).with_help(UNITS)),
        };
        self.advance();
        let factor_ms = match self.peek() {
            TokenKind::Word(unit) => unit_ms(unit),
            _ => None,
        };
        let Some(factor_ms) = factor_ms else {
            let error = SyntaxError::new(self.span_from(start), format!("`{number}` has no unit"));
            return Err(error.with_help(UNITS));
        };
        self.advance();
        let span = self.span_from(start);
        match i64::try_from(number).ok().and_then(|number| number.checked_mul(factor_ms)) {
            Some(0) => Err(SyntaxError::new(span, "a time is longer than nothing")),
            Some(node) => Ok(Spanned { node, span }),
            None => Err(SyntaxError::new(span, "this time is too long")),
        }
    }

    /// A term; `None` where it was wrong inside its brackets, which was reported.
    fn term(&mut self) -> Parsed<Option<Term>> {
        let start = self.span();
        let missing = self.eat_sign(Sign::Bang);
        self.expect_sign(Sign::LeftBracket)?;
        let inside = self.filter().and_then(|filter| {
            if self.eat_sign(Sign::RightBracket) {
                return Ok(filter);
            }
            let words = &["and", "or", "in", "like", "regex"];
            Err(self.unexpected("an operator or `]`", words))
        });
        let filter = match inside {
            Ok(filter) => Some(filter),
            Err(error) => {
                self.recover_in_term(error);
                None
            }
        };
        let mut by = Vec::new();
        let mut runs = None;
        let mut name = None;
        loop {
            if by.is_empty() && self.eat_word("by") {
                by = self.join_keys()?;
            } else if runs.is_none() && self.eat_word("with") {
                runs = Some(self.runs()?);
            } else if name.is_none() && self.eat_word("as") {
                name = Some(self.name("a name for the event of this term")?);
            } else {
                break;
            }
        }
        let span = self.span_from(start);
        Ok(filter.map(|filter| Term { filter, missing, by, runs, name, span }))
    }

    /// `runs=3`, behind `with`.
    fn runs(&mut self) -> Parsed<Spanned<u32>> {
        if self.is_word("maxspan") {
            let error = SyntaxError::new(self.span(), "`maxspan` belongs to the whole sequence");
            return Err(error.with_help("write `sequence with maxspan=... [ ... ]`"));
        }
        self.expect_word("runs")?;
        self.expect_sign(Sign::Assign)?;
        let span = self.span();
        let number = match self.literal() {
            Some(Ok(Spanned { node: Literal::Int(number), .. })) => u32::try_from(number).ok(),
            _ => None,
        };
        match number.filter(|&runs| runs > 0) {
            Some(node) => Ok(Spanned { node, span }),
            None => Err(SyntaxError::new(span, "`runs` is a whole number from 1 up")),
        }
    }

    /// What the grammar asks of all terms together.
    fn check_terms(&mut self, kind: Kind, sequence: &Sequence, start: Span) {
        let name = kind.as_str();
        let runs = |term: &Term| term.runs.as_ref().map_or(1, |runs| u64::from(runs.node));
        let total: u64 = sequence.terms.iter().map(runs).sum();
        if total < 2 {
            let error = SyntaxError::new(start, format!("a {name} has at least two terms"));
            self.report(error.with_help("a query for one event is `name where condition`"));
        }
        if sequence.terms.iter().all(|term| term.missing) {
            let message = format!("a {name} has at least one term that is not missing");
            self.report(SyntaxError::new(start, message));
        }
        for term in sequence.terms.iter().chain(sequence.until.as_deref()) {
            let is_until = sequence.until.as_deref().is_some_and(|until| until.span == term.span);
            self.check_term(kind, term, is_until);
        }
        if let (Kind::Sample, Some(until)) = (kind, &sequence.until) {
            self.report(SyntaxError::new(until.span, "`until` exists in a sequence only"));
        }
    }

    fn check_term(&mut self, kind: Kind, term: &Term, is_until: bool) {
        let mut refuse = |what: &str| self.report(SyntaxError::new(term.span, what));
        if kind == Kind::Sample && term.missing {
            refuse("a missing event `![ ]` exists in a sequence only");
        }
        if kind == Kind::Sample && term.runs.is_some() {
            refuse("`with runs` exists in a sequence only");
        }
        if is_until && (term.missing || term.runs.is_some() || term.name.is_some()) {
            refuse("`until` takes a plain term: `until [ name where condition ] by key`");
        }
        if !is_until && term.missing && (term.runs.is_some() || term.name.is_some()) {
            refuse("a missing event has neither `runs` nor a name");
        }
    }
}

/// Milliseconds of a unit of time.
pub(crate) fn unit_ms(unit: &str) -> Option<i64> {
    match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    }
}
