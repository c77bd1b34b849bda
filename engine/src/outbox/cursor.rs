//! How far a sink is, durably.
//!
//! A cursor is a file of its own, `DATA/cursors/NAME`, replaced as a whole: written beside it,
//! synced, renamed over it, and the folder synced. After a crash it is the old one or the new one.
//! Layout, version 1, integers little endian:
//!
//! ```text
//! "BECKNCUR"  u16 version  u16 zero  u64 epoch  u64 seq  u32 CRC32C of all before
//! ```

use super::error::{OutboxError, io_error};
use crate::disk::{Disk, replace_file};
use crate::log::Named;
use crate::model::{Epoch, LogSeq};
use crc32c::crc32c;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: [u8; 8] = *b"BECKNCUR";
const VERSION: u16 = 1;
const BYTES: usize = 32;
const NAME_BYTES_MAX: usize = 64;
/// Ends the names of files that are being written; no cursor's name has a dot.
const UNFINISHED: &str = ".new";

/// What a sink has taken: all up to here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The last epoch.
    pub epoch: Epoch,
    /// The last record of the log up to there (`last_seq` of the epoch's mark).
    pub seq: LogSeq,
}

/// The cursors of a data folder.
#[derive(Clone, Debug)]
pub struct Cursors {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

impl Cursors {
    /// The cursors in `dir`, which is made where it is missing.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(disk: Arc<dyn Disk>, dir: PathBuf) -> Result<Self, OutboxError> {
        disk.create_dir_all(&dir).map_err(|source| io_error(&dir, source))?;
        Ok(Self { disk, dir })
    }

    /// All cursors by name.
    ///
    /// # Errors
    /// [`OutboxError::Cursor`] for one that is damaged, [`OutboxError::CursorVersion`] for one that
    /// a newer Beckon wrote, or what the file system says.
    pub fn all(&self) -> Result<BTreeMap<String, Position>, OutboxError> {
        let names = self.disk.list(&self.dir).map_err(|source| io_error(&self.dir, source))?;
        let mut all = BTreeMap::new();
        for name in names.into_iter().filter(|name| is_name(name)) {
            if let Some(position) = self.read(&self.dir.join(&name))? {
                all.insert(name, position);
            }
        }
        Ok(all)
    }

    /// How far the log must reach, by these cursors.
    ///
    /// # Errors
    /// As [`Cursors::all`].
    pub fn named(&self) -> Result<Named, OutboxError> {
        let all = self.all()?;
        Ok(Named {
            epoch_max: all.values().map(|position| position.epoch).max().unwrap_or_default(),
            seq_max: all.values().map(|position| position.seq).max().unwrap_or_default(),
        })
    }

    /// The cursor of a name; its position is `None` before it was first set.
    ///
    /// # Errors
    /// [`OutboxError::CursorName`], or as [`Cursors::all`].
    pub fn cursor(&self, name: &str) -> Result<Cursor, OutboxError> {
        if !is_name(name) {
            return Err(OutboxError::CursorName(name.into()));
        }
        let path = self.dir.join(name);
        let position = self.read(&path)?;
        Ok(Cursor { cursors: self.clone(), path, position })
    }

    fn read(&self, path: &Path) -> Result<Option<Position>, OutboxError> {
        let mut bytes = [0; BYTES + 1];
        let file = match self.disk.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(path, error)),
        };
        let count = file.read_at(0, &mut bytes).map_err(|source| io_error(path, source))?;
        let path = || path.display().to_string().into();
        match bytes.get(..count).and_then(decode) {
            Some((VERSION, position)) => Ok(Some(position)),
            Some((version, _)) => {
                Err(OutboxError::CursorVersion { path: path(), version, known: VERSION })
            }
            None => Err(OutboxError::Cursor { path: path() }),
        }
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(UNFINISHED);
        replace_file(&*self.disk, path, Path::new(&unfinished), bytes)
    }
}

/// One sink's durable position.
#[derive(Debug)]
pub struct Cursor {
    cursors: Cursors,
    path: PathBuf,
    position: Option<Position>,
}

impl Cursor {
    /// Where it stands; `None` before it was first set.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// Moves it forward and returns when that is on disk; a position that is not ahead changes
    /// nothing.
    ///
    /// # Errors
    /// What the file system says; it then stands where it stood, in memory and for the next
    /// process at one of the two places.
    pub fn advance(&mut self, position: Position) -> Result<(), OutboxError> {
        if self.position.is_some_and(|stands| position <= stands) {
            return Ok(());
        }
        let replaced = self.cursors.replace(&self.path, &encode(position));
        replaced.map_err(|source| io_error(&self.path, source))?;
        self.position = Some(position);
        Ok(())
    }
}

fn is_name(name: &str) -> bool {
    let is_fine = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_fine)
}

fn encode(position: Position) -> [u8; BYTES] {
    let mut out = Vec::with_capacity(BYTES);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&position.epoch.0.to_le_bytes());
    out.extend_from_slice(&position.seq.0.to_le_bytes());
    out.extend_from_slice(&crc32c(&out).to_le_bytes());
    out.try_into().expect("the parts above are BYTES long")
}

/// The version and the position, unless it is damaged. Another version has the same length, its
/// number in the same place and the checksum at the end.
fn decode(bytes: &[u8]) -> Option<(u16, Position)> {
    let bytes = <&[u8; BYTES]>::try_from(bytes).ok()?;
    let (checked, crc) = bytes.split_at(BYTES - 4);
    if !checked.starts_with(&MAGIC) || crc32c(checked).to_le_bytes() != crc {
        return None;
    }
    let version = u16::from_le_bytes(*checked.get(8..)?.first_chunk()?);
    let number = |at: usize| Some(u64::from_le_bytes(*checked.get(at..)?.first_chunk()?));
    Some((version, Position { epoch: Epoch(number(12)?), seq: LogSeq(number(20)?) }))
}
