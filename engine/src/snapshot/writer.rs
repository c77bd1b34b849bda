//! Writes rounds: a thread that puts pieces into a file as they come, so that no worker waits for a disk.
//!
//! A round counts once all its pieces and what is not partitioned are on disk, and the outbox up to its
//! last epoch is: what is restored is not said again. Then it gets its name, and what lies before
//! the one before it is needed no more. A round that cannot be written is given up, told, and tried again
//! when the next is due: the log has everything all the same.
//!
//! **Bound:** [`PIECES_PENDING_MAX`] pieces are asked for and not written, and one round at a time: who
//! asks looks at [`Snapshotter::pending`] and [`Snapshotter::is_busy`].

use super::file::{Rest, encode_piece, encode_rest, file_path, header};
use super::store::{KEPT, SnapshotError, Snapshots, UNFINISHED, io_error};
use super::{OnPiece, Piece};
use crate::disk::DiskFile;
use crate::model::{Epoch, EpochMark};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Pieces that are asked for and not written; what is live is asked for at once, beyond it.
pub const PIECES_PENDING_MAX: usize = 4;
/// More messages than can be under way, so that none who sends one waits: the pieces that may be pending,
/// what is live of 64 workers, and the begin, end or abandoning of a few rounds.
const MESSAGES_MAX: usize = 256;
/// What is written is brought to disk in portions of this size. Small ones: a sync of the log waits for
/// what else its file system has to write (p99 of answers 133 ms with 16 MiB, 9 ms with 1 MiB).
const SYNC_BYTES: u64 = 1 << 20;

/// Returns once all that was said up to an epoch is on disk; `false` where nothing more is kept.
pub type SyncOutputs = Arc<dyn Fn(Epoch) -> io::Result<bool> + Send + Sync>;
/// Told the epoch up to which a restart needs nothing of the log.
pub type OnTaken = Arc<dyn Fn(Epoch) + Send + Sync>;

/// What a snapshotter works with.
#[derive(Clone)]
pub struct SnapshotParts {
    /// Where the files go.
    pub snapshots: Snapshots,
    /// Brings the outbox to disk.
    pub sync_outputs: SyncOutputs,
    /// Lets the log go.
    pub on_taken: OnTaken,
}

impl fmt::Debug for SnapshotParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotParts").field("snapshots", &self.snapshots).finish_non_exhaustive()
    }
}

/// What was taken since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotStats {
    /// Whole rounds.
    pub taken: u64,
    /// Rounds given up because rules changed.
    pub abandoned: u64,
    /// Rounds given up because of the disk.
    pub failed: u64,
    /// The last epoch of the newest, also of the one that was restored; 0 for none.
    pub through: Epoch,
    /// Its size, if it was taken since the start.
    pub bytes: u64,
    /// Pieces asked for and not written.
    pub pending: u64,
}

enum Message {
    Begin(Epoch),
    Piece(Piece),
    /// So many pieces there are in all.
    End(usize, Box<Rest>),
    Abandon,
}

#[derive(Debug, Default)]
struct State {
    stats: SnapshotStats,
    is_busy: bool,
}

/// The thread's handle.
#[derive(Debug)]
pub struct Snapshotter {
    to_thread: Option<SyncSender<Message>>,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Snapshotter {
    /// Starts the thread; `restored` is the snapshot that this run goes on from.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(parts: SnapshotParts, restored: Option<&Rest>) -> io::Result<Self> {
        let (to_thread, messages) = sync_channel(MESSAGES_MAX);
        let mut state = State::default();
        state.stats.through = restored.map_or(Epoch(0), |rest| rest.through.epoch);
        let state = Arc::new(Mutex::new(state));
        let kept = restored.map(|rest| (rest.base.epoch, rest.through.epoch));
        let kept = kept.into_iter().collect();
        let writer = Writer { parts, state: Arc::clone(&state), kept, round: None };
        let thread = std::thread::Builder::new()
            .name("engine:snapshot".to_owned())
            .spawn(move || writer.run(&messages))?;
        Ok(Self { to_thread: Some(to_thread), state, thread: Some(thread) })
    }

    fn send(&self, message: Message) {
        if let Some(to_thread) = &self.to_thread
            && to_thread.send(message).is_err()
        {
            tracing::debug!("the snapshot's thread has ended");
        }
    }

    /// Takes pieces on the workers' threads.
    #[must_use]
    pub fn on_piece(&self) -> OnPiece {
        let to_thread = self.to_thread.clone();
        Arc::new(move |piece| {
            if let Some(to_thread) = &to_thread
                && to_thread.send(Message::Piece(piece)).is_err()
            {
                tracing::debug!("a piece came behind the end");
            }
        })
    }

    /// Begins a round behind an epoch.
    pub fn begin(&self, base: &EpochMark) {
        lock(&self.state).is_busy = true;
        self.send(Message::Begin(base.epoch));
    }

    /// So many pieces more are asked for.
    pub fn ask(&self, pieces: u64) {
        lock(&self.state).stats.pending += pieces;
    }

    /// All pieces are asked for, so many of them.
    pub fn end(&self, pieces: usize, rest: Rest) {
        self.send(Message::End(pieces, Box::new(rest)));
    }

    /// Gives a round up: rules change.
    pub fn abandon(&self) {
        let mut state = lock(&self.state);
        state.is_busy = false;
        state.stats.abandoned += 1;
        drop(state);
        self.send(Message::Abandon);
    }

    /// Whether a round is not on disk yet.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        lock(&self.state).is_busy
    }

    /// Pieces asked for and not written.
    #[must_use]
    pub fn pending(&self) -> usize {
        usize::try_from(lock(&self.state).stats.pending).unwrap_or(usize::MAX)
    }

    /// What was taken since the start.
    #[must_use]
    pub fn stats(&self) -> SnapshotStats {
        lock(&self.state).stats
    }
}

impl Drop for Snapshotter {
    fn drop(&mut self) {
        self.to_thread = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the snapshot's thread panicked");
        }
    }
}

/// A round that is being written.
struct Round {
    base: Epoch,
    file: Box<dyn DiskFile>,
    bytes: u64,
    unsynced: u64,
    pieces: usize,
    end: Option<(usize, Box<Rest>)>,
}

struct Writer {
    parts: SnapshotParts,
    state: Arc<Mutex<State>>,
    /// Base and last epoch of the snapshots that are good, oldest first.
    kept: VecDeque<(Epoch, Epoch)>,
    round: Option<Round>,
}

impl Writer {
    fn run(mut self, messages: &Receiver<Message>) {
        for message in messages {
            let is_piece = matches!(message, Message::Piece(_));
            if let Err(error) = self.take(message) {
                tracing::warn!(%error, "a snapshot cannot be written: it is tried again later");
                self.drop_round();
                let mut state = lock(&self.state);
                state.is_busy = false;
                state.stats.failed += 1;
            }
            if is_piece {
                lock(&self.state).stats.pending -= 1;
            }
        }
    }

    fn take(&mut self, message: Message) -> Result<(), SnapshotError> {
        match message {
            Message::Begin(base) => self.begin(base)?,
            Message::Piece(piece) => {
                if let Some(round) = &mut self.round
                    && piece.epoch >= round.base
                {
                    let mut bytes = Vec::new();
                    encode_piece(&piece, &mut bytes);
                    round.pieces += 1;
                    let path = self.parts.snapshots.dir.join(UNFINISHED);
                    round.write(&bytes).map_err(|source| io_error(&path, source))?;
                }
            }
            Message::End(pieces, rest) => {
                if let Some(round) = &mut self.round {
                    round.end = Some((pieces, rest));
                }
            }
            Message::Abandon => self.drop_round(),
        }
        self.finish()
    }

    fn begin(&mut self, base: Epoch) -> Result<(), SnapshotError> {
        let Snapshots { disk, dir } = &self.parts.snapshots;
        let path = dir.join(UNFINISHED);
        let file = disk.create(&path).map_err(|source| io_error(&path, source))?;
        let mut round = Round { base, file, bytes: 0, unsynced: 0, pieces: 0, end: None };
        let header = round.write(&header());
        self.round = Some(round);
        header.map_err(|source| io_error(&path, source))
    }

    /// Drops the round under way, if there is one.
    fn drop_round(&mut self) {
        if self.round.take().is_some() {
            let Snapshots { disk, dir } = &self.parts.snapshots;
            if let Err(error) = disk.remove(&dir.join(UNFINISHED)) {
                tracing::warn!(%error, "an unfinished snapshot cannot be removed");
            }
        }
    }

    /// Gives the round its name, if all of it is there.
    fn finish(&mut self) -> Result<(), SnapshotError> {
        let is_whole = |round: &mut Round| {
            round.end.as_ref().is_some_and(|(pieces, _)| *pieces == round.pieces)
        };
        let Some(mut round) = self.round.take_if(is_whole) else { return Ok(()) };
        let Some((_, rest)) = round.end.take() else { return Ok(()) };
        let Snapshots { disk, dir } = &self.parts.snapshots;
        let (from, through) = (dir.join(UNFINISHED), rest.through.epoch);
        let path = file_path(dir, through);
        let mut bytes = Vec::new();
        encode_rest(&rest, &mut bytes);
        round.write(&bytes).and_then(|()| round.file.sync()).map_err(|it| io_error(&from, it))?;
        let synced = (self.parts.sync_outputs)(through);
        if !synced.map_err(|source| io_error(Path::new("the outbox"), source))? {
            return Ok(());
        }
        let named = disk.rename(&from, &path).and_then(|()| disk.sync_dir(dir));
        named.map_err(|source| io_error(&path, source))?;
        self.kept.push_back((rest.base.epoch, through));
        while self.kept.len() > KEPT {
            self.kept.pop_front();
        }
        let kept: Vec<Epoch> = self.kept.iter().map(|(_, through)| *through).collect();
        self.parts.snapshots.keep(&kept)?;
        if self.kept.len() == KEPT
            && let Some((base, _)) = self.kept.front()
        {
            (self.parts.on_taken)(*base);
        }
        let mut state = lock(&self.state);
        state.is_busy = false;
        let stats = &mut state.stats;
        (stats.taken, stats.through, stats.bytes) = (stats.taken + 1, through, round.bytes);
        Ok(())
    }
}

impl Round {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(self.bytes, bytes)?;
        self.bytes += bytes.len() as u64;
        self.unsynced += bytes.len() as u64;
        if self.unsynced >= SYNC_BYTES {
            self.file.sync()?;
            self.unsynced = 0;
        }
        Ok(())
    }
}
