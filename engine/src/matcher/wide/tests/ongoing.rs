//! Visits that began before what is read of the past.

use super::*;
use crate::matcher::wide::{BackfillStep, Inquiry, OpenVisits, Past};
use crate::matcher::{CHANGE_EPOCHS, Matcher};

const OTHER: (&str, &str) = ("X where true", VISITOR);
const USER: &str = "window = \"user\"\nfire = \"every\"";

impl Run {
    /// A rule comes, and is shown the log from an epoch on.
    fn shown_from(
        rule: (&str, &str),
        config: MatcherConfig,
        first: usize,
        before: impl FnOnce(&mut Self),
    ) -> (Self, Arc<RuleSet>, OpenVisits) {
        let all = rules(&[OTHER, rule]);
        let mut run = Self::new(&[OTHER], config);
        before(&mut run);
        let shown = shown(&all);
        run.deploy_beside(&all, &[], Some(shown.clone()));
        let mut past = Past::new(shown.rules, config, vec![(1, ServerTimeMs(i64::MIN))]);
        let mut log = std::mem::take(&mut run.log);
        let read = log.split_off(first);
        for inquiry in Inquiry::all(read[0].mark.first_seq) {
            inquiry.answer(&run.matcher);
            past.know(inquiry.take(), LogSeq(run.marked));
        }
        log.iter().for_each(|epoch| past.pass_over(&epoch.mark));
        let epochs = read.into_iter().map(|epoch| past.epoch(epoch)).collect();
        let mut effects = Vec::new();
        let step = BackfillStep { epochs, ..BackfillStep::default() };
        run.wide.backfill(&step, |_| true, &mut effects);
        run.say(effects);
        (run, all, past.open_visits())
    }

    /// It has caught up, and all windows have their turn.
    fn settle_from(&mut self, all: &Arc<RuleSet>, open: OpenVisits, watermark: i64) {
        self.router.join(&open, |_| true);
        let step = BackfillStep { caught_up: Some(open), ..BackfillStep::default() };
        self.wide.backfill(&step, |_| true, &mut Vec::new());
        self.deploy(all, &[]);
        for _ in 0..CHANGE_EPOCHS {
            self.mark(watermark);
        }
    }
}

fn sign_in(time: i64, user: &str) -> Sample {
    Sample::new("SignIn", time).flags(Flags::VERIFIED).data("userID", text(user))
}

#[test]
fn it_is_the_visit_that_it_is() {
    let before = |run: &mut Run| {
        run.event(&sign_in(0, "ada").visitor(7)).mark(0);
        run.event(&Sample::new("A", 10)).event(&Sample::new("SignOut", 11)).mark(11);
        run.event(&Sample::new("A", 12)).event(&sign_in(13, "bob")).mark(13);
        run.event(&Sample::new("A", 14)).mark(14);
    };
    let (mut run, all, open) = Run::shown_from(("A where true", USER), NONE_MADE_UP, 1, before);
    run.settle_from(&all, open, 500);
    let found: Vec<_> = run.found().map(|fact| (fact.seq.0, fact.window.clone())).collect();
    let user = |name: &str| WindowKey::User(name.into());
    assert_eq!(found, [(2, user("ada")), (4, user("ada")), (6, user("bob"))], "signed in before");
    assert!(
        run.found().all(|fact| fact.instance == Instance(LogSeq(1))),
        "the first of its events"
    );
    assert!(run.found().all(|fact| fact.visitor == Some(visitor(7))), "named once, before");
    assert_eq!(run.senders(), 1);
    run.mark(10_000);
    assert_eq!(run.senders(), 0, "it is over for the router, too");
}

/// Its `VisitStarted` came, or was made up; another one comes in the middle.
#[test]
fn it_begins_where_it_began() {
    let made_up = MatcherConfig { makes_visit_started: true, ..NONE_MADE_UP };
    for (name, expected) in [("VisitStarted", vec![3]), ("A", vec![])] {
        for middle in [2, 3] {
            let before = |run: &mut Run| {
                run.event(&Sample::new(name, 0)).mark(0);
                run.event(&Sample::new("A", 10));
                if middle == 3 {
                    run.mark(10);
                }
                run.event(&Sample::new("VisitStarted", 11)).mark(11);
            };
            let rule = ("VisitStarted where true", "window = \"site\"\nfire = \"every\"");
            let (mut run, all, open) = Run::shown_from(rule, made_up, middle - 1, before);
            run.settle_from(&all, open, 500);
            let found: Vec<_> = run.found().map(|fact| fact.seq.0).collect();
            assert_eq!(found, expected, "{name}, read from {middle} on");
        }
    }
}

/// As far as its events are kept; before that it is nobody's.
#[test]
fn who_signed_in_is_known_from_the_events_that_are_kept() {
    let config = MatcherConfig { visit_events_max: 2, ..NONE_MADE_UP };
    let before = |run: &mut Run| {
        run.event(&sign_in(0, "ada")).mark(0);
        for time in 1..=4 {
            run.event(&Sample::new("A", time)).mark(time);
        }
    };
    let (mut run, all, open) = Run::shown_from(("A where true", USER), config, 1, before);
    run.settle_from(&all, open, 500);
    let found: Vec<_> = run.found().map(|fact| fact.seq.0).collect();
    assert_eq!(found, [4, 5]);
}

/// Too many visits were open, which the reading does not see.
#[test]
fn one_that_is_over_here_and_open_to_the_reading_is_over() {
    const LONG: &str = "sequence with maxspan=3s [A where true] ![B where true]";
    let before = |run: &mut Run| {
        run.event(&Sample::new("A", 0).visitor(7)).mark(0);
    };
    let (mut run, all, open) = Run::shown_from((LONG, VISITOR), NONE_MADE_UP, 0, before);
    run.matcher = Matcher::new(Arc::clone(&all), NONE_MADE_UP);
    run.router = WideSetup::new(&all, NONE_MADE_UP).expect("a rule on another window").router();
    run.settle_from(&all, open, 0);
    assert_eq!(run.senders(), 0);
    run.mark(10_000);
    assert_eq!(run.found().map(|fact| fact.is_visit_open).collect::<Vec<_>>(), [false]);
}

/// A deadline passed meanwhile: it is said in its window's turn, before the visit's turn or behind it.
#[test]
fn one_that_is_over_here_is_over_before_its_turn() {
    const LONG: &str = "sequence with maxspan=3s [A where true] ![B where true]";
    for visitor in 0..100 {
        let before = |run: &mut Run| {
            run.event(&Sample::new("A", 0).visitor(visitor)).mark(0);
        };
        let (mut run, all, open) = Run::shown_from((LONG, VISITOR), NONE_MADE_UP, 0, before);
        run.matcher = Matcher::new(Arc::clone(&all), NONE_MADE_UP);
        run.settle_from(&all, open, 3_050);
        let is_open: Vec<_> = run.found().map(|fact| fact.is_visit_open).collect();
        assert_eq!(is_open, [false], "{visitor}");
    }
}
