//! A [`Stage`] as a timely operator.
//!
//! Buffers an epoch until its frontier has passed, sorts its events by log sequence, gives them to
//! the stage, ends the epoch. Effects leave by four ports: rows as they are, matches as signed facts
//! for the suppression with the epoch's mark, what second stages want of them (with the mark, where
//! there are any), and changes of live counts. The figures of the stage are published after each epoch.

use super::graph::{Diff, Time, take_complete};
use super::live::Tally;
use super::restore::{
    Partitions, RestoreError, give_live, restore_live, restore_visits, save_visits,
};
use super::shared::{Feed, Shared};
use super::visit_check::Visits;
use super::wide_operator::ToWide;
use super::{Behind, WorkerIndex};
use crate::live::LiveKey;
use crate::matcher::{Router, WideSetup};
use crate::model::{ActionFact, EpochMark, EventRow, LoggedEvent, VisitRow};
use crate::snapshot::{Cut, Part, Restored};
use crate::stage::{Effect, Stage};
use crate::suppress::{Presence, visitor_partition};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::rc::Rc;
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
    Visit(Box<VisitRow>),
}

/// What the stages say to the suppression.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Found {
    /// A signed fact, for the worker that has its visitor's partition.
    Fact(Box<ActionFact>, Diff),
    /// A visit that is over, for the same.
    Seen(Box<Presence>),
    /// The end of an epoch, for the worker whose stage says it, and whether no visit is open there.
    Mark(u64, EpochMark, bool),
}

impl Found {
    /// Timely takes this modulo the number of workers.
    pub(super) fn route(&self) -> u64 {
        match self {
            Self::Fact(fact, _) => u64::from(visitor_partition(fact).0),
            Self::Seen(presence) => u64::from(presence.partition().0),
            Self::Mark(worker, ..) => *worker,
        }
    }
}

/// The streams that leave the stage.
pub(super) struct Outputs<'scope> {
    pub(super) rows: StreamVec<'scope, Time, Row>,
    pub(super) found: StreamVec<'scope, Time, Found>,
    pub(super) wide: StreamVec<'scope, Time, ToWide>,
    pub(super) live: StreamVec<'scope, Time, (LiveKey, Time, Diff)>,
}

/// Capabilities to say something of one epoch.
struct Ports {
    rows: Capability<Time>,
    found: Capability<Time>,
    wide: Capability<Time>,
    live: Capability<Time>,
}

/// An epoch that is not complete yet.
#[derive(Default)]
struct Pending {
    mark: Option<EpochMark>,
    events: Vec<LoggedEvent>,
}

pub(super) fn build<'scope>(
    input: StreamVec<'scope, Time, Feed>,
    mut runner: Runner,
) -> Outputs<'scope> {
    let mut builder = OperatorBuilder::new("Stage".to_owned(), input.scope());
    let mut input = builder.new_input(input, Exchange::new(Feed::route));
    builder.set_notify_for(0, FrontierInterest::IfCapability);
    let (to_rows, rows) = builder.new_output::<Vec<Row>>();
    let (to_found, found) = builder.new_output::<Vec<Found>>();
    let (to_live, live) = builder.new_output::<Vec<(LiveKey, Time, Diff)>>();
    let (to_wide, wide) = builder.new_output::<Vec<ToWide>>();
    let mut to_rows = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(to_rows);
    let mut to_found = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(to_found);
    let mut to_live = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(to_live);
    let mut to_wide = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(to_wide);
    builder.build(move |_| {
        let mut epochs = BTreeMap::<Time, (Ports, Pending)>::new();
        move |frontiers| {
            input.for_each_stamp(|capability, containers| {
                let epoch = *capability.least().expect(STAMPED);
                let port = |port| capability.retain_least(port).expect(STAMPED);
                let (_, pending) = epochs.entry(epoch).or_insert_with(|| {
                    let ports =
                        Ports { rows: port(0), found: port(1), live: port(2), wide: port(3) };
                    (ports, Pending::default())
                });
                containers.for_each(|feeds| pending.extend(feeds.drain(..)));
            });
            let (mut to_rows, mut to_found) = (to_rows.activate(), to_found.activate());
            let (mut to_live, mut to_wide) = (to_live.activate(), to_wide.activate());
            while let Some((epoch, (ports, pending))) = take_complete(&mut epochs, frontiers) {
                let (mark, is_quiet, behind) = runner.run(pending);
                let mut session = to_live.session(&ports.live);
                runner.say_live(&mark, is_quiet, |key, change| session.give((key, epoch, change)));
                drop(session);
                let mut session = to_wide.session(&ports.wide);
                runner.send_on(mark, &behind, |sent| session.give(sent));
                drop(session);
                runner.give(&mark, &behind.cuts);
                let mut rows = to_rows.session(&ports.rows);
                let mut found = to_found.session(&ports.found);
                let index = runner.index.0 as u64;
                found.give(Found::Mark(index, mark, is_quiet));
                if runner.index.0 == 0 {
                    rows.give(Row::Mark(mark));
                }
                for effect in runner.effects.drain(..) {
                    match effect {
                        Effect::Event(row) => rows.give(Row::Event(row)),
                        Effect::Visit(row) => {
                            if let Some(presence) = Presence::of(&row) {
                                found.give(Found::Seen(Box::new(presence)));
                            }
                            rows.give(Row::Visit(row));
                        }
                        Effect::Match(fact, sign) => found.give(Found::Fact(fact, sign)),
                    }
                }
            }
        }
    });
    Outputs { rows, found, live, wide }
}

pub(super) const STAMPED: &str = "the feed stamps with the epoch";

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

/// Runs complete epochs through a stage.
pub(super) struct Runner {
    visits: Rc<Visits>,
    index: WorkerIndex,
    shared: Arc<Shared>,
    tally: Option<Tally>,
    /// What second stages want, where there are any.
    router: Option<Router>,
    /// Of the epoch under way.
    effects: Vec<Effect>,
}

impl Runner {
    /// `tally`: none where nobody watches live.
    pub(super) fn new(
        mut stage: Box<dyn Stage>,
        index: WorkerIndex,
        shared: Arc<Shared>,
        mut tally: Option<Tally>,
    ) -> Result<Self, RestoreError> {
        let mut router = shared.wide().map(WideSetup::router);
        let visits = Partitions::new(&shared, index, Part::Visits);
        let restored =
            visits.restore(|piece| restore_visits(&mut *stage, router.as_mut(), &piece))?;
        if let Some(Restored { base, rules, .. }) = restored {
            stage.resume(base, rules);
            router.iter_mut().for_each(|router| router.deploy(rules));
        }
        restore_live(&shared, index, Part::LiveEvents, tally.as_mut())?;
        let visits = Rc::new(Visits::new(stage));
        Ok(Self { visits, index, shared, tally, router, effects: Vec::new() })
    }

    /// The stage, for others to ask.
    pub(super) fn visits(&self) -> Rc<Visits> {
        Rc::clone(&self.visits)
    }

    /// Leaves the epoch's effects in `effects`; says the mark, whether no visit is open, and what is done
    /// behind the epoch.
    fn run(&mut self, pending: Pending) -> (EpochMark, bool, Behind) {
        let Pending { mark, mut events } = pending;
        let mark = mark.expect("every worker gets every epoch's mark before its frontier passes");
        events.sort_unstable_by_key(|event| event.seq);
        let mut stage = self.visits.stage();
        stage.events(&events, &mut self.effects);
        stage.end_epoch(&mark, &mut self.effects);
        if self.router.is_some() {
            let oldest = self.shared.oldest().unwrap_or(mark.epoch);
            self.visits.note(mark.epoch, &self.effects, oldest);
        }
        let behind = self.shared.behind(mark.epoch);
        if let Some(change) = &behind.change {
            stage.deploy(change);
        }
        if let Some(inquiry) = behind.backfill.as_ref().and_then(|step| step.inquiry.as_ref()) {
            inquiry.answer(&**stage);
        }
        let stats = stage.stats();
        self.shared.set_stage_stats(self.index, stats);
        (mark, stats.visits_open == 0, behind)
    }

    fn send_on(&mut self, mark: EpochMark, behind: &Behind, mut send: impl FnMut(ToWide)) {
        let Some(router) = &mut self.router else { return };
        let mut inputs = Vec::new();
        router.route(&self.effects, &mut inputs);
        let stage = self.visits.stage();
        router.join_turn(|partition| stage.open_visits(partition), &mut inputs);
        if let Some(visits) = behind.backfill.as_ref().and_then(|step| step.caught_up.as_ref()) {
            router.join(visits, |partition| self.shared.has(self.index, partition));
        }
        if let Some(change) = &behind.change {
            router.deploy(change);
        }
        inputs.into_iter().map(ToWide::Input).for_each(&mut send);
        send(ToWide::Mark(self.index.0 as u64, mark));
    }

    /// Gives the pieces of a snapshot away that are asked for.
    fn give(&self, mark: &EpochMark, cuts: &[Cut]) {
        let Self { visits, index, shared, tally, router, .. } = self;
        Partitions::new(shared, *index, Part::Visits).give(mark, cuts, |partition, out| {
            save_visits(&**visits.stage(), router.as_ref(), (partition, out));
        });
        give_live(shared, (*index, Part::LiveEvents), (mark, cuts), tally.as_ref());
    }

    fn say_live(&mut self, mark: &EpochMark, is_quiet: bool, say: impl FnMut(LiveKey, i64)) {
        if let Some(tally) = &mut self.tally {
            let effects = &self.effects;
            if self.shared.is_said(mark.epoch) {
                return;
            }
            tally.epoch(mark, is_quiet, |tally| effects.iter().for_each(|it| tally.add(it)), say);
        }
    }
}
