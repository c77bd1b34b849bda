//! What appenders, the log thread and readers share: the queue, how far the log is on disk, counts.
//!
//! One lock, held for a few instructions and never over I/O (but for `statvfs`, at most every
//! `disk_check_interval_ms`).

use super::api::{Acknowledge, CommitMark, LogStats, NewRecord, Refused};
use super::digest::Digest;
use super::format::{RECORD_BYTES_MAX, commit_bytes, record_bytes};
use super::recover::Recovered;
use super::segment::SegmentInfo;
use super::writer::{EmptyGroup, GroupWriter, Written};
use super::{LogConfig, OpenLog};
use crate::model::{Epoch, ServerTimeMs};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Collected digests that wait to be written; where more come, the keeper reads the segment instead.
const DIGESTS_WAITING_MAX: usize = 2;
/// Room above `log_bytes_max` that only groups without records use.
const TICK_BYTES_MAX: u64 = 16 << 20;

/// An append that waits.
pub(super) struct Append {
    pub(super) records: Vec<NewRecord>,
    pub(super) done: Acknowledge,
    bytes: usize,
}

/// What the log thread is to do next.
pub(super) struct Work {
    pub(super) appends: Vec<Append>,
    pub(super) empty: EmptyGroup,
    bytes: usize,
}

/// A segment that has a next one and no digest yet.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) segment: SegmentInfo,
    /// What was collected of it.
    pub(super) digest: Option<Digest>,
}

/// What the keeper is to do next.
#[derive(Debug)]
pub(super) enum Keeping {
    /// A digest is to be written.
    Digest(Sealed),
    /// Something was released.
    Remove,
}

/// How far a reader may go.
pub(super) enum Readable {
    /// The reader's segment is on disk up to here.
    Bytes(u64),
    /// The reader's segment is read; this one follows.
    Next(SegmentInfo),
    /// The reader's segment was removed; this one follows, if it is still there.
    Removed(Option<SegmentInfo>),
    /// Nothing came in time.
    Nothing,
    /// The log is closed and all is read.
    Closed,
}

struct State {
    queue: VecDeque<Append>,
    queued_bytes: usize,
    tick: bool,
    /// Nothing is accepted any more.
    closing: bool,
    /// Nothing is written any more.
    closed: bool,
    durable: Option<CommitMark>,
    segments: Vec<SegmentInfo>,
    /// For the keeper, oldest first.
    sealed: VecDeque<Sealed>,
    /// Nothing up to here is needed to restart.
    released: Epoch,
    /// The keeper has not looked yet what that lets go.
    is_released_anew: bool,
    #[cfg(test)]
    keeper_is_idle: bool,
    free: FreeSpace,
    stats: LogStats,
}

/// The last answer about free space, counted down.
#[derive(Default)]
struct FreeSpace {
    bytes: u64,
    asked: Option<ServerTimeMs>,
}

pub(super) struct Shared {
    state: Mutex<State>,
    /// The log thread waits here.
    work: Condvar,
    /// The keeper waits here.
    keep: Condvar,
    /// Readers wait here.
    grown: Condvar,
    config: LogConfig,
    open: OpenLog,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("dir", &self.open.dir).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(
        open: OpenLog,
        recovered: &Recovered,
        (dedup_ids, dedup_window_ms): (u64, u64),
    ) -> Self {
        let (segments, digests) = (recovered.segments.clone(), &recovered.digests);
        let undigested = segments.iter().rev().skip(1).rev();
        let undigested = undigested.filter(|segment| !digests.contains_key(&segment.number));
        let sealed = undigested.map(|segment| Sealed { segment: *segment, digest: None });
        let sealed = sealed.collect::<VecDeque<_>>();
        let digests_missing = sealed.len() as u64;
        let mut stats =
            LogStats { digests_missing, dedup_ids, dedup_window_ms, ..LogStats::default() };
        count_segments(&mut stats, &segments);
        Self {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                queued_bytes: 0,
                tick: false,
                closing: false,
                closed: false,
                durable: recovered.last,
                segments,
                sealed,
                released: Epoch(0),
                is_released_anew: true,
                #[cfg(test)]
                keeper_is_idle: false,
                free: FreeSpace::default(),
                stats,
            }),
            work: Condvar::new(),
            keep: Condvar::new(),
            grown: Condvar::new(),
            config: open.config.clone(),
            open,
        }
    }

    pub(super) fn open(&self) -> &OpenLog {
        &self.open
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // State is changed in whole steps, so a thread that panicked left it consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an append.
    pub(super) fn push(&self, records: Vec<NewRecord>, done: Acknowledge) -> Result<(), Refused> {
        let bytes = records.iter().map(record_bytes).sum::<usize>();
        let mut state = self.state();
        state.free.bytes = self.room(&mut state, bytes)?;
        state.queued_bytes += bytes;
        state.queue.push_back(Append { records, done, bytes });
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// Whether records of so many bytes would be queued now.
    pub(super) fn admits(&self, bytes: usize) -> Result<(), Refused> {
        self.room(&mut self.state(), bytes).map(drop)
    }

    /// Free bytes of the disk behind an append of so many bytes.
    fn room(&self, state: &mut State, bytes: usize) -> Result<u64, Refused> {
        if state.closing {
            return Err(Refused::Closed);
        }
        let queue_max = self.config.append_queue_bytes_max.min(RECORD_BYTES_MAX);
        if bytes > queue_max.saturating_sub(state.queued_bytes) {
            return Err(Refused::Busy);
        }
        let group_bytes = (bytes + commit_bytes()) as u64;
        if state.stats.bytes + state.queued_bytes as u64 + group_bytes > self.config.log_bytes_max {
            return Err(Refused::LogFull);
        }
        let left = self.free_bytes(&mut state.free).checked_sub(group_bytes);
        let left = left.filter(|left| *left >= self.config.disk_free_bytes_min);
        left.ok_or(Refused::DiskFull)
    }

    /// What the disk has free: asked for now and then, counted down in between.
    fn free_bytes(&self, free: &mut FreeSpace) -> u64 {
        let now = self.open.clock.now();
        let interval_ms = i64::from(self.config.disk_check_interval_ms);
        if free.asked.is_none_or(|asked| now.0 - asked.0 >= interval_ms) {
            // A file system that cannot say how full it is, is taken for full.
            free.bytes = self.open.disk.free_bytes(&self.open.dir).unwrap_or(0);
            free.asked = Some(now);
        }
        free.bytes
    }

    /// Asks for a group without records.
    pub(super) fn tick(&self) {
        let mut state = self.state();
        if state.stats.bytes < self.config.log_bytes_max.saturating_add(TICK_BYTES_MAX) {
            state.tick = true;
            drop(state);
            self.work.notify_one();
        }
    }

    /// Waits for work; `None` once the log is closing and nothing is left to do.
    pub(super) fn take_work(&self) -> Option<Work> {
        let mut state = self.state();
        while state.queue.is_empty() && !state.tick {
            if state.closing {
                return None;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let empty = if state.tick { EmptyGroup::Write } else { EmptyGroup::Skip };
        state.tick = false;
        let mut work = Work { appends: Vec::new(), empty, bytes: 0 };
        while let Some(append) = state.queue.pop_front() {
            work.bytes += append.bytes;
            work.appends.push(append);
            if work.bytes >= self.config.group_bytes_max {
                break;
            }
        }
        Some(work)
    }

    /// Lets everybody know that a group is on disk.
    pub(super) fn publish(&self, work: &Work, written: &mut Written, writer: &GroupWriter) {
        let (dedup_ids, dedup_window_ms) = writer.dedup_held();
        let segment = writer.segment();
        let sync_nanos = u64::try_from(written.sync_time.as_nanos()).unwrap_or(u64::MAX);
        let mut state = self.state();
        state.queued_bytes -= work.bytes;
        match state.segments.last_mut().filter(|last| last.number == segment.number) {
            Some(last) => *last = segment,
            None => state.segments.push(segment),
        }
        let State { stats, segments, .. } = &mut *state;
        count_segments(stats, segments);
        if let Some((segment, digest)) = written.sealed.take() {
            let waiting = state.sealed.iter().filter(|sealed| sealed.digest.is_some()).count();
            let digest = (waiting < DIGESTS_WAITING_MAX).then_some(digest);
            state.sealed.push_back(Sealed { segment, digest });
            state.stats.digests_missing += 1;
            self.keep.notify_one();
        }
        let stats = &mut state.stats;
        stats.records += written.records;
        stats.duplicates += written.duplicates;
        stats.dedup_ids = dedup_ids;
        stats.dedup_window_ms = dedup_window_ms;
        if written.mark.is_some() {
            stats.groups += 1;
            stats.sync_nanos += sync_nanos;
            stats.sync_nanos_max = stats.sync_nanos_max.max(sync_nanos);
            state.durable = written.mark;
            drop(state);
            self.grown.notify_all();
        }
    }

    /// Waits for work of the keeper; `None` once the log is closed. Then only what was collected is
    /// still written.
    pub(super) fn take_keeping(&self) -> Option<Keeping> {
        let mut state = self.state();
        loop {
            if state.closing {
                state.sealed.retain(|sealed| sealed.digest.is_some());
            }
            let sealed = state.sealed.pop_front();
            let is_released = sealed.is_none() && std::mem::take(&mut state.is_released_anew);
            #[cfg(test)]
            {
                state.keeper_is_idle = false;
            }
            if let Some(sealed) = sealed {
                return Some(Keeping::Digest(sealed));
            }
            if is_released {
                return Some(Keeping::Remove);
            }
            #[cfg(test)]
            {
                state.keeper_is_idle = true;
                self.grown.notify_all();
            }
            if state.closed {
                return None;
            }
            state = self.keep.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A digest is on disk.
    pub(super) fn digested(&self) {
        self.state().stats.digests_missing -= 1;
    }

    /// Lets the keeper remove what is at or before `through`.
    pub(super) fn release(&self, through: Epoch) {
        let mut state = self.state();
        state.released = state.released.max(through);
        state.is_released_anew = true;
        drop(state);
        self.keep.notify_one();
    }

    /// The first segment, if it may go now. `last_of` says when the last group of a segment was
    /// written whose digest is on disk.
    pub(super) fn removable(
        &self,
        last_of: impl Fn(u64) -> Option<ServerTimeMs>,
    ) -> Option<SegmentInfo> {
        let state = self.state();
        let [first, next, ..] = state.segments.as_slice() else { return None };
        let last = last_of(first.number)?;
        let is_released = next.header.first_epoch <= state.released.next();
        let age_ms = u64::try_from(self.open.clock.now().0 - last.0).unwrap_or(0);
        let is_due =
            age_ms > self.config.retention_ms || state.stats.bytes > self.config.log_bytes_max / 2;
        (is_released && is_due).then_some(*first)
    }

    /// The end of the epoch before the last segment that was made before a time; before the first
    /// segment, where none was.
    pub(super) fn epoch_before(&self, time: ServerTimeMs) -> Epoch {
        let state = self.state();
        let made_before = state.segments.iter().rev().find(|it| it.header.made < time);
        let segment = made_before.or(state.segments.first());
        segment.map_or(Epoch(0), |segment| Epoch(segment.header.first_epoch.0 - 1))
    }

    /// The first segment is gone.
    pub(super) fn removed(&self, number: u64) {
        let mut state = self.state();
        state.segments.retain(|segment| segment.number != number);
        let State { stats, segments, .. } = &mut *state;
        count_segments(stats, segments);
    }

    /// Waits until the keeper has nothing to do.
    #[cfg(test)]
    pub(super) fn settle(&self) {
        let mut state = self.state();
        let is_busy = |state: &State| {
            !state.keeper_is_idle || !state.sealed.is_empty() || state.is_released_anew
        };
        while is_busy(&state) {
            state = self.grown.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Stops accepting; what is queued is still written.
    pub(super) fn begin_close(&self) {
        self.state().closing = true;
        self.work.notify_one();
        self.keep.notify_one();
    }

    /// Nothing is written any more; gives back what was queued.
    pub(super) fn end(&self) -> Vec<Append> {
        let mut state = self.state();
        state.closing = true;
        state.closed = true;
        state.queued_bytes = 0;
        let left = state.queue.drain(..).collect();
        drop(state);
        self.grown.notify_all();
        self.keep.notify_one();
        left
    }

    pub(super) fn durable(&self) -> Option<CommitMark> {
        self.state().durable
    }

    pub(super) fn stats(&self) -> LogStats {
        let state = self.state();
        LogStats { queued_bytes: state.queued_bytes as u64, ..state.stats }
    }

    /// The segment that holds the epoch, or the last one when it is still to come.
    pub(super) fn segment_of(&self, epoch: Epoch) -> Option<SegmentInfo> {
        let state = self.state();
        let behind = state.segments.partition_point(|it| it.header.first_epoch <= epoch);
        state.segments.get(behind.checked_sub(1)?).copied()
    }

    /// Waits up to `wait` until there is more than `offset` bytes of a segment, or a next one.
    pub(super) fn wait_readable(&self, number: u64, offset: u64, wait: Duration) -> Readable {
        let started = Instant::now();
        let mut state = self.state();
        loop {
            let position = state.segments.binary_search_by_key(&number, |it| it.number);
            let Ok(position) = position else {
                let next = state.segments.first().filter(|segment| segment.number == number + 1);
                return Readable::Removed(next.copied());
            };
            if state.segments[position].bytes > offset {
                return Readable::Bytes(state.segments[position].bytes);
            }
            if let Some(next) = state.segments.get(position + 1) {
                return Readable::Next(*next);
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

fn count_segments(stats: &mut LogStats, segments: &[SegmentInfo]) {
    stats.bytes = segments.iter().map(|segment| segment.bytes).sum();
    stats.segments = segments.len() as u64;
    stats.oldest_segment = segments.first().map_or(1, |segment| segment.number);
    stats.oldest_epoch = segments.first().map_or(1, |segment| segment.header.first_epoch.0);
}
