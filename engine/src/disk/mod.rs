//! The seam through which durable state reaches files.
//!
//! It is as small as what is durable allows - log, outbox, cursors, snapshots, Parquet tables - so that
//! a simulated disk ([`SimDisk`]) can stand in and lose, tear and flip what a real one may. What it
//! promises is what POSIX promises, no more: written bytes survive a crash after [`DiskFile::sync`], a
//! new, renamed or removed name after [`Disk::sync_dir`]; before that any part of them may.
//!
//! **Invariant:** a failed sync is final. The kernel may mark pages clean that it could not write,
//! so trying again would succeed without anything being on disk; whoever sees the error stops.

mod real;
mod sim;

pub use real::RealDisk;
pub use sim::SimDisk;

use std::io;
use std::path::Path;

/// Replaces a file whole, or makes it: afterwards it has the old contents or the new ones, on disk. The
/// new ones are written `beside` it, in the same folder; what a crash left there goes.
///
/// # Errors
/// What the system says.
///
/// # Panics
/// When `path` lies in no folder.
pub fn replace_file(disk: &dyn Disk, path: &Path, beside: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = match disk.create(beside) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.remove(beside)?;
            disk.create(beside)?
        }
        created => created?,
    };
    file.write_at(0, bytes)?;
    file.sync()?;
    disk.rename(beside, path)?;
    disk.sync_dir(path.parent().expect("a file lies in a folder"))
}

/// A place for files.
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// Makes a new, empty file.
    ///
    /// # Errors
    /// When the name is taken, or what the system says.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file to read and write.
    ///
    /// # Errors
    /// When there is none, or what the system says.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Makes a folder and those above it, and sees that their names survive a crash.
    ///
    /// # Errors
    /// What the system says.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// The names of the files in a folder, sorted; names that are not UTF-8 are passed over.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// The names of the folders in a folder, sorted; names that are not UTF-8 are passed over.
    ///
    /// # Errors
    /// What the system says.
    fn list_dirs(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Gives a file another name within the disk, in place of what had it.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Returns when the names of a folder's files are on disk.
    ///
    /// # Errors
    /// What the system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Bytes that may still be written to the file system of `dir`.
    ///
    /// # Errors
    /// What the system says.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;

    /// Takes a lock that only one process (and one holder in it) has, until it is dropped or the
    /// process ends. The file stays.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another holds it, or what the system says.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>>;
}

/// An open file. Handles of one file see each other's writes at once.
pub trait DiskFile: Send + Sync + std::fmt::Debug {
    /// Writes all of `bytes` at `offset`, growing the file where needed.
    ///
    /// # Errors
    /// What the system says; a part may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Reads up to `buffer.len()` bytes at `offset`; less only at the end of the file.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Bytes in the file.
    ///
    /// # Errors
    /// What the system says.
    fn bytes(&self) -> io::Result<u64>;

    /// Cuts the file to `bytes`.
    ///
    /// # Errors
    /// What the system says.
    fn truncate(&self, bytes: u64) -> io::Result<()>;

    /// Returns when what was written is on disk, with the file's size (`fdatasync`).
    ///
    /// # Errors
    /// What the system says; see the module about trying again.
    fn sync(&self) -> io::Result<()>;
}

/// A lock, held until it is dropped.
pub trait DiskLock: Send + Sync + std::fmt::Debug {}
