//! Appends what the engine says, epoch by epoch.

use super::OutboxConfig;
use super::error::{OutboxError, io_error};
use super::frame::{HEADER_BYTES, encode, file_path, header};
use super::recover::recover;
use super::state::{FileInfo, Outbox, Shared};
use crate::disk::{Disk, DiskFile};
use crate::model::{Epoch, EpochOutput};
use std::path::PathBuf;
use std::sync::Arc;

/// What opening the outbox takes.
#[derive(Clone, Debug)]
pub struct OpenOutbox {
    /// Where its files are.
    pub disk: Arc<dyn Disk>,
    /// The folder of its own; made where it is missing.
    pub dir: PathBuf,
    /// Its bounds.
    pub config: OutboxConfig,
    /// The slowest sink's cursor, 0 for one that has none yet; `None` without sinks. When the
    /// outbox does not hold what comes behind it, all is removed and derived again from there.
    pub slowest: Option<Epoch>,
    /// The last epoch in the log; what lies behind is of another one.
    pub log_last: Epoch,
}

/// The only one that appends. Dropping it closes the outbox for its readers.
#[derive(Debug)]
pub struct OutboxWriter {
    outbox: Outbox,
    file: Option<Box<dyn DiskFile>>,
    /// Written bytes of `file`.
    bytes: u64,
    last: Epoch,
    frame: Vec<u8>,
}

impl OutboxWriter {
    /// Opens the outbox; the second is the last epoch that it holds, behind which it goes on.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(mut open: OpenOutbox) -> Result<(Self, Epoch), OutboxError> {
        open.config.file_bytes = open.config.file_bytes.min(open.config.outbox_bytes_max / 4);
        open.disk.create_dir_all(&open.dir).map_err(|source| io_error(&open.dir, source))?;
        let (state, file) = recover(&open)?;
        let last = state.last;
        let bytes = state.files.last().map_or(0, |file| file.bytes);
        let shared = Arc::new(Shared::new(open.disk, open.dir, open.config, state));
        let outbox = Outbox { shared };
        Ok((Self { outbox, file, bytes, last, frame: Vec::new() }, last))
    }

    /// A handle for readers and for what watches the outbox.
    #[must_use]
    pub fn outbox(&self) -> Outbox {
        self.outbox.clone()
    }

    /// Appends what the engine said of an epoch. One that is held already is passed over: a
    /// replay says it again.
    ///
    /// # Errors
    /// [`OutboxError::Full`], of which nothing was written (see [`Outbox::wait_for_room`]);
    /// [`OutboxError::Gap`]; what the file system says, after which the process should end.
    pub fn append(&mut self, output: &EpochOutput) -> Result<(), OutboxError> {
        let epoch = output.mark.epoch;
        if epoch <= self.last {
            return Ok(());
        }
        if epoch != self.last.next() {
            return Err(OutboxError::Gap { given: epoch, expected: self.last.next() });
        }
        if self.outbox.shared.is_full() {
            return Err(OutboxError::Full);
        }
        encode(output, &mut self.frame).ok_or(OutboxError::Encode(epoch))?;
        if self.file.is_none() || self.bytes >= self.outbox.shared.config.file_bytes {
            self.begin_file(epoch)?;
        }
        let file = self.file.as_ref().expect("a file was begun");
        if let Err(source) = file.write_at(self.bytes, &self.frame) {
            return Err(io_error(&self.outbox.shared.dir, source));
        }
        self.bytes += self.frame.len() as u64;
        self.last = epoch;
        self.outbox.shared.grow(epoch, self.bytes);
        Ok(())
    }

    fn begin_file(&mut self, first: Epoch) -> Result<(), OutboxError> {
        let shared = &self.outbox.shared;
        let path = file_path(&shared.dir, first);
        let fail = |source| io_error(&path, source);
        let file = shared.disk.create(&path).map_err(fail)?;
        file.write_at(0, &header(first)).map_err(fail)?;
        self.file = Some(file);
        self.bytes = HEADER_BYTES as u64;
        shared.state().files.push(FileInfo { first, bytes: self.bytes });
        Ok(())
    }
}

impl Drop for OutboxWriter {
    fn drop(&mut self) {
        self.outbox.shared.close();
    }
}
