//! From a resolved expression to a flat program.
//!
//! Tests are written from the last to the first, so that where a test goes on is always known;
//! the vector is turned round at the end.

use super::{ACCEPT, Branch, Node, Operation, Program, REJECT, Target, Term, Test};
use crate::ast::Literal;
use crate::program::run;
use crate::program::value::Value;
use crate::program::{Fields, Relation};

impl Program {
    /// Compiles a condition.
    pub(crate) fn compile(node: &Node) -> Self {
        let mut builder = Builder::default();
        builder.test(node, Branch { wanted: true, holds: ACCEPT, fails: REJECT });
        builder.finish()
    }

    /// The value of an expression, compiled for this once.
    pub(crate) fn value_of<'a>(node: &'a Node, fields: &'a impl Fields) -> Value<'static> {
        let mut operations = Vec::new();
        push_value(node, &mut operations);
        run::evaluate(&operations, fields).into_owned()
    }
}

#[derive(Default)]
struct Builder {
    /// From the last to the first; targets count from the end.
    tests: Vec<Test>,
    operations: Vec<Operation>,
}

impl Builder {
    /// Writes the tests of `node` in front of those that are there; returns where they begin.
    fn test(&mut self, node: &Node, branch: Branch) -> Target {
        match node {
            Node::Not(inner) => self.test(inner, Branch { wanted: !branch.wanted, ..branch }),
            Node::All(parts) => self.chain(parts, branch, true),
            Node::Any(parts) => self.chain(parts, branch, false),
            term => {
                let term = self.term(term);
                let position = u32::try_from(self.tests.len()).expect("a rule's text is bounded");
                self.tests.push(Test { term, branch });
                position
            }
        }
    }

    /// Tests one part behind the other. To be what `decided_by` says, all parts must be it; to be
    /// the opposite, one is enough.
    fn chain(&mut self, parts: &[Node], branch: Branch, decided_by: bool) -> Target {
        let mut next = None;
        for part in parts.iter().rev() {
            let going_on = if branch.wanted == decided_by {
                Branch { holds: next.unwrap_or(branch.holds), ..branch }
            } else {
                Branch { fails: next.unwrap_or(branch.fails), ..branch }
            };
            next = Some(self.test(part, going_on));
        }
        next.expect("an `and` or `or` has parts")
    }

    fn term(&mut self, node: &Node) -> Term {
        fused(node).unwrap_or_else(|| {
            let start = self.operation_count();
            push_value(node, &mut self.operations);
            Term::Value { start, end: self.operation_count() }
        })
    }

    fn operation_count(&self) -> u32 {
        u32::try_from(self.operations.len()).expect("a rule's text is bounded")
    }

    /// Turns the tests round.
    fn finish(self) -> Program {
        let last = u32::try_from(self.tests.len()).expect("a rule's text is bounded") - 1;
        let turned = |target: Target| match target {
            ACCEPT | REJECT => target,
            position => last - position,
        };
        let tests = self.tests.into_iter().rev().map(|test| {
            let Branch { wanted, holds, fails } = test.branch;
            let branch = Branch { wanted, holds: turned(holds), fails: turned(fails) };
            Test { branch, ..test }
        });
        Program { tests: tests.collect(), operations: self.operations.into() }
    }
}

/// The tests of a field that are one operation.
fn fused(node: &Node) -> Option<Term> {
    let field = |node: &Node| match node {
        Node::Field(load) => Some(*load),
        _ => None,
    };
    Some(match node {
        Node::Relate { relation, sides, both_absent } => match sides.as_ref() {
            // An unknown optional field against one that is known: a null that may be equal.
            [_, Node::Constant(Literal::Null)] | [Node::Constant(Literal::Null), _]
                if both_absent.is_some() =>
            {
                return None;
            }
            [Node::Field(load), Node::Constant(constant)] => {
                Term::Constant { load: *load, relation: *relation, constant: constant.clone() }
            }
            [Node::Constant(constant), Node::Field(load)] => Term::Constant {
                load: *load,
                relation: relation.mirrored(),
                constant: constant.clone(),
            },
            [Node::Field(left), Node::Field(right)] => Term::Fields {
                left: *left,
                right: *right,
                relation: *relation,
                both_absent: *both_absent,
            },
            _ => return None,
        },
        Node::Field(load) => {
            Term::Constant { load: *load, relation: Relation::Eq, constant: Literal::Bool(true) }
        }
        Node::IsNull(value) => Term::IsNull(field(value)?),
        Node::Member { value, set } => Term::Member { load: field(value)?, set: set.clone() },
        Node::Fits { value, pattern } => {
            Term::Fits { load: field(value)?, pattern: pattern.clone() }
        }
        _ => return None,
    })
}

/// Writes the operations that leave the value of `node` on the stack.
fn push_value(node: &Node, out: &mut Vec<Operation>) {
    let count = |parts: &[Node]| u32::try_from(parts.len()).expect("a rule's text is bounded");
    let operation = match node {
        Node::Constant(literal) => Operation::Constant(literal.clone()),
        Node::Field(load) => Operation::Field(*load),
        Node::Not(_) => Operation::Not,
        Node::All(parts) => Operation::All(count(parts)),
        Node::Any(parts) => Operation::Any(count(parts)),
        Node::Relate { relation, both_absent, .. } => {
            Operation::Relate { relation: *relation, both_absent: *both_absent }
        }
        Node::IsNull(_) => Operation::IsNull,
        Node::Member { set, .. } => Operation::Member(set.clone()),
        Node::Fits { pattern, .. } => Operation::Fits(pattern.clone()),
        Node::Negate(_) => Operation::Negate,
        Node::Arithmetic { operator, .. } => Operation::Arithmetic(*operator),
        Node::Call { function, case, arguments } => {
            Operation::Call { function: *function, case: *case, count: count(arguments) }
        }
    };
    for child in node.children() {
        push_value(child, out);
    }
    out.push(operation);
}
