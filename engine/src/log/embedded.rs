//! The log in files of this machine: opening, the thread, and the trait.

use super::api::{Acknowledge, CommitMark, Log, LogError, LogReader, LogStats, NewRecord, Refused};
use super::keeper::Keeper;
use super::reader::FileReader;
use super::recover::{LogBase, Named, recover};
use super::segment::io_error;
use super::state::{Shared, Work};
use super::writer::GroupWriter;
use super::{LogConfig, Standing};
use crate::clock::Clock;
use crate::disk::{Disk, DiskLock};
use crate::model::{Epoch, ServerTimeMs};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Called once, on the log's thread, with the reason, when a write or sync failed: the process
/// should end.
pub type OnFatal = Arc<dyn Fn(&str) + Send + Sync>;

/// What opening a log takes.
#[derive(Clone)]
pub struct OpenLog {
    /// Where its files are.
    pub disk: Arc<dyn Disk>,
    /// The folder of its own; made where it is missing.
    pub dir: PathBuf,
    /// What its marks take their time from.
    pub clock: Arc<dyn Clock>,
    /// Its bounds.
    pub config: LogConfig,
    /// How far it must reach.
    pub named: Named,
    /// What stood behind an epoch: from the newest snapshot.
    pub base: Option<LogBase>,
    /// See [`OnFatal`].
    pub on_fatal: OnFatal,
}

impl std::fmt::Debug for OpenLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenLog").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// The log in files of this machine. Dropping it closes it.
#[derive(Debug)]
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    cut_bytes: u64,
    standing: Standing,
    _lock: Box<dyn DiskLock>,
}

impl EmbeddedLog {
    /// Opens the log, checks and repairs it, and starts its thread.
    ///
    /// # Errors
    /// [`LogError::Locked`], [`LogError::Damaged`], [`LogError::Lost`], [`LogError::Missing`], or
    /// what the file system says.
    pub fn open(open: OpenLog) -> Result<Self, LogError> {
        let fail = |source| io_error(&open.dir, source);
        open.disk.create_dir_all(&open.dir).map_err(fail)?;
        let lock_path = open.dir.join("lock");
        let lock = open.disk.lock(&lock_path).map_err(|source| {
            if source.kind() == std::io::ErrorKind::WouldBlock {
                LogError::Locked { path: lock_path.display().to_string().into() }
            } else {
                io_error(&lock_path, source)
            }
        })?;
        let mut recovered = recover(&open)?;
        let (disk, clock) = (Arc::clone(&open.disk), Arc::clone(&open.clock));
        let writer = GroupWriter::new(disk, open.dir.clone(), clock, &open.config, &mut recovered);
        let mut writer = writer.map_err(fail)?;
        let shared = Arc::new(Shared::new(open, &recovered, writer.dedup_held()));
        let (cut_bytes, standing) = (recovered.cut_bytes, recovered.standing);
        let threads = Mutex::default();
        let log = Self { shared, threads, cut_bytes, standing, _lock: lock };
        let shared = Arc::clone(&log.shared);
        log.spawn("log", move || run(&shared, &mut writer))?;
        let mut keeper = Keeper::new(Arc::clone(&log.shared), recovered.digests);
        log.spawn("log-keeper", move || keeper.run())?;
        Ok(log)
    }

    fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), LogError> {
        let thread = std::thread::Builder::new().name(name.into()).spawn(run);
        let thread = thread.map_err(|source| io_error(&self.shared.open().dir, source))?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// Waits until nothing is under way beside the log's thread.
    #[cfg(test)]
    pub(super) fn settle(&self) {
        self.shared.settle();
    }

    /// Bytes of a torn group that opening cut off; none of them was acknowledged.
    #[must_use]
    pub fn cut_bytes(&self) -> u64 {
        self.cut_bytes
    }

    /// What the control records that were there when it was opened leave standing.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }
}

/// The log's thread.
fn run(shared: &Shared, writer: &mut GroupWriter) {
    let ending = Ending { shared };
    while let Some(work) = shared.take_work() {
        let appends = work.appends.iter().map(|append| append.records.as_slice());
        match writer.write_group(appends, work.empty) {
            Ok(mut written) => {
                shared.publish(&work, &mut written, writer);
                for (append, answer) in work.appends.into_iter().zip(written.answers) {
                    (append.done)(Ok(answer));
                }
            }
            Err(error) => {
                refuse(work);
                drop(ending);
                let dir = shared.open().dir.display();
                let message = format!("the log in {dir} cannot be written: {error}");
                tracing::error!(%error, "{message}");
                (shared.open().on_fatal)(&message);
                return;
            }
        }
    }
}

fn refuse(work: Work) {
    for append in work.appends {
        (append.done)(Err(Refused::Closed));
    }
}

/// Ends the log however its thread ends, be it by a panic.
struct Ending<'a> {
    shared: &'a Shared,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        for append in self.shared.end() {
            (append.done)(Err(Refused::Closed));
        }
        if std::thread::panicking() {
            (self.shared.open().on_fatal)("the log's thread panicked");
        }
    }
}

impl Log for EmbeddedLog {
    fn append(&self, records: Vec<NewRecord>, done: Acknowledge) -> Result<(), Refused> {
        self.shared.push(records, done)
    }

    fn admits(&self, bytes: usize) -> Result<(), Refused> {
        self.shared.admits(bytes)
    }

    fn tick(&self) {
        self.shared.tick();
    }

    fn durable(&self) -> Option<CommitMark> {
        self.shared.durable()
    }

    fn reader(&self, after: Option<Epoch>) -> Result<Box<dyn LogReader>, LogError> {
        Ok(Box::new(FileReader::open(Arc::clone(&self.shared), after)?))
    }

    fn epoch_before(&self, time: ServerTimeMs) -> Epoch {
        self.shared.epoch_before(time)
    }

    fn release(&self, through: Epoch) {
        self.shared.release(through);
    }

    fn close(&self) {
        self.shared.begin_close();
        let taken =
            || std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let threads = taken();
        // From an acknowledgement: the log's thread, for which the keeper waits, is still needed.
        if threads.iter().any(|thread| thread.thread().id() == std::thread::current().id()) {
            return;
        }
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the log panicked");
            }
        }
    }

    fn stats(&self) -> LogStats {
        self.shared.stats()
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.close();
    }
}
