//! What the checker finds, with places in the query's text; the facade turns them into
//! diagnostics with places in the file.

use crate::ast::Span;
use crate::diagnostic::Severity;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// Kebab-case name of the kind of finding.
    pub(crate) code: &'static str,
    /// Bytes of the query.
    pub(crate) span: Span,
    /// What is wrong, without a full stop.
    pub(crate) message: String,
    /// What to do.
    pub(crate) help: Option<String>,
}

/// All findings of one query.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    list: Vec<Finding>,
}

impl Findings {
    /// Adds an error.
    pub(crate) fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        let (severity, message) = (Severity::Error, message.into());
        self.list.push(Finding { severity, code, span, message, help: None });
    }

    /// Adds an error and what to do about it.
    pub(crate) fn error_with_help(
        &mut self,
        code: &'static str,
        span: Span,
        (message, help): (String, String),
    ) {
        let severity = Severity::Error;
        self.list.push(Finding { severity, code, span, message, help: Some(help) });
    }

    /// Adds a warning and what to do about it.
    pub(crate) fn warn(
        &mut self,
        code: &'static str,
        span: Span,
        (message, help): (String, String),
    ) {
        let severity = Severity::Warning;
        self.list.push(Finding { severity, code, span, message, help: Some(help) });
    }

    /// Refuses what the language has and this version does not run.
    pub(crate) fn not_yet(&mut self, span: Span, what: &str) {
        self.error("not-yet", span, format!("{what} not run yet: they come with a later version"));
    }

    /// How many errors there are.
    pub(crate) fn errors(&self) -> usize {
        self.list.iter().filter(|finding| finding.severity == Severity::Error).count()
    }

    /// All, in the order of their places, each once: the keys of a sequence are checked with each
    /// of its terms.
    pub(crate) fn into_sorted(mut self) -> Vec<Finding> {
        self.list.sort_by_key(|finding| (finding.span.start, finding.span.end));
        self.list.dedup();
        self.list
    }
}
