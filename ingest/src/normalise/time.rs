//! When an event happened, by a clock that may be wrong.
//!
//! Three bounds: a client that says when it sent (`sentAt`) has its clock
//! corrected, but never to before `received` - 24 h; what lies later than `received` + 5 s is set
//! to `received`. A difference below [`SKEW_MIN_MS`] is the way through the network, not a wrong
//! clock: correcting it would turn the jitter between two requests into wrong order.

use super::reject::{RejectReason, Rejection};
use beckon_engine::model::{EventTimeMs, Flags, ServerTimeMs};

/// How far a timestamp may lie in the future.
pub const FUTURE_MAX_MS: i64 = 5_000;
/// How far back a correction may put an event.
pub const CORRECTED_PAST_MAX_MS: i64 = 24 * 60 * 60 * 1_000;
/// From this difference between `sentAt` and `received` on a clock counts as wrong.
pub const SKEW_MIN_MS: i64 = 1_000;
/// The last millisecond of the year 9999.
const TIMESTAMP_MAX_MS: i64 = 253_402_300_799_999;

/// A time that was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) timestamp: EventTimeMs,
    /// What the client said, where that is not what counts.
    pub(super) client: Option<EventTimeMs>,
    pub(super) flags: Flags,
}

/// Refuses what no clock says.
pub(super) fn check_range(field: &str, timestamp_ms: i64) -> Result<EventTimeMs, Rejection> {
    if (0..=TIMESTAMP_MAX_MS).contains(&timestamp_ms) {
        return Ok(EventTimeMs(timestamp_ms));
    }
    Err(Rejection::field(
        RejectReason::BadTimestamp,
        field,
        format_args!("{field} is {timestamp_ms}, expected milliseconds since 1970 up to year 9999"),
    ))
}

/// Corrects by the time of sending, then clamps.
pub(super) fn judge(
    said: EventTimeMs,
    sent: Option<EventTimeMs>,
    received: ServerTimeMs,
) -> Judged {
    let mut timestamp = said;
    let mut flags = Flags::default();
    if let Some(sent) = sent {
        let skew_ms = received.0.saturating_sub(sent.0);
        if skew_ms.saturating_abs() >= SKEW_MIN_MS {
            flags = flags.with(Flags::SKEW_CORRECTED);
            timestamp = said.saturating_add(skew_ms);
            let floor = EventTimeMs(received.0.saturating_sub(CORRECTED_PAST_MAX_MS));
            if timestamp < floor {
                timestamp = floor;
                flags = flags.with(Flags::CLAMPED);
            }
        }
    }
    if timestamp.0 > received.0.saturating_add(FUTURE_MAX_MS) {
        timestamp = EventTimeMs(received.0);
        flags = flags.with(Flags::CLAMPED);
    }
    Judged { timestamp, client: (timestamp != said).then_some(said), flags }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIVED: i64 = 1_700_000_000_000;
    const DAY: i64 = CORRECTED_PAST_MAX_MS;

    #[track_caller]
    fn check(said: i64, sent: Option<i64>, expected: i64, flags: Flags) {
        let judged = judge(EventTimeMs(said), sent.map(EventTimeMs), ServerTimeMs(RECEIVED));
        assert_eq!(judged.timestamp.0, expected);
        assert_eq!(judged.flags, flags);
        assert_eq!(judged.client, (said != expected).then_some(EventTimeMs(said)));
    }

    #[test]
    fn a_good_clock_is_left_alone() {
        check(RECEIVED - 700, None, RECEIVED - 700, Flags::default());
        check(RECEIVED - 700, Some(RECEIVED - 200), RECEIVED - 700, Flags::default());
        check(RECEIVED - 3 * DAY, None, RECEIVED - 3 * DAY, Flags::default());
    }

    #[test]
    fn a_wrong_clock_is_corrected() {
        let hour = 3_600_000;
        check(RECEIVED - hour - 500, Some(RECEIVED - hour), RECEIVED - 500, Flags::SKEW_CORRECTED);
        check(RECEIVED + hour - 500, Some(RECEIVED + hour), RECEIVED - 500, Flags::SKEW_CORRECTED);
    }

    #[test]
    fn a_correction_stops_at_a_day() {
        let both = Flags::SKEW_CORRECTED.with(Flags::CLAMPED);
        check(RECEIVED - 3 * DAY, Some(RECEIVED + DAY), RECEIVED - DAY, both);
    }

    #[test]
    fn the_future_is_clamped_beyond_five_seconds() {
        check(RECEIVED + 5_000, None, RECEIVED + 5_000, Flags::default());
        check(RECEIVED + 5_001, None, RECEIVED, Flags::CLAMPED);
        let both = Flags::SKEW_CORRECTED.with(Flags::CLAMPED);
        let judged = judge(
            EventTimeMs(RECEIVED),
            Some(EventTimeMs(RECEIVED - 10_000)),
            ServerTimeMs(RECEIVED),
        );
        assert_eq!((judged.timestamp.0, judged.flags), (RECEIVED, both));
    }

    #[test]
    fn impossible_times_are_refused() {
        assert!(check_range("timestamp", -1).is_err());
        assert!(check_range("timestamp", TIMESTAMP_MAX_MS + 1).is_err());
        assert!(check_range("timestamp", 0).is_ok());
    }
}
