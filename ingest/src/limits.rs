//! Every bound of the HTTP side, by name.
//!
//! Over a limit the answer is 408, 413, 429 or 503, at once and before work is done; all but 413 carry
//! `Retry-After`. Zero means "none" only for the request rates.

use beckon_engine::model::DEPTH_MAX;
use serde::{Deserialize, Serialize};

/// The bounds; each field is a key of `[limits]` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a request's body as sent. Over it: 413.
    pub body_bytes_max: usize,
    /// Bytes of a body after decompression. Over it: 413, found while inflating.
    pub decompressed_bytes_max: usize,
    /// Events of one request. Over it: 413.
    pub batch_events_max: usize,
    /// Bytes of one event's JSON. Over it: this event is `rejected` (`too_large`).
    pub event_bytes_max: usize,
    /// Objects and arrays within each other in one event, at most 32. Over it: this event is
    /// `rejected` (`too_deep`).
    pub json_depth_max: usize,
    /// Requests a second for each write key, twice that in a burst. Over it: 429. 0: no limit.
    pub key_requests_per_second_max: u32,
    /// Requests a second for each address (IPv6: each /64), twice that in a burst. Over it: 429.
    /// 0: no limit.
    pub address_requests_per_second_max: u32,
    /// Addresses whose rate is remembered; the longest idle are forgotten first, counted.
    pub addresses_max: usize,
    /// Open connections. Over it: 503, and the connection is closed.
    pub connections_max: usize,
    /// Milliseconds for the head of a request. Over it: the connection is closed.
    pub head_timeout_ms: u64,
    /// Milliseconds that a connection may be open without a request, HTTP/1.1 or HTTP/2. Over it:
    /// it is closed.
    pub idle_timeout_ms: u64,
    /// Milliseconds for the body of a request. Over it: 408. The rest of a refused body is read and
    /// dropped for so long, up to 16 MiB, so that its client reads the answer.
    pub body_timeout_ms: u64,
    /// Bytes of all bodies in memory, inflated ones included. Over it: 503.
    pub in_flight_bytes_max: usize,
    /// Log records that the engine may be behind. Over it: 503.
    pub engine_lag_records_max: u64,
    /// Seconds that `Retry-After` asks for.
    pub retry_after_seconds: u32,
    /// Open streams of `/v1/live`. Over it: 503.
    pub live_streams_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 1 << 20,
            decompressed_bytes_max: 8 << 20,
            batch_events_max: 1_000,
            event_bytes_max: 64 << 10,
            json_depth_max: DEPTH_MAX,
            key_requests_per_second_max: 20_000,
            address_requests_per_second_max: 2_000,
            addresses_max: 65_536,
            connections_max: 10_000,
            head_timeout_ms: 10_000,
            idle_timeout_ms: 75_000,
            body_timeout_ms: 30_000,
            in_flight_bytes_max: 256 << 20,
            engine_lag_records_max: 1_000_000,
            retry_after_seconds: 1,
            live_streams_max: 256,
        }
    }
}

/// A limit that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("limits.{name} is {value}, expected {expected}")]
pub struct LimitError {
    name: &'static str,
    value: u64,
    expected: &'static str,
}

impl Limits {
    /// Checks what would make the server useless or unsafe.
    ///
    /// # Errors
    /// The first limit that cannot work.
    pub fn check(&self) -> Result<(), LimitError> {
        let positive = [
            ("body_bytes_max", self.body_bytes_max as u64),
            ("decompressed_bytes_max", self.decompressed_bytes_max as u64),
            ("batch_events_max", self.batch_events_max as u64),
            ("event_bytes_max", self.event_bytes_max as u64),
            ("addresses_max", self.addresses_max as u64),
            ("connections_max", self.connections_max as u64),
            ("head_timeout_ms", self.head_timeout_ms),
            ("idle_timeout_ms", self.idle_timeout_ms),
            ("body_timeout_ms", self.body_timeout_ms),
            ("live_streams_max", self.live_streams_max as u64),
        ];
        for (name, value) in positive {
            if value == 0 {
                return Err(LimitError { name, value, expected: "at least 1" });
            }
        }
        if !(1..=DEPTH_MAX).contains(&self.json_depth_max) {
            let value = self.json_depth_max as u64;
            return Err(LimitError { name: "json_depth_max", value, expected: "1 to 32" });
        }
        if self.in_flight_bytes_max < self.body_bytes_max {
            let value = self.in_flight_bytes_max as u64;
            let expected = "at least body_bytes_max";
            return Err(LimitError { name: "in_flight_bytes_max", value, expected });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_work_and_impossible_limits_do_not() {
        assert_eq!(Limits::default().check(), Ok(()));
        for broken in [
            Limits { body_bytes_max: 0, ..Limits::default() },
            Limits { json_depth_max: 0, ..Limits::default() },
            Limits { json_depth_max: DEPTH_MAX + 1, ..Limits::default() },
            Limits { idle_timeout_ms: 0, ..Limits::default() },
            Limits { in_flight_bytes_max: 1, ..Limits::default() },
        ] {
            assert!(broken.check().is_err(), "{broken:?}");
        }
    }
}
