//! The few operations on files that must be durable.

use super::columns::Result;
use super::error::ParquetError;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Makes the entries of a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(ParquetError::io(folder))
}

/// Replaces a file whole: afterwards it has the old contents or the new ones, on disk.
pub(super) fn replace_file(path: &Path, contents: &[u8]) -> Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside).map_err(ParquetError::io(&beside))?;
    file.write_all(contents).and_then(|()| file.sync_all()).map_err(ParquetError::io(&beside))?;
    std::fs::rename(&beside, path).map_err(ParquetError::io(path))?;
    sync_folder(path.parent().expect("a file lies in a folder"))
}

/// Whether there is such a file.
pub(super) fn is_there(path: &Path) -> Result<bool> {
    path.try_exists().map_err(ParquetError::io(path))
}
