//! Windows other than the visit: whose events, when, and what happens at each bound.

mod absences;
mod early;
mod joining;
mod ongoing;
mod owners;

use super::{Router, Wide, WideSetup};
use crate::log::PauseKey;
use crate::matcher::testing::{NONE_MADE_UP, Sample, text};
use crate::matcher::{Matcher, MatcherConfig, Prepared};
use crate::model::{
    ActionFact, Epoch, EpochInput, EpochMark, EventTimeMs, Flags, Id, Instance, LogSeq,
    LoggedEvent, PARTITIONS, PartitionId, ServerTimeMs, VisitId, VisitorId, WindowKey,
};
use crate::stage::{BackfillRules, Effect, RuleChange, Stage};
use crate::suppress::{SuppressConfig, SuppressRules};
use beckon_rules::compile::{PackageSources, SourceFile, compile};
use beckon_rules::plan::{RulePlan, RuleSet};
use beckon_rules::schema::Schema;
use std::collections::BTreeSet;
use std::sync::Arc;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Both stages, and what the second said.
struct Run {
    matcher: Matcher,
    router: Router,
    wide: Wide,
    effects: Vec<Effect>,
    /// What was asserted and taken back.
    said: Vec<(ActionFact, i64)>,
    seq: u64,
    /// The last record of the epoch before.
    marked: u64,
    /// Events of the epoch under way.
    events: Vec<LoggedEvent>,
    /// The epochs before.
    log: Vec<EpochInput>,
    paused: BTreeSet<PauseKey>,
}

/// Rules `r0`, `r1`, ... that fire every time unless `keys` say otherwise.
fn rules(texts: &[(&str, &str)]) -> Arc<RuleSet> {
    let file = |(index, (query, keys)): (usize, &(&str, &str))| SourceFile {
        file: format!("r{index}.toml"),
        text: format!(
            "name = \"r{index}\"\nquery = '''{query}'''\n{keys}\n[action]\ntype = \"none\"\n"
        ),
    };
    let package = PackageSources {
        name: "com.example".to_owned(),
        package_file: None,
        rules: texts.iter().enumerate().map(file).collect(),
        is_operator: true,
        site: None,
    };
    let (rules, diagnostics) = compile(&[package], &Schema::event());
    Arc::new(rules.unwrap_or_else(|| panic!("{texts:?}: {diagnostics:?}")))
}

/// What is shown the log: the rules in the slots behind the first.
fn shown(all: &Arc<RuleSet>) -> BackfillRules {
    let rules = Arc::new(Prepared::of(Arc::clone(all), |slot| slot > 0));
    BackfillRules { number: 1, slots: (0..).take(rules.slots()).skip(1).collect(), rules }
}

impl Run {
    fn new(texts: &[(&str, &str)], config: MatcherConfig) -> Self {
        let rules = rules(texts);
        let setup = WideSetup::new(&rules, config).expect("a rule on another window");
        Self {
            matcher: Matcher::new(rules, config),
            router: setup.router(),
            wide: setup.stage(),
            effects: Vec::new(),
            said: Vec::new(),
            seq: 0,
            marked: 0,
            events: Vec::new(),
            log: Vec::new(),
            paused: BTreeSet::new(),
        }
    }

    /// One rule, small figures.
    fn one(query: &str, keys: &str) -> Self {
        Self::new(&[(query, keys)], NONE_MADE_UP)
    }

    fn event(&mut self, sample: &Sample) -> &mut Self {
        self.seq += 1;
        self.events.push(sample.pack(self.seq));
        self.matcher.event(&self.events[self.events.len() - 1], &mut self.effects);
        self
    }

    fn mark(&mut self, watermark: i64) -> &mut Self {
        let mark = EpochMark {
            epoch: Epoch(self.seq),
            first_seq: LogSeq(self.marked + 1),
            last_seq: LogSeq(self.seq),
            now: ServerTimeMs(0),
            watermark: EventTimeMs(watermark),
        };
        self.marked = self.seq;
        self.log.push(EpochInput { mark, events: std::mem::take(&mut self.events) });
        self.matcher.end_epoch(&mark, &mut self.effects);
        let mut inputs = Vec::new();
        self.router.route(&self.effects, &mut inputs);
        self.router.join_turn(|partition| self.matcher.open_visits(partition), &mut inputs);
        self.effects.clear();
        let mut effects = Vec::new();
        // Whatever order they come in.
        inputs.reverse();
        self.wide.epoch(&mark, inputs, &mut effects);
        self.say(effects);
        self
    }

    /// Open visits that the router knows.
    fn senders(&self) -> usize {
        (0..=u8::MAX).map(|number| self.router.senders(PartitionId(number)).count()).sum()
    }

    /// Stage 1 says whether a visit is open, where that is not known here.
    fn say(&mut self, effects: Vec<Effect>) {
        let Self { wide, matcher, said, .. } = self;
        said.extend(effects.into_iter().map(|effect| match effect {
            Effect::Match(mut fact, sign) => {
                if wide.is_unsure(&fact) {
                    let ActionFact { site, visit, instance, .. } = &*fact;
                    fact.is_visit_open = matcher.is_open(site, visit, *instance);
                }
                (*fact, sign)
            }
            other => panic!("nothing else is said here: {other:?}"),
        }));
    }

    /// Both parts of the second stage in their next life, behind a mark with this watermark.
    fn restart(&mut self, texts: &[(&str, &str)], config: MatcherConfig, watermark: i64) {
        let setup = WideSetup::new(&rules(texts), config).expect("a rule on another window");
        let (mut router, mut wide) = (setup.router(), setup.stage());
        let epoch = Epoch(self.seq);
        for number in 0..PARTITIONS {
            let partition = PartitionId(u8::try_from(number).expect("256 of them"));
            let (mut senders, mut windows) = (Vec::new(), Vec::new());
            self.router.save(partition, &mut senders);
            self.wide.save(partition, &mut windows);
            router.restore(&senders).expect("just saved");
            wide.restore(partition, epoch, &windows).expect("just saved");
        }
        wide.shared.take_time(&EpochMark {
            epoch,
            first_seq: LogSeq(self.marked + 1),
            last_seq: LogSeq(self.seq),
            now: ServerTimeMs(0),
            watermark: EventTimeMs(watermark),
        });
        wide.wake(epoch);
        (self.router, self.wide) = (router, wide);
    }

    /// The matches, where none was taken back.
    fn found(&self) -> impl Iterator<Item = &ActionFact> {
        self.said.iter().map(|(fact, sign)| {
            assert_eq!(*sign, 1, "{fact:?}");
            fact
        })
    }

    /// The same, as the numbers of their events.
    fn matches(&self) -> Vec<Vec<u128>> {
        self.found().map(ids).collect()
    }
}

fn ids(fact: &ActionFact) -> Vec<u128> {
    let bits = |id: &Id| match id {
        Id::Bits(bits) => *bits,
        Id::Text(text) => panic!("{text}"),
    };
    fact.events.iter().map(|event| bits(&event.0)).collect()
}

fn visitor(number: u128) -> VisitorId {
    VisitorId(Id::Bits(number))
}

const AB: &str = "sequence with maxspan=10s [A where true] [B where true]";
const VISITOR: &str = "window = \"visitor\"\nfire = \"every\"";
const FINAL: &str = "window = \"visitor\"\nfire = \"every\"\nemit = \"final\"";

#[test]
fn a_visitor_is_seen_over_visits_and_what_is_final_from_the_horizon() {
    let mut run = Run::one(AB, FINAL);
    run.event(&Sample::new("B", 50).visit(2).visitor(7)).mark(60);
    run.event(&Sample::new("A", 40).visit(1).visitor(7));
    run.event(&Sample::new("A", 40).visit(3).visitor(8)).mark(150);
    assert_eq!(run.matches(), [[0; 0]; 0], "an earlier one may still come");
    run.mark(151);
    assert_eq!(run.matches(), [[2, 1]], "in the order of time, not of the log");
    let fact = &run.said[0].0;
    assert_eq!(fact.window, WindowKey::Visitor(visitor(7)));
    assert_eq!((&fact.visit, fact.instance), (&VisitId(Id::Bits(2)), Instance(LogSeq(1))));
    assert_eq!((&fact.visitor, fact.decided), (&Some(visitor(7)), EventTimeMs(50)));
}

#[test]
fn rules_on_the_visit_stay_where_they_are() {
    let mut run = Run::new(&[("A where true", ""), ("B where true", VISITOR)], NONE_MADE_UP);
    run.event(&Sample::new("A", 0).visitor(7)).event(&Sample::new("B", 1).visitor(7));
    let visit = run.effects.iter().filter(|effect| matches!(effect, Effect::Match(..)));
    assert_eq!(visit.count(), 1, "the rule on the visit");
    run.mark(200);
    assert_eq!(run.matches(), [[2]]);
}

#[test]
fn the_visitor_of_a_match_is_that_of_the_visit_of_its_last_event() {
    let mut run = Run::one(AB, "window = \"site\"\nfire = \"every\"");
    run.event(&Sample::new("X", 0).visit(1).visitor(7));
    run.event(&Sample::new("A", 1).visit(2).visitor(8)).event(&Sample::new("B", 2).visit(1));
    run.event(&Sample::new("A", 3).visit(2).visitor(8)).event(&Sample::new("B", 4).visit(3));
    run.mark(200);
    let visitors: Vec<_> = run.found().map(|fact| fact.visitor.clone()).collect();
    assert_eq!(visitors, [Some(visitor(7)), None]);
}

#[test]
fn who_sends_is_known_behind_a_restart() {
    let rules = [(AB, "window = \"site\"\nfire = \"every\"")];
    let mut run = Run::new(&rules, NONE_MADE_UP);
    run.event(&Sample::new("X", 0).visit(1).visitor(7));
    run.event(&Sample::new("A", 1).visit(2).visitor(8)).mark(5);
    run.restart(&rules, NONE_MADE_UP, 5);
    run.event(&Sample::new("B", 2).visit(1)).mark(200);
    let visitors: Vec<_> = run.found().map(|fact| fact.visitor.clone()).collect();
    assert_eq!(visitors, [Some(visitor(7))]);
}

#[test]
fn what_went_into_the_base_is_final_behind_a_restart() {
    let config = MatcherConfig { window_events_max: 2, ..NONE_MADE_UP };
    let rules = [(AB, FINAL)];
    let mut run = Run::new(&rules, config);
    let sample = |name, time| Sample::new(name, time).visitor(7);
    // The third moves the horizon up to the first.
    run.event(&sample("A", 10)).event(&sample("A", 30)).event(&sample("A", 31)).mark(40);
    run.restart(&rules, config, 40);
    run.event(&sample("B", 5).visit(4)).mark(40);
    assert_eq!(run.wide.stats().events_not_correctable, 1);
}

#[test]
fn a_deadline_fires_from_the_horizon_and_says_whether_the_visit_is_over() {
    let absence = "sequence with maxspan=300ms [A where true] ![B where true]";
    let mut run = Run::one(absence, FINAL);
    run.event(&Sample::new("A", 0).visit(1).visitor(7))
        .event(&Sample::new("A", 1).visit(2).visitor(7));
    run.event(&Sample::new("A", 2).visit(3).visitor(7))
        .event(&Sample::new("A", 3).visit(4).visitor(7));
    // While it waits for the horizon, and while it waits for its deadline.
    run.event(&Sample::new("VisitEnded", 4).visit(2)).mark(110);
    run.event(&Sample::new("VisitEnded", 105).visit(3)).mark(400);
    assert_eq!(run.matches(), [[0; 0]; 0]);
    assert_eq!(run.wide.stats().due, Some(EventTimeMs(401)), "the watermark behind 300");
    run.event(&Sample::new("B", 302).visit(9).visitor(7)).mark(402);
    assert_eq!(run.matches(), [[1], [2]], "the others see it within their 300 ms");
    let is_open: Vec<_> = run.found().map(|fact| fact.is_visit_open).collect();
    assert_eq!(is_open, [true, false]);
    run.mark(1_000);
    assert_eq!((run.matches().len(), run.wide.stats().due), (2, None));
}

/// Behind a restart too, while its event waits for the horizon.
#[test]
fn an_event_of_a_visit_that_ended_before_the_horizon_says_so() {
    for is_restarted in [false, true] {
        let rules = [("A where true", FINAL)];
        let mut run = Run::new(&rules, NONE_MADE_UP);
        run.event(&Sample::new("A", 0).visit(1).visitor(7))
            .event(&Sample::new("A", 0).visit(2).visitor(7));
        run.event(&Sample::new("VisitEnded", 1).visit(2)).mark(100);
        if is_restarted {
            run.restart(&rules, NONE_MADE_UP, 100);
        }
        run.mark(101);
        let is_open: Vec<_> = run.found().map(|fact| fact.is_visit_open).collect();
        assert_eq!((run.matches(), is_open), (vec![vec![1], vec![2]], vec![true, false]));
    }
}

#[test]
fn over_window_events_max_the_horizon_moves_up() {
    let config = MatcherConfig { window_events_max: 2, ..NONE_MADE_UP };
    let mut run = Run::new(&[(AB, FINAL)], config);
    let sample = |name, time| Sample::new(name, time).visitor(7);
    run.event(&sample("A", 10)).event(&sample("A", 30)).mark(40);
    let waiting = |run: &Run| {
        let stats = run.wide.stats();
        (stats.events_waiting, stats.events_not_correctable)
    };
    assert_eq!(waiting(&run), (2, 0));
    run.event(&sample("B", 20).visit(2)).mark(40);
    assert_eq!((run.matches(), waiting(&run)), (vec![], (2, 0)), "A of 10 was tried");
    run.event(&sample("C", 5).visit(3)).event(&sample("B", 5).visit(4)).mark(40);
    assert_eq!(waiting(&run), (2, 1), "too late for this window; C is of no rule");
    run.mark(200);
    assert_eq!((run.matches(), waiting(&run)), (vec![vec![1, 3]], (0, 1)));
}

#[test]
fn over_windows_max_the_visitor_idle_longest_is_forgotten() {
    let config = MatcherConfig { windows_max: 1, ..NONE_MADE_UP };
    let keys = "window = \"visitor\"";
    let site = "window = \"site\"\nfire = \"every\"";
    let mut run = Run::new(&[("A where true", keys), ("A where true", site)], config);
    for number in 0_u32..2_000 {
        run.event(&Sample::new("A", i64::from(number)).visit(number.into()).visitor(number.into()));
    }
    run.mark(100_000);
    let stats = run.wide.stats();
    assert!(
        stats.windows_open <= 257,
        "{} windows, each partition may have one",
        stats.windows_open
    );
    assert_eq!(stats.windows_open + stats.windows_forgotten, 2_000, "that of the site is empty");
    assert_eq!(run.found().filter(|fact| fact.window == WindowKey::Site).count(), 2_000);
}

#[test]
fn a_visitor_without_events_is_forgotten_and_its_once_with_it() {
    let config = MatcherConfig { window_memory_ms: DAY_MS, ..NONE_MADE_UP };
    let rules = [("A where true", "window = \"visitor\""), ("A where true", "window = \"site\"")];
    let mut run = Run::new(&rules, config);
    let sample = |time| Sample::new("A", time).visitor(7).data("k", text("v"));
    run.event(&sample(0)).mark(1_000).event(&sample(DAY_MS)).mark(DAY_MS + 100);
    assert_eq!((run.matches().len(), run.wide.stats().windows_forgotten), (2, 0));
    let held = run.wide.stats().stage.state_bytes;
    run.mark(2 * DAY_MS + 100);
    assert_eq!(run.wide.stats().windows_forgotten, 0, "a day is not over");
    run.mark(2 * DAY_MS + 101);
    assert_eq!(run.wide.stats().windows_forgotten, 1, "of the visitor, not of the site");
    assert!(run.wide.stats().stage.state_bytes < held);
    run.event(&sample(2 * DAY_MS + 200)).mark(3 * DAY_MS);
    assert_eq!(run.matches(), [[1], [1], [3]]);
}

#[test]
fn state_max_keeps_the_newest_partial_matches() {
    let query = "sequence by data.k [A where true] [B where true]";
    let keys = "window = \"site\"\nfire = \"every\"\nstate_max = 2";
    let mut run = Run::one(query, keys);
    for (time, k) in (0..).zip(["u", "v", "w"]) {
        run.event(&Sample::new("A", time).data("k", text(k)));
    }
    run.mark(200);
    assert_eq!(run.wide.stats().stage.partials_dropped, 1);
    for k in ["u", "v", "w"] {
        run.event(&Sample::new("B", 200).data("k", text(k)));
    }
    run.mark(400);
    assert_eq!(run.matches(), [[2, 5], [3, 6]]);
}

/// Of the rules, those that stay in their slots.
fn placed(rules: &Arc<RuleSet>, is_there: &[bool]) -> Arc<RuleSet> {
    let vacant = Arc::new(RulePlan::vacant());
    let slots = rules.rules.iter().zip(is_there);
    let slots = slots.map(|(rule, is_there)| Arc::clone(if *is_there { rule } else { &vacant }));
    Arc::new(RuleSet {
        fields: rules.fields.clone(),
        rules: slots.collect(),
        types: rules.types.clone(),
    })
}

impl Run {
    fn deploy(&mut self, rules: &Arc<RuleSet>, retired: &[u32]) {
        self.deploy_beside(rules, retired, None);
    }

    /// The same, while some of the rules are shown what was before them.
    fn deploy_beside(
        &mut self,
        rules: &Arc<RuleSet>,
        retired: &[u32],
        backfill: Option<BackfillRules>,
    ) {
        let suppress = SuppressRules::new(rules, &SuppressConfig::default());
        let is_apart = |slot| backfill.as_ref().is_some_and(|it| it.slots.contains(&slot));
        let change = RuleChange {
            rules: Arc::new(Prepared::of(Arc::clone(rules), |slot| !is_apart(slot))),
            backfill,
            partial: Arc::default(),
            retired: retired.into(),
            fresh: Arc::default(),
            begins: Arc::default(),
            suppress: Arc::new(suppress.expect("a time zone")),
            paused: Arc::new(self.paused.clone()),
        };
        self.matcher.deploy(&change);
        self.router.deploy(&change);
        self.wide.deploy(&change);
    }
}

#[test]
fn a_rule_sees_what_comes_behind_its_deployment_and_one_that_is_gone_leaves_nothing() {
    let all = rules(&[(AB, VISITOR), ("any where true", VISITOR)]);
    let mut run = Run::new(&[(AB, VISITOR)], NONE_MADE_UP);
    run.deploy(&placed(&all, &[true, false]), &[]);
    let sample = |name, time| Sample::new(name, time).visitor(7);
    run.event(&sample("A", 0)).event(&sample("A", 200)).mark(150);
    // A partial match, and an event that waits.
    assert_eq!(run.wide.stats().events_waiting, 1);
    run.deploy(&placed(&all, &[false, true]), &[0]);
    run.event(&sample("B", 201)).mark(220);
    run.mark(400);
    assert_eq!(run.matches(), [[3]], "the new rule, of the new event");
    for _ in 0..256 {
        run.mark(400);
    }
    // The slot is given to another rule: it finds nothing there.
    run.deploy(&placed(&all, &[true, true]), &[]);
    run.event(&sample("B", 500)).mark(1_000);
    assert_eq!(run.matches(), [[3], [4]]);
    assert_eq!((run.wide.stats().windows_open, run.wide.stats().stage.state_bytes), (0, 0));
}

#[test]
fn what_waits_of_a_rule_that_is_gone_is_forgotten() {
    let all = rules(&[(AB, VISITOR), ("X where true", VISITOR)]);
    let mut run = Run::new(&[(AB, VISITOR)], NONE_MADE_UP);
    run.event(&Sample::new("A", 900_000).visitor(7)).mark(900_000);
    run.deploy(&placed(&all, &[false, true]), &[0]);
    for _ in 0..256 {
        run.mark(900_000);
    }
    run.deploy(&placed(&all, &[true, true]), &[]);
    run.event(&Sample::new("B", 900_001).visitor(7)).mark(1_000_000);
    assert_eq!(run.matches(), [[0; 0]; 0], "A was of the rule that had the slot before");
}

#[test]
fn a_user_is_one_who_was_proven() {
    let mut run = Run::one(AB, "window = \"user\"\nfire = \"every\"");
    let sign_in = |time, visit, flags| {
        let user = Sample::new("SignIn", time).visit(visit).flags(flags);
        user.data("userID", text("ada"))
    };
    run.event(&sign_in(0, 1, Flags::VERIFIED)).event(&sign_in(0, 2, Flags::VERIFIED));
    run.event(&sign_in(0, 3, Flags::default()));
    run.event(&Sample::new("A", 1).visit(1)).event(&Sample::new("B", 2).visit(3)).mark(300);
    run.event(&Sample::new("B", 300).visit(2)).mark(600);
    assert_eq!(run.matches(), [[4, 6]]);
    assert_eq!(run.said[0].0.window, WindowKey::User("ada".into()));
}

#[test]
fn the_site_is_part_of_every_key_but_that_of_all_sites() {
    for (window, expected) in [("visitor", 0), ("site", 0), ("global", 1)] {
        let mut run = Run::one(AB, &format!("window = \"{window}\"\nfire = \"every\""));
        let mut other = Sample::new("B", 1).visit(2).visitor(7);
        other.0.site = "other".into();
        run.event(&Sample::new("A", 0).visitor(7)).event(&other).mark(300);
        assert_eq!(run.matches().len(), expected, "{window}");
        assert!(run.found().all(|fact| &*fact.site == "other"), "that of the last event");
    }
}
