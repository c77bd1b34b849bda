//! A snapshot's file.
//!
//! Layout of `DATA/snapshots/EPOCH.snap` (EPOCH is the last piece's, 20 digits), version 4, integers
//! little endian:
//!
//! ```text
//! file   = header piece* rest
//! header   "BECKNSNP"  u16 version  u16 zero  u32 CRC32C of all before
//! piece    u32 CRC32C of all behind it  u8 part  u8 partition  u64 epoch  u64 length  state
//! rest     a piece of part 255: Rest (postcard); nothing is behind it
//! ```
//!
//! Parts are 0 visits, 1 other windows, 2 visitors, 3 and 4 what is live; a state's own form is
//! postcard's of the structures that it is of. It is nobody's interface, but it outlives the process:
//! whatever changes it is a new version, and a test holds it to a fixture.

use super::{Cut, Part, Piece, Pieces};
use crate::catalog::SavedCatalog;
use crate::disk::DiskFile;
use crate::model::{Epoch, EpochMark, PartitionId};
use crc32c::crc32c;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"BECKNSNP";
const VERSION: u16 = 5;
const HEADER_BYTES: usize = 16;
/// CRC, part, partition, epoch, length.
const PIECE_BYTES: usize = 22;
const REST: u8 = 255;
/// Above any piece: more is damage. (A partition's share of visits that fill the memory.)
const STATE_BYTES_MAX: u64 = 16 << 30;

/// What is not partitioned, and says that the round is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// The first piece was taken behind this epoch.
    pub base: EpochMark,
    /// The last one behind this.
    pub through: EpochMark,
    /// What is deployed, all the time.
    pub catalog: SavedCatalog,
}

/// Why a file is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    /// What the file system says.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Its bytes are not those that were written.
    #[error("it is damaged at byte {0}")]
    Damaged(u64),
    /// Another Beckon wrote it.
    #[error("it has version {0}, this beckon reads version {VERSION}")]
    Version(u16),
}

/// The path of the snapshot whose last piece is of an epoch.
pub(super) fn file_path(dir: &Path, through: Epoch) -> PathBuf {
    dir.join(format!("{:020}.snap", through.0))
}

/// The epoch in the name of a snapshot's file.
pub(super) fn through_of(name: &str) -> Option<Epoch> {
    name.strip_suffix(".snap").filter(|digits| digits.len() == 20)?.parse().ok().map(Epoch)
}

/// A file's header.
pub(super) fn header() -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&crc32c(&out).to_le_bytes());
    out
}

fn code(part: Part) -> u8 {
    match part {
        Part::Visits => 0,
        Part::Windows => 1,
        Part::Visitors => 2,
        Part::LiveEvents => 3,
        Part::LiveActions => 4,
    }
}

fn part_of(code: u8) -> Option<Part> {
    let parts = [Part::Visits, Part::Windows, Part::Visitors, Part::LiveEvents, Part::LiveActions];
    parts.into_iter().find(|part| self::code(*part) == code)
}

/// What stands in front of a state, and the state.
pub(super) fn encode_piece(piece: &Piece, out: &mut Vec<u8>) {
    encode((code(piece.cut.part), piece.cut.partition, piece.epoch), &piece.bytes, out);
}

/// What ends the file.
pub(super) fn encode_rest(rest: &Rest, out: &mut Vec<u8>) {
    let mut bytes = Vec::new();
    super::encode(rest, &mut bytes);
    encode((REST, PartitionId(0), rest.through.epoch), &bytes, out);
}

fn encode((code, partition, epoch): (u8, PartitionId, Epoch), bytes: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.reserve(PIECE_BYTES + bytes.len());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[code, partition.0]);
    out.extend_from_slice(&epoch.0.to_le_bytes());
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
    let crc = crc32c(&out[4..]);
    out[..4].copy_from_slice(&crc.to_le_bytes());
}

/// Where a piece lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    epoch: Epoch,
    offset: u64,
    length: u64,
}

/// A whole file, checked.
#[derive(Debug)]
pub struct SnapshotFile {
    file: Box<dyn DiskFile>,
    pieces: BTreeMap<Cut, Place>,
    rest: Rest,
    bytes: u64,
}

impl SnapshotFile {
    /// Reads a file through and checks every byte of it.
    ///
    /// # Errors
    /// [`Flaw`].
    pub fn check(file: Box<dyn DiskFile>) -> Result<Self, Flaw> {
        let mut bytes = [0; HEADER_BYTES];
        if file.read_at(0, &mut bytes)? < HEADER_BYTES || bytes[..8] != MAGIC {
            return Err(Flaw::Damaged(0));
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if version != VERSION {
            return Err(Flaw::Version(version));
        }
        if bytes[..] != header()[..] {
            return Err(Flaw::Damaged(0));
        }
        let mut pieces = BTreeMap::new();
        let mut offset = HEADER_BYTES as u64;
        let end = file.bytes()?;
        loop {
            let damaged = || Flaw::Damaged(offset);
            let (head, state) = read(&*file, offset)?.ok_or_else(damaged)?;
            let behind = offset + (PIECE_BYTES + state.len()) as u64;
            if head.code == REST {
                let rest = super::decode(&state).map_err(|_| damaged())?;
                if behind != end {
                    return Err(Flaw::Damaged(behind));
                }
                return Ok(Self { file, pieces, rest, bytes: end });
            }
            let part = part_of(head.code).ok_or_else(damaged)?;
            let place = Place { epoch: head.epoch, offset, length: head.length };
            pieces.insert(Cut { part, partition: head.partition }, place);
            offset = behind;
        }
    }

    /// What is not partitioned.
    #[must_use]
    pub fn rest(&self) -> &Rest {
        &self.rest
    }

    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Pieces for SnapshotFile {
    fn of(&self, part: Part) -> Vec<Cut> {
        self.pieces.keys().copied().filter(|cut| cut.part == part).collect()
    }

    fn read(&self, cut: Cut) -> io::Result<Piece> {
        let damaged =
            || io::Error::new(io::ErrorKind::InvalidData, "it changed since it was checked");
        let place = self.pieces.get(&cut).ok_or_else(damaged)?;
        let (head, bytes) = read(&*self.file, place.offset)?.ok_or_else(damaged)?;
        if (head.epoch, head.length) != (place.epoch, place.length) {
            return Err(damaged());
        }
        Ok(Piece { cut, epoch: place.epoch, bytes })
    }
}

/// What stands in front of a state.
struct Head {
    code: u8,
    partition: PartitionId,
    epoch: Epoch,
    length: u64,
}

/// A piece at an offset, if it is whole.
fn read(file: &dyn DiskFile, offset: u64) -> io::Result<Option<(Head, Vec<u8>)>> {
    let mut head = [0; PIECE_BYTES];
    if file.read_at(offset, &mut head)? < PIECE_BYTES {
        return Ok(None);
    }
    let number = |at: usize| {
        let bytes = head[at..at + 8].try_into().expect("eight bytes");
        u64::from_le_bytes(bytes)
    };
    let (epoch, length) = (Epoch(number(6)), number(14));
    let left = file.bytes()?.saturating_sub(offset + PIECE_BYTES as u64);
    if length > left.min(STATE_BYTES_MAX) {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    let read = file.read_at(offset + PIECE_BYTES as u64, &mut bytes)?;
    let crc = crc32c::crc32c_append(crc32c(&head[4..]), &bytes);
    let is_whole = read == bytes.len() && head[..4] == crc.to_le_bytes();
    let head = Head { code: head[4], partition: PartitionId(head[5]), epoch, length };
    Ok(is_whole.then_some((head, bytes)))
}
