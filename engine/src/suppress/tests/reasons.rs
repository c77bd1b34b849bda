//! Each reason by itself, and which of two is said.

use super::*;
use SuppressReason as Why;

#[test]
fn a_match_acts_unless_there_is_a_reason() {
    let mut stage = suppressor(SuppressConfig::default());
    let facts = [fact("ask-first", 1), fact("call", 2), fact("open", 3)];
    assert_eq!(why(&mut stage, MONDAY, &facts), [None, None, None]);
}

#[test]
fn a_disabled_rule_does_not_act() {
    let mut stage = suppressor(SuppressConfig::default());
    assert_eq!(why(&mut stage, MONDAY, &[fact("off", 1)]), [Some(Why::Disabled)]);
    set_paused(&mut stage, true);
    assert_eq!(why(&mut stage, MONDAY, &[fact("off", 2)]), [Some(Why::Disabled)]);
}

#[test]
fn a_paused_package_does_not_act_until_it_goes_on() {
    let mut stage = suppressor(SuppressConfig::default());
    set_paused(&mut stage, true);
    let facts = [fact("call", 1), fact("half", 2), fact("open", 3)];
    assert_eq!(why(&mut stage, 0, &facts), [Some(Why::Paused); 3]);
    set_paused(&mut stage, false);
    assert_eq!(why(&mut stage, 0, &[fact("call", 4)]), [None]);
}

#[test]
fn a_share_of_the_visitors_is_the_control_group_whatever_the_version() {
    let held = |version: u128| {
        let mut stage = suppressor(SuppressConfig::default());
        let visitors = 1..=1_000;
        let facts: Vec<_> = visitors
            .map(|number| ActionFact { version, ..of_visitor(number, fact("half", number)) })
            .collect();
        why(&mut stage, MONDAY, &facts)
    };
    let held_out = held(1);
    let count = held_out.iter().filter(|reason| **reason == Some(Why::Holdout)).count();
    assert!((440..=560).contains(&count), "{count} of 1,000");
    assert!(held_out.iter().all(|reason| matches!(reason, None | Some(Why::Holdout))));
    assert_eq!(held(2), held_out);
}

#[test]
fn outside_of_opening_hours_nothing_goes() {
    let mut stage = suppressor(SuppressConfig::default());
    let at = |hours: i64| MONDAY + hours * HOUR_MS;
    assert_eq!(why(&mut stage, at(-1) - 1, &[fact("open", 1)]), [Some(Why::Schedule)]);
    assert_eq!(why(&mut stage, at(-1), &[fact("open", 2)]), [None]);
    assert_eq!(why(&mut stage, at(8), &[fact("open", 3)]), [Some(Why::Schedule)]);
}

#[test]
fn a_schedule_without_a_zone_is_in_that_of_the_configuration() {
    let rules = [("open", "webhook", "schedule = \"Mo-Fr 09:00-18:00\"\n")];
    let reasons = |zone: &str| {
        let config = SuppressConfig { timezone: zone.into(), ..SuppressConfig::default() };
        let mut stage = Suppressor::new(&compiled(&rules), config).expect("a zone");
        why(&mut stage, MONDAY, &[fact("open", 1)])
    };
    assert_eq!(reasons("Europe/Paris"), [None]);
    assert_eq!(reasons("America/New_York"), [Some(Why::Schedule)]);
    let config = SuppressConfig { timezone: "Mars/Base".into(), ..SuppressConfig::default() };
    assert!(Suppressor::new(&RuleSet::default(), config).is_err());
}

#[test]
fn an_action_goes_once_even_when_it_is_taken_back() {
    let mut stage = suppressor(SuppressConfig::default());
    let first = fact("call", 1);
    assert_eq!(said(&mut stage, 0, &[(&first, 1)]), [(Op::Assert, None, 1)]);
    assert_eq!(said(&mut stage, 1, &[(&first, -1)]), [(Op::Retract, None, 1)]);
    let once = Some(Why::Once);
    assert_eq!(said(&mut stage, 2, &[(&first, 1)]), [(Op::Suppress, once, 1)]);
    assert_eq!(said(&mut stage, 3, &[(&first, -1)]), [(Op::Retract, once, 1)]);
    let both = [matched(5, &fact("call", 9)), matched(6, &fact("call", 9))];
    assert_eq!(why(&mut stage, 4, &both), [None, once], "two matches of one action");
}

/// Also when another match of it, which did not act, came last.
#[test]
fn an_action_that_went_does_not_go_with_its_third_match() {
    let mut stage = suppressor(SuppressConfig::default());
    let first = fact("call", 1);
    let once = Some(Why::Once);
    assert_eq!(why(&mut stage, 0, std::slice::from_ref(&first)), [None]);
    assert_eq!(why(&mut stage, 1, &[matched(2, &first)]), [once]);
    assert_eq!(why(&mut stage, 2, &[matched(3, &first)]), [once]);
}

#[test]
fn what_was_suppressed_does_not_count_as_gone() {
    let mut stage = suppressor(SuppressConfig::default());
    let first = fact("call", 1);
    set_paused(&mut stage, true);
    assert_eq!(why(&mut stage, 0, &[first.clone(), fact("cool", 2)]), [Some(Why::Paused); 2]);
    set_paused(&mut stage, false);
    assert_eq!(why(&mut stage, 1, &[matched(3, &first), fact("cool", 4)]), [None; 2]);
}

#[test]
fn a_rule_rests_for_its_cooldown_in_log_time() {
    let mut stage = suppressor(SuppressConfig::default());
    let cool = Some(Why::Cooldown);
    assert_eq!(why(&mut stage, 0, &[fact("cool", 1), fact("cool", 2)]), [None, cool]);
    let taken_back = said(&mut stage, 1, &[(&fact("cool", 1), -1)]);
    assert_eq!(taken_back, [(Op::Retract, None, 1)]);
    assert_eq!(why(&mut stage, 2 * HOUR_MS - 1, &[fact("cool", 3)]), [cool]);
    assert_eq!(why(&mut stage, 2 * HOUR_MS - 1, &[of_visitor(2, fact("cool", 4))]), [None]);
    assert_eq!(why(&mut stage, 2 * HOUR_MS, &[fact("cool", 5)]), [None], "not from the third");
    assert_eq!(why(&mut stage, 2 * HOUR_MS, &[fact("cool", 1)]), [Some(Why::Once)]);
}

#[test]
fn a_cooldown_that_comes_later_counts_from_the_act_before_it() {
    let mut stage = suppressor(SuppressConfig::default());
    let cool = Some(Why::Cooldown);
    deploy_cool(&mut stage, Some(""));
    assert_eq!(why(&mut stage, 0, &[fact("cool", 1)]), [None]);
    assert_eq!(why(&mut stage, HOUR_MS, &[fact("cool", 2)]), [None], "it has none");
    deploy_cool(&mut stage, Some("cooldown = \"2h\"\n"));
    assert_eq!(why(&mut stage, 3 * HOUR_MS - 1, &[fact("cool", 3)]), [cool]);
    deploy_cool(&mut stage, Some("cooldown = \"4h\"\n"));
    assert_eq!(why(&mut stage, 5 * HOUR_MS - 1, &[fact("cool", 4)]), [cool], "it is longer now");
    assert_eq!(why(&mut stage, 5 * HOUR_MS, &[fact("cool", 5)]), [None]);
}

#[test]
fn a_rule_that_was_removed_rests_when_it_comes_again() {
    let mut stage = suppressor(SuppressConfig::default());
    assert_eq!(why(&mut stage, 0, &[fact("cool", 1)]), [None]);
    deploy_cool(&mut stage, None);
    // The visitor is decided for meanwhile.
    assert_eq!(why(&mut stage, HOUR_MS, &[fact("call", 2)]), [None]);
    deploy_cool(&mut stage, Some("cooldown = \"2h\"\n"));
    assert_eq!(why(&mut stage, 2 * HOUR_MS - 1, &[fact("cool", 3)]), [Some(Why::Cooldown)]);
    assert_eq!(why(&mut stage, 2 * HOUR_MS, &[fact("cool", 4)]), [None]);
}

#[test]
fn rules_of_two_packages_with_one_name_rest_apart() {
    let mut stage = suppressor(SuppressConfig::default());
    assert_eq!(why(&mut stage, 0, &[fact("cool", 1)]), [None]);
    let other = ActionFact { package: "com.other".into(), ..fact("cool", 2) };
    assert_eq!(why(&mut stage, HOUR_MS, &[other]), [None]);
    assert_eq!(why(&mut stage, 2 * HOUR_MS, &[fact("cool", 3)]), [None], "from its own act");
}

#[test]
fn invitations_are_limited_by_visit_and_by_visitor_and_day() {
    let mut stage = suppressor(SuppressConfig::default());
    let ask = |visit: u32, number| in_visit(visit, fact("ask-first", number));
    let limit = Some(Why::Limit);
    let day = 24 * HOUR_MS;
    assert_eq!(why(&mut stage, 0, &[ask(1, 1)]), [None]);
    assert_eq!(why(&mut stage, 1, &[ask(1, 2)]), [limit], "by visit");
    assert_eq!(why(&mut stage, 2, &[ask(2, 3)]), [None]);
    assert_eq!(why(&mut stage, 3, &[ask(3, 4)]), [None]);
    assert_eq!(why(&mut stage, day - 1, &[ask(4, 5)]), [limit], "by day");
    assert_eq!(why(&mut stage, day, &[ask(1, 6)]), [limit], "a visit's limit has no end");
    assert_eq!(why(&mut stage, day, &[ask(5, 7)]), [None]);
    assert_eq!(why(&mut stage, day + 1, &[ask(6, 8)]), [limit], "the second and third count");
    assert_eq!(why(&mut stage, day + 1, &[in_visit(6, fact("show", 9))]), [None]);
}

#[test]
fn of_one_epoch_the_highest_priority_goes_then_the_first_name() {
    let mut stage = suppressor(SuppressConfig::default());
    let later = Some(Why::Priority);
    let facts = [fact("ask-second", 1), fact("show", 2), fact("ask-first", 3), fact("call", 4)];
    assert_eq!(why(&mut stage, 0, &facts), [Some(Why::Limit), later, None, None]);
    // In other visits: what is over a limit does not hold up what is not.
    let (first, second) = (fact("ask-first", 5), in_visit(2, fact("ask-second", 6)));
    assert_eq!(why(&mut stage, 1, &[first, second]), [Some(Why::Limit), None]);
    // Of one visitor in two visits, with one priority and the name that comes first behind.
    let invitations = Some(InvitationLimits { per_visit: 1, per_visitor_per_day: 4 });
    let config = SuppressConfig { invitations, ..SuppressConfig::default() };
    let mut stage = suppressor(config);
    let priority = 10;
    let second = in_visit(3, fact("ask-second", 7));
    let first = in_visit(4, ActionFact { priority, ..fact("ask-first", 8) });
    assert_eq!(why(&mut stage, 2, &[second, first]), [later, None]);
}

#[test]
fn an_invitation_for_a_visit_that_is_over_does_not_go_and_a_webhook_does() {
    let mut stage = suppressor(SuppressConfig::default());
    let ended = |fact| ActionFact { is_visit_open: false, ..fact };
    let facts = [ended(fact("ask-first", 1)), ended(fact("call", 2)), ended(fact("show", 3))];
    assert_eq!(why(&mut stage, 0, &facts), [Some(Why::VisitEnded), None, None]);
    assert_eq!(why(&mut stage, 1, &[fact("ask-first", 4)]), [None], "it took no limit");
}

#[test]
fn without_a_visitor_it_is_the_visit() {
    let mut stage = suppressor(SuppressConfig::default());
    let alone = |visit: u32, fact| ActionFact { visitor: None, ..in_visit(visit, fact) };
    let facts = [alone(1, fact("cool", 1)), alone(2, fact("cool", 2)), fact("cool", 3)];
    assert_eq!(why(&mut stage, 0, &facts), [None; 3], "visit 1 is not visitor 1");
    assert_eq!(why(&mut stage, 0, &[alone(2, fact("cool", 4))]), [Some(Why::Cooldown)]);
    let elsewhere = ActionFact { site: "blog".into(), ..fact("cool", 5) };
    assert_eq!(why(&mut stage, 0, &[elsewhere]), [None], "a visitor is one of a site");
}

#[test]
fn without_limits_every_invitation_goes() {
    let config = SuppressConfig { invitations: None, ..SuppressConfig::default() };
    let mut stage = suppressor(config);
    let facts = [fact("ask-first", 1), fact("ask-second", 2), fact("show", 3)];
    assert_eq!(why(&mut stage, 0, &facts), [None; 3]);
}

#[test]
fn a_replay_has_the_time_of_its_events() {
    let config = SuppressConfig { clock: SuppressClock::Watermark, ..SuppressConfig::default() };
    let mut stage = suppressor(config);
    let mut at = |watermark, number| {
        let mark = EpochMark { watermark: EventTimeMs(watermark), ..mark(0) };
        let rows = stage.epoch(&mark, vec![(fact("cool", number), 1)]);
        rows[0].fact.suppressed
    };
    assert_eq!(at(0, 1), None);
    assert_eq!(at(2 * HOUR_MS - 1, 2), Some(Why::Cooldown));
    assert_eq!(at(i64::MAX, 3), Some(Why::Cooldown), "the end of the input is no time");
    assert_eq!(at(2 * HOUR_MS, 4), None);
}

#[test]
fn a_test_says_whether_the_visitor_is_in_the_control_group() {
    for (is_control, reason) in [(true, Some(Why::Holdout)), (false, None)] {
        let is_control = Some(is_control);
        let mut stage = suppressor(SuppressConfig { is_control, ..SuppressConfig::default() });
        let facts = (1..20).map(|number| of_visitor(number, fact("half", number)));
        let facts: Vec<_> = facts.chain([fact("call", 20)]).collect();
        let reasons = why(&mut stage, 0, &facts);
        assert!(reasons[..19].iter().all(|found| *found == reason));
        assert_eq!(reasons[19], None, "a rule without a control group");
    }
}
