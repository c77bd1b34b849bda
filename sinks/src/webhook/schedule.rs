//! When a call is tried again: the times of Standard Webhooks, each moved a little.
//!
//! The jitter comes from the call's id and not from chance: ids are hashes, so calls that failed together
//! come back apart, and a restart comes to the same times.

use beckon_engine::model::MessageId;

/// How much a wait is moved, up and down, in percent.
const JITTER_PERCENT: i64 = 10;

/// Waits between attempts in milliseconds: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.
pub(super) const RETRIES_MS: [i64; 9] = [
    5_000,
    5 * 60_000,
    30 * 60_000,
    2 * 3_600_000,
    5 * 3_600_000,
    10 * 3_600_000,
    14 * 3_600_000,
    20 * 3_600_000,
    24 * 3_600_000,
];

/// How long a call waits after so many attempts that failed; `None`: it is given up.
pub(super) fn wait_ms(retries_ms: &[i64], tries: u32, id: MessageId) -> Option<i64> {
    let at = usize::try_from(tries.checked_sub(1)?).ok()?;
    let wait = *retries_ms.get(at)?;
    // Bits of the id that are others for each attempt.
    let bits = (id.0 >> ((at % 16) * 8)) % 2_001;
    let share = i64::try_from(bits).unwrap_or(0) - 1_000;
    Some(wait + wait.saturating_mul(share) / 1_000 * JITTER_PERCENT / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_those_of_the_standard_within_a_tenth() {
        for id in [0, 7, u128::MAX, 0x1234_5678_9ABC_DEF0_1234_5678_9ABC_DEF0] {
            for (tries, base) in (1..).zip(RETRIES_MS) {
                let wait = wait_ms(&RETRIES_MS, tries, MessageId(id)).expect("one more");
                assert!((wait - base).abs() <= base / 10, "{wait} for {base}");
            }
            assert_eq!(wait_ms(&RETRIES_MS, 10, MessageId(id)), None);
        }
        assert_eq!(wait_ms(&[], 1, MessageId(1)), None);
    }

    #[test]
    fn calls_that_failed_together_come_back_apart() {
        let waits = (0..100_u128).map(|id| {
            let id = id.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
            wait_ms(&RETRIES_MS, 1, MessageId(id))
        });
        assert!(waits.collect::<std::collections::BTreeSet<_>>().len() > 50);
    }
}
