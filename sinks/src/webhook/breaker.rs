//! Stops calling an endpoint that fails in a row, and tries it with one call after a while.
//!
//! What waits meanwhile uses up none of its attempts.

use beckon_engine::model::ServerTimeMs;

/// Whether an endpoint is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breaker {
    /// It is; so many calls failed in a row.
    Closed(u32),
    /// Not until then.
    Open(ServerTimeMs),
    /// One call is under way that decides.
    HalfOpen,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed(0)
    }
}

impl Breaker {
    /// Whether a call may begin; that one decides where it was open.
    pub(super) fn admit(&mut self, now: ServerTimeMs, in_flight: usize) -> bool {
        match *self {
            Self::Closed(_) => true,
            Self::Open(until) if until <= now && in_flight == 0 => {
                *self = Self::HalfOpen;
                true
            }
            Self::Open(_) | Self::HalfOpen => false,
        }
    }

    /// A call came to its end well.
    pub(super) fn succeeded(&mut self) {
        *self = Self::Closed(0);
    }

    /// A call failed. Says whether it opened by that.
    pub(super) fn failed(&mut self, failures_max: u32, until: ServerTimeMs) -> bool {
        let opens = match *self {
            Self::Closed(failures) => {
                *self = Self::Closed(failures.saturating_add(1));
                failures.saturating_add(1) >= failures_max
            }
            Self::HalfOpen => true,
            Self::Open(_) => false,
        };
        if opens {
            *self = Self::Open(until);
        }
        opens
    }

    /// The call that was to decide did not come to an end.
    pub(super) fn undecided(&mut self, now: ServerTimeMs) {
        if *self == Self::HalfOpen {
            *self = Self::Open(now);
        }
    }

    /// From when on a call may begin; `None`: not before one that is under way has come to its end.
    pub(super) fn begins(self, in_flight: usize) -> Option<ServerTimeMs> {
        match self {
            Self::Closed(_) => Some(ServerTimeMs(i64::MIN)),
            Self::Open(until) if in_flight == 0 => Some(until),
            Self::Open(_) | Self::HalfOpen => None,
        }
    }

    /// The name in answers.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Closed(_) => "closed",
            Self::Open(_) => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_try() {
        let (at, until) = (ServerTimeMs(0), ServerTimeMs(100));
        let mut breaker = Breaker::default();
        assert!(!breaker.failed(3, until) && !breaker.failed(3, until));
        breaker.succeeded();
        assert!(!breaker.failed(3, until) && !breaker.failed(3, until));
        assert!(breaker.admit(at, 0), "a success begins the count anew");
        assert!(breaker.failed(3, until));
        assert!(!breaker.admit(ServerTimeMs(99), 0));
        assert!(!breaker.admit(until, 1), "one of before is under way");
        assert!(breaker.admit(until, 0));
        assert!(!breaker.admit(until, 0), "one alone decides");
        assert!(breaker.failed(3, ServerTimeMs(200)));
        assert_eq!((breaker.begins(0), breaker.begins(1)), (Some(ServerTimeMs(200)), None));
        assert!(breaker.admit(ServerTimeMs(200), 0));
        breaker.undecided(ServerTimeMs(201));
        assert!(breaker.admit(ServerTimeMs(201), 0));
        breaker.succeeded();
        assert_eq!(breaker, Breaker::Closed(0));
    }
}
