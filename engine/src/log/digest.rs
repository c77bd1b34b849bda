//! What recovery would learn from a sealed segment, in a file beside it: `0000000001.ids`.
//!
//! Version 1; integers are little endian:
//!
//! ```text
//! digest   = about ids
//! about      "BECKNIDS"  u16 version  u16 zero  u32 bytes of all of `about`
//!            the segment's header (44 bytes)  u64 the segment's bytes
//!            its last mark: u64 epoch  u64 first seq  u64 last seq  i64 now ms
//!            u64 keys  u32 runs  u32 controls  control*  u32 CRC32C of all before
//! control    u64 epoch  u32 bytes  the record's body
//! ids        run*  key*  u32 CRC32C of all of `ids` before
//! run        u32 keys  i64 ms: when the first of so many keys came
//! key        u128, in the order in which they were appended
//! ```
//!
//! It is written once its segment has a next one, so it never changes: beside (`.new`), synced and
//! then given its name. It stands for its segment where it has the segment's header (with the salt,
//! so it is no other segment's) and length. Where it is missing or anything about it is wrong, the
//! segment itself is read. A segment that retention removed leaves its digest as long as its keys
//! are among those that count.

use super::api::{CommitMark, LogError};
use super::dedup::dedup_key;
use super::dedup_ids::DedupIds;
use super::format::{BodyView, HEADER_BYTES, Header, HeaderFlaw, Rest, VERSION as SEGMENT_VERSION};
use super::scan::{GroupScan, GroupView, ScanError, read_header};
use super::segment::{SegmentInfo, damaged, digest_path, io_error, segment_name, segment_path};
use crate::disk::{Disk, DiskFile};
use crate::model::{Epoch, EventView, LogSeq, Notice, ServerTimeMs};
use crc32c::{crc32c, crc32c_append};
use std::io;
use std::path::Path;

/// The version that is written, and the only one that is read.
const VERSION: u16 = 1;
const MAGIC: [u8; 8] = *b"BECKNIDS";
/// Magic, version and length.
const START_BYTES: usize = 16;
/// `about` without its controls.
const ABOUT_BYTES: usize = START_BYTES + HEADER_BYTES + 8 + 32 + 16 + 4;
const RUN_BYTES: usize = 12;
const KEY_BYTES: usize = 16;
const CRC_BYTES: usize = 4;
/// Bytes that are written or read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// A control record's body, with its epoch.
pub(super) type LoggedControl = (Epoch, Box<[u8]>);

/// What is known of a segment without its ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub(super) header: Header,
    /// The segment's bytes.
    pub(super) bytes: u64,
    /// Its last mark.
    pub(super) last: CommitMark,
    pub(super) controls: Vec<LoggedControl>,
    pub(super) keys: usize,
    runs: usize,
    about_bytes: u64,
}

/// What is collected of a segment while it is written or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digest {
    header: Header,
    /// The last mark, and the segment's bytes with it.
    last: Option<(CommitMark, u64)>,
    controls: Vec<LoggedControl>,
    ids: DedupIds,
}

/// What retention knows of a segment's digest that is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digested {
    /// Its ids.
    pub(super) keys: usize,
    /// The time of the segment's last group.
    pub(super) last: ServerTimeMs,
}

/// Why a digest does not stand for its segment.
#[derive(Debug, thiserror::Error)]
pub(super) enum DigestFlaw {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it has version {0}, this beckon reads version {VERSION}")]
    Version(u16),
    #[error("it is damaged")]
    Damaged,
    #[error("it is not of this segment")]
    Other,
}

impl Digest {
    pub(super) fn new(header: Header) -> Self {
        Self { header, last: None, controls: Vec::new(), ids: DedupIds::default() }
    }

    /// Takes the key of an event or a notice that was appended.
    pub(super) fn key(&mut self, key: u128, now: ServerTimeMs) {
        self.ids.push(key, now);
    }

    /// Takes a control record that was appended.
    pub(super) fn control(&mut self, epoch: Epoch, body: Vec<u8>) {
        self.controls.push((epoch, body.into()));
    }

    /// A group is on disk, and the segment has so many bytes with it.
    pub(super) fn end_group(&mut self, mark: CommitMark, bytes: u64) {
        self.last = Some((mark, bytes));
    }

    /// Takes a group that was read.
    pub(super) fn read_group(&mut self, group: &GroupView<'_>) {
        for record in group.records() {
            match record.body {
                // An event that cannot be read was logged so; it is told of where it is matched.
                BodyView::Event { is_keyed: true, packed } => {
                    if let Ok(event) = EventView::read(packed) {
                        self.key(dedup_key(event.site, &event.id()), group.mark.now);
                    }
                }
                BodyView::Notice(body) => {
                    if let Some(key) = Notice::decode(body).ok().and_then(|notice| notice.key()) {
                        self.key(key, group.mark.now);
                    }
                }
                BodyView::Control(body) => self.control(group.mark.epoch, body.to_vec()),
                BodyView::Event { is_keyed: false, .. }
                | BodyView::Tombstone
                | BodyView::Commit { .. } => {}
            }
        }
        self.end_group(group.mark, group.offset + group.bytes.len() as u64);
    }

    pub(super) fn controls(&self) -> &[LoggedControl] {
        &self.controls
    }

    pub(super) fn ids(&self) -> &DedupIds {
        &self.ids
    }

    pub(super) fn into_ids(self) -> DedupIds {
        self.ids
    }

    /// What is known once it is on disk.
    pub(super) fn digested(&self) -> Digested {
        let last = self.last.map_or(self.header.made, |(mark, _)| mark.now);
        Digested { keys: self.ids.keys().len(), last }
    }

    /// Reads a whole segment.
    ///
    /// # Errors
    /// What the file system says, or damage.
    pub(super) fn read_segment(
        disk: &dyn Disk,
        dir: &Path,
        segment: &SegmentInfo,
    ) -> Result<Self, LogError> {
        let path = segment_path(dir, segment.number);
        let fail = |source| io_error(&path, source);
        let name = segment_name(segment.number);
        let file = disk.open(&path).map_err(fail)?;
        match read_header(&*file).map_err(fail)? {
            Ok(header) if header == segment.header => {}
            Err(HeaderFlaw::Version(version)) => {
                let known = SEGMENT_VERSION;
                return Err(LogError::Version { segment: name.into(), version, known });
            }
            Ok(_) | Err(HeaderFlaw::Damaged) => {
                return Err(damaged(&name, 0, "its header is damaged"));
            }
        }
        let mut digest = Self::new(segment.header);
        let mut scan = GroupScan::new(file, &segment.header);
        loop {
            match scan.next_group(segment.bytes) {
                Ok(Some(group)) => digest.read_group(&group),
                Ok(None) => return Ok(digest),
                Err(ScanError::Io(source)) => return Err(fail(source)),
                Err(ScanError::Flawed(stop, what)) => {
                    return Err(damaged(&name, stop.offset, what));
                }
            }
        }
    }

    /// Writes the digest of a sealed segment; returns when it is on disk under its name.
    ///
    /// # Errors
    /// What the file system says; the name then stands for what it stood for before.
    pub(super) fn write(&self, disk: &dyn Disk, dir: &Path, number: u64) -> io::Result<()> {
        let Some((last, bytes)) = self.last else { return Ok(()) };
        let path = digest_path(dir, number);
        let beside = path.with_extension("ids.new");
        let file = match disk.create(&beside) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk.remove(&beside)?;
                disk.create(&beside)?
            }
            other => other?,
        };
        let about = self.encode_about(last, bytes);
        file.write_at(0, &about)?;
        let offset = about.len() as u64;
        let mut out = ChunkWriter { file: &*file, offset, chunk: Vec::new(), crc: 0 };
        for (keys, time) in self.ids.runs() {
            out.put(&keys.to_le_bytes())?;
            out.put(&time.0.to_le_bytes())?;
        }
        for key in self.ids.keys() {
            out.put(&key.to_le_bytes())?;
        }
        out.flush()?;
        file.write_at(out.offset, &out.crc.to_le_bytes())?;
        file.sync()?;
        disk.rename(&beside, &path)?;
        disk.sync_dir(dir)
    }

    fn encode_about(&self, last: CommitMark, bytes: u64) -> Vec<u8> {
        let small = |count: usize| u32::try_from(count).expect("a segment holds fewer than 2^32");
        let mut out = Vec::with_capacity(ABOUT_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2 + 4]);
        out.extend_from_slice(&self.header.encode());
        out.extend_from_slice(&bytes.to_le_bytes());
        out.extend_from_slice(&last.epoch.0.to_le_bytes());
        out.extend_from_slice(&last.first_seq.0.to_le_bytes());
        out.extend_from_slice(&last.last_seq.0.to_le_bytes());
        out.extend_from_slice(&last.now.0.to_le_bytes());
        out.extend_from_slice(&(self.ids.keys().len() as u64).to_le_bytes());
        out.extend_from_slice(&small(self.ids.runs().len()).to_le_bytes());
        out.extend_from_slice(&small(self.controls.len()).to_le_bytes());
        for (epoch, body) in &self.controls {
            out.extend_from_slice(&epoch.0.to_le_bytes());
            out.extend_from_slice(&small(body.len()).to_le_bytes());
            out.extend_from_slice(body);
        }
        let about_bytes = small(out.len() + CRC_BYTES);
        out[START_BYTES - 4..START_BYTES].copy_from_slice(&about_bytes.to_le_bytes());
        out.extend_from_slice(&crc32c(&out).to_le_bytes());
        out
    }
}

impl About {
    /// Reads all of a digest but its ids.
    ///
    /// # Errors
    /// [`DigestFlaw`].
    pub(super) fn read(disk: &dyn Disk, dir: &Path, number: u64) -> Result<Self, DigestFlaw> {
        let file = disk.open(&digest_path(dir, number))?;
        let file_bytes = file.bytes()?;
        let mut bytes = vec![0; ABOUT_BYTES];
        let length = file.read_at(0, &mut bytes)?;
        let mut rest = Rest(&bytes[..length]);
        let mut start = || Some((rest.array()?, rest.u16()?, rest.u16()?, rest.u32()?));
        let Some((MAGIC, version, 0, about_bytes)) = start() else {
            return Err(DigestFlaw::Damaged);
        };
        if version != VERSION {
            return Err(DigestFlaw::Version(version));
        }
        let about_bytes = u64::from(about_bytes);
        if !(ABOUT_BYTES as u64..=file_bytes).contains(&about_bytes) {
            return Err(DigestFlaw::Damaged);
        }
        bytes.resize(usize::try_from(about_bytes).map_err(|_| DigestFlaw::Damaged)?, 0);
        let length = file.read_at(0, &mut bytes)?;
        let about = Self::decode(&bytes[..length]).ok_or(DigestFlaw::Damaged)?;
        if about.about_bytes + about.ids_bytes() == file_bytes {
            Ok(about)
        } else {
            Err(DigestFlaw::Damaged)
        }
    }

    /// What is known of a digest that is on disk.
    pub(super) fn digested(&self) -> Digested {
        Digested { keys: self.keys, last: self.last.now }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (checked, crc) = bytes.split_last_chunk()?;
        if crc32c(checked).to_le_bytes() != *crc {
            return None;
        }
        let mut rest = Rest(checked);
        rest.take(START_BYTES)?;
        let header = Header::decode(&rest.array()?).ok()?;
        let segment_bytes = rest.u64()?;
        let last = CommitMark {
            epoch: Epoch(rest.u64()?),
            first_seq: LogSeq(rest.u64()?),
            last_seq: LogSeq(rest.u64()?),
            now: ServerTimeMs(rest.i64()?),
        };
        let keys = usize::try_from(rest.u64()?).ok()?;
        let runs = usize::try_from(rest.u32()?).ok()?;
        let count = rest.u32()?;
        let mut controls = Vec::new();
        for _ in 0..count {
            let epoch = Epoch(rest.u64()?);
            let body_bytes = usize::try_from(rest.u32()?).ok()?;
            controls.push((epoch, rest.take(body_bytes)?.into()));
        }
        let is_whole = rest.0.is_empty() && last.epoch >= header.first_epoch;
        is_whole.then_some(Self {
            header,
            bytes: segment_bytes,
            last,
            controls,
            keys,
            runs,
            about_bytes: bytes.len() as u64,
        })
    }

    fn ids_bytes(&self) -> u64 {
        let (runs, keys) =
            (self.runs.saturating_mul(RUN_BYTES), self.keys.saturating_mul(KEY_BYTES));
        runs.saturating_add(keys).saturating_add(CRC_BYTES) as u64
    }

    /// Appends the ids of the digest of segment `number` to `ids`, which stay as they were when
    /// that fails.
    ///
    /// # Errors
    /// [`DigestFlaw`].
    pub(super) fn read_ids(
        &self,
        disk: &dyn Disk,
        dir: &Path,
        (number, ids): (u64, &mut DedupIds),
    ) -> Result<(), DigestFlaw> {
        let file = disk.open(&digest_path(dir, number))?;
        let held = ids.keys().len();
        let mut reader = ChunkReader { file: &*file, offset: self.about_bytes, crc: 0 };
        let mut runs = Vec::new();
        let mut read = || {
            reader.each(self.runs, RUN_BYTES, |run| {
                let mut rest = Rest(run);
                runs.extend(rest.u32().zip(rest.i64().map(ServerTimeMs)));
            })?;
            reader.each(self.keys, KEY_BYTES, |key| {
                ids.push_key(Rest(key).array().map(u128::from_le_bytes).unwrap_or_default());
            })?;
            let mut crc = [0; CRC_BYTES];
            let length = file.read_at(reader.offset, &mut crc)?;
            Ok(length == CRC_BYTES && u32::from_le_bytes(crc) == reader.crc)
        };
        let flaw = match read() {
            Ok(true) if ids.push_runs(runs) => return Ok(()),
            Ok(_) => DigestFlaw::Damaged,
            Err(error) => DigestFlaw::Io(error),
        };
        ids.truncate_keys(held);
        Err(flaw)
    }
}

/// Writes a file on from a place, a chunk at a time.
struct ChunkWriter<'a> {
    file: &'a dyn DiskFile,
    offset: u64,
    chunk: Vec<u8>,
    crc: u32,
}

impl ChunkWriter<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(self.offset, &self.chunk)?;
        self.crc = crc32c_append(self.crc, &self.chunk);
        self.offset += self.chunk.len() as u64;
        self.chunk.clear();
        Ok(())
    }
}

/// Reads a file on from a place, a chunk at a time.
struct ChunkReader<'a> {
    file: &'a dyn DiskFile,
    offset: u64,
    crc: u32,
}

impl ChunkReader<'_> {
    /// Calls `take` with each of `count` pieces.
    fn each(&mut self, count: usize, bytes: usize, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let mut left = count * bytes;
        let mut chunk = vec![0; CHUNK_BYTES / bytes * bytes];
        while left > 0 {
            let wanted = left.min(chunk.len());
            if self.file.read_at(self.offset, &mut chunk[..wanted])? < wanted {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let read = &chunk[..wanted];
            self.crc = crc32c_append(self.crc, read);
            read.chunks_exact(bytes).for_each(&mut take);
            self.offset += wanted as u64;
            left -= wanted;
        }
        Ok(())
    }
}
