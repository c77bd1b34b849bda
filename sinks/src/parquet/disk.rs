//! The few operations on files that must be durable; their order is what recovery stands on, so
//! tests record it.

use super::columns::Result;
use super::error::ParquetError;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Makes the contents of a file durable.
pub(super) fn sync_file(file: &File, path: &Path) -> Result<()> {
    #[cfg(test)]
    steps::note("sync", path);
    file.sync_all().map_err(ParquetError::io(path))
}

/// Makes the entries of a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    let opened = File::open(folder).map_err(ParquetError::io(folder))?;
    sync_file(&opened, folder)
}

/// Gives a file another name; durable with its folders.
pub(super) fn rename(from: &Path, to: &Path) -> Result<()> {
    #[cfg(test)]
    steps::note("rename to", to);
    std::fs::rename(from, to).map_err(ParquetError::io(to))
}

/// Replaces a file whole: afterwards it has the old contents or the new ones, on disk.
pub(super) fn replace_file(path: &Path, contents: &[u8]) -> Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside).map_err(ParquetError::io(&beside))?;
    file.write_all(contents).map_err(ParquetError::io(&beside))?;
    sync_file(&file, &beside)?;
    rename(&beside, path)?;
    sync_folder(path.parent().expect("a file lies in a folder"))
}

/// Whether there is such a file.
pub(super) fn is_there(path: &Path) -> Result<bool> {
    path.try_exists().map_err(ParquetError::io(path))
}

/// What this thread has made durable or renamed, in order.
#[cfg(test)]
pub(super) mod steps {
    use std::cell::RefCell;
    use std::path::{Path, PathBuf};

    thread_local! {
        static TAKEN: RefCell<Vec<(&'static str, PathBuf)>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn note(what: &'static str, path: &Path) {
        TAKEN.with_borrow_mut(|taken| taken.push((what, path.to_owned())));
    }

    /// The steps since the last call, `sync _tmp`; paths are relative to `directory`.
    pub(in crate::parquet) fn take(directory: &Path) -> Vec<String> {
        let text = |(what, path): (&str, PathBuf)| {
            let path = path.strip_prefix(directory).expect("below the folder").to_owned();
            format!("{what} {}", path.display())
        };
        TAKEN.take().into_iter().map(text).collect()
    }
}
