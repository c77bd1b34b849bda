//! The parser's place in the tokens, and what all parts of the grammar share.

use super::token::{KEYWORDS, Sign, Token, TokenKind};
use super::{ERRORS_MAX, NESTING_MAX, SyntaxError};
use crate::ast::{Span, Spanned};
use crate::suggest::did_you_mean;

/// What a part of the grammar gives: its tree, or the error that stopped it.
pub(super) type Parsed<T> = Result<T, SyntaxError>;

/// Tokens, read from the left, and the errors that did not stop the parser.
pub(super) struct Cursor {
    tokens: Vec<Token>,
    position: usize,
    nesting: usize,
    /// Arithmetic operators seen so far.
    pub(super) arithmetic: usize,
    pub(super) errors: Vec<SyntaxError>,
}

impl Cursor {
    /// `tokens` end in [`TokenKind::End`].
    pub(super) fn new(tokens: Vec<Token>) -> Self {
        Self { tokens, position: 0, nesting: 0, arithmetic: 0, errors: Vec::new() }
    }

    /// The token `ahead` of the next one; the end repeats itself.
    pub(super) fn peek_at(&self, ahead: usize) -> &Token {
        let last = self.tokens.len() - 1;
        &self.tokens[(self.position + ahead).min(last)]
    }

    pub(super) fn peek(&self) -> &TokenKind {
        &self.peek_at(0).kind
    }

    /// Where the next token stands.
    pub(super) fn span(&self) -> Span {
        self.peek_at(0).span
    }

    /// From `start` to the end of the token taken last.
    pub(super) fn span_from(&self, start: Span) -> Span {
        let last = self.position.checked_sub(1).and_then(|index| self.tokens.get(index));
        Span { start: start.start, end: last.map_or(start.end, |token| token.span.end) }
    }

    pub(super) fn advance(&mut self) {
        if self.position + 1 < self.tokens.len() {
            self.position += 1;
        }
    }

    pub(super) fn is_sign(&self, sign: Sign) -> bool {
        *self.peek() == TokenKind::Sign(sign)
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), TokenKind::Word(here) if **here == *word)
    }

    pub(super) fn eat_sign(&mut self, sign: Sign) -> bool {
        let is_there = self.is_sign(sign);
        if is_there {
            self.advance();
        }
        is_there
    }

    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let is_there = self.is_word(word);
        if is_there {
            self.advance();
        }
        is_there
    }

    pub(super) fn expect_sign(&mut self, sign: Sign) -> Parsed<()> {
        if self.eat_sign(sign) {
            return Ok(());
        }
        Err(self.unexpected(&format!("`{}`", sign.as_str()), &[]))
    }

    pub(super) fn expect_word(&mut self, word: &'static str) -> Parsed<()> {
        if self.eat_word(word) {
            return Ok(());
        }
        Err(self.unexpected(&format!("`{word}`"), &[word]))
    }

    /// Fails unless all was read.
    pub(super) fn end(&mut self) -> Parsed<()> {
        if *self.peek() == TokenKind::End {
            return Ok(());
        }
        Err(self.unexpected("an operator or the end", &["and", "or", "in", "like", "regex"]))
    }

    /// A name: a word that is no keyword, or anything in backquotes.
    pub(super) fn name(&mut self, expected: &str) -> Parsed<Spanned<Box<str>>> {
        let token = self.peek_at(0);
        let span = token.span;
        let node = match &token.kind {
            TokenKind::Word(word) if KEYWORDS.contains(&&**word) => {
                let message = format!("expected {expected}, found the keyword `{word}`");
                let help = format!("a name that is a keyword stands in backquotes: `` `{word}` ``");
                return Err(SyntaxError::new(span, message).with_help(help));
            }
            TokenKind::Word(name) | TokenKind::Quoted(name) => name.clone(),
            _ => return Err(self.unexpected(expected, &[])),
        };
        self.advance();
        Ok(Spanned { node, span })
    }

    /// "Expected this, found that", with the nearest of the words that would have been right.
    pub(super) fn unexpected(&self, expected: &str, words: &[&'static str]) -> SyntaxError {
        let token = self.peek_at(0);
        let message = format!("expected {expected}, found {}", token.kind.describe());
        let mut error = SyntaxError::new(token.span, message);
        if let TokenKind::Word(word) = &token.kind {
            error.help = did_you_mean(word, words.iter().copied());
        }
        error
    }

    /// Notes an error and goes on.
    pub(super) fn report(&mut self, error: SyntaxError) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(error);
        }
    }

    /// Runs `inner` one level deeper.
    pub(super) fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting >= NESTING_MAX {
            let message = format!("expressions are nested at most {NESTING_MAX} deep");
            return Err(SyntaxError::new(self.span(), message));
        }
        self.nesting += 1;
        let result = inner(self);
        self.nesting -= 1;
        result
    }

    /// Notes an error and goes to the `]` that ends the term, or to where it must have ended.
    pub(super) fn recover_in_term(&mut self, error: SyntaxError) {
        self.report(error);
        self.nesting = 0;
        while !matches!(self.peek(), TokenKind::End | TokenKind::Sign(Sign::RightBracket)) {
            // A bracket with a name and `where` in it begins another term: this one was not closed.
            let is_term = self.is_sign(Sign::LeftBracket)
                && matches!(&self.peek_at(2).kind, TokenKind::Word(word) if **word == *"where");
            if is_term {
                return;
            }
            self.advance();
        }
        self.eat_sign(Sign::RightBracket);
    }

    /// Notes an error and goes to the next `|`.
    pub(super) fn recover_in_pipe(&mut self, error: SyntaxError) {
        self.report(error);
        self.nesting = 0;
        while !matches!(self.peek(), TokenKind::End | TokenKind::Sign(Sign::Pipe)) {
            self.advance();
        }
    }
}
