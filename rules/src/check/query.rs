//! Queries: from conditions to steps, and which pipes do not run yet.

use super::{Bindings, Checker};
use crate::ast::{EventFilter, Expr, Literal, Pipe, Query, QueryBody, Span};
use crate::plan::{FieldSlot, KeyPlan, QueryPlan, StepPlan};
use crate::program::{Node, Program, Relation};
use crate::schema::{FieldType, Resolved};

/// What a filter comes to, before it is split and compiled.
pub(super) struct Filter {
    name: Option<Box<str>>,
    condition: Node,
    span: Span,
    /// A key would do what an equality with the other term does.
    pub(super) could_be_keyed: bool,
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
            QueryBody::Sample(sample) => QueryPlan::Sample(self.sample(sample)),
        }
    }

    /// Checks a filter's condition and warns of one that says nothing.
    pub(super) fn filter(&mut self, filter: &EventFilter) -> Filter {
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
    pub(super) fn step(&mut self, filter: Filter, keys: &[KeyPlan]) -> StepPlan {
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
    let steps = match plan {
        QueryPlan::Event(_) => return,
        QueryPlan::Sequence(sequence) => &mut sequence.steps,
        QueryPlan::Sample(sample) => &mut sample.steps,
    };
    for (step, index) in steps.iter_mut().zip(0_u8..) {
        step.is_bound = bindings.is_read(index);
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
