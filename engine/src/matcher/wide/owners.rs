//! Who had the action of a rule that fires once in a window of many.
//!
//! In the window of a user, of a site or of all sites such a rule has one action, whoever brings its match
//! about; what went is remembered by visitor (`suppress`). So a match that comes in the place of one that
//! was said in an epoch before is said of the visitor and the visit of that one, where it meets what
//! became of it: in the epoch that takes the first back, in any later one, and from a later version of
//! the rule, which is shown the past (`backfill`). What is said and taken back within one epoch was never
//! said.
//!
//! Nobody has the action of a match that does not act, for a reason that needs no memory: its rule is
//! disabled or its package paused, it was complete before its rule was deployed, its visitor is in
//! the control group, it is outside of opening hours. In the epoch that takes such a match back
//! another one corrects it all the same. A match that did not act because of a limit or a cooldown
//! has its action: that is known to the suppression stage alone.
//!
//! **Bound.** One for each such rule that is deployed, by name, and window. A user's window that is
//! forgotten forgets them; a rule that is gone leaves them in its partition's turn (`leaving`).
//!
//! **Invariant:** behind an epoch, a window that has an action is there: among the others or apart. (One
//! that lies apart and is forgotten there leaves it, until the rule is gone: another of its key may go on.)

use super::WideKey;
use crate::model::{ActionFact, ActionId, Instance, PartitionId, VisitId, VisitorId, WindowKey};
use beckon_rules::plan::{Fire, RulePlan};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The virtual partition of a window, the hash of its key, and the action.
type Place = (PartitionId, u64, ActionId);

/// An owner as it stands in a snapshot of its partition: the hash of its window's key, and the action.
pub(super) type SavedOwner = (u64, ActionId, Owner);

/// Who had an action.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Owner {
    package: Arc<str>,
    rule: Arc<str>,
    site: Arc<str>,
    visit: VisitId,
    instance: Instance,
    visitor: Option<VisitorId>,
    is_visit_open: bool,
}

/// All owners in the windows of one worker.
#[derive(Debug, Default)]
pub(super) struct Owners {
    known: BTreeMap<Place, Owner>,
    /// What is said in the epoch under way, and was not before.
    fresh: BTreeSet<Place>,
    /// Who had what was said in epochs before and is taken back in this one.
    taken_back: BTreeMap<Place, Owner>,
    /// Those whose visit is open.
    open: BTreeSet<(Instance, Place)>,
}

impl Owners {
    /// An epoch is over: what was said in it is known from now on.
    pub(super) fn end_epoch(&mut self) {
        self.fresh.clear();
        self.taken_back.clear();
    }

    /// A match that is said of a window is of whom its action belongs to; where that is nobody, it is its
    /// own. `acts`: nothing that needs no memory keeps it from acting.
    pub(super) fn assign(
        &mut self,
        window: &WideKey,
        plan: &RulePlan,
        fact: &mut ActionFact,
        acts: impl FnOnce(&ActionFact) -> bool,
    ) {
        let Some(place) = place_of(window, plan, fact) else { return };
        let known = self.known.get(&place).filter(|_| !self.fresh.contains(&place));
        if let Some(owner) = known.or_else(|| self.taken_back.get(&place)) {
            owner.put(fact);
            return;
        }
        self.fresh.insert(place);
        if acts(fact) {
            self.insert(place, Owner::of(fact));
        }
    }

    /// A match is taken back. One of the epoch under way was never said.
    pub(super) fn take_back(&mut self, window: &WideKey, plan: &RulePlan, fact: &ActionFact) {
        let Some(place) = place_of(window, plan, fact) else { return };
        if self.fresh.remove(&place) {
            self.retain(place..=place, |_| false);
        } else {
            self.taken_back.entry(place).or_insert_with(|| Owner::of(fact));
        }
    }

    /// A visit that sent events to a window is over.
    pub(super) fn visit_ended(&mut self, hash: u64, instance: Instance) {
        let (first, last) = ends(hash);
        let of_visit = self.open.range((instance, first)..=(instance, last));
        let of_visit: Vec<(Instance, Place)> = of_visit.copied().collect();
        for one in of_visit {
            self.open.remove(&one);
            if let Some(owner) = self.known.get_mut(&one.1) {
                owner.is_visit_open = false;
            }
        }
    }

    /// Whether an action of a window belongs to somebody.
    pub(super) fn has(&self, hash: u64) -> bool {
        let (first, last) = ends(hash);
        self.known.range(first..=last).next().is_some()
    }

    /// A window is forgotten.
    pub(super) fn forget_window(&mut self, hash: u64) {
        let (first, last) = ends(hash);
        self.retain(first..=last, |_| false);
    }

    /// Rules are gone: in this partition nobody owns what is of none of these.
    pub(super) fn keep_rules(&mut self, partition: PartitionId, rules: &[Arc<RulePlan>]) {
        let of_partition = within(partition);
        if self.known.range(of_partition.clone()).next().is_none() {
            return;
        }
        let deployed = rules.iter().filter(|plan| !plan.is_vacant());
        let deployed: BTreeSet<(&str, &str)> =
            deployed.map(|plan| (&*plan.package, &*plan.name)).collect();
        self.retain(of_partition, |owner| deployed.contains(&(&*owner.package, &*owner.rule)));
    }

    /// What a snapshot of a partition has of it, in order.
    pub(super) fn saved(&self, partition: PartitionId) -> Vec<SavedOwner> {
        let owners = self.known.range(within(partition));
        owners.map(|((_, hash, action), owner)| (*hash, *action, owner.clone())).collect()
    }

    /// Takes back what was saved.
    pub(super) fn restore(&mut self, saved: Vec<SavedOwner>) {
        for (hash, action, owner) in saved {
            self.insert(place(hash, action), owner);
        }
    }

    /// Bytes, by a figure for each.
    pub(super) fn bytes(&self) -> u64 {
        (self.known.len() * size_of::<(Place, Owner)>()) as u64
    }

    fn insert(&mut self, place: Place, owner: Owner) {
        if owner.is_visit_open {
            self.open.insert((owner.instance, place));
        }
        let (instance, before) = (owner.instance, self.known.insert(place, owner));
        if let Some(before) = before.filter(|before| before.instance != instance) {
            self.open.remove(&(before.instance, place));
        }
    }

    fn retain(&mut self, places: RangeInclusive<Place>, is_kept: impl Fn(&Owner) -> bool) {
        let gone = self.known.range(places).filter(|(_, owner)| !is_kept(owner));
        let gone: Vec<(Place, Instance)> =
            gone.map(|(place, owner)| (*place, owner.instance)).collect();
        for (place, instance) in gone {
            self.known.remove(&place);
            self.fresh.remove(&place);
            self.open.remove(&(instance, place));
        }
    }
}

impl Owner {
    fn of(fact: &ActionFact) -> Self {
        Self {
            package: Arc::clone(&fact.package),
            rule: Arc::clone(&fact.rule),
            site: Arc::clone(&fact.site),
            visit: fact.visit.clone(),
            instance: fact.instance,
            visitor: fact.visitor.clone(),
            is_visit_open: fact.is_visit_open,
        }
    }

    /// The match is of this visitor.
    fn put(&self, fact: &mut ActionFact) {
        fact.site = Arc::clone(&self.site);
        (fact.visit, fact.instance) = (self.visit.clone(), self.instance);
        fact.visitor.clone_from(&self.visitor);
        fact.is_visit_open = self.is_visit_open;
    }
}

/// Whether events of several visitors meet in a window.
fn is_of_many(key: &WindowKey) -> bool {
    match key {
        WindowKey::Visit | WindowKey::Visitor(_) => false,
        WindowKey::User(_) | WindowKey::Site | WindowKey::Global => true,
    }
}

/// Where the owner of a match's action stands, if one is kept.
fn place_of(window: &WideKey, plan: &RulePlan, fact: &ActionFact) -> Option<Place> {
    let is_kept = plan.fire == Fire::Once && is_of_many(&window.key);
    is_kept.then(|| place(window.stable_hash(), fact.action))
}

fn place(hash: u64, action: ActionId) -> Place {
    (PartitionId::of(hash), hash, action)
}

/// The first and the last place of a window.
fn ends(hash: u64) -> (Place, Place) {
    (place(hash, ActionId(0)), place(hash, ActionId(u128::MAX)))
}

/// All places of a partition.
fn within(partition: PartitionId) -> RangeInclusive<Place> {
    (partition, 0, ActionId(0))..=(partition, u64::MAX, ActionId(u128::MAX))
}
