//! What reading an input found that was not an event: counted, the first of them shown.
//!
//! A bad line never ends a replay and never costs its neighbours.

/// How many bad lines are kept with their reason.
pub const BAD_LINES_SHOWN_MAX: usize = 10;

/// A line that gave no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// The input, as messages name it.
    pub input: String,
    /// Its number in the input, from 1.
    pub line: u64,
    /// What was wrong with it.
    pub reason: String,
}

/// What was read so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceReport {
    /// Events that came out.
    pub events: u64,
    /// Lines that gave none because something was wrong with them.
    pub bad_lines: u64,
    /// The first of these, at most [`BAD_LINES_SHOWN_MAX`].
    pub bad_lines_shown: Vec<BadLine>,
    /// Values of mapped fields that were not of their declared type, and so read as null.
    pub mismatched_values: u64,
    /// What was left out of the events that came out.
    pub dropped: Dropped,
}

/// Parts of good lines that were not taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Fields that the server owns, and names that no event has.
    pub fields: u64,
    /// Addresses that cannot be read: referrers, and in access logs what was asked for.
    pub addresses: u64,
    /// Query parameters over [`crate::normalise::QUERY_PARAMETERS_MAX`] of one address.
    pub parameters: u64,
}

impl SourceReport {
    pub(crate) fn bad(&mut self, input: &str, line: u64, reason: impl Into<String>) {
        self.bad_lines += 1;
        if self.bad_lines_shown.len() < BAD_LINES_SHOWN_MAX {
            self.bad_lines_shown.push(BadLine {
                input: input.to_owned(),
                line,
                reason: reason.into(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_the_first_are_kept() {
        let mut report = SourceReport::default();
        for line in 1..=12 {
            report.bad("a.log", line, "odd");
        }
        assert_eq!(report.bad_lines, 12);
        let lines: Vec<u64> = report.bad_lines_shown.iter().map(|bad| bad.line).collect();
        assert_eq!(lines, (1..=10).collect::<Vec<_>>());
    }
}
