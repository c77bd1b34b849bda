//! What those behind the engine want of rules that compile.
//!
//! Asked while no other decision is taken, before the record is written; told once the record is on
//! disk. So what the log refuses leaves no trace with them, and what they would not have never stands in
//! the log. A crash between the record and the telling costs nothing: they are told at the start, too.

use beckon_rules::plan::RuleSet;
use std::fmt;

/// One who must be able to live with the rules that are deployed.
pub trait Admission: fmt::Debug + Send + Sync {
    /// Whether rules may stand in place of those before.
    ///
    /// # Errors
    /// [`NotAdmitted`]; nothing is written then.
    fn admit(&self, before: &RuleSet, wanted: &RuleSet) -> Result<(), NotAdmitted>;

    /// Rules stand in place of those before: at the start all that the log has, then what was admitted.
    fn stand(&self, before: &RuleSet, now: &RuleSet);
}

/// Why rules are not wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAdmitted {
    /// For programs.
    pub code: &'static str,
    /// What is in the way.
    pub message: String,
    /// What can be done.
    pub help: &'static str,
}
