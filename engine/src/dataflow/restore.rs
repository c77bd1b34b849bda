//! What a worker takes from a snapshot when it starts, and what it gives to one behind an epoch.

use super::WorkerIndex;
use super::live::Tally;
use super::shared::Shared;
use crate::matcher::Router;
use crate::model::{EpochMark, PartitionId};
use crate::snapshot::{Cut, Part, Piece, Restored, Unreadable};
use crate::stage::Stage;
use std::io;

/// Why a worker could not take what it goes on from.
#[derive(Debug, thiserror::Error)]
pub(super) enum RestoreError {
    #[error("a piece of the snapshot cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error(transparent)]
    State(#[from] Unreadable),
}

/// A worker's own partitions of a stage, to be taken or given.
pub(super) struct Partitions<'a> {
    shared: &'a Shared,
    index: WorkerIndex,
    part: Part,
}

impl<'a> Partitions<'a> {
    pub(super) fn new(shared: &'a Shared, index: WorkerIndex, part: Part) -> Self {
        Self { shared, index, part }
    }

    /// Gives each saved one to `restore`; then what they go on from, if it is anything.
    pub(super) fn restore(
        &self,
        mut restore: impl FnMut(Piece) -> Result<(), Unreadable>,
    ) -> Result<Option<&'a Restored>, RestoreError> {
        let Some(restored) = self.shared.restored() else { return Ok(None) };
        for cut in restored.pieces.of(self.part) {
            if self.shared.has(self.index, cut.partition) {
                restore(restored.pieces.read(cut)?)?;
            }
        }
        Ok(Some(restored))
    }

    /// Gives away those that are asked for behind an epoch and that this worker has.
    pub(super) fn give(
        &self,
        ended: &EpochMark,
        asked: &[Cut],
        save: impl Fn(PartitionId, &mut Vec<u8>),
    ) {
        let is_asked =
            |cut: &&Cut| cut.part == self.part && self.shared.has(self.index, cut.partition);
        for cut in asked.iter().filter(is_asked) {
            let mut bytes = Vec::new();
            save(cut.partition, &mut bytes);
            self.shared.give(Piece { cut: *cut, epoch: ended.epoch, bytes });
        }
    }
}

/// Visits, behind their length, and what stage 2 knows of them behind the same epoch.
pub(super) fn save_visits(
    stage: &dyn Stage,
    router: Option<&Router>,
    (partition, out): (PartitionId, &mut Vec<u8>),
) {
    out.extend_from_slice(&[0; 8]);
    stage.save(partition, out);
    let length = (out.len() - 8) as u64;
    out[..8].copy_from_slice(&length.to_le_bytes());
    if let Some(router) = router {
        router.save(partition, out);
    }
}

/// The same back.
pub(super) fn restore_visits(
    stage: &mut dyn Stage,
    router: Option<&mut Router>,
    piece: &Piece,
) -> Result<(), Unreadable> {
    let split = piece.bytes.split_first_chunk().and_then(|(length, rest)| {
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        rest.split_at_checked(length)
    });
    let (visits, senders) = split.ok_or(Unreadable::SHORT)?;
    stage.restore(piece.cut.partition, piece.epoch, visits)?;
    if let Some(router) = router.filter(|_| !senders.is_empty()) {
        router.restore(senders)?;
    }
    Ok(())
}

/// What all workers counted live goes on with worker 0.
pub(super) fn restore_live(
    shared: &Shared,
    index: WorkerIndex,
    part: Part,
    tally: Option<&mut Tally>,
) -> Result<(), RestoreError> {
    let (Some(restored), Some(tally), 0) = (shared.restored(), tally, index.0) else {
        return Ok(());
    };
    for cut in restored.pieces.of(part) {
        let bytes = restored.pieces.read(cut)?.bytes;
        // Nobody watched.
        if !bytes.is_empty() {
            tally.restore(&bytes)?;
        }
    }
    Ok(())
}

/// Gives away what a worker counted live, nothing where nobody watches, if that is asked for.
pub(super) fn give_live(
    shared: &Shared,
    (index, part): (WorkerIndex, Part),
    (ended, asked): (&EpochMark, &[Cut]),
    tally: Option<&Tally>,
) {
    if asked.contains(&Cut::LIVE) {
        let mut bytes = Vec::new();
        tally.iter().for_each(|tally| tally.save(&mut bytes));
        let worker = u8::try_from(index.0).expect("at most 64 workers");
        let cut = Cut { part, partition: PartitionId(worker) };
        shared.give(Piece { cut, epoch: ended.epoch, bytes });
    }
}
