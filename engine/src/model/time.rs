//! Newtypes for every number that means a time or a place in the log.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// When an event happened, by the (corrected) clock of who sent it: milliseconds since 1970.
    EventTimeMs(i64)
}
number! {
    /// The server's clock: milliseconds since 1970. The engine sees it only through epoch marks.
    ServerTimeMs(i64)
}
number! {
    /// A position in the log; the first record has 1, and every record takes one.
    LogSeq(u64)
}
number! {
    /// A commit group of the log and one tick of the dataflow; the first has 1.
    Epoch(u64)
}

impl EventTimeMs {
    /// Later than every event.
    pub const MAX: Self = Self(i64::MAX);
    /// Earlier than every event.
    pub const MIN: Self = Self(i64::MIN);

    /// This time moved by `delta_ms`, stopping at the ends of the range.
    #[must_use]
    pub fn saturating_add(self, delta_ms: i64) -> Self {
        Self(self.0.saturating_add(delta_ms))
    }
}

impl LogSeq {
    /// The position behind this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Epoch {
    /// The epoch behind this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
