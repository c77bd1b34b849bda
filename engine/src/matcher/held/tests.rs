//! Matches that wait, against a list of them that is looked through for everything.

use super::of_rule::FEW_MAX;
use super::*;
use crate::matcher::keys::Key;
use crate::matcher::testing::fact;
use crate::model::LogSeq;
use proptest::prelude::*;
use smallvec::SmallVec;

const RULES: u32 = 3;
const KEYS: u8 = 3;

/// A match in few words: its rule and key, what it is, its visit, how long it waits for a deadline (if
/// it does), and how far it is due behind what decides it.
type Draft = (u32, u8, u128, u64, Option<i64>, i64);

#[derive(Clone, Debug)]
enum Step {
    Hold(Vec<Draft>),
    /// Time moves on.
    Wait(i64),
    /// An event comes, and prevents those whose match is even.
    Prevent(u32, u8),
    PopOver(u32, u32),
    /// So far behind the time.
    TakeDue(i64),
    TakeDecided(i64),
    TakeKnown(i64),
    DropSame(u32, u128),
    VisitEnded(u64),
    Finish(u32),
    /// Another window takes over a rule.
    Adopt(u32),
    Restart,
}

fn of(rule: u32, key: u8) -> RuleKey {
    // Of two keys with one hash.
    RuleKey { rule, key: Key { hash: u64::from(key / 2), bytes: SmallVec::from_slice(&[key]) } }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let draft = || {
        let deadline = prop_oneof![3 => (0_i64..40).prop_map(Some), 1 => Just(None)];
        (0..RULES, 0..KEYS, 0_u128..50, 0_u64..4, deadline, prop_oneof![Just(0_i64), Just(5)])
    };
    let few = prop::collection::vec(draft(), 1..4);
    let many = prop::collection::vec(draft(), 10..40);
    let step = prop_oneof![
        8 => few.prop_map(Step::Hold),
        1 => many.prop_map(Step::Hold),
        4 => (0_i64..12).prop_map(Step::Wait),
        4 => (0..RULES, 0..KEYS).prop_map(|(rule, key)| Step::Prevent(rule, key)),
        2 => (0..RULES, 0_u32..12).prop_map(|(rule, max)| Step::PopOver(rule, max)),
        3 => (-3_i64..9).prop_map(Step::TakeDue),
        1 => (-3_i64..9).prop_map(Step::TakeDecided),
        1 => (-3_i64..9).prop_map(Step::TakeKnown),
        2 => (0..RULES, 0_u128..50).prop_map(|(rule, matched)| Step::DropSame(rule, matched)),
        1 => (0_u64..4).prop_map(Step::VisitEnded),
        1 => (0..RULES).prop_map(Step::Finish),
        1 => (0..RULES).prop_map(Step::Adopt),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..40)
}

/// All that waits, in the order in which it became complete.
#[derive(Default)]
struct List(Vec<Held>);

impl List {
    fn take(&mut self, is_asked: impl Fn(&Held) -> bool) -> Vec<Held> {
        let mut taken: Vec<Held> = self.0.extract_if(.., |held| is_asked(held)).collect();
        taken.sort_by_key(|held| (held.fact.decided, held.is_deadline, held.of.rule));
        let mut known = Vec::new();
        taken.retain(|held| {
            let is_new = !known.contains(&held.fact.matched);
            known.push(held.fact.matched);
            is_new
        });
        taken
    }

    fn pop_over(&mut self, rule: u32, now: EventTimeMs, max: u32) -> Option<Held> {
        let is_decided = |held: &Held| !held.is_deadline || held.fact.decided < now;
        let decided = self.0.iter().enumerate();
        let decided: Vec<_> =
            decided.filter(|(_, held)| held.of.rule == rule && is_decided(held)).collect();
        let first = decided.iter().min_by_key(|(_, held)| (held.fact.decided, held.is_deadline));
        let first = first.filter(|_| decided.len() > max as usize).map(|(index, _)| *index);
        first.map(|first| self.0.remove(first))
    }
}

/// Both, side by side.
struct Pair {
    held: HeldMatches,
    list: List,
    fact: ActionFact,
    now: EventTimeMs,
    next: u64,
}

fn names<'h>(held: impl IntoIterator<Item = &'h Held>) -> Vec<(u64, bool)> {
    held.into_iter().map(|held| (held.fact.seq.0, held.fact.is_visit_open)).collect()
}

impl Pair {
    fn new(fact: ActionFact) -> Self {
        let (held, list) = (HeldMatches::default(), List::default());
        Self { held, list, fact, now: EventTimeMs(0), next: 0 }
    }

    fn hold(&mut self, (rule, key, matched, visit, span_ms, late_ms): Draft) {
        self.next += 1;
        let decided = self.now.saturating_add(span_ms.unwrap_or_default());
        let fact = ActionFact {
            matched: MatchId(matched),
            instance: Instance(LogSeq(visit)),
            timestamp: self.now,
            seq: LogSeq(self.next),
            decided,
            ..self.fact.clone()
        };
        let held = Held {
            of: of(rule, key),
            is_deadline: span_ms.is_some(),
            newest: fact.seq,
            due: decided.saturating_add(late_ms),
            bound: Vec::new(),
            fact: fact.into(),
        };
        self.list.0.push(held.clone());
        self.held.hold(held);
    }

    /// What is taken out of both.
    fn take(&mut self, step: &Step) -> Option<(Vec<Held>, Vec<Held>)> {
        let Self { held, list, now, .. } = self;
        let time = |behind_ms: i64| now.saturating_add(-behind_ms);
        Some(match step {
            Step::PopOver(rule, max) => (
                held.pop_over(*rule, *now, *max).into_iter().collect(),
                list.pop_over(*rule, *now, *max).into_iter().collect(),
            ),
            Step::TakeDue(behind_ms) => {
                let time = time(*behind_ms);
                (held.take_due(time), list.take(|held| time > held.due))
            }
            Step::TakeDecided(behind_ms) => {
                let time = time(*behind_ms);
                (held.take_decided(time), list.take(|held| time > held.fact.decided))
            }
            Step::TakeKnown(behind_ms) => {
                let time = time(*behind_ms);
                let is_known = |held: &Held| !held.is_deadline || time > held.fact.decided;
                (held.take_known(time), list.take(is_known))
            }
            _ => return None,
        })
    }

    fn step(&mut self, step: &Step) {
        if let Some((taken, expected)) = self.take(step) {
            assert_eq!(names(&taken), names(&expected), "{step:?}");
            return;
        }
        let Self { held, list, now, .. } = self;
        match step {
            Step::Hold(drafts) => drafts.iter().for_each(|draft| self.hold(*draft)),
            Step::Wait(span_ms) => *now = now.saturating_add(*span_ms),
            Step::Prevent(rule, key) => {
                let (of, now) = (of(*rule, *key), *now);
                let is_prevented = |held: &Held| {
                    held.is_deadline
                        && held.of == of
                        && held.fact.timestamp < now
                        && now <= held.fact.decided
                };
                list.0.retain(|held| !is_prevented(held));
                held.prevent(&of, now, |_| true);
            }
            Step::DropSame(rule, matched) => {
                let is_same = |held: &Held| held.fact.matched.0 == *matched;
                list.0.retain(|held| held.of.rule != *rule || !is_same(held));
                held.drop_same(*rule, MatchId(*matched));
            }
            Step::VisitEnded(visit) => {
                let instance = Instance(LogSeq(*visit));
                let of_visit = list.0.iter_mut().filter(|held| held.fact.instance == instance);
                of_visit.for_each(|held| held.fact.is_visit_open = false);
                held.visit_ended(instance);
            }
            Step::Finish(rule) => {
                list.0.retain(|held| held.of.rule != *rule);
                held.finish(*rule);
            }
            Step::Adopt(rule) => {
                let mut other = HeldMatches::default();
                other.adopt(*rule, held);
                let of_rule = || list.0.iter().filter(|held| held.of.rule == *rule);
                assert_eq!(names(other.each().map(|it| &**it)), names(of_rule()));
                assert_eq!(other.first_due(), of_rule().map(|held| held.due).min());
                // What becomes of one is not the other's business.
                other.visit_ended(Instance(LogSeq(0)));
                other.take_due(*now);
                other.finish(*rule);
                assert_eq!(other.bytes(), 0);
            }
            Step::Restart => {
                let mut bytes = Vec::new();
                crate::snapshot::encode(held, &mut bytes);
                let mut as_list = Vec::new();
                list.0.sort_by_key(|held| held.of.rule);
                crate::snapshot::encode(&list.0, &mut as_list);
                assert!(bytes == as_list, "saved as a list");
                *held = crate::snapshot::decode(&bytes).expect("just saved");
            }
            _ => unreachable!("taken above"),
        }
    }

    fn check(&self) {
        let Self { held, list, now, .. } = self;
        let mut listed: Vec<_> = list.0.iter().collect();
        listed.sort_by_key(|held| held.of.rule);
        assert_eq!(names(held.each().map(|it| &**it)), names(listed));
        assert_eq!(held.first_due(), list.0.iter().map(|held| held.due).min());
        assert_eq!(held.bytes() == 0, list.0.is_empty());
        for rule in 0..RULES {
            let of_rule = || list.0.iter().filter(|held| held.of.rule == rule);
            let is_pending = |held: &&Held| held.is_deadline && held.fact.decided >= *now;
            assert_eq!(held.is_held(rule), of_rule().count() > 0);
            assert_eq!(held.rule_absences(rule, *now), of_rule().filter(is_pending).count());
            let is_before = of_rule().any(|held| held.fact.decided < *now);
            assert_eq!(held.is_decided_before(rule, *now), is_before);
            for of in (0..KEYS).map(|key| of(rule, key)) {
                let of_key = of_rule().filter(|held| held.of == of);
                assert_eq!(held.absences(&of, *now), of_key.filter(is_pending).count());
            }
        }
    }
}

proptest! {
    #[test]
    fn they_are_a_list_that_is_looked_through(steps in steps()) {
        let mut pair = Pair::new(fact());
        for step in steps {
            pair.step(&step);
            pair.check();
        }
    }
}

/// A rule with two or three has no orders, and one of which many waited has none behind that.
#[test]
fn few_have_no_orders() {
    let mut pair = Pair::new(fact());
    let is_many = |pair: &Pair| pair.held.rules.iter().any(OfRule::is_many);
    for number in 0..=FEW_MAX {
        assert!(!is_many(&pair));
        pair.hold((0, 0, number as u128, 0, Some(i64::try_from(number).expect("few")), 0));
        pair.hold((1, 0, 100 + number as u128, 0, Some(1), 0));
    }
    assert!(is_many(&pair));
    pair.held.finish(1);
    assert!(is_many(&pair));
    pair.held.take_due(EventTimeMs(9));
    assert!(!is_many(&pair));
    pair.held.take_due(EventTimeMs::MAX);
    assert_eq!((size_of::<HeldMatches>(), pair.held.bytes()), (48, 0));
}

/// A copy shares the matches, and where they lie: a late event has one made of all that wait.
#[test]
fn a_copy_shares_what_waits() {
    let mut pair = Pair::new(fact());
    for number in 0..1_000 {
        pair.hold((0, 0, number, 0, Some(1_000), 0));
    }
    let mut copy = HeldMatches::default();
    copy.adopt(0, &pair.held);
    assert!(pair.held.each().zip(copy.each()).all(|(one, other)| Arc::ptr_eq(one, other)));
    assert!(copy.each().all(|held| Arc::strong_count(held) == 1), "the trees are shared whole");
    pair.hold((0, 0, 1_000, 0, Some(1_000), 0));
    copy.drop_same(0, MatchId(7));
    assert_eq!((pair.held.each().count(), copy.each().count()), (1_001, 999));
}
