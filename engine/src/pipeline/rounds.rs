//! When rounds of a snapshot begin, and which piece is taken behind which epoch.
//!
//! A round begins once the log has grown by `records` since the one before began, or when that is
//! `interval_ms` ago by the log's clock and something came. No round goes on while rules change: what the
//! partitions have of a deployment is then not the same everywhere. One that is under way is given up and
//! begun anew behind the change.

use crate::catalog::Catalog;
use crate::model::{EpochMark, LogSeq, PARTITIONS, PartitionId, ServerTimeMs};
use crate::snapshot::{Cut, PIECES_PENDING_MAX, Part, Rest, Snapshotter};
use std::sync::Arc;

/// How often a snapshot is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotConfig {
    /// Records of the log between the beginnings of two rounds: what a restart replays at most, beside
    /// what came during a round.
    pub records: u64,
    /// Time between them where the log grows slowly.
    pub interval_ms: i64,
}

impl Default for SnapshotConfig {
    fn default() -> Self {
        Self { records: 250_000, interval_ms: 60 * 60 * 1_000 }
    }
}

/// A round under way.
#[derive(Debug)]
struct Round {
    base: EpochMark,
    /// Cuts asked for.
    asked: usize,
}

/// The feeder's part of taking snapshots.
#[derive(Debug)]
pub(super) struct Rounds {
    config: SnapshotConfig,
    snapshotter: Arc<Snapshotter>,
    workers: usize,
    /// Where the last round began.
    begun: Option<(LogSeq, ServerTimeMs)>,
    round: Option<Round>,
}

const PARTITIONED: [Part; 3] = [Part::Visits, Part::Windows, Part::Visitors];
/// Cuts of a round, the one of what is live among them.
const CUTS: usize = PARTITIONED.len() * PARTITIONS as usize + 1;

/// A cut of a round, by its place.
fn cut(place: usize) -> Cut {
    let partitions = usize::from(PARTITIONS);
    let partition = u8::try_from(place % partitions).expect("below 256");
    PARTITIONED
        .get(place / partitions)
        .map_or(Cut::LIVE, |part| Cut { part: *part, partition: PartitionId(partition) })
}

impl Rounds {
    pub(super) fn new(
        (config, workers): (SnapshotConfig, usize),
        snapshotter: Arc<Snapshotter>,
        restored: Option<&Rest>,
    ) -> Self {
        let begun = restored.map(|rest| (rest.base.last_seq, rest.base.now));
        Self { config, snapshotter, workers, begun, round: None }
    }

    /// What is taken behind an epoch. `is_changing`: rules change in it or before it.
    pub(super) fn cuts(&mut self, mark: &EpochMark, is_changing: bool) -> Vec<Cut> {
        if is_changing {
            if self.round.take().is_some() {
                self.snapshotter.abandon();
            }
            return Vec::new();
        }
        if self.round.is_none() && self.is_due(mark) && !self.snapshotter.is_busy() {
            self.begun = Some((mark.last_seq, mark.now));
            self.snapshotter.begin(mark);
            self.round = Some(Round { base: *mark, asked: 0 });
        }
        let Some(round) = &mut self.round else { return Vec::new() };
        if self.snapshotter.pending() >= PIECES_PENDING_MAX {
            return Vec::new();
        }
        let cut = cut(round.asked);
        round.asked += 1;
        self.snapshotter.ask(if cut == Cut::LIVE { self.live_pieces() } else { 1 });
        vec![cut]
    }

    /// Whether the next epoch takes a piece.
    pub(super) fn waits_for_epoch(&self) -> bool {
        self.round.is_some() && self.snapshotter.pending() < PIECES_PENDING_MAX
    }

    fn is_due(&self, mark: &EpochMark) -> bool {
        let (seq, now) = self.begun.unwrap_or((LogSeq(0), mark.now));
        let records = mark.last_seq.0.saturating_sub(seq.0);
        let is_time = mark.now.0.saturating_sub(now.0) >= self.config.interval_ms;
        records >= self.config.records || (is_time && records > 0)
    }

    /// Each worker has one of each of both parts.
    fn live_pieces(&self) -> u64 {
        2 * self.workers as u64
    }

    /// An epoch was submitted with what [`Rounds::cuts`] said.
    pub(super) fn submitted(&mut self, mark: &EpochMark, catalog: &Catalog) {
        if let Some(Round { base, .. }) = self.round.take_if(|round| round.asked == CUTS) {
            let pieces = CUTS - 1 + usize::try_from(self.live_pieces()).expect("few workers");
            let rest = Rest { base, through: *mark, catalog: catalog.save() };
            self.snapshotter.end(pieces, rest);
        }
    }
}
