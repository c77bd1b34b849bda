//! The manifest: which files are part of the tables, and through which epoch.
//!
//! One entry is one round: all files of all tables that were open together, ended at the end of an
//! epoch. The round is what is atomic. Its steps, and what a crash behind each leaves:
//!
//! 1. files are written, ended and synced in `_tmp`      nothing counts: recovery drops them
//! 2. the entry is appended to the manifest and synced   the round counts: recovery finishes it
//! 3. the files are renamed into their tables' folders   some in place, some not: as 2
//! 4. the folders are synced                             as 2
//! 5. the caller moves its cursor                        the position comes from the manifest
//!
//! `_manifest/rounds-DATE.txt` has a line for each round of a load date: eight hex digits of CRC32C,
//! a space, JSON. Version 1:
//!
//! ```text
//! {"version":1,"round":1,"date":"2026-11-25","epoch_first":1,"epoch_last":9,"sequence_first":1,
//!  "sequence_last":40,"files":[{"path":"visits/date=2026-11-25/r0000000001-0001.parquet","rows":7,
//!  "bytes":1000,"crc32c":3735928559,"sequence_first":1,"sequence_last":38}, ...]}
//! ```
//!
//! A new round is begun only when the one before is in place, so recovery reads the
//! newest file and looks at its last line. A last line that is not whole is torn and cut, unless a
//! file of its round is in place: then it was whole once. Any other line that does not check is
//! damage. What is kept is rewritten and synced before anything is added: what a failed sync left
//! in memory only is not taken for durable.

use super::columns::Result;
use super::error::ParquetError;
use super::folder::Folder;
use super::layout::{DayFolders, MANIFEST, TEMPORARY, Table, round_of};
use beckon_engine::model::{Epoch, LogSeq};
use beckon_engine::outbox::Position;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const VERSION: u32 = 1;
const PREFIX: &str = "rounds-";
const SUFFIX: &str = ".txt";
/// Bytes of a file that are checked at once.
const CHUNK_BYTES: usize = 1 << 20;
const ADVICE: &str = "restore the folder from a copy, or move it away and rebuild the tables";

/// A round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RoundEntry {
    pub(super) version: u32,
    pub(super) round: u64,
    pub(super) date: String,
    pub(super) epoch_first: u64,
    pub(super) epoch_last: u64,
    pub(super) sequence_first: u64,
    pub(super) sequence_last: u64,
    pub(super) files: Vec<FileEntry>,
}

/// A file of a round; `path` is relative to the tables' folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileEntry {
    pub(super) path: String,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) crc32c: u32,
    pub(super) sequence_first: u64,
    pub(super) sequence_last: u64,
}

impl RoundEntry {
    pub(super) fn version() -> u32 {
        VERSION
    }

    fn position(&self) -> Position {
        Position { epoch: Epoch(self.epoch_last), seq: LogSeq(self.sequence_last) }
    }
}

/// What every version of a line has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// The manifest of one folder of tables.
#[derive(Debug)]
pub(super) struct Manifest {
    folder: Folder,
    last: Option<RoundEntry>,
}

/// A manifest file as read.
struct Lines {
    entries: Vec<RoundEntry>,
    /// Bytes of the whole lines.
    kept: Vec<u8>,
    is_torn: bool,
}

impl Manifest {
    /// Reads the manifest, finishes the last round, drops what is unfinished. Also says which
    /// event folders the last date has.
    pub(super) fn open(folder: Folder) -> Result<(Self, DayFolders)> {
        for name in ["", MANIFEST, TEMPORARY] {
            folder.create_folder(Path::new(name))?;
        }
        folder.sync_folder(Path::new(""))?;
        let mut manifest = Self { folder, last: None };
        let mut day = DayFolders::default();
        let files = manifest.files()?;
        let mut newest = None;
        for (age, name) in files.iter().rev().enumerate() {
            let lines = read_lines(&manifest.folder, name, age == 0)?;
            for file in lines.entries.iter().flat_map(|entry| &entry.files) {
                day.note(&file.path);
            }
            manifest.last = lines.entries.last().cloned();
            newest.get_or_insert((name, lines));
            if manifest.last.is_some() {
                break;
            }
        }
        if let Some((name, lines)) = newest {
            manifest.settle(name, &lines)?;
        }
        if let Some(last) = &manifest.last {
            day.date.clone_from(&last.date);
            manifest.publish(last, Check::Checksums)?;
        }
        manifest.drop_unfinished()?;
        Ok((manifest, day))
    }

    /// Everything through here is in finished files.
    pub(super) fn durable(&self) -> Option<Position> {
        self.last.as_ref().map(RoundEntry::position)
    }

    pub(super) fn next_round(&self) -> u64 {
        self.last.as_ref().map_or(1, |last| last.round + 1)
    }

    /// Makes a round part of the tables. Its files are ended and synced in the temporary folder.
    pub(super) fn commit(&mut self, entry: RoundEntry) -> Result<()> {
        self.folder.sync_folder(Path::new(TEMPORARY))?;
        let name = Path::new(MANIFEST).join(format!("{PREFIX}{}{SUFFIX}", entry.date));
        self.folder.append(&name, line_of(&entry).as_bytes())?;
        self.publish(&entry, Check::Nothing)?;
        self.last = Some(entry);
        Ok(())
    }

    /// The manifest's files, oldest date first.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let mut names = self.folder.files(Path::new(MANIFEST))?;
        names.retain(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        Ok(names.iter().map(|name| Path::new(MANIFEST).join(name)).collect())
    }

    /// Cuts a torn line of the newest file, and makes durable what stays.
    fn settle(&self, name: &Path, lines: &Lines) -> Result<()> {
        if lines.is_torn {
            let mut in_place = None;
            for table in Table::ALL {
                newest_round(&self.folder, Path::new(table.as_str()), &mut in_place)?;
            }
            let path = self.folder.at(name);
            if in_place >= Some(self.next_round()) {
                let what = "the last line does not check, and files of its round are in place";
                return Err(damaged(&path, what));
            }
            tracing::warn!(path = %path.display(), "cut a torn line of the Parquet manifest");
        }
        self.folder.replace(name, &lines.kept)
    }

    /// Moves the files of a round into their folders, those that are not there yet.
    fn publish(&self, entry: &RoundEntry, check: Check) -> Result<()> {
        let folder = &self.folder;
        let unfinished: BTreeSet<_> = folder.files(Path::new(TEMPORARY))?.into_iter().collect();
        let mut folders = BTreeSet::from([PathBuf::new(), TEMPORARY.into()]);
        for file in &entry.files {
            let target = Path::new(&file.path);
            let part = part_of(target);
            if unfinished.contains(&part) {
                let temporary = Path::new(TEMPORARY).join(part);
                if check == Check::Checksums {
                    verify(folder, &temporary, file)?;
                }
                folder.create_folder(target.parent().expect("a file lies in a folder"))?;
                folder.rename(&temporary, target)?;
            } else if folder.open(target)?.is_none() {
                let path = folder.at(target);
                tracing::warn!(path = %path.display(), "a Parquet file was taken away");
                continue;
            }
            folders.extend(target.ancestors().skip(1).map(Path::to_owned));
        }
        // The deepest first, so that no folder is durable without what it holds.
        folders.iter().rev().try_for_each(|name| folder.sync_folder(name))
    }

    fn drop_unfinished(&self) -> Result<()> {
        let folder = Path::new(TEMPORARY);
        let names = self.folder.files(folder)?;
        names.iter().try_for_each(|name| self.folder.remove(&folder.join(name)))
    }
}

/// The name of a file in the temporary folder.
fn part_of(target: &Path) -> String {
    let stem = target.file_stem().expect("a file has a name");
    format!("{}.part", stem.to_string_lossy())
}

/// Whether files are read again before they count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// Just written, and checked on the way.
    Nothing,
    /// Found after a restart.
    Checksums,
}

fn damaged(path: &Path, what: impl Into<Box<str>>) -> ParquetError {
    ParquetError::Damaged { path: path.to_string_lossy().into(), what: what.into(), advice: ADVICE }
}

fn line_of(entry: &RoundEntry) -> String {
    let json = serde_json::to_string(entry).expect("names and numbers are JSON");
    format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes()))
}

/// Reads a manifest file; only the newest may have a torn last line.
fn read_lines(folder: &Folder, name: &Path, is_newest: bool) -> Result<Lines> {
    let path = folder.at(name);
    let bytes = folder.read(name)?.unwrap_or_default();
    let mut lines = Lines { entries: Vec::new(), kept: Vec::new(), is_torn: false };
    let mut pieces = bytes.split_inclusive(|byte| *byte == b'\n').enumerate().peekable();
    while let Some((index, piece)) = pieces.next() {
        match whole_json(piece) {
            Some(json) => {
                let at = index + 1;
                lines.entries.push(
                    entry_of(json).map_err(|what| damaged(&path, format!("line {at}: {what}")))?,
                );
                lines.kept.extend_from_slice(piece);
            }
            None if is_newest && pieces.peek().is_none() => lines.is_torn = true,
            None => return Err(damaged(&path, format!("line {} does not check", index + 1))),
        }
    }
    Ok(lines)
}

fn entry_of(json: &[u8]) -> std::result::Result<RoundEntry, String> {
    let Versioned { version } = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    if version != VERSION {
        return Err(format!("version {version} is unknown, this Beckon reads {VERSION}"));
    }
    serde_json::from_slice(json).map_err(|error| error.to_string())
}

/// The JSON of a line whose checksum is right.
fn whole_json(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_suffix(b"\n")?;
    let (crc, json) = line.split_at_checked(8)?;
    let json = json.strip_prefix(b" ")?;
    let crc = u32::from_str_radix(std::str::from_utf8(crc).ok()?, 16).ok()?;
    (crc == crc32c::crc32c(json)).then_some(json)
}

/// The highest round among the files below `name`. Tables are three folders deep.
fn newest_round(folder: &Folder, name: &Path, newest: &mut Option<u64>) -> Result<()> {
    let files = folder.files(name)?;
    *newest = files.iter().filter_map(|file| round_of(file)).max().max(*newest);
    let below = folder.folders(name)?;
    below.iter().try_for_each(|it| newest_round(folder, &name.join(it), newest))
}

fn verify(folder: &Folder, name: &Path, entry: &FileEntry) -> Result<()> {
    let path = folder.at(name);
    let said = "it is not what the manifest says, and was synced before";
    let file = folder.open(name)?.ok_or_else(|| damaged(&path, said))?;
    let mut buffer = vec![0_u8; CHUNK_BYTES];
    let (mut crc, mut bytes) = (0_u32, 0_u64);
    loop {
        let count = file.read_at(bytes, &mut buffer).map_err(ParquetError::io(&path))?;
        if count == 0 {
            break;
        }
        let (read, _) = buffer.split_at(count);
        crc = crc32c::crc32c_append(crc, read);
        bytes += count as u64;
    }
    if crc == entry.crc32c && bytes == entry.bytes { Ok(()) } else { Err(damaged(&path, said)) }
}
