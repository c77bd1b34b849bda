//! Rows and signed facts of an epoch become its [`EpochOutput`]. No timely here but its time.
//!
//! The order within an epoch is that of the rows' own keys: (log sequence, made-up first) for
//! events, the derived order for visits and actions. Facts are consolidated, so that what was found
//! and taken back within the epoch vanishes.

use super::Deliver;
use super::graph::{Diff, Time};
use super::shared::Shared;
use super::stage_operator::Row;
use crate::live::LiveHandle;
use crate::model::{
    ActionFact, ActionId, ActionRow, EpochMark, EpochOutput, EventRow, Flags, Op, VisitRow,
};
use differential_dataflow::consolidation::consolidate;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Gathers epochs until they are complete; worker 0's.
pub(super) struct Collector {
    deliver: Deliver,
    live: Option<LiveHandle>,
    shared: Arc<Shared>,
    epochs: BTreeMap<Time, Gathered>,
}

#[derive(Default)]
struct Gathered {
    mark: Option<EpochMark>,
    events: Vec<EventRow>,
    visits: Vec<VisitRow>,
    facts: Vec<(ActionFact, Diff)>,
}

impl Collector {
    pub(super) fn new(deliver: Deliver, live: Option<LiveHandle>, shared: Arc<Shared>) -> Self {
        Self { deliver, live, shared, epochs: BTreeMap::new() }
    }

    pub(super) fn rows(&mut self, epoch: Time, rows: impl Iterator<Item = Row>) {
        let gathered = self.epochs.entry(epoch).or_default();
        for row in rows {
            match row {
                Row::Mark(mark) => gathered.mark = Some(mark),
                Row::Event(row) => gathered.events.push(row),
                Row::Visit(row) => gathered.visits.push(*row),
            }
        }
    }

    pub(super) fn facts(&mut self, facts: impl Iterator<Item = (ActionFact, Time, Diff)>) {
        for (fact, epoch, sign) in facts {
            self.epochs.entry(epoch).or_default().facts.push((fact, sign));
        }
    }

    /// Delivers the epochs of which `is_complete` says that nothing more comes, oldest first.
    pub(super) fn deliver_complete(&mut self, is_complete: impl Fn(Time) -> bool) {
        while let Some(entry) = self.epochs.first_entry() {
            if !is_complete(*entry.key()) {
                break;
            }
            let output = entry.remove().into_output();
            let epoch = output.mark.epoch;
            if let Some(live) = &self.live {
                live.add_output(&output);
            }
            (self.deliver)(output);
            self.shared.delivered(epoch);
        }
    }
}

impl Gathered {
    fn into_output(mut self) -> EpochOutput {
        let mark = self.mark.expect("worker 0's stage says the mark before its frontier passes");
        self.events.sort_by(|left, right| {
            left.seq.cmp(&right.seq).then_with(|| is_made_up(right).cmp(&is_made_up(left)))
        });
        self.visits.sort_unstable();
        EpochOutput { mark, events: self.events, visits: self.visits, actions: actions(self.facts) }
    }
}

/// Looked at for equal log sequences only.
fn is_made_up(row: &EventRow) -> bool {
    row.event.view().is_ok_and(|view| view.flags.has(Flags::MADE_UP))
}

/// Signed facts as sorted lines of the actions table. When an action's acting match is taken back
/// and another one acts for it in the same epoch, that is one correction.
fn actions(mut facts: Vec<(ActionFact, Diff)>) -> Vec<ActionRow> {
    consolidate(&mut facts);
    let acting = |sign: i64| {
        let facts = facts
            .iter()
            .filter(move |(fact, diff)| diff.signum() == sign && fact.suppressed.is_none());
        facts.map(|(fact, _)| fact.action).collect::<BTreeSet<ActionId>>()
    };
    let retracted = acting(-1);
    let corrected: BTreeSet<_> = if retracted.is_empty() {
        BTreeSet::new()
    } else {
        acting(1).intersection(&retracted).copied().collect()
    };
    let mut rows: Vec<_> = facts
        .into_iter()
        .filter_map(|(fact, sign)| {
            let is_corrected = fact.suppressed.is_none() && corrected.contains(&fact.action);
            let op = match (sign > 0, is_corrected) {
                (true, true) => Op::Correct,
                (true, false) if fact.suppressed.is_none() => Op::Assert,
                (true, false) => Op::Suppress,
                (false, true) => return None,
                (false, false) => Op::Retract,
            };
            Some(ActionRow { fact, op })
        })
        .collect();
    rows.sort_unstable();
    rows
}
