//! What tests of several modules share.

use crate::disk::{Disk, SimDisk};
use crc32c::crc32c;
use std::panic::{RefUnwindSafe, catch_unwind};
use std::path::Path;

/// Seeds of random cases: `count` of them, or the one that is asked for (`BECKON_TEST_SEED`).
pub(crate) fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("BECKON_TEST_SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => (1..=count).collect(),
    }
}

/// What came of each of so many cases, or of the one that is asked for; one that fails is told by its
/// seed.
pub(crate) fn replayable<T>(count: u64, run: impl Fn(u64) -> T + RefUnwindSafe) -> Vec<T> {
    let one = |seed| {
        let result = catch_unwind(|| run(seed));
        result.unwrap_or_else(|_| panic!("replay with BECKON_TEST_SEED={seed}"))
    };
    seeds(count).into_iter().map(one).collect()
}

/// A file of `tests/fixtures`, which `written`, what is written today, must equal.
///
/// `BECKON_WRITE_FIXTURES=1` writes it: that of the present version, before it is released. Once
/// it is, a difference means a new version of the format, with a fixture of its own.
pub(crate) fn fixture(name: &str, written: &[u8]) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    if std::env::var_os("BECKON_WRITE_FIXTURES").is_some() {
        std::fs::write(&path, written).expect("written");
    }
    let fixture = std::fs::read(&path).expect("the fixture");
    let differs = written.iter().zip(&fixture).position(|(today, then)| today != then);
    let lengths = (written.len(), fixture.len());
    assert!(written == fixture, "{name} differs at {differs:?}, lengths {lengths:?}");
    fixture
}

/// Gives a header another version: behind a magic of eight bytes, with the checksum at the end.
pub(crate) fn set_version(header: &mut [u8], version: u16) {
    let crc_at = header.len() - 4;
    header[8..10].copy_from_slice(&version.to_le_bytes());
    let crc = crc32c(&header[..crc_at]);
    header[crc_at..].copy_from_slice(&crc.to_le_bytes());
}

/// A file's bytes.
pub(crate) fn bytes_of(disk: &SimDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path).expect("there");
    let mut bytes = vec![0; usize::try_from(file.bytes().expect("known")).expect("small")];
    file.read_at(0, &mut bytes).expect("read");
    bytes
}

/// A disk with one file.
pub(crate) fn disk_with(path: &Path, bytes: &[u8]) -> SimDisk {
    let disk = SimDisk::default();
    disk.create(path).expect("made").write_at(0, bytes).expect("written");
    disk
}
