//! Follows the outbox from its files. What was just written comes from the page cache.

use super::error::{OutboxError, io_error};
use super::frame::{FrameError, FrameScan, file_path};
use super::state::{Readable, Shared};
use crate::model::{Epoch, EpochOutput};
use std::sync::Arc;
use std::time::Duration;

/// A place in the outbox that moves forward.
#[derive(Debug)]
pub struct OutboxReader {
    shared: Arc<Shared>,
    /// The epoch behind which it gives; it passes over what comes before.
    after: Epoch,
    /// The file it is in, by its first epoch, once there is one.
    place: Option<(Epoch, FrameScan)>,
    /// How far the file was known to be written when last asked.
    end: u64,
}

impl OutboxReader {
    pub(super) fn open(shared: Arc<Shared>, after: Epoch) -> Result<Self, OutboxError> {
        if after.next() < shared.state().first() {
            return Err(OutboxError::Gone(after.next()));
        }
        Ok(Self { shared, after, place: None, end: 0 })
    }

    /// The output of the next epoch; waits up to `wait` for it. `None`: none came.
    ///
    /// # Errors
    /// [`OutboxError::Closed`] once the writer is gone and all was read; [`OutboxError::Gone`];
    /// damage; what the file system says.
    pub fn next(&mut self, wait: Duration) -> Result<Option<EpochOutput>, OutboxError> {
        loop {
            if let Some(output) = self.buffered()? {
                return Ok(Some(output));
            }
            let next = self.place.as_ref().map(|(_, scan)| scan.next_epoch());
            let next = next.unwrap_or(self.after.next());
            let place = self.place.as_ref().map(|(file, scan)| (*file, scan.offset()));
            match self.shared.wait_readable(place.unwrap_or((Epoch(0), 0)), next, wait) {
                Readable::Bytes(end) => self.end = end,
                Readable::Next => self.enter(next)?,
                Readable::Nothing => return Ok(None),
                Readable::Closed => return Err(OutboxError::Closed),
            }
        }
    }

    /// Goes to the file that holds an epoch.
    fn enter(&mut self, epoch: Epoch) -> Result<(), OutboxError> {
        let state = self.shared.state();
        let behind = state.files.partition_point(|file| file.first <= epoch);
        let file = behind.checked_sub(1).map(|at| state.files[at]);
        let file = file.ok_or(OutboxError::Gone(epoch))?;
        drop(state);
        let path = file_path(&self.shared.dir, file.first);
        let opened = self.shared.disk.open(&path).map_err(|source| io_error(&path, source))?;
        self.place = Some((file.first, FrameScan::new(opened, file.first)));
        self.end = file.bytes;
        Ok(())
    }

    /// The next output of what is known to be written.
    fn buffered(&mut self) -> Result<Option<EpochOutput>, OutboxError> {
        let Some((file, scan)) = &mut self.place else { return Ok(None) };
        let path = || file_path(&self.shared.dir, *file);
        let damaged =
            |offset| OutboxError::Damaged { path: path().display().to_string().into(), offset };
        loop {
            let (offset, epoch) = (scan.offset(), scan.next_epoch());
            match scan.next_frame(self.end) {
                Ok(None) => return Ok(None),
                Ok(Some(_)) if epoch <= self.after => {}
                Ok(Some(frame)) => {
                    let output = postcard::from_bytes(frame).map_err(|_| damaged(offset))?;
                    return Ok(Some(output));
                }
                Err(FrameError::Flawed(offset)) => return Err(damaged(offset)),
                Err(FrameError::Io(source)) => return Err(io_error(&path(), source)),
            }
        }
    }
}
