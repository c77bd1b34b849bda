//! What is under way when the log ends.

use super::{log, rule};
use crate::reference::Reference;

/// Checks the events that fill a rule's first steps, window by window, and until when in seconds.
fn check(query: &str, keys: &str, text: &str, expected: &[(&str, Option<i64>)]) {
    let rules = rule(query, keys);
    let mut reference = Reference::new(log::config());
    for epoch in log::epochs(text) {
        reference.epoch(&epoch);
    }
    let found = reference.under_way(&rules).into_iter();
    let found: Vec<_> =
        found.map(|one| (log::places(&one.events), one.until.map(log::seconds))).collect();
    let expected: Vec<_> =
        expected.iter().map(|(events, until)| ((*events).to_owned(), *until)).collect();
    assert_eq!(found, expected, "{query} on {text}");
}

const STEPS: &str = "sequence with maxspan=1m [ A where true ] [ B where true ] [ C where true ]";

#[test]
fn a_sequence_comes_on_step_by_step() {
    check(STEPS, "", "0s B; 1s C; mark 2s", &[]);
    check(STEPS, "", "0s A; mark 1s", &[("1", Some(60))]);
    check(STEPS, "", "0s A; 1s B; mark 2s", &[("1 2", Some(60))]);
    check(STEPS, "", "0s A; 1s B; 2s A; mark 3s", &[("1 2", Some(60))]);
    check("sequence [ A where true ] with runs=3", "", "0s A; 1s A; mark 2s", &[("1 2", None)]);
}

#[test]
fn the_farthest_counts_and_of_equals_the_newest() {
    let by =
        "sequence by data.k with maxspan=1m [ A where true ] [ B where true ] [ C where true ]";
    check(by, "", "0s A k=1; 1s A k=2; mark 2s", &[("2", Some(61))]);
    check(by, "", "0s A k=1; 1s A k=2; 2s B k=1; mark 3s", &[("1 3", Some(60))]);
}

#[test]
fn what_is_too_old_or_ended_has_come_nowhere() {
    check(STEPS, "", "0s A; mark 60s", &[("1", Some(60))]);
    check(STEPS, "", "0s A; mark 61s", &[]);
    let until = "sequence [ A where true ] [ B where true ] until [ X where true ]";
    check(until, "", "0s A; 1s X; mark 2s", &[]);
    check(STEPS, "", "0s A; 1s VisitEnded; mark 2s", &[]);
}

#[test]
fn what_fired_is_over_once_and_begins_again_every_time() {
    let two = "sequence with maxspan=1m [ A where true ] [ B where true ]";
    check(two, "fire = \"once\"", "0s A; 1s B; 2s A; mark 3s", &[]);
    check(two, "fire = \"every\"", "0s A; 1s B; 2s A; mark 3s", &[("3", Some(62))]);
}

#[test]
fn all_steps_wait_for_the_deadline_of_what_must_not_come() {
    let absent = "sequence with maxspan=1m [ A where true ] ![ B where true ]";
    check(absent, "", "0s A; mark 1s", &[("1", Some(60))]);
    check(absent, "", "0s A; 1s B; mark 2s", &[]);
    check(absent, "", "0s A; mark 61s", &[]);
}
