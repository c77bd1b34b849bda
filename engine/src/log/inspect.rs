//! Looks through a log's files without opening it: for `beckon log inspect`.
//!
//! Reads only and takes no lock, so it works beside a running server (whose last group may then
//! look torn) and on a log that recovery refuses.

use super::api::{CommitMark, LogError};
use super::dedup_ids::DedupIds;
use super::digest::About;
use super::format::{HEADER_BYTES, HeaderFlaw};
use super::scan::{Behind, GroupScan, ScanError, look_behind, read_header};
use super::segment::{Numbers, digest_name, io_error, segment_name, segment_path};
use crate::disk::Disk;
use crate::model::{Epoch, LogSeq, ServerTimeMs};
use std::collections::BTreeSet;
use std::path::Path;

/// One thing that was found, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inspected {
    /// A segment begins.
    Segment {
        /// Its file name.
        name: Box<str>,
        /// Bytes of the file.
        bytes: u64,
        /// Its first group.
        first_epoch: Epoch,
        /// Its first record.
        first_seq: LogSeq,
        /// When it was made.
        made: ServerTimeMs,
    },
    /// The digest of the segment that was last, or of one that retention removed.
    Digest {
        /// Its file name.
        name: Box<str>,
        /// Its event ids.
        ids: u64,
        /// Its segment's epochs, the first and the last.
        epochs: (Epoch, Epoch),
        /// Its segment is gone.
        is_removed: bool,
    },
    /// The digest of the segment that was last, or of one that retention removed, is not usable.
    DigestFlaw {
        /// Its file name.
        name: Box<str>,
        /// What is wrong.
        what: Box<str>,
        /// Its segment is gone.
        is_removed: bool,
    },
    /// A whole group.
    Group {
        /// Its mark.
        mark: CommitMark,
        /// Where it starts in the segment.
        offset: u64,
        /// Its bytes.
        bytes: u64,
        /// Its records.
        records: u64,
    },
    /// The rest of the segment is not readable.
    Damage {
        /// The segment's file name.
        segment: Box<str>,
        /// Where.
        offset: u64,
        /// What is wrong.
        what: Box<str>,
        /// It may be the torn end of a write, which opening the log cuts.
        is_torn: bool,
    },
}

/// Calls `each` for every segment, group, damage and digest of the log in `dir`.
///
/// # Errors
/// What the file system says; a folder that is missing is such an error.
pub fn inspect(
    disk: &dyn Disk,
    dir: &Path,
    mut each: impl FnMut(Inspected),
) -> Result<(), LogError> {
    let numbers = Numbers::list(disk, dir)?;
    let last = numbers.segments.last().copied();
    let all = numbers.segments.iter().chain(&numbers.digests).collect::<BTreeSet<_>>();
    for number in all {
        let is_removed = !numbers.segments.contains(number);
        if !is_removed {
            inspect_segment(disk, dir, (*number, last == Some(*number)), &mut each)?;
        }
        if numbers.digests.contains(number) {
            each(inspect_digest(disk, dir, *number, is_removed));
        }
    }
    Ok(())
}

fn inspect_digest(disk: &dyn Disk, dir: &Path, number: u64, is_removed: bool) -> Inspected {
    let name = digest_name(number).into();
    let about = About::read(disk, dir, number).and_then(|about| {
        let mut ids = DedupIds::default();
        about.read_ids(disk, dir, (number, &mut ids))?;
        Ok(about)
    });
    match about {
        Ok(about) => Inspected::Digest {
            name,
            ids: about.keys as u64,
            epochs: (about.header.first_epoch, about.last.epoch),
            is_removed,
        },
        Err(flaw) => Inspected::DigestFlaw { name, what: flaw.to_string().into(), is_removed },
    }
}

fn inspect_segment(
    disk: &dyn Disk,
    dir: &Path,
    (number, is_last): (u64, bool),
    each: &mut impl FnMut(Inspected),
) -> Result<(), LogError> {
    let path = segment_path(dir, number);
    let name: Box<str> = segment_name(number).into();
    let fail = |source| io_error(&path, source);
    let file = disk.open(&path).map_err(fail)?;
    let end = file.bytes().map_err(fail)?;
    let header = match read_header(&*file).map_err(fail)? {
        Ok(header) => header,
        Err(flaw) => {
            let (what, is_torn) = match flaw {
                HeaderFlaw::Damaged => {
                    ("its header is damaged".into(), is_last && end <= HEADER_BYTES as u64)
                }
                HeaderFlaw::Version(version) => {
                    (format!("it has version {version}, which is not known"), false)
                }
            };
            each(Inspected::Damage { segment: name, offset: 0, what: what.into(), is_torn });
            return Ok(());
        }
    };
    each(Inspected::Segment {
        name: name.clone(),
        bytes: end,
        first_epoch: header.first_epoch,
        first_seq: header.first_seq,
        made: header.made,
    });
    let mut scan = GroupScan::new(file, &header);
    let (stop, what) = loop {
        match scan.next_group(end) {
            Ok(None) => return Ok(()),
            Ok(Some(group)) => each(Inspected::Group {
                mark: group.mark,
                offset: group.offset,
                bytes: group.bytes.len() as u64,
                records: group.records().count() as u64,
            }),
            Err(ScanError::Io(source)) => return Err(fail(source)),
            Err(ScanError::Flawed(stop, what)) => break (stop, what),
        }
    };
    let behind = look_behind(&*scan.into_file(), &header, stop, end).map_err(fail)?;
    let is_torn = is_last && behind == Behind::Nothing;
    each(Inspected::Damage { segment: name, offset: stop.offset, what: what.into(), is_torn });
    Ok(())
}
