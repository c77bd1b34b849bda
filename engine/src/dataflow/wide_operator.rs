//! A [`Wide`] as a timely operator.
//!
//! Buffers an epoch until its frontier has passed: then all first stages have sent what belongs to
//! this worker's windows. What it finds goes to the suppression beside what they found; by way of stage 1
//! where that is to say whether a visit is open.

use super::graph::{Time, take_complete};
use super::restore::{Partitions, RestoreError};
use super::shared::Shared;
use super::stage_operator::{Found, STAMPED};
use super::visit_check::Unsure;
use super::{Behind, WorkerIndex};
use crate::matcher::{Wide, WideInput};
use crate::model::EpochMark;
use crate::snapshot::{Part, Piece, Restored};
use crate::stage::Effect;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

/// What the first stages send on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum ToWide {
    /// For the worker that has the window's partition.
    Input(WideInput),
    /// The end of an epoch, for the worker whose first stage says it.
    Mark(u64, EpochMark),
}

impl ToWide {
    /// Timely takes this modulo the number of workers.
    fn route(&self) -> u64 {
        match self {
            Self::Input(input) => u64::from(input.partition().0),
            Self::Mark(worker, _) => *worker,
        }
    }
}

/// An epoch that is not complete yet.
#[derive(Default)]
struct Pending {
    mark: Option<EpochMark>,
    inputs: Vec<WideInput>,
}

/// Runs complete epochs through a second stage.
pub(super) struct Runner {
    wide: Wide,
    index: WorkerIndex,
    shared: Arc<Shared>,
}

impl Runner {
    pub(super) fn new(
        mut wide: Wide,
        index: WorkerIndex,
        shared: Arc<Shared>,
    ) -> Result<Self, RestoreError> {
        let windows = Partitions::new(&shared, index, Part::Windows);
        let restored = windows
            .restore(|Piece { cut, epoch, bytes }| wide.restore(cut.partition, epoch, &bytes))?;
        if let Some(Restored { base, rules, .. }) = restored {
            wide.resume(base, rules);
        }
        Ok(Self { wide, index, shared })
    }

    /// What is found, and that of which it is not known whether its visit is open.
    fn run(&mut self, pending: Pending) -> (Vec<Found>, Vec<Unsure>) {
        let Pending { mark, inputs } = pending;
        let mark = mark.expect("this worker's stage says the mark before the frontier passes");
        let mut effects = Vec::new();
        self.wide.epoch(&mark, inputs, &mut effects);
        let Behind { change, backfill, cuts } = self.shared.behind(mark.epoch);
        if let Some(step) = backfill {
            let is_own = |partition| self.shared.has(self.index, partition);
            self.wide.backfill(&step, is_own, &mut effects);
        }
        let (mut found, mut unsure) = (Vec::new(), Vec::new());
        for effect in effects {
            match effect {
                Effect::Match(fact, sign) if self.wide.is_unsure(&fact) => {
                    unsure.push(Unsure(fact, sign));
                }
                Effect::Match(fact, sign) => found.push(Found::Fact(fact, sign)),
                Effect::Event(_) | Effect::Visit(_) => {}
            }
        }
        if let Some(change) = change {
            self.wide.deploy(&change);
        }
        Partitions::new(&self.shared, self.index, Part::Windows).give(
            &mark,
            &cuts,
            |partition, out| self.wide.save(partition, out),
        );
        self.shared.set_wide_stats(self.index, self.wide.stats());
        (found, unsure)
    }
}

pub(super) fn build<'scope>(
    input: StreamVec<'scope, Time, ToWide>,
    mut runner: Runner,
) -> (StreamVec<'scope, Time, Found>, StreamVec<'scope, Time, Unsure>) {
    let mut builder = OperatorBuilder::new("Wide".to_owned(), input.scope());
    let mut input = builder.new_input(input, Exchange::new(ToWide::route));
    builder.set_notify_for(0, FrontierInterest::IfCapability);
    let (to_found, found) = builder.new_output::<Vec<Found>>();
    let (to_unsure, unsure) = builder.new_output::<Vec<Unsure>>();
    let mut to_found = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(to_found);
    let mut to_unsure = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(to_unsure);
    builder.build(move |_| {
        let mut epochs = BTreeMap::<Time, ([Capability<Time>; 2], Pending)>::new();
        move |frontiers| {
            input.for_each_stamp(|capability, containers| {
                let epoch = *capability.least().expect(STAMPED);
                let (_, pending) = epochs.entry(epoch).or_insert_with(|| {
                    let port = |port| capability.retain_least(port).expect(STAMPED);
                    ([port(0), port(1)], Pending::default())
                });
                containers.for_each(|sent| {
                    for one in sent.drain(..) {
                        match one {
                            ToWide::Input(input) => pending.inputs.push(input),
                            ToWide::Mark(_, mark) => pending.mark = Some(mark),
                        }
                    }
                });
            });
            let (mut to_found, mut to_unsure) = (to_found.activate(), to_unsure.activate());
            while let Some((_, (ports, pending))) = take_complete(&mut epochs, frontiers) {
                let (found, unsure) = runner.run(pending);
                let mut session = to_found.session(&ports[0]);
                found.into_iter().for_each(|found| session.give(found));
                drop(session);
                let mut session = to_unsure.session(&ports[1]);
                unsure.into_iter().for_each(|unsure| session.give(unsure));
            }
        }
    });
    (found, unsure)
}
