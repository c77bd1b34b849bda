//! From what stage 1 said to the windows of stage 2.
//!
//! Which open visits sent events to the windows of rules that were shown the log is taken over one
//! virtual partition an epoch, and of a visit whose turn did not come before its next event and its end.

use super::super::fields::Buffers;
use super::super::index::Hit;
use super::super::prepared::Prepared;
use super::{WideEvent, WideInput, WideKey};
use crate::model::{
    EventRow, Fate, Instance, PARTITIONS, PartitionId, VisitChange, VisitRow, VisitorId, WindowKey,
    partition_of,
};
use crate::stage::{Effect, RuleChange};
use beckon_rules::plan::Window;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Stands behind stage 1 on one worker.
#[derive(Debug)]
pub struct Router {
    prepared: Arc<Prepared>,
    /// Open visits that had events while rules were there, by the visit's virtual partition.
    visits: Vec<HashTable<Sender>>,
    joining: Vec<JoiningVisits>,
    hits: Vec<Hit>,
    buffers: Buffers,
}

/// Visits that are not taken over yet.
#[derive(Debug)]
struct JoiningVisits {
    /// Those of this worker's partitions whose turn did not come.
    left: BTreeMap<usize, Arc<HashTable<Sender>>>,
    /// Whose turn is next, whichever worker has it.
    turn: usize,
}

/// An open visit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sender {
    pub(super) instance: Instance,
    /// That of the visit.
    pub(super) partition: PartitionId,
    visitor: Option<VisitorId>,
    /// The windows that have events of it.
    keys: SmallVec<[WideKey; 1]>,
}

/// Open visits that sent events to windows other than their own, by virtual partition.
#[derive(Clone, Debug, Default)]
pub struct OpenVisits(Vec<Arc<HashTable<Sender>>>);

impl Router {
    pub(super) fn new(prepared: Arc<Prepared>) -> Self {
        Self {
            prepared,
            visits: no_visits(),
            joining: Vec::new(),
            hits: Vec::new(),
            buffers: Buffers::default(),
        }
    }

    /// What the effects of an epoch, in their order, send on.
    pub fn route(&mut self, effects: &[Effect], out: &mut Vec<WideInput>) {
        let is_idle = self.joining.is_empty() && self.visits.iter().all(HashTable::is_empty);
        if self.prepared.wide.is_none() && is_idle {
            return;
        }
        for effect in effects {
            match effect {
                Effect::Event(row) => self.event(row, out),
                Effect::Visit(row) if matches!(row.change, VisitChange::Closed(_)) => {
                    self.closed(row, out);
                }
                Effect::Visit(_) | Effect::Match(..) => {}
            }
        }
    }

    /// A visit is open of which there was nothing yet.
    pub(super) fn begin(
        &mut self,
        (instance, partition): (Instance, PartitionId),
        visitor: Option<VisitorId>,
    ) {
        let visits = &mut self.visits[usize::from(partition.0)];
        sender_of(visits, (instance, partition)).visitor = visitor;
    }

    /// The open visits of a virtual partition, in no order.
    pub(super) fn senders(&self, partition: PartitionId) -> impl Iterator<Item = &Sender> {
        self.visits[usize::from(partition.0)].iter()
    }

    /// Adds a visit that was open when it was saved.
    pub(super) fn insert_restored(&mut self, sender: Sender) {
        let place = spread(sender.instance);
        let visits = &mut self.visits[usize::from(sender.partition.0)];
        visits.insert_unique(place, sender, |sender| spread(sender.instance));
    }

    /// Gives away what is known of open visits.
    pub(super) fn take_visits(&mut self) -> OpenVisits {
        let visits = std::mem::replace(&mut self.visits, no_visits());
        OpenVisits(visits.into_iter().map(Arc::new).collect())
    }

    /// Takes over which open visits sent events to the windows of rules that have caught up: those of
    /// this worker's partitions, one after the other.
    pub fn join(&mut self, visits: &OpenVisits, is_own: impl Fn(PartitionId) -> bool) {
        let numbered =
            (0..=u8::MAX).zip(&visits.0).filter(|(number, _)| is_own(PartitionId(*number)));
        let left = numbered.map(|(number, visits)| (usize::from(number), Arc::clone(visits)));
        self.joining.push(JoiningVisits { left: left.collect(), turn: 0 });
    }

    /// Takes over the visits of the partition whose turn comes. `open`: the visits of a partition that
    /// stage 1 has open, sorted. One that is not among them is over: it ended before its turn, or was
    /// pushed out of memory, which the reading does not see.
    pub fn join_turn(
        &mut self,
        open: impl Fn(PartitionId) -> Vec<Instance>,
        out: &mut Vec<WideInput>,
    ) {
        let Self { visits, joining, .. } = self;
        joining.retain_mut(|JoiningVisits { left, turn }| {
            let partition = *turn;
            *turn += 1;
            let Some(known) = left.remove(&partition) else { return !left.is_empty() };
            let open = open(PartitionId(u8::try_from(partition).expect("256 of them")));
            for sender in known.iter() {
                if open.binary_search(&sender.instance).is_ok() {
                    join_sender(&mut visits[partition], sender);
                } else {
                    sender.end(out);
                }
            }
            !left.is_empty()
        });
    }

    /// Takes over what is known of a visit, before more is known.
    fn catch_up(&mut self, partition: PartitionId, instance: Instance) {
        let partition = usize::from(partition.0);
        let Self { visits, joining, .. } = self;
        for JoiningVisits { left, .. } in joining {
            let known = left.get(&partition).and_then(|known| find(known, instance));
            if let Some(sender) = known {
                join_sender(&mut visits[partition], sender);
            }
        }
    }

    /// Takes other rules behind the end of an epoch.
    pub fn deploy(&mut self, change: &RuleChange) {
        self.set_rules(Arc::clone(&change.rules));
    }

    pub(super) fn set_rules(&mut self, rules: Arc<Prepared>) {
        self.prepared = rules;
    }

    fn closed(&mut self, row: &VisitRow, out: &mut Vec<WideInput>) {
        let (partition, instance) = (partition_of(&row.site, &row.visit), row.instance);
        self.catch_up(partition, instance);
        let visits = &mut self.visits[usize::from(partition.0)];
        let entry = visits.find_entry(spread(instance), |one| one.instance == instance);
        let Ok(entry) = entry else { return };
        entry.remove().0.end(out);
    }

    fn event(&mut self, row: &EventRow, out: &mut Vec<WideInput>) {
        let is_of_visit = self.prepared.wide.is_some() && is_of_visit(row.fate);
        let Some(instance) = row.instance.filter(|_| is_of_visit) else { return };
        let Ok(view) = row.event.view() else { return };
        let partition = partition_of(view.site, &view.visit());
        self.catch_up(partition, instance);
        let Self { prepared, visits, hits, buffers, .. } = self;
        let Some(index) = &prepared.wide else { return };
        let sender = sender_of(&mut visits[usize::from(partition.0)], (instance, partition));
        let visitor = view.visitor();
        if visitor.is_some() && visitor != sender.visitor {
            sender.visitor.clone_from(&visitor);
        }
        if !matches!(row.fate, Fate::Matched | Fate::PutInPlace) {
            return;
        }
        let entry = index.entry(view.name);
        let taken = std::mem::take(buffers);
        let Ok(mut captures) = entry.extractor().capture_into(&view, taken) else { return };
        entry.extractor().stamp(&mut captures, &row.identity);
        prepared.select((index, entry), (&view, &captures), hits);
        *buffers = captures.into_buffers();
        let window_of = |hit: &Hit| prepared.rules.rules[hit.rule()].window;
        hits.sort_by_key(|hit| (window_of(hit), *hit));
        for hits in hits.chunk_by(|one, other| window_of(one) == window_of(other)) {
            let key = key_of(window_of(&hits[0]), row, (view.site, &visitor));
            let Some(key) = key else { continue };
            if !sender.keys.contains(&key) {
                sender.keys.push(key.clone());
            }
            let (row, visitor) = (row.clone(), sender.visitor.clone());
            let event = WideEvent { row, hits: hits.to_vec(), visitor };
            out.push(WideInput::Event(key, event.into()));
        }
    }
}

impl Sender {
    /// Tells the windows that have events of it that it is over.
    fn end(&self, out: &mut Vec<WideInput>) {
        let keys = self.keys.iter().cloned();
        out.extend(keys.map(|key| WideInput::VisitEnded(key, self.instance)));
    }
}

fn no_visits() -> Vec<HashTable<Sender>> {
    (0..PARTITIONS).map(|_| HashTable::new()).collect()
}

fn sender_of(
    visits: &mut HashTable<Sender>,
    (instance, partition): (Instance, PartitionId),
) -> &mut Sender {
    let new = || Sender { instance, partition, visitor: None, keys: SmallVec::new() };
    entry_of(visits, instance).or_insert_with(new).into_mut()
}

/// An open visit sent events to more windows than those known here.
fn join_sender(visits: &mut HashTable<Sender>, sender: &Sender) {
    match entry_of(visits, sender.instance) {
        Entry::Occupied(mut known) => {
            let known = known.get_mut();
            let new = sender.keys.iter().filter(|key| !known.keys.contains(key));
            let new: Vec<_> = new.cloned().collect();
            known.keys.extend(new);
            if known.visitor.is_none() {
                known.visitor.clone_from(&sender.visitor);
            }
        }
        Entry::Vacant(place) => drop(place.insert(sender.clone())),
    }
}

fn find(visits: &HashTable<Sender>, instance: Instance) -> Option<&Sender> {
    visits.find(spread(instance), |sender| sender.instance == instance)
}

fn entry_of(visits: &mut HashTable<Sender>, instance: Instance) -> Entry<'_, Sender> {
    visits.entry(
        spread(instance),
        |sender| sender.instance == instance,
        |sender| spread(sender.instance),
    )
}

/// Whether an event of this fate says who the visitor of its visit is.
pub(super) fn is_of_visit(fate: Fate) -> bool {
    use Fate::{Matched, NotCorrectable, OverVisitLimit, PutInPlace};
    matches!(fate, Matched | PutInPlace | OverVisitLimit | NotCorrectable)
}

/// The window of a kind that an event belongs to, if it belongs to one.
fn key_of(
    window: Window,
    row: &EventRow,
    (site, visitor): (&str, &Option<VisitorId>),
) -> Option<WideKey> {
    let identity = &row.identity;
    let key = match window {
        Window::Visit => return None,
        Window::Visitor => WindowKey::Visitor(visitor.clone()?),
        Window::User => WindowKey::User(identity.user.clone().filter(|_| identity.verified)?),
        Window::Site => WindowKey::Site,
        Window::Global => WindowKey::Global,
    };
    let site = if key == WindowKey::Global { "" } else { site };
    Some(WideKey { site: site.into(), key })
}

/// Instances are log sequences: their highest bits, by which the table tells entries apart, are all
/// the same.
fn spread(instance: Instance) -> u64 {
    instance.0.0.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
