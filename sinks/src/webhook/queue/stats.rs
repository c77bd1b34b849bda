//! Figures of the queue.

use super::Queue;
use std::sync::Arc;

/// What an endpoint has to do, and has done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointStats {
    /// Calls that wait.
    pub waiting: u64,
    /// Calls that are under way.
    pub in_flight: u64,
    /// What both are counted with, in bytes.
    pub bytes: u64,
    /// Attempts that came to an end.
    pub attempts: u64,
    /// Those that the endpoint took.
    pub delivered: u64,
    /// Those that failed.
    pub failed: u64,
    /// Calls that became dead letters.
    pub buried: u64,
    /// How often it was left to rest.
    pub breaker_opened: u64,
    /// It rests now, or is tried.
    pub is_resting: bool,
    /// It said 410.
    pub is_gone: bool,
    /// `closed`, `open` or `half_open`.
    pub breaker: &'static str,
}

/// What the queue holds and has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// By endpoint.
    pub endpoints: Vec<(Arc<str>, EndpointStats)>,
    /// Dead letters held.
    pub letters: u64,
    /// What they are counted with, in bytes.
    pub letter_bytes: u64,
    /// Calls that became dead letters since the start.
    pub letters_written: u64,
    /// Dead letters that went by their bounds.
    pub letters_dropped: u64,
    /// Calls out by `call_bytes_max`.
    pub too_large: u64,
    /// Records that wait for the log.
    pub records_waiting: u64,
    /// Records given up by their bound.
    pub records_lost: u64,
}

impl Queue {
    /// What it holds and has counted.
    pub(in crate::webhook) fn stats(&self) -> QueueStats {
        let of = |(name, endpoint): (&Arc<str>, &super::Endpoint)| {
            let breaker = endpoint.breaker.as_str();
            let stats = EndpointStats {
                waiting: endpoint.due.len() as u64,
                in_flight: endpoint.in_flight as u64,
                bytes: endpoint.bytes as u64,
                is_resting: breaker != "closed",
                is_gone: endpoint.is_gone,
                breaker,
                ..endpoint.stats
            };
            (Arc::clone(name), stats)
        };
        QueueStats {
            endpoints: self.endpoints.iter().map(of).collect(),
            letters: self.letters.len() as u64,
            letter_bytes: self.letters.bytes() as u64,
            letters_written: self.letters_written,
            letters_dropped: self.letters.dropped(),
            too_large: self.too_large,
            records_waiting: self.records.len() as u64,
            records_lost: self.records.lost(),
        }
    }
}
