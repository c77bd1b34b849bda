//! The figures that decide what a visit is, and how much of it is remembered.

use crate::model::{EventTimeMs, PartitionId};

/// Configuration of a [`Matcher`](super::Matcher). All that changes results is the same on every
/// worker; limits over many visits are shares of a virtual partition, so that results do not
/// depend on how partitions are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatcherConfig {
    /// Horizon = watermark - lateness: an event before the horizon is not matched.
    pub lateness_ms: i64,
    /// A visit without events for so long is over; `None`: never (some mapped sources).
    pub inactivity_ms: Option<i64>,
    /// Events kept for each visit, newest first.
    pub visit_events_max: u32,
    /// Events of a visit beyond this are recorded, not matched.
    pub visit_events_matched_max: u32,
    /// Open visits in all partitions together; each partition has an equal share, rounded up.
    pub visits_open_max: u64,
    /// Ended visits that are remembered, so that a later event of one is told as `resumed`; shared
    /// out as `visits_open_max` is.
    pub closed_visits_max: u64,
    /// Partial matches of one rule in one window; over it the one that waits longest is dropped.
    pub rule_partials_max: u32,
    /// Matches of one rule and key in one window that wait for a missing event at the end; over it
    /// the newest is refused.
    pub pending_absences_max: u32,
    /// The same of all keys of the rule, where its `state_max` is not larger.
    pub rule_absences_max: u32,
    /// Matches of one rule in one window that wait until they are final; over it the oldest is
    /// asserted at once.
    pub rule_hits_max: u32,
    /// Events that wait for the horizon in one window other than a visit; over it the horizon moves up
    /// for that window.
    pub window_events_max: u32,
    /// Windows of visitors and users in all partitions together, shared out as `visits_open_max` is;
    /// over it the one that is idle longest is forgotten.
    pub windows_max: u64,
    /// A window of a visitor or user without events for so long is forgotten.
    pub window_memory_ms: i64,
    /// Turns behind each epoch in which windows of new rules are joined with those of all others.
    pub joins: u32,
    /// Join keys of one event at one step, where fields have several values; the rest is passed
    /// over.
    pub key_combinations_max: u32,
    /// Whether a missing `VisitStarted` is made up; false for a mapped source that does not ask.
    pub makes_visit_started: bool,
}

impl Default for MatcherConfig {
    fn default() -> Self {
        Self {
            lateness_ms: 120_000,
            inactivity_ms: Some(30 * 60 * 1_000),
            visit_events_max: 500,
            visit_events_matched_max: 10_000,
            visits_open_max: 1_000_000,
            closed_visits_max: 1_000_000,
            rule_partials_max: 256,
            pending_absences_max: 64,
            rule_absences_max: 4_096,
            rule_hits_max: 256,
            window_events_max: 1_000,
            windows_max: 1_000_000,
            window_memory_ms: 90 * 24 * 60 * 60 * 1_000,
            joins: 1,
            key_combinations_max: 64,
            makes_visit_started: true,
        }
    }
}

impl MatcherConfig {
    /// Open visits that one partition may have; at least one.
    pub(super) fn partition_visits_max(&self) -> usize {
        PartitionId::share(self.visits_open_max).max(1)
    }

    /// Windows that one partition may have; at least one.
    pub(super) fn partition_windows_max(&self) -> usize {
        PartitionId::share(self.windows_max).max(1)
    }

    /// Ended visits that one partition remembers.
    pub(super) fn partition_closed_max(&self) -> usize {
        PartitionId::share(self.closed_visits_max)
    }
}

/// The horizon of a watermark.
pub(super) fn horizon(watermark: EventTimeMs, lateness_ms: i64) -> EventTimeMs {
    if watermark == EventTimeMs::MAX { watermark } else { watermark.saturating_add(-lateness_ms) }
}
