//! Dead letters: rejected events of authenticated requests, kept with the reason until somebody
//! mends what sent them, or the rule that refused them, and replays.
//!
//! [`DeadLetters::append`] never waits: a letter goes into a bounded queue, and one thread writes.
//! A letter is **not** synced when it is written, only when its file is closed, at the latest at the
//! end of the process: nobody was told that a rejected event is kept, so a power failure may cost
//! the last of them, and no fsync is taken from the events that were acknowledged.
//!
//! Every bound drops and counts ([`Counters`]); none stops an event: the queue (`queue_letters_max`),
//! the bytes (`bytes_max`), the age (`days_max`). Under the first two the key that has the most
//! loses, so that a flood under one key - browser keys are public - costs no other key a letter.
//!
//! Reading takes files one after another, each at most `file_bytes_max` and a letter, without
//! stopping the writer. It blocks on the disk: async code calls it on a blocking thread.

mod files;
mod letter;
mod mark;
mod queue;
mod strip;

pub use letter::{Letter, LetterHead, LetterId, NewLetter, Original};
pub use strip::{ORIGINAL_BYTES_MAX, Stripped, strip_secrets};

use beckon_engine::clock::Clock;
use beckon_engine::disk::Disk;
use files::{Files, Gone, LetterFile, Place};
use queue::FairQueue;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Letters of one answer of [`DeadLetters::list`].
pub const LIST_MAX: usize = 1_000;
/// How often the age of letters is looked at when none come.
const EXPIRE_EVERY: Duration = Duration::from_secs(3_600);

/// The bounds; each field is a key of `[dead_letters]` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLetterLimits {
    /// Bytes of all letters. Over it the key with the most bytes loses its oldest file.
    pub bytes_max: u64,
    /// Days that a letter is kept.
    pub days_max: u16,
    /// Bytes of one file; at most a sixteenth of `bytes_max` is sensible.
    pub file_bytes_max: u64,
    /// Letters that wait for the disk, of at most 64 KB each. Over it the key with the most of them
    /// loses its newest.
    pub queue_letters_max: usize,
}

impl Default for DeadLetterLimits {
    fn default() -> Self {
        Self { bytes_max: 1 << 30, days_max: 30, file_bytes_max: 4 << 20, queue_letters_max: 256 }
    }
}

/// Which letters are wanted; what is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Of this site.
    pub site: Option<String>,
    /// Of the write key of this name.
    pub key: Option<String>,
    /// Rejected for this reason.
    pub code: Option<String>,
    /// Replayed, or not yet.
    pub is_replayed: Option<bool>,
}

impl Filter {
    fn takes(&self, head: &LetterHead) -> bool {
        let is =
            |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|it| it == value);
        is(&self.site, &head.site)
            && is(&self.key, &head.key)
            && is(&self.code, &head.code)
            && self.is_replayed.is_none_or(|it| it == head.is_replayed)
    }
}

/// What became of letters since the start, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Written.
    pub written: u64,
    /// Lost because the queue was full.
    pub queue_full: u64,
    /// Lost because the disk refused them.
    pub unwritable: u64,
    /// Removed over `bytes_max`.
    pub evicted: u64,
    /// Removed after `days_max`.
    pub expired: u64,
    /// Waiting now.
    pub waiting: u64,
    /// Bytes kept now.
    pub bytes: u64,
}

/// Why letters cannot be kept or read.
#[derive(Debug, thiserror::Error)]
#[error("dead letters in {}: {source}", dir.display())]
pub struct DeadLetterError {
    dir: PathBuf,
    source: io::Error,
}

#[derive(Debug)]
struct Waiting {
    queue: FairQueue,
    counters: Counters,
    is_writing: bool,
    is_closing: bool,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    came: Condvar,
    written: Condvar,
    files: Mutex<Files>,
    clock: Arc<dyn Clock>,
}

/// The store. Dropping it writes and syncs what waits.
#[derive(Debug)]
pub struct DeadLetters {
    shared: Arc<Shared>,
    place: Place,
    writer: Option<JoinHandle<()>>,
}

impl DeadLetters {
    /// Opens the folder, making it where there is none, and starts the writer. One process at a
    /// time: the data folder's lock sees to it.
    ///
    /// # Errors
    /// When the folder cannot be read, or no thread started.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        limits: DeadLetterLimits,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DeadLetterError> {
        let fail = |source| DeadLetterError { dir: dir.to_path_buf(), source };
        let waiting = Waiting {
            queue: FairQueue::new(limits.queue_letters_max),
            counters: Counters::default(),
            is_writing: false,
            is_closing: false,
        };
        let files = Files::open(Place { disk, dir: dir.to_path_buf() }, limits).map_err(fail)?;
        let place = files.place();
        let shared = Arc::new(Shared {
            waiting: Mutex::new(waiting),
            came: Condvar::new(),
            written: Condvar::new(),
            files: Mutex::new(files),
            clock,
        });
        let writer = std::thread::Builder::new().name("dead-letters".into());
        let writer = writer.spawn({
            let shared = shared.clone();
            move || shared.write()
        });
        Ok(Self { shared, place, writer: Some(writer.map_err(fail)?) })
    }

    /// Takes a letter; never waits for the disk.
    pub fn append(&self, letter: NewLetter) {
        let mut waiting = self.shared.waiting();
        waiting.counters.queue_full += waiting.queue.push(letter);
        drop(waiting);
        self.shared.came.notify_one();
    }

    /// Returns when all that was appended before is written (not synced).
    pub fn flush(&self) {
        let waiting = self.shared.waiting();
        let is_busy = |waiting: &mut Waiting| waiting.is_writing || !waiting.queue.is_empty();
        drop(self.shared.written.wait_while(waiting, is_busy));
    }

    /// Up to `limit` (at most [`LIST_MAX`]) letters behind `after`, oldest first, without their
    /// originals. The last one's id is the next call's `after`.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn list(
        &self,
        filter: &Filter,
        after: LetterId,
        limit: usize,
    ) -> Result<Vec<LetterHead>, DeadLetterError> {
        let limit = limit.min(LIST_MAX);
        let mut found: BTreeMap<LetterId, LetterHead> = BTreeMap::new();
        let files = self.shared.files().behind(after, filter);
        for file in &files {
            let last = found.last_key_value().map(|(id, _)| *id);
            if found.len() >= limit && last.is_none_or(|last| file.first() > last) {
                break;
            }
            let heads = self.place.heads(file).map_err(|source| self.fail(source))?;
            for head in heads.into_iter().filter(|head| head.id > after && filter.takes(head)) {
                found.insert(head.id, head);
                if found.len() > limit {
                    found.pop_last();
                }
            }
        }
        Ok(found.into_values().collect())
    }

    /// One letter with its original.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn read(&self, id: LetterId) -> Result<Option<Letter>, DeadLetterError> {
        Ok(self.find(id)?.map(|(_, letter)| letter))
    }

    /// Writes down that a letter was replayed; on disk when this returns. Says whether there is
    /// such a letter.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn mark_replayed(&self, id: LetterId) -> Result<bool, DeadLetterError> {
        let Some((file, letter)) = self.find(id)? else { return Ok(false) };
        if !letter.head.is_replayed {
            self.shared.files().mark(&file, id).map_err(|source| self.fail(source))?;
        }
        Ok(true)
    }

    /// What became of letters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let bytes = self.shared.files().bytes();
        let waiting = self.shared.waiting();
        Counters { bytes, waiting: waiting.queue.len() as u64, ..waiting.counters }
    }

    fn find(&self, id: LetterId) -> Result<Option<(LetterFile, Letter)>, DeadLetterError> {
        let Some(before) = id.0.checked_sub(1) else { return Ok(None) };
        let files = self.shared.files().behind(LetterId(before), &Filter::default());
        for file in files.into_iter().take_while(|file| file.first() <= id) {
            let letter = self.place.letter(&file, id).map_err(|source| self.fail(source))?;
            if let Some(letter) = letter {
                return Ok(Some((file, letter)));
            }
        }
        Ok(None)
    }

    fn fail(&self, source: io::Error) -> DeadLetterError {
        DeadLetterError { dir: self.place.dir.clone(), source }
    }
}

impl Drop for DeadLetters {
    fn drop(&mut self) {
        self.shared.waiting().is_closing = true;
        self.shared.came.notify_one();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of dead letters had ended early");
        }
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writer's life.
    fn write(&self) {
        loop {
            self.note(self.files().expire(self.clock.now()));
            let is_idle = |waiting: &mut Waiting| waiting.queue.is_empty() && !waiting.is_closing;
            let (mut waiting, _) = self
                .came
                .wait_timeout_while(self.waiting(), EXPIRE_EVERY, is_idle)
                .unwrap_or_else(PoisonError::into_inner);
            if waiting.queue.is_empty() && waiting.is_closing {
                break;
            }
            let letters = waiting.queue.take();
            waiting.is_writing = true;
            drop(waiting);
            for letter in letters {
                let appended = self.files().append(letter);
                let (written, unwritable) = if appended.is_ok() { (1, 0) } else { (0, 1) };
                self.note(appended);
                let mut waiting = self.waiting();
                waiting.counters.written += written;
                waiting.counters.unwritable += unwritable;
            }
            self.waiting().is_writing = false;
            self.written.notify_all();
        }
        if let Err(error) = self.files().close_all() {
            tracing::error!(%error, "dead letters may not be on disk");
        }
    }

    fn note(&self, result: io::Result<Gone>) {
        match result {
            Ok(gone) => {
                let mut waiting = self.waiting();
                waiting.counters.evicted += gone.evicted;
                waiting.counters.expired += gone.expired;
            }
            Err(error) => tracing::error!(%error, "dead letters cannot be kept"),
        }
    }
}

#[cfg(test)]
mod tests;
