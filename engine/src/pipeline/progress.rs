//! What the feeder, the delivery and those outside share: how far, whether to end, what failed.

use super::{EpochSink, PipelineError, Processed};
use crate::dataflow::{Deliver, OnFatal};
use crate::model::{Epoch, EpochMark};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How the feeder is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Not at all.
    GoOn,
    /// Once the log has nothing more.
    Drain,
    /// At once.
    GiveUp,
}

#[derive(Debug)]
struct State {
    processed: Processed,
    ending: Ending,
    sink_failure: Option<(Epoch, Arc<str>)>,
}

pub(super) struct Progress {
    state: Mutex<State>,
    ticks_asked: AtomicU64,
    on_fatal: OnFatal,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().fmt(f)
    }
}

impl Progress {
    pub(super) fn new(on_fatal: OnFatal) -> Self {
        let state =
            State { processed: Processed::default(), ending: Ending::GoOn, sink_failure: None };
        Self { state: Mutex::new(state), ticks_asked: AtomicU64::new(0), on_fatal }
    }

    /// Nothing that panics runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn processed(&self) -> Processed {
        self.lock().processed
    }

    pub(super) fn ending(&self) -> Ending {
        self.lock().ending
    }

    pub(super) fn end(&self, ending: Ending) {
        self.lock().ending = ending;
    }

    pub(super) fn ticks_asked(&self) -> u64 {
        self.ticks_asked.load(Ordering::Relaxed)
    }

    pub(super) fn count_tick(&self) {
        self.ticks_asked.fetch_add(1, Ordering::Relaxed);
    }

    /// What the sink said when it could not keep an output.
    pub(super) fn check_sink(&self) -> Result<(), PipelineError> {
        self.lock()
            .sink_failure
            .clone()
            .map_or(Ok(()), |(epoch, what)| Err(PipelineError::Sink { epoch, what }))
    }

    /// Tells why the pipeline cannot go on.
    pub(super) fn tell(&self, error: &PipelineError) {
        (self.on_fatal)(&error.to_string());
    }

    fn kept(&self, mark: &EpochMark) {
        self.lock().processed = Processed { epoch: mark.epoch, seq: mark.last_seq };
    }

    fn sink_failed(&self, epoch: Epoch, what: &str) {
        self.lock().sink_failure = Some((epoch, what.into()));
    }
}

/// Gives outputs to the sink until it fails; after that nothing is given, so that the sink never
/// has a gap.
pub(super) fn deliver_to(mut sink: Box<dyn EpochSink>, progress: Arc<Progress>) -> Deliver {
    Box::new(move |output| {
        if progress.check_sink().is_err() {
            return;
        }
        match sink.append(&output) {
            Ok(()) => progress.kept(&output.mark),
            Err(error) => {
                progress.sink_failed(output.mark.epoch, &error.to_string());
                if let Err(error) = progress.check_sink() {
                    progress.tell(&error);
                }
            }
        }
    })
}
