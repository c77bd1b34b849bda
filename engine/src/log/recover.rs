//! Opens what an earlier process left: checks all of it, cuts a torn end, refuses damage.
//!
//! Steps, each before the next: the segments follow each other, from the first on or from one that
//! the base reaches (what is before it was removed, [`LogBase`] says what it did); a segment whose
//! digest stands for it (`digest.rs`) is not read, its digest is taken; every group of every other
//! segment is whole and follows the one before; where the last segment, which is always read,
//! stops being whole, [`look_behind`] says whether the rest may be torn (the process died in the one write that was
//! under way) or is damaged; the cut must not take what a durable cursor or manifest names; the
//! file is cut; the last whole group is written again and synced. The last step is for a group
//! whose sync failed or never came: it may be whole in the page cache and nowhere else, and the
//! next process must not acknowledge its duplicates by it.

use super::api::{CommitMark, LogError};
use super::control::{Control, Standing};
use super::dedup::DedupIndex;
use super::dedup_ids::DedupIds;
use super::digest::{About, Digest, DigestFlaw, Digested, LoggedControl};
use super::embedded::OpenLog;
use super::format::{HEADER_BYTES, Header, HeaderFlaw, VERSION};
use super::scan::{Behind, GroupScan, ScanError, Stop, look_behind, read_header};
use super::segment::{
    Numbers, SegmentInfo, damaged, digest_name, digest_path, io_error, segment_name, segment_path,
};
use crate::disk::{Disk, DiskFile};
use crate::model::{Epoch, LogSeq};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

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
    /// What it holds.
    pub(super) digest: Option<Digest>,
    pub(super) last: Option<CommitMark>,
    pub(super) dedup: DedupIndex,
    /// What the control records leave standing.
    pub(super) standing: Standing,
    /// The digests on disk, by segment: of removed ones too.
    pub(super) digests: BTreeMap<u64, Digested>,
    /// Bytes that were cut off.
    pub(super) cut_bytes: u64,
}

/// Checks and repairs the log in `open.dir`, which is locked.
pub(super) fn recover(open: &OpenLog) -> Result<Recovered, LogError> {
    let mut numbers = Numbers::list(&*open.disk, &open.dir)?;
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
            digest: None,
            last: None,
            dedup: DedupIndex::new(open.config.dedup_ids_max),
            standing,
            digests: BTreeMap::new(),
            cut_bytes: 0,
        },
        ids: IdSources::new(open.config.dedup_ids_max),
        last_group: None,
    };
    recovery.check_numbers(&mut numbers)?;
    recovery.take_removed(&numbers)?;
    let last = numbers.segments.last().copied();
    for number in &numbers.segments {
        recovery.segment(*number, Some(*number) == last)?;
    }
    recovery.check_named(open.named)?;
    recovery.remove_stale(&numbers)?;
    recovery.finish()?;
    let ids = recovery.load_ids()?;
    recovery.recovered.dedup = DedupIndex::of(open.config.dedup_ids_max, ids);
    Ok(recovery.recovered)
}

struct Recovery<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    /// What is standing includes all up to this epoch.
    base: Epoch,
    recovered: Recovered,
    ids: IdSources,
    /// The last whole group, where it is in the last segment: its place and bytes.
    last_group: Option<(u64, Vec<u8>)>,
}

impl Recovery<'_> {
    /// Whether the segments follow each other. A last one without a whole header goes: nothing is
    /// written behind a header before the header is on disk.
    fn check_numbers(&mut self, numbers: &mut Numbers) -> Result<(), LogError> {
        let first = numbers.segments.first().copied().unwrap_or(1);
        for (number, expected) in numbers.segments.iter().zip(first..) {
            if *number != expected {
                let name = segment_name(expected);
                return Err(damaged(&name, 0, "it is missing, and later segments are there"));
            }
        }
        let Some(last) = numbers.segments.last() else { return Ok(()) };
        let path = segment_path(self.dir, *last);
        let fail = |source| io_error(&path, source);
        let file = self.disk.open(&path).map_err(fail)?;
        let end = file.bytes().map_err(fail)?;
        let header = read_header(&*file).map_err(fail)?;
        if header == Err(HeaderFlaw::Damaged) && end <= HEADER_BYTES as u64 {
            self.recovered.cut_bytes += end;
            self.disk.remove(&path).map_err(fail)?;
            self.disk.sync_dir(self.dir).map_err(|source| io_error(self.dir, source))?;
            numbers.segments.pop();
        }
        Ok(())
    }

    /// Takes the digests of removed segments, as far back as they follow each other.
    fn take_removed(&mut self, numbers: &Numbers) -> Result<(), LogError> {
        let Some(first) = numbers.segments.first() else { return Ok(()) };
        let (_, mut header) = self.open_segment(*first)?;
        let mut found = Vec::new();
        for number in numbers.digests.iter().rev().skip_while(|number| *number >= first) {
            let about = About::read(self.disk, self.dir, *number).and_then(|about| {
                let ends = (about.last.epoch.next(), about.last.last_seq.next());
                let follows = ends == (header.first_epoch, header.first_seq);
                if follows { Ok(about) } else { Err(DigestFlaw::Other) }
            });
            match about {
                Ok(about) => {
                    header = about.header;
                    found.push((*number, about));
                }
                Err(flaw) => {
                    let digest = digest_name(*number);
                    tracing::warn!(digest, %flaw, "the event ids of a removed segment are lost");
                    break;
                }
            }
        }
        for (number, about) in found.into_iter().rev() {
            self.recovered.digests.insert(number, about.digested());
            self.ids.push(IdSource::Digest(number, about));
        }
        Ok(())
    }

    fn open_segment(&self, number: u64) -> Result<(Box<dyn DiskFile>, Header), LogError> {
        let name = segment_name(number);
        let path = segment_path(self.dir, number);
        let fail = |source| io_error(&path, source);
        let file = self.disk.open(&path).map_err(fail)?;
        match read_header(&*file).map_err(fail)? {
            Ok(header) => Ok((file, header)),
            Err(HeaderFlaw::Version(version)) => {
                Err(LogError::Version { segment: name.into(), version, known: VERSION })
            }
            Err(HeaderFlaw::Damaged) => Err(damaged(&name, 0, "its header is damaged")),
        }
    }

    fn segment(&mut self, number: u64, is_last: bool) -> Result<(), LogError> {
        let (file, header) = self.open_segment(number)?;
        let path = segment_path(self.dir, number);
        let bytes = file.bytes().map_err(|source| io_error(&path, source))?;
        self.check_start(number, &header)?;
        let info = SegmentInfo { number, header, bytes };
        if is_last {
            return self.read_segment(file, info, is_last);
        }
        match self.find_digest(&info) {
            Ok(about) => {
                if about.last.epoch > self.base {
                    self.check_groups(file, &info)?;
                }
                self.take_digest(info, about)
            }
            Err(flaw) => {
                let segment = segment_name(number);
                tracing::warn!(segment, %flaw, "it is read, because its digest cannot be used");
                self.read_segment(file, info, is_last)
            }
        }
    }

    /// What the engine is going to read is whole: it is told before anything is acknowledged.
    fn check_groups(&self, file: Box<dyn DiskFile>, info: &SegmentInfo) -> Result<(), LogError> {
        let checked = GroupScan::new(file, &info.header).check(info.bytes);
        checked.map_err(|error| match error {
            ScanError::Io(source) => io_error(&segment_path(self.dir, info.number), source),
            ScanError::Flawed(stop, what) => damaged(&segment_name(info.number), stop.offset, what),
        })
    }

    /// The digest of a segment, if it stands for it.
    fn find_digest(&self, info: &SegmentInfo) -> Result<About, DigestFlaw> {
        let about = About::read(self.disk, self.dir, info.number)?;
        let goes_back = self.recovered.last.is_some_and(|last| about.last.now < last.now);
        if (about.header, about.bytes) != (info.header, info.bytes) || goes_back {
            return Err(DigestFlaw::Other);
        }
        Ok(about)
    }

    fn take_digest(&mut self, info: SegmentInfo, mut about: About) -> Result<(), LogError> {
        self.stand(&std::mem::take(&mut about.controls))?;
        self.recovered.last = Some(about.last);
        self.recovered.segments.push(info);
        self.recovered.digests.insert(info.number, about.digested());
        self.ids.push(IdSource::Digest(info.number, about));
        Ok(())
    }

    /// Reads and checks all of a segment, whose file has `info.bytes`.
    fn read_segment(
        &mut self,
        file: Box<dyn DiskFile>,
        mut info: SegmentInfo,
        is_last: bool,
    ) -> Result<(), LogError> {
        let (name, end) = (segment_name(info.number), info.bytes);
        self.last_group = None;
        let mut digest = Digest::new(info.header);
        let mut scan = GroupScan::new(file, &info.header);
        let flaw = loop {
            match scan.next_group(end) {
                Ok(Some(group)) => {
                    digest.read_group(&group);
                    self.recovered.last = Some(group.mark);
                    let (offset, bytes) = self.last_group.get_or_insert_with(Default::default);
                    *offset = group.offset;
                    bytes.clear();
                    bytes.extend_from_slice(group.bytes);
                }
                Ok(None) => break None,
                Err(ScanError::Io(source)) => {
                    return Err(io_error(&segment_path(self.dir, info.number), source));
                }
                Err(ScanError::Flawed(stop, what)) => break Some((stop, what)),
            }
        };
        info.bytes = scan.offset();
        let file = scan.into_file();
        if let Some((stop, what)) = flaw {
            if !is_last {
                return Err(damaged(&name, stop.offset, what));
            }
            self.judge(&*file, &info, end, (stop, what))?;
            self.recovered.cut_bytes += end - info.bytes;
        }
        self.stand(digest.controls())?;
        self.recovered.segments.push(info);
        if is_last {
            self.recovered.file = Some(file);
            self.recovered.digest = Some(digest);
        } else {
            self.ids.push(IdSource::Read(digest.into_ids()));
        }
        Ok(())
    }

    /// Does what control records behind the base say.
    fn stand(&mut self, controls: &[LoggedControl]) -> Result<(), LogError> {
        for (epoch, body) in controls.iter().filter(|(epoch, _)| *epoch > self.base) {
            let control =
                Control::decode(body).map_err(|error| LogError::Control(*epoch, error))?;
            self.recovered.standing.apply(&control);
        }
        Ok(())
    }

    /// The ids that count, those of the last segment too.
    fn load_ids(&mut self) -> Result<DedupIds, LogError> {
        let last = self.recovered.digest.as_ref().map(Digest::ids);
        let last_keys = last.map_or(0, |ids| ids.keys().len());
        let mut ids = DedupIds::default();
        let (sources, mut excess) = self.ids.take(last_keys);
        ids.reserve(last_keys + sources.iter().map(IdSource::keys).sum::<usize>() - excess);
        for source in sources {
            match source {
                IdSource::Read(read) => ids.append(&read),
                IdSource::Digest(number, about) => {
                    if let Err(flaw) = about.read_ids(self.disk, self.dir, (number, &mut ids)) {
                        self.recovered.digests.remove(&number);
                        self.read_ids_anyway(number, &flaw, &mut ids)?;
                    }
                }
            }
            ids.keep_last(ids.keys().len().saturating_sub(std::mem::take(&mut excess)));
        }
        if let Some(last) = last {
            ids.append(last);
        }
        Ok(ids)
    }

    fn read_ids_anyway(
        &self,
        number: u64,
        flaw: &DigestFlaw,
        ids: &mut DedupIds,
    ) -> Result<(), LogError> {
        let digest = digest_name(number);
        let segments = &self.recovered.segments;
        if let Ok(at) = segments.binary_search_by_key(&number, |segment| segment.number) {
            tracing::warn!(digest, %flaw, "its segment is read, because it cannot be used");
            ids.append(Digest::read_segment(self.disk, self.dir, &segments[at])?.ids());
        } else {
            tracing::warn!(digest, %flaw, "the event ids of a removed segment are lost");
        }
        Ok(())
    }

    /// Removes digests that belong to no sealed segment: the last one still grows, and one of its
    /// number and length but with other groups must not count later.
    fn remove_stale(&self, numbers: &Numbers) -> Result<(), LogError> {
        let last = numbers.segments.last().copied().unwrap_or(0);
        for number in numbers.digests.iter().rev().take_while(|number| **number >= last) {
            let path = digest_path(self.dir, *number);
            self.disk.remove(&path).map_err(|source| io_error(&path, source))?;
        }
        self.disk.sync_dir(self.dir).map_err(|source| io_error(self.dir, source))
    }

    /// Whether a segment begins where it must.
    fn check_start(&mut self, number: u64, header: &Header) -> Result<(), LogError> {
        let starts = match self.recovered.last {
            Some(last) => (last.epoch.next(), last.last_seq.next()),
            None if number == 1 => (Epoch(1), LogSeq(1)),
            None if header.first_epoch <= self.base.next() => {
                // What the segment before ended with, should this one have no group yet.
                self.recovered.last = Some(CommitMark {
                    epoch: Epoch(header.first_epoch.0.saturating_sub(1)),
                    first_seq: header.first_seq,
                    last_seq: LogSeq(header.first_seq.0.saturating_sub(1)),
                    now: header.made,
                });
                return Ok(());
            }
            None => {
                return Err(LogError::Missing {
                    first: segment_name(1).into(),
                    last: segment_name(number - 1).into(),
                    begins: header.first_epoch,
                    base: match self.base {
                        Epoch(0) => {
                            "no snapshot that this beckon can read is there to go on from".into()
                        }
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

/// Where the ids come from.
#[derive(Debug)]
enum IdSource {
    /// A segment that was read.
    Read(DedupIds),
    /// The digest of this segment.
    Digest(u64, About),
}

impl IdSource {
    fn keys(&self) -> usize {
        match self {
            Self::Read(ids) => ids.keys().len(),
            Self::Digest(_, about) => about.keys,
        }
    }
}

/// Where the ids that count come from, oldest first.
#[derive(Debug)]
struct IdSources {
    ids_max: usize,
    keys: usize,
    sources: VecDeque<IdSource>,
}

impl IdSources {
    fn new(ids_max: usize) -> Self {
        Self { ids_max, keys: 0, sources: VecDeque::new() }
    }

    fn push(&mut self, source: IdSource) {
        self.keys += source.keys();
        self.sources.push_back(source);
        self.trim(0);
    }

    /// Lets go of sources of which no key counts once `more` keys follow.
    fn trim(&mut self, more: usize) {
        while let Some(first) = self.sources.front()
            && self.keys - first.keys() + more >= self.ids_max
        {
            self.keys -= first.keys();
            self.sources.pop_front();
        }
    }

    /// The sources when `more` keys follow, and how many keys of the first do not count.
    fn take(&mut self, more: usize) -> (VecDeque<IdSource>, usize) {
        self.trim(more);
        let first = self.sources.front().map_or(0, IdSource::keys);
        let excess = (self.keys + more).saturating_sub(self.ids_max).min(first);
        (std::mem::take(&mut self.sources), excess)
    }
}
