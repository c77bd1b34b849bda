//! The tables' folder on its disk: what the sink does to files, and errors that name the file.
//!
//! All of it goes through the engine's seam, so that tests put a simulated disk below and cut a run
//! at every change. The order of the changes is what recovery stands on.

use super::columns::Result;
use super::error::ParquetError;
use beckon_engine::disk::{Disk, DiskFile, DiskLock, replace_file};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder; what is named is relative to it.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(disk: Arc<dyn Disk>, path: &Path) -> Self {
        Self { disk, path: path.to_owned() }
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where something in it lies.
    pub(super) fn at(&self, name: &Path) -> PathBuf {
        self.path.join(name)
    }

    /// One process writes a folder's tables.
    pub(super) fn lock(&self, name: &Path) -> Result<Box<dyn DiskLock>> {
        let path = self.at(name);
        match self.disk.lock(&path) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                Err(ParquetError::InUse { folder: self.path.to_string_lossy().into() })
            }
            locked => locked.map_err(ParquetError::io(&path)),
        }
    }

    /// Makes a folder and those above it; durable.
    pub(super) fn create_folder(&self, name: &Path) -> Result<()> {
        let path = self.at(name);
        self.disk.create_dir_all(&path).map_err(ParquetError::io(&path))
    }

    /// Makes a new file; durable with its folder.
    pub(super) fn create(&self, name: &Path) -> Result<Box<dyn DiskFile>> {
        let path = self.at(name);
        self.disk.create(&path).map_err(ParquetError::io(&path))
    }

    /// Opens a file, if there is one.
    pub(super) fn open(&self, name: &Path) -> Result<Option<Box<dyn DiskFile>>> {
        let path = self.at(name);
        match self.disk.open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ParquetError::io(&path)(error)),
        }
    }

    /// All of a file, if there is one.
    pub(super) fn read(&self, name: &Path) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.open(name)? else { return Ok(None) };
        let all = || -> io::Result<Vec<u8>> {
            let mut bytes = vec![0; usize::try_from(file.bytes()?).map_err(io::Error::other)?];
            let count = file.read_at(0, &mut bytes)?;
            bytes.truncate(count);
            Ok(bytes)
        };
        all().map(Some).map_err(ParquetError::io(&self.at(name)))
    }

    /// Appends to a file, or makes it; durable.
    pub(super) fn append(&self, name: &Path, bytes: &[u8]) -> Result<()> {
        let path = self.at(name);
        let (file, is_new) = match self.open(name)? {
            Some(file) => (file, false),
            None => (self.create(name)?, true),
        };
        let end = file.bytes().map_err(ParquetError::io(&path))?;
        file.write_at(end, bytes).map_err(ParquetError::io(&path))?;
        sync_file(&*file, &path)?;
        if is_new { self.sync_folder(parent(name)) } else { Ok(()) }
    }

    /// Replaces a file whole: afterwards it has the old contents or the new ones; durable.
    pub(super) fn replace(&self, name: &Path, contents: &[u8]) -> Result<()> {
        let path = self.at(name);
        let replaced = replace_file(&*self.disk, &path, &path.with_extension("new"), contents);
        replaced.map_err(ParquetError::io(&path))
    }

    /// Gives a file another name; durable with both folders.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let (from, to) = (self.at(from), self.at(to));
        self.disk.rename(&from, &to).map_err(ParquetError::io(&to))
    }

    /// Removes a file; durable with its folder.
    pub(super) fn remove(&self, name: &Path) -> Result<()> {
        let path = self.at(name);
        self.disk.remove(&path).map_err(ParquetError::io(&path))
    }

    /// Makes the names in a folder durable.
    pub(super) fn sync_folder(&self, name: &Path) -> Result<()> {
        let path = self.at(name);
        self.disk.sync_dir(&path).map_err(ParquetError::io(&path))
    }

    /// The files in a folder, sorted; none where there is no such folder.
    pub(super) fn files(&self, name: &Path) -> Result<Vec<String>> {
        self.listed(name, |path| self.disk.list(path))
    }

    /// The folders in a folder, sorted; none where there is no such folder.
    pub(super) fn folders(&self, name: &Path) -> Result<Vec<String>> {
        self.listed(name, |path| self.disk.list_dirs(path))
    }

    fn listed(
        &self,
        name: &Path,
        list: impl Fn(&Path) -> io::Result<Vec<String>>,
    ) -> Result<Vec<String>> {
        let path = self.at(name);
        match list(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed.map_err(ParquetError::io(&path)),
        }
    }
}

/// Makes the contents of a file durable.
pub(super) fn sync_file(file: &dyn DiskFile, path: &Path) -> Result<()> {
    file.sync().map_err(ParquetError::io(path))
}

fn parent(name: &Path) -> &Path {
    name.parent().expect("a file lies in a folder")
}
