//! `emit = "early"`: when a match is said, and what takes it back.

use super::*;

const BETWEEN: &str =
    "sequence with maxspan=1m [ A where true ] ![ X where true ] [ B where true ]";
const ABSENCE: &str = "sequence with maxspan=300ms [A where true] ![B where true]";

impl Run {
    /// What was said: `+1 2` is found, `-1 2` taken back; the numbers are those of events.
    fn lines(&self) -> Vec<String> {
        let line = |(fact, sign): &(ActionFact, i64)| {
            let ids: Vec<String> = ids(fact).iter().map(u128::to_string).collect();
            format!("{}{}", if *sign > 0 { '+' } else { '-' }, ids.join(" "))
        };
        self.said.iter().map(line).collect()
    }
}

fn sample(name: &str, time: i64) -> Sample {
    Sample::new(name, time).visitor(7)
}

#[test]
fn a_match_is_said_with_its_last_event() {
    let mut run = Run::one(AB, VISITOR);
    run.event(&sample("A", 40)).mark(0);
    run.event(&sample("B", 50).visit(2)).mark(0);
    assert_eq!(run.lines(), ["+1 2"], "whatever the watermark");
    let fact = &run.said[0].0;
    assert_eq!(fact.window, WindowKey::Visitor(visitor(7)));
    assert_eq!((&fact.visit, fact.instance), (&VisitId(Id::Bits(2)), Instance(LogSeq(2))));
    assert_eq!((fact.is_visit_open, fact.decided), (true, EventTimeMs(50)));
    run.mark(10_000);
    assert_eq!(run.lines(), ["+1 2"], "not once more when it is final");
    assert_eq!(run.wide.stats().stage.matches, 1);
}

#[test]
fn a_deadline_is_decided_by_the_watermark() {
    let mut run = Run::one(ABSENCE, VISITOR);
    run.event(&sample("A", 0)).mark(50);
    assert_eq!((run.lines().len(), run.wide.stats().due), (0, Some(EventTimeMs(101))));
    run.mark(300);
    assert_eq!(run.lines(), <[&str; 0]>::default());
    assert_eq!(run.wide.stats().due, Some(EventTimeMs(301)), "the event is in the base");
    run.mark(301);
    assert_eq!(run.lines(), ["+1"]);
    assert_eq!(run.wide.stats().due, Some(EventTimeMs(401)), "then it is final");
    run.mark(401);
    assert_eq!((run.lines().len(), run.wide.stats().due), (1, None));
}

#[test]
fn a_late_event_makes_a_match_and_another_refutes_it() {
    let mut run = Run::one(BETWEEN, VISITOR);
    run.event(&sample("B", 50).visit(2)).mark(60);
    run.event(&sample("A", 40)).mark(60);
    assert_eq!(run.lines(), ["+2 1"]);
    run.event(&sample("X", 45).visit(3)).mark(60);
    assert_eq!(run.lines(), ["+2 1", "-2 1"]);
    assert_eq!(run.said[0].0, run.said[1].0, "the same fact with the opposite sign");
    let stats = run.wide.stats().stage;
    assert_eq!((stats.matches, stats.matches_retracted), (1, 1));
    run.mark(10_000);
    assert_eq!(run.lines().len(), 2, "and so it stays");
}

#[test]
fn what_comes_in_one_epoch_is_tried_in_its_order() {
    let mut run = Run::one(BETWEEN, VISITOR);
    run.event(&sample("B", 50)).event(&sample("A", 40).visit(2)).mark(60);
    run.event(&sample("B", 90)).event(&sample("X", 85)).event(&sample("A", 80).visit(2)).mark(100);
    assert_eq!(run.lines(), ["+2 1"]);
}

/// The event comes in the order of its window, but the deadline has decided.
#[test]
fn a_deadline_that_has_fired_is_taken_back_within_the_lateness() {
    for (at, expected) in [(300, vec!["+1", "-1"]), (301, vec!["+1"])] {
        let mut run = Run::one(ABSENCE, VISITOR);
        run.event(&sample("A", 0)).mark(350);
        assert_eq!(run.lines(), ["+1"]);
        run.event(&sample("B", at).visit(2)).mark(360);
        assert_eq!(run.lines(), expected, "B at {at}");
        run.mark(10_000);
        assert_eq!(run.lines(), expected, "B at {at}");
    }
}

#[test]
fn once_is_for_the_match_that_was_first_and_one_action_is_corrected() {
    let mut run = Run::one("A where true", "window = \"visitor\"");
    run.event(&sample("A", 50)).mark(60).event(&sample("A", 40).visit(2)).mark(60);
    assert_eq!(run.lines(), ["+1", "-1", "+2"]);
    assert!(run.said.iter().all(|(fact, _)| fact.action == run.said[0].0.action));
    run.mark(10_000).event(&sample("A", 10_000)).mark(20_000);
    assert_eq!(run.lines(), ["+1", "-1", "+2"], "and it stays done");
}

/// Each event is a match by itself: no other is looked at.
#[test]
fn a_late_event_that_is_a_match_by_itself_is_said() {
    for window_events_max in [1_000, 2] {
        let config = MatcherConfig { window_events_max, ..NONE_MADE_UP };
        let mut run = Run::new(&[("A where true", VISITOR), (AB, VISITOR)], config);
        run.event(&sample("A", 50)).event(&sample("B", 60)).mark(60);
        run.event(&sample("A", 55)).event(&sample("A", 52).visit(2)).mark(60);
        let alone = run.said.iter().filter(|(fact, _)| &*fact.rule == "r0");
        let mut alone: Vec<_> = alone.map(|(fact, sign)| (ids(fact), *sign)).collect();
        alone.sort_unstable();
        assert_eq!(alone, [(vec![1], 1), (vec![3], 1), (vec![4], 1)]);
        run.mark(10_000);
        assert_eq!(run.said.iter().filter(|(fact, _)| &*fact.rule == "r0").count(), 3);
    }
}

/// What is said of an action is said of one visit, or a correction would not meet what it corrects.
#[test]
fn a_correction_is_of_the_visit_that_had_the_action() {
    let mut run = Run::one("A where true", "window = \"site\"");
    run.event(&sample("A", 50)).mark(60);
    run.event(&Sample::new("A", 40).visit(2).visitor(8)).mark(60);
    assert_eq!(run.lines(), ["+1", "-1", "+2"]);
    let of = |(fact, _): &(ActionFact, i64)| (fact.visit.clone(), fact.visitor.clone());
    assert!(run.said.iter().all(|one| of(one) == of(&run.said[0])), "{:?}", run.said);
}

#[test]
fn a_final_match_waits_and_is_never_taken_back() {
    let mut run = Run::one(BETWEEN, FINAL);
    run.event(&sample("B", 50).visit(2)).mark(60).event(&sample("A", 40)).mark(60);
    run.event(&sample("X", 45).visit(3)).mark(10_000);
    assert_eq!(run.lines(), <[&str; 0]>::default());
}

#[test]
fn the_end_of_a_visit_counts_from_the_next_epoch() {
    let mut run = Run::one(AB, VISITOR);
    run.event(&sample("A", 0)).event(&sample("B", 10)).event(&sample("VisitEnded", 10)).mark(20);
    // A second B of the visit that is over, whose match comes with a late A.
    run.event(&sample("A", 20).visit(2)).mark(20);
    run.event(&sample("B", 30).visit(3)).event(&sample("VisitEnded", 31).visit(3)).mark(40);
    run.event(&sample("A", 25).visit(4)).mark(40);
    let said = run.said.iter().map(|(fact, sign)| (ids(fact), *sign, fact.is_visit_open));
    let expected = [
        (vec![1, 2], 1, true),
        (vec![4, 5], 1, true),
        (vec![4, 5], -1, true),
        (vec![7, 5], 1, false),
    ];
    assert_eq!(said.collect::<Vec<_>>(), expected);
}

#[test]
fn over_window_events_max_what_moved_up_is_final() {
    let config = MatcherConfig { window_events_max: 2, ..NONE_MADE_UP };
    let mut run = Run::new(&[(BETWEEN, VISITOR)], config);
    run.event(&sample("A", 10)).event(&sample("B", 20)).mark(30);
    run.event(&sample("A", 30)).event(&sample("A", 31)).mark(40);
    assert_eq!(run.lines(), ["+1 2"]);
    run.event(&sample("X", 15)).mark(40);
    assert_eq!(run.lines(), ["+1 2"], "B is in the base");
    assert_eq!(run.wide.stats().events_not_correctable, 1);
    // More than one may have in one epoch: each was tried on the head before.
    run.event(&sample("B", 32)).event(&sample("A", 33)).event(&sample("B", 34));
    run.event(&sample("A", 35)).event(&sample("B", 36)).mark(40);
    assert_eq!(run.lines(), ["+1 2", "+4 6", "+7 8", "+9 10"]);
    run.mark(10_000);
    assert_eq!(run.lines().len(), 4);
}

#[test]
fn what_moved_up_stands_when_its_rule_is_tried_again() {
    let config = MatcherConfig { window_events_max: 2, ..NONE_MADE_UP };
    let mut run = Run::new(&[(AB, VISITOR)], config);
    run.event(&sample("A", 10)).event(&sample("B", 20)).mark(20);
    run.event(&sample("A", 30)).event(&sample("A", 40)).mark(40);
    run.event(&sample("A", 35)).mark(40);
    assert_eq!(run.lines(), ["+1 2"]);
}

#[test]
fn what_moves_up_while_its_rule_waits_to_be_tried_again_is_said() {
    let config = MatcherConfig { window_events_max: 2, ..NONE_MADE_UP };
    let mut run = Run::new(&[(AB, VISITOR)], config);
    run.event(&sample("A", 10)).event(&sample("A", 30)).mark(30);
    run.event(&sample("B", 20)).event(&sample("A", 40)).mark(40);
    assert_eq!(run.lines(), ["+1 3"]);
    run.event(&sample("A", 35)).mark(40).mark(10_000);
    assert_eq!(run.lines(), ["+1 3"]);
}

#[test]
fn over_rule_hits_max_the_first_match_is_final() {
    let config = MatcherConfig { rule_hits_max: 1, ..NONE_MADE_UP };
    let mut run = Run::new(&[(BETWEEN, VISITOR)], config);
    run.event(&sample("A", 10)).event(&sample("B", 20)).mark(50);
    run.event(&sample("A", 30)).event(&sample("B", 40)).mark(50);
    assert_eq!(run.wide.stats().stage.hits_over_limit, 1);
    run.event(&sample("X", 15)).event(&sample("X", 35)).mark(50);
    assert_eq!(run.lines(), ["+1 2", "+3 4", "-3 4"]);
    run.mark(10_000);
    assert_eq!(run.lines().len(), 3);
}

#[test]
fn a_window_that_is_forgotten_said_what_came_before() {
    let config = MatcherConfig { windows_max: 1, ..NONE_MADE_UP };
    let mut run = Run::new(&[("A where true", VISITOR)], config);
    for number in 0..1_000 {
        run.event(&Sample::new("A", 0).visit(number).visitor(number));
    }
    run.mark(0);
    assert_eq!(run.lines().len(), 1_000);
}

/// A visitor's window stays for weeks: what is under way in it is there once.
#[test]
fn where_nothing_waits_the_state_is_there_once() {
    let mut held = Vec::new();
    for keys in [VISITOR, FINAL] {
        let mut run = Run::one("sequence with maxspan=7d [A where true] [B where true]", keys);
        run.event(&sample("A", 0)).mark(50);
        let waiting = run.wide.stats().stage.state_bytes;
        run.mark(101);
        let bytes = run.wide.stats().stage.state_bytes;
        assert!(bytes < waiting);
        held.push(bytes);
        run.event(&sample("B", 5_000)).mark(10_000);
        assert_eq!(run.lines(), ["+1 2"]);
    }
    assert_eq!(held[0], held[1]);
}

#[test]
fn other_rules_keep_what_they_have_when_an_event_comes_between() {
    let rules =
        [(BETWEEN, VISITOR), ("sequence with maxspan=1m [C where true] [D where true]", VISITOR)];
    let mut run = Run::new(&rules, NONE_MADE_UP);
    run.event(&sample("B", 20)).event(&sample("C", 30)).mark(40);
    // The ordinal of C moves up.
    run.event(&sample("A", 10)).mark(40).event(&sample("D", 40)).mark(50);
    assert_eq!(run.lines(), ["+3 1", "+2 4"]);
    run.mark(10_000);
    assert_eq!(run.lines().len(), 2);
}

#[test]
fn a_match_of_a_rule_that_is_gone_stands() {
    let all = rules(&[(BETWEEN, VISITOR), ("X where true", VISITOR)]);
    let mut run = Run::new(&[(BETWEEN, VISITOR)], NONE_MADE_UP);
    run.event(&sample("A", 10)).event(&sample("B", 20)).mark(20);
    run.deploy(&placed(&all, &[false, true]), &[0]);
    run.event(&sample("X", 15)).mark(20);
    assert_eq!(run.lines(), ["+1 2", "+3"]);
}
