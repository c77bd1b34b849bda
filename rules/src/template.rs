//! Templates of actions: JSON whose texts may hold `{{ path }}`.
//!
//! A path names a field of the match's last event (`event.data.name`) or of a named step
//! (`cart.data.name`). A text that is one placeholder alone still gives text. Null gives the empty
//! text and is reported, so that the match can be flagged.

use crate::ast::Path;

/// Which event a placeholder reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The match's last event.
    Last,
    /// The event of a step (0 is the first, `runs` counted).
    Step(u8),
}

/// JSON with placeholders.
#[derive(Clone, Debug, PartialEq)]
pub enum Template {
    /// JSON without placeholders: its text.
    Constant(Box<str>),
    /// Text with placeholders.
    Text(Vec<Piece>),
    /// A list.
    List(Vec<Template>),
    /// An object.
    Object(Vec<(Box<str>, Template)>),
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Taken as it is.
    Text(Box<str>),
    /// `{{ path }}`.
    Field {
        /// Of which event.
        source: Source,
        /// Of which field.
        path: Path,
    },
}

impl Template {
    /// Appends the JSON text to `out`; returns whether a placeholder was null. `lookup` gives a
    /// field's text (numbers and truth values as JSON writes them), or `None` for null.
    pub fn render(
        &self,
        lookup: &mut dyn FnMut(&Source, &Path) -> Option<String>,
        out: &mut String,
    ) -> bool {
        let _ = (lookup, out);
        false
    }
}
