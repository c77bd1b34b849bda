//! A [`Stage`] as a timely operator.
//!
//! Buffers an epoch until its frontier has passed, sorts its events by log sequence, gives them to
//! the stage, ends the epoch. Effects leave by two ports: rows as they are, matches as a signed
//! collection. The figures of the stage are published after each epoch.

use super::WorkerIndex;
use super::graph::{Diff, Time};
use super::shared::{Feed, Shared};
use crate::model::{ActionFact, EpochMark, EventRow, LoggedEvent, VisitRow};
use crate::stage::{Effect, Stage};
use differential_dataflow::{AsCollection, VecCollection};
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

/// A row on its way to the collector.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Row {
    /// From worker 0 only.
    Mark(EpochMark),
    Event(EventRow),
    Visit(VisitRow),
}

/// The streams that leave the stage.
pub(super) struct Outputs<'scope> {
    pub(super) rows: StreamVec<'scope, Time, Row>,
    pub(super) facts: VecCollection<'scope, Time, ActionFact, Diff>,
}

/// An epoch that is not complete yet.
struct Pending {
    to_rows: Capability<Time>,
    to_facts: Capability<Time>,
    mark: Option<EpochMark>,
    events: Vec<LoggedEvent>,
}

pub(super) fn build<'scope>(
    input: StreamVec<'scope, Time, Feed>,
    mut stage: Box<dyn Stage>,
    shared: &Arc<Shared>,
    index: WorkerIndex,
) -> Outputs<'scope> {
    let mut builder = OperatorBuilder::new("Stage".to_owned(), input.scope());
    let mut input = builder.new_input(input, Exchange::new(Feed::route));
    builder.set_notify_for(0, FrontierInterest::IfCapability);
    let (to_rows, rows) = builder.new_output::<Vec<Row>>();
    let (to_facts, facts) = builder.new_output::<Vec<(ActionFact, Time, Diff)>>();
    let mut to_rows = OutputBuilder::<_, CapacityContainerBuilder<Vec<Row>>>::from(to_rows);
    let mut to_facts = OutputBuilder::<_, CapacityContainerBuilder<Vec<_>>>::from(to_facts);
    let shared = Arc::clone(shared);
    builder.build(move |_| {
        let mut epochs = BTreeMap::<Time, Pending>::new();
        let mut effects = Vec::new();
        move |frontiers| {
            input.for_each_stamp(|capability, containers| {
                let epoch = *capability.least().expect("the feed stamps with the epoch");
                let pending = epochs.entry(epoch).or_insert_with(|| Pending {
                    to_rows: capability.retain_least(0).expect("the feed stamps with the epoch"),
                    to_facts: capability.retain_least(1).expect("the feed stamps with the epoch"),
                    mark: None,
                    events: Vec::new(),
                });
                containers.for_each(|feeds| pending.extend(feeds.drain(..)));
            });
            let (mut to_rows, mut to_facts) = (to_rows.activate(), to_facts.activate());
            while let Some(entry) = epochs.first_entry() {
                if frontiers.iter().any(|frontier| frontier.less_equal(entry.key())) {
                    break;
                }
                let pending = entry.remove();
                let mark = apply(&mut *stage, &pending.mark, pending.events, &mut effects);
                let mut rows = to_rows.session(&pending.to_rows);
                let mut facts = to_facts.session(&pending.to_facts);
                if index.0 == 0 {
                    rows.give(Row::Mark(mark));
                }
                for effect in effects.drain(..) {
                    match effect {
                        Effect::Event(row) => rows.give(Row::Event(row)),
                        Effect::Visit(row) => rows.give(Row::Visit(row)),
                        Effect::Match(fact, sign) => facts.give((fact, mark.epoch.0, sign)),
                    }
                }
                shared.set_stage_stats(index, stage.stats());
            }
        }
    });
    Outputs { rows, facts: facts.as_collection() }
}

impl Pending {
    fn extend(&mut self, feeds: impl Iterator<Item = Feed>) {
        for feed in feeds {
            match feed {
                Feed::Event(_, event) => self.events.push(event),
                Feed::Mark(_, mark) => self.mark = Some(mark),
            }
        }
    }
}

/// Runs one complete epoch through the stage.
fn apply(
    stage: &mut dyn Stage,
    mark: &Option<EpochMark>,
    mut events: Vec<LoggedEvent>,
    effects: &mut Vec<Effect>,
) -> EpochMark {
    let mark = mark.expect("every worker gets every epoch's mark before its frontier passes");
    events.sort_unstable_by_key(|event| event.seq);
    for event in &events {
        stage.event(event, effects);
    }
    stage.end_epoch(&mark, effects);
    mark
}
