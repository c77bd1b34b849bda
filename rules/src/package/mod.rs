//! Packages of rules as files: one rule a file, and `package.toml`.
//!
//! A file's text becomes data ([`RuleFile`], [`PackageFile`]) with the place of everything that a
//! later check may refuse. What is wrong in the file itself (TOML, unknown keys, types of values,
//! the syntax of the query and of templates) is found here, all at once; what needs a schema or
//! other files is the checker's.
//!
//! **Invariant:** spans in these types are bytes of the file; only those inside
//! [`QueryText::tree`] are bytes of the query, and [`QueryText::range`] leads from one to the
//! other, through quotes and escapes.

mod data;
mod package_file;
mod place;
mod reader;
mod rule_file;
mod test_case;
#[cfg(test)]
mod tests;

use crate::ast::{Path, Query, Span, Spanned};
use crate::plan::{ActionKind, Emit, Fire, Window};
use crate::template::Template;
use place::TextPlace;
use std::ops::Range;

pub use package_file::parse_package_file;
pub use rule_file::parse_rule_file;
pub use test_case::{Expectation, RuleTest, TestEvent};

/// The longest rule file or package file.
pub const RULE_FILE_BYTES_MAX: usize = 262_144;
/// The longest name of a rule.
pub const RULE_NAME_BYTES_MAX: usize = 100;
/// The longest name of a package, as that of a domain.
pub const PACKAGE_NAME_BYTES_MAX: usize = 253;

/// A rule file.
#[derive(Clone, Debug)]
pub struct RuleFile {
    /// The file, as the caller named it.
    pub file: Box<str>,
    /// The rule's name in its package.
    pub name: Spanned<Box<str>>,
    /// What its author says of it.
    pub description: Box<str>,
    /// What is matched.
    pub query: QueryText,
    /// Whether it may act.
    pub enabled: bool,
    /// Whose events it sees.
    pub window: Spanned<Window>,
    /// How often it fires in a window.
    pub fire: Fire,
    /// When it fires.
    pub emit: Spanned<Emit>,
    /// Higher goes first.
    pub priority: i32,
    /// Opening hours outside of which a match is suppressed.
    pub schedule: Option<Spanned<Box<str>>>,
    /// The time zone of `schedule`.
    pub timezone: Option<Spanned<Box<str>>>,
    /// Between two actions for one visitor, in milliseconds.
    pub cooldown_ms: Option<Spanned<i64>>,
    /// The share of visitors in the control group, 0 to 1.
    pub holdout: Option<Spanned<f64>>,
    /// Partial matches kept without `maxspan`.
    pub state_max: Option<Spanned<i64>>,
    /// What becomes of matches completed before the deployment.
    pub backfill: Option<Spanned<Backfill>>,
    /// What a match does.
    pub action: ActionFile,
    /// `[[test]]`.
    pub tests: Vec<RuleTest>,
}

/// The query of a rule file.
#[derive(Clone, Debug)]
pub struct QueryText {
    /// The tree; its spans are bytes of the query.
    pub tree: Query,
    place: TextPlace,
}

impl QueryText {
    /// Bytes of the file for bytes of the query.
    #[must_use]
    pub fn range(&self, span: Span) -> Range<usize> {
        self.place.range(span)
    }
}

/// `backfill`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backfill {
    /// Matches completed before the deployment act as well.
    Act,
}

/// `[action]`.
#[derive(Clone, Debug)]
pub struct ActionFile {
    /// `type`.
    pub kind: Spanned<ActionKind>,
    /// `channel` of a message.
    pub channel: Option<Spanned<Box<str>>>,
    /// `expires` of a message, in milliseconds.
    pub expires_ms: Option<Spanned<i64>>,
    /// `endpoint` of a webhook.
    pub endpoint: Option<Spanned<Box<str>>>,
    /// `data`; the spans of its placeholders are bytes of the file.
    pub data: Option<Template<Spanned<Path>>>,
}

/// `package.toml`.
#[derive(Clone, Debug)]
pub struct PackageFile {
    /// The file, as the caller named it.
    pub file: Box<str>,
    /// `[types]`, in the order of the paths.
    pub types: Vec<DeclaredType>,
    /// Whether the package sees the events of its own hosts only; `None` where the file is silent.
    pub domain_separation: Option<Spanned<bool>>,
}

/// One entry of `[types]`.
#[derive(Clone, Debug, PartialEq)]
pub struct DeclaredType {
    /// A field below `data`.
    pub path: Spanned<Path>,
    /// The name of its type, as written.
    pub type_name: Spanned<Box<str>>,
}

/// Whether a text is a reversed domain: at least two labels of `a-z`, `0-9` and `-` between dots.
#[must_use]
pub fn is_package_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(is_plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= PACKAGE_NAME_BYTES_MAX && name.contains('.') && name.split('.').all(is_label)
}

/// Whether a text is the name of a rule: `a-z`, `0-9` and `-`.
#[must_use]
pub fn is_rule_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=RULE_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain)
}
