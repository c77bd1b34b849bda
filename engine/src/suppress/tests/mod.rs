//! Each reason, which goes before which, what is remembered, and the whole against a plain model.

mod away;
mod naive;
mod reasons;
mod saved;
mod state;

use super::{
    InvitationLimits, SuppressClock, SuppressConfig, SuppressRules, Suppressor, visitor_partition,
};
use crate::log::PauseKey;
use crate::model::{
    ActionFact, ActionId, ActionRow, Epoch, EpochMark, EventTimeMs, Id, Instance, LogSeq, MatchId,
    Op, ServerTimeMs, SuppressReason, VisitId, VisitorId, WindowKey,
};
use beckon_rules::compile::{PackageSources, SourceFile, compile};
use beckon_rules::plan::RuleSet;
use beckon_rules::schema::Schema;
use std::sync::Arc;

const HOUR_MS: i64 = 3_600_000;
/// Monday 2026-11-23 10:00 in Paris.
const MONDAY: i64 = 1_795_424_400_000;

/// Name, kind, and what else stands in the file.
const RULES: [(&str, &str, &str); 8] = [
    ("ask-first", "invite", "priority = 90\n"),
    ("ask-second", "invite", "priority = 10\n"),
    ("call", "webhook", ""),
    ("cool", "webhook", "cooldown = \"2h\"\n"),
    ("half", "notify", "holdout = 0.5\n"),
    ("off", "invite", "enabled = false\n"),
    ("open", "webhook", "schedule = \"Mo-Fr 09:00-18:00\"\ntimezone = \"Europe/Paris\"\n"),
    ("show", "content", "priority = 50\n"),
];
const PACKAGE: &str = "com.example";

fn compiled(rules: &[(&str, &str, &str)]) -> Arc<RuleSet> {
    let file = |(name, kind, more): &(&str, &str, &str)| SourceFile {
        file: format!("{name}.toml"),
        text: format!(
            "name = \"{name}\"\nquery = '''any where true'''\n{more}[action]\ntype = \"{kind}\"\n{}",
            match *kind {
                "webhook" => "endpoint = \"crm\"\n",
                "notify" => "channel = \"chat\"\n",
                _ => "",
            }
        ),
    };
    let package = PackageSources {
        name: PACKAGE.into(),
        package_file: None,
        rules: rules.iter().map(file).collect(),
        is_operator: true,
        site: None,
    };
    let (rules, diagnostics) = compile(&[package], &Schema::event());
    Arc::new(rules.unwrap_or_else(|| panic!("{diagnostics:?}")))
}

fn set_paused(stage: &mut Suppressor, is_paused: bool) {
    let key = PauseKey { package: Some(PACKAGE.into()), site: None };
    stage.set_paused(&Arc::new(is_paused.then_some(key).into_iter().collect()));
}

fn suppressor(config: SuppressConfig) -> Suppressor {
    Suppressor::new(&compiled(&RULES), config).expect("a time zone")
}

/// Deploys the rules with `cool` as a version of it says, or without it.
fn deploy_cool(stage: &mut Suppressor, version: Option<&str>) {
    let mut rules = RULES.to_vec();
    rules.retain(|(name, ..)| *name != "cool");
    rules.extend(version.map(|more| ("cool", "webhook", more)));
    let ready = SuppressRules::new(&compiled(&rules), &stage.setup.config).expect("a time zone");
    stage.set_rules(&Arc::new(ready));
}

fn mark(now_ms: i64) -> EpochMark {
    EpochMark {
        epoch: Epoch(1),
        first_seq: LogSeq(1),
        last_seq: LogSeq(0),
        now: ServerTimeMs(now_ms),
        watermark: EventTimeMs(now_ms - 2_000),
    }
}

/// A match of a rule of [`RULES`] in visit 1 of visitor 1; `number` is that of the match and the
/// action.
fn fact(rule: &str, number: u32) -> ActionFact {
    let (_, kind, more) = RULES.iter().find(|(name, ..)| *name == rule).expect("a rule");
    let priority = more.split_once("priority = ").map_or("0", |(_, rest)| rest.trim());
    ActionFact {
        window: WindowKey::Visit,
        site: "shop".into(),
        visit: VisitId(Id::Bits(1)),
        instance: Instance(LogSeq(1)),
        package: PACKAGE.into(),
        rule: rule.into(),
        action: ActionId(number.into()),
        matched: MatchId(number.into()),
        version: 1,
        suppressed: None,
        visitor: Some(VisitorId(Id::Bits(1))),
        timestamp: EventTimeMs(0),
        seq: LogSeq(number.into()),
        events: Vec::new(),
        kind: (*kind).into(),
        channel: None,
        expires_ms: None,
        endpoint: None,
        data: None,
        has_null_placeholder: false,
        priority: priority.parse().expect("a number"),
        decided: EventTimeMs(0),
        is_visit_open: true,
        is_backfilled: false,
    }
}

fn of_visitor(visitor: u32, fact: ActionFact) -> ActionFact {
    let (visit, instance) = (VisitId(Id::Bits(visitor.into())), Instance(LogSeq(visitor.into())));
    ActionFact { visitor: Some(VisitorId(Id::Bits(visitor.into()))), visit, instance, ..fact }
}

fn in_visit(visit: u32, fact: ActionFact) -> ActionFact {
    let (id, instance) = (VisitId(Id::Bits(visit.into())), Instance(LogSeq(visit.into())));
    ActionFact { visit: id, instance, ..fact }
}

/// The same action by another match.
fn matched(number: u32, fact: &ActionFact) -> ActionFact {
    ActionFact { matched: MatchId(number.into()), ..fact.clone() }
}

/// What is said at a time of these facts: op, reason and match, by match.
fn said(
    stage: &mut Suppressor,
    now_ms: i64,
    facts: &[(&ActionFact, i64)],
) -> Vec<(Op, Option<SuppressReason>, u128)> {
    let facts = facts.iter().map(|(fact, sign)| ((*fact).clone(), *sign)).collect();
    let rows = stage.epoch(&mark(now_ms), facts);
    let line = |row: ActionRow| (row.op, row.fact.suppressed, row.fact.matched.0);
    let mut lines: Vec<_> = rows.into_iter().map(line).collect();
    lines.sort_by_key(|(_, _, matched)| *matched);
    lines
}

/// The reason of each of these new matches, in the order given (their numbers ascend).
fn why(stage: &mut Suppressor, now_ms: i64, facts: &[ActionFact]) -> Vec<Option<SuppressReason>> {
    let facts: Vec<_> = facts.iter().map(|fact| (fact, 1)).collect();
    let said = said(stage, now_ms, &facts);
    for (op, reason, _) in &said {
        assert_eq!(*op, if reason.is_some() { Op::Suppress } else { Op::Assert });
    }
    said.into_iter().map(|(_, reason, _)| reason).collect()
}
