//! The files of a log: names, order, making a new one.

use super::api::LogError;
use super::format::{HEADER_BYTES, Header};
use crate::disk::{Disk, DiskFile};
use crate::model::{Epoch, LogSeq, ServerTimeMs};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

/// What the log knows of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentInfo {
    /// Its number; they follow each other, the first is 1.
    pub(super) number: u64,
    pub(super) header: Header,
    /// Bytes of it that are on disk and whole.
    pub(super) bytes: u64,
}

/// The file name of a segment.
pub(super) fn segment_name(number: u64) -> String {
    format!("{number:010}.seg")
}

/// The path of a segment.
pub(super) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(segment_name(number))
}

/// The file name of a segment's digest.
pub(super) fn digest_name(number: u64) -> String {
    format!("{number:010}.ids")
}

/// The path of a segment's digest.
pub(super) fn digest_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(digest_name(number))
}

/// The numbers of what lies in a log's folder, each ascending.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    pub(super) segments: Vec<u64>,
    pub(super) digests: Vec<u64>,
}

impl Numbers {
    /// Lists the folder; other files are passed over.
    pub(super) fn list(disk: &dyn Disk, dir: &Path) -> Result<Self, LogError> {
        let names = disk.list(dir).map_err(|source| io_error(dir, source))?;
        let of = |suffix| {
            let numbers = names.iter().filter_map(|name| {
                let number = name.strip_suffix(suffix)?.parse().ok()?;
                (format!("{number:010}{suffix}") == *name).then_some(number)
            });
            let mut numbers = numbers.collect::<Vec<u64>>();
            numbers.sort_unstable();
            numbers
        };
        Ok(Self { segments: of(".seg"), digests: of(".ids") })
    }
}

/// Makes an empty segment; its header and its name are on disk before a group is written to it, so
/// that a segment with groups and without a header is damaged and not torn.
pub(super) fn create_segment(
    disk: &dyn Disk,
    dir: &Path,
    number: u64,
    starts: (Epoch, LogSeq, ServerTimeMs),
) -> io::Result<(Box<dyn DiskFile>, SegmentInfo)> {
    let (first_epoch, first_seq, made) = starts;
    let header = Header { salt: random_salt(), first_epoch, first_seq, made };
    let file = disk.create(&segment_path(dir, number))?;
    file.write_at(0, &header.encode())?;
    file.sync()?;
    disk.sync_dir(dir)?;
    Ok((file, SegmentInfo { number, header, bytes: HEADER_BYTES as u64 }))
}

/// Random by the way the standard library seeds its hash maps from the operating system.
fn random_salt() -> u32 {
    let [a, b, c, d, ..] = RandomState::new().build_hasher().finish().to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// A segment that is not as it was written.
pub(super) fn damaged(segment: &str, offset: u64, what: &str) -> LogError {
    LogError::Damaged { segment: segment.into(), offset, what: what.into() }
}

/// An error of the file system with its path.
pub(super) fn io_error(path: &Path, source: io::Error) -> LogError {
    LogError::Io { path: path.display().to_string().into(), source }
}
