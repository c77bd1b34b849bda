//! From what stage 1 said to the windows of stage 2.

use super::super::fields::Buffers;
use super::super::index::Hit;
use super::super::prepared::Prepared;
use super::{WideEvent, WideInput, WideKey};
use crate::model::{
    EventRow, EventView, Fate, Instance, PartitionId, VisitChange, VisitorId, WindowKey,
    partition_of,
};
use crate::stage::{Effect, RuleChange};
use beckon_rules::plan::Window;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::sync::Arc;

/// Stands behind stage 1 on one worker.
#[derive(Debug)]
pub struct Router {
    prepared: Arc<Prepared>,
    /// Open visits that had events while rules were there. Never iterated.
    visits: HashTable<Sender>,
    hits: Vec<Hit>,
    buffers: Buffers,
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

impl Router {
    pub(super) fn new(prepared: Arc<Prepared>) -> Self {
        Self { prepared, visits: HashTable::new(), hits: Vec::new(), buffers: Buffers::default() }
    }

    /// What the effects of an epoch, in their order, send on.
    pub fn route(&mut self, effects: &[Effect], out: &mut Vec<WideInput>) {
        if self.prepared.wide.is_none() && self.visits.is_empty() {
            return;
        }
        for effect in effects {
            match effect {
                Effect::Event(row) => self.event(row, out),
                Effect::Visit(row) if matches!(row.change, VisitChange::Closed(_)) => {
                    self.closed(row.instance, out);
                }
                Effect::Visit(_) | Effect::Match(..) => {}
            }
        }
    }

    /// The open visits, in no order.
    pub(super) fn senders(&self) -> impl Iterator<Item = &Sender> {
        self.visits.iter()
    }

    /// Adds a visit that was open when it was saved.
    pub(super) fn insert_restored(&mut self, sender: Sender) {
        let place = spread(sender.instance);
        self.visits.insert_unique(place, sender, |sender| spread(sender.instance));
    }

    /// An open visit sent events to more windows than those known here.
    pub(super) fn join_sender(&mut self, sender: &Sender) {
        match entry_of(&mut self.visits, sender.instance) {
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

    /// Takes other rules behind the end of an epoch.
    pub fn deploy(&mut self, change: &RuleChange) {
        self.set_rules(Arc::clone(&change.rules));
    }

    pub(super) fn set_rules(&mut self, rules: Arc<Prepared>) {
        self.prepared = rules;
    }

    fn closed(&mut self, instance: Instance, out: &mut Vec<WideInput>) {
        let entry = self.visits.find_entry(spread(instance), |one| one.instance == instance);
        let Ok(entry) = entry else { return };
        let keys = entry.remove().0.keys;
        out.extend(keys.into_iter().map(|key| WideInput::VisitEnded(key, instance)));
    }

    fn event(&mut self, row: &EventRow, out: &mut Vec<WideInput>) {
        let Self { prepared, visits, hits, buffers } = self;
        let Some(index) = &prepared.wide else { return };
        let Some(instance) = row.instance.filter(|_| is_of_visit(row.fate)) else { return };
        let Ok(view) = row.event.view() else { return };
        let sender = sender_of(visits, instance, &view);
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

fn sender_of<'s>(
    visits: &'s mut HashTable<Sender>,
    instance: Instance,
    view: &EventView<'_>,
) -> &'s mut Sender {
    let new = || {
        let partition = partition_of(view.site, &view.visit());
        Sender { instance, partition, visitor: None, keys: SmallVec::new() }
    };
    entry_of(visits, instance).or_insert_with(new).into_mut()
}

fn entry_of(visits: &mut HashTable<Sender>, instance: Instance) -> Entry<'_, Sender> {
    visits.entry(
        spread(instance),
        |sender| sender.instance == instance,
        |sender| spread(sender.instance),
    )
}

/// Whether an event of this fate says who the visitor of its visit is.
fn is_of_visit(fate: Fate) -> bool {
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
