//! What happens now, for a person who watches: counts of the last hour, open visits, the latest
//! events and actions.
//!
//! The dataflow maintains the counts (differential, by the marks' clock) and calls in here; readers
//! take a [`LiveSnapshot`] through a [`LiveHandle`]. A version rises with every change, so that a
//! stream of updates waits instead of polling: [`LiveHandle::on_change`] for async code,
//! [`LiveHandle::wait_past`] for a thread.
//!
//! **Bounds.** Names that events bring (event names, categories) become keys up to
//! `live_names_max` for each worker; others count as [`OTHER`]. A name is free again once it fell
//! out of the hour. Rings hold `live_recent_max` events and actions.
//!
//! What is shown may lag behind the outbox by a moment and is no part of what sinks get.

use crate::model::{ActionRow, EpochOutput, EventRow, ServerTimeMs};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Minutes that are kept: the current one and those before it.
pub const LIVE_MINUTES: usize = 60;
/// Stands for names over the bound.
pub const OTHER: &str = "__other";

/// Bounds of what is live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveConfig {
    /// Event names and categories that become keys, for each worker.
    pub live_names_max: usize,
    /// Changes of counts are said at most so often, by the marks' clock; one that comes right behind
    /// another is said with the next epoch.
    pub live_interval_ms: u32,
    /// Events, and actions, that are kept to be shown.
    pub live_recent_max: usize,
}

/// 1,000 names; ten times a second; 200 events and actions.
impl Default for LiveConfig {
    fn default() -> Self {
        Self { live_names_max: 1_000, live_interval_ms: 100, live_recent_max: 200 }
    }
}

/// A minute of the server's clock, counted since 1970.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Minute(pub i64);

impl Minute {
    /// The minute of a time.
    #[must_use]
    pub fn of(now: ServerTimeMs) -> Self {
        Self(now.0.div_euclid(60_000))
    }

    /// The first minute that is shown when this one is the last.
    #[must_use]
    pub fn first_shown(self) -> Self {
        Self(self.0.saturating_sub(LIVE_MINUTES as i64 - 1))
    }
}

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum LiveName {
    /// Recorded events of a name.
    Event {
        /// The site.
        site: Arc<str>,
        /// `eventName`, or [`OTHER`].
        name: Arc<str>,
    },
    /// Recorded events that carry a category.
    Category {
        /// The site.
        site: Arc<str>,
        /// The category, or [`OTHER`].
        category: Arc<str>,
    },
    /// Matches of a rule that act: asserted less taken back.
    Rule {
        /// The site.
        site: Arc<str>,
        /// The rule's package.
        package: Arc<str>,
        /// The rule.
        rule: Arc<str>,
    },
}

/// A key of the counts that the dataflow maintains.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum LiveKey {
    /// How often in a minute.
    InMinute(LiveName, Minute),
    /// Open visits of a site.
    OpenVisits(Arc<str>),
}

/// One line of the counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LiveCount {
    /// What is counted.
    #[serde(flatten)]
    pub name: LiveName,
    /// In the last [`LIVE_MINUTES`] minutes.
    pub total: i64,
    /// For each minute, oldest first; the last is [`LiveSnapshot::minute`].
    pub per_minute: Vec<i64>,
}

/// What is live at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LiveSnapshot {
    /// Rises with every change.
    pub version: u64,
    /// The minute of the last epoch.
    pub minute: Minute,
    /// Open visits for each site.
    pub open_visits: BTreeMap<Arc<str>, i64>,
    /// Counts, sorted by name.
    pub counts: Vec<LiveCount>,
    /// The latest events, oldest first.
    pub events: Vec<EventRow>,
    /// The latest actions, oldest first.
    pub actions: Vec<ActionRow>,
}

/// Told the new version; runs on a worker's thread and must not wait.
pub type OnChange = Arc<dyn Fn(u64) + Send + Sync>;

#[derive(Default)]
struct View {
    version: u64,
    minute: Minute,
    counts: BTreeMap<LiveKey, i64>,
    events: VecDeque<EventRow>,
    actions: VecDeque<ActionRow>,
    on_change: Option<OnChange>,
}

struct Shared {
    config: LiveConfig,
    view: Mutex<View>,
    changed: Condvar,
}

/// Reads what is live; clones see the same.
#[derive(Clone)]
pub struct LiveHandle(Arc<Shared>);

impl fmt::Debug for LiveHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveHandle").field("version", &self.version()).finish_non_exhaustive()
    }
}

impl LiveHandle {
    pub(crate) fn new(config: LiveConfig) -> Self {
        let view = Mutex::new(View::default());
        Self(Arc::new(Shared { config, view, changed: Condvar::new() }))
    }

    pub(crate) fn config(&self) -> LiveConfig {
        self.0.config
    }

    /// Nothing that panics runs under the lock.
    fn lock(&self) -> MutexGuard<'_, View> {
        self.0.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.lock().version
    }

    /// Everything that is live now.
    #[must_use]
    pub fn snapshot(&self) -> LiveSnapshot {
        let view = self.lock();
        let first = view.minute.first_shown();
        let mut open_visits = BTreeMap::new();
        let mut counts: Vec<LiveCount> = Vec::new();
        // Keys of one name stand next to each other, minutes ascending.
        for (key, count) in &view.counts {
            match key {
                LiveKey::OpenVisits(site) => {
                    open_visits.insert(Arc::clone(site), *count);
                }
                LiveKey::InMinute(name, minute) => {
                    if counts.last().is_none_or(|last| last.name != *name) {
                        let per_minute = vec![0; LIVE_MINUTES];
                        counts.push(LiveCount { name: name.clone(), total: 0, per_minute });
                    }
                    let index = usize::try_from(minute.0.saturating_sub(first.0));
                    if let (Some(line), Ok(index)) = (counts.last_mut(), index)
                        && let Some(slot) = line.per_minute.get_mut(index)
                    {
                        *slot = *count;
                        line.total += count;
                    }
                }
            }
        }
        LiveSnapshot {
            version: view.version,
            minute: view.minute,
            open_visits,
            counts,
            events: view.events.iter().cloned().collect(),
            actions: view.actions.iter().cloned().collect(),
        }
    }

    /// Waits until the version is larger than `version`, or for `timeout`; the version then.
    #[must_use]
    pub fn wait_past(&self, version: u64, timeout: Duration) -> u64 {
        let waited =
            self.0.changed.wait_timeout_while(self.lock(), timeout, |view| view.version <= version);
        waited.unwrap_or_else(PoisonError::into_inner).0.version
    }

    /// Calls `on_change` with every new version from now on, instead of what was called before.
    pub fn on_change(&self, on_change: OnChange) {
        self.lock().on_change = Some(on_change);
    }

    /// Takes over changes of counts: differences of counts by key.
    pub(crate) fn add_counts<'a>(&self, changes: impl Iterator<Item = (&'a LiveKey, i64)>) {
        let mut view = self.lock();
        for (key, change) in changes {
            let count = view.counts.entry(key.clone()).or_default();
            *count += change;
            if *count == 0 {
                view.counts.remove(key);
            }
        }
        self.publish(view);
    }

    /// Takes over what an epoch said.
    pub(crate) fn add_output(&self, output: &EpochOutput) {
        let mut view = self.lock();
        let minute = Minute::of(output.mark.now);
        let says_nothing =
            output.events.is_empty() && output.visits.is_empty() && output.actions.is_empty();
        if says_nothing && minute == view.minute {
            return;
        }
        view.minute = minute;
        push_latest(&mut view.events, &output.events, self.0.config.live_recent_max);
        push_latest(&mut view.actions, &output.actions, self.0.config.live_recent_max);
        self.publish(view);
    }

    fn publish(&self, mut view: MutexGuard<'_, View>) {
        view.version += 1;
        let (version, on_change) = (view.version, view.on_change.clone());
        drop(view);
        self.0.changed.notify_all();
        if let Some(on_change) = on_change {
            on_change(version);
        }
    }
}

/// Appends the newest of `rows`, at most `bound` stay.
fn push_latest<T: Clone>(ring: &mut VecDeque<T>, rows: &[T], bound: usize) {
    let newest = rows.len().saturating_sub(bound);
    ring.extend(rows.iter().skip(newest).cloned());
    let excess = ring.len().saturating_sub(bound);
    ring.drain(..excess);
}
