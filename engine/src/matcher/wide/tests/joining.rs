//! Rules that were shown the log, until their windows are joined with those of all others.

use super::*;
use crate::matcher::CHANGE_EPOCHS;
use crate::matcher::wide::{BackfillStep, OpenVisits, Past};

/// A rule that was there before.
const OTHER: (&str, &str) = ("X where true", VISITOR);
const ABSENCE: &str = "sequence with maxspan=300ms [A where true] ![B where true]";

impl Run {
    /// One in whose slots behind the first others come; what was before is fed by `before`.
    fn beside(new: &[(&str, &str)], before: impl FnOnce(&mut Self)) -> (Self, Arc<RuleSet>) {
        let all = rules(&[&[OTHER], new].concat());
        let mut run = Self::new(&[OTHER], NONE_MADE_UP);
        before(&mut run);
        run.deploy_beside(&all, &[], Some(shown(&all)));
        (run, all)
    }

    /// Shows the new rules the log.
    fn show(&mut self, all: &Arc<RuleSet>) -> OpenVisits {
        let BackfillRules { rules, slots, .. } = shown(all);
        let from = slots.iter().map(|slot| (*slot, ServerTimeMs(i64::MIN)));
        let mut past = Past::new(rules, NONE_MADE_UP, from.collect());
        let log = std::mem::take(&mut self.log);
        let epochs = log.into_iter().map(|epoch| past.epoch(epoch)).collect();
        let mut effects = Vec::new();
        let step = BackfillStep { epochs, ..BackfillStep::default() };
        self.wide.backfill(&step, |_| true, &mut effects);
        self.say(effects);
        past.open_visits()
    }

    /// The same, and they have caught up.
    fn catch_up(&mut self, all: &Arc<RuleSet>) {
        let open = self.show(all);
        self.router.join(&open, |_| true);
        let step = BackfillStep { caught_up: Some(open), ..BackfillStep::default() };
        self.wide.backfill(&step, |_| true, &mut Vec::new());
        self.deploy(all, &[]);
    }

    /// Windows that lie apart.
    fn apart(&self) -> u64 {
        self.wide.joining.iter().map(|joining| joining.stats().windows_open).sum()
    }

    /// Empty epochs until all windows had their turn.
    fn marks(&mut self, watermark: i64) {
        for _ in 0..CHANGE_EPOCHS {
            self.mark(watermark);
        }
        assert!(self.wide.joining.is_empty());
    }
}

fn sample(name: &str, time: i64) -> Sample {
    Sample::new(name, time).visitor(7)
}

/// 5,000 visitors, a visit each: of 1,024 turns none has many.
#[test]
fn windows_are_joined_a_few_an_epoch() {
    const VISITORS: u128 = 5_000;
    let pair = ("sequence with maxspan=7d [A where true] [B where true]", VISITOR);
    let before = |run: &mut Run| {
        for visitor in 0..VISITORS {
            run.event(&Sample::new("A", 0).visit(visitor).visitor(visitor));
        }
        run.mark(500);
    };
    let mut always = Run::new(&[OTHER, pair], NONE_MADE_UP);
    before(&mut always);
    let (mut run, all) = Run::beside(&[pair], before);
    run.catch_up(&all);
    let (mut left, mut most) = (run.apart(), 0);
    assert_eq!((left, run.senders()), (5_000, 5_000), "two of each visit");
    for _ in 0..CHANGE_EPOCHS {
        run.mark(500);
        most = most.max(left - run.apart());
        left = run.apart();
    }
    assert!(most < 30, "{most} in one epoch");
    assert_eq!((left, run.wide.joining.len()), (0, 0));
    assert_eq!(run.wide.stats(), always.wide.stats());
    assert_eq!(run.senders(), 5_000);
}

#[test]
fn a_window_is_joined_before_its_next_event() {
    for (time, watermark) in [(10, 20), (10, 300)] {
        let before = |run: &mut Run| {
            run.event(&sample("X", 0)).event(&sample("A", time)).mark(watermark);
        };
        let (mut run, all) = Run::beside(&[(AB, VISITOR)], before);
        run.catch_up(&all);
        run.event(&sample("B", 310).visit(2)).mark(watermark);
        let pairs = |run: &Run| run.matches().iter().filter(|ids| **ids == [2, 3]).count();
        assert_eq!((pairs(&run), run.apart()), (1, 0), "in that epoch");
        run.marks(watermark);
        run.mark(1_000);
        assert_eq!(pairs(&run), 1);
    }
}

/// The watermark has passed it, the horizon has not; in the other case both pass while it lies apart.
#[test]
fn a_deadline_is_said_when_its_window_has_its_turn() {
    for (caught_up, said) in [(350, 350), (200, 500)] {
        let before = |run: &mut Run| {
            run.event(&sample("A", 0)).mark(caught_up);
        };
        let (mut run, all) = Run::beside(&[(ABSENCE, VISITOR)], before);
        run.catch_up(&all);
        assert_eq!(run.matches(), [[0; 0]; 0]);
        run.marks(said);
        assert_eq!(run.matches(), [[1]], "caught up at {caught_up}");
        run.mark(1_000);
        assert_eq!(run.matches(), [[1]]);
    }
}

/// That of a visit which sent its window an event before the deployment; nobody knows it behind its end.
#[test]
fn the_end_of_a_visit_is_told_to_windows_that_lie_apart() {
    for (keys, others) in [(VISITOR, 0), (VISITOR, 1), (FINAL, 0)] {
        let before = |run: &mut Run| {
            if others > 0 {
                run.event(&sample("X", 100).visit(1));
            }
            run.event(&sample("A", 1).visit(1)).event(&sample("A", 2).visit(2)).mark(150);
        };
        let (mut run, all) = Run::beside(&[(ABSENCE, keys)], before);
        run.catch_up(&all);
        run.event(&sample("VisitEnded", 140).visit(2)).mark(150);
        assert_eq!(run.apart(), 1, "it is no event of theirs");
        run.marks(150);
        assert_eq!(run.senders(), 1, "the other is over");
        run.mark(1_000);
        let absent = run.found().filter(|fact| &*fact.rule == "r1");
        assert_eq!(absent.map(|fact| fact.is_visit_open).collect::<Vec<_>>(), [true, false]);
    }
}

/// One that nobody hears of again, before and behind its turn.
#[test]
fn a_visit_that_is_over_without_a_word_is_told_to_windows_that_lie_apart() {
    const LONG: &str = "sequence with maxspan=3s [A where true] ![B where true]";
    for had_its_turn in [false, true] {
        let before = |run: &mut Run| {
            run.event(&sample("A", 0)).mark(150);
        };
        let (mut run, all) = Run::beside(&[(LONG, VISITOR)], before);
        run.catch_up(&all);
        if had_its_turn {
            run.marks(150);
        }
        run.mark(1_500).mark(10_000);
        let is_open: Vec<_> = run.found().map(|fact| fact.is_visit_open).collect();
        assert_eq!(is_open, [false], "{had_its_turn}");
    }
}

/// The horizon passes its match while its window lies apart.
#[test]
fn a_rule_that_is_gone_says_nothing_of_windows_that_lie_apart() {
    let before = |run: &mut Run| {
        run.event(&sample("A", 0)).event(&sample("B", 10)).mark(50);
    };
    let new = [(AB, VISITOR), ("B where true", VISITOR)];
    let (mut run, all) = Run::beside(&new, before);
    run.catch_up(&all);
    run.deploy(&placed(&all, &[true, false, true]), &[1]);
    run.mark(500);
    assert_eq!(run.matches(), [[2]], "that of the rule that stays");
    run.marks(500);
    assert_eq!(run.matches(), [[2]]);
}

/// Its slot is another rule's then, which finds nothing there; whether its event waits or not, and
/// whether a rule that came with it stays.
#[test]
fn a_rule_that_goes_before_its_windows_are_joined_leaves_nothing() {
    const LONG: &str = "sequence with maxspan=7d [A where true] [B where true]";
    for (watermark, is_alone) in
        [900_000, 1_000_000].iter().flat_map(|it| [(*it, true), (*it, false)])
    {
        let before = |run: &mut Run| {
            run.event(&sample("X", 900_000)).event(&sample("A", 900_000)).mark(watermark);
        };
        let new =
            [(LONG, VISITOR), ("sequence with maxspan=7d [A where true] [C where true]", VISITOR)];
        let (mut run, all) = Run::beside(if is_alone { &new[..1] } else { &new }, before);
        run.catch_up(&all);
        run.mark(watermark);
        run.deploy(&placed(&all, &[true, false, true]), &[1]);
        run.marks(watermark);
        run.deploy(&all, &[]);
        run.event(&sample("B", watermark + 1)).mark(2_000_000);
        assert_eq!(run.matches(), [[1]], "that of the other rule");
        let stats = run.wide.stats();
        assert_eq!((stats.windows_open, stats.events_waiting), (u64::from(!is_alone), 0));
        run.event(&sample("C", 2_000_000)).mark(3_000_000);
        assert_eq!(run.matches().len(), if is_alone { 1 } else { 2 });
    }
}

#[test]
fn a_rule_that_goes_before_it_has_caught_up_leaves_a_few_windows_an_epoch() {
    let before = |run: &mut Run| {
        for visitor in 0..2_000 {
            run.event(&Sample::new("A", 0).visit(visitor).visitor(visitor));
        }
        run.mark(10);
    };
    let (mut run, all) = Run::beside(&[(AB, VISITOR)], before);
    run.show(&all);
    run.deploy(&placed(&all, &[true, false]), &[1]);
    run.mark(10);
    assert!((1_900..=2_000).contains(&run.apart()), "{}", run.apart());
    run.marks(10);
    assert_eq!(run.wide.stats().windows_open, 0);
    run.mark(10_000);
    assert_eq!(run.matches(), [[0; 0]; 0]);
}
