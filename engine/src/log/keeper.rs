//! What is done beside the log's thread: writing the digests of sealed segments, and retention.
//!
//! The log's thread hands over what it collected and never waits for it. If the keeper is behind,
//! it reads the segment instead, so that no more than a few digests are in memory. A digest that
//! cannot be written only makes a restart slower and holds up retention; it is tried again when the
//! next one is due.
//!
//! Segments go oldest first, each off the disk before the next, so that what stays is contiguous
//! after a crash too.

use super::api::LogError;
use super::digest::{Digest, Digested};
use super::segment::{
    Numbers, SegmentInfo, digest_name, digest_path, io_error, segment_name, segment_path,
};
use super::state::{Keeping, Sealed, Shared};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The work of the keeper's thread.
#[derive(Debug)]
pub(super) struct Keeper {
    shared: Arc<Shared>,
    /// Digests on disk, by segment: of removed ones too.
    digests: BTreeMap<u64, Digested>,
    /// Segments whose digest could not be written.
    failed: Vec<SegmentInfo>,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, digests: BTreeMap<u64, Digested>) -> Self {
        Self { shared, digests, failed: Vec::new() }
    }

    /// Works until the log is closed.
    pub(super) fn run(&mut self) {
        while let Some(keeping) = self.shared.take_keeping() {
            if let Keeping::Digest(sealed) = keeping {
                let failed = std::mem::take(&mut self.failed);
                self.digest(sealed);
                for segment in failed {
                    self.digest(Sealed { segment, digest: None });
                }
            }
            if let Err(error) = self.remove_segments().and_then(|()| self.remove_digests()) {
                tracing::warn!(%error, "what the log no longer needs cannot be removed");
            }
        }
    }

    fn digest(&mut self, sealed: Sealed) {
        let (disk, dir) = (&*self.shared.open().disk, &self.shared.open().dir);
        let Sealed { segment, digest } = sealed;
        let digest = match digest {
            Some(digest) => Ok(digest),
            None => Digest::read_segment(disk, dir, &segment).map_err(|error| error.to_string()),
        };
        let written = digest.and_then(|digest| {
            let written = digest.write(disk, dir, segment.number);
            written.map(|()| digest.digested()).map_err(|error| error.to_string())
        });
        match written {
            Ok(digested) => {
                self.digests.insert(segment.number, digested);
                self.shared.digested();
            }
            Err(reason) => {
                let digest = digest_name(segment.number);
                tracing::warn!(digest, reason, "it cannot be written");
                self.failed.push(segment);
            }
        }
    }

    fn remove_segments(&self) -> Result<(), LogError> {
        let (disk, dir) = (&self.shared.open().disk, &self.shared.open().dir);
        let last_of = |number: u64| self.digests.get(&number).map(|digested| digested.last);
        while let Some(segment) = self.shared.removable(last_of) {
            let path = segment_path(dir, segment.number);
            disk.remove(&path).map_err(|source| io_error(&path, source))?;
            self.shared.removed(segment.number);
            tracing::info!(segment = segment_name(segment.number), "removed: it is not needed");
            disk.sync_dir(dir).map_err(|source| io_error(dir, source))?;
        }
        Ok(())
    }

    /// Removes the digests of removed segments of which no id counts any more.
    fn remove_digests(&mut self) -> Result<(), LogError> {
        let oldest = self.shared.stats().oldest_segment;
        let ids_max = self.shared.open().config.dedup_ids_max;
        let mut later_keys = 0;
        let needless = self.digests.iter().rev().find_map(|(number, digested)| {
            let is_needless = *number < oldest && later_keys >= ids_max;
            later_keys += digested.keys;
            is_needless.then_some(*number)
        });
        let Some(needless) = needless else { return Ok(()) };
        let (disk, dir) = (&self.shared.open().disk, &self.shared.open().dir);
        for number in Numbers::list(&**disk, dir)?.digests {
            if number <= needless {
                let path = digest_path(dir, number);
                disk.remove(&path).map_err(|source| io_error(&path, source))?;
            }
        }
        self.digests = self.digests.split_off(&(needless + 1));
        disk.sync_dir(dir).map_err(|source| io_error(dir, source))
    }
}
