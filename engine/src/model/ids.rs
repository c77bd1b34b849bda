//! Ids of events, visits, visitors and pages.
//!
//! On our own wire an id is 32 hex digits, with or without dashes, in any case
//! (`44D25DDB78174DEC8F33E28F96428336` and `44d25ddb-7817-4dec-8f33-e28f96428336` are one id). A
//! mapped source may name things by any text up to [`ID_TEXT_BYTES_MAX`] bytes.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest text id of a mapped source.
pub const ID_TEXT_BYTES_MAX: usize = 128;
/// Virtual partitions that state is divided into; part of the snapshot format.
pub const PARTITIONS: u16 = 256;

/// An id: 128 bits, or a mapped source's text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Id {
    /// 32 hex digits on the wire.
    Bits(u128),
    /// Text of a mapped source, 1 to [`ID_TEXT_BYTES_MAX`] bytes.
    Text(Box<str>),
}

/// Why a text is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not 32 hex digits with optional dashes.
    #[error("expected 32 hex digits, with or without dashes")]
    NotHex,
    /// Empty, or longer than [`ID_TEXT_BYTES_MAX`].
    #[error("expected 1 to {ID_TEXT_BYTES_MAX} bytes of text")]
    TextLength,
}

impl Id {
    /// Reads 32 hex digits; dashes are passed over, case does not matter.
    ///
    /// # Errors
    /// [`IdError::NotHex`] for anything else.
    pub fn from_hex(text: &str) -> Result<Self, IdError> {
        plain_hex(text.as_bytes())
            .or_else(|| dashed_hex(text.as_bytes()))
            .map(Self::Bits)
            .ok_or(IdError::NotHex)
    }

    /// Takes a mapped source's text as it is.
    ///
    /// # Errors
    /// [`IdError::TextLength`] when it is empty or too long.
    pub fn from_text(text: &str) -> Result<Self, IdError> {
        if text.is_empty() || text.len() > ID_TEXT_BYTES_MAX {
            return Err(IdError::TextLength);
        }
        Ok(Self::Text(text.into()))
    }

    /// The stable 64-bit hash (XXH3) that partitions and tombstones use.
    #[must_use]
    pub fn stable_hash(&self) -> u64 {
        match self {
            Self::Bits(bits) => xxhash_rust::xxh3::xxh3_64(&bits.to_le_bytes()),
            Self::Text(text) => xxhash_rust::xxh3::xxh3_64_with_seed(text.as_bytes(), 1),
        }
    }
}

/// 32 upper-case hex digits, or the text.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bits(bits) => write!(f, "{bits:032X}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// What a byte is worth as a hex digit; [`NO_DIGIT`] where it is none.
const DIGITS: [u8; 256] = digits();
const NO_DIGIT: u8 = 0xFF;

const fn digits() -> [u8; 256] {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0_u8;
    while value < 16 {
        digits[b"0123456789abcdef"[value as usize] as usize] = value;
        digits[b"0123456789ABCDEF"[value as usize] as usize] = value;
        value += 1;
    }
    digits
}

/// 32 digits and nothing else, as nearly all ids are: two halves without a branch for each digit.
fn plain_hex(text: &[u8]) -> Option<u128> {
    let text: &[u8; 32] = text.try_into().ok()?;
    let (high, low) = text.split_at(16);
    let half = |digits: &[u8]| {
        digits.iter().fold((0_u64, 0_u8), |(bits, seen), byte| {
            let digit = DIGITS[usize::from(*byte)];
            (bits << 4 | u64::from(digit & 0xF), seen | digit)
        })
    };
    let ((high, seen_high), (low, seen_low)) = (half(high), half(low));
    ((seen_high | seen_low) < 16).then(|| u128::from(high) << 64 | u128::from(low))
}

fn dashed_hex(text: &[u8]) -> Option<u128> {
    let mut bits: u128 = 0;
    let mut digits = 0_u32;
    for byte in text {
        if *byte == b'-' && digits > 0 && digits < 32 {
            continue;
        }
        let digit = DIGITS[usize::from(*byte)];
        digits += 1;
        if digit == NO_DIGIT || digits > 32 {
            return None;
        }
        bits = bits << 4 | u128::from(digit);
    }
    (digits == 32).then_some(bits)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Id);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// One event (`eventID`).
    EventId
}
id! {
    /// One visit (`visitID`): a browser session.
    VisitId
}
id! {
    /// One visitor (`globalVisitID`): a browser or device, anonymous.
    VisitorId
}
id! {
    /// One page view (`pageID`).
    PageId
}

/// One of the [`PARTITIONS`] virtual partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionId(pub u8);

impl PartitionId {
    /// That of a [`window_hash`]: its lowest byte.
    #[must_use]
    pub fn of(hash: u64) -> Self {
        Self(hash.to_le_bytes()[0])
    }

    /// What one partition gets of a limit over all of them: an equal share, rounded up.
    #[must_use]
    pub fn share(total: u64) -> usize {
        usize::try_from(total.div_ceil(u64::from(PARTITIONS))).unwrap_or(usize::MAX)
    }
}

/// The stable 64-bit hash (XXH3) of a window key: a visit or a visitor of a site.
#[must_use]
pub fn window_hash(site: &str, key: &Id) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(site.as_bytes(), key.stable_hash())
}

/// The virtual partition of a visit: stable over versions, machines and numbers of workers.
#[must_use]
pub fn partition_of(site: &str, visit: &VisitId) -> PartitionId {
    PartitionId::of(window_hash(site, &visit.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_and_case_do_not_matter() {
        let plain = Id::from_hex("44D25DDB78174DEC8F33E28F96428336").expect("32 digits");
        let dashed = Id::from_hex("44d25ddb-7817-4dec-8f33-e28f96428336").expect("32 digits");
        assert_eq!(plain, dashed);
        assert_eq!(plain.to_string(), "44D25DDB78174DEC8F33E28F96428336");
    }

    #[test]
    fn other_texts_are_no_hex_ids() {
        for text in
            ["", "44D2", "44D25DDB78174DEC8F33E28F9642833G", "-44D25DDB78174DEC8F33E28F96428336"]
        {
            assert_eq!(Id::from_hex(text), Err(IdError::NotHex), "{text}");
        }
        assert_eq!(Id::from_hex(&"4".repeat(33)), Err(IdError::NotHex));
    }

    /// The figures are part of the snapshot format: a change of them is a change of format.
    #[test]
    fn partitions_are_stable() {
        let visit = VisitId(Id::Bits(0x44D2_5DDB_7817_4DEC_8F33_E28F_9642_8336));
        let again = VisitId(Id::from_hex("44d25ddb78174dec8f33e28f96428336").expect("hex"));
        assert_eq!(partition_of("shop", &visit), partition_of("shop", &again));
        let text = VisitId(Id::from_text("session-1").expect("a text"));
        let figures = [&visit, &text].map(|visit| {
            (partition_of("shop", visit), visit.0.stable_hash(), window_hash("shop", &visit.0))
        });
        assert_eq!(
            figures,
            [
                (PartitionId(232), 13_302_239_994_935_878_803, 14_104_843_240_504_223_464),
                (PartitionId(219), 4_805_948_614_712_915_256, 3_831_697_556_572_732_123)
            ]
        );
    }
}
