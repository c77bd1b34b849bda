//! What the feeder, the delivery and those outside share: how far, whether to end, what failed.

use super::rule_counts::AllRuleCounts;
use super::{EpochSink, Kept, PipelineError, Processed};
use crate::catalog::Backfills;
use crate::dataflow::{Deliver, OnFatal};
use crate::model::{Epoch, EpochOutput, NoticeRow};
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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
    /// The sink was full when the pipeline ended: it is given nothing more.
    is_cut_off: bool,
}

pub(super) struct Progress {
    state: Mutex<State>,
    ticks_asked: AtomicU64,
    backfills: Mutex<Backfills>,
    rule_counts: AllRuleCounts,
    /// Of the epochs under way, whose number bounds it.
    notices: Mutex<VecDeque<(Epoch, Vec<NoticeRow>)>>,
    on_fatal: OnFatal,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().fmt(f)
    }
}

impl Progress {
    pub(super) fn new(on_fatal: OnFatal, processed: Processed) -> Self {
        let state =
            State { processed, ending: Ending::GoOn, sink_failure: None, is_cut_off: false };
        Self {
            state: Mutex::new(state),
            ticks_asked: AtomicU64::new(0),
            backfills: Mutex::default(),
            rule_counts: AllRuleCounts::default(),
            notices: Mutex::default(),
            on_fatal,
        }
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

    pub(super) fn backfills(&self) -> MutexGuard<'_, Backfills> {
        self.backfills.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn rule_counts(&self) -> &AllRuleCounts {
        &self.rule_counts
    }

    fn notices(&self) -> MutexGuard<'_, VecDeque<(Epoch, Vec<NoticeRow>)>> {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what an epoch has beside the dataflow, until its output is there.
    pub(super) fn add_notices(&self, epoch: Epoch, notices: Vec<NoticeRow>) {
        if !notices.is_empty() {
            self.notices().push_back((epoch, notices));
        }
    }

    /// What was kept of an epoch. What is left of earlier ones was said before a restart.
    fn take_notices(&self, epoch: Epoch) -> Vec<NoticeRow> {
        let mut notices = self.notices();
        let behind = notices.partition_point(|(of, _)| *of <= epoch);
        let last = notices.drain(..behind).next_back();
        last.filter(|(of, _)| *of == epoch).map(|(_, notices)| notices).unwrap_or_default()
    }

    /// The rules changed.
    pub(super) fn set_backfills(&self, backfills: Backfills) {
        self.rule_counts.deploy(backfills.rules().cloned().collect());
        *self.backfills() = backfills;
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

    /// Whether outputs lead nowhere any more.
    pub(super) fn is_cut_off(&self) -> bool {
        self.lock().is_cut_off
    }

    /// Tells why the pipeline cannot go on.
    pub(super) fn tell(&self, error: &PipelineError) {
        (self.on_fatal)(&error.to_string());
    }

    fn kept(&self, EpochOutput { mark, actions, .. }: &EpochOutput) {
        self.rule_counts.count(actions);
        self.lock().processed = Processed { epoch: mark.epoch, seq: mark.last_seq };
    }

    fn takes_outputs(&self) -> bool {
        let state = self.lock();
        state.sink_failure.is_none() && !state.is_cut_off
    }

    fn sink_failed(&self, epoch: Epoch, what: &str) {
        self.lock().sink_failure = Some((epoch, what.into()));
        if let Err(error) = self.check_sink() {
            self.tell(&error);
        }
    }
}

/// How long to wait for room before looking whether to end.
const ROOM_WAIT: Duration = Duration::from_millis(100);

/// Gives outputs to the sink until it fails, or is full at the end; after that nothing is given, so
/// that the sink never has a gap.
pub(super) fn deliver_to(mut sink: Box<dyn EpochSink>, progress: Arc<Progress>) -> Deliver {
    Box::new(move |mut output| {
        output.notices = progress.take_notices(output.mark.epoch);
        while progress.takes_outputs() {
            match sink.append(&output) {
                Ok(Kept::Yes) => return progress.kept(&output),
                Ok(Kept::Full) if progress.ending() == Ending::GoOn => {
                    sink.wait_for_room(ROOM_WAIT);
                }
                Ok(Kept::Full) => progress.lock().is_cut_off = true,
                Err(error) => progress.sink_failed(output.mark.epoch, &error.to_string()),
            }
        }
    })
}
