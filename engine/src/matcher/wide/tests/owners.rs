//! Who has the action of a rule that fires once in a window of many.

use super::*;
use crate::matcher::CHANGE_EPOCHS;
use crate::matcher::wide::{BackfillStep, Past};

const BETWEEN: &str =
    "sequence with maxspan=1m [ A where true ] ![ X where true ] [ B where true ]";
const SITE: &str = "window = \"site\"";

fn of(name: &str, time: i64, visitor: u128) -> Sample {
    Sample::new(name, time).visit(visitor).visitor(visitor)
}

/// Who a match was said of, with its sign.
type Said = (Option<VisitorId>, Instance, i64);

impl Run {
    fn owners(&self) -> Vec<Said> {
        let said = self.said.iter();
        said.map(|(fact, sign)| (fact.visitor.clone(), fact.instance, *sign)).collect()
    }

    /// Shows rules in the slots behind the first the log, and joins them.
    fn show_all(&mut self, all: &Arc<RuleSet>) {
        let shown = shown(all);
        self.deploy_beside(all, &[0], Some(shown.clone()));
        let from = shown.slots.iter().map(|slot| (*slot, ServerTimeMs(i64::MIN)));
        let mut past = Past::new(shown.rules, NONE_MADE_UP, from.collect());
        let log = std::mem::take(&mut self.log);
        let epochs = log.into_iter().map(|epoch| past.epoch(epoch)).collect();
        let mut effects = Vec::new();
        let step = BackfillStep { epochs, caught_up: Some(past.open_visits()), inquiry: None };
        self.wide.backfill(&step, |_| true, &mut effects);
        self.say(effects);
        self.deploy(all, &[]);
    }

    /// Empty epochs, until nothing of a deployment is under way.
    fn settle(&mut self, watermark: i64) {
        for _ in 0..CHANGE_EPOCHS {
            self.mark(watermark);
        }
    }
}

fn said_of(number: u128, instance: u64, sign: i64) -> Said {
    (Some(visitor(number)), Instance(LogSeq(instance)), sign)
}

/// The first in epoch one; taken back; found again by another visitor in an epoch behind that.
fn found_again(run: &mut Run, between: impl FnOnce(&mut Run)) {
    run.event(&of("A", 0, 7)).event(&of("B", 50, 7)).mark(55);
    run.event(&of("X", 25, 9)).mark(55);
    between(run);
    run.event(&of("A", 60, 8)).event(&of("B", 70, 8)).mark(75);
}

#[test]
fn what_is_found_again_is_of_whom_it_was_before() {
    for window in ["site", "global"] {
        for is_restarted in [false, true] {
            let rules = [(BETWEEN, &*format!("window = \"{window}\""))];
            let mut run = Run::new(&rules, NONE_MADE_UP);
            found_again(&mut run, |run| {
                if is_restarted {
                    run.restart(&rules, NONE_MADE_UP, 55);
                }
            });
            let first = said_of(7, 1, 1);
            let expected = [first.clone(), said_of(7, 1, -1), first];
            assert_eq!(run.owners(), expected, "{window}, {is_restarted}");
            assert!(run.said.iter().all(|(fact, _)| fact.is_visit_open));
            assert!(run.said.iter().all(|(fact, _)| fact.visit == VisitId(Id::Bits(7))));
        }
    }
}

/// Behind a restart, too: before and behind the end.
#[test]
fn a_match_knows_whether_the_visit_of_its_owner_is_open() {
    for restarts in 0..3 {
        let rules = [(BETWEEN, SITE)];
        let mut run = Run::new(&rules, NONE_MADE_UP);
        found_again(&mut run, |run| {
            if restarts == 1 {
                run.restart(&rules, NONE_MADE_UP, 55);
            }
            run.event(&of("VisitEnded", 55, 7)).mark(55);
            if restarts == 2 {
                run.restart(&rules, NONE_MADE_UP, 55);
            }
        });
        let is_open: Vec<_> = run.said.iter().map(|(fact, _)| fact.is_visit_open).collect();
        assert_eq!(is_open, [true, true, false], "{restarts}");
    }
}

#[test]
fn what_is_said_and_taken_back_in_one_epoch_is_nobodys() {
    let mut run = Run::one("A where true", SITE);
    run.event(&of("A", 50, 7)).event(&of("A", 40, 8)).mark(60);
    assert_eq!(run.owners().last(), Some(&said_of(8, 2, 1)));
    run.event(&of("A", 30, 9)).mark(60);
    assert_eq!(run.owners().last(), Some(&said_of(8, 2, 1)), "it was said");
}

#[test]
fn each_match_of_a_rule_that_fires_every_time_is_its_own() {
    let mut run = Run::one(BETWEEN, "window = \"site\"\nfire = \"every\"");
    found_again(&mut run, |_| {});
    assert_eq!(run.owners().last(), Some(&said_of(8, 4, 1)));
    assert_eq!(run.wide.shared.owners.bytes(), 0);
}

/// A rule of the name `r0` behind so many slots that are free.
fn behind(free: usize, rule: (&str, &str)) -> Arc<RuleSet> {
    let of = rules(&[rule]);
    let vacant = Arc::new(RulePlan::vacant());
    let mut plans = vec![vacant; free];
    plans.push(Arc::clone(&of.rules[0]));
    Arc::new(RuleSet { fields: of.fields.clone(), rules: plans, types: of.types.clone() })
}

/// It is shown the log, in which it finds another match than the version before; or finds one later.
#[test]
fn a_later_version_says_its_match_of_whom_the_action_was() {
    for is_in_the_past in [true, false] {
        let first = ("B where true", SITE);
        let second = (if is_in_the_past { "A where true" } else { "C where true" }, SITE);
        let mut run = Run::new(&[first], NONE_MADE_UP);
        run.event(&of("A", 0, 8)).event(&of("B", 10, 7)).mark(500);
        assert_eq!(run.owners(), [said_of(7, 2, 1)]);
        run.show_all(&behind(1, second));
        run.settle(500);
        run.event(&of("C", 510, 9)).mark(1_000);
        assert_eq!(run.owners()[1..], [said_of(7, 2, 1)], "{is_in_the_past}");
    }
}

/// Of a user, from a version that is gone before its windows are joined: a third one is said of the same.
#[test]
fn an_action_said_apart_has_its_owner() {
    let keys = "window = \"user\"\nbackfill = \"act\"";
    let sign_in = |time, visit| {
        let user = of("SignIn", time, visit).flags(Flags::VERIFIED);
        user.data("userID", text("ada"))
    };
    let mut run = Run::new(&[("Y where true", keys)], NONE_MADE_UP);
    run.event(&sign_in(0, 7)).event(&sign_in(0, 8));
    run.event(&of("A", 1, 7)).event(&of("B", 2, 8)).mark(500);
    let (second, third) = (("A where true", keys), ("B where true", keys));
    let log = run.log.clone();
    run.show_all(&behind(1, second));
    assert_eq!(run.owners(), [said_of(7, 1, 1)]);
    run.log = log;
    run.deploy(&behind(2, third), &[1]);
    run.settle(500);
    assert_eq!(run.wide.stats().windows_open, 1, "the window is there, for its owner alone");
    run.show_all(&behind(2, third));
    assert_eq!(run.owners(), [said_of(7, 1, 1), said_of(7, 1, 1)]);
}

#[test]
fn a_rule_that_is_gone_leaves_none() {
    let mut run = Run::one("A where true", SITE);
    run.event(&of("A", 0, 7)).mark(500);
    assert!(run.wide.shared.owners.bytes() > 0);
    let gone = placed(&rules(&[("A where true", SITE)]), &[false]);
    run.deploy(&gone, &[0]);
    run.settle(500);
    let stats = run.wide.stats();
    assert_eq!((stats.windows_open, stats.stage.state_bytes), (0, 0));
}

#[test]
fn the_window_of_a_user_that_is_forgotten_forgets_them() {
    let config = MatcherConfig { window_memory_ms: DAY_MS, ..NONE_MADE_UP };
    let mut run = Run::new(&[("A where true", "window = \"user\"")], config);
    let sign_in = of("SignIn", 0, 7).flags(Flags::VERIFIED);
    run.event(&sign_in.data("userID", text("ada"))).event(&of("A", 1, 7)).mark(1_000);
    assert!(run.wide.shared.owners.bytes() > 0);
    run.mark(2 * DAY_MS);
    assert_eq!((run.wide.stats().windows_open, run.wide.shared.owners.bytes()), (0, 0));
}

/// Whoever finds it again has it: what is said of a rule that is disabled, or paused, acts for nobody. In
/// the epoch that takes it back it is corrected all the same.
#[test]
fn what_cannot_act_is_nobodys() {
    let paused = PauseKey { package: None, site: None };
    for (keys, paused, owner) in [
        ("enabled = false", None, 8),
        ("enabled = true", Some(&paused), 8),
        ("enabled = true", None, 7),
    ] {
        let rule = [(BETWEEN, &*format!("{SITE}\n{keys}"))];
        let mut run = Run::new(&rule, NONE_MADE_UP);
        run.paused.extend(paused.cloned());
        run.deploy(&rules(&rule), &[]);
        found_again(&mut run, |run| {
            run.paused.clear();
            run.deploy(&rules(&rule), &[]);
        });
        let last = said_of(owner, if owner == 7 { 1 } else { 4 }, 1);
        assert_eq!(run.owners().last(), Some(&last), "{keys}, {paused:?}");
        let mut run = Run::new(&rule, NONE_MADE_UP);
        run.paused.extend(paused.cloned());
        run.deploy(&rules(&rule), &[]);
        run.event(&of("A", 0, 7)).event(&of("B", 50, 7)).mark(55);
        run.event(&of("X", 25, 9)).event(&of("A", 60, 8)).event(&of("B", 70, 8)).mark(75);
        assert_eq!(run.owners().last(), Some(&said_of(7, 1, 1)), "{keys}, {paused:?}: corrected");
    }
}

/// What a full window says in the middle of an epoch, and takes back in it, was said to nobody: not in
/// the same epoch and not in the next, whether it could act or not.
#[test]
fn what_a_full_window_takes_back_at_once_is_nobodys() {
    let config = MatcherConfig { window_events_max: 2, ..NONE_MADE_UP };
    for (is_enabled, is_at_once) in [(true, false), (true, true), (false, false), (false, true)] {
        let keys = format!("{SITE}\nenabled = {is_enabled}");
        let rules = [(BETWEEN, &*keys), ("F where true", "window = \"site\"\nfire = \"every\"")];
        let mut run = Run::new(&rules, config);
        run.event(&of("A", 0, 7)).event(&of("B", 20, 7)).event(&of("F", 25, 7));
        run.event(&of("X", 10, 9));
        if !is_at_once {
            run.mark(30);
        }
        run.event(&of("A", 40, 8)).event(&of("B", 50, 8)).mark(60);
        let said: Vec<_> = run.said.iter().filter(|(fact, _)| &*fact.rule == "r0").collect();
        let of_first = said.iter().filter(|(fact, _)| fact.visitor == Some(visitor(7)));
        assert_eq!(of_first.map(|(_, sign)| sign).collect::<Vec<_>>(), [&1, &-1], "{said:?}");
        assert_eq!(said[said.len() - 1].0.visitor, Some(visitor(8)), "{is_enabled}, {is_at_once}");
    }
}
