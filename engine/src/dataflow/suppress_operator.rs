//! A [`Suppressor`] as a timely operator.
//!
//! Buffers an epoch until its frontier has passed: then this worker's stage has said the mark, and
//! all stages what they found for this worker's visitors. Facts are consolidated first, so that a
//! match found and taken back within the epoch is never said. What acts is counted live here.

use super::graph::{Diff, Time, take_complete};
use super::live::Tally;
use super::restore::{Partitions, RestoreError, give_live, restore_live};
use super::shared::Shared;
use super::stage_operator::{Found, STAMPED};
use super::{Behind, WorkerIndex};
use crate::live::LiveKey;
use crate::model::{ActionFact, ActionRow, EpochMark};
use crate::snapshot::{Part, Piece, Restored};
use crate::suppress::{Presence, Suppressor};
use differential_dataflow::consolidation::consolidate;
use std::collections::BTreeMap;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

/// The streams that leave the suppression.
pub(super) struct Outputs<'scope> {
    pub(super) actions: StreamVec<'scope, Time, ActionRow>,
    pub(super) live: StreamVec<'scope, Time, (LiveKey, Time, Diff)>,
}

/// Capabilities to say something of one epoch.
struct Ports {
    actions: Capability<Time>,
    live: Capability<Time>,
}

/// An epoch that is not complete yet.
#[derive(Default)]
struct Pending {
    /// And whether no visit is open on this worker.
    mark: Option<(EpochMark, bool)>,
    facts: Vec<(ActionFact, Diff)>,
    seen: Vec<Presence>,
}

impl Pending {
    fn extend(&mut self, found: impl Iterator<Item = Found>) {
        for one in found {
            match one {
                Found::Fact(fact, sign) => self.facts.push((*fact, sign)),
                Found::Seen(presence) => self.seen.push(*presence),
                Found::Mark(_, mark, is_quiet) => self.mark = Some((mark, is_quiet)),
            }
        }
    }
}

/// Runs complete epochs through a suppressor.
pub(super) struct Runner {
    suppressor: Suppressor,
    index: WorkerIndex,
    shared: Arc<Shared>,
    tally: Option<Tally>,
}

impl Runner {
    pub(super) fn new(
        mut suppressor: Suppressor,
        index: WorkerIndex,
        shared: Arc<Shared>,
        mut tally: Option<Tally>,
    ) -> Result<Self, RestoreError> {
        let visitors = Partitions::new(&shared, index, Part::Visitors);
        let restored = visitors.restore(|Piece { cut, epoch, bytes }| {
            suppressor.restore(cut.partition, epoch, &bytes)
        })?;
        if let Some(Restored { base, rules, .. }) = restored {
            suppressor.resume(base, rules);
        }
        restore_live(&shared, index, Part::LiveActions, tally.as_mut())?;
        Ok(Self { suppressor, index, shared, tally })
    }

    fn run(&mut self, pending: Pending, say: impl FnMut(LiveKey, i64)) -> Vec<ActionRow> {
        let Pending { mark, mut facts, seen } = pending;
        let (mark, is_quiet) =
            mark.expect("this worker's stage says the mark before the frontier passes");
        consolidate(&mut facts);
        self.suppressor.seen(seen);
        let rows = self.suppressor.epoch(&mark, facts);
        let Behind { change, cuts, .. } = self.shared.behind(mark.epoch);
        if let Some(change) = change {
            self.suppressor.set_rules(&change.suppress);
            self.suppressor.set_paused(&change.paused);
        }
        self.shared.set_suppress_stats(self.index, self.suppressor.stats());
        if let Some(tally) = self.tally.as_mut().filter(|_| !self.shared.is_said(mark.epoch)) {
            tally.epoch(
                &mark,
                is_quiet,
                |tally| rows.iter().for_each(|row| tally.add_action(row)),
                say,
            );
        }
        let Self { suppressor, index, shared, tally } = self;
        Partitions::new(shared, *index, Part::Visitors)
            .give(&mark, &cuts, |partition, out| suppressor.save(partition, out));
        give_live(shared, (*index, Part::LiveActions), (&mark, &cuts), tally.as_ref());
        rows
    }
}

pub(super) fn build<'scope>(
    found: StreamVec<'scope, Time, Found>,
    mut runner: Runner,
) -> Outputs<'scope> {
    let mut builder = OperatorBuilder::new("Suppress".to_owned(), found.scope());
    let mut found = builder.new_input(found, Exchange::new(Found::route));
    builder.set_notify_for(0, FrontierInterest::IfCapability);
    let (to_actions, actions) = builder.new_output::<Vec<ActionRow>>();
    let (to_live, live) = builder.new_output::<Vec<(LiveKey, Time, Diff)>>();
    let mut to_actions = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(to_actions);
    let mut to_live = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(to_live);
    builder.build(move |_| {
        let mut epochs = BTreeMap::<Time, (Ports, Pending)>::new();
        move |frontiers| {
            found.for_each_stamp(|capability, containers| {
                let epoch = *capability.least().expect(STAMPED);
                let port = |port| capability.retain_least(port).expect(STAMPED);
                let (_, pending) = epochs.entry(epoch).or_insert_with(|| {
                    (Ports { actions: port(0), live: port(1) }, Pending::default())
                });
                containers.for_each(|found| pending.extend(found.drain(..)));
            });
            let (mut to_actions, mut to_live) = (to_actions.activate(), to_live.activate());
            while let Some((epoch, (ports, pending))) = take_complete(&mut epochs, frontiers) {
                let mut session = to_live.session(&ports.live);
                let rows = runner.run(pending, |key, change| session.give((key, epoch, change)));
                drop(session);
                let mut session = to_actions.session(&ports.actions);
                rows.into_iter().for_each(|row| session.give(row));
            }
        }
    });
    Outputs { actions, live }
}
