//! Visits: what opens, extends and ends them, and what becomes of each event.

use crate::matcher::MatcherConfig;
use crate::matcher::testing::{
    NONE_MADE_UP, Run, Sample, is_made_up, map, of_one_partition, rule, rule_set, step, text,
};
use crate::model::{
    CloseReason, EventTimeMs, Fate, Flags, Id, Instance, LogSeq, LoggedEvent, PackedEvent,
    VisitChange, VisitScope, VisitorId,
};
use crate::stage::Stage;
use std::collections::BTreeMap;

fn run(config: MatcherConfig) -> Run {
    Run::new(&rule_set(vec![rule("any", &[step("any")])]), config)
}

fn closed(run: &Run) -> Vec<(Instance, CloseReason, u64)> {
    let closed = run.visits().into_iter().filter_map(|row| match row.change {
        VisitChange::Closed(reason) => Some((row.instance, reason, row.events)),
        VisitChange::Opened { .. } => None,
    });
    closed.collect()
}

/// Whether each visit that opened was known to have ended.
fn resumed(run: &Run) -> Vec<bool> {
    let opened = run.visits().into_iter().filter_map(|row| match row.change {
        VisitChange::Opened { resumed } => Some(resumed),
        VisitChange::Closed(_) => None,
    });
    opened.collect()
}

fn instance(seq: u64) -> Instance {
    Instance(LogSeq(seq))
}

/// Who shows neither the visit's secret nor a server key only knows its id.
#[test]
fn an_unproven_end_is_an_event_like_others() {
    let mut run = run(NONE_MADE_UP);
    run.event(&Sample::new("A", 0)).event(&Sample::new("VisitEnded", 5).flags(Flags::UNPROVEN));
    assert_eq!(run.fates(), [Fate::Matched; 2]);
    assert!(closed(&run).is_empty());
}

#[test]
fn a_visit_ends_once_the_horizon_has_passed_its_inactivity() {
    let mut run = run(NONE_MADE_UP);
    run.event(&Sample::new("A", 0)).event(&Sample::new("A", 500));
    assert_eq!(run.matcher.stats().next_timer_ms, Some(1_001), "a lower bound");
    run.mark(1_600);
    assert_eq!(closed(&run), [], "the horizon is 1,500: at the deadline, not behind it");
    assert_eq!(run.matcher.stats().next_timer_ms, Some(1_501));
    run.mark(1_601);
    assert_eq!(closed(&run), [(instance(1), CloseReason::Inactive, 2)]);
    assert_eq!(run.matcher.stats().visits_open, 0);
    assert_eq!(run.matcher.stats().state_bytes, 0);
    assert_eq!(run.matcher.stats().next_timer_ms, None);
}

#[test]
fn an_event_after_the_end_opens_a_new_instance_that_is_resumed() {
    let mut run = run(NONE_MADE_UP);
    run.event(&Sample::new("A", 0)).mark(2_000);
    run.event(&Sample::new("A", 2_000)).event(&Sample::new("A", 2_000).visit(2));
    let opened: Vec<_> = run
        .visits()
        .into_iter()
        .filter_map(|row| match row.change {
            VisitChange::Opened { resumed } => Some((row.instance, resumed, row.events)),
            VisitChange::Closed(_) => None,
        })
        .collect();
    assert_eq!(opened, [(instance(1), false, 1), (instance(2), true, 1), (instance(3), false, 1)]);
}

#[test]
fn the_end_of_input_ends_every_visit() {
    let mut run = run(MatcherConfig { inactivity_ms: None, ..NONE_MADE_UP });
    run.event(&Sample::new("A", 0)).mark(i64::MAX - 1);
    assert_eq!(closed(&run), [], "without inactivity a visit lasts");
    run.mark(i64::MAX);
    assert_eq!(closed(&run), [(instance(1), CloseReason::EndOfInput, 1)]);
}

#[test]
fn visit_ended_is_matched_and_then_ends_the_visit() {
    let mut run = run(NONE_MADE_UP);
    run.event(&Sample::new("A", 0)).event(&Sample::new("VisitEnded", 5));
    run.event(&Sample::new("A", 6)).mark(0);
    assert_eq!(closed(&run), [(instance(1), CloseReason::Ended, 2)]);
    assert_eq!(run.matches(), ["any: 1", "any: 2", "any: 3"]);
    assert_eq!(run.facts()[2].instance, instance(3));
}

#[test]
fn events_are_late_by_what_their_visit_saw_and_by_the_horizon() {
    let mut run = run(NONE_MADE_UP);
    run.event(&Sample::new("A", 200).tie(1));
    run.event(&Sample::new("A", 200));
    run.event(&Sample::new("A", 199));
    run.event(&Sample::new("A", 200).tie(1));
    run.event(&Sample::new("A", 100).visit(2)).mark(250);
    run.event(&Sample::new("A", 149).visit(2)).event(&Sample::new("A", 149).visit(3));
    run.event(&Sample::new("A", 150).visit(3));
    assert_eq!(
        run.fates(),
        [
            Fate::Matched,
            Fate::PutInPlace,
            Fate::PutInPlace,
            Fate::Matched,
            Fate::Matched,
            Fate::BeforeHorizon,
            Fate::BeforeHorizon,
            Fate::Matched,
        ]
    );
    let instances: Vec<_> = run.rows().map(|row| row.instance.map(|it| it.0.0)).collect();
    assert_eq!(instances, [1, 1, 1, 1, 5, 5, 0, 8].map(|seq| (seq > 0).then_some(seq)));
    assert_eq!(run.matches(), ["any: 1", "any: 5", "any: 3", "any: 2", "any: 4", "any: 8"]);
    assert_eq!(run.matcher.stats().events_late, 4);
    assert_eq!(run.matcher.stats().events_matched, 6);
    run.mark(i64::MAX);
    let events: BTreeMap<_, _> =
        closed(&run).into_iter().map(|(instance, _, events)| (instance, events)).collect();
    assert_eq!(
        events.into_values().collect::<Vec<_>>(),
        [4, 2, 1],
        "a late event counts, where it has a visit"
    );
}

#[test]
fn the_horizon_never_goes_back() {
    let mut run = run(NONE_MADE_UP);
    run.event(&Sample::new("A", 1_000)).mark(1_000).mark(500);
    run.event(&Sample::new("A", 899)).event(&Sample::new("A", 900).visit(2));
    assert_eq!(run.fates(), [Fate::Matched, Fate::BeforeHorizon, Fate::Matched]);
}

#[test]
fn a_late_event_stamps_a_visit_in_log_order_and_does_not_extend_it() {
    let mut run = run(NONE_MADE_UP);
    run.event(&Sample::new("A", 100));
    run.event(&Sample::new("SignIn", 99).data("userID", text("ada")));
    run.event(&Sample::new("A", 101)).mark(1_201);
    let users: Vec<_> = run.rows().map(|row| row.identity.user.as_deref()).collect();
    assert_eq!(users, [None, Some("ada"), Some("ada")]);
    assert_eq!(closed(&run), []);
    run.mark(1_202);
    assert_eq!(closed(&run), [(instance(1), CloseReason::Inactive, 3)]);
}

#[test]
fn a_missing_start_is_made_up_and_seen_by_rules() {
    let rules = rule_set(vec![rule("landing", &[step("VisitStarted"), step("PageEntered")])]);
    let mut run = Run::new(&rules, MatcherConfig { makes_visit_started: true, ..NONE_MADE_UP });
    run.event(&Sample::new("PageEntered", 10).visitor(4));
    assert_eq!(run.matches(), ["landing: * 1"]);
    let made_up: Vec<_> = run.rows().filter(|row| is_made_up(row)).collect();
    let [made_up] = made_up.as_slice() else { panic!("one start is made up") };
    assert_eq!((made_up.seq, made_up.fate), (LogSeq(1), Fate::Matched));
    assert_eq!(made_up.instance, Some(instance(1)));
    let view = made_up.event.view().expect("packed by the matcher");
    assert_eq!((view.name, view.timestamp), ("VisitStarted", EventTimeMs(10)));
    assert_eq!(run.visits()[0].events, 1, "what is made up is not counted");
}

#[test]
fn a_real_start_behind_a_made_up_one_is_superseded() {
    let config = MatcherConfig { makes_visit_started: true, ..NONE_MADE_UP };
    let mut run = run(config);
    run.event(&Sample::new("A", 10));
    run.event(&Sample::new("VisitStarted", 9)).event(&Sample::new("VisitStarted", 11));
    run.event(&Sample::new("VisitStarted", 10).visit(2));
    run.event(&Sample::new("VisitStarted", 11).visit(2));
    assert_eq!(
        run.fates(),
        [Fate::Matched, Fate::Superseded, Fate::Superseded, Fate::Matched, Fate::Matched,]
    );
    assert_eq!(run.matches(), ["any: *", "any: 1", "any: 4", "any: 5"]);
    run.mark(1_111);
    assert_eq!(closed(&run), [], "a superseded one makes the visit last longer");
    run.mark(1_112);
    assert_eq!(closed(&run).len(), 2);
}

#[test]
fn unproven_events_open_no_visit() {
    let mut run = run(NONE_MADE_UP);
    run.event(&Sample::new("A", 0).flags(Flags::UNPROVEN.with(Flags::RECORD_ONLY)));
    assert_eq!(run.fates(), [Fate::Unproven]);
    run.event(&Sample::new("A", 0).flags(Flags::UNPROVEN));
    assert_eq!(run.fates(), [Fate::Unproven, Fate::Matched]);
    assert_eq!(run.visits()[0].instance, instance(2));
}

#[test]
fn what_cannot_be_read_is_recorded() {
    let rules =
        vec![rule("deep", &[step("A").equals("data.x", beckon_rules::ast::Literal::Int(1))])];
    let mut run = Run::new(&rule_set(rules), NONE_MADE_UP);
    let whole = Sample::new("A", 0).with("data", map(&[("x", text("y"))])).pack(1);
    for length in 0..whole.event.as_bytes().len() {
        let seq = LogSeq(length as u64 + 1);
        let event = PackedEvent::from_bytes(&whole.event.as_bytes()[..length]);
        run.logged(&LoggedEvent { seq, event });
    }
    assert!(run.fates().iter().all(|fate| *fate == Fate::Unreadable), "{:?}", run.fates());
    assert_eq!(run.visits(), Vec::<&crate::model::VisitRow>::new());
    assert_eq!(run.matcher.stats().events_unreadable, run.fates().len() as u64);
}

#[test]
fn events_over_the_limit_of_a_visit_are_recorded() {
    let mut run = run(MatcherConfig { visit_events_matched_max: 2, ..NONE_MADE_UP });
    for timestamp in 0..3 {
        run.event(&Sample::new("A", timestamp));
    }
    run.event(&Sample::new("SignIn", 3).data("userID", text("ada")));
    run.event(&Sample::new("VisitEnded", 4));
    let over = Fate::OverVisitLimit;
    assert_eq!(run.fates(), [Fate::Matched, Fate::Matched, over, over, over]);
    assert_eq!(run.matches(), ["any: 1", "any: 2"]);
    assert_eq!(run.matcher.stats().events_over_limit, 3);
    assert_eq!(closed(&run), [(instance(1), CloseReason::Ended, 5)]);
    assert_eq!(run.visits()[1].identity.user.as_deref(), Some("ada"));
}

/// One that came too late for its place counts too: how many come is all that the limit is about.
#[test]
fn an_event_that_is_not_correctable_counts_against_the_limit_of_a_visit() {
    let config = MatcherConfig { visit_events_matched_max: 2, visit_events_max: 1, ..NONE_MADE_UP };
    let mut run = run(config);
    run.event(&Sample::new("A", 5)).event(&Sample::new("A", 1)).event(&Sample::new("A", 9));
    let fates = [Fate::Matched, Fate::NotCorrectable, Fate::OverVisitLimit];
    assert_eq!(run.fates(), fates);
}

#[test]
fn a_made_up_start_does_not_count_against_the_limit_of_a_visit() {
    let config =
        MatcherConfig { visit_events_matched_max: 1, makes_visit_started: true, ..NONE_MADE_UP };
    let mut run = run(config);
    run.event(&Sample::new("A", 0)).event(&Sample::new("A", 1));
    assert_eq!(run.fates(), [Fate::Matched, Fate::OverVisitLimit]);
    assert_eq!(run.matches(), ["any: *", "any: 1"]);
}

#[test]
fn a_visit_has_the_visitor_that_its_events_name_last() {
    let mut run = run(NONE_MADE_UP);
    run.event(&Sample::new("A", 0).visitor(1)).event(&Sample::new("A", 1).visitor(2));
    run.event(&Sample::new("VisitEnded", 2));
    let visitors: Vec<_> = run.visits().iter().map(|row| row.visitor.clone()).collect();
    assert_eq!(visitors, [1, 2].map(|visitor| Some(VisitorId(Id::Bits(visitor)))));
}

#[test]
fn over_the_limit_of_open_visits_the_longest_idle_of_the_partition_goes() {
    let mut run = run(MatcherConfig { visits_open_max: 256, ..NONE_MADE_UP });
    let mut seen = [const { Vec::new() }; 256];
    for visit in 1..=2_000_u64 {
        let sample = Sample::new("A", 0).visit(u128::from(visit));
        let id = &sample.0.visit;
        seen[usize::from(crate::model::partition_of("shop", id).0)].push(visit);
        run.event(&sample);
    }
    let last: Vec<u64> = seen.iter().filter_map(|visits| visits.last().copied()).collect();
    let evicted = closed(&run);
    assert_eq!(run.matcher.stats().visits_open, last.len() as u64);
    assert_eq!(run.matcher.stats().visits_evicted, 2_000 - last.len() as u64);
    assert_eq!(evicted.len(), 2_000 - last.len());
    assert!(evicted.iter().all(|(_, reason, _)| *reason == CloseReason::Evicted));
    assert!(evicted.iter().all(|(instance, ..)| !last.contains(&instance.0.0)));
}

/// 257 visits are two for each partition: a share is rounded up.
#[test]
fn over_the_limit_of_closed_visits_the_one_that_ended_first_is_forgotten() {
    let mut run = run(MatcherConfig { closed_visits_max: 257, ..NONE_MADE_UP });
    let visits = of_one_partition(3);
    run.event(&Sample::new("A", 0).visit(visits[0])).mark(2_000);
    run.event(&Sample::new("VisitEnded", 2_000).visit(visits[1]));
    assert_eq!(run.matcher.stats().closed_visits_forgotten, 0, "two are remembered");
    run.event(&Sample::new("VisitEnded", 2_000).visit(visits[2]));
    assert_eq!(run.matcher.stats().closed_visits_forgotten, 1);
    for visit in visits {
        run.event(&Sample::new("A", 2_000).visit(visit));
    }
    assert_eq!(resumed(&run), [false, false, false, false, true, true]);
}

#[test]
fn a_visit_that_was_evicted_is_remembered() {
    let mut run = run(MatcherConfig { visits_open_max: 256, ..NONE_MADE_UP });
    let visits = of_one_partition(2);
    for visit in [visits[0], visits[1], visits[0]] {
        run.event(&Sample::new("A", 0).visit(visit));
    }
    assert_eq!(resumed(&run), [false, false, true]);
    assert_eq!(run.matcher.stats().closed_visits_forgotten, 0);
}

/// 257 visits are two for each partition: a share is rounded up.
#[test]
fn as_many_visits_are_open_in_a_partition_as_its_share_allows() {
    let mut run = run(MatcherConfig { visits_open_max: 257, ..NONE_MADE_UP });
    let visits = of_one_partition(3);
    for (timestamp, visit) in [(5, visits[0]), (4, visits[1])] {
        run.event(&Sample::new("A", timestamp).visit(visit));
    }
    assert_eq!(closed(&run), []);
    run.event(&Sample::new("A", 6).visit(visits[2]));
    assert_eq!(closed(&run), [(instance(2), CloseReason::Evicted, 1)], "the longest idle");
}

#[test]
fn kept_events_are_bounded_and_long_matches_survive_them() {
    let long: Vec<_> = (0..4).map(|_| step("B")).chain([step("C")]).collect();
    let rules = rule_set(vec![rule("long", &long)]);
    let mut run = Run::new(&rules, MatcherConfig { visit_events_max: 2, ..NONE_MADE_UP });
    for _ in 0..4 {
        run.event(&Sample::new("B", 0));
        for _ in 0..100 {
            run.event(&Sample::new("A", 0));
        }
    }
    let bytes = run.matcher.stats().state_bytes;
    run.event(&Sample::new("C", 0));
    assert_eq!(run.matches(), ["long: 1 102 203 304 405"]);
    assert_eq!(run.matcher.stats().kept_events_dropped, 405 - 2);
    assert!(bytes < 10_000, "{bytes} bytes for a visit that keeps two events");
}

#[test]
fn identity_follows_the_table_and_the_stamping_event_carries_it() {
    let user = |name, user: &'static str| Sample::new(name, 0).data("userID", text(user));
    let mut run = run(NONE_MADE_UP);
    run.event(&Sample::new("A", 0));
    run.event(&Sample::new("SignOut", 0));
    run.event(&user("UserInfo", "ada").flags(Flags::VERIFIED));
    run.event(&user("SignIn", "eve"));
    run.event(&user("UserInfo", "bob"));
    run.event(&Sample::new("SignIn", 0));
    run.event(&Sample::new("SignOut", 0));
    run.event(&Sample::new("A", 0));
    let (anonymous, recognized, authenticated) =
        (VisitScope::Anonymous, VisitScope::Recognized, VisitScope::Authenticated);
    let identities: Vec<_> = run
        .rows()
        .map(|row| (row.identity.scope, row.identity.user.as_deref(), row.identity.verified))
        .collect();
    assert_eq!(
        identities,
        [
            (anonymous, None, false),
            (anonymous, None, false),
            (recognized, Some("ada"), true),
            (authenticated, Some("eve"), false),
            (authenticated, Some("eve"), false),
            (authenticated, Some("eve"), false),
            (recognized, Some("eve"), false),
            (recognized, Some("eve"), false),
        ]
    );
}
