//! What suppression says of each match, against a model that looks through all that was said.
//!
//! The model knows the rule files' keys and the epochs with their net matches, as the outbox has
//! them; that the matches are the right ones is the business of the other tests. What fires once in a
//! window acts once there, whoever brings its match about.

use super::acting::{ActingRule, PACKAGES, ZONES, Zone, acting_rules, packaged};
use super::{MatcherConfig, cases, engine, matcher_config, packages, stream};
use beckon_engine::log::PauseKey;
use beckon_engine::model::{
    ActionFact, ActionRow, EpochInput, EpochMark, EpochOutput, EventTimeMs, Id, MatchId, Op,
    ServerTimeMs, SuppressReason, VisitChange, WindowKey as FactWindow, window_hash,
};
use beckon_engine::suppress::{InvitationLimits, SuppressClock, SuppressConfig, Suppressor};
use beckon_rules::plan::RuleSet;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use xxhash_rust::xxh3::xxh3_64_with_seed;

const DAY_MS: i64 = 24 * 3_600_000;

/// How often each reason comes up in the 2,000 cases of the ordinary tests, at least: about half of
/// what was counted.
const REASONS_MIN: [(SuppressReason, usize); 9] = [
    (SuppressReason::Disabled, 430),
    (SuppressReason::Paused, 280),
    (SuppressReason::Holdout, 800),
    (SuppressReason::Schedule, 900),
    (SuppressReason::Once, 50),
    (SuppressReason::Cooldown, 480),
    (SuppressReason::Limit, 700),
    (SuppressReason::Priority, 750),
    (SuppressReason::VisitEnded, 130),
];

/// The same of each kind of window: what does not act, and what is corrected.
const WINDOWS_MIN: [(&str, Op, usize); 7] = [
    ("visit", Op::Suppress, 3_000),
    ("visitor", Op::Suppress, 450),
    ("user", Op::Suppress, 100),
    ("site", Op::Suppress, 350),
    ("global", Op::Suppress, 450),
    ("site", Op::Correct, 6),
    ("global", Op::Correct, 9),
];

/// The same of matches that act again because their visitor was away for long, in the 20,000 cases by
/// command: so rare that the ordinary tests may meet none (`suppress::tests::away` holds it there).
const ANEW_MIN: usize = 1;

/// What does not stand in rule files.
#[derive(Clone, Copy, Debug)]
struct Site {
    /// A package or all of them, on a site or on all of them.
    paused: Option<(Option<&'static str>, Option<&'static str>)>,
    limits: Option<(u32, u32)>,
    zone: Zone,
    is_replay: bool,
    /// The server's clock goes so many times as fast as that of the events.
    pace: i64,
    /// A visitor who was not there for so long is forgotten.
    memory_ms: i64,
    /// The marks are at multiples of this, so that a time is over to the millisecond.
    grid_ms: i64,
}

fn site() -> impl Strategy<Value = Site> {
    let package = prop::option::of(prop::sample::select(&PACKAGES[..]));
    let paused = (package, prop::option::of(prop::sample::select(&["shop", "other"][..])));
    // The last is one that few visitors reach.
    let limit = || prop::sample::select(&[1_u32, 2, 3, 50][..]);
    let limits = (limit(), limit());
    (
        prop::option::weighted(0.1, paused),
        prop::option::weighted(0.9, limits),
        prop::sample::select(ZONES),
        prop::bool::weighted(0.2),
        // Where visitors are soon forgotten no visit is open for days in which nobody is there.
        prop::sample::select(
            &[(1_i64, 90 * DAY_MS), (100, 90 * DAY_MS), (1, 60_000), (1, 900)][..],
        ),
        prop::sample::select(&[1_i64, 1_000, 60_000, 3_600_000][..]),
    )
        .prop_map(|(paused, limits, zone, is_replay, (pace, memory_ms), grid_ms)| Site {
            paused,
            limits,
            zone,
            is_replay,
            pace,
            memory_ms,
            grid_ms,
        })
}

impl Site {
    fn suppressor(&self, rules: &RuleSet) -> Suppressor {
        let limits = self.limits.map(|(per_visit, per_visitor_per_day)| InvitationLimits {
            per_visit,
            per_visitor_per_day,
        });
        let config = SuppressConfig {
            invitations: limits,
            // Nothing is forgotten but with time.
            decisions_max: usize::MAX,
            window_memory_ms: self.memory_ms,
            timezone: self.zone.name.into(),
            clock: if self.is_replay { SuppressClock::Watermark } else { SuppressClock::Server },
            ..SuppressConfig::default()
        };
        let mut suppressor = Suppressor::new(rules, config).expect("a time zone");
        if let Some((package, site)) = self.paused {
            let key = PauseKey { package: package.map(Arc::from), site: site.map(Arc::from) };
            suppressor.set_paused(&Arc::new(BTreeSet::from([key])));
        }
        suppressor
    }

    /// The epochs with the server's clock in their marks.
    fn clocked(&self, mut epochs: Vec<EpochInput>) -> Vec<EpochInput> {
        let mut now_ms = stream::START_MS;
        for EpochInput { mark, .. } in &mut epochs {
            if mark.watermark < EventTimeMs::MAX {
                let gone_ms = (mark.watermark.0 - stream::START_MS).max(0);
                let gone_ms = self.pace * gone_ms;
                now_ms = stream::START_MS + gone_ms - gone_ms % self.grid_ms;
            }
            mark.now = ServerTimeMs(now_ms);
        }
        epochs
    }
}

/// A match, and what was said of it.
#[derive(Clone, Debug)]
struct Said {
    epoch: usize,
    now_ms: i64,
    fact: ActionFact,
    op: Op,
    reason: Option<SuppressReason>,
}

/// Who was there, until when, and how much had been said before the last long time away.
type Visitors = BTreeMap<(String, bool, Id), (EventTimeMs, usize)>;

/// All that was said so far.
struct Model<'a> {
    site: Site,
    rules: &'a [ActingRule],
    now_ms: i64,
    epochs: usize,
    said: Vec<Said>,
    visitors: Visitors,
}

impl Model<'_> {
    /// Says what becomes of an epoch's new matches and of those that no longer hold.
    fn epoch(&mut self, mark: &EpochMark, found: Vec<ActionFact>, gone: Vec<ActionFact>) {
        self.epochs += 1;
        if !self.site.is_replay {
            self.now_ms = mark.now.0;
        } else if mark.watermark < EventTimeMs::MAX {
            self.now_ms = mark.watermark.0;
        }
        let mut found = found;
        found.sort_by_key(|fact| (fact.seq, fact.matched));
        let mut gone: Vec<_> =
            gone.into_iter().map(|fact| (self.reason_said(&fact), fact)).collect();
        gone.sort_by_key(|(reason, fact)| (*reason, fact.seq, fact.matched));
        for (reason, old) in gone {
            let is_another =
                |fact: &ActionFact| fact.action == old.action && visitor(fact) == visitor(&old);
            match found.iter().position(is_another) {
                Some(place) => {
                    let fact = found.remove(place);
                    self.say(fact, Op::Correct, reason);
                }
                None => self.say(old, Op::Retract, reason),
            }
        }
        found.sort_by_key(|fact| {
            let ActingRule { acting, name, package, .. } = self.rule(fact);
            (-acting.priority, name.clone(), *package, fact.seq, fact.matched)
        });
        for fact in found {
            let reason = self.reason(&fact);
            self.say(fact, if reason.is_none() { Op::Assert } else { Op::Suppress }, reason);
        }
    }

    /// Learns when visitors were there for whom something is decided, or was before: by visits that are
    /// over, and by last events.
    fn meet(&mut self, output: &EpochOutput, found: &[ActionFact]) {
        let rows = output.visits.iter();
        let closed = rows.filter(|row| matches!(row.change, VisitChange::Closed(_)));
        let of_visits = closed.filter_map(|row| {
            let visitor = row.visitor.as_ref()?;
            Some(((row.site.to_string(), true, visitor.0.clone()), row.started, row.last_event))
        });
        let of_facts =
            found.iter().map(|fact| (owned(visitor(fact)), fact.timestamp, fact.timestamp));
        let is_met =
            |who: &(String, bool, Id)| found.iter().any(|fact| owned(visitor(fact)) == *who);
        let mut spans: Vec<_> = of_visits.chain(of_facts).collect();
        spans.retain(|(who, ..)| self.visitors.contains_key(who) || is_met(who));
        spans.sort();
        for (who, from, to) in spans {
            let (last, forgotten) = self.visitors.entry(who).or_insert((from, 0));
            if from.0 - last.0 > self.site.memory_ms {
                *forgotten = self.said.len();
            }
            *last = (*last).max(to);
        }
    }

    /// Whether it is not remembered that an action went: the visitor was away for long.
    fn is_forgotten(&self, place: usize) -> bool {
        let fact = &self.said[place].fact;
        let from = self.visitors.get(&owned(visitor(fact))).map_or(0, |(_, from)| *from);
        place < from && matches!(fact.window, FactWindow::Visitor(_) | FactWindow::User(_))
    }

    fn say(&mut self, fact: ActionFact, op: Op, reason: Option<SuppressReason>) {
        self.said.push(Said { epoch: self.epochs, now_ms: self.now_ms, fact, op, reason });
    }

    /// What the last was that was said of a match.
    fn reason_said(&self, fact: &ActionFact) -> Option<SuppressReason> {
        self.said_of(fact.matched, fact).reason
    }

    /// The same, by its id and a match of the same visitor.
    fn said_of(&self, id: MatchId, other: &ActionFact) -> &Said {
        let mut said = self.said.iter().rev();
        let is_it = |said: &&Said| said.fact.matched == id && visitor(&said.fact) == visitor(other);
        said.find(is_it).expect("it was found before")
    }

    fn rule(&self, fact: &ActionFact) -> &ActingRule {
        let is_of = |rule: &&ActingRule| rule.name == *fact.rule && rule.package == &*fact.package;
        self.rules.iter().find(is_of).expect("a rule")
    }

    /// Whether matches in place of others, with the same action, are of those who had it, if anybody
    /// had. (Over all sites two events may have one id, and so two matches of a rule that fires every time
    /// one action.)
    fn stays(&self, found: &[&ActionRow], gone: &[ActionFact]) -> bool {
        let acts_once = |fact: &ActionFact| {
            let ActingRule { acting, is_once, .. } = self.rule(fact);
            acting.is_enabled && *is_once
        };
        found.iter().map(|row| &row.fact).filter(|fact| acts_once(fact)).all(|fact| {
            let mut had = gone.iter().filter(|gone| gone.action == fact.action).peekable();
            had.peek().is_none() || had.any(|gone| visitor(gone) == visitor(fact))
        })
    }

    /// Whether an action may go once, however many visitors its window has. A user who is soon forgotten
    /// is one by each visitor.
    fn is_one_for_all(&self, fact: &ActionFact) -> bool {
        let lasts = match fact.window {
            FactWindow::Site | FactWindow::Global => true,
            FactWindow::User(_) => self.site.memory_ms > DAY_MS,
            FactWindow::Visit | FactWindow::Visitor(_) => false,
        };
        lasts && self.rule(fact).is_once
    }

    /// Why a new match does not act, the first reason that holds.
    fn reason(&self, fact: &ActionFact) -> Option<SuppressReason> {
        let Self { site, now_ms, epochs, .. } = self;
        let acting = &self.rule(fact).acting;
        let acted: Vec<&Said> = self
            .said
            .iter()
            .filter(|said| said.op == Op::Assert && visitor(&said.fact) == visitor(fact))
            .collect();
        let count = |test: &dyn Fn(&Said) -> bool| acted.iter().filter(|said| test(said)).count();
        let kind = |said: &Said| self.rule(&said.fact).acting.kind;
        let is_same_rule =
            |said: &Said| said.fact.rule == fact.rule && said.fact.package == fact.package;
        let rests = |cooldown_ms| {
            count(&|said| is_same_rule(said) && now_ms - said.now_ms < cooldown_ms) > 0
        };
        let is_invite = acting.kind == "invite";
        let is_one_at_a_time = is_invite || acting.kind == "content";
        let invites = |test: &dyn Fn(&Said) -> bool| {
            u32::try_from(count(&|said| kind(said) == "invite" && test(said))).expect("few")
        };
        let is_at_limit = |(per_visit, per_day)| {
            invites(&|said| said.fact.instance == fact.instance) >= per_visit
                || invites(&|said| now_ms - said.now_ms < DAY_MS) >= per_day
        };
        let is_behind =
            count(&|said| said.epoch == *epochs && ["invite", "content"].contains(&kind(said))) > 0;
        let is_of = |(package, site): (Option<&str>, Option<&str>)| {
            package.is_none_or(|package| package == &*fact.package)
                && site.is_none_or(|site| site == &*fact.site)
        };
        let went = (0..self.said.len()).any(|place| {
            let said = &self.said[place];
            said.op == Op::Assert
                && said.fact.action == fact.action
                && (visitor(&said.fact) == visitor(fact) || self.is_one_for_all(fact))
                && !self.is_forgotten(place)
        });
        if went != (count(&|said| said.fact.action == fact.action) > 0) {
            ANEW.fetch_add(1, Ordering::Relaxed);
        }
        let reasons = [
            (SuppressReason::Disabled, !acting.is_enabled),
            (SuppressReason::Paused, site.paused.is_some_and(is_of)),
            (SuppressReason::Holdout, share(fact) < acting.holdout),
            (
                SuppressReason::Schedule,
                acting.hours.is_some_and(|hours| !hours.is_open(*now_ms, site.zone)),
            ),
            (SuppressReason::Once, went),
            (SuppressReason::Cooldown, acting.cooldown_ms.is_some_and(rests)),
            (SuppressReason::Limit, is_invite && site.limits.is_some_and(is_at_limit)),
            (SuppressReason::Priority, is_one_at_a_time && site.limits.is_some() && is_behind),
            (SuppressReason::VisitEnded, is_invite && !fact.is_visit_open),
        ];
        reasons.into_iter().find(|(_, holds)| *holds).map(|(reason, _)| reason)
    }
}

/// Matches whose action went, of a visitor who was away for long since.
static ANEW: AtomicUsize = AtomicUsize::new(0);

fn owned((site, is_visitor, id): (&str, bool, &Id)) -> (String, bool, Id) {
    (site.to_owned(), is_visitor, id.clone())
}

/// Who it is: the visitor of a site, or the visit where none is known.
fn visitor(fact: &ActionFact) -> (&str, bool, &Id) {
    match &fact.visitor {
        Some(visitor) => (&fact.site, true, &visitor.0),
        None => (&fact.site, false, &fact.visit.0),
    }
}

/// Where a visitor stands for a rule, as it is published: from 0 up to 1.
fn share(fact: &ActionFact) -> f64 {
    let (site, _, id) = visitor(fact);
    let of_package = xxh3_64_with_seed(fact.package.as_bytes(), window_hash(site, id));
    let hash = xxh3_64_with_seed(fact.rule.as_bytes(), of_package);
    (hash >> 32) as f64 / 2_f64.powi(32)
}

/// What is said of a match in an epoch.
type Line = (MatchId, Op, Option<SuppressReason>);

/// What was said, epoch by epoch, and what should have been.
fn compare(site: Site, rules: &[ActingRule], outputs: &[EpochOutput]) -> [Vec<Vec<Line>>; 2] {
    let (said, visitors) = (Vec::new(), Visitors::new());
    let mut model = Model { site, rules, now_ms: stream::START_MS, epochs: 0, said, visitors };
    let mut lines = [Vec::new(), Vec::new()];
    for output in outputs {
        let rows = &output.actions;
        let (gone, found): (Vec<_>, _) = rows.iter().partition(|row| row.op == Op::Retract);
        let facts = |rows: Vec<&ActionRow>| -> Vec<ActionFact> {
            rows.into_iter().map(|row| row.fact.clone()).collect()
        };
        let mut gone = facts(gone);
        let replaced = |row: &ActionRow| Some(model.said_of(row.replaced?, &row.fact).fact.clone());
        gone.extend(rows.iter().filter_map(replaced));
        assert!(model.stays(&found, &gone), "an action went to another visitor: {output:#?}");
        let from = model.said.len();
        let found = facts(found);
        model.meet(output, &found);
        model.epoch(&output.mark, found, gone);
        let said = rows.iter().map(|row| (row.fact.matched, row.op, row.fact.suppressed));
        let wanted =
            model.said[from..].iter().map(|said| (said.fact.matched, said.op, said.reason));
        for (lines, epoch) in lines.iter_mut().zip([said.collect(), wanted.collect::<Vec<_>>()]) {
            let mut epoch: Vec<Line> = epoch;
            epoch.sort();
            lines.push(epoch);
        }
    }
    lines
}

#[test]
fn suppression_says_what_the_model_says() {
    let mut runner = TestRunner::new(ProptestConfig {
        cases: cases(),
        source_file: Some(file!()),
        test_name: Some("suppression_says_what_the_model_says"),
        ..ProptestConfig::default()
    });
    let seen = Mutex::new(BTreeMap::<SuppressReason, usize>::new());
    let of_windows = Mutex::new(BTreeMap::<(&str, Op), usize>::new());
    let drafts = prop::collection::vec(stream::draft(), 1..60);
    let ran = runner.run(&(acting_rules(), drafts, site()), |(rules, drafts, site)| {
        let compiled = packages(&packaged(&rules));
        let epochs = site.clocked(stream::epochs(&drafts));
        let said = |workers| {
            let config = MatcherConfig { window_memory_ms: site.memory_ms, ..matcher_config(500) };
            let setup = (config, site.suppressor(&compiled));
            engine(&compiled, setup, &epochs, workers)
        };
        let one = said(1);
        let [lines, wanted] = compare(site, &rules, &one);
        for line in wanted.iter().flatten() {
            if let (_, Op::Suppress, Some(reason)) = line {
                *seen.lock().expect("no panic").entry(*reason).or_default() += 1;
            }
        }
        prop_assert_eq!(lines, wanted);
        for row in one.iter().flat_map(|output| &output.actions) {
            let of = (row.fact.window.kind(), row.op);
            *of_windows.lock().expect("no panic").entry(of).or_default() += 1;
        }
        let two = said(2);
        let rows = |outputs: Vec<EpochOutput>| -> Vec<Vec<ActionRow>> {
            outputs.into_iter().map(|output| output.actions).collect()
        };
        prop_assert_eq!(rows(two), rows(one), "two workers, and one");
        Ok(())
    });
    if let Err(error) = ran {
        panic!("{error}\n{runner}");
    }
    let seen = seen.into_inner().expect("no panic");
    for (reason, min) in REASONS_MIN {
        let count = seen.get(&reason).copied().unwrap_or_default();
        assert!(cases() < 2_000 || count >= min, "{reason:?} not {min} times: {seen:?}");
    }
    let of_windows = of_windows.into_inner().expect("no panic");
    let anew = ANEW.load(Ordering::Relaxed);
    println!("{seen:?} {of_windows:?} {anew} anew in {} cases", cases());
    assert!(cases() < 20_000 || anew >= ANEW_MIN, "{anew}");
    for (window, op, min) in WINDOWS_MIN {
        let count = of_windows.get(&(window, op)).copied().unwrap_or_default();
        assert!(cases() < 2_000 || count >= min, "{window} {op:?} not {min} times: {of_windows:?}");
    }
}
