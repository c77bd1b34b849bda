//! The plan: what the matcher and the reference evaluator run.
//!
//! Names are resolved: a field is a [`FieldSlot`] of the rule set, an earlier term a
//! [`BindingSlot`] of the sequence. `with runs=n` is n equal steps. A rule set is immutable and
//! shared (`Arc`) by all workers.

use crate::ast::{EventFilter, Expr, Literal, Path, Query, QueryBody, Span, Spanned};
use crate::program::Program;
use crate::schema::FieldType;
use crate::template::Template;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// An index into [`RuleSet::fields`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldSlot(pub u16);

/// An index into [`RuleSet::rules`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleIndex(pub u32);

/// A step of a sequence (0 is the first) whose event later steps or the action name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BindingSlot(pub u8);

/// 128 bits of SHA-256 of a rule's canonical text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RuleVersion(pub u128);

/// All rules that run together.
#[derive(Debug, Default)]
pub struct RuleSet {
    /// Fields that any program reads, by slot; each once. A path is from the event's root
    /// (`category`, `url.path`, `data.price`).
    pub fields: Vec<Path>,
    /// The rules, sorted by (package, site, name) as they are compiled; where they run by the slots
    /// that they keep, and [vacant](RulePlan::vacant) where there is none.
    pub rules: Vec<Arc<RulePlan>>,
    /// What packages declare under `[types]`, sorted by path, each path once.
    pub types: Vec<(Path, FieldType)>,
}

/// One rule.
#[derive(Debug)]
pub struct RulePlan {
    /// A reversed domain.
    pub package: Arc<str>,
    /// The rule's name in its package.
    pub name: Arc<str>,
    /// Says whether two rules of one name are the same.
    pub version: RuleVersion,
    /// What its author says of it.
    pub description: Box<str>,
    /// Whether it may act: a match of a disabled rule is recorded as suppressed.
    pub enabled: bool,
    /// Whose events it sees.
    pub window: Window,
    /// Once for each window instance, or for every match.
    pub fire: Fire,
    /// When a match is asserted.
    pub emit: Emit,
    /// Higher goes first.
    pub priority: i32,
    /// The share of visitors in the control group, 0 to 1.
    pub holdout: f64,
    /// Opening hours in the syntax of OpenStreetMap, outside of which a match is suppressed: what
    /// [`Schedule::new`](crate::schedule::Schedule::new) took with `timezone`.
    pub schedule: Option<Box<str>>,
    /// The IANA time zone of `schedule`; `None` is that of the configuration.
    pub timezone: Option<Box<str>>,
    /// Between two actions for one visitor, in milliseconds.
    pub cooldown_ms: Option<i64>,
    /// Partial matches kept in one window, newest first.
    pub state_max: Option<u32>,
    /// Whether matches completed before the deployment act as well.
    pub backfill_acts: bool,
    /// The site whose events it sees; `None`: all.
    pub site: Option<Arc<str>>,
    /// The hosts whose events it sees; `None`: all.
    pub hosts: Option<HostSuffix>,
    /// What a match does.
    pub action: ActionPlan,
    /// What is matched.
    pub query: QueryPlan,
    /// The checked syntax tree, for the reference evaluator and for explain.
    pub tree: Query,
}

impl RulePlan {
    /// Stands where a rule was that is no longer deployed: it sees no event.
    #[must_use]
    pub fn vacant() -> Self {
        let node = Literal::Bool(false);
        let condition = Expr::Literal(Spanned { node, span: Span::default() });
        let body = QueryBody::Event(EventFilter { name: None, condition });
        Self {
            package: "".into(),
            name: "".into(),
            version: RuleVersion(0),
            description: "".into(),
            enabled: false,
            window: Window::Visit,
            fire: Fire::Once,
            emit: Emit::Early,
            priority: 0,
            holdout: 0.0,
            schedule: None,
            timezone: None,
            cooldown_ms: None,
            state_max: None,
            backfill_acts: false,
            site: None,
            hosts: None,
            action: ActionPlan {
                kind: ActionKind::None,
                channel: None,
                expires_ms: None,
                endpoint: None,
                data: None,
            },
            query: QueryPlan::Sequence(SequencePlan::default()),
            tree: Query { body, pipes: Vec::new() },
        }
    }

    /// Whether no rule stands here.
    #[must_use]
    pub fn is_vacant(&self) -> bool {
        matches!(&self.query, QueryPlan::Sequence(sequence) if sequence.steps.is_empty())
    }
}

/// `window`: whose events a rule sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Window {
    /// By `visitID`.
    Visit,
    /// By `globalVisitID`.
    Visitor,
    /// By `userID`.
    User,
    /// By the write key's site.
    Site,
    /// One over all sites.
    Global,
}

impl Window {
    /// All, by name.
    pub const ALL: &[(&str, Self)] = &[
        ("visit", Self::Visit),
        ("visitor", Self::Visitor),
        ("user", Self::User),
        ("site", Self::Site),
        ("global", Self::Global),
    ];

    /// The name in rule files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Visit => "visit",
            Self::Visitor => "visitor",
            Self::User => "user",
            Self::Site => "site",
            Self::Global => "global",
        }
    }

    /// Whether an instance of the window ends by itself.
    #[must_use]
    pub fn ends(self) -> bool {
        self == Self::Visit
    }

    /// Whether its events may be of several visitors.
    #[must_use]
    pub fn is_shared(self) -> bool {
        matches!(self, Self::Site | Self::Global)
    }
}

/// How often a rule fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fire {
    /// Once for each window instance.
    Once,
    /// For every match.
    Every,
}

/// When a match is asserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// At the event that completes it.
    Early,
    /// When it can no longer change.
    Final,
}

/// The hosts of a package with `domain_separation`: those whose labels, backwards, begin with the
/// labels of the package's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSuffix(Box<str>);

impl HostSuffix {
    /// The hosts of a package: `shop.example.com` and all below it for `com.example.shop`.
    #[must_use]
    pub fn of_package(name: &str) -> Self {
        let labels: Vec<&str> = name.rsplit('.').collect();
        Self(labels.join(".").to_ascii_lowercase().into())
    }

    /// Whether the host is one of them; the case of its letters and a full stop at its end make no
    /// difference.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).as_bytes();
        let suffix = self.0.as_bytes();
        let Some(before) = host.len().checked_sub(suffix.len()) else { return false };
        let (below, end) = host.split_at(before);
        end.eq_ignore_ascii_case(suffix) && below.last().is_none_or(|last| *last == b'.')
    }
}

/// What a match does.
#[derive(Debug)]
pub struct ActionPlan {
    /// Which kind.
    pub kind: ActionKind,
    /// `channel` of a message.
    pub channel: Option<Box<str>>,
    /// `expires` of a message, in milliseconds; `None`: as the configuration says of its kind.
    pub expires_ms: Option<i64>,
    /// `endpoint` of a webhook: a name of the configuration.
    pub endpoint: Option<Box<str>>,
    /// `data`: JSON whose texts are templates.
    pub data: Option<Template>,
}

/// Kinds of action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ActionKind {
    /// Invite the visitor to a conversation.
    Invite,
    /// Show content.
    Content,
    /// Send the page a message.
    Notify,
    /// Call a system.
    Webhook,
    /// Do nothing; the match is recorded.
    None,
}

impl ActionKind {
    /// The name in rule files and exports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invite => "invite",
            Self::Content => "content",
            Self::Notify => "notify",
            Self::Webhook => "webhook",
            Self::None => "none",
        }
    }
}

/// What is matched.
#[derive(Debug)]
pub enum QueryPlan {
    /// One event is a match. It has no keys and no binding.
    Event(StepPlan),
    /// Events in order.
    Sequence(SequencePlan),
    /// Events in any order.
    Sample(SamplePlan),
}

/// Events in order.
#[derive(Debug, Default)]
pub struct SequencePlan {
    /// Positive steps, `runs` written out; at least one where there is a rule, at most [`STEPS_MAX`].
    pub steps: Vec<StepPlan>,
    /// `![...]`, in the order of the text; at most [`MISSING_MAX`]. Where one stands before the
    /// first step or behind the last, there is a `maxspan_ms`.
    pub missing: Vec<MissingPlan>,
    /// An event that ends the partial matches of its key; reads no earlier step.
    pub until: Option<StepPlan>,
    /// From the first event to the last, inclusive.
    pub maxspan_ms: Option<i64>,
}

/// Events in any order, one for each step, all of one key.
#[derive(Debug)]
pub struct SamplePlan {
    /// The steps, as the text has them; at least two, at most [`STEPS_MAX`]. None reads another.
    pub steps: Vec<StepPlan>,
    /// From the earliest event to the latest, inclusive.
    pub maxspan_ms: Option<i64>,
}

/// `![...]`: no such event may lie between two steps, before the first, or behind the last.
#[derive(Clone, Debug)]
pub struct MissingPlan {
    /// Positive steps before it: 0 at the start, the number of all steps at the end.
    pub after: u8,
    /// The event; with as many keys as the steps. Its `across` may read the steps before it.
    pub step: StepPlan,
}

/// The most steps of a sequence or a sample, `runs` counted.
pub const STEPS_MAX: usize = 64;
/// The most missing events of a sequence.
pub const MISSING_MAX: usize = 16;

/// What one event must be.
#[derive(Clone, Debug)]
pub struct StepPlan {
    /// Its name; `None` for any.
    pub name: Option<Box<str>>,
    /// Conjuncts `field == constant` (case-sensitive, a constant that is not null): all are
    /// necessary, and the predicate index may use them. `condition` does not repeat them.
    pub equals: Vec<(FieldSlot, Literal)>,
    /// The rest of what concerns this event alone.
    pub condition: Option<Program>,
    /// Conjuncts that name events of earlier steps.
    pub across: Option<Program>,
    /// Join keys, the sequence's first, then the step's; the same number in all steps.
    pub keys: Vec<KeyPlan>,
    /// Later steps or the action read this step's event.
    pub is_bound: bool,
}

/// One join key of a step.
#[derive(Clone, Debug)]
pub struct KeyPlan {
    /// The field.
    pub field: FieldSlot,
    /// Absence counts as null; otherwise it keeps the event out.
    pub optional: bool,
}
