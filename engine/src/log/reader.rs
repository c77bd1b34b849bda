//! Follows the log from its files. What was just written comes from the page cache.

use super::api::{Group, LogError, LogReader, LoggedRecord};
use super::format::{HeaderFlaw, VERSION, to_body};
use super::scan::{GroupScan, ScanError, read_header};
use super::segment::{SegmentInfo, damaged, io_error, segment_name, segment_path};
use super::state::{Readable, Shared};
use crate::model::Epoch;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// A place in the log's files.
#[derive(Debug)]
pub(super) struct FileReader {
    shared: Arc<Shared>,
    segment: u64,
    scan: GroupScan,
    /// How far the segment was known to be on disk when last asked.
    end: u64,
}

impl FileReader {
    /// A reader from the group behind `after` on.
    pub(super) fn open(shared: Arc<Shared>, after: Option<Epoch>) -> Result<Self, LogError> {
        let after = after.unwrap_or(Epoch(0));
        if after > shared.durable().map_or(Epoch(0), |durable| durable.epoch) {
            return Err(LogError::Ahead(after));
        }
        let segment = shared.segment_of(after.next()).ok_or(LogError::Gone(after.next()))?;
        let scan = open_segment(&shared, segment.number, after.next())?;
        let mut reader = Self { shared, segment: segment.number, scan, end: segment.bytes };
        while reader.scan.next_epoch() <= after {
            match reader.scan.next_group(reader.end) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return Err(scan_error(&reader.shared, segment.number, error)),
            }
        }
        Ok(reader)
    }

    /// Goes on with the segment behind the one that was read.
    fn go_on(&mut self, segment: &SegmentInfo) -> Result<(), LogError> {
        self.scan = open_segment(&self.shared, segment.number, self.scan.next_epoch())?;
        self.segment = segment.number;
        self.end = segment.bytes;
        Ok(())
    }

    fn buffered(&mut self) -> Result<Option<Group>, LogError> {
        match self.scan.next_group(self.end) {
            Ok(None) => Ok(None),
            Ok(Some(view)) => {
                let records = view.records().filter_map(|record| {
                    let body = to_body(view.mark.epoch, record.body).transpose()?;
                    Some(body.map(|body| LoggedRecord { seq: record.seq, body }))
                });
                let records = records.collect::<Result<_, _>>()?;
                Ok(Some(Group { mark: view.mark, records }))
            }
            Err(error) => Err(scan_error(&self.shared, self.segment, error)),
        }
    }
}

impl LogReader for FileReader {
    fn next(&mut self, wait: Duration) -> Result<Option<Group>, LogError> {
        loop {
            if let Some(group) = self.buffered()? {
                return Ok(Some(group));
            }
            match self.shared.wait_readable(self.segment, self.scan.offset(), wait) {
                Readable::Bytes(end) => self.end = end,
                Readable::Next(segment) => self.go_on(&segment)?,
                // It is whole, and this reader still has it open.
                Readable::Removed(next) => {
                    let bytes = self.scan.file().bytes().map_err(|source| {
                        io_error(&segment_path(&self.shared.open().dir, self.segment), source)
                    })?;
                    match next {
                        _ if self.scan.offset() < bytes => self.end = bytes,
                        Some(segment) => self.go_on(&segment)?,
                        None => return Err(LogError::Gone(self.scan.next_epoch())),
                    }
                }
                Readable::Nothing => return Ok(None),
                Readable::Closed => return Err(LogError::Closed),
            }
        }
    }
}

fn scan_error(shared: &Shared, segment: u64, error: ScanError) -> LogError {
    match error {
        ScanError::Io(source) => io_error(&segment_path(&shared.open().dir, segment), source),
        ScanError::Flawed(stop, what) => damaged(&segment_name(segment), stop.offset, what),
    }
}

/// Opens the segment that has `epoch`.
fn open_segment(shared: &Shared, number: u64, epoch: Epoch) -> Result<GroupScan, LogError> {
    let path = segment_path(&shared.open().dir, number);
    let fail = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => LogError::Gone(epoch),
        _ => io_error(&path, source),
    };
    let file = shared.open().disk.open(&path).map_err(fail)?;
    match read_header(&*file).map_err(fail)? {
        Ok(header) => Ok(GroupScan::new(file, &header)),
        Err(HeaderFlaw::Damaged) => Err(damaged(&segment_name(number), 0, "its header is damaged")),
        Err(HeaderFlaw::Version(version)) => {
            Err(LogError::Version { segment: segment_name(number).into(), version, known: VERSION })
        }
    }
}
