//! Asks stage 1 whether the visits of some matches are open.
//!
//! A rule that is shown the past says what is so at the place that the reading has reached
//! (`matcher/wide/backfill`): a visit that is open there may have ended long ago. Such a match goes by the
//! worker that has its visit. The stage there may be epochs ahead of it, so which visits ended is noted as
//! long as an epoch is under way: what is said was so in the match's own epoch, for any number of workers.

use super::graph::{Diff, Time};
use super::stage_operator::{Found, STAMPED};
use crate::model::{ActionFact, Epoch, Instance, VisitChange, partition_of};
use crate::stage::{Effect, Stage};
use serde::{Deserialize, Serialize};
use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

/// A worker's stage, for the operator that runs it and the one that asks it.
pub(super) struct Visits {
    stage: RefCell<Box<dyn Stage>>,
    /// Which visits ended, sorted, by epoch under way.
    ended: RefCell<VecDeque<(Epoch, Vec<Instance>)>>,
}

impl Visits {
    pub(super) fn new(stage: Box<dyn Stage>) -> Self {
        Self { stage: RefCell::new(stage), ended: RefCell::default() }
    }

    pub(super) fn stage(&self) -> RefMut<'_, Box<dyn Stage>> {
        self.stage.borrow_mut()
    }

    /// Notes which visits ended in an epoch. `oldest`: nobody asks for an epoch before this.
    pub(super) fn note(&self, epoch: Epoch, effects: &[Effect], oldest: Epoch) {
        let mut noted = self.ended.borrow_mut();
        while noted.front().is_some_and(|(at, _)| *at < oldest) {
            noted.pop_front();
        }
        let ended = effects.iter().filter_map(|effect| match effect {
            Effect::Visit(row) if matches!(row.change, VisitChange::Closed(_)) => {
                Some(row.instance)
            }
            Effect::Visit(_) | Effect::Event(_) | Effect::Match(..) => None,
        });
        let mut ended: Vec<Instance> = ended.collect();
        if !ended.is_empty() {
            ended.sort_unstable();
            noted.push_back((epoch, ended));
        }
    }

    /// Whether the visit of a match was open in an epoch: one that ends in it was, as for all other matches
    /// of its events.
    fn was_open(&self, fact: &ActionFact, epoch: Epoch) -> bool {
        let ActionFact { site, visit, instance, .. } = fact;
        self.stage.borrow().is_open(site, visit, *instance)
            || self.ended.borrow().iter().any(|(ended, instances)| {
                *ended >= epoch && instances.binary_search(instance).is_ok()
            })
    }
}

/// A signed match whose visit is to be asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Unsure(pub(super) Box<ActionFact>, pub(super) Diff);

impl Unsure {
    /// To the worker that has the visit: timely takes this modulo the number of workers.
    fn route(&self) -> u64 {
        u64::from(partition_of(&self.0.site, &self.0.visit).0)
    }
}

pub(super) fn build<'scope>(
    unsure: StreamVec<'scope, Time, Unsure>,
    visits: Rc<Visits>,
) -> StreamVec<'scope, Time, Found> {
    let mut builder = OperatorBuilder::new("VisitCheck".to_owned(), unsure.scope());
    let mut unsure = builder.new_input(unsure, Exchange::new(Unsure::route));
    builder.set_notify_for(0, FrontierInterest::Never);
    let (to_found, found) = builder.new_output::<Vec<Found>>();
    let mut to_found = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(to_found);
    builder.build(move |_| {
        move |_| {
            let mut to_found = to_found.activate();
            unsure.for_each_stamp(|capability, containers| {
                let epoch = *capability.least().expect(STAMPED);
                let port = capability.retain_least(0).expect(STAMPED);
                let mut session = to_found.session(&port);
                containers.for_each(|facts| {
                    for Unsure(mut fact, sign) in facts.drain(..) {
                        fact.is_visit_open = visits.was_open(&fact, Epoch(epoch));
                        session.give(Found::Fact(fact, sign));
                    }
                });
            });
        }
    });
    found
}
