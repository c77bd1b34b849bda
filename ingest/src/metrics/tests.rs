//! Each figure of the log and of dead letters stands under its name: all values differ.

use super::*;

fn check<const G: usize, const C: usize>(
    (gauges, counters): ([Figure; G], [Figure; C]),
    expected: &[(&str, u64)],
) {
    let found = gauges.iter().chain(&counters).map(|(name, _, value)| (*name, *value));
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

#[test]
fn figures_of_the_log() {
    let stats = LogStats {
        bytes: 1,
        segments: 2,
        oldest_segment: 3,
        oldest_epoch: 4,
        digests_missing: 5,
        queued_bytes: 6,
        records: 7,
        groups: 8,
        duplicates: 9,
        dedup_ids: 10,
        dedup_window_ms: 11,
        sync_nanos: 12,
        sync_nanos_max: 13,
    };
    let expected = [
        ("beckon_log_bytes", 1),
        ("beckon_log_segments", 2),
        ("beckon_log_oldest_segment", 3),
        ("beckon_log_oldest_epoch", 4),
        ("beckon_log_digests_missing", 5),
        ("beckon_log_queued_bytes", 6),
        ("beckon_dedup_ids", 10),
        ("beckon_dedup_window_ms", 11),
        ("beckon_log_sync_nanos_max", 13),
        ("beckon_log_records", 7),
        ("beckon_log_groups", 8),
        ("beckon_log_duplicates", 9),
        ("beckon_log_sync_nanos", 12),
    ];
    check(log_figures(stats), &expected);
}

#[test]
fn figures_of_dead_letters() {
    let counters = Counters {
        written: 1,
        queue_full: 2,
        unwritable: 3,
        evicted: 4,
        expired: 5,
        waiting: 6,
        bytes: 7,
    };
    let expected = [
        ("beckon_dead_letters_waiting", 6),
        ("beckon_dead_letters_bytes", 7),
        ("beckon_dead_letters_written", 1),
        ("beckon_dead_letters_queue_full", 2),
        ("beckon_dead_letters_unwritable", 3),
        ("beckon_dead_letters_evicted", 4),
        ("beckon_dead_letters_expired", 5),
    ];
    check(letter_figures(counters), &expected);
}
