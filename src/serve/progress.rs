//! How far the rules have come in a visit, for the demo's page.
//!
//! The matcher's state lies in its workers, and nothing reads it from outside. The demo therefore asks
//! the reference evaluator, which means the same (property tests hold the two against each other),
//! about the visit's events among the latest `live_recent_max` that the live view remembers. Where the
//! visit began before those, the answer is not `whole`.

use crate::config::Config;
use beckon_engine::catalog::Deployer;
use beckon_engine::clock::Clock;
use beckon_engine::log::Standing;
use beckon_engine::model::{
    Epoch, EpochInput, EpochMark, EventRow, EventTimeMs, Flags, LogSeq, LoggedEvent, VisitId,
};
use beckon_engine::reference::{Reference, ReferenceConfig, UnderWay};
use beckon_ingest::{RuleProgress, StepProgress, VisitProgress};
use beckon_rules::ast::{QueryBody, Term};
use beckon_rules::plan::{Fire, RulePlan, Window};
use std::sync::Arc;

/// Says how far rules have come.
#[derive(Debug)]
pub(crate) struct Progress {
    reference: ReferenceConfig,
    watermark_delay_ms: i64,
    clock: Arc<dyn Clock>,
}

impl Progress {
    /// By the configuration's words for what a visit is, and a clock.
    pub(crate) fn new(config: &Config, clock: Arc<dyn Clock>) -> Self {
        let engine = &config.engine;
        let reference = ReferenceConfig {
            lateness_ms: engine.lateness_ms,
            inactivity_ms: Some(engine.inactivity_ms),
            visit_events_matched_max: u64::MAX,
            visit_events_max: usize::MAX,
            makes_visit_started: false,
        };
        Self { reference, watermark_delay_ms: i64::from(engine.watermark_delay_ms), clock }
    }

    /// What the rules on a visit have of it, given the latest events.
    pub(crate) fn of_visit(
        &self,
        deployer: &Deployer,
        (site, visit): (&str, &VisitId),
        latest: &[EventRow],
    ) -> VisitProgress {
        let rows: Vec<_> = latest.iter().filter(|row| is_of(row, site, visit)).collect();
        let first = rows.first();
        let whole =
            first.is_none_or(|row| row.instance.is_none_or(|instance| row.seq == instance.0));
        let mut reference = Reference::new(self.reference);
        reference.epoch(&self.epoch(&rows));
        let (rules, standing) = (Arc::clone(&deployer.compiled().rules), deployer.standing());
        let under_way = reference.under_way(&rules);
        let seen = rules.rules.iter().filter(|rule| {
            let is_seen = rule.window == Window::Visit && !rule.is_vacant();
            is_seen && rule.site.as_deref().is_none_or(|of| of == site)
        });
        let rules: Vec<_> = seen
            .map(|rule| {
                let is_its = |it: &&UnderWay| it.package == rule.package && it.rule == rule.name;
                rule_progress(rule, &query_text(rule, &standing), under_way.iter().find(is_its))
            })
            .collect();
        VisitProgress { whole, rules }
    }

    /// The events as one epoch that ends now.
    fn epoch(&self, rows: &[&EventRow]) -> EpochInput {
        let now = self.clock.now();
        let watermark = EventTimeMs(now.0.saturating_sub(self.watermark_delay_ms));
        let events = rows.iter().map(|row| LoggedEvent { seq: row.seq, event: row.event.clone() });
        let seq = |row: Option<&&EventRow>| row.map_or(LogSeq(0), |row| row.seq);
        let (first_seq, last_seq) = (seq(rows.first()), seq(rows.last()));
        let mark = EpochMark { epoch: Epoch(1), first_seq, last_seq, now, watermark };
        EpochInput { mark, events: events.collect() }
    }
}

/// Whether the rules saw the event, and in this visit. The made-up start of a visit is no event that
/// a page sent.
fn is_of(row: &EventRow, site: &str, visit: &VisitId) -> bool {
    let Ok(view) = row.event.view() else { return false };
    let is_made_up = view.flags.has(Flags::MADE_UP);
    row.fate.is_matched() && !is_made_up && view.site == site && view.visit() == *visit
}

fn rule_progress(rule: &RulePlan, query: &str, under_way: Option<&UnderWay>) -> RuleProgress {
    let (steps, maxspan_ms) = match &rule.tree.body {
        QueryBody::Event(_) => {
            (vec![StepProgress { text: query.trim().to_owned(), missing: false, runs: 1 }], None)
        }
        QueryBody::Sequence(sequence) | QueryBody::Sample(sequence) => {
            let steps = sequence.terms.iter().map(|term| step(term, query)).collect();
            (steps, sequence.maxspan_ms.as_ref().map(|maxspan| maxspan.node))
        }
    };
    let events = under_way.map(|it| it.events.iter().map(ToString::to_string).collect::<Vec<_>>());
    RuleProgress {
        package: rule.package.to_string(),
        rule: rule.name.to_string(),
        description: rule.description.to_string(),
        kind: rule.action.kind.as_str(),
        fire: if rule.fire == Fire::Once { "once" } else { "every" },
        maxspan_ms,
        steps,
        events: events.unwrap_or_default(),
        until_ms: under_way.and_then(|it| it.until).map(|until| until.0),
    }
}

/// A step in its author's words: what stands between its brackets.
fn step(term: &Term, query: &str) -> StepProgress {
    let text = query.get(term.span.range()).unwrap_or_default();
    let inside = text.split_once('[').and_then(|(_, rest)| rest.rsplit_once(']'));
    let text = inside.map_or(text, |(inside, _)| inside).trim();
    let text = text.strip_suffix(" where true").unwrap_or(text).trim();
    let runs = term.runs.as_ref().map_or(1, |runs| runs.node);
    StepProgress { text: text.to_owned(), missing: term.missing, runs }
}

/// The query as it stands in the rule's file; empty where that is gone.
fn query_text(rule: &RulePlan, standing: &Standing) -> String {
    let packages = standing.packages.iter();
    let of_rule = packages.filter(|(key, _)| key.name == rule.package && key.site == rule.site);
    let texts = of_rule.flat_map(|(_, deployment)| deployment.files.values());
    let mut files = texts.filter_map(|text| toml::from_str::<toml::Table>(text).ok());
    let named =
        |file: &toml::Table| file.get("name").and_then(toml::Value::as_str) == Some(&*rule.name);
    let file = files.find(named);
    file.and_then(|file| Some(file.get("query")?.as_str()?.to_owned())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use beckon_rules::compile::{PackageSources, SourceFile, compile};
    use beckon_rules::schema::Schema;
    use serde_json::json;

    #[test]
    fn a_step_is_said_in_its_authors_words() {
        let query = "sequence with maxspan=20s\n  [ AddToCart where data.price >= 1 ] with runs=2 as cart\n ![ Checkout where true ]\n";
        let text = format!("name = \"r\"\nquery = '''{query}'''\n[action]\ntype = \"none\"\n");
        let package = PackageSources {
            name: "com.example.shop".to_owned(),
            package_file: None,
            rules: vec![SourceFile { file: "r.toml".to_owned(), text }],
            is_operator: true,
            site: None,
        };
        let (rules, diagnostics) = compile(&[package], &Schema::event());
        let rules = rules.unwrap_or_else(|| panic!("{diagnostics:?}"));
        let said = serde_json::to_value(rule_progress(&rules.rules[0], query, None)).expect("JSON");
        let cart =
            json!({ "text": "AddToCart where data.price >= 1", "missing": false, "runs": 2 });
        let checkout = json!({ "text": "Checkout", "missing": true, "runs": 1 });
        assert_eq!(said["steps"], json!([cart, checkout]));
        assert_eq!((&said["maxspan_ms"], &said["events"]), (&json!(20_000), &json!([])));
    }
}
