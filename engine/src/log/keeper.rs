//! What is done beside the log's thread: writing the digests of sealed segments.
//!
//! The log's thread hands over what it collected and never waits for it. If the keeper is behind,
//! it reads the segment instead, so that no more than a few digests are in memory. A digest that
//! cannot be written only makes a restart slower; it is tried again when the next one is due.

use super::digest::Digest;
use super::segment::{SegmentInfo, digest_name};
use super::state::{Sealed, Shared};
use std::sync::Arc;

/// The work of the keeper's thread.
#[derive(Debug)]
pub(super) struct Keeper {
    shared: Arc<Shared>,
    /// Segments whose digest could not be written.
    failed: Vec<SegmentInfo>,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, failed: Vec::new() }
    }

    /// Works until the log is closed.
    pub(super) fn run(&mut self) {
        while let Some(sealed) = self.shared.take_sealed() {
            let failed = std::mem::take(&mut self.failed);
            self.digest(sealed);
            for segment in failed {
                self.digest(Sealed { segment, digest: None });
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
            digest.write(disk, dir, segment.number).map_err(|error| error.to_string())
        });
        match written {
            Ok(()) => self.shared.digested(),
            Err(reason) => {
                let digest = digest_name(segment.number);
                tracing::warn!(digest, reason, "it cannot be written");
                self.failed.push(segment);
            }
        }
    }
}
