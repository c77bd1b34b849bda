//! Corrections, and what is remembered.

use super::*;
use crate::suppress::STANDING_MAX;
use SuppressReason as Why;

#[test]
fn a_match_in_place_of_another_corrects_it_and_sends_nothing() {
    let mut stage = suppressor(SuppressConfig::default());
    let first = fact("cool", 1);
    let second = matched(2, &first);
    assert_eq!(said(&mut stage, 0, &[(&first, 1)]), [(Op::Assert, None, 1)]);
    assert_eq!(said(&mut stage, 1, &[(&second, 1), (&first, -1)]), [(Op::Correct, None, 2)]);
    assert_eq!(said(&mut stage, 2, &[(&second, -1)]), [(Op::Retract, None, 2)]);
}

#[test]
fn a_correction_of_what_did_not_act_does_not_act() {
    let mut stage = suppressor(SuppressConfig::default());
    let first = fact("off", 1);
    let second = matched(2, &first);
    let off = Some(Why::Disabled);
    assert_eq!(said(&mut stage, 0, &[(&first, 1)]), [(Op::Suppress, off, 1)]);
    assert_eq!(said(&mut stage, 1, &[(&second, 1), (&first, -1)]), [(Op::Correct, off, 2)]);
    assert_eq!(said(&mut stage, 2, &[(&second, -1)]), [(Op::Retract, off, 2)]);
}

/// The one that acts is replaced first: what is left of the action on the page is one that holds.
#[test]
fn of_several_matches_the_one_that_acts_is_replaced() {
    let mut stage = suppressor(SuppressConfig::default());
    let one = fact("call", 5);
    let two = matched(3, &one);
    let three = matched(4, &one);
    let once = Some(Why::Once);
    assert_eq!(said(&mut stage, 0, &[(&one, 1)]), [(Op::Assert, None, 5)]);
    assert_eq!(said(&mut stage, 1, &[(&two, 1)]), [(Op::Suppress, once, 3)]);
    let corrected = said(&mut stage, 2, &[(&one, -1), (&two, -1), (&three, 1)]);
    assert_eq!(corrected, [(Op::Retract, once, 3), (Op::Correct, None, 4)]);
}

#[test]
fn the_visitor_that_waits_longest_is_forgotten() {
    // Two in each partition.
    let config = SuppressConfig { visitors_max: 512, ..SuppressConfig::default() };
    let mut stage = suppressor(config);
    let visitors = (1..).filter(|visitor| {
        let fact = of_visitor(*visitor, fact("cool", 1));
        crate::suppress::visitor_partition(&fact).0 == 7
    });
    let visitors: Vec<u32> = visitors.take(3).collect();
    let mut ask = |now, visitor: usize, number| {
        let fact = of_visitor(visitors[visitor], fact("cool", number));
        let reasons = why(&mut stage, now, &[fact]);
        (reasons[0], stage.stats().visitors, stage.stats().visitors_forgotten)
    };
    let cool = Some(Why::Cooldown);
    assert_eq!(ask(0, 0, 1), (None, 1, 0));
    assert_eq!(ask(1, 1, 2), (None, 2, 0));
    assert_eq!(ask(2, 0, 3), (cool, 2, 0), "at the bound both are remembered");
    assert_eq!(ask(3, 2, 4), (None, 2, 1));
    assert_eq!(ask(4, 0, 5), (cool, 2, 1));
    assert_eq!(ask(5, 1, 6), (None, 2, 2), "the second was forgotten");
}

#[test]
fn the_oldest_action_of_a_visitor_is_forgotten() {
    let mut stage = suppressor(SuppressConfig { decisions_max: 2, ..SuppressConfig::default() });
    let once = Some(Why::Once);
    let call = |action, number| matched(number, &fact("call", action));
    assert_eq!(why(&mut stage, 0, &[call(1, 1), call(2, 2)]), [None, None]);
    assert_eq!(why(&mut stage, 1, &[call(1, 3)]), [once]);
    assert_eq!(stage.stats().decisions_forgotten, 0);
    assert_eq!(why(&mut stage, 2, &[call(3, 4)]), [None]);
    assert_eq!(stage.stats().decisions_forgotten, 1);
    assert_eq!(why(&mut stage, 3, &[call(2, 5)]), [once]);
    assert_eq!(said(&mut stage, 4, &[(&call(1, 3), -1)]), [(Op::Retract, None, 3)]);
    assert_eq!(why(&mut stage, 5, &[call(1, 6)]), [None]);
}

#[test]
fn rules_that_acted_are_bounded_too() {
    let mut stage = suppressor(SuppressConfig { decisions_max: 2, ..SuppressConfig::default() });
    for (number, rule) in [(1, "cool"), (2, "call"), (3, "call")] {
        assert_eq!(why(&mut stage, 0, &[fact(rule, number)]), [None]);
    }
    assert_eq!(stage.stats().decisions_forgotten, 1, "an action");
    assert_eq!(why(&mut stage, 1, &[fact("cool", 4)]), [Some(Why::Cooldown)]);
    assert_eq!(stage.stats().decisions_forgotten, 2, "an action");
    assert_eq!(why(&mut stage, 2, &[fact("show", 5)]), [None]);
    assert_eq!(stage.stats().decisions_forgotten, 4, "an action and a rule");
    assert_eq!(why(&mut stage, 3, &[fact("cool", 6)]), [None]);
}

#[test]
fn visits_with_an_invitation_are_bounded_too() {
    let config = SuppressConfig {
        decisions_max: 2,
        invitations: Some(InvitationLimits { per_visit: 1, per_visitor_per_day: u32::MAX }),
        ..SuppressConfig::default()
    };
    let mut stage = suppressor(config);
    for visit in 1..=3 {
        let fact = in_visit(visit, fact("ask-first", visit));
        assert_eq!(why(&mut stage, 0, &[fact]), [None]);
    }
    // The first action, and the first visit.
    assert_eq!(stage.stats().decisions_forgotten, 2);
    assert_eq!(why(&mut stage, 1, &[in_visit(2, fact("ask-first", 4))]), [Some(Why::Limit)]);
    assert_eq!(why(&mut stage, 1, &[in_visit(1, fact("ask-first", 5))]), [None]);
}

#[test]
fn the_matches_of_an_action_are_bounded() {
    let mut stage = suppressor(SuppressConfig::default());
    let max = u32::try_from(STANDING_MAX).expect("small");
    for number in 1..=max {
        why(&mut stage, 0, &[matched(number, &fact("call", 1))]);
    }
    assert_eq!(stage.stats().decisions_forgotten, 0);
    why(&mut stage, 0, &[matched(max + 1, &fact("call", 1))]);
    assert_eq!(stage.stats().decisions_forgotten, 1);
    let once = Some(Why::Once);
    let second = matched(2, &fact("call", 1));
    assert_eq!(said(&mut stage, 1, &[(&second, -1)]), [(Op::Retract, once, 2)]);
}
