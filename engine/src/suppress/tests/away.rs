//! Visitors who were not there for a long time.

use super::saved::restored;
use super::*;
use crate::model::{CloseReason, Identity, PARTITIONS, VisitChange, VisitRow};
use crate::suppress::{Presence, SuppressStats};
use SuppressReason as Why;

const DAY_MS: i64 = 24 * HOUR_MS;
const MEMORY_MS: i64 = 90 * DAY_MS;

fn windows() -> [WindowKey; 5] {
    let visitor = WindowKey::Visitor(VisitorId(Id::Bits(1)));
    [WindowKey::Visit, visitor, WindowKey::User("ann".into()), WindowKey::Site, WindowKey::Global]
}

/// A match of action 1 in a window, whose last event happened then.
fn found(window: &WindowKey, number: u32, time: i64) -> ActionFact {
    let (window, timestamp) = (window.clone(), EventTimeMs(time));
    ActionFact { window, timestamp, ..matched(number, &fact("call", 1)) }
}

/// Why the match does not act, in an epoch that ends when its event happened.
fn why_then(stage: &mut Suppressor, fact: ActionFact) -> Option<Why> {
    let now = fact.timestamp.0;
    why(stage, now, &[fact])[0]
}

/// A visit of visitor 1 is over.
fn was_there(stage: &mut Suppressor, from: i64, to: i64) {
    let mut row = VisitRow {
        instance: Instance(LogSeq(2)),
        change: VisitChange::Closed(CloseReason::Inactive),
        site: "shop".into(),
        visit: VisitId(Id::Bits(2)),
        visitor: Some(VisitorId(Id::Bits(1))),
        started: EventTimeMs(from),
        last_event: EventTimeMs(to),
        events: 2,
        identity: Identity::default(),
    };
    stage.seen(vec![Presence::of(&row).expect("it is over")]);
    assert_eq!(stage.epoch(&mark(to), Vec::new()), []);
    row.change = VisitChange::Opened { resumed: false };
    assert!(Presence::of(&row).is_none(), "it goes on");
}

/// All partitions have their turn.
fn sweep(stage: &mut Suppressor, now: i64) -> SuppressStats {
    for epoch in 0..u64::from(PARTITIONS) {
        stage.epoch(&EpochMark { epoch: Epoch(epoch), ..mark(now) }, Vec::new());
    }
    stage.stats()
}

#[test]
fn what_fired_once_for_a_visitor_or_user_may_fire_again_behind_a_gap() {
    let again = [Some(Why::Once), None, None, Some(Why::Once), Some(Why::Once)];
    for (window, again) in windows().iter().zip(again) {
        let mut stage = suppressor(SuppressConfig::default());
        assert_eq!(why_then(&mut stage, found(window, 1, 0)), None);
        let second = why_then(&mut stage, found(window, 2, MEMORY_MS));
        assert_eq!(second, Some(Why::Once), "{window:?}, to the millisecond");
        let mut stage = restored(&stage);
        let third = why_then(&mut stage, found(window, 3, 2 * MEMORY_MS + 1));
        assert_eq!(third, again, "{window:?}");
        let forgotten = u64::from(again.is_none());
        assert_eq!(stage.stats().visitors_forgotten, forgotten, "{window:?}");
        let fourth = why_then(&mut stage, found(window, 4, 2 * MEMORY_MS + 2));
        assert_eq!(fourth, Some(Why::Once), "{window:?}");
    }
}

/// Nothing was decided for longer, but the window may live on: a new version of the rule is decided
/// anew.
#[test]
fn a_visitor_who_was_there_meanwhile_is_not_forgotten() {
    for window in windows() {
        let mut stage = suppressor(SuppressConfig::default());
        assert_eq!(why_then(&mut stage, found(&window, 1, 0)), None);
        was_there(&mut stage, MEMORY_MS, MEMORY_MS + DAY_MS);
        let mut stage = restored(&stage);
        let second = why_then(&mut stage, found(&window, 2, 2 * MEMORY_MS + DAY_MS));
        assert_eq!(second, Some(Why::Once), "{window:?}");
        assert_eq!(stage.stats().visitors_forgotten, 0);
    }
}

#[test]
fn a_visit_behind_a_gap_does_not_close_it() {
    let mut stage = suppressor(SuppressConfig::default());
    let [_, window, ..] = windows();
    assert_eq!(why_then(&mut stage, found(&window, 1, 0)), None);
    was_there(&mut stage, MEMORY_MS + 1, MEMORY_MS + 2);
    assert_eq!(why_then(&mut stage, found(&window, 2, MEMORY_MS + 3)), None);
}

/// What comes in the place of a match from before the gap says nothing of the time behind it.
#[test]
fn a_match_is_corrected_in_the_epoch_in_which_its_visitor_comes_back() {
    let [_, window, ..] = windows();
    let mut stage = suppressor(SuppressConfig::default());
    let first = found(&window, 1, 0);
    assert_eq!(why_then(&mut stage, first.clone()), None);
    let (second, third) = (found(&window, 2, 1), found(&window, 3, MEMORY_MS + 2));
    let facts = vec![(first, -1), (second, 1), (third, 1)];
    let rows = stage.epoch(&mark(MEMORY_MS + 2), facts);
    let mut said: Vec<_> =
        rows.iter().map(|row| (row.fact.timestamp.0, row.op, row.fact.suppressed)).collect();
    said.sort();
    assert_eq!(said, [(1, Op::Correct, None), (MEMORY_MS + 2, Op::Assert, None)]);
}

#[test]
fn a_gap_gives_back_neither_a_cooldown_nor_a_limit() {
    let config = SuppressConfig { window_memory_ms: 1_000, ..SuppressConfig::default() };
    let mut stage = suppressor(config);
    let at = |time: i64, fact| ActionFact { timestamp: EventTimeMs(time), ..fact };
    let first = [at(0, fact("ask-first", 1)), at(0, fact("cool", 2))];
    assert_eq!(why(&mut stage, 0, &first), [None, None]);
    let then = [at(HOUR_MS, fact("ask-first", 3)), at(HOUR_MS, fact("cool", 4))];
    let reasons = [Some(Why::Limit), Some(Why::Cooldown)];
    assert_eq!(why(&mut stage, HOUR_MS, &then), reasons);
}

#[test]
fn a_visitor_who_does_not_come_again_is_freed() {
    let mut stage = suppressor(SuppressConfig::default());
    for window in &windows()[..3] {
        why_then(&mut stage, found(window, 1, 0));
    }
    assert_eq!(sweep(&mut stage, MEMORY_MS + DAY_MS).visitors, 1);
    let stats = sweep(&mut stage, MEMORY_MS + DAY_MS + 1);
    assert_eq!((stats.visitors, stats.visitors_forgotten), (0, 1));
}

/// What fired once on a site, and a cooldown that is longer. Also where it is swept again, behind a
/// restart or not.
#[test]
fn what_has_no_end_or_a_later_one_is_not_freed() {
    let mut stage = suppressor(SuppressConfig::default());
    deploy_cool(&mut stage, Some("cooldown = \"100d\"\n"));
    let [.., site, _] = windows();
    assert_eq!(why(&mut stage, 0, &[found(&site, 1, 0), fact("cool", 2)]), [None, None]);
    let of_other = of_visitor(2, fact("cool", 3));
    assert_eq!(why(&mut stage, 1, &[of_other]), [None]);
    let stats = sweep(&mut stage, 95 * DAY_MS);
    assert_eq!((stats.visitors, stats.visitors_forgotten), (2, 2));
    for mut stage in [restored(&stage), stage] {
        deploy_cool(&mut stage, Some("cooldown = \"100d\"\n"));
        let now = 96 * DAY_MS;
        let counted = stage.stats().visitors_forgotten;
        assert_eq!(sweep(&mut stage, now).visitors_forgotten, counted, "not twice");
        let again = [found(&site, 4, now), fact("cool", 5)];
        assert_eq!(why(&mut stage, now, &again), [Some(Why::Once), Some(Why::Cooldown)]);
    }
}

/// A turn looks at 256 visitors, of one partition.
#[test]
fn many_visitors_are_freed_in_several_turns() {
    let mut stage = suppressor(SuppressConfig::default());
    let is_there = |visitor: &u32| visitor_partition(&of_visitor(*visitor, fact("call", 1))).0 == 7;
    for visitor in (1..).filter(is_there).take(300) {
        why(&mut stage, 0, &[of_visitor(visitor, fact("call", visitor))]);
    }
    let now = MEMORY_MS + DAY_MS + 1;
    assert_eq!(sweep(&mut stage, now).visitors, 300 - 256);
    assert_eq!(sweep(&mut stage, now).visitors, 0);
}
