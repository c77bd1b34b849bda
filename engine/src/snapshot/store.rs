//! The snapshots of a data folder: the newest [`KEPT`].

use super::file::{Flaw, SnapshotFile, file_path, through_of};
use crate::disk::Disk;
use crate::model::Epoch;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Snapshots that are kept: should the newest be damaged, there is the one before.
pub const KEPT: usize = 2;
/// Ends the name of a file that is being written.
pub(super) const UNFINISHED: &str = "round.new";

/// The folder.
#[derive(Clone, Debug)]
pub struct Snapshots {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
}

/// A file system's error, with the path.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct SnapshotError {
    path: Box<str>,
    source: io::Error,
}

pub(super) fn io_error(path: &Path, source: io::Error) -> SnapshotError {
    SnapshotError { path: path.display().to_string().into(), source }
}

impl Snapshots {
    /// The snapshots in `dir`, which is made where it is missing. A round that was not finished is
    /// removed.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(disk: Arc<dyn Disk>, dir: PathBuf) -> Result<Self, SnapshotError> {
        disk.create_dir_all(&dir).map_err(|source| io_error(&dir, source))?;
        let snapshots = Self { disk, dir };
        let names = snapshots.names()?;
        if names.iter().any(|name| name == UNFINISHED) {
            let path = snapshots.dir.join(UNFINISHED);
            snapshots.disk.remove(&path).map_err(|source| io_error(&path, source))?;
        }
        Ok(snapshots)
    }

    fn names(&self) -> Result<Vec<String>, SnapshotError> {
        self.disk.list(&self.dir).map_err(|source| io_error(&self.dir, source))
    }

    /// The last epochs of those that are there, the newest first.
    ///
    /// # Errors
    /// What the file system says.
    pub fn all(&self) -> Result<Vec<Epoch>, SnapshotError> {
        let mut all: Vec<_> = self.names()?.iter().filter_map(|name| through_of(name)).collect();
        all.sort_unstable_by(|left, right| right.cmp(left));
        Ok(all)
    }

    /// The whole ones before an epoch, the newest first, each checked when its turn comes. One that is not
    /// whole is passed over with a message.
    ///
    /// # Errors
    /// What the file system says.
    pub fn whole_before(
        &self,
        before: Epoch,
    ) -> Result<impl Iterator<Item = Result<SnapshotFile, SnapshotError>> + use<'_>, SnapshotError>
    {
        let all = self.all()?.into_iter().filter(move |through| *through < before);
        Ok(all.filter_map(|through| {
            let path = file_path(&self.dir, through);
            let opened = self.disk.open(&path).map_err(Flaw::Io);
            match opened.and_then(SnapshotFile::check) {
                Ok(file) => Some(Ok(file)),
                Err(Flaw::Io(source)) => Some(Err(io_error(&path, source))),
                Err(flaw) => {
                    let path = path.display();
                    tracing::warn!(%path, %flaw, "a snapshot is passed over");
                    None
                }
            }
        }))
    }

    /// Removes all but some.
    pub(super) fn keep(&self, kept: &[Epoch]) -> Result<(), SnapshotError> {
        for through in self.all()?.into_iter().filter(|through| !kept.contains(through)) {
            let path = file_path(&self.dir, through);
            self.disk.remove(&path).map_err(|source| io_error(&path, source))?;
        }
        Ok(())
    }
}
