//! The state file: the queue whole, replaced as a whole, so that after a crash it is the old or the new.
//!
//! Layout of `DATA/webhooks/state`, version 1, integers little endian:
//!
//! ```text
//! "BECKNWHK"  u16 version  u16 zero  u32 CRC32C of what is behind  state (postcard)
//! ```

use super::WebhookError;
use super::queue::Saved;
use beckon_engine::disk::{Disk, replace_file};
use crc32c::crc32c;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: [u8; 8] = *b"BECKNWHK";
const VERSION: u16 = 1;
const HEAD_BYTES: usize = 16;

/// The file in its folder.
#[derive(Debug)]
pub struct Store {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl Store {
    /// The store in `dir`, which is made where it is missing.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, WebhookError> {
        disk.create_dir_all(dir).map_err(|source| io_error(dir, source))?;
        Ok(Self { disk, path: dir.join("state") })
    }

    /// What was saved last; `None`: nothing was.
    pub(super) fn load(&self) -> Result<Option<Saved>, WebhookError> {
        let failed = |source| io_error(&self.path, source);
        let file = match self.disk.open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let size = usize::try_from(file.bytes().map_err(failed)?).unwrap_or(usize::MAX);
        let mut bytes = vec![0; size];
        let read = file.read_at(0, &mut bytes).map_err(failed)?;
        bytes.truncate(read);
        let path = || self.path.display().to_string().into();
        let damaged = || WebhookError::Damaged { path: path() };
        let (head, state) = bytes.split_at_checked(HEAD_BYTES).ok_or_else(damaged)?;
        let (_, numbers) = head.split_at(MAGIC.len());
        let version = numbers.first_chunk().map(|bytes| u16::from_le_bytes(*bytes));
        let sum = numbers.last_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        if !head.starts_with(&MAGIC) || sum != Some(crc32c(state)) {
            return Err(damaged());
        }
        match version {
            Some(VERSION) => postcard::from_bytes(state).map(Some).map_err(|_| damaged()),
            Some(version) => Err(WebhookError::Version { path: path(), version, known: VERSION }),
            None => Err(damaged()),
        }
    }

    /// Puts it in place of what was saved before; it is on disk then.
    pub(super) fn save(&self, saved: &Saved) -> Result<(), WebhookError> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 6]);
        let mut bytes = postcard::to_extend(saved, bytes).expect("texts, lists and numbers");
        let sum = bytes.get(HEAD_BYTES..).map_or(0, crc32c).to_le_bytes();
        bytes.iter_mut().skip(HEAD_BYTES - sum.len()).zip(sum).for_each(|(to, from)| *to = from);
        let beside = self.path.with_extension("new");
        let replaced = replace_file(&*self.disk, &self.path, &beside, &bytes);
        replaced.map_err(|source| io_error(&self.path, source))
    }
}

fn io_error(path: &Path, source: io::Error) -> WebhookError {
    WebhookError::Io { path: path.display().to_string().into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beckon_engine::disk::RealDisk;

    #[test]
    fn a_file_that_is_not_whole_or_of_another_version_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(Arc::new(RealDisk), folder.path()).expect("a store");
        assert_eq!(store.load().expect("none"), None);
        store.save(&Saved::default()).expect("saved");
        store.save(&Saved::default()).expect("again");
        assert_eq!(store.load().expect("one"), Some(Saved::default()));
        let good = std::fs::read(&store.path).expect("a file");
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            std::fs::write(&store.path, &bytes).expect("a file");
            let loaded = store.load();
            match at {
                // Its version; what is said nothing in.
                8..10 => assert!(matches!(loaded, Err(WebhookError::Version { .. })), "{at}"),
                10..12 => assert!(loaded.is_ok(), "{at}"),
                _ => assert!(matches!(loaded, Err(WebhookError::Damaged { .. })), "{at}"),
            }
            std::fs::write(&store.path, &good[..at]).expect("a file");
            assert!(matches!(store.load(), Err(WebhookError::Damaged { .. })), "cut at {at}");
        }
    }
}
