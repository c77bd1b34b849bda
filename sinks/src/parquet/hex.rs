//! 128 bits as 32 upper-case hex digits, without the formatter (four ids stand in every row).

/// The digits of an id.
#[derive(Clone, Copy, Debug)]
pub(super) struct HexDigits([u8; 32]);

impl HexDigits {
    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hex digits are ASCII")
    }
}

/// The digits of `bits`, the most significant first.
pub(super) fn hex_digits(bits: u128) -> HexDigits {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = [0_u8; 32];
    for (pair, byte) in out.chunks_exact_mut(2).zip(bits.to_be_bytes()) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    HexDigits(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use beckon_engine::model::Id;

    #[test]
    fn digits_are_those_of_the_id() {
        for bits in [0, 1, u128::MAX, 0x44D2_5DDB_7817_4DEC_8F33_E28F_9642_8336] {
            assert_eq!(hex_digits(bits).as_str(), Id::Bits(bits).to_string());
        }
    }
}
