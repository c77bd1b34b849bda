//! Compressed bodies, inflated under a bound.
//!
//! A kilobyte can inflate to a gigabyte, so the bound is checked while inflating, and the caller is
//! asked before every piece of memory: what a body may hold depends on what all bodies hold.

use std::io::{self, Read};

/// Bytes that are inflated between two questions whether there may be more.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// The largest window of zstd that is served (8 MiB); its default bound would be 128 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
const BROTLI_BUFFER_BYTES: usize = 16 * 1024;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// `gzip`, `x-gzip`.
    Gzip,
    /// `zstd`.
    Zstd,
    /// `br`.
    Brotli,
}

impl Encoding {
    /// Reads the header's value; without one, gzip and zstd are known by their first bytes, because
    /// beacons cannot set headers. `None`: not a compression that is served.
    #[must_use]
    pub fn of(header: Option<&str>, body: &[u8]) -> Option<Self> {
        match header.map(|value| value.trim().to_ascii_lowercase()).as_deref() {
            None | Some("" | "identity") => Some(match body {
                [0x1f, 0x8b, ..] => Self::Gzip,
                [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
                _ => Self::Identity,
            }),
            Some("gzip" | "x-gzip") => Some(Self::Gzip),
            Some("zstd") => Some(Self::Zstd),
            Some("br") => Some(Self::Brotli),
            Some(_) => None,
        }
    }
}

/// Why a body does not inflate.
#[derive(Debug, thiserror::Error)]
pub enum InflateError {
    /// It is damaged, or not what its header says.
    #[error("the body does not decompress: {0}")]
    Damaged(io::Error),
    /// It is larger than `decompressed_bytes_max`.
    #[error("the decompressed body has more than {0} bytes")]
    TooLarge(usize),
    /// All bodies together take what they may.
    #[error("too many bytes of requests are in memory")]
    NoMemory,
}

/// Inflates `body` to at most `bytes_max`. `reserve` is asked before memory is taken, with how many
/// bytes; it says whether they are there.
///
/// # Errors
/// See [`InflateError`].
pub fn inflate(
    encoding: Encoding,
    body: &[u8],
    bytes_max: usize,
    reserve: impl FnMut(usize) -> bool,
) -> Result<Vec<u8>, InflateError> {
    match encoding {
        Encoding::Identity => read(body, bytes_max, reserve),
        Encoding::Gzip => read(flate2::read::MultiGzDecoder::new(body), bytes_max, reserve),
        Encoding::Zstd => {
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(body).map_err(InflateError::Damaged)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(InflateError::Damaged)?;
            read(decoder, bytes_max, reserve)
        }
        Encoding::Brotli => {
            read(brotli::Decompressor::new(body, BROTLI_BUFFER_BYTES), bytes_max, reserve)
        }
    }
}

fn read(
    mut source: impl Read,
    bytes_max: usize,
    mut reserve: impl FnMut(usize) -> bool,
) -> Result<Vec<u8>, InflateError> {
    let mut out = Vec::new();
    loop {
        if !reserve(CHUNK_BYTES) {
            return Err(InflateError::NoMemory);
        }
        let mut chunk = source.by_ref().take(CHUNK_BYTES as u64);
        let before = out.len();
        chunk.read_to_end(&mut out).map_err(InflateError::Damaged)?;
        if out.len() > bytes_max {
            return Err(InflateError::TooLarge(bytes_max));
        }
        if out.len() - before < CHUNK_BYTES {
            return Ok(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn compressed(encoding: Encoding, text: &[u8]) -> Vec<u8> {
        match encoding {
            Encoding::Identity => text.to_vec(),
            Encoding::Gzip => {
                let mut writer =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                writer.write_all(text).expect("memory");
                writer.finish().expect("memory")
            }
            Encoding::Zstd => zstd::encode_all(text, 1).expect("memory"),
            Encoding::Brotli => {
                let mut out = Vec::new();
                brotli::CompressorWriter::new(&mut out, 4096, 1, 22)
                    .write_all(text)
                    .expect("memory");
                out
            }
        }
    }

    const ALL: [Encoding; 3] = [Encoding::Gzip, Encoding::Zstd, Encoding::Brotli];

    #[test]
    fn what_was_compressed_comes_back() {
        let text = vec![b'x'; 3 * CHUNK_BYTES + 17];
        for encoding in ALL {
            let body = compressed(encoding, &text);
            let back = inflate(encoding, &body, text.len(), |_| true).expect("whole");
            assert!(back == text, "{encoding:?}");
        }
    }

    #[test]
    fn bombs_stop_at_the_bound() {
        let bomb = vec![0; 32 << 20];
        for encoding in ALL {
            let body = compressed(encoding, &bomb);
            let mut reserved = 0;
            let result = inflate(encoding, &body, 1 << 20, |bytes| {
                reserved += bytes;
                true
            });
            assert!(matches!(result, Err(InflateError::TooLarge(_))), "{encoding:?}");
            assert!(reserved <= (1 << 20) + CHUNK_BYTES, "{encoding:?} took {reserved} bytes");
        }
    }

    #[test]
    fn memory_that_is_refused_is_not_taken() {
        let body = compressed(Encoding::Gzip, &[0; 4 * CHUNK_BYTES]);
        let mut left = 2 * CHUNK_BYTES;
        let result = inflate(Encoding::Gzip, &body, 1 << 20, |bytes| {
            left.checked_sub(bytes).is_some_and(|rest| {
                left = rest;
                true
            })
        });
        assert!(matches!(result, Err(InflateError::NoMemory)));
    }

    #[test]
    fn damage_is_said() {
        for encoding in ALL {
            let result = inflate(encoding, b"not compressed at all", 100, |_| true);
            assert!(matches!(result, Err(InflateError::Damaged(_))), "{encoding:?}");
        }
    }

    #[test]
    fn encodings_are_known_by_name_or_first_bytes() {
        assert_eq!(Encoding::of(Some(" GZip "), b"x"), Some(Encoding::Gzip));
        assert_eq!(Encoding::of(Some("br"), b"x"), Some(Encoding::Brotli));
        assert_eq!(Encoding::of(Some("gzip, br"), b"x"), None);
        assert_eq!(Encoding::of(None, b"{}"), Some(Encoding::Identity));
        for encoding in [Encoding::Gzip, Encoding::Zstd] {
            let body = compressed(encoding, b"{}");
            assert_eq!(Encoding::of(None, &body), Some(encoding));
        }
    }
}
