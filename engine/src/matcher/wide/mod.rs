//! Stage 2: windows other than the visit, partitioned by their keys.
//!
//! A [`Router`] stands behind stage 1 and sends on the matched events that satisfy a term of a rule
//! on another window, once to each window (`visitor`, `user`, `site`, `global`) that asks for it;
//! late ones too; events of any other fate take no part. [`Wide`] keeps those windows.
//!
//! An event waits in its window until the horizon has passed it: no earlier one can come then, and it
//! goes into the base of what is under way, in the order (timestamp, tie-breaker, log sequence).
//! Rules that say `emit = "final"` are seen there only: their matches come `lateness_ms` behind the
//! event and are never taken back. The others are tried on what waits as well (`head`): their
//! matches come with the last event, deadlines with the watermark, and an event that comes late
//! corrects them as on a visit. Who the visitor is, to whom the action goes: that of the match's last
//! event, at its visit; whether that visit is over by then is told by stage 1.
//!
//! **Bounds.** `window_events_max` events wait in one window: over it the horizon moves up for that
//! window, to the earliest that waits, whose matches are final then; what comes later and sorts before
//! it is counted as not correctable and not matched there. `rule_hits_max` matches of a rule that may
//! be taken back stand in one window: over it the first is final. `windows_max` windows of visitors and users,
//! each partition an equal share: the one idle longest is forgotten, as is one without events for
//! `window_memory_ms`, with all that is under way in it and what fired once: what is known by then is
//! said, and what waits for something that may still come is dropped, counted. What a rule may have
//! under way in a window: `state_max`, or the limits of a visit.
//!
//! **Invariant:** what is said of a window depends on its events, in log order, and on the marks.

mod backfill;
mod head;
mod joining;
mod ongoing;
mod owners;
mod partition;
mod route;
mod saved;
#[cfg(test)]
mod tests;
mod window;

pub use backfill::{BackfillStep, Past, PastEpoch};
pub use ongoing::Inquiry;
pub use route::{OpenVisits, Router};

use super::config::{MatcherConfig, horizon};
use super::fields::Buffers;
use super::index::Hit;
use super::leaving::Leaving;
use super::names::Names;
use super::prepared::Prepared;
use crate::model::{
    EpochMark, EventRow, EventTimeMs, Flags, Instance, PARTITIONS, PartitionId, VisitorId,
    WindowKey,
};
use crate::snapshot::Asleep;
use crate::stage::{Effect, RuleBegin, RuleChange, StageStats};
use crate::suppress::Gate;
use backfill::Backfilling;
use beckon_rules::plan::{RuleSet, Window};
use joining::Joining;
use owners::Owners;
use partition::Partition;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use window::Place;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// What every worker's second stage starts as.
#[derive(Clone, Debug)]
pub struct WideSetup {
    prepared: Arc<Prepared>,
    config: MatcherConfig,
}

impl WideSetup {
    /// One for rules that stay; `None` where none of them needs a second stage.
    #[must_use]
    pub fn new(rules: &Arc<RuleSet>, config: MatcherConfig) -> Option<Self> {
        let prepared = Arc::new(Prepared::new(Arc::clone(rules)));
        prepared.wide.is_some().then_some(Self { prepared, config })
    }

    /// One without rules: they are deployed.
    #[must_use]
    pub fn empty(config: MatcherConfig) -> Self {
        Self { prepared: Arc::new(Prepared::new(Arc::default())), config }
    }

    /// The bounds.
    #[must_use]
    pub fn config(&self) -> MatcherConfig {
        self.config
    }

    /// What stands behind one worker's first stage.
    #[must_use]
    pub fn router(&self) -> Router {
        Router::new(Arc::clone(&self.prepared))
    }

    /// One worker's second stage, without windows.
    #[must_use]
    pub fn stage(&self) -> Wide {
        Wide::new(Arc::clone(&self.prepared), self.config)
    }
}

/// A window instance other than a visit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WideKey {
    /// Empty over all sites.
    site: Arc<str>,
    key: WindowKey,
}

impl WideKey {
    fn stable_hash(&self) -> u64 {
        let kind = xxh3_64(self.key.kind().as_bytes());
        let site = xxh3_64_with_seed(self.site.as_bytes(), kind);
        match &self.key {
            WindowKey::Visitor(visitor) => {
                xxh3_64_with_seed(&visitor.0.stable_hash().to_le_bytes(), site)
            }
            WindowKey::User(user) => xxh3_64_with_seed(user.as_bytes(), site),
            WindowKey::Visit | WindowKey::Site | WindowKey::Global => site,
        }
    }

    fn window(&self) -> Window {
        match self.key {
            WindowKey::Visit => Window::Visit,
            WindowKey::Visitor(_) => Window::Visitor,
            WindowKey::User(_) => Window::User,
            WindowKey::Site => Window::Site,
            WindowKey::Global => Window::Global,
        }
    }

    /// Whether the window may be forgotten: there are few of the others.
    fn is_forgotten(&self) -> bool {
        matches!(self.key, WindowKey::Visitor(_) | WindowKey::User(_))
    }
}

/// What stage 1 sends on to a window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum WideInput {
    /// An event that some rule on the window asks for.
    Event(WideKey, Box<WideEvent>),
    /// A visit that sent the window events is over.
    VisitEnded(WideKey, Instance),
}

impl WideInput {
    /// The virtual partition of its window.
    #[must_use]
    pub fn partition(&self) -> PartitionId {
        PartitionId::of(self.key().stable_hash())
    }

    fn key(&self) -> &WideKey {
        let (Self::Event(key, _) | Self::VisitEnded(key, _)) = self;
        key
    }

    /// Log order; ends of visits behind all events.
    fn order(&self) -> (bool, Option<(u64, bool)>) {
        match self {
            Self::Event(_, event) => (false, Some((event.row.seq.0, !is_made_up(&event.row)))),
            Self::VisitEnded(..) => (true, None),
        }
    }
}

/// An event on its way to a window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WideEvent {
    row: EventRow,
    /// The terms of rules on the window that it satisfies: of those deployed when it came.
    hits: Vec<Hit>,
    /// The visitor of its visit, where known.
    visitor: Option<VisitorId>,
}

fn is_made_up(row: &EventRow) -> bool {
    row.event.view().is_ok_and(|view| view.flags.has(Flags::MADE_UP))
}

/// What the second stage holds now, and has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WideStats {
    /// Windows in which something waits or is under way, or a rule fired once.
    pub windows_open: u64,
    /// Windows forgotten because of `windows_max` or `window_memory_ms`.
    pub windows_forgotten: u64,
    /// Events that wait for the horizon.
    pub events_waiting: u64,
    /// Events that came too late for a window whose horizon moved up: `window_events_max`.
    pub events_not_correctable: u64,
    /// The watermark at which something is due, if anything waits.
    pub due: Option<EventTimeMs>,
    /// What is counted as on visits; no visit is open here.
    pub stage: StageStats,
}

impl WideStats {
    /// What has been counted, without what is held now.
    #[must_use]
    fn counted(self) -> Self {
        let stage = StageStats { state_bytes: 0, ..self.stage };
        Self { windows_open: 0, events_waiting: 0, due: None, stage, ..self }
    }

    /// The figures of two workers together; the earlier of what is due.
    #[must_use]
    pub fn sum(self, other: &Self) -> Self {
        Self {
            windows_open: self.windows_open + other.windows_open,
            windows_forgotten: self.windows_forgotten + other.windows_forgotten,
            events_waiting: self.events_waiting + other.events_waiting,
            events_not_correctable: self.events_not_correctable + other.events_not_correctable,
            due: self.due.into_iter().chain(other.due).min(),
            stage: self.stage.sum(&other.stage),
        }
    }
}

/// Stage 2 on one worker.
#[derive(Debug)]
pub struct Wide {
    shared: Shared,
    /// By partition; those that had no event yet are not there.
    partitions: Vec<Option<Box<Partition>>>,
    /// Rules that are no longer deployed.
    leaving: Leaving,
    /// Restored partitions whose time has not come.
    asleep: Asleep<Option<Box<Partition>>>,
    /// The windows of rules that are shown what was before them.
    backfilling: Option<Box<Backfilling>>,
    /// Those of rules that have caught up, before their turn.
    joining: Vec<Joining>,
}

/// What all windows of a worker use.
#[derive(Debug)]
struct Shared {
    /// With a lateness of 0: what `emit = "final"` says is found behind the horizon.
    config: MatcherConfig,
    lateness_ms: i64,
    /// Nothing earlier is waited for.
    watermark: EventTimeMs,
    /// What lies before it is final.
    horizon: EventTimeMs,
    prepared: Arc<Prepared>,
    /// By slot.
    begins: Arc<[Option<RuleBegin>]>,
    /// The windows are those of new rules, in the past: they say what is final only.
    is_past: bool,
    sites: Names<Arc<str>>,
    /// What keeps matches from acting now.
    gate: Gate,
    /// Who had the actions of rules that fire once; those of windows that lie apart, too, to which they
    /// are lent.
    owners: Owners,
    stats: WideStats,
    /// Used again for each event.
    buffers: Buffers,
}

impl Wide {
    fn new(prepared: Arc<Prepared>, config: MatcherConfig) -> Self {
        let shared = Shared {
            config: MatcherConfig { lateness_ms: 0, ..config },
            lateness_ms: config.lateness_ms,
            watermark: EventTimeMs::MIN,
            horizon: EventTimeMs::MIN,
            prepared,
            begins: Arc::default(),
            is_past: false,
            sites: Names::default(),
            gate: Gate::default(),
            owners: Owners::default(),
            stats: WideStats::default(),
            buffers: Buffers::default(),
        };
        let partitions = (0..PARTITIONS).map(|_| None).collect();
        Self {
            shared,
            partitions,
            leaving: Leaving::default(),
            asleep: Asleep::default(),
            backfilling: None,
            joining: Vec::new(),
        }
    }

    /// Takes all that an epoch sent to this worker's windows, in any order, and ends it: first what its
    /// events mean is said, then what the mark's watermark decides, and what lies before its horizon
    /// is final. The matches are in no order.
    pub fn epoch(&mut self, mark: &EpochMark, mut inputs: Vec<WideInput>, out: &mut Vec<Effect>) {
        let Self { shared, partitions, asleep, joining, .. } = self;
        if !shared.is_past {
            shared.gate.now = mark.now;
        }
        inputs.sort_by_cached_key(WideInput::order);
        let mut ended = Vec::new();
        for input in inputs {
            let hash = input.key().stable_hash();
            let partition = PartitionId::of(hash);
            if asleep.has(partition) {
                continue;
            }
            let WideInput::Event(key, event) = input else {
                ended.push(input);
                continue;
            };
            let partition = partitions[usize::from(partition.0)].get_or_insert_default();
            for joining in &mut *joining {
                joining.catch_up((hash, &key), partition, shared, out);
            }
            partition.event((hash, key), *event, shared, out);
        }
        self.end_epoch((mark, &ended), out);
        self.join_turns((mark, &ended), out);
        self.shared.owners.end_epoch();
        self.wake(mark.epoch);
    }

    fn end_epoch(&mut self, (mark, ended): (&EpochMark, &[WideInput]), out: &mut Vec<Effect>) {
        let Self { shared, partitions, leaving, .. } = self;
        for partition in partitions.iter_mut().flatten() {
            partition.end_epoch(shared, out);
        }
        for input in ended {
            let WideInput::VisitEnded(key, instance) = input else { continue };
            let hash = key.stable_hash();
            shared.owners.visit_ended(hash, *instance);
            if let Some(partition) = &mut partitions[usize::from(PartitionId::of(hash).0)] {
                partition.ended(hash, key, *instance);
            }
        }
        shared.take_time(mark);
        for partition in partitions.iter_mut().flatten() {
            partition.advance(shared, out);
        }
        leaving.sweep(|number, slots| {
            if let Some(partition) = &mut partitions[number] {
                if !shared.is_past {
                    let id = u8::try_from(number).expect("256 of them");
                    shared.owners.keep_rules(PartitionId(id), &shared.prepared.rules.rules);
                }
                partition.forget_rules(slots, shared);
            }
        });
    }

    /// Rules that have caught up are joined with all others in the windows whose turn it is.
    fn join_turns(&mut self, ended: (&EpochMark, &[WideInput]), out: &mut Vec<Effect>) {
        let Self { shared, partitions, joining, .. } = self;
        joining.retain_mut(|joining| {
            joining.epoch(ended, partitions, shared, out);
            if joining.is_over() {
                shared.stats = shared.stats.sum(&joining.stats().counted());
            }
            !joining.is_over()
        });
    }

    /// Takes other rules behind the end of an epoch. Events that wait are tried on those rules only
    /// that were there when they came.
    pub fn deploy(&mut self, change: &RuleChange) {
        self.shared.prepared = Arc::clone(&change.rules);
        self.shared.begins = Arc::clone(&change.begins);
        self.shared.gate.take(change);
        self.leaving.add(&change.retired);
        self.deploy_backfill(change);
    }

    /// What the stage holds and has counted.
    #[must_use]
    pub fn stats(&self) -> WideStats {
        let due = self.partitions.iter().flatten().filter_map(|partition| partition.first_due());
        // A time has passed once the watermark lies behind it.
        let due = due.min().map(|time| time.saturating_add(1));
        let mut stats = WideStats { due, ..self.shared.stats };
        stats.stage.state_bytes += self.shared.owners.bytes();
        let apart = self.backfilling.iter().map(|it| it.stats());
        let apart = apart.chain(self.joining.iter().map(Joining::stats));
        apart.fold(stats, |stats, apart| stats.sum(&apart))
    }
}

impl Shared {
    /// Windows that lie apart go on: who has an action is the same there, and what acts now.
    fn lend_owners(&mut self, apart: &mut Wide, go_on: impl FnOnce(&mut Wide)) {
        apart.shared.gate = self.gate.clone();
        std::mem::swap(&mut self.owners, &mut apart.shared.owners);
        go_on(apart);
        std::mem::swap(&mut self.owners, &mut apart.shared.owners);
    }

    fn take_time(&mut self, mark: &EpochMark) {
        self.watermark = self.watermark.max(mark.watermark);
        self.horizon = self.horizon.max(horizon(mark.watermark, self.lateness_ms));
    }
}

/// Of an event: (timestamp, tie-breaker, log sequence, made-up first).
fn place(event: &WideEvent) -> Option<Place> {
    let row = &event.row;
    let view = row.event.view().ok()?;
    let is_real = !view.flags.has(Flags::MADE_UP);
    Some(Place { time: view.timestamp, tie: view.tie, seq: row.seq, is_real })
}
