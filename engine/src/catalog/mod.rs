//! Which packages are deployed, and what of them runs.
//!
//! ```text
//!  Deployer --(control record)--> log --> Catalog --(RuleChange)--> workers
//!      \___________ Compiler: one cache ____/
//! ```
//!
//! A [`Catalog`] follows the log's control records epoch by epoch, so that whoever replays the log
//! comes to the same rules at the same places. The [`Deployer`] is the way in: it checks a package
//! whole, beside all that stand, before its record is appended. Both compile by one [`Compiler`], so
//! what was checked a moment ago is not compiled again where it is to run, and never on a worker; it is
//! made ready to run ahead, too (`ahead`).
//!
//! **Slots.** A rule keeps its slot, and by it its state in every open window, as long as a rule of the
//! same place, name and version is deployed; a changed one gets another slot. A slot is given again
//! once no window holds anything of it. No output depends on which slot a rule has.
//!
//! **Invariant:** what runs is a function of the control records alone. A package that this version
//! cannot compile (an older one could) runs nothing, and the others run all the same.

mod admission;
mod ahead;
mod backfill;
mod backfills;
mod compiler;
mod deployer;
mod held;
mod saved;
mod slots;
#[cfg(test)]
pub(crate) mod tests;

use crate::log::{Control, Standing};
use crate::matcher::{CHANGE_EPOCHS, Prepared};
use crate::model::{Epoch, EpochMark};
use crate::stage::{RuleBegin, RuleChange};
use crate::suppress::{SuppressConfig, SuppressRules};
use ahead::Ready;
use beckon_rules::compile::Limits;
use beckon_rules::plan::{RulePlan, RuleSet};
use beckon_rules::schedule::ScheduleError;
use beckon_rules::schema::Schema;
use held::{BackfilledFrom, Held};
use slots::{Arranged, Slots};
use std::collections::BTreeSet;
use std::sync::Arc;

pub use admission::{Admission, NotAdmitted};
pub use backfill::{BACKFILL_RECORDS, Backfiller, PastEpochs};
pub use backfills::{Backfills, RuleBackfill};
pub use compiler::{Compiled, Compiler};
pub use deployer::{Deployed, Deployer, FolderPackage, NotDeployed};
pub use held::RulePlace;
pub use saved::{CatalogError, SavedCatalog};

/// Follows the control records of the log.
#[derive(Debug)]
pub struct Catalog {
    compiler: Arc<Compiler>,
    suppress: SuppressConfig,
    standing: Standing,
    slots: Slots,
    changing_until: Epoch,
    held: Held,
    backfilled_from: BackfilledFrom,
    /// What the workers have; nothing of it is new.
    current: RuleChange,
}

impl Catalog {
    /// A catalog in front of the log's first record: nothing is deployed.
    ///
    /// # Errors
    /// When the configuration's time zone is none.
    pub fn new(compiler: Arc<Compiler>, suppress: SuppressConfig) -> Result<Self, ScheduleError> {
        let rules = RuleSet::default();
        let current = RuleChange {
            suppress: Arc::new(SuppressRules::new(&rules, &suppress)?),
            rules: Arc::new(Prepared::new(Arc::new(rules))),
            retired: Arc::default(),
            fresh: Arc::default(),
            begins: Arc::default(),
            paused: Arc::default(),
            backfill: None,
            partial: Arc::default(),
        };
        let (slots, held) = (Slots::default(), Held::default());
        compiler.stand((&slots, &held), &suppress);
        Ok(Self {
            compiler,
            suppress,
            standing: Standing::default(),
            slots,
            changing_until: Epoch(0),
            held,
            backfilled_from: BackfilledFrom::new(),
            current,
        })
    }

    /// Takes the records of an epoch; what all workers take behind its end, if anything changes.
    pub fn apply(
        &mut self,
        mark: &EpochMark,
        controls: &[Arc<Control>],
    ) -> Option<Arc<RuleChange>> {
        let is_caught_up = std::mem::take(&mut self.held.is_caught_up);
        if controls.is_empty() && !is_caught_up {
            return None;
        }
        let before = self.standing.clone();
        controls.iter().for_each(|control| self.standing.apply(control));
        let mut change = self.current.clone();
        let is_other = self.standing.packages != before.packages;
        if is_other || is_caught_up {
            let records = mark.last_seq.0 + 1 - mark.first_seq.0;
            let is_first = mark.first_seq.0 == 1 && records <= controls.len() as u64;
            self.compile((mark, is_first), &mut change);
        }
        if is_other {
            change.begins = begins(&change, mark);
        }
        if is_other || is_caught_up {
            self.changing_until = Epoch(mark.epoch.0 + CHANGE_EPOCHS);
        }
        change.paused = Arc::new(self.standing.paused.clone());
        let none: Arc<[u32]> = Arc::default();
        self.current = RuleChange { retired: Arc::clone(&none), fresh: none, ..change.clone() };
        Some(Arc::new(change))
    }

    /// Puts what stands compiled into slots, behind the end of an epoch; nothing may have been before it.
    fn compile(&mut self, (ended, is_first): (&EpochMark, bool), change: &mut RuleChange) {
        let compiled = self.compiler.compile(&self.standing.packages);
        for key in &compiled.broken {
            tracing::error!(package = %key, "a deployed package no longer compiles: it does not run");
        }
        let arranged = self.slots.arrange(ended.epoch, &compiled.rules.rules);
        let Arranged { rules, retired, fresh } = arranged;
        let rules = in_slots(&compiled.rules, rules);
        self.held.retire(&retired);
        if !is_first {
            self.held.add(&fresh, &rules, ended.now);
        }
        let ready = self.compiler.ready(rules, &self.held, &self.suppress);
        let Ready { rules, prepared, shown, suppress, .. } = ready;
        self.compiler.stand((&self.slots, &self.held), &self.suppress);
        self.compiler.guess_caught_up(&rules, &self.held, &self.suppress);
        change.backfill = self.held.backfill(shown);
        let stand: BTreeSet<RulePlace> = (0_u32..)
            .zip(&rules.rules)
            .filter(|(slot, plan)| !plan.is_vacant() && !self.held.has(*slot))
            .map(|(_, plan)| held::place(plan))
            .collect();
        self.backfilled_from.retain(|rule, _| stand.contains(rule));
        change.suppress = suppress;
        change.rules = prepared;
        change.partial.reset(&fresh);
        change.retired = retired.into();
        change.fresh = fresh.into();
    }

    /// Whether a deployment may not have reached all open visits and windows behind this epoch.
    #[must_use]
    pub fn is_changing(&self, epoch: Epoch) -> bool {
        epoch < self.changing_until || self.held.is_any()
    }
}

/// The rules of packages in their slots.
fn in_slots(compiled: &RuleSet, rules: Vec<Arc<RulePlan>>) -> Arc<RuleSet> {
    let RuleSet { fields, types, .. } = compiled;
    Arc::new(RuleSet { fields: fields.clone(), rules, types: types.clone() })
}

/// When each rule began, with those that are new behind the end of an epoch.
fn begins(change: &RuleChange, ended: &EpochMark) -> Arc<[Option<RuleBegin>]> {
    let mut begins = vec![None; change.rules.slots()];
    for (begin, before) in begins.iter_mut().zip(change.begins.iter()) {
        *begin = *before;
    }
    let now = RuleBegin { seq: ended.last_seq, watermark: ended.watermark };
    for slot in change.fresh.iter() {
        begins[usize::try_from(*slot).expect("32 bits")] = Some(now);
    }
    begins.into()
}

/// A compiler for events as they come over HTTP.
#[must_use]
pub fn event_compiler() -> Arc<Compiler> {
    event_compiler_within(Limits::default())
}

/// The same; rules are warned of the limits of their server.
#[must_use]
pub fn event_compiler_within(limits: Limits) -> Arc<Compiler> {
    Arc::new(Compiler::new(Schema::event(), limits))
}
