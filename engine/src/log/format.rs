//! The bytes of a segment: header, records, commits. No files here.
//!
//! Version 1; integers are little endian:
//!
//! ```text
//! segment  = header group*
//! group    = record* commit
//!
//! header     "BECKNLOG"  u16 version  u16 zero  u32 salt
//!            u64 first epoch  u64 first seq  i64 made at ms  u32 CRC32C of all before
//! record     u32 CRC32C  u32 length  u64 seq  u8 kind  body
//!   1 event      u64 visitor hash  u32 site bytes  site  packed event
//!   2 event      the same; not in the deduplication index
//!   3 tombstone  nothing: taken out by a rewrite, the seq stays
//!   5 control    a version of its own and what was decided (`control.rs`)
//!   6 notice     u64 visit hash  u32 site bytes  site  a version of its own and what a sink or a
//!                server says of messages (`notice.rs`)
//! commit     a record of kind 4; its seq is that of the last record up to here
//!            u64 epoch  u64 first seq  i64 now ms  u32 records  u32 CRC32C of the records' CRCs
//! ```
//!
//! `length` counts what is behind it; the CRC is over all that is behind the CRC, and starts with
//! the segment's salt. The salt is drawn at random: without it a visitor could send an event whose
//! bytes contain a valid commit record, and recovery, which looks for whole records behind a
//! damaged one, would believe it. Sequence numbers follow each other without gaps, epochs too.

use super::api::{CommitMark, LogError, NewRecord, RecordBody};
use super::control::Control;
use crate::model::{Epoch, LogSeq, Notice, PackedEvent, ServerTimeMs};
use crc32c::{crc32c, crc32c_append};

/// The version that is written, and the only one that is read.
pub(super) const VERSION: u16 = 1;
/// Bytes of a segment's header.
pub(super) const HEADER_BYTES: usize = 44;
/// A record's bytes before its body.
pub(super) const FRAME_BYTES: usize = 17;
/// The longest record; a length above is damage.
pub const RECORD_BYTES_MAX: usize = 1 << 28;

const MAGIC: [u8; 8] = *b"BECKNLOG";
/// CRC and length, which `length` does not count.
const PREFIX_BYTES: usize = 8;
const COMMIT_BYTES: usize = FRAME_BYTES + 32;
const EVENT: u8 = 1;
const EVENT_WITHOUT_KEY: u8 = 2;
const TOMBSTONE: u8 = 3;
const COMMIT: u8 = 4;
const CONTROL: u8 = 5;
const NOTICE: u8 = 6;

/// The first bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) salt: u32,
    pub(super) first_epoch: Epoch,
    pub(super) first_seq: LogSeq,
    pub(super) made: ServerTimeMs,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderFlaw {
    Damaged,
    Version(u16),
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.first_epoch.0.to_le_bytes());
        out.extend_from_slice(&self.first_seq.0.to_le_bytes());
        out.extend_from_slice(&self.made.0.to_le_bytes());
        out.extend_from_slice(&crc32c(&out).to_le_bytes());
        out.try_into().expect("the parts above are HEADER_BYTES long")
    }

    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, HeaderFlaw> {
        let mut rest = Rest(bytes);
        let magic = rest.array::<8>().ok_or(HeaderFlaw::Damaged)?;
        let (checked, crc) = bytes.split_at(HEADER_BYTES - 4);
        if magic != MAGIC || crc32c(checked).to_le_bytes() != crc {
            return Err(HeaderFlaw::Damaged);
        }
        let mut read = || {
            let version = rest.u16()?;
            rest.u16()?;
            let header = Self {
                salt: rest.u32()?,
                first_epoch: Epoch(rest.u64()?),
                first_seq: LogSeq(rest.u64()?),
                made: ServerTimeMs(rest.i64()?),
            };
            Some((version, header))
        };
        match read() {
            Some((VERSION, header)) => Ok(header),
            Some((version, _)) => Err(HeaderFlaw::Version(version)),
            None => Err(HeaderFlaw::Damaged),
        }
    }
}

/// A record in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordView<'a> {
    pub(super) seq: LogSeq,
    pub(super) body: BodyView<'a>,
    /// All bytes of the record.
    pub(super) bytes: usize,
    pub(super) crc: u32,
}

/// What a record in place says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyView<'a> {
    Event { is_keyed: bool, packed: &'a [u8] },
    Control(&'a [u8]),
    Notice(&'a [u8]),
    Tombstone,
    Commit { epoch: Epoch, first_seq: LogSeq, now: ServerTimeMs, records: u32, records_crc: u32 },
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The bytes end before the record does.
    Short,
    /// The length is none that was written.
    Length,
    /// The bytes are not those that were written.
    Checksum,
    /// The bytes are those that were written, but mean nothing.
    Body,
}

impl Flaw {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Short => "a record ends early",
            Self::Length => "a record's length is impossible",
            Self::Checksum => "a record's checksum is wrong",
            Self::Body => "a record's body has no meaning",
        }
    }
}

/// Reads the record at the start of `bytes` and checks it.
pub(super) fn decode(bytes: &[u8], salt: u32) -> Result<RecordView<'_>, Flaw> {
    let record = frame(bytes)?;
    if crc32c_append(salt, &record[4..]) != Rest(record).u32().ok_or(Flaw::Short)? {
        return Err(Flaw::Checksum);
    }
    decode_checked(bytes)
}

/// Reads the record at the start of `bytes`, which was checked before.
pub(super) fn decode_checked(bytes: &[u8]) -> Result<RecordView<'_>, Flaw> {
    let record = frame(bytes)?;
    let mut rest = Rest(record);
    let mut read = || {
        let crc = rest.u32()?;
        rest.u32()?;
        let seq = LogSeq(rest.u64()?);
        let body = match rest.u8()? {
            kind @ (EVENT | EVENT_WITHOUT_KEY) => {
                rest.owner()?;
                BodyView::Event { is_keyed: kind == EVENT, packed: rest.0 }
            }
            NOTICE => {
                rest.owner()?;
                BodyView::Notice(rest.0)
            }
            CONTROL => BodyView::Control(rest.0),
            TOMBSTONE => BodyView::Tombstone,
            COMMIT => BodyView::Commit {
                epoch: Epoch(rest.u64()?),
                first_seq: LogSeq(rest.u64()?),
                now: ServerTimeMs(rest.i64()?),
                records: rest.u32()?,
                records_crc: rest.u32()?,
            },
            _ => return None,
        };
        Some(RecordView { seq, body, bytes: record.len(), crc })
    };
    read().ok_or(Flaw::Body)
}

/// The bytes of the record at the start of `bytes`.
fn frame(bytes: &[u8]) -> Result<&[u8], Flaw> {
    let prefix = bytes.first_chunk::<PREFIX_BYTES>().ok_or(Flaw::Short)?;
    let [_, _, _, _, length @ ..] = *prefix;
    let length = usize::try_from(u32::from_le_bytes(length)).map_err(|_| Flaw::Length)?;
    if !(FRAME_BYTES - PREFIX_BYTES..=RECORD_BYTES_MAX).contains(&length) {
        return Err(Flaw::Length);
    }
    bytes.get(..PREFIX_BYTES + length).ok_or(Flaw::Short)
}

/// The sequence number that stands at the start of `bytes`, were a record there; not checked.
pub(super) fn peek_seq(bytes: &[u8]) -> Option<LogSeq> {
    bytes.get(PREFIX_BYTES..).and_then(|bytes| Rest(bytes).u64()).map(LogSeq)
}

/// The bytes that `record` takes in a segment.
pub(super) fn record_bytes(record: &NewRecord) -> usize {
    FRAME_BYTES
        + match &record.body {
            RecordBody::Event(event) => 12 + record.site.len() + event.as_bytes().len(),
            RecordBody::Notice(notice) => 12 + record.site.len() + notice.encode().len(),
            RecordBody::Control(control) => control.encode().len(),
            RecordBody::Tombstone => 0,
        }
}

/// A group as it grows.
#[derive(Debug, Default)]
pub(super) struct GroupBytes {
    bytes: Vec<u8>,
    records: u32,
    records_crc: u32,
}

impl GroupBytes {
    /// The bytes so far.
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// Records so far.
    pub(super) fn records(&self) -> u32 {
        self.records
    }

    /// Starts the next group; keeps the memory, unless an unusual group made it large.
    pub(super) fn clear(&mut self, kept_bytes_max: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(kept_bytes_max);
        self.records = 0;
        self.records_crc = 0;
    }

    /// Appends a record.
    pub(super) fn push(&mut self, salt: u32, seq: LogSeq, record: &NewRecord) {
        let start = match &record.body {
            RecordBody::Event(event) => {
                let kind = if record.dedup.is_some() { EVENT } else { EVENT_WITHOUT_KEY };
                let start = self.begin(seq, kind);
                self.owner(record);
                self.bytes.extend_from_slice(event.as_bytes());
                start
            }
            RecordBody::Notice(notice) => {
                let start = self.begin(seq, NOTICE);
                self.owner(record);
                self.bytes.extend_from_slice(&notice.encode());
                start
            }
            RecordBody::Control(control) => {
                let start = self.begin(seq, CONTROL);
                self.bytes.extend_from_slice(&control.encode());
                start
            }
            RecordBody::Tombstone => self.begin(seq, TOMBSTONE),
        };
        let crc = self.finish(salt, start);
        self.records += 1;
        self.records_crc = crc32c_append(self.records_crc, &crc.to_le_bytes());
    }

    /// Ends the group.
    pub(super) fn commit(&mut self, salt: u32, mark: &CommitMark) {
        let start = self.begin(mark.last_seq, COMMIT);
        self.bytes.extend_from_slice(&mark.epoch.0.to_le_bytes());
        self.bytes.extend_from_slice(&mark.first_seq.0.to_le_bytes());
        self.bytes.extend_from_slice(&mark.now.0.to_le_bytes());
        self.bytes.extend_from_slice(&self.records.to_le_bytes());
        self.bytes.extend_from_slice(&self.records_crc.to_le_bytes());
        self.finish(salt, start);
    }

    fn begin(&mut self, seq: LogSeq, kind: u8) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; PREFIX_BYTES]);
        self.bytes.extend_from_slice(&seq.0.to_le_bytes());
        self.bytes.push(kind);
        start
    }

    /// Whose record it is: the hash by which a person's are found, and the site.
    fn owner(&mut self, record: &NewRecord) {
        self.bytes.extend_from_slice(&record.visitor_hash.to_le_bytes());
        let site_bytes = u32::try_from(record.site.len());
        let site_bytes = site_bytes.expect("append refuses what is longer than a queue");
        self.bytes.extend_from_slice(&site_bytes.to_le_bytes());
        self.bytes.extend_from_slice(record.site.as_bytes());
    }

    fn finish(&mut self, salt: u32, start: usize) -> u32 {
        let record = &mut self.bytes[start..];
        let length = u32::try_from(record.len() - PREFIX_BYTES);
        let length = length.expect("append refuses what is longer than a queue");
        record[4..8].copy_from_slice(&length.to_le_bytes());
        let crc = crc32c_append(salt, &record[4..]);
        record[..4].copy_from_slice(&crc.to_le_bytes());
        crc
    }
}

/// The bytes of a commit record.
pub(super) fn commit_bytes() -> usize {
    COMMIT_BYTES
}

/// The owned body of a record of an epoch; `None` for a commit.
pub(super) fn to_body(epoch: Epoch, body: BodyView<'_>) -> Result<Option<RecordBody>, LogError> {
    Ok(match body {
        BodyView::Event { packed, .. } => Some(RecordBody::Event(PackedEvent::from_bytes(packed))),
        BodyView::Control(bytes) => {
            let control =
                Control::decode(bytes).map_err(|error| LogError::Control(epoch, error))?;
            Some(RecordBody::Control(control.into()))
        }
        BodyView::Notice(bytes) => {
            let notice = Notice::decode(bytes).map_err(|error| LogError::Notice(epoch, error))?;
            Some(RecordBody::Notice(notice.into()))
        }
        BodyView::Tombstone => Some(RecordBody::Tombstone),
        BodyView::Commit { .. } => None,
    })
}

/// Bytes that are read from the front.
pub(super) struct Rest<'a>(pub(super) &'a [u8]);

impl<'a> Rest<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    /// Passes over whose record it is.
    fn owner(&mut self) -> Option<()> {
        self.u64()?;
        let site_bytes = usize::try_from(self.u32()?).ok()?;
        self.take(site_bytes).map(drop)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }
}
