//! The files of the dead letters: append, bounds, and reading.
//!
//! A key has files of its own, `SITE~NAME.FIRST.letters` (FIRST is the first letter's id), and
//! beside each, once a letter of it was replayed, `SITE~NAME.FIRST.replayed` with a mark for each. A file is
//! closed when it is full, when the day (UTC) of its first letter is over, and at the end of the
//! process; after a start nothing is appended to an old one, so a torn end stays where it is.
//!
//! **Bounds.** Over `bytes_max` the key that takes the most bytes loses its oldest file. With K keys
//! a key that takes less than `bytes_max / K` therefore loses nothing, whatever the others send.
//! A file goes when its first letter is `days_max` old: nothing older is kept.

use super::letter::{
    Letter, LetterHead, LetterId, NewLetter, UnknownVersion, json_of, line, start_of,
};
use super::mark::{mark, marked};
use super::{DeadLetterLimits, Filter};
use beckon_engine::disk::Disk;
use beckon_engine::model::ServerTimeMs;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

const LETTERS_END: &str = "letters";
const REPLAYED_END: &str = "replayed";
const DAY_MS: i64 = 86_400_000;

/// One file of letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LetterFile {
    key: Arc<str>,
    first: LetterId,
    /// Bytes of whole lines.
    bytes: u64,
    /// Bytes of the ids that were replayed.
    replayed_bytes: u64,
}

impl LetterFile {
    pub(super) fn first(&self) -> LetterId {
        self.first
    }
}

#[derive(Debug, Default)]
struct KeyFiles {
    files: VecDeque<LetterFile>,
    /// The last of `files` may be appended to.
    is_open: bool,
}

impl KeyFiles {
    fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes + file.replayed_bytes).sum()
    }
}

/// What became of letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gone {
    /// Over `bytes_max`.
    pub(super) evicted: u64,
    /// Older than `days_max`.
    pub(super) expired: u64,
}

/// The index of the folder, and how files are written.
#[derive(Debug)]
pub(super) struct Files {
    place: Place,
    limits: DeadLetterLimits,
    keys: BTreeMap<Arc<str>, KeyFiles>,
    last: LetterId,
}

/// Where files lie; reading needs no more.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
}

impl Files {
    /// Reads the folder's names, and the last letter of each key.
    pub(super) fn open(place: Place, limits: DeadLetterLimits) -> io::Result<Self> {
        place.disk.create_dir_all(&place.dir)?;
        let mut files = Self { place, limits, keys: BTreeMap::new(), last: LetterId::default() };
        for name in files.place.disk.list(&files.place.dir)? {
            let Some((key, first)) = parse_name(&name) else { continue };
            let bytes = files.place.disk.open(&files.place.dir.join(&name))?.bytes()?;
            let mut file = LetterFile { key, first, bytes, replayed_bytes: 0 };
            file.replayed_bytes = files.place.bytes(&file, REPLAYED_END)?.len() as u64;
            files.keys.entry(file.key.clone()).or_default().files.push_back(file);
        }
        for newest in files.keys.values().filter_map(|key| key.files.back()) {
            let last = files.place.heads(newest)?.last().map(|head| head.id);
            files.last = files.last.max(last.unwrap_or_default()).max(newest.first);
        }
        Ok(files)
    }

    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.keys.values().map(KeyFiles::bytes).sum()
    }

    /// Writes a letter and keeps the bounds. Not synced: see the module above.
    pub(super) fn append(&mut self, new: NewLetter) -> io::Result<Gone> {
        let id = LetterId::at(new.received).max(LetterId(self.last.0 + 1));
        self.last = id;
        let key = safe(&new.key);
        let line = line(&new.stored(id));
        let length = line.len() as u64;
        let (is_open, full) = match self.keys.get(&key).map(|key| (key.is_open, key.files.back())) {
            Some((true, Some(file))) => {
                let same_day = file.first.time().0 / DAY_MS == id.time().0 / DAY_MS;
                (true, !same_day || file.bytes + length > self.limits.file_bytes_max)
            }
            _ => (false, false),
        };
        if full {
            self.close(&key)?;
        }
        let at = if is_open && !full { self.opened(&key) } else { self.begin(&key, id)? };
        let path = self.place.path(&at, LETTERS_END);
        let written =
            self.place.disk.open(&path).and_then(|file| file.write_at(at.bytes, line.as_bytes()));
        let entry = self.keys.entry(key).or_default();
        match written {
            Ok(()) => {
                if let Some(file) = entry.files.back_mut() {
                    file.bytes += length;
                }
            }
            Err(error) => {
                // A part may be there; the next letter goes to a new file.
                entry.is_open = false;
                return Err(error);
            }
        }
        Ok(Gone { evicted: self.evict()?, expired: 0 })
    }

    fn opened(&self, key: &str) -> LetterFile {
        let file = self.keys.get(key).and_then(|key| key.files.back());
        file.cloned().expect("an open key has a file")
    }

    fn begin(&mut self, key: &Arc<str>, first: LetterId) -> io::Result<LetterFile> {
        let file = LetterFile { key: key.clone(), first, bytes: 0, replayed_bytes: 0 };
        self.place.disk.create(&self.place.path(&file, LETTERS_END))?;
        let entry = self.keys.entry(key.clone()).or_default();
        entry.files.push_back(file.clone());
        entry.is_open = true;
        Ok(file)
    }

    /// Syncs the open file of a key; nothing more is written to it.
    fn close(&mut self, key: &str) -> io::Result<()> {
        let Some(entry) = self.keys.get_mut(key).filter(|entry| entry.is_open) else {
            return Ok(());
        };
        entry.is_open = false;
        let Some(file) = entry.files.back() else { return Ok(()) };
        self.place.disk.open(&self.place.path(file, LETTERS_END))?.sync()?;
        self.place.disk.sync_dir(&self.place.dir)
    }

    /// Syncs all open files.
    pub(super) fn close_all(&mut self) -> io::Result<()> {
        let keys: Vec<_> = self.keys.keys().cloned().collect();
        keys.iter().try_for_each(|key| self.close(key))
    }

    fn evict(&mut self) -> io::Result<u64> {
        let mut letters = 0;
        while self.bytes() > self.limits.bytes_max {
            let largest = self.keys.iter().max_by_key(|(_, files)| files.bytes());
            let Some(key) = largest.map(|(key, _)| key.clone()) else { break };
            letters += self.remove_oldest(&key)?;
        }
        Ok(letters)
    }

    /// Removes what is too old.
    pub(super) fn expire(&mut self, now: ServerTimeMs) -> io::Result<Gone> {
        let end_ms = now.0.saturating_sub(i64::from(self.limits.days_max) * DAY_MS);
        let is_old = |files: &KeyFiles| {
            files.files.front().is_some_and(|file| file.first.time().0 <= end_ms)
        };
        let mut expired = 0;
        loop {
            let old = self.keys.iter().find(|(_, files)| is_old(files));
            let Some(key) = old.map(|(key, _)| key.clone()) else {
                return Ok(Gone { evicted: 0, expired });
            };
            expired += self.remove_oldest(&key)?;
        }
    }

    /// Removes a key's oldest file; says how many letters it held.
    fn remove_oldest(&mut self, key: &str) -> io::Result<u64> {
        let Some(entry) = self.keys.get_mut(key) else { return Ok(0) };
        let Some(file) = entry.files.pop_front() else {
            self.keys.remove(key);
            return Ok(0);
        };
        if entry.files.is_empty() {
            self.keys.remove(key);
        }
        let lines = self.place.bytes(&file, LETTERS_END)?;
        let letters = memchr::memchr_iter(b'\n', &lines).count() as u64;
        self.place.disk.remove(&self.place.path(&file, LETTERS_END))?;
        if file.replayed_bytes > 0 {
            self.place.disk.remove(&self.place.path(&file, REPLAYED_END))?;
        }
        Ok(letters)
    }

    /// The files that may hold letters behind `after`, by their first letters.
    pub(super) fn behind(&self, after: LetterId, filter: &Filter) -> Vec<LetterFile> {
        let wanted = filter.key.as_deref().map(safe);
        let keys = self.keys.iter().filter(|(key, _)| wanted.as_ref().is_none_or(|it| it == *key));
        let mut found = Vec::new();
        for (_, KeyFiles { files, .. }) in keys {
            // The first file that begins behind `after`, and the one before it.
            let begins = files.partition_point(|file| file.first <= after);
            found.extend(files.range(begins.saturating_sub(1)..).cloned());
        }
        found.sort_by_key(|file| file.first);
        found
    }

    /// Writes down, and syncs, that a letter was replayed.
    pub(super) fn mark(&mut self, file: &LetterFile, id: LetterId) -> io::Result<()> {
        let path = self.place.path(file, REPLAYED_END);
        let marks = match self.place.disk.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.place.disk.create(&path)?
            }
            opened => opened?,
        };
        let mark = mark(id);
        let at = marks.bytes()?;
        marks.write_at(at, mark.as_bytes())?;
        marks.sync()?;
        if at == 0 {
            self.place.disk.sync_dir(&self.place.dir)?;
        }
        let files = self.keys.get_mut(&file.key).map(|entry| &mut entry.files);
        let own = files.and_then(|files| files.iter_mut().find(|own| own.first == file.first));
        if let Some(own) = own {
            own.replayed_bytes = at + mark.len() as u64;
        }
        Ok(())
    }
}

impl Place {
    fn path(&self, file: &LetterFile, end: &str) -> PathBuf {
        self.dir.join(format!("{}.{:016}.{end}", file.key, file.first.0))
    }

    /// The bytes of a file; none when it was removed meanwhile or never made.
    fn bytes(&self, file: &LetterFile, end: &str) -> io::Result<Vec<u8>> {
        let opened = match self.disk.open(&self.path(file, end)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened?,
        };
        let size_bytes = usize::try_from(opened.bytes()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; size_bytes];
        let filled = opened.read_at(0, &mut bytes)?;
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// The whole lines of a file that were written when it was looked up.
    fn lines(&self, file: &LetterFile) -> io::Result<Vec<u8>> {
        let mut bytes = self.bytes(file, LETTERS_END)?;
        bytes.truncate(usize::try_from(file.bytes).unwrap_or(usize::MAX));
        Ok(bytes)
    }

    /// The JSON of the lines to which nothing happened.
    fn good<'a>(&self, file: &LetterFile, lines: &'a [u8]) -> io::Result<Vec<&'a [u8]>> {
        let good: Result<_, UnknownVersion> =
            lines.split(|byte| *byte == b'\n').map(json_of).filter_map(Result::transpose).collect();
        good.map_err(|error| self.unknown(file, LETTERS_END, error))
    }

    fn replayed(&self, file: &LetterFile) -> io::Result<BTreeSet<LetterId>> {
        let bytes = self.bytes(file, REPLAYED_END)?;
        let lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let whole = lines.filter_map(|line| line.strip_suffix(b"\n"));
        let ids: Result<_, UnknownVersion> =
            whole.map(marked).filter_map(Result::transpose).collect();
        ids.map_err(|error| self.unknown(file, REPLAYED_END, error))
    }

    fn unknown(&self, file: &LetterFile, end: &str, error: UnknownVersion) -> io::Error {
        let path = self.path(file, end);
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))
    }

    /// The good letters of a file, in order, without their originals.
    pub(super) fn heads(&self, file: &LetterFile) -> io::Result<Vec<LetterHead>> {
        let replayed = self.replayed(file)?;
        let lines = self.lines(file)?;
        let good = self.good(file, &lines)?;
        let mut heads: Vec<LetterHead> =
            good.iter().filter_map(|json| serde_json::from_slice(json).ok()).collect();
        for head in &mut heads {
            head.is_replayed = replayed.contains(&head.id);
        }
        Ok(heads)
    }

    /// One letter of a file.
    pub(super) fn letter(&self, file: &LetterFile, id: LetterId) -> io::Result<Option<Letter>> {
        let lines = self.lines(file)?;
        let start = start_of(id);
        let good = self.good(file, &lines)?;
        let found = good.into_iter().find(|json| json.starts_with(start.as_bytes()));
        let Some(json) = found else { return Ok(None) };
        let mut letter: Letter = serde_json::from_slice(json)?;
        letter.head.is_replayed = self.replayed(file)?.contains(&id);
        Ok(Some(letter))
    }
}

/// A key's name as it stands in the names of its files: `site/name` is `site~name`, and what a file
/// name should not hold is written as `%` and two hex digits.
fn safe(key: &str) -> Arc<str> {
    let mut name = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'/' => name.push('~'),
            b'-' | b'_' => name.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => name.push(char::from(byte)),
            byte => name.push_str(&format!("%{byte:02X}")),
        }
    }
    name.into()
}

fn parse_name(name: &str) -> Option<(Arc<str>, LetterId)> {
    let (key, first) = name.strip_suffix(LETTERS_END)?.strip_suffix('.')?.split_once('.')?;
    Some((key.into(), LetterId(first.parse().ok()?)))
}
