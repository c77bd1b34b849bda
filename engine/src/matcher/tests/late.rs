//! Late events: what they correct, what they cannot, and each bound.

use crate::matcher::MatcherConfig;
use crate::matcher::testing::{NONE_MADE_UP, Run, Sample, compiled, text};
use crate::model::{ActionFact, Fate, Id};
use crate::stage::{Effect, Stage};

const CONFIG: MatcherConfig =
    MatcherConfig { lateness_ms: 1_000, inactivity_ms: Some(100_000), ..NONE_MADE_UP };

fn run(query: &str, more: &str, config: MatcherConfig) -> Run {
    Run::new(&compiled(query, more), config)
}

fn signed(run: &Run) -> impl Iterator<Item = (&ActionFact, i64)> {
    run.effects.iter().filter_map(|effect| match effect {
        Effect::Match(fact, sign) => Some((&**fact, *sign)),
        _ => None,
    })
}

/// What was said of matches: `+1 2` is found, `-1 2` taken back; the numbers are sequence numbers.
fn said(run: &Run) -> Vec<String> {
    let line = |(fact, sign): (&ActionFact, i64)| {
        let ids = fact.events.iter().map(|id| match &id.0 {
            Id::Bits(bits) => bits.to_string(),
            Id::Text(text) => text.to_string(),
        });
        format!("{}{}", if sign > 0 { '+' } else { '-' }, ids.collect::<Vec<_>>().join(" "))
    };
    signed(run).map(line).collect()
}

const BETWEEN: &str = "sequence [ A where true ] ![ X where true ] [ B where true ]";
const ABSENCE: &str = "sequence with maxspan=500ms [ A where true ] ![ B where true ]";

#[test]
fn a_late_event_makes_a_match_and_another_refutes_it() {
    let mut run = run(BETWEEN, "", CONFIG);
    run.event(&Sample::new("B", 100)).mark(100);
    assert!(said(&run).is_empty());
    run.event(&Sample::new("A", 50)).mark(100);
    assert_eq!(said(&run), ["+2 1"]);
    run.event(&Sample::new("X", 70)).mark(100);
    assert_eq!(said(&run), ["+2 1", "-2 1"]);
    assert_eq!(run.fates(), [Fate::Matched, Fate::PutInPlace, Fate::PutInPlace]);
    let facts: Vec<_> = signed(&run).map(|(fact, _)| fact.clone()).collect();
    assert_eq!(facts[0], facts[1], "the same fact with the opposite sign");
    let stats = run.matcher.stats();
    assert_eq!((stats.events_late, stats.matches, stats.matches_retracted), (2, 1, 1));
}

#[test]
fn one_epoch_evaluates_once_and_says_the_difference() {
    let mut run = run(BETWEEN, "", CONFIG);
    run.event(&Sample::new("A", 10)).event(&Sample::new("B", 100)).mark(100);
    // A nearer A takes the place of the first, an X before it changes nothing.
    run.event(&Sample::new("X", 20)).event(&Sample::new("A", 30)).event(&Sample::new("C", 5));
    assert_eq!(said(&run), ["+1 2"], "nothing is said before the epoch ends");
    run.mark(100);
    assert_eq!(said(&run), ["+1 2", "-1 2", "+4 2"]);
}

/// The event comes in the order of its visit, but the deadline has decided.
#[test]
fn a_deadline_that_has_fired_is_taken_back_within_the_lateness() {
    for (at, expected) in [(500, vec!["+1", "-1"]), (501, vec!["+1"])] {
        let mut run = run(ABSENCE, "", CONFIG);
        run.event(&Sample::new("A", 0)).mark(501);
        assert_eq!(said(&run), ["+1"]);
        run.event(&Sample::new("B", at)).mark(502);
        assert_eq!(said(&run), expected, "B at {at}");
    }
}

/// A late event leaves a match as it is, but now a deadline decides it, which has passed already:
/// still another event may prevent it.
#[test]
fn a_match_that_a_late_event_made_wait_is_decided_anew() {
    for (at, is_taken_back) in [(600, true), (601, false)] {
        let query =
            "sequence with maxspan=500ms ![ L where true ] [ A where true ] ![ B where true ]";
        let mut run = run(query, "", CONFIG);
        run.event(&Sample::new("A", 300)).mark(301);
        run.event(&Sample::new("L", 100)).mark(700);
        assert_eq!(said(&run), ["+1", "-1", "+1"], "said once more, with the new time");
        let decided: Vec<i64> = signed(&run).map(|(fact, _)| fact.decided.0).collect();
        assert_eq!(decided, [300, 300, 600]);
        run.event(&Sample::new("B", at)).mark(701);
        assert_eq!(said(&run).len(), if is_taken_back { 4 } else { 3 }, "B at {at}");
    }
}

#[test]
fn what_lies_before_the_horizon_stays() {
    let mut run = run(ABSENCE, "", CONFIG);
    run.event(&Sample::new("A", 0)).mark(1_400).event(&Sample::new("B", 399)).mark(1_400);
    assert_eq!((said(&run), run.fates()[1]), (vec!["+1".into()], Fate::BeforeHorizon));
    run.event(&Sample::new("B", 400)).mark(1_400);
    assert_eq!(said(&run), ["+1", "-1"]);
}

/// `once`: the match that was decided first, whenever that is known.
#[test]
fn a_rule_that_fired_once_fires_for_another_match_if_that_was_first() {
    let mut run = run("A where true", "", CONFIG);
    run.event(&Sample::new("A", 100)).mark(100).event(&Sample::new("A", 50)).mark(100);
    assert_eq!(said(&run), ["+1", "-1", "+2"]);
    let actions: Vec<_> = signed(&run).map(|(fact, _)| fact.action).collect();
    assert!(actions.iter().all(|action| *action == actions[0]), "one action, corrected");
}

/// What is said of a visit is said of one visitor, or a correction would not meet what it corrects.
#[test]
fn a_correction_is_of_the_visitor_of_the_first_match() {
    let mut run = run("A where true", "", CONFIG);
    run.event(&Sample::new("A", 100)).mark(100);
    run.event(&Sample::new("A", 50).visitor(7)).mark(100);
    assert_eq!(said(&run), ["+1", "-1", "+2"]);
    assert!(signed(&run).all(|(fact, _)| fact.visitor.is_none()));
}

#[test]
fn a_final_match_is_never_taken_back() {
    let mut run = run(BETWEEN, "emit = \"final\"", CONFIG);
    run.event(&Sample::new("A", 10)).event(&Sample::new("B", 100)).mark(1_100);
    run.event(&Sample::new("X", 100)).mark(1_100);
    assert!(said(&run).is_empty(), "the horizon is at its last event");
    run.mark(1_101);
    assert_eq!(said(&run), ["+1 2"]);
}

/// The third event of two that are kept leaves for the state before them.
#[test]
fn what_left_counts_and_what_sorts_before_the_kept_is_not_correctable() {
    let config = MatcherConfig { visit_events_max: 2, ..CONFIG };
    let mut run = run("sequence [ A where true ] [ B where true ]", "fire = \"every\"", config);
    run.event(&Sample::new("A", 10)).event(&Sample::new("C", 20)).event(&Sample::new("C", 40));
    run.event(&Sample::new("A", 15)).mark(40);
    assert_eq!(run.fates()[3], Fate::NotCorrectable);
    assert_eq!(run.matcher.stats().events_not_correctable, 1);
    run.event(&Sample::new("B", 30)).mark(40);
    assert_eq!(said(&run), ["+1 5"], "the A that left is remembered");
    // The matches of events that left stand: the B leaves, then its rule is evaluated again.
    for at in [50, 60] {
        run.event(&Sample::new("C", at));
    }
    run.event(&Sample::new("B", 55)).mark(60);
    assert_eq!(said(&run), ["+1 5"]);
}

#[test]
fn a_visit_that_ends_is_corrected_first() {
    let mut run = run(BETWEEN, "", CONFIG);
    run.event(&Sample::new("A", 10)).event(&Sample::new("B", 100));
    run.event(&Sample::new("X", 50)).event(&Sample::new("VisitEnded", 200)).mark(200);
    assert_eq!(said(&run), ["+1 2", "-1 2"]);
    assert_eq!((run.matcher.stats().visits_open, run.matcher.stats().state_bytes), (0, 0));
}

/// The state before the events that a visit keeps is saved with it.
#[test]
fn a_restarted_visit_is_corrected_from_before_its_kept_events() {
    let (rules, config) = (compiled(BETWEEN, ""), MatcherConfig { visit_events_max: 2, ..CONFIG });
    let mut run = Run::new(&rules, config);
    run.event(&Sample::new("A", 10)).event(&Sample::new("C", 20)).event(&Sample::new("C", 40));
    run.event(&Sample::new("C", 60)).mark(60).restart(&rules, config);
    // The A is kept no more; an X behind it is late, and the B then too.
    run.event(&Sample::new("B", 50)).mark(60);
    assert_eq!(said(&run), ["+1 5"]);
    assert_eq!(run.matcher.stats().visits_open, 1);
}

#[test]
fn a_restarted_visit_knows_how_many_events_it_had() {
    let (rules, config) =
        (compiled(BETWEEN, ""), MatcherConfig { visit_events_matched_max: 1, ..CONFIG });
    let mut run = Run::new(&rules, config);
    run.event(&Sample::new("A", 10)).mark(10).restart(&rules, config);
    run.event(&Sample::new("B", 20));
    assert_eq!(run.fates(), [Fate::Matched, Fate::OverVisitLimit]);
}

/// What is final because of `rule_hits_max` stays final.
#[test]
fn a_restarted_visit_keeps_what_is_final_over_the_bound() {
    let config = MatcherConfig { rule_hits_max: 2, ..CONFIG };
    let rules = compiled(BETWEEN, "fire = \"every\"");
    let mut run = Run::new(&rules, config);
    for at in [0, 100, 200] {
        run.event(&Sample::new("A", at)).event(&Sample::new("B", at + 50));
    }
    run.mark(250).restart(&rules, config);
    // All three are found again.
    run.event(&Sample::new("X", 75)).mark(250);
    assert_eq!(said(&run), ["+1 2", "+3 4", "+5 6"], "that of 1 and 2 is not said again");
}

/// Over the bound the first decided is final: a late event before it changes nothing.
#[test]
fn over_the_bound_the_oldest_match_is_final() {
    let config = MatcherConfig { rule_hits_max: 2, ..CONFIG };
    let mut run = run(BETWEEN, "fire = \"every\"", config);
    for at in [0, 100, 200] {
        run.event(&Sample::new("A", at)).event(&Sample::new("B", at + 50));
    }
    run.mark(250);
    assert_eq!(run.matcher.stats().hits_over_limit, 1);
    for at in [25, 125, 225] {
        run.event(&Sample::new("X", at).with("category", text("late")));
    }
    run.mark(250);
    assert_eq!(said(&run)[3..], ["-3 4", "-5 6"], "that of 1 and 2 stands");
}
