//! Which rule has which slot.

use super::held::place;
use crate::log::PackageKey;
use crate::matcher::CHANGE_EPOCHS;
use crate::model::Epoch;
use beckon_rules::plan::{RulePlan, RuleVersion};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What a rule keeps its slot by.
type RuleKey = (PackageKey, Arc<str>, RuleVersion);

/// Rules in their slots.
#[derive(Debug)]
pub(super) struct Arranged {
    /// With a vacant rule in every slot that has none.
    pub(super) rules: Vec<Arc<RulePlan>>,
    /// Slots whose rule runs no more.
    pub(super) retired: Vec<u32>,
    /// Slots whose rule is new, sorted.
    pub(super) fresh: Vec<u32>,
}

/// The slots of all rules that run, and of those whose state is not gone yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Slots {
    by_rule: BTreeMap<RuleKey, u32>,
    /// The epoch by which the state of a slot is gone, in order.
    leaving: VecDeque<(Epoch, u32)>,
    free: BTreeSet<u32>,
    /// All of them.
    count: u32,
}

impl Slots {
    /// Puts the rules that run behind the end of an epoch into their slots.
    pub(super) fn arrange(&mut self, epoch: Epoch, rules: &[Arc<RulePlan>]) -> Arranged {
        while let Some((_, slot)) = self.leaving.front().filter(|(gone_by, _)| *gone_by <= epoch) {
            self.free.insert(*slot);
            self.leaving.pop_front();
        }
        let by_key: BTreeMap<RuleKey, _> = rules.iter().map(|plan| (key_of(plan), plan)).collect();
        let mut retired = Vec::new();
        self.by_rule.retain(|key, slot| {
            let stays = by_key.contains_key(key);
            retired.extend((!stays).then_some(*slot));
            stays
        });
        let gone_by = Epoch(epoch.0 + CHANGE_EPOCHS);
        self.leaving.extend(retired.iter().map(|slot| (gone_by, *slot)));
        let vacant = Arc::new(RulePlan::vacant());
        let mut fresh = Vec::new();
        let mut placed = Vec::new();
        for (key, plan) in by_key {
            let is_fresh = !self.by_rule.contains_key(&key);
            let slot = self.slot(key);
            fresh.extend(is_fresh.then_some(slot));
            placed.push((slot, Arc::clone(plan)));
        }
        fresh.sort_unstable();
        let count = usize::try_from(self.count).expect("32 bits");
        let mut arranged = vec![vacant; count];
        for (slot, plan) in placed {
            arranged[usize::try_from(slot).expect("32 bits")] = plan;
        }
        Arranged { rules: arranged, retired, fresh }
    }

    fn slot(&mut self, key: RuleKey) -> u32 {
        let Self { by_rule, free, count, .. } = self;
        *by_rule.entry(key).or_insert_with(|| {
            free.pop_first().unwrap_or_else(|| {
                *count += 1;
                *count - 1
            })
        })
    }
}

fn key_of(plan: &RulePlan) -> RuleKey {
    let (package, name) = place(plan);
    (package, name, plan.version)
}
