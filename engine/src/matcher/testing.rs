//! What the matcher's tests share: sample events, and a matcher that is fed and asked.

use super::{Matcher, MatcherConfig, Prepared};
use crate::model::{
    ActionFact, Epoch, EpochMark, Event, EventId, EventRow, EventTimeMs, Fate, Flags, Id, LogSeq,
    LoggedEvent, PARTITIONS, PackedEvent, PartitionId, ServerTimeMs, Value, VisitId, VisitRow,
    VisitorId,
};
use crate::stage::{Effect, RuleChange, Stage};
use crate::suppress::{SuppressConfig, SuppressRules};
use beckon_rules::ast::{EventFilter, Expr, Literal, Path, Query, QueryBody, Span, Spanned};
use beckon_rules::compile::{PackageSources, SourceFile, compile};
use beckon_rules::plan::{
    ActionKind, ActionPlan, Emit, FieldSlot, Fire, KeyPlan, QueryPlan, RulePlan, RuleSet,
    RuleVersion, SequencePlan, StepPlan, Window,
};
use beckon_rules::schema::Schema;
use beckon_rules::template::Template;
use std::sync::Arc;

/// Small figures, and no `VisitStarted` but those of the test.
pub(super) const NONE_MADE_UP: MatcherConfig = MatcherConfig {
    lateness_ms: 100,
    inactivity_ms: Some(1_000),
    visit_events_max: 500,
    visit_events_matched_max: 10_000,
    visits_open_max: 256 * 100,
    closed_visits_max: 256 * 100,
    rule_partials_max: 256,
    pending_absences_max: 64,
    rule_absences_max: 4_096,
    rule_hits_max: 256,
    window_events_max: 1_000,
    windows_max: 256 * 100,
    window_memory_ms: 90 * 24 * 60 * 60 * 1_000,
    joins: 1,
    key_combinations_max: 64,
    makes_visit_started: false,
};

pub(super) fn path(dotted: &str) -> Path {
    Path { parts: dotted.split('.').map(Box::from).collect() }
}

pub(super) fn text(text: &str) -> Value {
    Value::Str(text.into())
}

pub(super) fn list(values: &[Value]) -> Value {
    Value::List(values.to_vec())
}

pub(super) fn map(entries: &[(&str, Value)]) -> Value {
    Value::Map(entries.iter().map(|(name, value)| ((*name).into(), value.clone())).collect())
}

/// An event of site `shop`, visit 1.
#[derive(Clone, Debug)]
pub(super) struct Sample(pub(super) Event);

impl Sample {
    pub(super) fn new(name: &str, timestamp: i64) -> Self {
        Self(Event {
            flags: Flags::default(),
            site: "shop".into(),
            name: name.into(),
            id: EventId(Id::Bits(0)),
            visit: VisitId(Id::Bits(1)),
            visitor: None,
            page: None,
            timestamp: EventTimeMs(timestamp),
            server_timestamp: ServerTimeMs(timestamp),
            client_timestamp: None,
            tie: None,
            fields: Vec::new(),
        })
    }

    pub(super) fn visit(mut self, visit: u128) -> Self {
        self.0.visit = VisitId(Id::Bits(visit));
        self
    }

    pub(super) fn visitor(mut self, visitor: u128) -> Self {
        self.0.visitor = Some(VisitorId(Id::Bits(visitor)));
        self
    }

    pub(super) fn flags(mut self, flags: Flags) -> Self {
        self.0.flags = flags;
        self
    }

    pub(super) fn tie(mut self, tie: i64) -> Self {
        self.0.tie = Some(tie);
        self
    }

    pub(super) fn with(mut self, name: &str, value: Value) -> Self {
        self.0.fields.push((name.into(), value));
        self
    }

    pub(super) fn data(self, name: &str, value: Value) -> Self {
        self.with("data", map(&[(name, value)]))
    }

    /// At its place in the log, which is its id too.
    pub(super) fn pack(&self, seq: u64) -> LoggedEvent {
        let event = Event { id: EventId(Id::Bits(u128::from(seq))), ..self.0.clone() };
        LoggedEvent { seq: LogSeq(seq), event: PackedEvent::pack(&event) }
    }
}

/// A matcher, and all that it said.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) matcher: Matcher,
    pub(super) effects: Vec<Effect>,
    seq: u64,
    epoch: u64,
    watermark: i64,
}

impl Run {
    pub(super) fn new(rules: &Arc<RuleSet>, config: MatcherConfig) -> Self {
        let matcher = Matcher::new(Arc::clone(rules), config);
        Self { matcher, effects: Vec::new(), seq: 0, epoch: 0, watermark: i64::MIN }
    }

    /// Feeds an event; its sequence number is its id.
    pub(super) fn event(&mut self, sample: &Sample) -> &mut Self {
        self.seq += 1;
        self.logged(&sample.pack(self.seq))
    }

    pub(super) fn logged(&mut self, logged: &LoggedEvent) -> &mut Self {
        self.seq = logged.seq.0;
        self.matcher.event(logged, &mut self.effects);
        self
    }

    /// Ends an epoch.
    pub(super) fn mark(&mut self, watermark: i64) -> &mut Self {
        self.epoch += 1;
        self.watermark = watermark;
        let mark = self.ended(watermark);
        self.matcher.end_epoch(&mark, &mut self.effects);
        self
    }

    fn ended(&self, watermark: i64) -> EpochMark {
        EpochMark {
            epoch: Epoch(self.epoch),
            first_seq: LogSeq(0),
            last_seq: LogSeq(self.seq),
            now: ServerTimeMs(0),
            watermark: EventTimeMs(watermark),
        }
    }

    /// Another matcher takes over what this one saves behind the epoch that ended last.
    pub(super) fn restart(&mut self, rules: &Arc<RuleSet>, config: MatcherConfig) -> &mut Self {
        let mut restarted = Matcher::new(Arc::clone(rules), config);
        for partition in (0..PARTITIONS).map(|it| PartitionId(u8::try_from(it).expect("256"))) {
            let mut bytes = Vec::new();
            self.matcher.save(partition, &mut bytes);
            let ended = Epoch(self.epoch);
            restarted.restore(partition, ended, &bytes).expect("just saved");
        }
        let suppress = SuppressRules::new(rules, &SuppressConfig::default());
        let change = RuleChange {
            backfill: None,
            partial: Arc::default(),
            rules: Arc::new(Prepared::new(Arc::clone(rules))),
            retired: Arc::default(),
            fresh: Arc::default(),
            begins: Arc::default(),
            suppress: Arc::new(suppress.expect("a time zone")),
            paused: Arc::default(),
        };
        restarted.resume(&self.ended(self.watermark), &change);
        self.matcher = restarted;
        self
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &EventRow> {
        self.effects.iter().filter_map(|effect| match effect {
            Effect::Event(row) => Some(row),
            _ => None,
        })
    }

    /// The fates of the log's events, in order.
    pub(super) fn fates(&self) -> Vec<Fate> {
        let mut rows: Vec<&EventRow> = self.rows().filter(|row| !is_made_up(row)).collect();
        rows.sort_by_key(|row| row.seq);
        rows.iter().map(|row| row.fate).collect()
    }

    pub(super) fn visits(&self) -> Vec<&VisitRow> {
        let visits = self.effects.iter().filter_map(|effect| match effect {
            Effect::Visit(row) => Some(&**row),
            _ => None,
        });
        visits.collect()
    }

    pub(super) fn facts(&self) -> Vec<&ActionFact> {
        let facts = self.effects.iter().filter_map(|effect| match effect {
            Effect::Match(fact, 1) => Some(&**fact),
            _ => None,
        });
        facts.collect()
    }

    /// The matches as `rule: 1 2 3`, the numbers being sequence numbers.
    pub(super) fn matches(&self) -> Vec<String> {
        let line = |fact: &&ActionFact| {
            let ids = fact.events.iter().map(|id| match &id.0 {
                Id::Bits(bits) if *bits < 1_000_000 => format!(" {bits}"),
                _ => " *".to_owned(),
            });
            format!("{}:{}", fact.rule, ids.collect::<String>())
        };
        self.facts().iter().map(line).collect()
    }
}

pub(super) fn is_made_up(row: &EventRow) -> bool {
    row.event.view().is_ok_and(|view| view.flags.has(Flags::MADE_UP))
}

/// Numbers of visits that share a partition.
pub(super) fn of_one_partition(count: usize) -> Vec<u128> {
    let partition = |visit: &u128| {
        let sample = Sample::new("A", 0).visit(*visit);
        crate::model::partition_of("shop", &sample.0.visit)
    };
    let first = partition(&1);
    (1..).filter(|visit| partition(visit) == first).take(count).collect()
}

/// A step written by hand.
#[derive(Clone, Debug, Default)]
pub(super) struct Step {
    name: Option<&'static str>,
    equals: Vec<(&'static str, Literal)>,
    keys: Vec<(&'static str, bool)>,
    is_bound: bool,
}

/// A step that takes events of a name; of any, if it is `any`.
pub(super) fn step(name: &'static str) -> Step {
    Step { name: (name != "any").then_some(name), ..Step::default() }
}

impl Step {
    pub(super) fn equals(mut self, field: &'static str, constant: Literal) -> Self {
        self.equals.push((field, constant));
        self
    }

    pub(super) fn by(mut self, field: &'static str) -> Self {
        self.keys.push((field, false));
        self
    }

    pub(super) fn bound(mut self) -> Self {
        self.is_bound = true;
        self
    }
}

/// A rule written by hand.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) fire: Fire,
    pub(super) maxspan_ms: Option<i64>,
    pub(super) data: Option<Template>,
    /// One step makes an event query.
    pub(super) steps: Vec<Step>,
}

pub(super) fn rule(name: &'static str, steps: &[Step]) -> Rule {
    Rule { name, fire: Fire::Every, maxspan_ms: None, data: None, steps: steps.to_vec() }
}

/// The plan of rules written by hand.
pub(super) fn rule_set(rules: Vec<Rule>) -> Arc<RuleSet> {
    let mut set = RuleSet::default();
    for rule in rules {
        let steps: Vec<StepPlan> =
            rule.steps.iter().map(|step| step_plan(step, &mut set.fields)).collect();
        let query = match <[StepPlan; 1]>::try_from(steps) {
            Ok([step]) => QueryPlan::Event(step),
            Err(steps) => {
                let maxspan_ms = rule.maxspan_ms;
                QueryPlan::Sequence(SequencePlan { steps, maxspan_ms, ..SequencePlan::default() })
            }
        };
        set.rules.push(Arc::new(RulePlan {
            package: "com.example".into(),
            name: rule.name.into(),
            version: RuleVersion(1),
            description: "".into(),
            enabled: true,
            window: Window::Visit,
            fire: rule.fire,
            emit: Emit::Early,
            priority: 50,
            holdout: 0.0,
            schedule: None,
            timezone: None,
            cooldown_ms: None,
            state_max: None,
            backfill_acts: false,
            hosts: None,
            site: None,
            action: ActionPlan {
                kind: ActionKind::Invite,
                channel: Some("chat".into()),
                expires_ms: Some(120_000),
                endpoint: None,
                data: rule.data,
            },
            query,
            tree: nothing(),
        }));
    }
    Arc::new(set)
}

fn step_plan(step: &Step, fields: &mut Vec<Path>) -> StepPlan {
    let mut slot = |dotted: &str| {
        let path = path(dotted);
        let index = fields.iter().position(|known| *known == path).unwrap_or_else(|| {
            fields.push(path);
            fields.len() - 1
        });
        FieldSlot(u16::try_from(index).expect("few fields"))
    };
    StepPlan {
        name: step.name.map(Box::from),
        equals: step.equals.iter().map(|(name, value)| (slot(name), value.clone())).collect(),
        condition: None,
        across: None,
        keys: step
            .keys
            .iter()
            .map(|(name, optional)| KeyPlan { field: slot(name), optional: *optional })
            .collect(),
        is_bound: step.is_bound,
    }
}

/// A tree that the matcher does not look at.
fn nothing() -> Query {
    let node = Literal::Bool(true);
    let condition = Expr::Literal(Spanned { node, span: Span::default() });
    Query { body: QueryBody::Event(EventFilter { name: None, condition }), pipes: Vec::new() }
}

/// One rule `r` as its author writes it; `more` is the rest of its file.
pub(crate) fn compiled(query: &str, more: &str) -> Arc<RuleSet> {
    let action = if more.contains("[action]") { "" } else { "\n[action]\ntype = \"none\"\n" };
    let file = SourceFile {
        file: "r.toml".to_owned(),
        text: format!("name = \"r\"\nquery = '''{query}'''\n{more}{action}"),
    };
    let package = PackageSources {
        name: "com.example".to_owned(),
        package_file: None,
        rules: vec![file],
        is_operator: true,
        site: None,
    };
    let (rules, diagnostics) = compile(&[package], &Schema::event());
    Arc::new(rules.unwrap_or_else(|| panic!("{query}: {diagnostics:?}")))
}

/// What is said of a match.
pub(crate) fn fact() -> ActionFact {
    let mut run = Run::new(&compiled("A where true", ""), NONE_MADE_UP);
    run.event(&Sample::new("A", 0));
    run.facts()[0].clone()
}
