//! Visits that began before what is read of the past, and are open still.
//!
//! The reading (`backfill`) meets such a visit in its middle: it takes the first event that it sees of
//! it for its beginning, and does not know who signed in before. What stage 1 knows of the visit is
//! asked for, a few virtual partitions an epoch ([`Inquiry`]), before the reading goes on; then what the
//! reading says of the visit is put right ([`Ongoing`]): its instance, its visitor, and who the
//! visitor was, as far back as the visit keeps events; before those, nobody is.
//!
//! The reading may take a visit for over that is not: its last event may stand before what is read. Until
//! it has reached the place at which stage 1 was asked, those visits are open.
//!
//! **Invariant:** an open visit has all events of its id since it began, so those that are read up to
//! that place are its own.

use super::route::{Router, is_of_visit};
use crate::matcher::identity;
use crate::model::{
    EventRow, Fate, Flags, Identity, Instance, LogSeq, PARTITIONS, PartitionId, VisitChange,
    VisitRow, partition_of, system, window_hash,
};
use crate::stage::{self, Effect, Stage};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Virtual partitions that are asked behind one epoch: of 100,000 visits these are 6,250.
const ASKED: u16 = 16;

/// Asks stage 1 for the visits of some virtual partitions that began before a place in the log.
#[derive(Debug)]
pub struct Inquiry {
    partitions: Range<u16>,
    before: LogSeq,
    found: Mutex<Vec<stage::Ongoing>>,
}

impl Inquiry {
    /// What is asked behind the next epochs, one after the other.
    pub fn all(before: LogSeq) -> impl Iterator<Item = Self> {
        (0..PARTITIONS).step_by(usize::from(ASKED)).map(move |first| {
            let partitions = first..(first + ASKED).min(PARTITIONS);
            Self { partitions, before, found: Mutex::default() }
        })
    }

    /// What a stage knows; of the partitions that are not its own it has nothing.
    pub fn answer(&self, stage: &dyn Stage) {
        let mut found = Vec::new();
        for partition in self.partitions.clone() {
            let partition = PartitionId(u8::try_from(partition).expect("256 of them"));
            stage.ongoing(partition, self.before, &mut found);
        }
        self.found.lock().unwrap_or_else(PoisonError::into_inner).append(&mut found);
    }

    /// What was found: complete once the epoch is delivered behind which it was asked.
    #[must_use]
    pub fn take(&self) -> Vec<stage::Ongoing> {
        std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Puts right what the reading says of such visits.
#[derive(Debug, Default)]
pub(super) struct Ongoing {
    /// As they were asked for, partition by partition.
    known: Vec<Known>,
    /// By the instance that the reading takes them for.
    met: BTreeMap<Instance, Met>,
}

/// Visits of some virtual partitions.
#[derive(Debug)]
struct Known {
    /// By the hash of their window key.
    visits: Vec<stage::Ongoing>,
    /// The place in the log up to which they are open.
    open_until: LogSeq,
}

/// One that the reading has met.
#[derive(Debug)]
struct Met {
    instance: Instance,
    is_made_up: bool,
    identity: Identity,
    /// Who the visitor was from later events on.
    later: VecDeque<(LogSeq, Identity)>,
}

impl Ongoing {
    /// Visits that are open up to a place in the log: of the next partitions.
    pub(super) fn know(&mut self, mut visits: Vec<stage::Ongoing>, open_until: LogSeq) {
        visits.sort_unstable_by_key(|visit| visit.hash);
        self.known.push(Known { visits, open_until });
    }

    /// What was said of a visit, and up to where it is open.
    fn known(&self, row: &VisitRow) -> Option<(&stage::Ongoing, LogSeq)> {
        let hash = window_hash(&row.site, &row.visit.0);
        let asked = usize::from(PartitionId::of(hash).0) / usize::from(ASKED);
        let Known { visits, open_until } = self.known.get(asked)?;
        let place = visits.binary_search_by_key(&hash, |visit| visit.hash).ok()?;
        Some((&visits[place], *open_until))
    }

    /// Leaves a share of what is known: it is not read on. `left`: so many shares are left with this one.
    pub(super) fn free(&mut self, left: usize) {
        self.known.truncate(left);
        for _ in 0..self.met.len().div_ceil(left) {
            self.met.pop_first();
        }
    }

    /// Puts right the effects of an epoch that ends at a place, in their order, on their way to a router.
    pub(super) fn put_right(
        &mut self,
        effects: &mut Vec<Effect>,
        ended: LogSeq,
        router: &mut Router,
    ) {
        if self.known.is_empty() && self.met.is_empty() {
            return;
        }
        effects.retain_mut(|effect| match effect {
            Effect::Event(row) => self.event(row),
            Effect::Visit(row) => match row.change {
                VisitChange::Opened { .. } => self.opened(row, router),
                VisitChange::Closed(_) => self.closed(row, ended),
            },
            Effect::Match(..) => true,
        });
    }

    fn opened(&mut self, row: &mut VisitRow, router: &mut Router) -> bool {
        let known = self.known(row).filter(|(_, open_until)| row.instance.0 <= *open_until);
        let Some((visit, _)) = known else { return true };
        let mut later: VecDeque<_> = visit.identities.iter().cloned().collect();
        let identity = pass(&mut later, row.instance.0).unwrap_or_default();
        let stage::Ongoing { instance, is_made_up, .. } = *visit;
        router.begin((instance, partition_of(&row.site, &row.visit)), visit.visitor.clone());
        self.met.insert(row.instance, Met { instance, is_made_up, identity, later });
        row.instance = instance;
        true
    }

    /// Whether it is over.
    fn closed(&mut self, row: &mut VisitRow, ended: LogSeq) -> bool {
        let Some(met) = self.met.remove(&row.instance) else { return true };
        row.instance = met.instance;
        self.known(row).is_none_or(|(_, open_until)| ended > open_until)
    }

    /// Whether it happened: a visit that began before does not begin here.
    fn event(&mut self, row: &mut EventRow) -> bool {
        let met = row.instance.and_then(|instance| self.met.get_mut(&instance));
        let (Some(met), Ok(view)) = (met, row.event.view()) else { return true };
        if view.flags.has(Flags::MADE_UP) {
            return false;
        }
        // Of two the reading takes the first for the one that it missed.
        if view.name == system::VISIT_STARTED {
            row.fate = match row.fate {
                Fate::Matched | Fate::PutInPlace if met.is_made_up => Fate::Superseded,
                Fate::Superseded if !met.is_made_up => Fate::Matched,
                fate => fate,
            };
        }
        if is_of_visit(row.fate) {
            identity::advance(&mut met.identity, &view);
        }
        if let Some(known) = pass(&mut met.later, row.seq) {
            met.identity = known;
        }
        row.instance = Some(met.instance);
        row.identity = met.identity.clone();
        true
    }
}

/// Takes who the visitor was at a place in the log.
fn pass(later: &mut VecDeque<(LogSeq, Identity)>, at: LogSeq) -> Option<Identity> {
    let passed = later.partition_point(|(from, _)| *from <= at);
    later.drain(..passed).next_back().map(|(_, identity)| identity)
}
