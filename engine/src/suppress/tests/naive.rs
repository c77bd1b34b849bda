//! The whole against a plain model that keeps every row ever said and looks through all of them.

use super::*;
use crate::dataflow::tests::fake::Random;
use crate::testing::seeds;
use beckon_rules::schedule::Schedule;
use std::collections::BTreeMap;

const PER_VISIT: u32 = 1;
const PER_DAY: usize = 3;

/// A row, when it was said, in the order of saying.
type Said = (i64, ActionRow);

fn same_visitor(left: &ActionFact, right: &ActionFact) -> bool {
    let is_same = match (&left.visitor, &right.visitor) {
        (None, None) => left.visit == right.visit,
        (left, right) => left == right,
    };
    is_same && left.site == right.site
}

/// What may change while it runs.
#[derive(Clone, Copy, Default)]
struct Situation {
    is_paused: bool,
    /// Of the rule `cool`, if it is there and has one.
    cooldown_hours: Option<i64>,
}

fn reason(
    history: &[Said],
    now: i64,
    situation: Situation,
    fact: &ActionFact,
) -> Option<SuppressReason> {
    let Situation { is_paused, cooldown_hours } = situation;
    let rule = &*fact.rule;
    let gone = || {
        let mine = history.iter().filter(|(_, row)| same_visitor(&row.fact, fact));
        mine.filter(|(_, row)| row.op == Op::Assert)
    };
    let hours = Schedule::new("Mo-Fr 09:00-18:00", "Europe/Paris").expect("right");
    let share = crate::suppress::rules::share(fact, &super::super::VisitorKey::of(fact));
    let is_invite = &*fact.kind == "invite";
    let invites = || gone().filter(|(_, row)| &*row.fact.kind == "invite");
    let of_visit = invites().filter(|(_, row)| row.fact.instance == fact.instance).count();
    let of_day = invites().filter(|(then, _)| now - then < 24 * HOUR_MS).count();
    let is_offer = |kind: &str| kind == "invite" || kind == "content";
    let is_taken = gone().any(|(then, row)| *then == now && is_offer(&row.fact.kind));
    let rests = cooldown_hours.is_some_and(|hours| {
        gone().any(|(then, row)| row.fact.rule == fact.rule && now - then < hours * HOUR_MS)
    });
    let reasons = [
        (SuppressReason::Disabled, rule == "off"),
        (SuppressReason::Paused, is_paused),
        (SuppressReason::Holdout, rule == "half" && share < 0.5),
        (SuppressReason::Schedule, rule == "open" && !hours.is_open(now)),
        (SuppressReason::Once, gone().any(|(_, row)| row.fact.action == fact.action)),
        (SuppressReason::Cooldown, rule == "cool" && rests),
        (SuppressReason::Limit, is_invite && (of_visit >= PER_VISIT as usize || of_day >= PER_DAY)),
        (SuppressReason::Priority, is_offer(&fact.kind) && is_taken),
        (SuppressReason::VisitEnded, is_invite && !fact.is_visit_open),
    ];
    reasons.into_iter().find(|(_, holds)| *holds).map(|(reason, _)| reason)
}

/// Adds what is to be said of an epoch.
fn epoch(history: &mut Vec<Said>, now: i64, situation: Situation, facts: &[(ActionFact, i64)]) {
    let what_was_said = |fact: &ActionFact| {
        let said = history.iter().rev().find(|(_, row)| row.fact.matched == fact.matched);
        said.and_then(|(_, row)| row.fact.suppressed)
    };
    let mut retracted = BTreeMap::<ActionId, Vec<ActionFact>>::new();
    for (fact, _) in facts.iter().filter(|(_, sign)| *sign < 0) {
        let fact = ActionFact { suppressed: what_was_said(fact), ..fact.clone() };
        retracted.entry(fact.action).or_default().push(fact);
    }
    for facts in retracted.values_mut() {
        // The last is taken first.
        facts.sort_by_key(|fact| (fact.suppressed, fact.seq, fact.matched));
        facts.reverse();
    }
    let mut found: Vec<_> = facts.iter().filter(|(_, sign)| *sign > 0).map(|(f, _)| f).collect();
    found.sort_by_key(|fact| (fact.seq, fact.matched));
    let mut new = Vec::new();
    for fact in found {
        match retracted.get_mut(&fact.action).and_then(Vec::pop) {
            Some(old) => {
                let fact = ActionFact { suppressed: old.suppressed, ..fact.clone() };
                let replaced = Some(old.matched);
                history.push((now, ActionRow { fact, op: Op::Correct, replaced }));
            }
            None => new.push(fact),
        }
    }
    let gone = retracted.into_values().flatten();
    history.extend(gone.map(|fact| (now, ActionRow { fact, op: Op::Retract, replaced: None })));
    new.sort_by_key(|fact| (-fact.priority, fact.rule.clone(), fact.seq, fact.matched));
    for fact in new {
        let suppressed = reason(history, now, situation, fact);
        let op = if suppressed.is_some() { Op::Suppress } else { Op::Assert };
        let fact = ActionFact { suppressed, ..fact.clone() };
        history.push((now, ActionRow { fact, op, replaced: None }));
    }
}

/// Some matches of an epoch, and some of those that hold taken back.
fn draw(
    random: &mut Random,
    next: &mut u32,
    holds: &mut Vec<ActionFact>,
) -> Vec<(ActionFact, i64)> {
    let mut facts = Vec::new();
    for _ in 0..random.below(4).min(holds.len()) {
        let old = holds.swap_remove(random.below(holds.len()));
        facts.push((old, -1));
    }
    for _ in 0..random.below(5) {
        *next += 1;
        let rule = RULES[random.below(RULES.len())].0;
        let small = |random: &mut Random, bound| u32::try_from(random.below(bound)).expect("small");
        let visitor = small(random, 3);
        let visit = 10 * visitor + small(random, 6);
        let mut new = in_visit(visit, fact(rule, *next));
        new.visitor = (visitor > 0).then(|| VisitorId(Id::Bits(visitor.into())));
        new.is_visit_open = random.below(4) > 0;
        // Often the action of an earlier match: of one that is taken back now, or that holds.
        let retracted: Vec<_> = facts.iter().map(|(fact, _)| fact.clone()).collect();
        let earlier = if random.below(2) == 0 { &retracted } else { &*holds };
        if !earlier.is_empty() && random.below(2) == 0 {
            let earlier = earlier[random.below(earlier.len())].clone();
            new = ActionFact { matched: new.matched, seq: new.seq, suppressed: None, ..earlier };
        }
        facts.push((new, 1));
    }
    holds.extend(facts.iter().filter(|(_, sign)| *sign > 0).map(|(fact, _)| fact.clone()));
    facts
}

#[test]
fn what_is_said_is_what_the_plain_model_says() {
    let mut seen = BTreeMap::<(Op, Option<SuppressReason>), usize>::new();
    for seed in seeds(300) {
        let mut random = Random(seed);
        let mut stage = suppressor(SuppressConfig::default());
        let (mut history, mut holds) = (Vec::new(), Vec::new());
        let (mut now, mut next) = (MONDAY, 0);
        let mut situation = Situation { is_paused: false, cooldown_hours: Some(2) };
        for number in 0..40 {
            now += [1, 1_000, HOUR_MS, 7 * HOUR_MS][random.below(4)];
            if random.below(8) == 0 {
                situation.is_paused = !situation.is_paused;
                set_paused(&mut stage, situation.is_paused);
            }
            if random.below(8) == 0 {
                let versions =
                    [None, Some(""), Some("cooldown = \"2h\"\n"), Some("cooldown = \"9h\"\n")];
                let version = random.below(versions.len());
                situation.cooldown_hours = [None, None, Some(2), Some(9)][version];
                deploy_cool(&mut stage, versions[version]);
            }
            let mut facts = draw(&mut random, &mut next, &mut holds);
            let from = history.len();
            epoch(&mut history, now, situation, &facts);
            let mut expected: Vec<_> = history[from..].iter().map(|(_, row)| row.clone()).collect();
            expected.sort();
            for index in (1..facts.len()).rev() {
                facts.swap(index, random.below(index + 1));
            }
            let mut rows = stage.epoch(&mark(now), facts);
            rows.sort();
            assert_eq!(rows, expected, "seed {seed}, epoch {number}");
            for row in rows {
                *seen.entry((row.op, row.fact.suppressed)).or_default() += 1;
            }
        }
        assert_eq!(stage.stats().decisions_forgotten, 0, "seed {seed}");
    }
    let reasons = seen.keys().filter(|(op, _)| *op == Op::Suppress).count();
    assert!(
        reasons == 9 || std::env::var_os("BECKON_TEST_SEED").is_some(),
        "every reason was met: {seen:?}"
    );
}
