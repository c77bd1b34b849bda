//! Forms commit groups and puts them on disk. No thread and no queue here.
//!
//! A group costs one write and one sync, whatever is in it. After an error nothing may be written
//! any more: what is on disk is known only to recovery.

use super::LogConfig;
use super::api::{Appended, CommitMark, NewRecord, RecordBody};
use super::dedup::DedupIndex;
use super::digest::Digest;
use super::format::{GroupBytes, commit_bytes};
use super::recover::Recovered;
use super::segment::{SegmentInfo, create_segment};
use crate::clock::Clock;
use crate::disk::{Disk, DiskFile};
use crate::model::{Epoch, LogSeq, ServerTimeMs};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whether a group without records is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EmptyGroup {
    Write,
    Skip,
}

/// What became of a group.
#[derive(Debug)]
pub(super) struct Written {
    /// For each append, for each record.
    pub(super) answers: Vec<Vec<Appended>>,
    /// The group on disk; `None` when there was nothing to write.
    pub(super) mark: Option<CommitMark>,
    pub(super) records: u64,
    pub(super) duplicates: u64,
    pub(super) sync_time: Duration,
    /// The segment that got a next one, and what it holds.
    pub(super) sealed: Option<(SegmentInfo, Digest)>,
}

/// The end of the log.
#[derive(Debug)]
pub(super) struct GroupWriter {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    clock: Arc<dyn Clock>,
    segment_bytes: u64,
    group_bytes_max: usize,
    file: Box<dyn DiskFile>,
    segment: SegmentInfo,
    /// What the segment holds.
    digest: Digest,
    last: Option<CommitMark>,
    dedup: DedupIndex,
    group: GroupBytes,
}

impl GroupWriter {
    /// Goes on behind what was recovered; makes the first segment of an empty log.
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        clock: Arc<dyn Clock>,
        config: &LogConfig,
        recovered: &mut Recovered,
    ) -> io::Result<Self> {
        let (file, segment) = match (recovered.file.take(), recovered.segments.last()) {
            (Some(file), Some(segment)) => (file, *segment),
            _ => {
                let last = recovered.last;
                let epoch = last.map_or(Epoch(1), |last| last.epoch.next());
                let seq = last.map_or(LogSeq(1), |last| last.last_seq.next());
                let number = recovered.segments.last().map_or(1, |segment| segment.number + 1);
                let made = create_segment(&*disk, &dir, number, (epoch, seq, clock.now()))?;
                recovered.segments.push(made.1);
                made
            }
        };
        Ok(Self {
            disk,
            dir,
            clock,
            segment_bytes: config.segment_bytes,
            group_bytes_max: config.group_bytes_max,
            file,
            segment,
            digest: recovered.digest.take().unwrap_or_else(|| Digest::new(segment.header)),
            last: recovered.last,
            dedup: std::mem::replace(&mut recovered.dedup, DedupIndex::new(1)),
            group: GroupBytes::default(),
        })
    }

    /// The segment that is written, as far as it is on disk.
    pub(super) fn segment(&self) -> SegmentInfo {
        self.segment
    }

    /// Deduplication ids held, and the age of the oldest in milliseconds.
    pub(super) fn dedup_held(&self) -> (u64, u64) {
        let now = self.last.map_or(ServerTimeMs(0), |last| last.now);
        (self.dedup.held() as u64, self.dedup.window_ms(now))
    }

    /// Writes one group of all records that are new, and returns when it is on disk.
    ///
    /// # Errors
    /// When the disk fails; nothing may be written after that.
    pub(super) fn write_group<'a>(
        &mut self,
        appends: impl Iterator<Item = &'a [NewRecord]>,
        empty: EmptyGroup,
    ) -> io::Result<Written> {
        let (mut epoch, mut first_seq, mut now) = (Epoch(1), LogSeq(1), self.clock.now());
        if let Some(last) = self.last {
            epoch = last.epoch.next();
            first_seq = last.last_seq.next();
            now = now.max(last.now);
        }
        let sealed = self.rotate_when_full((epoch, first_seq, now))?;
        self.group.clear(self.group_bytes_max);
        let mut next = first_seq;
        let mut duplicates = 0;
        let mut answers = Vec::new();
        for records in appends {
            let mut answer = Vec::with_capacity(records.len());
            for record in records {
                if record.dedup.is_some_and(|key| !self.dedup.insert(key, now)) {
                    duplicates += 1;
                    answer.push(Appended::Duplicate);
                } else {
                    self.group.push(self.segment.header.salt, next, record);
                    self.collect(record, epoch, now);
                    answer.push(Appended::Stored(next));
                    next = next.next();
                }
            }
            answers.push(answer);
        }
        let records = u64::from(self.group.records());
        let sync_time = Duration::ZERO;
        let mut written = Written { answers, mark: None, records, duplicates, sync_time, sealed };
        if records > 0 || empty == EmptyGroup::Write {
            let mark = CommitMark { epoch, first_seq, last_seq: LogSeq(next.0 - 1), now };
            written.sync_time = self.commit(mark)?;
            written.mark = Some(mark);
        }
        Ok(written)
    }

    /// Notes for the digest what recovery would learn from a record.
    fn collect(&mut self, record: &NewRecord, epoch: Epoch, now: ServerTimeMs) {
        match (&record.body, record.dedup) {
            (RecordBody::Event(_) | RecordBody::Notice(_), Some(key)) => self.digest.key(key, now),
            (RecordBody::Control(control), _) => self.digest.control(epoch, control.encode()),
            (RecordBody::Event(_) | RecordBody::Notice(_), None) | (RecordBody::Tombstone, _) => {}
        }
    }

    fn commit(&mut self, mark: CommitMark) -> io::Result<Duration> {
        self.group.commit(self.segment.header.salt, &mark);
        self.file.write_at(self.segment.bytes, self.group.as_slice())?;
        let started = Instant::now();
        self.file.sync()?;
        self.segment.bytes += self.group.as_slice().len() as u64;
        self.digest.end_group(mark, self.segment.bytes);
        self.last = Some(mark);
        Ok(started.elapsed())
    }

    /// Starts the next segment once the present one has its size; gives what is sealed by that.
    fn rotate_when_full(
        &mut self,
        starts: (Epoch, LogSeq, ServerTimeMs),
    ) -> io::Result<Option<(SegmentInfo, Digest)>> {
        let is_full = self.segment.bytes + (commit_bytes() as u64) > self.segment_bytes;
        if !is_full || self.segment.header.first_epoch == starts.0 {
            return Ok(None);
        }
        let number = self.segment.number + 1;
        let (file, segment) = create_segment(&*self.disk, &self.dir, number, starts)?;
        self.file = file;
        let sealed = std::mem::replace(&mut self.segment, segment);
        let digest = std::mem::replace(&mut self.digest, Digest::new(segment.header));
        Ok(Some((sealed, digest)))
    }
}
