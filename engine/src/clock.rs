//! Where time comes from: the only file that asks the system what time it is.
//!
//! Everything else is given a [`Clock`], so that tests, replays and simulations own time. The
//! engine itself never asks a clock: it reads the marks that the log wrote (`model::EpochMark`).
//!
//! **Invariant:** a clock never goes back within a process. Over restarts the log sees to it: it
//! takes the larger of the clock and its last mark.

use crate::model::ServerTimeMs;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Says what time it is.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The time now; never before what was said earlier.
    fn now(&self) -> ServerTimeMs;
}

/// The system's clock, held where it stands when somebody sets it back.
#[derive(Debug, Default)]
pub struct SystemClock {
    latest_ms: AtomicI64,
}

impl SystemClock {
    /// A clock that starts with the system's time.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that the lint sends others to"
    )]
    fn now(&self) -> ServerTimeMs {
        // A system that believes it is before 1970 has no useful time; zero is as good as any.
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX);
        let earlier_ms = self.latest_ms.fetch_max(now_ms, Ordering::Relaxed);
        ServerTimeMs(now_ms.max(earlier_ms))
    }
}

/// A clock that a test moves.
#[derive(Debug, Default)]
pub struct ManualClock {
    now_ms: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn new(now: ServerTimeMs) -> Self {
        Self { now_ms: AtomicI64::new(now.0) }
    }

    /// Moves the clock forward to `now`; does nothing when it stands there or later.
    pub fn set(&self, now: ServerTimeMs) {
        self.now_ms.fetch_max(now.0, Ordering::Relaxed);
    }

    /// Moves the clock forward by `delta_ms`.
    pub fn advance(&self, delta_ms: u32) {
        self.now_ms.fetch_add(i64::from(delta_ms), Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> ServerTimeMs {
        ServerTimeMs(self.now_ms.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_stands_when_the_system_goes_back() {
        let future_ms = i64::MAX / 2;
        let clock = SystemClock { latest_ms: AtomicI64::new(future_ms) };
        assert_eq!(clock.now(), ServerTimeMs(future_ms));
        let clock = SystemClock::new();
        let first = clock.now();
        assert!(first.0 > 1_600_000_000_000, "{first} is before this was written");
        assert!(clock.now() >= first);
    }

    #[test]
    fn a_manual_clock_moves_forward_only() {
        let clock = ManualClock::new(ServerTimeMs(100));
        clock.set(ServerTimeMs(50));
        assert_eq!(clock.now(), ServerTimeMs(100));
        clock.advance(5);
        assert_eq!(clock.now(), ServerTimeMs(105));
    }
}
