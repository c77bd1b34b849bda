//! A disk in memory that does to files what a real one may: it loses and tears what was not
//! synced, fails, fills up, and flips bits. All of it follows from a seed.
//!
//! What is written and what is on disk are kept apart, for the bytes of a file and for the names of
//! a folder. [`SimDisk::crash`] is a power failure: of what was not synced a part survives, cut off
//! anywhere or in any of its sectors (with zeros where the others were), as file systems do it.
//! [`SimDisk::exit`] is the end of the process only: all that was written is still there, but what a
//! failed sync gave up is never on disk however often it is synced - the reason why recovery writes
//! the tail that it keeps again.

use super::{Disk, DiskFile, DiskLock};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

const SECTOR_BYTES: usize = 512;

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Told when a sync begins to wait, and when it need not any more.
    syncs_changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, waits: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.syncs_changed.wait_while(self.state(), |state| waits(state));
        waited.unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Debug)]
struct State {
    files: Vec<Content>,
    names: BTreeMap<PathBuf, usize>,
    names_on_disk: BTreeMap<PathBuf, usize>,
    name_changes: Vec<NameChange>,
    locks: BTreeSet<PathBuf>,
    capacity_bytes: u64,
    changes: u64,
    syncs: u64,
    fail_from_change: u64,
    fail_at_sync: u64,
    holds_syncs: bool,
    syncs_waiting: u64,
}

#[derive(Clone, Debug, Default)]
struct Content {
    written: Vec<u8>,
    on_disk: Vec<u8>,
    changes: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate { bytes: usize },
}

/// A name came to stand for a file, or for none.
#[derive(Clone, Debug)]
struct NameChange {
    path: PathBuf,
    file: Option<usize>,
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new(1 << 40)
    }
}

impl SimDisk {
    /// An empty disk with room for `capacity_bytes`.
    #[must_use]
    pub fn new(capacity_bytes: u64) -> Self {
        Self::of(State {
            files: Vec::new(),
            names: BTreeMap::new(),
            names_on_disk: BTreeMap::new(),
            name_changes: Vec::new(),
            locks: BTreeSet::new(),
            capacity_bytes,
            changes: 0,
            syncs: 0,
            fail_from_change: u64::MAX,
            fail_at_sync: u64::MAX,
            holds_syncs: false,
            syncs_waiting: 0,
        })
    }

    fn of(state: State) -> Self {
        let shared = Shared { state: Mutex::new(state), syncs_changed: Condvar::new() };
        Self { shared: Arc::new(shared) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// Changes (writes, cuts, syncs, names) so far.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.state().changes
    }

    /// Lets change number `change` (counted from 1) and all behind it fail.
    pub fn fail_from_change(&self, change: u64) {
        self.state().fail_from_change = change;
    }

    /// Lets the `sync`th sync from now on fail once; what it should have synced is never on disk.
    pub fn fail_sync(&self, sync: u64) {
        let mut state = self.state();
        state.fail_at_sync = state.syncs + sync;
    }

    /// Lets syncs of files wait from now on until [`SimDisk::release_syncs`].
    pub fn hold_syncs(&self) {
        self.state().holds_syncs = true;
    }

    /// Returns once a sync waits.
    pub fn await_held_sync(&self) {
        drop(self.shared.wait_while(|state| state.syncs_waiting == 0));
    }

    /// Lets the syncs that wait, and those to come, go on.
    pub fn release_syncs(&self) {
        self.state().holds_syncs = false;
        self.shared.syncs_changed.notify_all();
    }

    /// Sets how much fits.
    pub fn set_capacity_bytes(&self, capacity_bytes: u64) {
        self.state().capacity_bytes = capacity_bytes;
    }

    /// Flips one bit of a file, as a disk that errs does.
    ///
    /// # Panics
    /// When there is no such file or byte.
    pub fn flip(&self, path: &Path, offset: usize, bit: u8) {
        let mut state = self.state();
        let file = state.names[path];
        let content = &mut state.files[file];
        content.written[offset] ^= 1 << bit;
        if let Some(byte) = content.on_disk.get_mut(offset) {
            *byte ^= 1 << bit;
        }
    }

    /// The disk after the process ended: as written, locks gone, no more faults.
    #[must_use]
    pub fn exit(&self) -> Self {
        let mut state = self.state().clone();
        state.locks.clear();
        state.fail_from_change = u64::MAX;
        state.fail_at_sync = u64::MAX;
        state.holds_syncs = false;
        state.syncs_waiting = 0;
        Self::of(state)
    }

    /// The disk after a power failure: `seed` says what survives of what was not synced.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let after = self.exit();
        let mut random = Random(seed);
        {
            let mut state = after.state();
            let changes = std::mem::take(&mut state.name_changes);
            let surviving = random.below(changes.len() + 1);
            for change in changes.into_iter().take(surviving) {
                change.apply(&mut state.names_on_disk);
            }
            state.names = state.names_on_disk.clone();
            for content in &mut state.files {
                content.crash(&mut random);
            }
        }
        after
    }
}

impl State {
    /// Counts a change; fails when it is one that is to fail.
    fn change(&mut self) -> io::Result<()> {
        self.changes += 1;
        if self.changes >= self.fail_from_change {
            return Err(io::Error::other("simulated failure"));
        }
        Ok(())
    }

    fn rename_file(&mut self, path: &Path, file: Option<usize>) {
        let change = NameChange { path: path.to_owned(), file };
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().map(|file| self.files[*file].written.len() as u64).sum()
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self.file {
            Some(file) => names.insert(self.path.clone(), file),
            None => names.remove(&self.path),
        };
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes: new } => {
                let end = offset + new.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*offset..end].copy_from_slice(new);
            }
            Self::Truncate { bytes: length } => bytes.truncate(*length),
        }
    }
}

impl Content {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.written);
        self.changes.push(change);
    }

    fn crash(&mut self, random: &mut Random) {
        let changes = std::mem::take(&mut self.changes);
        let whole = random.below(changes.len() + 1);
        for (index, change) in changes.iter().enumerate() {
            match change {
                change if index < whole => change.apply(&mut self.on_disk),
                Change::Write { offset, bytes } if index == whole => {
                    tear(&mut self.on_disk, *offset, bytes, random);
                }
                _ => {}
            }
        }
        self.written.clone_from(&self.on_disk);
    }
}

/// Lets a part of a write through: up to a byte, or some sectors of it.
fn tear(on_disk: &mut Vec<u8>, offset: usize, bytes: &[u8], random: &mut Random) {
    if random.below(2) == 0 {
        let bytes = bytes[..random.below(bytes.len() + 1)].to_vec();
        return Change::Write { offset, bytes }.apply(on_disk);
    }
    on_disk.resize(on_disk.len().max(offset + bytes.len()), 0);
    let mut start = 0;
    while start < bytes.len() {
        let sector_end = SECTOR_BYTES - (offset + start) % SECTOR_BYTES;
        let end = bytes.len().min(start + sector_end);
        if random.below(2) == 0 {
            on_disk[offset + start..offset + end].copy_from_slice(&bytes[start..end]);
        }
        start = end;
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % bound as u64).expect("below a usize")
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.change()?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(Content::default());
        state.rename_file(path, Some(file));
        Ok(Box::new(SimFile { shared: Arc::clone(&self.shared), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = *self.state().names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimFile { shared: Arc::clone(&self.shared), file }))
    }

    fn create_dir_all(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let here = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(here.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn list_dirs(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let below = state.names.keys().filter_map(|path| path.parent()?.strip_prefix(dir).ok());
        let names = below.filter_map(|path| path.iter().next()?.to_str().map(str::to_owned));
        Ok(names.collect::<BTreeSet<_>>().into_iter().collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        let file = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.rename_file(to, Some(file));
        state.rename_file(from, None);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.rename_file(path, None);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        let changes = std::mem::take(&mut state.name_changes);
        for change in changes {
            if change.path.parent() == Some(dir) {
                change.apply(&mut state.names_on_disk);
            } else {
                state.name_changes.push(change);
            }
        }
        Ok(())
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let state = self.state();
        Ok(state.capacity_bytes.saturating_sub(state.used_bytes()))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        if !self.state().locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { disk: self.clone(), path: path.to_owned() }))
    }
}

#[derive(Debug)]
struct SimFile {
    shared: Arc<Shared>,
    file: usize,
}

fn position(bytes: u64) -> usize {
    usize::try_from(bytes).expect("simulated files fit in memory")
}

impl DiskFile for SimFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.shared.state();
        let failed = state.change();
        let room = position(state.capacity_bytes.saturating_sub(state.used_bytes()));
        let content = &mut state.files[self.file];
        let offset = position(offset);
        // Of a write that fails, half is written: the caller may rely on nothing.
        let growth = (offset + bytes.len()).saturating_sub(content.written.len());
        let fits = bytes.len() - growth.saturating_sub(room).min(bytes.len());
        let taken = if failed.is_err() { fits / 2 } else { fits };
        content.change(Change::Write { offset, bytes: bytes[..taken].to_vec() });
        failed?;
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.shared.state();
        let written = &state.files[self.file].written;
        let rest = written.get(position(offset)..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.shared.state().files[self.file].written.len() as u64)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.shared.state();
        state.change()?;
        state.files[self.file].change(Change::Truncate { bytes: position(bytes) });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.shared.state().syncs_waiting += 1;
        self.shared.syncs_changed.notify_all();
        let mut state = self.shared.wait_while(|state| state.holds_syncs);
        state.syncs_waiting -= 1;
        state.change()?;
        state.syncs += 1;
        let failed = state.syncs == state.fail_at_sync;
        let content = &mut state.files[self.file];
        for change in std::mem::take(&mut content.changes) {
            if !failed {
                change.apply(&mut content.on_disk);
            }
        }
        if failed { Err(io::Error::other("simulated failure of a sync")) } else { Ok(()) }
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    path: PathBuf,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state().locks.remove(&self.path);
    }
}

#[cfg(test)]
mod tests;
