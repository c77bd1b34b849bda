//! Looks through a log's files without opening it: for `beckon log inspect`.
//!
//! Reads only and takes no lock, so it works beside a running server (whose last group may then
//! look torn) and on a log that recovery refuses.

use super::api::{CommitMark, LogError};
use super::format::{HEADER_BYTES, HeaderFlaw};
use super::scan::{Behind, GroupScan, ScanError, look_behind, read_header};
use super::segment::{Numbers, io_error, segment_name, segment_path};
use crate::disk::Disk;
use crate::model::{Epoch, LogSeq, ServerTimeMs};
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

/// Calls `each` for every segment, group and damage of the log in `dir`.
///
/// # Errors
/// What the file system says; a folder that is missing is such an error.
pub fn inspect(
    disk: &dyn Disk,
    dir: &Path,
    mut each: impl FnMut(Inspected),
) -> Result<(), LogError> {
    let numbers = Numbers::list(disk, dir)?.segments;
    let last = numbers.last().copied();
    for number in numbers {
        inspect_segment(disk, dir, (number, last == Some(number)), &mut each)?;
    }
    Ok(())
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
