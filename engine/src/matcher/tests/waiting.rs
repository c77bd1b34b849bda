//! What waits: missing events at the end, `emit = "final"`, samples and `until`; each at its bound.

use crate::matcher::MatcherConfig;
use crate::matcher::testing::{NONE_MADE_UP, Run, Sample, compiled, list, of_one_partition, text};
use crate::stage::Stage;

const CONFIG: MatcherConfig = MatcherConfig {
    inactivity_ms: Some(10_000),
    rule_partials_max: 2,
    pending_absences_max: 2,
    rule_hits_max: 2,
    ..NONE_MADE_UP
};

fn run(query: &str, more: &str, events: &[(&str, i64)]) -> Run {
    fed(Run::new(&compiled(query, more), CONFIG), events)
}

fn fed(mut run: Run, events: &[(&str, i64)]) -> Run {
    for (name, timestamp) in events {
        // The letters behind the name are the event's category.
        let (name, category) = name.split_at(1);
        run.event(&Sample::new(name, *timestamp).with("category", text(category)));
    }
    run
}

const ABSENCE: &str = "sequence with maxspan=1s [ A where true ] ![ B where true ]";

#[test]
fn a_deadline_fires_with_no_further_event_once_the_watermark_has_passed_it() {
    let mut run = run(ABSENCE, "", &[("A", 0)]);
    assert_eq!(run.matcher.stats().next_timer_ms, Some(901), "in horizon time");
    run.mark(1_000);
    assert!(run.matches().is_empty(), "the watermark is at the deadline, not behind it");
    run.mark(1_001);
    assert_eq!(run.matches(), ["r: 1"]);
    let fact = run.facts()[0];
    assert_eq!((fact.timestamp.0, fact.decided.0, fact.is_visit_open), (0, 1_000, true));
    run.mark(5_000);
    assert_eq!(run.matches().len(), 1);
}

#[test]
fn an_event_at_the_deadline_prevents_and_one_behind_it_does_not() {
    for (at, expected) in [(0, 1), (1, 0), (1_000, 0), (1_001, 1)] {
        let mut run = run(ABSENCE, "", &[("A", 0), ("B", at)]);
        run.mark(5_000);
        assert_eq!(run.matches().len(), expected, "B at {at}");
    }
}

/// Whether by `VisitEnded` or by the end of the input: nothing can come any more.
#[test]
fn closing_a_visit_fulfils_what_is_missing() {
    let mut ended = run(ABSENCE, "", &[("A", 0)]);
    ended.event(&Sample::new("VisitEnded", 1));
    assert_eq!(ended.matches(), ["r: 1"]);
    assert!(!ended.facts()[0].is_visit_open);
    let mut input = run(ABSENCE, "", &[("A", 0)]);
    input.mark(i64::MAX);
    assert_eq!(input.matches(), ["r: 1"]);
    assert_eq!(input.matcher.stats().state_bytes, 0);
}

/// The longest idle of two visits goes when a third opens. What it waits for may still come: only what
/// the watermark has passed is said of it.
#[test]
fn a_visit_that_is_evicted_asserts_only_what_is_known() {
    let config = MatcherConfig { visits_open_max: 1, inactivity_ms: Some(90_000), ..CONFIG };
    let visits = of_one_partition(2);
    for (watermark, emit, said, dropped) in [
        (1_000, "early", vec![], 1),
        (1_001, "early", vec!["r: 1"], 0),
        (1_000, "final", vec![], 1),
        (1_001, "final", vec!["r: 1"], 0),
    ] {
        let mut run = Run::new(&compiled(ABSENCE, &format!("emit = \"{emit}\"")), config);
        run.event(&Sample::new("A", 0).visit(visits[0])).mark(watermark);
        run.event(&Sample::new("X", 1_500).visit(visits[1]));
        assert_eq!(run.matcher.stats().visits_evicted, 1);
        assert_eq!(run.matches(), said, "{emit} at {watermark}");
        assert_eq!(run.matcher.stats().absences_dropped, dropped, "{emit} at {watermark}");
        run.mark(i64::MAX);
        assert_eq!((run.matches().len(), run.matcher.stats().state_bytes), (said.len(), 0));
    }
}

/// What an event decided is known, be it final or not.
#[test]
fn a_visit_that_is_evicted_asserts_what_waits_to_be_final() {
    let config = MatcherConfig { visits_open_max: 1, ..CONFIG };
    let visits = of_one_partition(2);
    let mut run = Run::new(&compiled("A where true", "emit = \"final\""), config);
    run.event(&Sample::new("A", 0).visit(visits[0]));
    assert!(run.matches().is_empty());
    run.event(&Sample::new("X", 0).visit(visits[1]));
    assert_eq!((run.matches(), run.matcher.stats().absences_dropped), (vec!["r: 1".into()], 0));
}

#[test]
fn over_the_bound_the_newest_absence_is_refused() {
    let mut run = run(ABSENCE, "fire = \"every\"", &[("A", 0), ("A", 1), ("A", 2), ("A", 1_001)]);
    assert_eq!(run.matcher.stats().absences_refused, 1, "the first's deadline is past at the last");
    run.mark(9_000);
    assert_eq!(run.matches(), ["r: 1", "r: 2", "r: 4"]);
}

/// Of all keys together as of one; deadlines that have passed count no more.
#[test]
fn over_the_bound_of_a_rule_the_newest_absence_is_refused_whatever_its_key() {
    let query = "sequence by category with maxspan=1s [ A where true ] ![ B where true ]";
    let events = [("Ax", 0), ("Ay", 1), ("Bx", 2), ("Az", 3), ("Aw", 4), ("Av", 1_002)];
    let rules = compiled(query, "fire = \"every\"");
    for (rule_absences_max, more) in [(2, ""), (1, "state_max = 2"), (2, "state_max = 1")] {
        let config = MatcherConfig { rule_absences_max, ..CONFIG };
        let rules = compiled(query, &format!("fire = \"every\"\n{more}"));
        let mut run = fed(Run::new(&rules, config), &events);
        assert_eq!(run.matcher.stats().absences_refused, 1, "that of w");
        run.mark(9_000);
        assert_eq!(run.matches(), ["r: 2", "r: 4", "r: 6"]);
    }
    let mut unlimited = fed(Run::new(&rules, CONFIG), &events);
    unlimited.mark(9_000);
    assert_eq!(unlimited.matches(), ["r: 2", "r: 4", "r: 5", "r: 6"]);
}

/// Of many keys, where they are not looked through.
#[test]
fn a_rule_may_have_as_many_absences_as_its_bound_says() {
    let query = "sequence by category with maxspan=1s [ A where true ] ![ B where true ]";
    let config = MatcherConfig { rule_absences_max: 500, ..CONFIG };
    let mut run = Run::new(&compiled(query, "fire = \"every\""), config);
    for number in 0..600 {
        run.event(&Sample::new("A", 0).with("category", text(&number.to_string())));
    }
    run.event(&Sample::new("B", 1).with("category", text("7")));
    run.event(&Sample::new("A", 2).with("category", text("x")));
    assert_eq!(run.matcher.stats().absences_refused, 100);
    run.mark(9_000);
    let matches = run.matches();
    assert_eq!((matches.len(), &*matches[7], &*matches[499]), (500, "r: 9", "r: 602"));
}

/// Two values of a join key may make one match with two deadlines: it is asserted at the first.
#[test]
fn a_match_that_waits_under_two_keys_is_asserted_once() {
    let query =
        "sequence by category with maxspan=1s ![ A where true ] [ B where true ] ![ C where true ]";
    let mut run = run(query, "fire = \"every\"", &[("Ax", 0), ("Ay", 500)]);
    run.event(&Sample::new("B", 800).with("category", list(&[text("x"), text("y")])));
    for (watermark, matches) in [(1_000, 0), (1_001, 1), (1_501, 1), (9_000, 1)] {
        run.mark(watermark);
        assert_eq!(run.matches(), ["r: 3"][..matches], "at {watermark}");
    }
}

#[test]
fn once_keeps_the_first_that_survives() {
    let mut run = run(ABSENCE, "", &[("A", 0), ("A", 500), ("B", 700), ("A", 800)]);
    run.mark(9_000);
    assert_eq!(run.matches(), ["r: 4"]);
}

#[test]
fn over_the_bound_the_first_decided_is_asserted_before_it_is_final() {
    let more = "fire = \"every\"\nemit = \"final\"";
    let mut run = run("A where true", more, &[("A", 0), ("A", 1)]);
    assert!(run.matches().is_empty());
    run.event(&Sample::new("A", 2));
    assert_eq!((run.matches(), run.matcher.stats().hits_over_limit), (vec!["r: 1".into()], 1));
    run.mark(102);
    assert_eq!(run.matches(), ["r: 1", "r: 2"], "the third is at the horizon");
    run.mark(103);
    assert_eq!(run.matches(), ["r: 1", "r: 2", "r: 3"]);
}

#[test]
fn until_ends_what_is_under_way_under_its_key() {
    let query = "sequence by category [ A where true ] [ B where true ] until [ C where true ]";
    let events = [("Ax", 0), ("Ay", 1), ("Cx", 2), ("Bx", 3), ("By", 4)];
    assert_eq!(run(query, "", &events).matches(), ["r: 2 5"]);
}

#[test]
fn a_missing_event_at_the_start_is_looked_for_one_maxspan_back() {
    let query = "sequence with maxspan=1s ![ A where true ] [ B where true ] [ C where true ]";
    for (at, expected) in [(0, 1), (499, 1), (500, 0), (999, 0), (1_000, 1)] {
        let run = run(query, "", &[("A", at), ("B", 1_000), ("C", 1_500)]);
        assert_eq!(run.matches().len(), expected, "A at {at}");
    }
}

/// Strictly between, by timestamp; the match that is refused has taken its events.
#[test]
fn a_missing_event_between_steps_refuses() {
    let query = "sequence [ A where true ] ![ B where true ] [ C where true ]";
    for (at, expected) in [(0, 1), (1, 0), (2, 1)] {
        let run = run(query, "", &[("A", 0), ("B", at), ("C", 2)]);
        assert_eq!(run.matches().len(), expected, "B at {at}");
    }
    let events = [("A", 0), ("B", 1), ("B", 2), ("C", 3), ("C", 4), ("A", 5), ("C", 6)];
    assert_eq!(run(query, "", &events).matches(), ["r: 6 7"]);
    let runs = "sequence [ A where true ] with runs=2 as one \
                ![ B where category == one.category ] [ C where true ]";
    let events = [("Ax", 0), ("Bx", 1), ("Ax", 2), ("By", 3), ("C", 4)];
    assert_eq!(run(runs, "", &events).matches(), ["r: 1 3 5"]);
    let events = [("Ax", 0), ("Ax", 1), ("Bx", 2), ("C", 3)];
    assert!(run(runs, "", &events).matches().is_empty());
}

/// The key that is forgotten can refuse no longer; that is counted.
#[test]
fn over_the_bound_the_oldest_key_of_a_missing_event_is_forgotten() {
    let query = "sequence by category with maxspan=1s ![ A where true ] [ B where true ]";
    let events = [("Ax", 0), ("Ay", 1), ("Az", 2), ("Bx", 3), ("By", 4), ("Bz", 5)];
    let run = run(query, "fire = \"every\"", &events);
    assert_eq!((run.matches(), run.matcher.stats().partials_dropped), (vec!["r: 4".into()], 1));
}

#[test]
fn a_sample_has_the_earliest_events_in_whatever_order_they_come() {
    let query = "sample by category with maxspan=1s [ A where true ] [ B where true ]";
    let events = [("Bx", 0), ("Bx", 500), ("Ax", 1_001), ("Ax", 1_002), ("Bx", 1_003)];
    let run = run(query, "fire = \"every\"", &events);
    assert_eq!(run.matches(), ["r: 3 2"], "one for each key");
}

#[test]
fn samples_have_bounds() {
    let query = "sample by category [ A where true ] [ B where true ]";
    let keys = [("Ax", 0), ("Ay", 1), ("Az", 2), ("Bx", 3), ("Bz", 4)];
    let run_keys = run(query, "fire = \"every\"", &keys);
    assert_eq!(run_keys.matches(), ["r: 3 5"], "that of x was forgotten for z");
    let query = "sample with maxspan=1s [ A where true ] [ B where true ]";
    let run_events = run(query, "", &[("A", 0), ("A", 1), ("A", 2), ("B", 3)]);
    assert_eq!(run_events.matches(), ["r: 2 4"]);
    for (run, dropped) in [(run_keys, 2), (run_events, 1)] {
        assert_eq!(run.matcher.stats().partials_dropped, dropped);
    }
}
