//! Opens what an earlier process left: checks all of it, cuts a torn end, refuses damage.
//!
//! Steps, each before the next: the segments follow each other, from the first on or from one that
//! the base reaches (what is before it was removed, [`LogBase`] says what it did); every group of
//! every segment is whole and follows the one before; where the last segment stops being whole,
//! [`look_behind`] says whether the rest may be torn (the process died in the one write that was
//! under way) or is damaged; the cut must not take what a durable cursor or manifest names; the
//! file is cut; the last whole group is written again and synced. The last step is for a group
//! whose sync failed or never came: it may be whole in the page cache and nowhere else, and the
//! next process must not acknowledge its duplicates by it.

use super::api::{CommitMark, LogError};
use super::control::{Control, Standing};
use super::dedup::{DedupIndex, dedup_key};
use super::embedded::OpenLog;
use super::format::{BodyView, HEADER_BYTES, Header, HeaderFlaw, VERSION};
use super::scan::{Behind, GroupScan, GroupView, ScanError, Stop, look_behind, read_header};
use super::segment::{SegmentInfo, io_error, segment_name, segment_numbers, segment_path};
use crate::disk::{Disk, DiskFile};
use crate::model::{Epoch, EventView, LogSeq};
use std::path::Path;

const RESTORE: &str = "restore the segment from a copy, or move the whole data folder away to \
                       start anew; `beckon log inspect` shows what is readable";

/// What durable cursors and manifests name: the log must reach at least that far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// The last epoch that any of them names; 0 for none.
    pub epoch_max: Epoch,
    /// The last record that any of them names; 0 for none.
    pub seq_max: LogSeq,
}

/// What stands behind an epoch, of which recovery needs no earlier segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogBase {
    /// The epoch; the log must reach it.
    pub epoch: Epoch,
    /// What the control records up to it leave standing.
    pub standing: Standing,
}

/// A log that can be appended to.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) segments: Vec<SegmentInfo>,
    /// The last segment.
    pub(super) file: Option<Box<dyn DiskFile>>,
    pub(super) last: Option<CommitMark>,
    pub(super) dedup: DedupIndex,
    /// What the control records leave standing.
    pub(super) standing: Standing,
    /// Bytes that were cut off.
    pub(super) cut_bytes: u64,
}

/// Checks and repairs the log in `open.dir`, which is locked.
pub(super) fn recover(open: &OpenLog) -> Result<Recovered, LogError> {
    let numbers = segment_numbers(&*open.disk, &open.dir)?;
    let (base, standing) = match &open.base {
        Some(base) => (base.epoch, base.standing.clone()),
        None => (Epoch(0), Standing::default()),
    };
    let mut recovery = Recovery {
        disk: &*open.disk,
        dir: &open.dir,
        base,
        recovered: Recovered {
            segments: Vec::new(),
            file: None,
            last: None,
            dedup: DedupIndex::new(open.config.dedup_ids_max),
            standing,
            cut_bytes: 0,
        },
        last_group: None,
    };
    for (position, number) in numbers.iter().enumerate() {
        let expected = numbers[0] + position as u64;
        if *number != expected {
            let name = segment_name(expected);
            return Err(damaged(&name, 0, "it is missing, and later segments are there"));
        }
        recovery.segment(*number, position + 1 == numbers.len())?;
    }
    recovery.check_named(open.named)?;
    recovery.finish()?;
    Ok(recovery.recovered)
}

fn damaged(segment: &str, offset: u64, what: &str) -> LogError {
    LogError::Damaged { segment: segment.into(), offset, what: what.into(), advice: RESTORE.into() }
}

struct Recovery<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    /// What is standing includes all up to this epoch.
    base: Epoch,
    recovered: Recovered,
    /// The last whole group, where it is in the last segment: its place and bytes.
    last_group: Option<(u64, Vec<u8>)>,
}

impl Recovery<'_> {
    fn segment(&mut self, number: u64, is_last: bool) -> Result<(), LogError> {
        let name = segment_name(number);
        let path = segment_path(self.dir, number);
        let fail = |source| io_error(&path, source);
        let file = self.disk.open(&path).map_err(fail)?;
        let end = file.bytes().map_err(fail)?;
        let header = match read_header(&*file).map_err(fail)? {
            Ok(header) => header,
            Err(HeaderFlaw::Version(version)) => {
                return Err(LogError::Version { segment: name.into(), version, known: VERSION });
            }
            // Nothing is written behind a header before the header is on disk.
            Err(HeaderFlaw::Damaged) if is_last && end <= HEADER_BYTES as u64 => {
                self.recovered.cut_bytes += end;
                self.disk.remove(&path).map_err(fail)?;
                return self.disk.sync_dir(self.dir).map_err(|source| io_error(self.dir, source));
            }
            Err(HeaderFlaw::Damaged) => return Err(damaged(&name, 0, "its header is damaged")),
        };
        self.check_start(number, &header)?;
        self.last_group = None;
        let mut scan = GroupScan::new(file, &header);
        let flaw = loop {
            match scan.next_group(end) {
                Ok(Some(group)) => self.recovered.take(&group, self.base, &mut self.last_group)?,
                Ok(None) => break None,
                Err(ScanError::Io(source)) => return Err(fail(source)),
                Err(ScanError::Flawed(stop, what)) => break Some((stop, what)),
            }
        };
        let bytes = scan.offset();
        let info = SegmentInfo { number, header, bytes };
        let file = scan.into_file();
        if let Some((stop, what)) = flaw {
            if !is_last {
                return Err(damaged(&name, stop.offset, what));
            }
            self.judge(&*file, &info, end, (stop, what))?;
            self.recovered.cut_bytes += end - bytes;
        }
        self.recovered.segments.push(info);
        self.recovered.file = Some(file);
        Ok(())
    }

    /// Whether a segment begins where it must.
    fn check_start(&self, number: u64, header: &Header) -> Result<(), LogError> {
        let starts = match self.recovered.last {
            Some(last) => (last.epoch.next(), last.last_seq.next()),
            None if number == 1 => (Epoch(1), LogSeq(1)),
            None if header.first_epoch <= self.base.next() => return Ok(()),
            None => {
                return Err(LogError::Missing {
                    first: segment_name(1).into(),
                    last: segment_name(number - 1).into(),
                    begins: header.first_epoch,
                    base: match self.base {
                        Epoch(0) => "no snapshot is there to go on from".into(),
                        base => format!("the newest snapshot goes up to epoch {base} only").into(),
                    },
                });
            }
        };
        if (header.first_epoch, header.first_seq) == starts {
            Ok(())
        } else {
            Err(damaged(&segment_name(number), 0, "its header does not follow the segment before"))
        }
    }

    /// Refuses what is not torn.
    fn judge(
        &self,
        file: &dyn DiskFile,
        info: &SegmentInfo,
        end: u64,
        (stop, what): (Stop, &str),
    ) -> Result<(), LogError> {
        let path = segment_path(self.dir, info.number);
        let behind = look_behind(file, &info.header, stop, end);
        match behind.map_err(|source| io_error(&path, source))? {
            Behind::Nothing => Ok(()),
            Behind::Later(later) => Err(damaged(
                &segment_name(info.number),
                stop.offset,
                &format!("{what}, though later records follow at byte {later}"),
            )),
        }
    }

    fn check_named(&self, named: Named) -> Result<(), LogError> {
        let last = self.recovered.last;
        let (epoch, seq) = last.map_or((Epoch(0), LogSeq(0)), |last| (last.epoch, last.last_seq));
        let epoch_max = named.epoch_max.max(self.base);
        if epoch_max <= epoch && named.seq_max <= seq {
            return Ok(());
        }
        let segment = self.recovered.segments.last();
        Err(LogError::Lost {
            segment: segment_name(segment.map_or(1, |segment| segment.number)).into(),
            offset: segment.map_or(0, |segment| segment.bytes),
            what: format!(
                "epoch {epoch_max} and record {}, which a cursor, manifest or snapshot names; its \
                 last whole group is epoch {epoch} with record {seq}",
                named.seq_max
            )
            .into(),
        })
    }

    /// Cuts the last segment, writes its last group again, and sees all of it on disk.
    fn finish(&mut self) -> Result<(), LogError> {
        let (Some(file), Some(info)) = (&self.recovered.file, self.recovered.segments.last())
        else {
            return Ok(());
        };
        let repair = || {
            file.truncate(info.bytes)?;
            match &self.last_group {
                Some((offset, bytes)) => file.write_at(*offset, bytes)?,
                None => file.write_at(0, &info.header.encode())?,
            }
            file.sync()?;
            self.disk.sync_dir(self.dir)
        };
        repair().map_err(|source| io_error(&segment_path(self.dir, info.number), source))
    }
}

impl Recovered {
    fn take(
        &mut self,
        group: &GroupView<'_>,
        base: Epoch,
        last_group: &mut Option<(u64, Vec<u8>)>,
    ) -> Result<(), LogError> {
        self.last = Some(group.mark);
        for record in group.records() {
            match record.body {
                // An event that cannot be read was logged so; it is told of where it is matched.
                BodyView::Event { is_keyed: true, packed } => {
                    if let Ok(event) = EventView::read(packed) {
                        self.dedup.insert(dedup_key(event.site, &event.id()), group.mark.now);
                    }
                }
                BodyView::Control(bytes) if group.mark.epoch > base => {
                    let control = Control::decode(bytes)
                        .map_err(|error| LogError::Control(group.mark.epoch, error))?;
                    self.standing.apply(&control);
                }
                BodyView::Event { is_keyed: false, .. }
                | BodyView::Control(_)
                | BodyView::Tombstone
                | BodyView::Commit { .. } => {}
            }
        }
        let (offset, bytes) = last_group.get_or_insert_with(Default::default);
        *offset = group.offset;
        bytes.clear();
        bytes.extend_from_slice(group.bytes);
        Ok(())
    }
}
