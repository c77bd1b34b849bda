//! The seam between the dataflow and the plain Rust that does the matching.
//!
//! A stage is `(state, event or mark) -> effects`: no I/O, no clock, no thread, no timely. The
//! dataflow gives each worker's stage its own virtual partitions' events in log order, and every
//! mark, whether it had events or not.

use crate::log::PauseKey;
use crate::matcher::Prepared;
use crate::model::{
    ActionFact, Epoch, EpochMark, EventRow, EventTimeMs, Identity, Instance, LogSeq, LoggedEvent,
    PartitionId, VisitId, VisitRow, VisitorId,
};
use crate::snapshot::Unreadable;
use crate::suppress::SuppressRules;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a stage says. Most effects are events; the others are boxed, so that a list of effects
/// takes 80 bytes for each and not 320.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// An event was recorded.
    Event(EventRow),
    /// A visit began or ended.
    Visit(Box<VisitRow>),
    /// A match was found (`+1`) or no longer holds (`-1`).
    Match(Box<ActionFact>, i64),
}

/// When a rule began: behind the end of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleBegin {
    /// The last record before.
    pub seq: LogSeq,
    /// The watermark of that time.
    pub watermark: EventTimeMs,
}

/// What changes for all workers at the end of an epoch: what people decided in it.
#[derive(Clone, Debug)]
pub struct RuleChange {
    /// The rules, by the slots that they keep while they are deployed.
    pub rules: Arc<Prepared>,
    /// Slots whose rule is no longer deployed. No rule gets one of them before its state is gone.
    pub retired: Arc<[u32]>,
    /// Slots whose rule is new, sorted: it begins with what open visits did before.
    pub fresh: Arc<[u32]>,
    /// When the rules began, by slot; none where nothing was before.
    pub begins: Arc<[Option<RuleBegin>]>,
    /// The same rules, as the suppression takes them.
    pub suppress: Arc<SuppressRules>,
    /// What is paused.
    pub paused: Arc<BTreeSet<PauseKey>>,
    /// Where visits are counted of which a new rule was not shown all.
    pub partial: Arc<PartialBackfills>,
    /// Rules on other windows than the visit that are shown what was before them.
    pub backfill: Option<BackfillRules>,
}

/// Visits that had had more events than they keep when a new rule was shown them, by its slot.
#[derive(Debug, Default)]
pub struct PartialBackfills(Mutex<BTreeMap<u32, u64>>);

impl PartialBackfills {
    /// One more, for each of some rules.
    pub fn count(&self, slots: &[u32]) {
        let mut visits = self.lock();
        slots.iter().for_each(|slot| *visits.entry(*slot).or_default() += 1);
    }

    /// How many it were for a rule.
    #[must_use]
    pub fn of(&self, slot: u32) -> u64 {
        self.lock().get(&slot).copied().unwrap_or_default()
    }

    /// The rules of these slots are new.
    pub fn reset(&self, slots: &[u32]) {
        self.lock().retain(|slot, _| !slots.contains(slot));
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> BTreeMap<u32, u64> {
        self.lock().clone()
    }

    /// With those that were counted before.
    #[must_use]
    pub fn restored(all: BTreeMap<u32, u64>) -> Self {
        Self(Mutex::new(all))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rules that see nothing but the past until they have caught up with it.
#[derive(Clone, Debug)]
pub struct BackfillRules {
    /// Tells these from those of another time.
    pub number: u64,
    /// Made ready to run alone.
    pub rules: Arc<Prepared>,
    /// Their slots, sorted.
    pub slots: Arc<[u32]>,
}

/// Who a visitor was, from places in the log on; nobody before the first.
pub type Identities = SmallVec<[(LogSeq, Identity); 1]>;

/// An open visit that began before some place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ongoing {
    /// Of its window key.
    pub hash: u64,
    /// The instance.
    pub instance: Instance,
    /// The visitor, where known.
    pub visitor: Option<VisitorId>,
    /// Its `VisitStarted` was made up.
    pub is_made_up: bool,
    /// Who the visitor was from log sequences on, ascending: as far back as its events are kept.
    pub identities: Identities,
}

/// One stage's share on one worker.
pub trait Stage: 'static {
    /// Takes an event of the epoch under way, in log order within its partition.
    fn event(&mut self, event: &LoggedEvent, out: &mut Vec<Effect>);
    /// Takes several events at once: the same as one by one, perhaps faster.
    fn events(&mut self, events: &[LoggedEvent], out: &mut Vec<Effect>) {
        for event in events {
            self.event(event, out);
        }
    }
    /// Ends the epoch: timers up to the mark's horizon fire here.
    fn end_epoch(&mut self, mark: &EpochMark, out: &mut Vec<Effect>);
    /// Takes other rules behind the end of an epoch.
    fn deploy(&mut self, change: &RuleChange);
    /// Appends the state of a virtual partition behind the end of the last epoch; nothing where there
    /// is none. The same state gives the same bytes. (A stage that is never restored needs neither
    /// this nor the next two.)
    fn save(&self, _partition: PartitionId, _out: &mut Vec<u8>) {}
    /// Takes back what was saved behind the end of an epoch; up to there input for the partition is
    /// passed over.
    ///
    /// # Errors
    /// [`Unreadable`], where another version saved it.
    fn restore(
        &mut self,
        _partition: PartitionId,
        _saved: Epoch,
        _bytes: &[u8],
    ) -> Result<(), Unreadable> {
        Ok(())
    }
    /// Goes on behind the end of an epoch, with the rules of that time, once the partitions are
    /// restored.
    fn resume(&mut self, _ended: &EpochMark, _rules: &RuleChange) {}
    /// Appends the open visits of a virtual partition that began before a place in the log, in no
    /// order. (A stage in front of no other needs neither this nor the next two.)
    fn ongoing(&self, _partition: PartitionId, _before: LogSeq, _out: &mut Vec<Ongoing>) {}
    /// The open visits of a virtual partition, sorted.
    fn open_visits(&self, _partition: PartitionId) -> Vec<Instance> {
        Vec::new()
    }
    /// Whether a visit is open.
    fn is_open(&self, _site: &str, _visit: &VisitId, _instance: Instance) -> bool {
        false
    }
    /// What the stage holds and has counted.
    fn stats(&self) -> StageStats;
}

/// What a stage holds now, and has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageStats {
    /// Open visits.
    pub visits_open: u64,
    /// Bytes of kept events and partial matches, as far as they are counted.
    pub state_bytes: u64,
    /// The earliest time at which a timer is due, in horizon time, if any is pending.
    pub next_timer_ms: Option<i64>,
    /// Events tried on the rules.
    pub events_matched: u64,
    /// Events late in their visit or before the horizon.
    pub events_late: u64,
    /// Events late in their visit that could not be put in their place.
    pub events_not_correctable: u64,
    /// Events over `visit_events_matched_max`.
    pub events_over_limit: u64,
    /// Visits closed because of the limit of open visits.
    pub visits_evicted: u64,
    /// Ended visits that are not remembered because of `closed_visits_max`.
    pub closed_visits_forgotten: u64,
    /// Kept events dropped because of `visit_events_max`.
    pub kept_events_dropped: u64,
    /// Partial matches dropped because of `rule_partials_max`, and join keys passed over because
    /// of `key_combinations_max`.
    pub partials_dropped: u64,
    /// Matches refused because of `pending_absences_max`, `rule_absences_max` or `state_max`.
    pub absences_refused: u64,
    /// Matches that waited for a missing event at the end, dropped with their visit or window because
    /// of `visits_open_max`, `windows_max` or `window_memory_ms`.
    pub absences_dropped: u64,
    /// Matches that were final before their time because of `rule_hits_max`.
    pub hits_over_limit: u64,
    /// Events whose bytes could not be read.
    pub events_unreadable: u64,
    /// Matches asserted.
    pub matches: u64,
    /// Visits whose events were tried on new rules.
    pub backfills: u64,
    /// Of those, visits that had more events than they keep.
    pub backfills_partial: u64,
    /// Matches taken back.
    pub matches_retracted: u64,
}

impl StageStats {
    /// The figures of two stages together; the earlier of their timers.
    #[must_use]
    pub fn sum(self, other: &Self) -> Self {
        Self {
            visits_open: self.visits_open + other.visits_open,
            state_bytes: self.state_bytes + other.state_bytes,
            next_timer_ms: self.next_timer_ms.into_iter().chain(other.next_timer_ms).min(),
            events_matched: self.events_matched + other.events_matched,
            events_late: self.events_late + other.events_late,
            events_not_correctable: self.events_not_correctable + other.events_not_correctable,
            events_over_limit: self.events_over_limit + other.events_over_limit,
            visits_evicted: self.visits_evicted + other.visits_evicted,
            closed_visits_forgotten: self.closed_visits_forgotten + other.closed_visits_forgotten,
            kept_events_dropped: self.kept_events_dropped + other.kept_events_dropped,
            partials_dropped: self.partials_dropped + other.partials_dropped,
            absences_refused: self.absences_refused + other.absences_refused,
            absences_dropped: self.absences_dropped + other.absences_dropped,
            hits_over_limit: self.hits_over_limit + other.hits_over_limit,
            events_unreadable: self.events_unreadable + other.events_unreadable,
            matches: self.matches + other.matches,
            backfills: self.backfills + other.backfills,
            backfills_partial: self.backfills_partial + other.backfills_partial,
            matches_retracted: self.matches_retracted + other.matches_retracted,
        }
    }
}
