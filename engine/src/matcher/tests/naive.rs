//! The matcher against a naive one, over random streams; and partitions against each other.

use crate::matcher::MatcherConfig;
use crate::matcher::testing::{Rule, Run, Sample, list, rule, rule_set, step, text};
use crate::model::{LoggedEvent, Value, partition_of};
use crate::stage::{Effect, Stage};
use beckon_rules::ast::Literal;
use beckon_rules::plan::Fire;
use proptest::prelude::*;
use std::collections::BTreeMap;

const NAMES: [&str; 3] = ["A", "B", "C"];
const VALUES: [&str; 3] = ["x", "y", "z"];

/// An event in few words: visit, name, time since the one before, category values, key.
type Draft = (u8, usize, i64, Vec<usize>, Option<i64>);

fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    let categories = prop::collection::vec(0..VALUES.len(), 0..3);
    let draft = (0..4_u8, 0..NAMES.len(), 0..4_i64, categories, prop::option::of(0..3_i64));
    prop::collection::vec(draft, 0..60)
}

fn events(drafts: &[Draft]) -> Vec<LoggedEvent> {
    let mut now = 0;
    let event = |(seq, (visit, name, gap, categories, key)): (u64, &Draft)| {
        now += gap;
        let categories: Vec<Value> = categories.iter().map(|index| text(VALUES[*index])).collect();
        let sample = Sample::new(NAMES[*name], now)
            .visit(u128::from(*visit))
            .with("category", list(&categories));
        let sample = match key {
            Some(key) => sample.data("key", Value::Int(*key)),
            None => sample,
        };
        sample.pack(seq)
    };
    (1..).zip(drafts).map(event).collect()
}

/// A step in few words: name (3 is any), category, keyed.
type StepDraft = (usize, Option<usize>);
type RuleDraft = (Vec<StepDraft>, bool, bool, Option<i64>);

fn rule_drafts() -> impl Strategy<Value = Vec<RuleDraft>> {
    let step = (0..=NAMES.len(), prop::option::of(0..VALUES.len()));
    let steps = prop::collection::vec(step, 1..4);
    let rule = (steps, any::<bool>(), any::<bool>(), prop::option::of(0..8_i64));
    prop::collection::vec(rule, 1..5)
}

const RULE_NAMES: [&str; 5] = ["r0", "r1", "r2", "r3", "r4"];

fn rules(drafts: &[RuleDraft]) -> Vec<Rule> {
    let make = |(name, (steps, once, keyed, maxspan_ms)): (&'static str, &RuleDraft)| {
        let keyed = *keyed && steps.len() > 1;
        let steps: Vec<_> = steps
            .iter()
            .map(|(name, category)| {
                let step = step(NAMES.get(*name).copied().unwrap_or("any"));
                let step = match category {
                    Some(index) => step.equals("category", Literal::Str(VALUES[*index].into())),
                    None => step,
                };
                if keyed { step.by("data.key") } else { step }
            })
            .collect();
        let fire = if *once { Fire::Once } else { Fire::Every };
        Rule { fire, maxspan_ms: *maxspan_ms, ..rule(name, &steps) }
    };
    RULE_NAMES.into_iter().zip(drafts).map(make).collect()
}

/// All matches, by the definition: for each visit and rule one list of partial matches.
fn naive(events: &[Draft], rules: &[RuleDraft]) -> Vec<String> {
    let mut found = Vec::new();
    for visit in 0..4 {
        for (name, rule) in RULE_NAMES.into_iter().zip(rules) {
            found.extend(naive_rule(visit, rule, events).into_iter().map(|events| {
                let ids: String = events.iter().map(|seq| format!(" {seq}")).collect();
                format!("{name}:{ids}")
            }));
        }
    }
    found.sort();
    found
}

fn naive_rule(visit: u8, rule: &RuleDraft, events: &[Draft]) -> Vec<Vec<usize>> {
    let (steps, once, keyed, maxspan_ms) = rule;
    let keyed = *keyed && steps.len() > 1;
    let mut waiting: BTreeMap<(usize, Option<i64>), (i64, Vec<usize>)> = BTreeMap::new();
    let (mut found, mut now) = (Vec::new(), 0);
    for (at, (of, name, gap, categories, key)) in events.iter().enumerate() {
        now += gap;
        if *of != visit || keyed && key.is_none() {
            continue;
        }
        let key = if keyed { *key } else { None };
        for (index, (wanted, category)) in steps.iter().enumerate().rev() {
            let is_hit = (*wanted == NAMES.len() || wanted == name)
                && category.is_none_or(|category| categories.contains(&category));
            let before = match index {
                0 => Some((now, Vec::new())),
                _ if is_hit => waiting.remove(&(index - 1, key)),
                _ => None,
            };
            let Some((first, mut taken)) = before.filter(|_| is_hit) else { continue };
            if steps.len() > 1 && maxspan_ms.is_some_and(|maxspan_ms| now - first > maxspan_ms) {
                continue;
            }
            taken.push(at + 1);
            if index + 1 == steps.len() {
                found.push(taken);
            } else {
                waiting.insert((index, key), (first, taken));
            }
        }
    }
    found.truncate(if *once { 1 } else { usize::MAX });
    found
}

fn config() -> MatcherConfig {
    MatcherConfig { makes_visit_started: false, visit_events_max: 3, ..MatcherConfig::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn matches_equal_the_naive_ones(drafts in drafts(), rule_drafts in rule_drafts()) {
        let mut run = Run::new(&rule_set(rules(&rule_drafts)), config());
        run.matcher.events(&events(&drafts), &mut run.effects);
        let mut matches = run.matches();
        matches.sort();
        prop_assert_eq!(matches, naive(&drafts, &rule_drafts));
    }

    #[test]
    fn nothing_depends_on_where_partitions_are(drafts in drafts(), rule_drafts in rule_drafts()) {
        let rule_set = rule_set(rules(&rule_drafts));
        let config = MatcherConfig { visits_open_max: 1, ..MatcherConfig::default() };
        let mut whole = Run::new(&rule_set, config);
        let mut parts = [Run::new(&rule_set, config), Run::new(&rule_set, config)];
        for event in events(&drafts) {
            let view = event.event.view().expect("just packed");
            let partition = partition_of(view.site, &view.visit());
            whole.logged(&event);
            parts[usize::from(partition.0 % 2)].logged(&event);
        }
        whole.mark(i64::MAX);
        parts.iter_mut().for_each(|part| { part.mark(i64::MAX); });
        let text = |effect: &Effect| format!("{effect:?}");
        let mut together: Vec<String> = whole.effects.iter().map(text).collect();
        let mut apart: Vec<String> =
            parts.iter().flat_map(|part| &part.effects).map(text).collect();
        together.sort();
        apart.sort();
        prop_assert_eq!(together, apart);
        prop_assert_eq!(whole.matcher.stats().state_bytes, 0);
    }
}
