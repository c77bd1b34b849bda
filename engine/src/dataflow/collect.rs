//! Rows of an epoch become its [`EpochOutput`]. No timely here but its time.
//!
//! The order within an epoch is that of the rows' own keys: (log sequence, made-up first) for
//! events, the derived order for visits and actions.

use super::Deliver;
use super::graph::Time;
use super::shared::Shared;
use super::stage_operator::Row;
use crate::live::LiveHandle;
use crate::model::{ActionRow, EpochMark, EpochOutput, EventRow, Flags, VisitRow};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Gathers epochs until they are complete; worker 0's.
pub(super) struct Collector {
    deliver: Deliver,
    live: Option<LiveHandle>,
    shared: Arc<Shared>,
    /// Those under way.
    pub(super) epochs: BTreeMap<Time, Gathered>,
}

/// What is known of an epoch.
#[derive(Default)]
pub(super) struct Gathered {
    mark: Option<EpochMark>,
    events: Vec<EventRow>,
    visits: Vec<VisitRow>,
    actions: Vec<ActionRow>,
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

    pub(super) fn actions(&mut self, epoch: Time, rows: impl Iterator<Item = ActionRow>) {
        self.epochs.entry(epoch).or_default().actions.extend(rows);
    }

    /// Delivers a complete epoch, the oldest that was taken out of `epochs`.
    pub(super) fn deliver(&mut self, gathered: Gathered) {
        let output = gathered.into_output();
        let epoch = output.mark.epoch;
        // Partitions that slept said nothing of it; all of it was said before.
        if self.shared.is_said(epoch) {
            return self.shared.delivered(epoch);
        }
        if let Some(live) = &self.live {
            live.add_output(&output);
        }
        (self.deliver)(output);
        self.shared.delivered(epoch);
    }
}

impl Gathered {
    fn into_output(mut self) -> EpochOutput {
        let mark = self.mark.expect("worker 0's stage says the mark before its frontier passes");
        self.events.sort_by(|left, right| {
            left.seq.cmp(&right.seq).then_with(|| is_made_up(right).cmp(&is_made_up(left)))
        });
        self.visits.sort_unstable();
        self.actions.sort_unstable();
        // Notices pass by the dataflow: the pipeline puts them in.
        let notices = Vec::new();
        EpochOutput {
            mark,
            events: self.events,
            visits: self.visits,
            actions: self.actions,
            notices,
        }
    }
}

/// Looked at for equal log sequences only.
fn is_made_up(row: &EventRow) -> bool {
    row.event.view().is_ok_and(|view| view.flags.has(Flags::MADE_UP))
}
