//! From the text of a query to its tree.
//!
//! The grammar is Elastic's EQL (`EqlBase.g4`) and the additions of the rule language: `as name`,
//! `sample with maxspan=`, and the pipes `where`, `eval`, `keep`, `lookup`, `stats`. It is a
//! recursive descent by hand and not a generated parser: half of its worth is in what it says when
//! somebody writes `=` for `==`. It knows no names of fields, events or functions; those are for
//! the checker.
//!
//! **Invariant:** any text gives a tree or at least one error, never a panic. Text, nesting and the
//! number of errors are bounded, and so is the height of a tree: chains of `and` and `or`, which
//! may be long, become balanced trees (both are associative, in three-valued logic too).

mod cursor;
mod expression;
mod lexer;
mod pipe;
mod query;
#[cfg(test)]
mod tests;
mod token;

use crate::ast::{Expr, Path, Query, Span, Spanned};
use cursor::Cursor;

pub(crate) use query::unit_ms;

/// The longest query.
pub const QUERY_BYTES_MAX: usize = 65_536;
/// How deep parentheses, functions and `not` may be nested.
pub const NESTING_MAX: usize = 64;
/// Arithmetic operators in one query; each may add one to the height of the tree.
pub const ARITHMETIC_MAX: usize = 512;
/// Names between the dots of one path.
pub const PATH_PARTS_MAX: usize = 32;
/// Errors told at once.
pub const ERRORS_MAX: usize = 20;

/// What is wrong in a query's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// Bytes of the query.
    pub span: Span,
    /// What was expected and what stands there.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl SyntaxError {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), help: None }
    }

    pub(crate) fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// Parses a query.
///
/// # Errors
/// All errors that were found, in the order of the text, at most [`ERRORS_MAX`].
///
/// # Examples
/// ```
/// use beckon_rules::ast::QueryBody;
///
/// let query = beckon_rules::syntax::parse("PageEntered where category == \"pricing\"")?;
/// assert!(matches!(query.body, QueryBody::Event(_)));
/// # Ok::<(), Vec<beckon_rules::syntax::SyntaxError>>(())
/// ```
pub fn parse(text: &str) -> Result<Query, Vec<SyntaxError>> {
    run(text, Cursor::query)
}

/// Parses an expression alone, as it stands behind `where`.
///
/// # Errors
/// As [`parse`].
pub fn parse_expression(text: &str) -> Result<Expr, Vec<SyntaxError>> {
    run(text, Cursor::expression)
}

/// Parses the path of a field alone, as it stands in a placeholder.
///
/// # Errors
/// As [`parse`].
pub fn parse_path(text: &str) -> Result<Spanned<Path>, Vec<SyntaxError>> {
    run(text, |cursor| cursor.path("a field"))
}

/// Whether a word is a name only in backquotes.
pub(crate) fn is_keyword(word: &str) -> bool {
    token::KEYWORDS.contains(&word)
}

fn run<T>(
    text: &str,
    rule: impl FnOnce(&mut Cursor) -> Result<T, SyntaxError>,
) -> Result<T, Vec<SyntaxError>> {
    if text.len() > QUERY_BYTES_MAX {
        let message = format!("a query has at most {QUERY_BYTES_MAX} bytes");
        return Err(vec![SyntaxError::new(Span::default(), message)]);
    }
    let lexed = lexer::lex(text);
    if lexed.is_broken {
        return Err(bounded(lexed.errors));
    }
    let mut cursor = Cursor::new(lexed.tokens);
    let result = rule(&mut cursor).and_then(|tree| cursor.end().map(|()| tree));
    let mut errors = lexed.errors;
    errors.append(&mut cursor.errors);
    match result {
        Ok(tree) if errors.is_empty() => Ok(tree),
        Ok(_) => Err(bounded(errors)),
        Err(error) => {
            errors.push(error);
            Err(bounded(errors))
        }
    }
}

fn bounded(mut errors: Vec<SyntaxError>) -> Vec<SyntaxError> {
    errors.sort_by_key(|error| (error.span.start, error.span.end));
    errors.truncate(ERRORS_MAX);
    errors
}
