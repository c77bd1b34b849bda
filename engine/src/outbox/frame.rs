//! The bytes of an outbox file, and reading them frame by frame.

use crate::disk::DiskFile;
use crate::model::{Epoch, EpochOutput};
use crc32c::crc32c;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of a file's header.
pub(super) const HEADER_BYTES: usize = 24;

const MAGIC: [u8; 8] = *b"BECKNOBX";
const VERSION: u16 = 5;
/// CRC, length and epoch.
const FRAME_BYTES: usize = 16;
/// Bytes that are read at once, at least.
const CHUNK_BYTES: usize = 64 * 1024;

/// The path of the file that starts with an epoch.
pub(super) fn file_path(dir: &Path, first: Epoch) -> PathBuf {
    dir.join(format!("{:020}.obx", first.0))
}

/// The epoch that a file of this name starts with.
pub(super) fn first_epoch_of(name: &str) -> Option<Epoch> {
    name.strip_suffix(".obx").filter(|digits| digits.len() == 20)?.parse().ok().map(Epoch)
}

/// A file's header.
pub(super) fn header(first: Epoch) -> [u8; HEADER_BYTES] {
    let mut out = Vec::with_capacity(HEADER_BYTES);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&first.0.to_le_bytes());
    out.extend_from_slice(&crc32c(&out).to_le_bytes());
    out.try_into().expect("the parts above are HEADER_BYTES long")
}

/// Whether a file has the header that it should have.
pub(super) fn has_header(file: &dyn DiskFile, first: Epoch) -> io::Result<bool> {
    let mut bytes = [0; HEADER_BYTES];
    Ok(file.read_at(0, &mut bytes)? == HEADER_BYTES && bytes == header(first))
}

/// Encodes a frame into `out`, in place of what is there; `None` when it cannot be.
pub(super) fn encode(output: &EpochOutput, out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    out.resize(FRAME_BYTES, 0);
    let mut encoded = postcard::to_extend(output, std::mem::take(out)).ok()?;
    let length = u32::try_from(encoded.len() - FRAME_BYTES).ok()?;
    encoded[4..8].copy_from_slice(&length.to_le_bytes());
    encoded[8..16].copy_from_slice(&output.mark.epoch.0.to_le_bytes());
    let crc = crc32c(&encoded[4..]);
    encoded[..4].copy_from_slice(&crc.to_le_bytes());
    *out = encoded;
    Some(())
}

/// Why no frame could be read.
#[derive(Debug)]
pub(super) enum FrameError {
    Io(io::Error),
    /// The bytes at this offset are no frame, or not that of the next epoch.
    Flawed(u64),
}

/// A place in a file that moves from frame to frame.
#[derive(Debug)]
pub(super) struct FrameScan {
    file: Box<dyn DiskFile>,
    next: Epoch,
    /// Bytes of the file from `buffer_offset` on.
    buffer: Vec<u8>,
    buffer_offset: u64,
    /// Where the next frame starts in `buffer`.
    at: usize,
}

impl FrameScan {
    /// A scan from the first frame on.
    pub(super) fn new(file: Box<dyn DiskFile>, first: Epoch) -> Self {
        Self { file, next: first, buffer: Vec::new(), buffer_offset: HEADER_BYTES as u64, at: 0 }
    }

    /// Where the next frame starts.
    pub(super) fn offset(&self) -> u64 {
        self.buffer_offset + self.at as u64
    }

    /// The epoch of the next frame.
    pub(super) fn next_epoch(&self) -> Epoch {
        self.next
    }

    /// Gives the file back.
    pub(super) fn into_file(self) -> Box<dyn DiskFile> {
        self.file
    }

    /// The encoded output of the next epoch within the file's first `end` bytes; `None` when they
    /// end where it would start.
    pub(super) fn next_frame(&mut self, end: u64) -> Result<Option<&[u8]>, FrameError> {
        let offset = self.offset();
        if offset >= end {
            return Ok(None);
        }
        let flawed = || FrameError::Flawed(offset);
        self.fill(FRAME_BYTES, end)?;
        let frame = &self.buffer[self.at..];
        let length = frame.get(4..8).and_then(|it| it.try_into().ok()).ok_or_else(flawed)?;
        let length = usize::try_from(u32::from_le_bytes(length)).map_err(|_| flawed())?;
        if (FRAME_BYTES + length) as u64 > end - offset {
            return Err(flawed());
        }
        self.fill(FRAME_BYTES + length, end)?;
        let frame = self.buffer[self.at..].get(..FRAME_BYTES + length).ok_or_else(flawed)?;
        if crc32c(&frame[4..]).to_le_bytes() != frame[..4]
            || self.next.0.to_le_bytes() != frame[8..16]
        {
            return Err(flawed());
        }
        let start = self.at + FRAME_BYTES;
        self.at = start + length;
        self.next = self.next.next();
        Ok(Some(&self.buffer[start..self.at]))
    }

    /// Reads on until `wanted` bytes are held from `at` on, or the first `end` bytes are over.
    fn fill(&mut self, wanted: usize, end: u64) -> Result<(), FrameError> {
        if self.buffer.len() - self.at >= wanted {
            return Ok(());
        }
        self.buffer.drain(..self.at);
        self.buffer_offset += self.at as u64;
        self.at = 0;
        let held = self.buffer.len();
        let from = self.buffer_offset + held as u64;
        let rest = usize::try_from(end.saturating_sub(from)).unwrap_or(usize::MAX);
        self.buffer.resize(held + rest.min(CHUNK_BYTES.max(wanted - held)), 0);
        let count = self.file.read_at(from, &mut self.buffer[held..]).map_err(FrameError::Io)?;
        self.buffer.truncate(held + count);
        Ok(())
    }
}
