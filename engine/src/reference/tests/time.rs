//! Section 3.2, 3.4, 3.6, 3.7 and 3.9: watermark and horizon, deadlines, late events, emission.

use super::{check, check_rule, log, matches, output, rule};
use crate::model::Fate;

const ABSENCE: &str = "sequence with maxspan=10m [A where true] ![X where true]";

#[test]
fn a_deadline_fires_when_the_watermark_is_behind_it() {
    check(ABSENCE, "0s A; mark 10m", &[]);
    check(ABSENCE, "0s A; mark 600001ms", &["1"]);
    // An event exactly at the deadline prevents, also one that comes in the epoch that fires it.
    check(ABSENCE, "0s A; mark 9m; 10m X; mark 20m", &[]);
    check(ABSENCE, "0s A; mark 9m; 600001ms X; mark 20m", &["1"]);
}

#[test]
fn a_late_event_takes_its_place() {
    let query = "sequence [A where true] [B where true]";
    check(query, "10s B; mark 10s; 5s A; mark 10s", &["2 1"]);
    let query = "sequence [A where true] ![X where true] [B where true]";
    check(query, "0s A; 10s B; mark 10s", &["1 2"]);
    check(query, "0s A; 10s B; mark 10s; 5s X; mark 10s", &[]);
    // After the deadline has fired, within the lateness.
    check(ABSENCE, "0s A; mark 11m; 9m X; mark 11m", &[]);
    check(ABSENCE, "0s A; mark 13m; 9m X; mark 13m", &["1"]);
}

#[test]
fn lateness_is_judged_by_the_previous_mark() {
    let fates = |log: &str| -> Vec<Fate> {
        output(&rule("A where true", ""), log).recorded.iter().map(|one| one.fate).collect()
    };
    let (matched, before) = (Fate::Matched, Fate::BeforeHorizon);
    assert_eq!(
        fates("5m A; 0s A; mark 5m; 3m A; 179999ms A; mark 9m"),
        [matched, Fate::PutInPlace, Fate::PutInPlace, before]
    );
    assert_eq!(fates("0s A unproven; 0s A; end"), [Fate::Unproven, matched]);
    // What lies before the horizon is not matched, and opens no visit.
    let output = output(&rule("A where true", ""), "10m A; mark 10m; 1m A visit=2; mark 10m");
    assert_eq!((output.matches.len(), output.visits.len()), (1, 1));
}

#[test]
fn a_visit_closes_when_the_horizon_is_behind_its_last_event_and_the_inactivity() {
    let closed = |log: &str| -> Vec<(bool, bool)> {
        let visits = output(&rule("A where true", ""), log).visits;
        visits.iter().map(|visit| (visit.resumed, visit.closed.is_some())).collect()
    };
    assert_eq!(closed("0s A; mark 32m"), [(false, false)]);
    assert_eq!(closed("0s A; mark 1920001ms"), [(false, true)]);
    assert_eq!(
        closed("0s A; mark 1920001ms; 31m B; mark 1920001ms"),
        [(false, true), (true, false)]
    );
    assert_eq!(closed("0s A; 1s VisitEnded; 2s A; mark 3s"), [(false, true), (true, false)]);
    assert_eq!(closed("0s A; end"), [(false, true)]);
    // By the mark behind the events of its epoch: this one comes in time.
    assert_eq!(closed("0s A; mark 30m; 31m B; mark 40m"), [(false, false)]);
}

#[test]
fn closing_fulfils_what_is_missing_and_ends_what_is_not_complete() {
    let query = "sequence with maxspan=2h [A where true] ![X where true]";
    check(query, "0s A; 1m VisitEnded; mark 1m", &["1"]);
    check(query, "0s A; mark 32m", &[]);
    check(query, "0s A; mark 1920001ms", &["1"]);
    // The next instance neither prevents nor completes anything in the one before.
    check(query, "0s A; 1m VisitEnded; 2m X; end", &["1"]);
    check("sequence [A where true] [B where true]", "0s A; 1m VisitEnded; 2m B; end", &[]);
    // Closing is final: what is late for the closed instance begins a new one.
    let two = "sequence [A where true] [B where true]";
    check(two, "0s A; 2m VisitEnded; 1m B; end", &[]);
    // A late `VisitEnded` closes in log order too: its instance keeps what it has.
    check(two, "0s A; 2m B; 1m VisitEnded; 3m A; end", &["1 2"]);
}

#[test]
fn a_missing_visit_started_is_made_up_before_its_event() {
    let query = "sequence [VisitStarted where true] [A where true]";
    let run = |log: &str, makes_visit_started| {
        let config = crate::reference::ReferenceConfig { makes_visit_started, ..log::config() };
        let mut reference = crate::reference::Reference::new(config);
        log::epochs(log).iter().for_each(|epoch| reference.epoch(epoch));
        let matches = reference.matches_in_order(&rule(query, "fire = \"every\""));
        matches.iter().map(|one| log::places(&one.events)).collect::<Vec<_>>()
    };
    assert_eq!(run("0s A; end", true), ["* 1"]);
    assert_eq!(run("0s A; end", false), [""; 0]);
    // A real one that comes later is superseded; one that comes first is it.
    assert_eq!(run("5s A; 0s VisitStarted; 6s A; end", true), ["* 1"]);
    assert_eq!(run("5s A; 0s VisitStarted; end", false), ["2 1"]);
    assert_eq!(run("0s VisitStarted; 5s A; end", true), ["1 2"]);
    // It has the timestamp of the first event in the log, not of the earliest.
    assert_eq!(run("5s X; 0s A; 6s A; end", true), ["* 3"]);
    // Each instance has its own.
    assert_eq!(run("0s A; 1s VisitEnded; 2s A; end", true), ["* 1", "* 3"]);
}

#[test]
fn final_waits_for_the_horizon_and_early_does_not() {
    let emit = |emit: &str| format!("fire = \"every\"\nemit = \"{emit}\"");
    let check = |query, log, early: &[&str], last: &[&str]| {
        check_rule(query, &emit("early"), log, early);
        check_rule(query, &emit("final"), log, last);
    };
    check("A where true", "0s A; mark 2m", &["1"], &[]);
    check("A where true", "0s A; mark 120001ms", &["1"], &["1"]);
    check(ABSENCE, "0s A; mark 12m", &["1"], &[]);
    check(ABSENCE, "0s A; mark 720001ms", &["1"], &["1"]);
    check("A where true", "0s A; 1s VisitEnded; mark 1s", &["1"], &["1"]);
}

/// With both ends the match is decided at once if no leading event lies within `maxspan` before the
/// last one, else when the watermark passes leading event + `maxspan`.
#[test]
fn missing_at_both_ends_is_decided_at_once_or_later() {
    let query = "sequence with maxspan=10m ![X where true] [A where true] ![Y where true]";
    check(query, "20m A; mark 20m", &["1"]);
    check(query, "9m X; 20m A; mark 20m", &["2"]);
    check(query, "15m X; 20m A; mark 25m", &[]);
    check(query, "15m X; 20m A; mark 1500001ms", &["2"]);
}

#[test]
fn once_takes_what_is_decided_first() {
    // The second is complete at once, the first waits for its deadline.
    let query =
        "sequence by data.k with maxspan=10m ![X where true] [A where true] ![Y where true]";
    let log = |mark: &str| format!("0s X k=u; 1m A k=u; 2m A k=v; mark {mark}");
    assert_eq!(matches(&rule(query, ""), &log("9m")), ["3"]);
    assert_eq!(matches(&rule(query, ""), &log("30m")), ["3"]);
    // At the deadline an event still goes first.
    let log = "0s X k=u; 1m A k=u; 10m A k=v; end";
    assert_eq!(matches(&rule(query, ""), log), ["3"]);
    let log = "0s X k=u; 1m A k=u; 600001ms A k=v; end";
    assert_eq!(matches(&rule(query, ""), log), ["2"]);
}
