//! Makes rules ready to run before the feeder asks for them: that takes milliseconds in which no epoch is
//! fed, more of them the more rules stand.
//!
//! Which slot a rule gets, and which rules are shown the log, is decided where the record of a change
//! stands. What is made before is a guess, from what stood behind the last change: by the deployer before
//! it appends the record, and by a thread of its own while rules are shown the log, for the time when they
//! have caught up. It is taken if every rule is in the slot that was guessed and the same ones are held
//! back; otherwise (a slot came free meanwhile, another record came first, a replay) the feeder makes them
//! ready itself. So nothing that is said depends on it.

use super::held::Held;
use super::slots::{Arranged, Slots};
use super::{Compiler, in_slots};
use crate::matcher::Prepared;
use crate::model::{Epoch, ServerTimeMs};
use crate::suppress::{SuppressConfig, SuppressRules};
use beckon_rules::plan::{RulePlan, RuleSet};
use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard, PoisonError};

/// Guesses that are kept: several records may be on their way.
const GUESSES_MAX: usize = 4;

/// Rules in their slots, ready to run.
#[derive(Debug)]
pub(super) struct Ready {
    /// In their slots.
    pub(super) rules: Arc<RuleSet>,
    held: (Vec<u32>, Vec<u32>),
    /// Those that are not held back.
    pub(super) prepared: Arc<Prepared>,
    /// Those that are shown the log.
    pub(super) shown: Option<Arc<Prepared>>,
    pub(super) suppress: Arc<SuppressRules>,
}

impl Ready {
    fn new(rules: Arc<RuleSet>, held: &Held, suppress: &SuppressConfig) -> Self {
        let suppress = SuppressRules::new(&rules, suppress);
        Self {
            held: held.slots(),
            prepared: Arc::new(Prepared::of(Arc::clone(&rules), |slot| !held.has(slot))),
            shown: held.prepared(&rules),
            suppress: Arc::new(
                suppress.expect("compiling and `Catalog::new` checked the schedules"),
            ),
            rules,
        }
    }

    /// Whether it is the same rules in the same slots, with the same ones held back.
    fn is_of(&self, rules: &RuleSet, held: &Held) -> bool {
        let is_same = |(one, other): (&Arc<RulePlan>, &Arc<RulePlan>)| {
            Arc::ptr_eq(one, other) || (one.is_vacant() && other.is_vacant())
        };
        let is_any = rules.rules.iter().any(|plan| !plan.is_vacant());
        is_any
            && self.rules.rules.len() == rules.rules.len()
            && self.rules.rules.iter().zip(&rules.rules).all(is_same)
            && self.held == held.slots()
    }
}

/// What stands behind a change, as far as it decides what comes behind the next one.
#[derive(Clone, Debug)]
struct Base {
    slots: Slots,
    held: Held,
    suppress: SuppressConfig,
}

/// What is made ready ahead.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    base: Option<Base>,
    guesses: VecDeque<Ready>,
    taken: u64,
}

impl Ahead {
    fn push(&mut self, ready: Ready) {
        if self.guesses.len() == GUESSES_MAX {
            self.guesses.pop_front();
        }
        self.guesses.push_back(ready);
    }

    fn take(&mut self, rules: &RuleSet, held: &Held) -> Option<Ready> {
        let place = self.guesses.iter().position(|guess| guess.is_of(rules, held))?;
        self.taken += 1;
        // Those before it were for changes that are over.
        self.guesses.drain(..=place).next_back()
    }
}

impl Compiler {
    fn ahead(&self) -> MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands behind a change.
    pub(super) fn stand(&self, (slots, held): (&Slots, &Held), suppress: &SuppressConfig) {
        let (slots, held, suppress) = (slots.clone(), held.clone(), suppress.clone());
        self.ahead().base = Some(Base { slots, held, suppress });
    }

    /// Makes rules ready that were compiled, and whose record comes behind an epoch.
    pub fn guess(&self, compiled: &RuleSet, last: Epoch) {
        let base = self.ahead().base.clone();
        let Some(Base { mut slots, mut held, suppress }) = base else { return };
        let arranged = slots.arrange(Epoch(last.0 + 1), &compiled.rules);
        let Arranged { rules, retired, fresh } = arranged;
        let rules = in_slots(compiled, rules);
        held.retire(&retired);
        // From when on they are shown the log decides nothing here.
        held.add(&fresh, &rules, ServerTimeMs(0));
        let ready = Ready::new(rules, &held, &suppress);
        let mut ahead = self.ahead();
        ahead.base = Some(Base { slots, held, suppress });
        ahead.push(ready);
    }

    /// Makes rules ready for the time when those that are shown the log have caught up, on a thread of its
    /// own.
    pub(super) fn guess_caught_up(
        self: &Arc<Self>,
        rules: &Arc<RuleSet>,
        held: &Held,
        suppress: &SuppressConfig,
    ) {
        let (compiler, rules, suppress) = (Arc::clone(self), Arc::clone(rules), suppress.clone());
        let Some(held) = held.next() else { return };
        let guess = move || {
            let ready = Ready::new(rules, &held, &suppress);
            compiler.ahead().push(ready);
        };
        // Without it the feeder makes them ready.
        drop(std::thread::Builder::new().name("engine:ready".to_owned()).spawn(guess));
    }

    /// Rules that stand in their slots, ready to run: as guessed, or made ready now.
    pub(super) fn ready(
        &self,
        rules: Arc<RuleSet>,
        held: &Held,
        suppress: &SuppressConfig,
    ) -> Ready {
        let guessed = self.ahead().take(&rules, held);
        guessed.unwrap_or_else(|| Ready::new(rules, held, suppress))
    }

    /// How many guesses were right.
    #[must_use]
    pub fn guessed(&self) -> u64 {
        self.ahead().taken
    }
}
