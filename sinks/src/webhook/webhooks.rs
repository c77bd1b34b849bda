//! The queue with the log and the client: what the two threads and the routes share.
//!
//! One lock over the queue, under which nothing waits.

use super::WebhookError;
use super::client::{Client, Resolve, system_resolver};
use super::config::WebhooksConfig;
use super::queue::{Job, Queue, QueueStats, Saved, Verdict};
use beckon_engine::clock::Clock;
use beckon_engine::log::{Appended, Log, Refused};
use beckon_engine::model::{Delivery, Epoch, EpochOutput, MessageId, Notice, ServerTimeMs};
use beckon_engine::outbox::Position;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// What webhooks work with.
#[derive(Debug)]
pub struct Parts {
    /// Where records go.
    pub log: Arc<dyn Log>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Endpoints and bounds.
    pub config: WebhooksConfig,
    /// The last epoch of the log at the start: before it is folded nothing is called.
    pub ready_at: Epoch,
}

/// The calls that are to be made, and who makes them.
#[derive(Debug)]
pub struct Webhooks {
    queue: Mutex<Queue>,
    pub(super) client: Client,
    pub(super) clock: Arc<dyn Clock>,
    log: Arc<dyn Log>,
    save_interval: Duration,
    wake: Notify,
    is_closed: AtomicBool,
    records_refused: AtomicU64,
    attempt_millis: AtomicU64,
}

impl Webhooks {
    /// Webhooks of which nothing is known yet: [`run`](super::run) reads the outbox.
    ///
    /// # Errors
    /// When an endpoint's configuration does not make sense.
    pub fn new(parts: Parts) -> Result<Arc<Self>, WebhookError> {
        Self::resolving(parts, system_resolver())
    }

    pub(super) fn resolving(parts: Parts, resolve: Resolve) -> Result<Arc<Self>, WebhookError> {
        let config = &parts.config;
        let client = Client::new(&config.endpoints, config.timeout_ms, resolve)?;
        Ok(Self::with_client(parts, client))
    }

    pub(super) fn with_client(parts: Parts, client: Client) -> Arc<Self> {
        let Parts { log, clock, config, ready_at } = parts;
        let save_interval = Duration::from_millis(config.save_interval_ms);
        Arc::new(Self {
            save_interval,
            queue: Mutex::new(Queue::new(Arc::new(config), ready_at)),
            client,
            clock,
            log,
            wake: Notify::new(),
            is_closed: AtomicBool::new(false),
            records_refused: AtomicU64::new(0),
            attempt_millis: AtomicU64::new(0),
        })
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        // A panic under the lock would be a broken invariant of the queue; the figures are still read.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is held and was counted.
    #[must_use]
    pub fn stats(&self) -> QueueStats {
        self.queue().stats()
    }

    /// Records that the log refused, to be given again.
    #[must_use]
    pub fn records_refused(&self) -> u64 {
        self.records_refused.load(Relaxed)
    }

    /// How long all attempts took together, in milliseconds.
    #[must_use]
    pub fn attempt_millis(&self) -> u64 {
        self.attempt_millis.load(Relaxed)
    }

    /// How often the state is written at most.
    pub(super) fn save_interval(&self) -> Duration {
        self.save_interval
    }

    /// Lets no attempt begin any more; what waits is there at the next start.
    pub fn close(&self) {
        self.is_closed.store(true, Relaxed);
        self.wake.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Relaxed)
    }

    /// Goes on behind a position, with what was saved there.
    pub(super) fn begin(&self, position: Position, saved: Option<Saved>) {
        let now = self.clock.now();
        let mut queue = self.queue();
        match saved {
            Some(saved) => queue.restore(saved, now),
            None => queue.begin(position),
        }
        drop(queue);
        self.wake.notify_one();
    }

    /// Takes what the engine said of an epoch.
    pub(super) fn fold(&self, output: &EpochOutput) {
        let mut queue = self.queue();
        let was_ready = queue.is_ready();
        queue.fold(output);
        let is_news = output.actions.iter().any(|row| row.fact.endpoint.is_some());
        if is_news || was_ready != queue.is_ready() {
            self.wake.notify_one();
        }
    }

    /// The attempts that begin now, and how long nothing else does.
    pub(super) fn claim(&self) -> (Vec<Job>, Option<Duration>) {
        let now = self.clock.now();
        let mut queue = self.queue();
        let jobs = queue.claim(now);
        let due =
            queue.next_due().map(|due| u64::try_from(due.0.saturating_sub(now.0)).unwrap_or(0));
        (jobs, due.map(Duration::from_millis))
    }

    /// Waits until there may be something to do.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// An attempt came to its end.
    pub(super) fn done(self: &Arc<Self>, message: MessageId, verdict: Verdict, took: Duration) {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.attempt_millis.fetch_add(millis, Relaxed);
        let now = self.clock.now();
        self.queue().done(message, verdict, now);
        self.record();
    }

    /// An attempt was given up, as the process ends.
    pub(super) fn undone(&self, message: MessageId) {
        let now = self.clock.now();
        self.queue().undone(message, now);
    }

    /// Gives the log what is to be recorded.
    pub(super) fn record(self: &Arc<Self>) {
        let mut queue = self.queue();
        if !queue.is_ready() {
            return;
        }
        let records = queue.unrecorded();
        drop(queue);
        if records.is_empty() {
            return;
        }
        let notice = |(_, delivery): &(u64, Delivery)| Notice::Delivery(delivery.clone()).into();
        let new = records.iter().map(notice).collect();
        let records = Arc::new(records);
        let (shared, asked) = (Arc::clone(self), Arc::clone(&records));
        let acknowledge = Box::new(move |result: Result<Vec<Appended>, Refused>| {
            shared.answered(&asked, result.is_ok());
        });
        if self.log.append(new, acknowledge).is_err() {
            self.answered(&records, false);
        }
    }

    /// The log has taken records, or has not: those are given again at the next occasion.
    fn answered(&self, records: &[(u64, Delivery)], is_taken: bool) {
        if !is_taken {
            self.records_refused.fetch_add(records.len() as u64, Relaxed);
        }
        self.queue().answered(records, is_taken);
    }

    /// Dead letters wait again; what each came to.
    pub(super) fn replay(self: &Arc<Self>, ids: &[MessageId]) -> Vec<&'static str> {
        let now: ServerTimeMs = self.clock.now();
        let mut queue = self.queue();
        let outcomes = ids.iter().map(|id| queue.replay(*id, now)).collect();
        drop(queue);
        self.wake.notify_one();
        outcomes
    }

    /// Calls an endpoint again that said 410 or rests; `false`: there is none.
    pub(super) fn enable(&self, name: &str) -> bool {
        let is_there = self.queue().enable(name);
        self.wake.notify_one();
        is_there
    }
}
