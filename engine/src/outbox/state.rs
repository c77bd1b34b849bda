//! What the writer and the readers of the outbox share, and the handle to it.

use super::OutboxConfig;
use super::error::{OutboxError, io_error};
use super::frame::file_path;
use super::reader::OutboxReader;
use crate::disk::Disk;
use crate::model::Epoch;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A file of the outbox, as far as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileInfo {
    pub(super) first: Epoch,
    pub(super) bytes: u64,
}

#[derive(Debug)]
pub(super) struct State {
    /// Ascending.
    pub(super) files: Vec<FileInfo>,
    /// The last epoch held, or behind which the next is appended.
    pub(super) last: Epoch,
    pub(super) closed: bool,
}

impl State {
    fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The first epoch held, or the next one.
    pub(super) fn first(&self) -> Epoch {
        self.files.first().map_or(self.last.next(), |file| file.first)
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) config: OutboxConfig,
    state: Mutex<State>,
    /// Readers wait here.
    grown: Condvar,
    /// The writer waits here.
    shrunk: Condvar,
}

/// How far a reader may go.
pub(super) enum Readable {
    /// The reader's file is written up to here.
    Bytes(u64),
    /// The reader's file is read, and the one that starts with its next epoch is there.
    Next,
    Nothing,
    Closed,
}

impl Shared {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        config: OutboxConfig,
        state: State,
    ) -> Self {
        let (grown, shrunk) = (Condvar::new(), Condvar::new());
        Self { disk, dir, config, state: Mutex::new(state), grown, shrunk }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // State is changed in whole steps, so a thread that panicked left it consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_full(&self) -> bool {
        self.state().bytes() >= self.config.outbox_bytes_max
    }

    /// An epoch was written to the last file, which has `bytes` bytes now.
    pub(super) fn grow(&self, epoch: Epoch, bytes: u64) {
        let mut state = self.state();
        state.last = epoch;
        if let Some(file) = state.files.last_mut() {
            file.bytes = bytes;
        }
        drop(state);
        self.grown.notify_all();
    }

    pub(super) fn close(&self) {
        self.state().closed = true;
        self.grown.notify_all();
    }

    /// Waits up to `wait` until a file has more than `offset` bytes, or the next one is there.
    pub(super) fn wait_readable(
        &self,
        (file, offset): (Epoch, u64),
        next: Epoch,
        wait: Duration,
    ) -> Readable {
        let started = Instant::now();
        let mut state = self.state();
        loop {
            let known = state.files.iter().find(|known| known.first == file);
            if let Some(known) = known.filter(|known| known.bytes > offset) {
                return Readable::Bytes(known.bytes);
            }
            if file != next && state.last >= next {
                return Readable::Next;
            }
            if state.closed {
                return Readable::Closed;
            }
            let Some(left) = wait.checked_sub(started.elapsed()).filter(|left| !left.is_zero())
            else {
                return Readable::Nothing;
            };
            let waited = self.grown.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// What the outbox holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxStats {
    /// Bytes of its files.
    pub bytes: u64,
    /// Its files.
    pub files: u64,
    /// The first epoch held, or the next one that will be.
    pub first: Epoch,
    /// The last epoch held, or behind which the next one comes.
    pub last: Epoch,
}

/// A handle to the outbox; clones are the same outbox.
#[derive(Clone, Debug)]
pub struct Outbox {
    pub(super) shared: Arc<Shared>,
}

impl Outbox {
    /// Reads from the epoch behind `after` on.
    ///
    /// # Errors
    /// [`OutboxError::Gone`] when that was removed, or what the file system says.
    pub fn reader(&self, after: Epoch) -> Result<OutboxReader, OutboxError> {
        OutboxReader::open(Arc::clone(&self.shared), after)
    }

    /// Removes the files whose epochs are all at or before `through`, the slowest cursor's.
    ///
    /// # Errors
    /// What the file system says.
    pub fn release(&self, through: Epoch) -> Result<(), OutboxError> {
        let mut state = self.shared.state();
        let behind = state.files.windows(2).take_while(|pair| pair[1].first <= through.next());
        let count = behind.count();
        let removed = state.files.drain(..count).collect::<Vec<_>>();
        drop(state);
        for file in &removed {
            let path = file_path(&self.shared.dir, file.first);
            self.shared.disk.remove(&path).map_err(|source| io_error(&path, source))?;
        }
        if !removed.is_empty() {
            self.shared.shrunk.notify_all();
        }
        Ok(())
    }

    /// Waits until all up to an epoch is written, and brings it to disk; `false` where the writer is
    /// gone before. Not for the thread that appends.
    ///
    /// # Errors
    /// What the file system says; what is on disk is then known to nobody.
    pub fn sync_through(&self, epoch: Epoch) -> Result<bool, OutboxError> {
        let mut state = self.shared.state();
        while state.last < epoch && !state.closed {
            state = self.shared.grown.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let is_written = state.last >= epoch;
        let unsynced: Vec<_> = state.files.iter().map(|file| file.first).collect();
        drop(state);
        for first in unsynced.into_iter().filter(|first| is_written && *first <= epoch) {
            let path = file_path(&self.shared.dir, first);
            let synced = match self.shared.disk.open(&path) {
                Ok(file) => file.sync(),
                // It was released meanwhile: every sink has taken it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
            };
            synced.map_err(|source| io_error(&path, source))?;
        }
        let dir = &self.shared.dir;
        self.shared.disk.sync_dir(dir).map_err(|source| io_error(dir, source))?;
        Ok(is_written)
    }

    /// Waits up to `wait` until something may be appended; whether it may.
    #[must_use]
    pub fn wait_for_room(&self, wait: Duration) -> bool {
        let started = Instant::now();
        let mut state = self.shared.state();
        while state.bytes() >= self.shared.config.outbox_bytes_max {
            let Some(left) = wait.checked_sub(started.elapsed()).filter(|left| !left.is_zero())
            else {
                return false;
            };
            let waited = self.shared.shrunk.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// What it holds.
    #[must_use]
    pub fn stats(&self) -> OutboxStats {
        let state = self.shared.state();
        OutboxStats {
            bytes: state.bytes(),
            files: state.files.len() as u64,
            first: state.first(),
            last: state.last,
        }
    }
}
