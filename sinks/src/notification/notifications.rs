//! The hub with its listeners and the log: what the sink's thread and the routes share.
//!
//! One lock over hub and listeners, held for as long as a visit's messages are looked through; nothing
//! under it waits. A listener sleeps until its visit is touched: an idle one costs no time at all.

use super::config::NotificationConfig;
use super::hub::{Answer, Hub, HubStats, Word};
use super::message::{Said, VisitKey};
use beckon_engine::clock::Clock;
use beckon_engine::log::{Appended, Log, NewRecord, Refused};
use beckon_engine::model::{Delivery, Epoch, EpochOutput, Message, MessageId, Notice, PageId};
use beckon_engine::outbox::Position;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, oneshot};

/// What notifications work with.
#[derive(Debug)]
pub struct Parts {
    /// Where records go.
    pub log: Arc<dyn Log>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Every bound.
    pub config: NotificationConfig,
    /// The last epoch of the log at the start: before it is folded nobody is told anything.
    pub ready_at: Epoch,
}

/// What the log says of records, once.
type OnDisk = oneshot::Receiver<Result<Vec<Appended>, Refused>>;

/// What is held and was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotificationStats {
    /// The hub's figures.
    pub hub: HubStats,
    /// Streams and long polls that are open.
    pub streams: u64,
    /// Those that were refused by a bound.
    pub streams_refused: u64,
    /// What was given to pages, withdrawals too.
    pub said: u64,
    /// Records that the log refused, to be given again.
    pub records_refused: u64,
}

#[derive(Debug)]
struct State {
    hub: Hub,
    listeners: BTreeMap<Arc<VisitKey>, Listeners>,
    streams: usize,
    is_ready: bool,
    is_closed: bool,
}

/// Who listens to a visit.
#[derive(Debug, Default)]
struct Listeners {
    count: usize,
    wake: Arc<Notify>,
}

/// The hub, its listeners and the log.
#[derive(Debug)]
pub struct Notifications {
    state: Mutex<State>,
    log: Arc<dyn Log>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) config: NotificationConfig,
    ready_at: Epoch,
    streams_refused: AtomicU64,
    said: AtomicU64,
    records_refused: AtomicU64,
}

/// Why nobody listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// `streams_max`.
    All,
    /// `visit_streams_max`.
    Visit,
    /// The server ends.
    Closed,
}

/// A place among the listeners of a visit, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    notifications: Arc<Notifications>,
    pub(super) key: Arc<VisitKey>,
    pub(super) wake: Arc<Notify>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.notifications.state();
        state.streams -= 1;
        if let Some(listeners) = state.listeners.get_mut(&self.key) {
            listeners.count -= 1;
            if listeners.count == 0 {
                state.listeners.remove(&self.key);
            }
        }
    }
}

/// What a listener gets when it looks.
#[derive(Debug)]
pub(super) enum Look {
    /// What is said; nothing: wait.
    Said(Vec<Said>),
    /// The server ends.
    Closed,
}

impl Notifications {
    /// Notifications of which nothing is known yet: [`run`](super::run) reads the outbox.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { log, clock, config, ready_at } = parts;
        let state = State {
            hub: Hub::new((&config).into()),
            listeners: BTreeMap::new(),
            streams: 0,
            is_ready: false,
            is_closed: false,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            log,
            clock,
            config,
            ready_at,
            streams_refused: AtomicU64::new(0),
            said: AtomicU64::new(0),
            records_refused: AtomicU64::new(0),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock would be a broken invariant of the hub; the figures are still read.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is held and was counted.
    #[must_use]
    pub fn stats(&self) -> NotificationStats {
        let state = self.state();
        NotificationStats {
            hub: state.hub.stats(),
            streams: state.streams as u64,
            streams_refused: self.streams_refused.load(Relaxed),
            said: self.said.load(Relaxed),
            records_refused: self.records_refused.load(Relaxed),
        }
    }

    /// Ends all streams and long polls, and lets no new one in.
    pub fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.listeners.values().for_each(|listeners| listeners.wake.notify_waiters());
    }

    /// Goes on behind the cursor; where that is the end of the log, nothing is waited for.
    pub(super) fn begin(&self, cursor: Position) {
        let mut state = self.state();
        state.hub.begin(cursor, self.ready_at);
        self.get_ready(&mut state);
    }

    /// Lets pages be told, once the outbox is read up to where the log ended at the start.
    fn get_ready(&self, state: &mut State) {
        if !state.is_ready && state.hub.folded() >= self.ready_at {
            state.is_ready = true;
            state.listeners.values().for_each(|listeners| listeners.wake.notify_waiters());
        }
    }

    /// Takes what the engine said of an epoch.
    pub(super) fn fold(&self, output: &EpochOutput) {
        let mut state = self.state();
        let touched = state.hub.fold(output);
        self.get_ready(&mut state);
        for key in touched {
            if let Some(listeners) = state.listeners.get(&key) {
                listeners.wake.notify_waiters();
            }
        }
    }

    /// Lets time pass; gives how long nothing is due, in milliseconds.
    pub(super) fn pass_time(&self) -> Option<u64> {
        let now = self.clock.now();
        let mut state = self.state();
        if !state.is_ready {
            // The epochs that are read say what time it was.
            return None;
        }
        state.hub.expire(now);
        let due = state.hub.next_due()?;
        Some(u64::try_from(due.0.saturating_sub(now.0)).unwrap_or(0))
    }

    /// Where the cursor may stand.
    pub(super) fn durable(&self) -> Position {
        self.state().hub.durable()
    }

    /// Gives the log what is to be recorded.
    pub(super) fn record(self: &Arc<Self>) {
        let mut state = self.state();
        if !state.is_ready {
            return;
        }
        let deliveries = state.hub.unrecorded();
        drop(state);
        if deliveries.is_empty() {
            return;
        }
        let records = deliveries.iter().cloned().map(|it| Notice::Delivery(it).into()).collect();
        // What is refused is given again at the next occasion.
        drop(self.append(records, deliveries));
    }

    /// The log has taken records, or has not.
    fn answered(&self, deliveries: &[Delivery], is_taken: bool) {
        let mut state = self.state();
        for delivery in deliveries {
            if is_taken {
                state.hub.recorded(delivery);
            } else {
                self.records_refused.fetch_add(1, Relaxed);
                state.hub.not_recorded(delivery);
            }
        }
    }

    /// A place among the listeners of a visit.
    pub(super) fn listen(self: &Arc<Self>, key: VisitKey) -> Result<Place, NoPlace> {
        let mut state = self.state();
        let refuse = |why| {
            self.streams_refused.fetch_add(1, Relaxed);
            Err(why)
        };
        if state.is_closed {
            return Err(NoPlace::Closed);
        }
        if state.streams >= self.config.streams_max {
            return refuse(NoPlace::All);
        }
        let found = state.listeners.get_key_value(&key).map(|(key, _)| Arc::clone(key));
        let key = found.unwrap_or_else(|| Arc::new(key));
        let listeners = state.listeners.entry(Arc::clone(&key)).or_default();
        if listeners.count >= self.config.visit_streams_max {
            return refuse(NoPlace::Visit);
        }
        listeners.count += 1;
        let wake = Arc::clone(&listeners.wake);
        state.streams += 1;
        Ok(Place { notifications: Arc::clone(self), key, wake })
    }

    /// What is said to a page behind a place.
    pub(super) fn look(self: &Arc<Self>, place: &Place, page: Option<&PageId>, after: u64) -> Look {
        let now = self.clock.now();
        let mut state = self.state();
        if state.is_closed {
            return Look::Closed;
        }
        if !state.is_ready {
            return Look::Said(Vec::new());
        }
        let said = state.hub.hand(&place.key, page, (after, now));
        drop(state);
        if !said.is_empty() {
            self.said.fetch_add(said.len() as u64, Relaxed);
            self.record();
        }
        Look::Said(said)
    }

    /// The place of a message that a page names; 0, before all, for one that is not said.
    pub(super) fn place_of(&self, key: &VisitKey, id: Option<MessageId>) -> u64 {
        id.and_then(|id| self.state().hub.place_of(key, id)).unwrap_or(0)
    }

    /// Takes a page's word; `false`: there is no such message. It is in the log then.
    pub(super) async fn word(
        self: &Arc<Self>,
        key: &VisitKey,
        (id, word): (MessageId, Word),
    ) -> Result<bool, Refused> {
        let delivery = match self.answer(key, id, &word)? {
            Answer::Unknown => return Ok(false),
            Answer::Known => return Ok(true),
            Answer::Record(delivery) => delivery,
        };
        let record = Notice::Delivery(delivery.clone()).into();
        let on_disk = self.append(vec![record], vec![delivery])?;
        on_disk.await.unwrap_or(Err(Refused::Closed))?;
        Ok(true)
    }

    /// What a page's word comes to; nobody can say before the outbox is read.
    fn answer(&self, key: &VisitKey, id: MessageId, word: &Word) -> Result<Answer, Refused> {
        let mut state = self.state();
        if !state.is_ready {
            return Err(Refused::Busy);
        }
        Ok(state.hub.word(key, id, word))
    }

    /// Puts servers' messages into the log.
    pub(super) async fn send(self: &Arc<Self>, messages: Vec<Message>) -> Result<(), Refused> {
        if messages.is_empty() {
            return Ok(());
        }
        let records = messages.into_iter().map(|it| Notice::Message(it).into()).collect();
        self.append(records, Vec::new())?.await.unwrap_or(Err(Refused::Closed))?;
        Ok(())
    }

    /// Gives records to the log. The hub is told what became of those that say so, on the log's thread,
    /// also where who waits has gone.
    fn append(
        self: &Arc<Self>,
        records: Vec<NewRecord>,
        deliveries: Vec<Delivery>,
    ) -> Result<OnDisk, Refused> {
        let (done, on_disk) = oneshot::channel();
        let deliveries = Arc::new(deliveries);
        let (shared, asked) = (Arc::clone(self), Arc::clone(&deliveries));
        let acknowledge = Box::new(move |result: Result<Vec<Appended>, Refused>| {
            shared.answered(&asked, result.is_ok());
            // Who waited may have gone; it is on disk all the same.
            drop(done.send(result));
        });
        let given = self.log.append(records, acknowledge);
        given.inspect_err(|_| self.answered(&deliveries, false))?;
        Ok(on_disk)
    }
}
