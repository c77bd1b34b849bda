//! Opens what is replayed: a file or standard input, unpacked by its first bytes.
//!
//! Gzip (several members too) and Zstandard are recognised by their magic numbers, never by a file
//! name. The first [`PEEK_BYTES_MAX`] bytes are looked at before anything is consumed, so that the
//! format can be found out on a pipe as well.
//!
//! **Invariant:** memory does not grow with the input: everything is read through fixed buffers,
//! and a line longer than `line_bytes_max` is passed over, not collected.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much of an input is looked at to find out its format.
pub const PEEK_BYTES_MAX: usize = 64 * 1024;
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// One input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Standard input, written `-`.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl Input {
    /// Reads a command line argument: `-` is standard input.
    #[must_use]
    pub fn from_argument(argument: &Path) -> Self {
        if argument.as_os_str() == "-" { Self::Stdin } else { Self::File(argument.to_path_buf()) }
    }

    /// How messages name it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => "standard input".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// What event ids are derived from: the file's name without folders and without the ending
    /// of a compression, so that `access.log` and later `old/access.log.gz` give the same ids.
    #[must_use]
    pub fn id_name(&self) -> String {
        let Self::File(path) = self else { return "-".to_owned() };
        without_compression(&path.file_name().unwrap_or_default().to_string_lossy()).to_owned()
    }

    /// Which file it is, packed or not, whatever path leads there.
    pub(super) fn place(&self) -> PathBuf {
        let Self::File(path) = self else { return PathBuf::from("-") };
        // What a shell passes as /dev/fd/63 is a pipe that lies nowhere.
        let path = path.canonicalize().unwrap_or_else(|_| path.clone());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.with_file_name(without_compression(&name))
    }

    /// Bytes on disk, where that is known.
    ///
    /// # Errors
    /// When the file is not there or is a folder.
    pub fn size_bytes(&self) -> io::Result<Option<u64>> {
        let Self::File(path) = self else { return Ok(None) };
        let found = std::fs::metadata(path)?;
        if found.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "a folder, not a file"));
        }
        Ok(found.is_file().then_some(found.len()))
    }

    /// Opens it; `read_bytes` counts what was read of it, before unpacking.
    pub(crate) fn open(&self, read_bytes: Arc<AtomicU64>) -> io::Result<Opened> {
        let raw: Box<dyn Read + Send> = match self {
            Self::Stdin => Box::new(io::stdin()),
            Self::File(path) => Box::new(File::open(path)?),
        };
        Opened::new(Counting { inner: raw, read_bytes })
    }
}

/// An opened input: what was looked at, and everything from the start.
pub(crate) struct Opened {
    /// The first bytes, unpacked.
    pub(crate) head: Vec<u8>,
    /// All of it, unpacked.
    pub(crate) content: Box<dyn BufRead + Send>,
}

impl Opened {
    fn new(mut raw: impl Read + Send + 'static) -> io::Result<Self> {
        let magic = take_up_to(&mut raw, ZSTD_MAGIC.len())?;
        let whole = Cursor::new(magic.clone()).chain(raw);
        let mut unpacked: Box<dyn Read + Send> = if magic.starts_with(GZIP_MAGIC) {
            Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(whole)))
        } else if magic.starts_with(ZSTD_MAGIC) {
            Box::new(zstd::stream::read::Decoder::new(whole)?)
        } else {
            Box::new(whole)
        };
        let head = peek_lines(&mut unpacked)?;
        let content = BufReader::with_capacity(
            PEEK_BYTES_MAX,
            Cursor::new(without_byte_order_mark(&head).to_vec()).chain(unpacked),
        );
        Ok(Self { head: without_byte_order_mark(&head).to_vec(), content: Box::new(content) })
    }
}

fn without_compression(name: &str) -> &str {
    name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name)
}

fn without_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// The first bytes: until ten lines are there, the input ends, or [`PEEK_BYTES_MAX`].
fn peek_lines(from: &mut impl Read) -> io::Result<Vec<u8>> {
    const LINES: usize = 10;
    let mut head = Vec::new();
    let mut lines = 0;
    while lines < LINES && head.len() < PEEK_BYTES_MAX {
        let more = match take_up_to(from, 4096) {
            Ok(more) => more,
            // The damaged rest comes up again, with its line number, when the lines are read.
            Err(_) if !head.is_empty() => break,
            Err(error) => return Err(error),
        };
        if more.is_empty() {
            break;
        }
        lines += more.iter().filter(|byte| **byte == b'\n').count();
        head.extend_from_slice(&more);
    }
    Ok(head)
}

/// Reads until `bytes` are there or the input ends.
fn take_up_to(from: &mut impl Read, bytes: usize) -> io::Result<Vec<u8>> {
    let mut taken = Vec::with_capacity(bytes);
    from.take(bytes as u64).read_to_end(&mut taken)?;
    Ok(taken)
}

struct Counting<R> {
    inner: R,
    read_bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read_bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// A line, or why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// Without its line ending.
    Bytes(&'a [u8]),
    /// Longer than `line_bytes_max`; passed over.
    TooLong,
}

/// Reads lines under a bound.
pub(crate) struct Lines {
    content: Box<dyn BufRead + Send>,
    line_bytes_max: usize,
    buffer: Vec<u8>,
    number: u64,
}

impl Lines {
    pub(crate) fn new(content: Box<dyn BufRead + Send>, line_bytes_max: usize) -> Self {
        Self { content, line_bytes_max, buffer: Vec::new(), number: 0 }
    }

    /// The number of the last line read; the first has 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The next line; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.buffer.clear();
        let mut too_long = false;
        let mut any = false;
        loop {
            let available = match self.content.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                break;
            }
            any = true;
            let end = available.iter().position(|byte| *byte == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            if self.buffer.len() + part.len() > self.line_bytes_max {
                too_long = true;
            } else if !too_long {
                self.buffer.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.content.consume(used);
            if end.is_some() {
                break;
            }
        }
        if !any {
            return Ok(None);
        }
        self.number += 1;
        if too_long {
            return Ok(Some(Line::TooLong));
        }
        Ok(Some(Line::Bytes(self.buffer.strip_suffix(b"\r").unwrap_or(&self.buffer))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn lines_of(bytes: Vec<u8>, line_bytes_max: usize) -> Vec<Option<String>> {
        let opened = Opened::new(Cursor::new(bytes)).expect("open");
        let mut lines = Lines::new(opened.content, line_bytes_max);
        let mut out = Vec::new();
        while let Some(line) = lines.next().expect("read") {
            out.push(match line {
                Line::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
                Line::TooLong => None,
            });
        }
        out
    }

    fn texts(lines: &[&str]) -> Vec<Option<String>> {
        lines.iter().map(|line| Some((*line).to_owned())).collect()
    }

    #[test]
    fn lines_end_at_line_feeds_and_at_the_end() {
        assert_eq!(lines_of(b"a\r\nb\n\nc".to_vec(), 10), texts(&["a", "b", "", "c"]));
        assert_eq!(lines_of(b"\xef\xbb\xbfa\n".to_vec(), 10), texts(&["a"]));
        assert_eq!(lines_of(Vec::new(), 10), texts(&[]));
    }

    #[test]
    fn a_line_at_the_bound_is_read_and_one_over_it_is_passed_over() {
        let out = lines_of(b"12345\n123456\nabc\n".to_vec(), 5);
        assert_eq!(out, vec![Some("12345".to_owned()), None, Some("abc".to_owned())]);
        let long = [vec![b'x'; 3 * PEEK_BYTES_MAX], b"\nend".to_vec()].concat();
        assert_eq!(lines_of(long, 100), vec![None, Some("end".to_owned())]);
    }

    #[test]
    fn compression_is_recognised_by_its_first_bytes() {
        let gzip = |text: &[u8]| {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text).expect("memory");
            encoder.finish().expect("memory")
        };
        let members = [gzip(b"one\n"), gzip(b"two\n")].concat();
        assert_eq!(lines_of(members, 10), texts(&["one", "two"]));
        let zstd = zstd::stream::encode_all(&b"one\ntwo\n"[..], 1).expect("memory");
        assert_eq!(lines_of(zstd, 10), texts(&["one", "two"]));
    }

    #[test]
    fn ids_come_from_the_name_without_folder_and_compression() {
        let name = |path: &str| Input::from_argument(Path::new(path)).id_name();
        assert_eq!(name("a/access.log.gz"), "access.log");
        assert_eq!(name("access.log"), "access.log");
        assert_eq!(name("-"), "-");
    }
}
