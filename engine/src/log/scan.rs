//! Reads a segment group by group and checks every byte of it.
//!
//! One group is in memory at a time. A group is given only once its commit record and every record
//! before it were checked, so nobody sees a part of one.

use super::api::CommitMark;
use super::format::{
    BodyView, Flaw, HEADER_BYTES, Header, HeaderFlaw, RecordView, decode, decode_checked,
};
use crate::disk::DiskFile;
use crate::model::{Epoch, LogSeq, ServerTimeMs};
use crc32c::crc32c_append;
use std::io;

/// Bytes that are read at once, at least.
const CHUNK_BYTES: u64 = 256 * 1024;

/// Why no group could be read.
#[derive(Debug)]
pub(super) enum ScanError {
    Io(io::Error),
    /// The bytes from here on are not those of a group.
    Flawed(Stop, &'static str),
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads a segment's header; the inner error says that it is none.
pub(super) fn read_header(file: &dyn DiskFile) -> io::Result<Result<Header, HeaderFlaw>> {
    let mut bytes = [0; HEADER_BYTES];
    if file.read_at(0, &mut bytes)? < HEADER_BYTES {
        return Ok(Err(HeaderFlaw::Damaged));
    }
    Ok(Header::decode(&bytes))
}

/// A place in a segment that moves from group to group.
#[derive(Debug)]
pub(super) struct GroupScan {
    file: Box<dyn DiskFile>,
    salt: u32,
    next_epoch: Epoch,
    next_seq: LogSeq,
    now: ServerTimeMs,
    /// Bytes of the file from `buffer_offset` on.
    buffer: Vec<u8>,
    buffer_offset: u64,
    /// Where the next group starts in `buffer`.
    at: usize,
}

impl GroupScan {
    /// A scan from the first group of a segment on.
    pub(super) fn new(file: Box<dyn DiskFile>, header: &Header) -> Self {
        Self {
            file,
            salt: header.salt,
            next_epoch: header.first_epoch,
            next_seq: header.first_seq,
            now: ServerTimeMs(i64::MIN),
            buffer: Vec::new(),
            buffer_offset: HEADER_BYTES as u64,
            at: 0,
        }
    }

    /// Where the next group starts in the file.
    pub(super) fn offset(&self) -> u64 {
        self.buffer_offset + self.at as u64
    }

    /// The epoch that the next group has.
    pub(super) fn next_epoch(&self) -> Epoch {
        self.next_epoch
    }

    /// The file.
    pub(super) fn file(&self) -> &dyn DiskFile {
        &*self.file
    }

    /// Gives the file back.
    pub(super) fn into_file(self) -> Box<dyn DiskFile> {
        self.file
    }

    /// The next group of the file's first `end` bytes; `None` when they end where it would start.
    ///
    /// After an error the scan stays where it was.
    pub(super) fn next_group(&mut self, end: u64) -> Result<Option<GroupView<'_>>, ScanError> {
        if self.offset() >= end {
            return Ok(None);
        }
        let (mark, group_bytes) = self.check_group(end)?;
        let offset = self.offset();
        let start = self.at;
        self.at += group_bytes;
        self.next_epoch = mark.epoch.next();
        self.next_seq = mark.last_seq.next();
        self.now = mark.now;
        Ok(Some(GroupView { mark, offset, bytes: &self.buffer[start..self.at] }))
    }

    /// Whether the file's first `end` bytes are whole groups.
    pub(super) fn check(mut self, end: u64) -> Result<(), ScanError> {
        while self.next_group(end)?.is_some() {}
        Ok(())
    }

    /// Reads up to the commit record; its mark, and the bytes of the whole group.
    fn check_group(&mut self, end: u64) -> Result<(CommitMark, usize), ScanError> {
        let mut length = 0;
        let mut progress = Progress { seq: self.next_seq, records: 0, records_crc: 0 };
        loop {
            let offset = self.offset() + length as u64;
            let stop = Stop { offset, epoch: self.next_epoch, seq: progress.seq };
            match decode(&self.buffer[self.at + length..], self.salt) {
                Ok(record) => {
                    length += record.bytes;
                    match progress.step(&record, self) {
                        Ok(None) => {}
                        Ok(Some(mark)) => return Ok((mark, length)),
                        Err(what) => return Err(ScanError::Flawed(stop, what)),
                    }
                }
                Err(Flaw::Short) => {
                    if !self.fill(end)? {
                        return Err(ScanError::Flawed(stop, Flaw::Short.as_str()));
                    }
                }
                Err(flaw) => return Err(ScanError::Flawed(stop, flaw.as_str())),
            }
        }
    }

    /// Reads more of the file's first `end` bytes; `false` when there are no more.
    fn fill(&mut self, end: u64) -> io::Result<bool> {
        self.buffer.drain(..self.at);
        self.buffer_offset += self.at as u64;
        self.at = 0;
        let held = self.buffer.len();
        let from = self.buffer_offset + held as u64;
        let wanted = end.saturating_sub(from).min(CHUNK_BYTES.max(held as u64));
        let wanted = usize::try_from(wanted).expect("as much as is held, or a chunk");
        self.buffer.resize(held + wanted, 0);
        let count = self.file.read_at(from, &mut self.buffer[held..])?;
        self.buffer.truncate(held + count);
        Ok(count > 0)
    }
}

/// What a group's records must fit.
struct Progress {
    seq: LogSeq,
    records: u32,
    records_crc: u32,
}

impl Progress {
    /// Takes a record of the group; the mark when it ends it.
    fn step(
        &mut self,
        record: &RecordView<'_>,
        scan: &GroupScan,
    ) -> Result<Option<CommitMark>, &'static str> {
        let BodyView::Commit { epoch, first_seq, now, records, records_crc } = record.body else {
            if record.seq != self.seq {
                return Err("a sequence number does not follow the one before");
            }
            self.seq = self.seq.next();
            self.records += 1;
            self.records_crc = crc32c_append(self.records_crc, &record.crc.to_le_bytes());
            return Ok(None);
        };
        if records != self.records || records_crc != self.records_crc {
            return Err("a commit record does not fit the records before it");
        }
        if first_seq != scan.next_seq || record.seq.next() != self.seq {
            return Err("a commit record's sequence numbers are not those before it");
        }
        if epoch != scan.next_epoch || now < scan.now {
            return Err("an epoch does not follow the one before");
        }
        Ok(Some(CommitMark { epoch, first_seq, last_seq: record.seq, now }))
    }
}

/// A whole group in place.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupView<'a> {
    pub(super) mark: CommitMark,
    /// Where it starts in the file.
    pub(super) offset: u64,
    /// All its bytes.
    pub(super) bytes: &'a [u8],
}

impl<'a> GroupView<'a> {
    /// The records, without the commit.
    pub(super) fn records(&self) -> impl Iterator<Item = RecordView<'a>> + use<'a> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let record = decode_checked(rest).ok()?;
            rest = &rest[record.bytes..];
            Some(record)
        })
        .filter(|record| !matches!(record.body, BodyView::Commit { .. }))
    }
}

/// What is behind a flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// Nothing that was written after the flawed group: it may have been torn.
    Nothing,
    /// Bytes at this offset that were written after the flawed group was synced: it is damaged.
    Later(u64),
}

/// Where a group stopped being whole, and what would have come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    /// The flaw's place.
    pub(super) offset: u64,
    /// The epoch of the flawed group.
    pub(super) epoch: Epoch,
    /// The number that the record at the flaw would have, if it is not the commit.
    pub(super) seq: LogSeq,
}

/// Looks behind a flaw for proof that the group was whole once.
///
/// A group is written only after the one before was synced. So the flawed group is damaged, not
/// torn, when there is a commit of a later epoch, or anything behind its own commit, or a record
/// with the number that comes next (then what is flawed was the commit).
pub(super) fn look_behind(
    file: &dyn DiskFile,
    header: &Header,
    stop: Stop,
    end: u64,
) -> io::Result<Behind> {
    let length = usize::try_from(end.saturating_sub(stop.offset)).unwrap_or(usize::MAX);
    let mut rest = vec![0; length];
    let read = file.read_at(stop.offset, &mut rest)?;
    rest.truncate(read);
    let seqs = stop.seq.0.saturating_sub(1)..=stop.seq.0 + (rest.len() as u64);
    let mut at = 1;
    while at < rest.len() {
        let record = Some(&rest[at..])
            .filter(|bytes| super::format::peek_seq(bytes).is_some_and(|seq| seqs.contains(&seq.0)))
            .and_then(|bytes| decode(bytes, header.salt).ok());
        let Some(record) = record else {
            at += 1;
            continue;
        };
        let next = at + record.bytes;
        let is_later = match record.body {
            BodyView::Commit { epoch, .. } => epoch > stop.epoch || next < rest.len(),
            _ => record.seq == stop.seq,
        };
        if is_later {
            return Ok(Behind::Later(stop.offset + at as u64));
        }
        at = next;
    }
    Ok(Behind::Nothing)
}
