//! Files of the operating system (Unix: positioned reads and writes, `flock`, `statvfs`).

use super::{Disk, DiskFile, DiskLock};
use rustix::fs::{FlockOperation, flock, statvfs};
use std::fs::{File, FileType, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).create_new(true).open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut missing = Vec::new();
        for above in dir.ancestors().filter(|above| !above.as_os_str().is_empty()) {
            if above.try_exists()? {
                break;
            }
            missing.push(above);
        }
        std::fs::create_dir_all(dir)?;
        for made in missing {
            let above = made.parent().filter(|above| !above.as_os_str().is_empty());
            self.sync_dir(above.unwrap_or(Path::new(".")))?;
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        names(dir, FileType::is_file)
    }

    fn list_dirs(&self, dir: &Path) -> io::Result<Vec<String>> {
        names(dir, FileType::is_dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(RealLock { _file: file }))
    }
}

/// The names in a folder that stand for what is asked for.
fn names(dir: &Path, is_asked: impl Fn(&FileType) -> bool) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if is_asked(&entry.file_type()?)
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

impl DiskFile for File {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match FileExt::read_at(self, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The lock goes with the last handle of the file.
#[derive(Debug)]
struct RealLock {
    _file: File,
}

impl DiskLock for RealLock {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_listed_renamed_and_removed() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let sub = dir.path().join("a/b");
        RealDisk.create_dir_all(&sub).expect("made");
        let file = RealDisk.create(&sub.join("two")).expect("made");
        assert!(RealDisk.create(&sub.join("two")).is_err(), "the name is taken");
        file.write_at(0, b"hello").expect("written");
        file.write_at(1, b"u").expect("written");
        file.sync().expect("synced");
        RealDisk.rename(&sub.join("two"), &sub.join("one")).expect("renamed");
        RealDisk.create(&sub.join("three")).expect("made");
        RealDisk.sync_dir(&sub).expect("synced");
        assert_eq!(RealDisk.list(&sub).expect("listed"), ["one", "three"]);
        assert_eq!(RealDisk.list_dirs(&sub).expect("listed"), [""; 0]);
        assert_eq!(RealDisk.list_dirs(dir.path()).expect("listed"), ["a"]);
        RealDisk.remove(&sub.join("three")).expect("removed");
        let mut buffer = [0; 9];
        let file = RealDisk.open(&sub.join("one")).expect("there");
        assert_eq!(file.read_at(1, &mut buffer).expect("read"), 4);
        assert_eq!(&buffer[..4], b"ullo");
        file.truncate(2).expect("cut");
        assert_eq!(file.bytes().expect("known"), 2);
        assert!(RealDisk.free_bytes(&sub).expect("known") > 0);
    }

    #[test]
    fn a_lock_has_one_holder() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("lock");
        let held = RealDisk.lock(&path).expect("free");
        let error = RealDisk.lock(&path).expect_err("held");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(held);
        RealDisk.lock(&path).expect("free again");
    }
}
