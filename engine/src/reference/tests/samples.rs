//! Section 3.13 and 6: samples.

use super::{check, check_once};

const AB: &str = "sample [A where true] [B where true]";

#[test]
fn samples_have_no_order_and_take_the_earliest() {
    check(AB, "0s B; 1s A; end", &["2 1"]);
    check(AB, "0s A; 1s A; 2s B; 3s B; end", &["1 3"]);
    check(AB, "0s A; 1s A; end", &[]);
    // The order is that of time, not of the log.
    check(AB, "1s A; 0s A; 2s B; end", &["2 3"]);
}

#[test]
fn each_event_fills_one_step() {
    let query = "sample [any where data.x == 1] [any where data.y == 1]";
    check(query, "0s A x=1 y=1; end", &[]);
    check(query, "0s A x=1 y=1; 1s A x=1 y=1; end", &["1 2"]);
    // Fired by the second event, with the only assignment that there is by then.
    check(query, "0s A x=1 y=1; 1s A x=1; 2s A y=1; end", &["2 1"]);
}

#[test]
fn each_key_gives_one_sample() {
    let query = "sample by data.k [A where true] [B where true]";
    let log = "0s A k=u; 1s A k=v; 2s B k=v; 3s B k=u; 4s A k=u; 5s B k=u; end";
    check(query, log, &["2 3", "1 4"]);
    check_once(query, log, &["2 3"]);
    check(query, "0s A k=u; 1s B; end", &[]);
    check("sample by ?data.k [A where true] [B where true]", "0s A; 1s B; end", &["1 2"]);
    let query = "sample by category [A where true] [B where true]";
    check(query, "0s A category=p; 1s A category=q; 2s B category=p,q; end", &["1 3", "2 3"]);
}

#[test]
fn maxspan_holds_the_events_together() {
    let query = "sample with maxspan=10s [A where true] [B where true] [C where true]";
    check(query, "0s A; 5s B; 10s C; end", &["1 2 3"]);
    check(query, "0s A; 5s B; 11s C; end", &[]);
    check(query, "0s A; 5s B; 11s C; 12s A; end", &["4 2 3"]);
    check(query, "0s A; 1s A; 5s B; 11s C; end", &["2 3 4"]);
}
