//! What a snapshot holds of each decision: a restored stage goes on as the one that was saved.

use super::*;
use crate::model::{PARTITIONS, PartitionId};
use SuppressReason as Why;

/// The stage in its next life, behind the end of the last epoch.
pub(super) fn restored(stage: &Suppressor) -> Suppressor {
    let mut next = suppressor(stage.setup.config.clone());
    for number in 0..PARTITIONS {
        let partition = PartitionId(u8::try_from(number).expect("256 of them"));
        let mut bytes = Vec::new();
        stage.save(partition, &mut bytes);
        next.restore(partition, Epoch(1), &bytes).expect("just saved");
    }
    next.wake(Epoch(1));
    next
}

/// Lets matches act before a restart, and asks for others behind it.
#[track_caller]
fn check(config: SuppressConfig, before: &[ActionFact], then: &[(ActionFact, Option<Why>)]) {
    let mut stage = suppressor(config);
    for fact in before {
        assert_eq!(why(&mut stage, 0, std::slice::from_ref(fact)), [None], "{fact:?}");
    }
    let mut stage = restored(&stage);
    for (fact, reason) in then {
        assert_eq!(why(&mut stage, 1, std::slice::from_ref(fact)), [*reason], "{fact:?}");
    }
}

#[test]
fn an_action_that_went_and_a_rule_that_rests_are_known() {
    let call = fact("call", 1);
    let again = (matched(2, &call), Some(Why::Once));
    check(SuppressConfig::default(), &[call], &[again]);
    let again = (fact("cool", 2), Some(Why::Cooldown));
    check(SuppressConfig::default(), &[fact("cool", 1)], &[again]);
}

#[test]
fn invitations_are_known_by_visit_and_by_day() {
    let ask = |visit, number| in_visit(visit, fact("ask-first", number));
    let of_day = (1..=3).map(|number| ask(number, number));
    let limit = Some(Why::Limit);
    check(SuppressConfig::default(), &of_day.collect::<Vec<_>>(), &[(ask(4, 4), limit)]);
    let invitations = Some(InvitationLimits { per_visit: 2, per_visitor_per_day: 9 });
    let by_visit = SuppressConfig { invitations, ..SuppressConfig::default() };
    check(by_visit, &[ask(1, 1), ask(1, 2)], &[(ask(1, 3), limit), (ask(2, 4), None)]);
}

#[test]
fn the_oldest_action_is_forgotten_first_behind_a_restart_too() {
    let config = SuppressConfig { decisions_max: 2, ..SuppressConfig::default() };
    let call = |action, number| matched(number, &fact("call", action));
    let then = [(call(3, 3), None), (call(1, 4), Some(Why::Once)), (call(2, 5), None)];
    check(config, &[call(2, 1), call(1, 2)], &then);
}

#[test]
fn the_visitor_that_waits_longest_is_forgotten_first_behind_a_restart_too() {
    // Two in each partition.
    let config = SuppressConfig { visitors_max: 512, ..SuppressConfig::default() };
    let is_there = |visitor: &u32| visitor_partition(&of_visitor(*visitor, fact("cool", 1))).0 == 7;
    let visitors: Vec<u32> = (1..).filter(is_there).take(3).collect();
    let of = |place: usize, rule, number| of_visitor(visitors[place], fact(rule, number));
    let before = [of(0, "cool", 1), of(1, "cool", 2), of(0, "call", 3)];
    let then = [
        (of(2, "call", 4), None),
        (of(0, "cool", 5), Some(Why::Cooldown)),
        (of(1, "cool", 6), None),
    ];
    check(config, &before, &then);
}

#[test]
fn a_match_that_is_taken_back_says_what_became_of_it() {
    let mut stage = suppressor(SuppressConfig::default());
    let call = fact("call", 1);
    let (second, third) = (matched(2, &call), matched(3, &call));
    assert_eq!(why(&mut stage, 0, &[call, second.clone()]), [None, Some(Why::Once)]);
    let mut stage = restored(&stage);
    let corrected = [(Op::Correct, Some(Why::Once), 3)];
    assert_eq!(said(&mut stage, 1, &[(&second, -1), (&third, 1)]), corrected);
}
