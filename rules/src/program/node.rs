//! The resolved form of an expression: between the checked syntax tree and the flat program.
//!
//! Names are slots, operators that are spelled in several ways are one, constants are folded by
//! the makers below. Folding runs the program of the constant expression: there is one evaluator.

use crate::ast::Literal;
use crate::functions::Function;
use crate::plan::{BindingSlot, FieldSlot};
use crate::program::datum::{Datum, Relation};
use crate::program::pattern::{Case, Pattern};
use crate::program::set::ConstantSet;
use crate::program::value::Arithmetic;
use crate::program::{Fields, Program};
use crate::schema::FieldType;
use std::sync::Arc;

/// A field that a program reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// The earlier step whose event it is; `None` for the event at hand.
    pub(crate) step: Option<BindingSlot>,
    /// Which field.
    pub(crate) slot: FieldSlot,
    /// A value of another type reads as null.
    pub(crate) kind: FieldType,
}

/// A resolved expression.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Constant(Literal),
    Field(Load),
    Not(Box<Node>),
    All(Vec<Node>),
    Any(Vec<Node>),
    /// `both_absent`: what two nulls give (`?a == ?b`), null otherwise.
    Relate {
        relation: Relation,
        sides: Box<[Node; 2]>,
        both_absent: Option<bool>,
    },
    /// `== null`.
    IsNull(Box<Node>),
    Member {
        value: Box<Node>,
        set: Arc<ConstantSet>,
    },
    /// What a function says of each value (`startsWith(...)`): as many truths as there are values.
    /// A pattern (`:`, `like`, `regex`) is an `or` of it, which joins them.
    Fits {
        value: Box<Node>,
        pattern: Arc<Pattern>,
    },
    Negate(Box<Node>),
    Arithmetic {
        operator: Arithmetic,
        sides: Box<[Node; 2]>,
    },
    Call {
        function: Function,
        case: Case,
        arguments: Vec<Node>,
    },
}

/// No event at all.
struct NoFields;

impl Fields for NoFields {
    fn field(&self, _slot: FieldSlot) -> Datum<'_> {
        Datum::Null
    }

    fn bound(&self, _step: BindingSlot, _slot: FieldSlot) -> Datum<'_> {
        Datum::Null
    }
}

impl Node {
    /// A truth value.
    pub(crate) fn truth(value: bool) -> Self {
        Self::Constant(Literal::Bool(value))
    }

    /// The constant that it is, if it is one.
    pub(crate) fn as_constant(&self) -> Option<&Literal> {
        match self {
            Self::Constant(literal) => Some(literal),
            _ => None,
        }
    }

    /// The parts it is made of.
    pub(super) fn children(&self) -> &[Self] {
        match self {
            Self::Constant(_) | Self::Field(_) => &[],
            Self::Not(inner) | Self::IsNull(inner) | Self::Negate(inner) => {
                std::slice::from_ref(inner)
            }
            Self::Member { value, .. } | Self::Fits { value, .. } => std::slice::from_ref(value),
            Self::All(parts) | Self::Any(parts) | Self::Call { arguments: parts, .. } => parts,
            Self::Relate { sides, .. } | Self::Arithmetic { sides, .. } => sides.as_slice(),
        }
    }

    /// Replaces an expression of constants by its value.
    pub(crate) fn folded(self) -> Self {
        let is_constant = self.children().iter().all(|child| child.as_constant().is_some());
        if self.as_constant().is_some() || matches!(self, Self::Field(_)) || !is_constant {
            return self;
        }
        match Program::value_of(&self, &NoFields).into_literal() {
            Some(literal) => Self::Constant(literal),
            None => self,
        }
    }

    /// `parts[0] and parts[1] and ...`, without what cannot change the result.
    pub(crate) fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        Self::joined(parts, false)
    }

    /// `parts[0] or parts[1] or ...`, without what cannot change the result.
    pub(crate) fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        Self::joined(parts, true)
    }

    /// `deciding` decides the whole: `false` for `and`, `true` for `or`.
    fn joined(parts: impl IntoIterator<Item = Self>, deciding: bool) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::Constant(Literal::Bool(value)) if value == deciding => {
                    return Self::truth(deciding);
                }
                Self::Constant(Literal::Bool(_)) => {}
                Self::All(inner) if !deciding => flat.extend(inner),
                Self::Any(inner) if deciding => flat.extend(inner),
                other => flat.push(other),
            }
        }
        match flat.as_slice() {
            [] => Self::truth(!deciding),
            [one] if one.is_truth() => flat.pop().expect("there is one"),
            _ if deciding => Self::Any(flat).folded(),
            _ => Self::All(flat).folded(),
        }
    }

    /// Whether its value is true, false or null whatever is read: `and` and `or` make that of any
    /// value, so they may be left out only around such a part.
    fn is_truth(&self) -> bool {
        match self {
            Self::Constant(literal) => matches!(literal, Literal::Bool(_) | Literal::Null),
            Self::Not(_) | Self::All(_) | Self::Any(_) | Self::IsNull(_) => true,
            Self::Relate { .. } | Self::Member { .. } => true,
            Self::Field(_) | Self::Fits { .. } | Self::Negate(_) => false,
            Self::Arithmetic { .. } | Self::Call { .. } => false,
        }
    }

    /// The parts that must all be true.
    pub(crate) fn into_conjuncts(self) -> Vec<Self> {
        match self {
            Self::All(parts) => parts,
            Self::Constant(Literal::Bool(true)) => Vec::new(),
            other => vec![other],
        }
    }

    /// Whether it reads an event of an earlier step.
    pub(crate) fn reads_earlier_step(&self) -> bool {
        match self {
            Self::Field(load) => load.step.is_some(),
            other => other.children().iter().any(Self::reads_earlier_step),
        }
    }

    /// Whether it can never be true: a constant but `true`, or an `and` with one.
    pub(crate) fn is_never_true(&self) -> bool {
        match self {
            Self::Constant(literal) => *literal != Literal::Bool(true),
            Self::All(parts) => parts.iter().any(Self::is_never_true),
            Self::Any(parts) => parts.iter().all(Self::is_never_true),
            _ => false,
        }
    }
}
