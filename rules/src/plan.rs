//! The plan: what the matcher and the reference evaluator run.
//!
//! Names are resolved: a field is a [`FieldSlot`] of the rule set, an earlier term a
//! [`BindingSlot`] of the sequence. `with runs=n` is n equal steps. A rule set is immutable and
//! shared (`Arc`) by all workers.

use crate::ast::{Literal, Path, Query};
use crate::program::Program;
use crate::schema::FieldType;
use crate::template::Template;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleVersion(pub u128);

/// All rules that run together.
#[derive(Debug, Default)]
pub struct RuleSet {
    /// Fields that any program reads, by slot; each once. A path is from the event's root
    /// (`category`, `url.path`, `data.price`).
    pub fields: Vec<Path>,
    /// The rules, sorted by (package, name).
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
    /// Once for each window instance, or for every match.
    pub fire: Fire,
    /// Higher goes first.
    pub priority: i32,
    /// The share of visitors in the control group, 0 to 1 (runs with the suppression stage).
    pub holdout: f64,
    /// What a match does.
    pub action: ActionPlan,
    /// What is matched.
    pub query: QueryPlan,
    /// The checked syntax tree, for the reference evaluator and for explain.
    pub tree: Query,
}

/// How often a rule fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fire {
    /// Once for each window instance.
    Once,
    /// For every match.
    Every,
}

/// What a match does.
#[derive(Debug)]
pub struct ActionPlan {
    /// Which kind.
    pub kind: ActionKind,
    /// `channel` of a message.
    pub channel: Option<Box<str>>,
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
}

/// Events in order.
#[derive(Debug)]
pub struct SequencePlan {
    /// Positive steps, `runs` written out; at least one, at most [`STEPS_MAX`].
    pub steps: Vec<StepPlan>,
    /// From the first event to the last, inclusive.
    pub maxspan_ms: Option<i64>,
}

/// The most steps of a sequence, `runs` counted.
pub const STEPS_MAX: usize = 64;

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
