//! Queries: from terms to steps, and what of a query does not run yet.

use super::expression::Kind;
use super::{Bindings, Checker};
use crate::ast::{
    EventFilter, Expr, JoinKey, Literal, Pipe, Query, QueryBody, Sequence, Span, Spanned, Term,
};
use crate::plan::{FieldSlot, KeyPlan, QueryPlan, STEPS_MAX, SequencePlan, StepPlan};
use crate::program::{Node, Program, Relation};
use crate::schema::{FieldType, Resolved};

/// What a filter comes to, before it is split and compiled.
struct Filter {
    name: Option<Box<str>>,
    condition: Node,
    span: Span,
    /// A key would do what an equality with the other term does.
    could_be_keyed: bool,
}

impl Checker<'_> {
    /// Checks a query; the plan is right only where no error was found. Which steps are bound is
    /// known, but not marked, until the action was checked too ([`mark_bound`]).
    pub(crate) fn query(&mut self, query: &Query) -> QueryPlan {
        for pipe in &query.pipes {
            self.findings.not_yet(pipe.span, pipe_name(&pipe.node));
        }
        match &query.body {
            QueryBody::Event(filter) => {
                let filter = self.filter(filter);
                QueryPlan::Event(self.step(filter, &[]))
            }
            QueryBody::Sequence(sequence) => QueryPlan::Sequence(self.sequence(sequence)),
            QueryBody::Sample(sample) => {
                let span = sample.terms.first().map_or(Span::default(), |term| term.span);
                self.findings.not_yet(span, "`sample` queries are");
                QueryPlan::Sequence(self.sequence(sample))
            }
        }
    }

    fn sequence(&mut self, sequence: &Sequence) -> SequencePlan {
        let mut steps = Vec::new();
        let mut key_kinds: Vec<Kind> = Vec::new();
        self.name_steps(sequence);
        for term in &sequence.terms {
            let keys = self.keys(sequence, term, &mut key_kinds);
            let mut filter = self.filter(&term.filter);
            filter.could_be_keyed = sequence.terms.len() == 2;
            if term.missing {
                self.findings.not_yet(term.span, "missing events `![...]` are");
                continue;
            }
            let runs = term.runs.as_ref().map_or(1, |runs| runs.node);
            let step = self.step(filter, &keys);
            for _ in 0..usize::try_from(runs).unwrap_or(usize::MAX).min(STEPS_MAX) {
                steps.push(step.clone());
            }
            self.bindings.step = self.bindings.step.saturating_add(u8_of(runs));
        }
        if let Some(until) = &sequence.until {
            self.findings.not_yet(until.span, "`until` terms are");
            self.keys(sequence, until, &mut key_kinds);
            self.filter(&until.filter);
        }
        self.check_extent(sequence);
        steps.truncate(STEPS_MAX);
        let maxspan_ms = sequence.maxspan_ms.as_ref().map(|maxspan| maxspan.node);
        SequencePlan { steps, maxspan_ms }
    }

    /// Learns all names first, so that the use of a later one is told from an unknown field.
    fn name_steps(&mut self, sequence: &Sequence) {
        let mut steps = 0_u8;
        for term in &sequence.terms {
            let runs = term.runs.as_ref().map_or(1, |runs| runs.node);
            if !term.missing {
                steps = steps.saturating_add(u8_of(runs));
            }
            if let Some(name) = &term.name {
                self.check_step_name(name);
                self.bindings.add(&name.node, steps.saturating_sub(1));
            }
        }
    }

    fn check_step_name(&mut self, name: &Spanned<Box<str>>) {
        let problem = if self.schema.begins_a_path(&name.node) || name.node.as_ref() == "event" {
            "is a name of the event's own"
        } else if self.bindings.find(&name.node).is_some() {
            "names two steps"
        } else {
            return;
        };
        self.findings.error_with_help(
            "step-name",
            name.span,
            (format!("`{}` {problem}", name.node), "choose another name behind `as`".to_owned()),
        );
    }

    /// Numbers: steps, runs, maxspan.
    fn check_extent(&mut self, sequence: &Sequence) {
        let mut steps = 0_usize;
        for term in sequence.terms.iter().filter(|term| !term.missing) {
            let runs = term.runs.as_ref();
            if let Some(runs) = runs.filter(|runs| runs.node == 0) {
                self.findings.error("bad-runs", runs.span, "`runs` is at least 1");
            }
            let runs = runs.map_or(1, |runs| runs.node);
            let before = steps;
            steps = steps.saturating_add(usize::try_from(runs).unwrap_or(usize::MAX));
            if steps > STEPS_MAX && before <= STEPS_MAX {
                self.findings.error(
                    "over-limit",
                    term.span,
                    format!("a sequence has at most {STEPS_MAX} steps, `runs` counted"),
                );
            }
        }
        if let Some(maxspan) = sequence.maxspan_ms.as_ref().filter(|maxspan| maxspan.node <= 0) {
            self.findings.error("bad-maxspan", maxspan.span, "`maxspan` is more than nothing");
        }
    }

    /// The keys of a term: the sequence's, then its own. `kinds` are those of the first term.
    fn keys(&mut self, sequence: &Sequence, term: &Term, kinds: &mut Vec<Kind>) -> Vec<KeyPlan> {
        let is_first = kinds.is_empty();
        let mut plans = Vec::new();
        for (index, key) in sequence.by.iter().chain(&term.by).enumerate() {
            let Some((plan, kind)) = self.key(key) else {
                continue;
            };
            plans.push(plan);
            match kinds.get(index) {
                None if is_first => kinds.push(kind),
                Some(first) if !kind.compares_with(*first) => self.findings.error(
                    "type-mismatch",
                    key.expr.span(),
                    format!(
                        "this key is {}, that of the first term {}: they are never equal",
                        kind.noun(),
                        first.noun()
                    ),
                ),
                _ => {}
            }
        }
        let expected = sequence.terms.first().map_or(0, |first| first.by.len());
        if term.by.len() != expected {
            self.findings.error(
                "key-count",
                term.span,
                format!(
                    "all terms have the same number of keys: the first has {expected}, this {}",
                    term.by.len()
                ),
            );
        }
        plans
    }

    fn key(&mut self, key: &JoinKey) -> Option<(KeyPlan, Kind)> {
        let Expr::Field { path, optional } = &key.expr else {
            self.findings.not_yet(key.expr.span(), "keys that are not fields are");
            return None;
        };
        let optional = key.optional || *optional;
        let is_step =
            path.node.parts.first().is_some_and(|name| self.bindings.find(name).is_some());
        if is_step {
            self.findings.error(
                "bad-key",
                path.span,
                "a key is a field of the term's own event; compare steps in the condition",
            );
            return None;
        }
        let field = self.field(path, optional);
        let kind = Kind::of(field.spec.kind);
        // A field that no event has still is a key: absent, it keeps every event out, or is null.
        let field = match field.node {
            Node::Field(load) => load.slot,
            _ => self.slots.of(&path.node)?,
        };
        Some((KeyPlan { field, optional }, kind))
    }

    /// Checks a filter's condition and warns of one that says nothing.
    fn filter(&mut self, filter: &EventFilter) -> Filter {
        let errors = self.findings.errors();
        let condition = self.condition(&filter.condition);
        let span = filter.condition.span();
        let is_literal = matches!(&filter.condition, Expr::Literal(_));
        if self.findings.errors() == errors {
            if condition.is_never_true() {
                self.findings.warn(
                    "never-matches",
                    span,
                    (
                        "this condition is never true".to_owned(),
                        "a comparison with a constant or an unknown field decides it".to_owned(),
                    ),
                );
            } else if condition.as_constant().is_some() && !is_literal {
                self.findings.warn(
                    "always-true",
                    span,
                    (
                        "this condition is always true".to_owned(),
                        "write `true` if every event of the name is meant".to_owned(),
                    ),
                );
            }
        }
        let name = filter.name.as_ref().map(|name| name.node.clone());
        Filter { name, condition, span, could_be_keyed: false }
    }

    /// Splits a condition into what the index may use, what concerns the event alone, and what
    /// names earlier steps.
    fn step(&mut self, filter: Filter, keys: &[KeyPlan]) -> StepPlan {
        let Filter { mut name, condition, span, could_be_keyed } = filter;
        let (mut own, mut across) = (Vec::new(), Vec::new());
        let mut equals: Vec<(FieldSlot, Literal)> = Vec::new();
        for conjunct in condition.into_conjuncts() {
            if conjunct.reads_earlier_step() {
                if could_be_keyed {
                    self.suggest_key(&conjunct, span);
                }
                across.push(conjunct);
                continue;
            }
            let Some((slot, constant)) = as_equality(&conjunct) else {
                own.push(conjunct);
                continue;
            };
            match self.add_equality((slot, constant), &mut equals, &mut name) {
                Equality::Kept => {}
                Equality::Contradicts => self.warn_of_contradiction(slot, span),
                Equality::ContradictsName => {
                    self.warn_of_contradiction(slot, span);
                    own.push(Node::truth(false));
                }
            }
        }
        StepPlan {
            name,
            equals,
            condition: compiled(own),
            across: compiled(across),
            keys: keys.to_vec(),
            is_bound: false,
        }
    }

    /// Suggests `by` for `field == name.field`: a key has a partial match of its own for each value.
    fn suggest_key(&mut self, conjunct: &Node, span: Span) {
        let Node::Relate { relation: Relation::Eq, sides, both_absent: None } = conjunct else {
            return;
        };
        let (now, earlier) = match sides.as_ref() {
            [Node::Field(one), Node::Field(other)] if one.step.is_none() => (one, other),
            [Node::Field(one), Node::Field(other)] if other.step.is_none() => (other, one),
            _ => return,
        };
        let name = |slot| self.slots.path(slot).parts.join(".");
        let (earlier, now) = (name(earlier.slot), name(now.slot));
        let help = if earlier == now {
            format!("write `sequence by {now}`")
        } else {
            format!("write `[...] by {earlier} [...] by {now}`")
        };
        let message = "this equality is only tried on the newest event of the step before";
        self.findings.warn("prefer-by", span, (message.to_owned(), help));
    }

    /// Adds `field == constant`; one on the event's name becomes the step's name.
    fn add_equality(
        &self,
        (slot, constant): (FieldSlot, &Literal),
        equals: &mut Vec<(FieldSlot, Literal)>,
        name: &mut Option<Box<str>>,
    ) -> Equality {
        let path = self.slots.path(slot);
        if let Literal::Str(text) = constant
            && path.parts.join(".") == self.schema.event_name()
        {
            let contradicts = name.as_ref().is_some_and(|name| name != text);
            *name = Some(text.clone());
            return if contradicts { Equality::ContradictsName } else { Equality::Kept };
        }
        let holds_one =
            matches!(self.schema.resolve(path), Resolved::Declared(spec) if !spec.several);
        let contradicts = holds_one
            && equals.iter().any(|(known, other)| *known == slot && !is_equal(other, constant));
        if !equals.iter().any(|(known, other)| *known == slot && other == constant) {
            equals.push((slot, constant.clone()));
        }
        if contradicts { Equality::Contradicts } else { Equality::Kept }
    }

    fn warn_of_contradiction(&mut self, slot: FieldSlot, span: Span) {
        let name = self.slots.path(slot).parts.join(".");
        self.findings.warn(
            "never-matches",
            span,
            (
                format!("`{name}` cannot equal two values at once: this condition is never true"),
                "join the values with `or`, or write `in (...)`".to_owned(),
            ),
        );
    }
}

enum Equality {
    Kept,
    /// The field should hold one value and must already equal another. It may still hold a list,
    /// so both are tested.
    Contradicts,
    /// The event must already have another name.
    ContradictsName,
}

/// Marks the steps whose events are read by later steps or the action.
pub(crate) fn mark_bound(plan: &mut QueryPlan, bindings: &Bindings) {
    if let QueryPlan::Sequence(sequence) = plan {
        for (step, index) in sequence.steps.iter_mut().zip(0_u8..) {
            step.is_bound = bindings.is_read(index);
        }
    }
}

/// `field == constant`, in either order. Dates are left to the program, which reads text too.
fn as_equality(node: &Node) -> Option<(FieldSlot, &Literal)> {
    let Node::Relate { relation: Relation::Eq, sides, .. } = node else {
        return None;
    };
    match sides.as_ref() {
        [Node::Field(load), Node::Constant(constant)]
        | [Node::Constant(constant), Node::Field(load)]
            if load.kind != FieldType::Date && *constant != Literal::Null =>
        {
            Some((load.slot, constant))
        }
        _ => None,
    }
}

fn is_equal(one: &Literal, other: &Literal) -> bool {
    crate::program::Datum::of_literal(one).equals(other)
}

fn compiled(conjuncts: Vec<Node>) -> Option<Program> {
    let condition = Node::all(conjuncts);
    let is_true = condition.as_constant() == Some(&Literal::Bool(true));
    (!is_true).then(|| Program::compile(&condition))
}

fn u8_of(runs: u32) -> u8 {
    u8::try_from(runs).unwrap_or(u8::MAX)
}

fn pipe_name(pipe: &Pipe) -> &'static str {
    match pipe {
        Pipe::Head(_) => "`head` pipes are",
        Pipe::Tail(_) => "`tail` pipes are",
        Pipe::Where(_) => "`where` pipes are",
        Pipe::Eval(_) => "`eval` pipes are",
        Pipe::Keep(_) => "`keep` pipes are",
        Pipe::Lookup { .. } => "`lookup` pipes are",
        Pipe::Stats { .. } => "`stats` pipes are",
        Pipe::Reference { .. } => "these pipes are",
    }
}
