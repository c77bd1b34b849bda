//! The workers' threads: build the graph, turn, park, and end together.
//!
//! A worker's loop is `step_or_park(None)`: no polling interval, as everything that a worker waits
//! for wakes it (timely's channels; a `SyncActivator` from `submit`, `close` and failure, which
//! leaves its activation in a queue that is looked at before parking, so that no wake-up is lost).
//! When a worker panics, the others are told, drop their dataflows and return: timely itself would
//! wait for the missing one for ever.

use super::graph::{self, Parts};
use super::shared::Shared;
use super::{Deliver, MakeStage, StartError, WorkerIndex};
use crate::live::LiveHandle;
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use timely::communication::WorkerGuards;
use timely::worker::Worker;

/// The running threads, until they are joined.
pub(super) struct Threads(Mutex<Option<WorkerGuards<()>>>);

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Threads")
    }
}

impl Threads {
    /// Waits for all workers. A panic was caught and told before; one while dropping is told here.
    pub(super) fn join(&self) {
        let guards = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        for result in guards.into_iter().flat_map(WorkerGuards::join) {
            if let Err(reason) = result {
                tracing::error!(reason, "a dataflow worker panicked while it ended");
            }
        }
    }
}

pub(super) fn start(
    shared: Arc<Shared>,
    make_stage: MakeStage,
    deliver: Deliver,
    live: Option<LiveHandle>,
) -> Result<Threads, StartError> {
    let deliver = Mutex::new(Some(deliver));
    let config = timely::Config::process(shared.workers());
    timely::execute(config, move |worker| {
        let turned = catch_unwind(AssertUnwindSafe(|| {
            let index = WorkerIndex(worker.index());
            let deliver = (index.0 == 0)
                .then(|| deliver.lock().unwrap_or_else(PoisonError::into_inner).take())
                .flatten();
            let stage = make_stage(index);
            let (shared, live) = (Arc::clone(&shared), live.clone());
            let parts = Parts { shared: Arc::clone(&shared), index, stage, deliver, live };
            if let Err(error) = graph::build(worker, parts) {
                shared.fail(&error.to_string());
            }
            while shared.turn() && worker.step_or_park(None) {}
        }));
        if let Err(panic) = turned {
            shared.fail(&format!("worker {}: {}", worker.index(), message(&*panic)));
        }
        drop_dataflows(worker);
    })
    .map(|guards| Threads(Mutex::new(Some(guards))))
    .map_err(|reason| StartError::Failed(reason.into()))
}

/// What is still installed after a failure; nothing after a regular end.
fn drop_dataflows(worker: &mut Worker) {
    for dataflow in worker.installed_dataflows() {
        worker.drop_dataflow(dataflow);
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message")
}
