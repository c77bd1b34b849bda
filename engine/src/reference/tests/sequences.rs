//! Section 6: join keys, sequences, `until`, missing events. Section 3: 3, 5, 6.

use super::{check, check_once};

const AB: &str = "sequence [A where true] [B where true]";

#[test]
fn a_sequence_takes_the_newest_and_consumes_it() {
    check(AB, "0s A; 1s A; 2s B; 3s B; end", &["2 3"]);
    check(AB, "0s A; 1s X; 2s B; end", &["1 3"]);
    check(AB, "0s B; 1s A; end", &[]);
    check(AB, "0s A; 1s B; 2s A; 3s B; end", &["1 2", "3 4"]);
}

#[test]
fn one_event_may_end_one_match_advance_another_and_begin_a_third() {
    check(
        "sequence [A where true] with runs=2",
        "0s A; 1s A; 2s A; 3s A; end",
        &["1 2", "2 3", "3 4"],
    );
    check(
        "sequence [A where true] with runs=3",
        "0s A; 1s A; 2s A; 3s A; 4s A; end",
        &["1 2 3", "2 3 4", "3 4 5"],
    );
    check_once("sequence [A where true] with runs=3", "0s A; 1s A; 2s A; 3s A; end", &["1 2 3"]);
}

#[test]
fn events_are_ordered_by_timestamp_then_tie_breaker_then_log() {
    check(AB, "1s B; 0s A; end", &["2 1"]);
    check(AB, "0s A; 0s B; end", &["1 2"]);
    check(AB, "0s B; 0s A; end", &[]);
    check(AB, "0s B tie=2; 0s A tie=1; end", &["2 1"]);
    // Without a tie-breaker first.
    check(AB, "0s B tie=0; 0s A; end", &["2 1"]);
}

#[test]
fn maxspan_is_inclusive_and_what_fails_it_is_consumed() {
    let query = "sequence with maxspan=10s [A where true] [B where true] [C where true]";
    check(query, "0s A; 5s B; 10s C; end", &["1 2 3"]);
    check(query, "0s A; 5s B; 10001ms C; end", &[]);
    // A B that comes too late takes the A all the same; one in its time had it before.
    let query = "sequence with maxspan=10s [A where true] [B where true]";
    check(query, "0s A; 11s B; 5s B; end", &["1 3"]);
    let query = "sequence with maxspan=10s [A where true] with runs=2 [B where true]";
    check(query, "0s A; 11s A; 12s B; 13s A; 14s B; end", &["2 4 5"]);
}

#[test]
fn keys_keep_matches_apart() {
    let query = "sequence by data.k [A where true] [B where true]";
    check(query, "0s A k=u; 1s A k=v; 2s B k=u; 3s B k=v; end", &["1 3", "2 4"]);
    // An absent key keeps the event out; an optional one counts as null.
    check(query, "0s A; 1s B; end", &[]);
    check("sequence by ?data.k [A where true] [B where true]", "0s A; 1s B; end", &["1 2"]);
    // By value, across fields of different names and number types.
    let query = "sequence [A where true] by data.k [B where true] by data.j";
    check(query, "0s A k=1; 1s B j=1; 2s B k=1; end", &["1 2"]);
}

#[test]
fn a_key_of_several_values_makes_a_match_for_each_in_common() {
    let query = "sequence by category [A where true] [B where true] [C where true]";
    // Of the keys p and q both steps have, the two matches are of the same events: one match id.
    check(query, "0s A category=p,q,r; 1s B category=q,p; 2s C category=p; end", &["1 2 3"]);
    let log = "0s A category=p; 1s A category=q; 2s B category=q,p; 3s C category=p,q; end";
    check(query, log, &["1 3 4", "2 3 4"]);
}

#[test]
fn conditions_across_steps_leave_the_partial_match_where_they_fail() {
    let query = "sequence [A where true] as a [B where data.x > a.data.x]";
    check(query, "0s A x=5; 1s B x=5; 2s B x=6; end", &["1 3"]);
    // Only the one that waits is tested.
    check(query, "0s A x=1; 1s A x=9; 2s B x=5; end", &[]);
    let query = "sequence [A where true] with runs=2 as a [B where data.x == a.data.x]";
    check(query, "0s A x=1; 1s A x=2; 2s B x=1; 3s B x=2; end", &["1 2 4"]);
}

#[test]
fn until_ends_at_or_after_the_latest_event_and_before_the_next() {
    let query = "sequence [A where true] [B where true] until [C where true]";
    check(query, "0s A; 1s B; 2s C; end", &["1 2"]);
    check(query, "0s A; 1s C; 2s B; end", &[]);
    check(query, "0s C; 1s A; 2s B; end", &["2 3"]);
    check(query, "0s A; 1s C; 2s A; 3s B; end", &["3 4"]);
    // An event that is an `until` itself: at the latest event it ends, as the last it completes.
    check(
        "sequence [A where true] [B where true] until [A where data.x == 1]",
        "0s A x=1; 1s B; end",
        &[],
    );
    check(
        "sequence [A where true] [B where true] until [B where true]",
        "0s A; 1s B; end",
        &["1 2"],
    );
    check(
        "sequence [A where true] [B where true] [C where true] until [B where true]",
        "0s A; 1s B; 2s C; end",
        &[],
    );
}

#[test]
fn until_ends_what_has_its_key() {
    let query = "sequence [A where true] by data.k [B where true] by data.k
                 until [C where true] by data.j";
    check(query, "0s A k=u; 1s A k=v; 2s C j=u; 3s B k=u; 4s B k=v; end", &["2 5"]);
    check(query, "0s A k=u; 1s C; 2s B k=u; end", &["1 3"]);
    let query = "sequence by category [A where true] [B where true] until [C where true]";
    check(query, "0s A category=p,q; 1s C category=q,r; 2s B category=p,q; end", &["1 3"]);
}

#[test]
fn between_two_steps_missing_means_strictly_between_by_timestamp() {
    let query = "sequence [A where true] ![X where true] [B where true]";
    check(query, "0s A; 2s B; end", &["1 2"]);
    check(query, "0s A; 1s X; 2s B; end", &[]);
    check(query, "0s A; 0s X; 2s B; end", &["1 3"]);
    check(query, "0s A; 2s X; 2s B; end", &["1 3"]);
    check(query, "0s X; 1s A; 2s B; 3s X; end", &["2 3"]);
    // Which of the runs it stands behind.
    let query = "sequence [A where true] with runs=2 ![X where true] [B where true]";
    check(query, "0s A; 1s X; 2s A; 3s B; end", &["1 3 4"]);
    check(query, "0s A; 1s A; 2s X; 3s B; end", &[]);
}

#[test]
fn what_a_missing_event_refuses_stays_consumed() {
    let query = "sequence [A where true] ![X where true] [B where true]";
    // B at 3 s takes the A and is refused; the B at 4 s has none.
    check(query, "0s A; 2s X; 3s B; 4s B; end", &[]);
    // The newer A replaces the older before the X is looked at.
    check(query, "0s A; 1s X; 2s A; 3s B; end", &["3 4"]);
}

#[test]
fn strict_next_and_keys_and_conditions_of_missing_events() {
    let next = "sequence [A where true] ![any where true] [B where true]";
    check(next, "0s A; 1s B; end", &["1 2"]);
    check(next, "0s A; 1s X; 2s B; end", &[]);
    let query = "sequence by data.k [A where true] ![X where true] [B where true]";
    check(query, "0s A k=u; 1s X k=v; 2s B k=u; end", &["1 3"]);
    check(query, "0s A k=u; 1s X k=u; 2s B k=u; end", &[]);
    check(query, "0s A k=u; 1s X; 2s B k=u; end", &["1 3"]);
    let query = "sequence by category [A where true] ![X where true] [B where true]";
    check(query, "0s A category=p; 1s X category=q,p; 2s B category=p; end", &[]);
    let query = "sequence [A where true] as a ![X where data.x > a.data.x] [B where true]";
    check(query, "0s A x=1; 1s X x=1; 2s B; end", &["1 3"]);
    check(query, "0s A x=1; 1s X x=2; 2s B; end", &[]);
}

#[test]
fn missing_at_the_start_looks_back_from_the_last_event() {
    let query = "sequence with maxspan=10s ![X where true] [A where true] [B where true]";
    check(query, "10s A; 15s B; end", &["1 2"]);
    check(query, "5s X; 10s A; 15s B; end", &[]);
    check(query, "4999ms X; 10s A; 15s B; end", &["2 3"]);
    // Strictly before the first event; between the steps it does not matter.
    check(query, "9999ms X; 10s A; 15s B; end", &[]);
    check(query, "10s X; 10s A; 12s X; 15s B; end", &["2 4"]);
}

#[test]
fn missing_at_the_end_counts_from_the_first_event() {
    let query = "sequence with maxspan=10s [A where true] [B where true] ![X where true]";
    check(query, "0s A; 5s B; end", &["1 2"]);
    check(query, "0s A; 5s B; 10s X; end", &[]);
    check(query, "0s A; 5s B; 10001ms X; end", &["1 2"]);
    check(query, "0s A; 5s B; 5s X; end", &["1 2"]);
    check(query, "0s A; 3s X; 5s B; end", &["1 3"]);
    let cart = "sequence with maxspan=10s [A where true] as a ![X where data.k == a.data.k]";
    check(cart, "0s A k=u; 1s A k=v; 2s X k=u; end", &["2"]);
    // Several missing events, each of which prevents.
    let query = "sequence with maxspan=10s [A where true] ![X where true] ![Y where true]";
    check(query, "0s A; 20s A; 21s X; 40s A; 41s Y; end", &["1"]);
}

#[test]
fn missing_at_both_ends_refuses_where_both_are_within_one_maxspan() {
    let query = "sequence with maxspan=10s ![X where true] [A where true] ![Y where true]";
    check(query, "10s A; 11s Y; end", &["1"]);
    check(query, "5s X; 10s A; end", &["2"]);
    check(query, "5s X; 10s A; 15s Y; end", &[]);
    check(query, "5s X; 10s A; 15001ms Y; end", &["2"]);
    // The leading one that lies nearest decides.
    check(query, "1s X; 5s X; 10s A; 14s Y; end", &[]);
    check(query, "1s X; 10s A; 11s Y; end", &[]);
    check(query, "0s X; 10s A; 10001ms Y; end", &["2"]);
}

#[test]
fn all_matches_wait_for_a_missing_event_and_each_has_its_deadline() {
    let query = "sequence with maxspan=10s [A where true] ![X where true]";
    check(query, "0s A; 2s A; 11s X; end", &["1"]);
    check_once(query, "0s A; 2s A; 20s X; end", &["1"]);
    check_once(query, "0s A; 2s A; 9s X; 20s A; end", &["4"]);
    // The first deadline fires, whatever ended last.
    let query = "sequence by data.k with maxspan=10s [A where true] [B where true] ![X where true]";
    let log = "0s A k=u; 1s A k=v; 2s B k=v; 9s B k=u; end";
    check(query, log, &["1 4", "2 3"]);
    check_once(query, log, &["1 4"]);
}
