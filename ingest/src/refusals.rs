//! The server's log lines of refused requests: one for the first, then at most one a second.
//!
//! Overload refuses thousands of requests a second; a line for each would fill the disk that is
//! short, and bury all other lines. The first refusal is said at once. Those behind it are counted
//! by code and said together once in [`SUMMARY_EVERY`], by a task that ends after a time without
//! any; then the next refusal is a first one again. None is left out: [`Refusals::end`] says the
//! rest. `/metrics` has them all (`requests_refused`).

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often refusals are summed up.
const SUMMARY_EVERY: Duration = Duration::from_secs(1);

/// Refusals by code; codes are names of the code, so they are few.
type Counts = BTreeMap<&'static str, u64>;

/// Takes note of refusals.
pub(crate) struct Refusals {
    /// Those that wait to be said; none at all while no task sums up.
    waiting: Mutex<Option<Counts>>,
    say: Box<dyn Fn(&Counts) + Send + Sync>,
}

impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusals").finish_non_exhaustive()
    }
}

impl Refusals {
    /// Says them as warnings in the server's log.
    pub(crate) fn logged() -> Arc<Self> {
        Self::new(|counts| {
            let requests: u64 = counts.values().sum();
            tracing::warn!(requests, codes = ?counts, "refused");
        })
    }

    fn new(say: impl Fn(&Counts) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::default(), say: Box::new(say) })
    }

    /// Takes note of a refused request.
    pub(crate) fn refused(self: &Arc<Self>, code: &'static str) {
        if self.note(code) {
            let refusals = Arc::clone(self);
            let passed = || tokio::time::sleep(SUMMARY_EVERY);
            tokio::spawn(async move { refusals.sum_up(passed).await });
        }
    }

    /// Says what still waits.
    pub(crate) fn end(&self) {
        if let Some(counts) = self.take() {
            (self.say)(&counts);
        }
    }

    /// Says a first one; whether it was, and somebody has to sum up those behind it.
    fn note(&self, code: &'static str) -> bool {
        let mut waiting = self.waiting();
        if let Some(counts) = &mut *waiting {
            *counts.entry(code).or_default() += 1;
            return false;
        }
        *waiting = Some(Counts::new());
        drop(waiting);
        (self.say)(&Counts::from([(code, 1)]));
        true
    }

    /// Says what came whenever its time has `passed`, until nothing did.
    async fn sum_up<P: Future<Output = ()>>(&self, mut passed: impl FnMut() -> P) {
        loop {
            passed().await;
            match self.take() {
                Some(counts) => (self.say)(&counts),
                None => return,
            }
        }
    }

    fn take(&self) -> Option<Counts> {
        let mut waiting = self.waiting();
        let counts = waiting.as_mut().map(std::mem::take).unwrap_or_default();
        if counts.is_empty() {
            *waiting = None;
            return None;
        }
        Some(counts)
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Counts>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said when `during` happens between two seconds, by its number.
    async fn said(during: impl Fn(&Refusals, u32)) -> (Arc<Refusals>, Vec<String>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&lines);
        let refusals = Refusals::new(move |counts: &Counts| {
            written.lock().expect("no panic").push(format!("{counts:?}"));
        });
        assert!(refusals.note("first"), "somebody has to sum up");
        let mut seconds = 0;
        let passed = || {
            during(&refusals, seconds);
            seconds += 1;
            std::future::ready(())
        };
        refusals.sum_up(passed).await;
        let lines = lines.lock().expect("no panic").clone();
        (refusals, lines)
    }

    #[tokio::test]
    async fn a_flood_is_a_line_a_second_and_none_is_left_out() {
        let flood = |refusals: &Refusals, second: u32| {
            for _ in 0..1_000 * u32::from(second < 2) {
                assert!(!refusals.note("busy"));
            }
            if second == 1 {
                refusals.note("too_large");
            }
        };
        let (_, lines) = said(flood).await;
        let expected =
            [r#"{"first": 1}"#, r#"{"busy": 1000}"#, r#"{"busy": 1000, "too_large": 1}"#];
        assert_eq!(lines, expected);
    }

    #[tokio::test]
    async fn after_a_quiet_second_the_next_is_a_first_one() {
        let (refusals, lines) = said(|_, _| {}).await;
        assert_eq!(lines, [r#"{"first": 1}"#]);
        assert!(refusals.note("again"));
    }
}
