//! The graph that every worker builds: feed, stage, second stage where rules ask for one,
//! suppression, collector.
//!
//! The feed has a part on every worker, so that each can be woken; only worker 0's part emits. It
//! takes whatever is queued when it is scheduled, one timely session for each epoch.

use super::collect::Collector;
use super::live::Tally;
use super::restore::RestoreError;
use super::shared::{Feed, Shared, Taken};
use super::stage_operator::{self, Row, Runner};
use super::{Deliver, WorkerIndex, live, suppress_operator, visit_check, wide_operator};
use crate::live::LiveHandle;
use crate::model::ActionRow;
use crate::stage::Stage;
use std::collections::BTreeMap;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::operator::source;
use timely::dataflow::{Scope, StreamVec};
use timely::progress::frontier::MutableAntichain;
use timely::worker::Worker;

/// Timely's time: the epoch's number.
pub(super) type Time = u64;
/// Differential's difference.
pub(super) type Diff = i64;

/// What one worker builds its graph from.
pub(super) struct Parts {
    pub(super) shared: Arc<Shared>,
    pub(super) index: WorkerIndex,
    pub(super) stage: Box<dyn Stage>,
    /// Worker 0's only.
    pub(super) deliver: Option<Deliver>,
    pub(super) live: Option<LiveHandle>,
}

/// Builds one worker's part, with what it goes on from, and says that it is built.
pub(super) fn build(worker: &mut Worker, parts: Parts) -> Result<(), RestoreError> {
    let Parts { shared, index, stage, deliver, live } = parts;
    let tally = || live.as_ref().map(|live| Tally::new(live.config()));
    let stage = Runner::new(stage, index, Arc::clone(&shared), tally())?;
    let wide = shared
        .wide()
        .map(|setup| wide_operator::Runner::new(setup.stage(), index, Arc::clone(&shared)));
    let wide = wide.transpose()?;
    let suppressor = shared.suppressor();
    let suppress = suppress_operator::Runner::new(suppressor, index, Arc::clone(&shared), tally())?;
    worker.dataflow_named::<Time, _, _>("beckon", |scope| {
        let input = feed(scope, &shared, index);
        let visits = stage.visits();
        let outputs = stage_operator::build(input, stage);
        let found = match wide {
            None => outputs.found,
            Some(wide) => {
                let (found, unsure) = wide_operator::build(outputs.wide, wide);
                outputs.found.concat(found).concat(visit_check::build(unsure, visits))
            }
        };
        let suppressed = suppress_operator::build(found, suppress);
        if let Some(live) = &live {
            live::maintain(outputs.live.concat(suppressed.live), live.clone());
        }
        let collector = deliver.map(|deliver| Collector::new(deliver, live, shared));
        collect(outputs.rows, suppressed.actions, collector);
    });
    Ok(())
}

fn feed<'scope>(
    scope: Scope<'scope, Time>,
    shared: &Arc<Shared>,
    index: WorkerIndex,
) -> StreamVec<'scope, Time, Feed> {
    let shared = Arc::clone(shared);
    source::<_, CapacityContainerBuilder<Vec<Feed>>, _, _>(
        scope,
        "Feed",
        move |capability, info| {
            shared.built(scope.worker().sync_activator_for(info.address.to_vec()), index);
            let workers = scope.worker().peers() as u64;
            let mut capability = (index.0 == 0).then_some(capability);
            move |output| {
                while let Some(held) = &mut capability {
                    match shared.take() {
                        Taken::Nothing => break,
                        Taken::End => capability = None,
                        Taken::Epoch(routed) => {
                            let epoch = routed.mark.epoch.0;
                            held.downgrade(&epoch);
                            let mut session = output.session(&*held);
                            for event in routed.events {
                                session.give(event);
                            }
                            for worker in 0..workers {
                                session.give(Feed::Mark(worker, routed.mark));
                            }
                            drop(session);
                            held.downgrade(&(epoch + 1));
                        }
                    }
                }
            }
        },
    )
}

/// Everything comes to worker 0, which delivers an epoch when both frontiers have passed it.
fn collect<'scope>(
    rows: StreamVec<'scope, Time, Row>,
    actions: StreamVec<'scope, Time, ActionRow>,
    mut collector: Option<Collector>,
) {
    let mut builder = OperatorBuilder::new("Collect".to_owned(), rows.scope());
    let mut rows = builder.new_input(rows, Exchange::new(|_: &Row| 0));
    let mut actions = builder.new_input(actions, Exchange::new(|_: &ActionRow| 0));
    builder.build(move |_| {
        move |frontiers| {
            let Some(collector) = &mut collector else { return };
            rows.for_each_stamp(|capability, containers| {
                let epoch = *capability.least().expect("the stage stamps with the epoch");
                containers.for_each(|rows| collector.rows(epoch, rows.drain(..)));
            });
            actions.for_each_stamp(|capability, containers| {
                let epoch = *capability.least().expect("the suppression stamps with the epoch");
                containers.for_each(|rows| collector.actions(epoch, rows.drain(..)));
            });
            while let Some((_, gathered)) = take_complete(&mut collector.epochs, frontiers) {
                collector.deliver(gathered);
            }
        }
    });
}

/// Takes out the oldest epoch, once nothing more comes of it by any input.
pub(super) fn take_complete<T>(
    epochs: &mut BTreeMap<Time, T>,
    frontiers: &[MutableAntichain<Time>],
) -> Option<(Time, T)> {
    let oldest = epochs.first_entry()?;
    let is_open = frontiers.iter().any(|frontier| frontier.less_equal(oldest.key()));
    (!is_open).then(|| oldest.remove_entry())
}
