//! What is wrong with a rule, where, and what to do.
//!
//! All diagnostics of a file come at once. An error refuses the package; a warning is shown.

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Deployed and shown.
    Warning,
    /// The package is refused.
    Error,
}

/// One finding in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable kebab-case name of the kind of finding (`unknown-field`, `not-yet`).
    pub code: &'static str,
    /// The file, as the caller named it.
    pub file: Box<str>,
    /// Bytes of the file (not of the query) that it is about.
    pub range: std::ops::Range<usize>,
    /// What is wrong, in a sentence without a full stop.
    pub message: String,
    /// What to do (`did you mean "category"?`).
    pub help: Option<String>,
}
