//! Expressions: types, operators, folding.

use super::Checker;
use crate::ast::{BinaryOp, Expr, Literal, MatchOp, Span, Spanned, UnaryOp};
use crate::program::{
    Arithmetic, Case, ConstantSet, Node, Pattern, Relation, Wildcard, parse_iso_ms,
};
use crate::schema::FieldType;
use std::sync::Arc;

/// What is known of an expression's value before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The constant null.
    Null,
    Bool,
    Int,
    Float,
    /// A whole or floating number.
    Number,
    Str,
    Date,
    /// Anything.
    Any,
}

impl Kind {
    pub(crate) fn of(field: FieldType) -> Self {
        match field {
            FieldType::Str => Self::Str,
            FieldType::Int => Self::Int,
            FieldType::Float => Self::Float,
            FieldType::Bool => Self::Bool,
            FieldType::Date => Self::Date,
            FieldType::Any => Self::Any,
        }
    }

    fn of_literal(literal: &Literal) -> Self {
        match literal {
            Literal::Null => Self::Null,
            Literal::Bool(_) => Self::Bool,
            Literal::Int(_) => Self::Int,
            Literal::Float(_) => Self::Float,
            Literal::Str(_) => Self::Str,
        }
    }

    pub(crate) fn may_be_number(self) -> bool {
        matches!(self, Self::Int | Self::Float | Self::Number | Self::Any | Self::Null)
    }

    pub(crate) fn may_be_text(self) -> bool {
        matches!(self, Self::Str | Self::Any | Self::Null)
    }

    pub(crate) fn may_be_truth(self) -> bool {
        matches!(self, Self::Bool | Self::Any | Self::Null)
    }

    /// Whether values of the two can be compared.
    pub(crate) fn compares_with(self, other: Self) -> bool {
        let is_open = |kind| matches!(kind, Self::Any | Self::Null);
        self == other
            || is_open(self)
            || is_open(other)
            || (self.may_be_number() && other.may_be_number())
            || (self == Self::Date && other.may_be_number())
            || (self.may_be_number() && other == Self::Date)
    }

    /// For messages: what it is.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a truth value",
            Self::Int => "a whole number",
            Self::Float => "a floating number",
            Self::Number => "a number",
            Self::Str => "text",
            Self::Date => "a date",
            Self::Any => "a value of any type",
        }
    }
}

/// A checked expression.
#[derive(Debug)]
pub(crate) struct Typed {
    pub(crate) node: Node,
    pub(crate) kind: Kind,
    /// A field that is declared to hold several values, or made of one.
    pub(crate) several: bool,
    /// `?field`.
    pub(crate) optional: bool,
    pub(crate) span: Span,
}

impl Typed {
    pub(crate) fn new(node: Node, kind: Kind, span: Span) -> Self {
        let node = node.folded();
        // A constant's type is that of its value, except where null stands for an absent field.
        let kind = match node.as_constant() {
            Some(Literal::Null) | None => kind,
            Some(literal) => Kind::of_literal(literal),
        };
        Self { node, kind, several: false, optional: false, span }
    }

    /// What a wrong expression is taken for.
    pub(crate) fn unknown(span: Span) -> Self {
        Self::new(Node::Constant(Literal::Null), Kind::Any, span)
    }

    fn is_null_literal(&self) -> bool {
        self.kind == Kind::Null
    }
}

impl Checker<'_> {
    /// Checks a condition: an expression that is true, false or null.
    pub(crate) fn condition(&mut self, expr: &Expr) -> Node {
        let typed = self.expression(expr);
        self.truth(&typed, "a condition");
        typed.node
    }

    /// Says so where an operand is no truth value.
    fn truth(&mut self, typed: &Typed, what: &str) {
        if !typed.kind.may_be_truth() {
            let noun = typed.kind.noun();
            self.findings.error_with_help(
                "type-mismatch",
                typed.span,
                (
                    format!("{what} must be true or false, but this is {noun}"),
                    "compare it, as in `data.count > 0` or `category != null`".to_owned(),
                ),
            );
        }
    }

    /// Checks an expression.
    pub(crate) fn expression(&mut self, expr: &Expr) -> Typed {
        match expr {
            Expr::Literal(literal) => {
                let kind = Kind::of_literal(&literal.node);
                Typed::new(Node::Constant(literal.node.clone()), kind, literal.span)
            }
            Expr::Field { path, optional } => {
                let field = self.field(path, *optional);
                let typed = Typed::new(field.node, Kind::of(field.spec.kind), path.span);
                Typed { several: field.spec.several, optional: *optional, ..typed }
            }
            Expr::Unary { op: UnaryOp::Not, operand, span } => {
                let operand = self.expression(operand);
                self.truth(&operand, "what `not` stands before");
                Typed::new(Node::Not(Box::new(operand.node)), Kind::Bool, *span)
            }
            Expr::Unary { op: UnaryOp::Neg, operand, span } => {
                let operand = self.expression(operand);
                self.number(&operand, "-");
                let kind = operand.kind;
                Typed::new(Node::Negate(Box::new(operand.node)), kind, *span)
            }
            Expr::Binary { op: op @ (BinaryOp::And | BinaryOp::Or), span, .. } => {
                self.connective(expr, *op, *span)
            }
            Expr::Binary { op, left, right, span } => {
                let (left, right) = (self.expression(left), self.expression(right));
                match relation_of(*op) {
                    Some(relation) => self.comparison(relation, left, right, *span),
                    None => self.arithmetic(arithmetic_of(*op), left, right, *span),
                }
            }
            Expr::In { value, list, negated, insensitive, span } => {
                let value = self.expression(value);
                let list = list.iter().map(|item| self.expression(item)).collect();
                let case = if *insensitive { Case::Insensitive } else { Case::Sensitive };
                let node = self.membership(value, list, case, *span);
                let node = if *negated { Node::Not(Box::new(node)).folded() } else { node };
                Typed::new(node, Kind::Bool, *span)
            }
            Expr::Match { op, value, patterns, span } => {
                let value = self.expression(value);
                self.matching(*op, value, patterns, *span)
            }
            Expr::Call { name, insensitive, args, span } => {
                let case = if *insensitive { Case::Insensitive } else { Case::Sensitive };
                self.call(name, case, args, *span)
            }
        }
    }

    /// `a and b and c`: the chain is walked in a loop, however long it is.
    fn connective(&mut self, whole: &Expr, connective: BinaryOp, span: Span) -> Typed {
        let mut operands = Vec::new();
        let mut rest = whole;
        while let Expr::Binary { op, left, right, .. } = rest
            && *op == connective
        {
            operands.push(right.as_ref());
            rest = left;
        }
        operands.push(rest);
        let name = if connective == BinaryOp::And { "and" } else { "or" };
        let nodes: Vec<Node> = operands
            .into_iter()
            .rev()
            .map(|operand| {
                let operand = self.expression(operand);
                self.truth(&operand, &format!("what `{name}` joins"));
                operand.node
            })
            .collect();
        let node = if connective == BinaryOp::And { Node::all(nodes) } else { Node::any(nodes) };
        Typed::new(node, Kind::Bool, span)
    }

    /// `left relation right`.
    pub(crate) fn comparison(
        &mut self,
        relation: Relation,
        left: Typed,
        right: Typed,
        span: Span,
    ) -> Typed {
        if matches!(relation, Relation::Eq | Relation::Ne) {
            let tested = match (left.is_null_literal(), right.is_null_literal()) {
                (_, true) => Some(left.node.clone()),
                (true, _) => Some(right.node.clone()),
                _ => None,
            };
            if let Some(tested) = tested {
                let is_null = Node::IsNull(Box::new(tested)).folded();
                let node =
                    if relation == Relation::Eq { is_null } else { Node::Not(Box::new(is_null)) };
                return Typed::new(node, Kind::Bool, span);
            }
        }
        self.warn_of_ne(relation, &left, &right, span);
        let both_absent = (left.optional && right.optional)
            .then_some(match relation {
                Relation::Eq => Some(true),
                Relation::Ne => Some(false),
                _ => None,
            })
            .flatten();
        let (left, right) = self.dated(left, right);
        self.comparable(relation, &left, &right, span);
        let sides = Box::new([left.node, right.node]);
        Typed::new(Node::Relate { relation, sides, both_absent }, Kind::Bool, span)
    }

    fn warn_of_ne(&mut self, relation: Relation, left: &Typed, right: &Typed, span: Span) {
        if relation == Relation::Ne && (left.several || right.several) {
            self.findings.warn(
                "several-values-ne",
                span,
                (
                    "`!=` on a field of several values is true if any of them differs".to_owned(),
                    "write `not ... == ...` if none of them shall be equal".to_owned(),
                ),
            );
        }
    }

    fn comparable(&mut self, relation: Relation, left: &Typed, right: &Typed, span: Span) {
        let is_order = !matches!(relation, Relation::Eq | Relation::Ne);
        if !left.kind.compares_with(right.kind) {
            let (left, right) = (left.kind.noun(), right.kind.noun());
            self.findings.error(
                "type-mismatch",
                span,
                format!("{left} is never compared with {right}: the result is always null"),
            );
        } else if is_order && (left.kind == Kind::Bool || right.kind == Kind::Bool) {
            self.findings.error(
                "type-mismatch",
                span,
                "truth values have no order; use `==` or `!=`".to_owned(),
            );
        }
    }

    /// Reads a constant text beside a date as a date.
    fn dated(&mut self, left: Typed, right: Typed) -> (Typed, Typed) {
        match (left.kind, right.kind) {
            (Kind::Date, Kind::Str) => {
                let right = self.date_of(right);
                (left, right)
            }
            (Kind::Str, Kind::Date) => (self.date_of(left), right),
            _ => (left, right),
        }
    }

    fn date_of(&mut self, typed: Typed) -> Typed {
        let Some(Literal::Str(text)) = typed.node.as_constant() else {
            return typed;
        };
        match parse_iso_ms(text) {
            Some(ms) => Typed::new(Node::Constant(Literal::Int(ms)), Kind::Int, typed.span),
            None => {
                self.findings.error_with_help(
                    "bad-date",
                    typed.span,
                    (
                        format!("`{text}` is no date"),
                        "write ISO 8601, as in `2026-03-01T08:30:00Z`, or epoch milliseconds"
                            .to_owned(),
                    ),
                );
                Typed::unknown(typed.span)
            }
        }
    }

    /// `left operator right`.
    pub(crate) fn arithmetic(
        &mut self,
        operator: Arithmetic,
        left: Typed,
        right: Typed,
        span: Span,
    ) -> Typed {
        self.number(&left, sign_of(operator));
        self.number(&right, sign_of(operator));
        let kind = match (left.kind, right.kind) {
            (Kind::Int, Kind::Int) => Kind::Int,
            (Kind::Float, _) | (_, Kind::Float) => Kind::Float,
            _ => Kind::Number,
        };
        let by_zero = matches!(operator, Arithmetic::Divide | Arithmetic::Modulo)
            && matches!(
                right.node.as_constant(),
                Some(Literal::Int(0)) | Some(Literal::Float(0.0))
            );
        if by_zero {
            self.findings.error("division-by-zero", span, "the divisor is zero".to_owned());
        }
        let sides = Box::new([left.node, right.node]);
        Typed::new(Node::Arithmetic { operator, sides }, kind, span)
    }

    fn number(&mut self, typed: &Typed, sign: &str) {
        // Dates are milliseconds: differences and offsets of them make sense.
        if !typed.kind.may_be_number() && typed.kind != Kind::Date {
            let noun = typed.kind.noun();
            self.findings.error(
                "type-mismatch",
                typed.span,
                format!("`{sign}` takes numbers, but this is {noun}"),
            );
        }
    }

    /// `value in (list)`.
    fn membership(&mut self, value: Typed, list: Vec<Typed>, case: Case, span: Span) -> Node {
        let list: Vec<Typed> = list
            .into_iter()
            .map(|item| if value.kind == Kind::Date { self.date_of(item) } else { item })
            .collect();
        for item in &list {
            self.comparable(Relation::Eq, &value, item, item.span);
        }
        let constants: Option<Vec<Literal>> =
            list.iter().map(|item| item.node.as_constant().cloned()).collect();
        let value = value.node;
        match (constants, case) {
            (Some(constants), _) => {
                let set = ConstantSet::new(&constants, case == Case::Insensitive);
                Node::Member { value: Box::new(value), set: Arc::new(set) }.folded()
            }
            (None, Case::Sensitive) => Node::any(list.into_iter().map(|item| {
                let sides = Box::new([value.clone(), item.node]);
                Node::Relate { relation: Relation::Eq, sides, both_absent: None }.folded()
            })),
            (None, Case::Insensitive) => {
                self.findings.error(
                    "constant-expected",
                    span,
                    "the list of `in~` takes constants only".to_owned(),
                );
                Node::Constant(Literal::Null)
            }
        }
    }

    /// `value : patterns`, `like`, `regex`.
    fn matching(
        &mut self,
        op: MatchOp,
        value: Typed,
        patterns: &[Spanned<Literal>],
        span: Span,
    ) -> Typed {
        let mut texts: Vec<&str> = Vec::new();
        let mut parts = Vec::new();
        for pattern in patterns {
            match &pattern.node {
                Literal::Str(text) => texts.push(text),
                other if op == MatchOp::Colon => {
                    let constant = Node::Constant(other.clone());
                    let other = Typed::new(constant, Kind::of_literal(other), pattern.span);
                    let again = Typed { node: value.node.clone(), ..value };
                    parts.push(self.comparison(Relation::Eq, again, other, span).node);
                }
                other => {
                    let noun = Kind::of_literal(other).noun();
                    self.findings.error(
                        "type-mismatch",
                        pattern.span,
                        format!("a pattern is text, but this is {noun}"),
                    );
                }
            }
        }
        if !texts.is_empty() {
            self.text(&value, "what is matched");
            if let Some(pattern) = self.pattern(op, &texts, span) {
                let value = Box::new(value.node);
                parts.push(Node::Fits { value, pattern: Arc::new(pattern) }.folded());
            }
        }
        Typed::new(Node::any(parts), Kind::Bool, span)
    }

    /// Says so where an operand is no text.
    fn text(&mut self, typed: &Typed, what: &str) {
        if !typed.kind.may_be_text() {
            let noun = typed.kind.noun();
            self.findings.error_with_help(
                "type-mismatch",
                typed.span,
                (
                    format!("{what} must be text, but this is {noun}"),
                    "make it text with `string(...)`".to_owned(),
                ),
            );
        }
    }

    /// Prepares patterns.
    pub(crate) fn pattern(&mut self, op: MatchOp, texts: &[&str], span: Span) -> Option<Pattern> {
        let wildcards = |case| {
            let wildcards = texts.iter().map(|text| Wildcard::new(text, case));
            Some(Pattern::Wildcards(wildcards.collect()))
        };
        let case = match op {
            MatchOp::Colon | MatchOp::LikeInsensitive => return wildcards(Case::Insensitive),
            MatchOp::Like => return wildcards(Case::Sensitive),
            MatchOp::Regex => Case::Sensitive,
            MatchOp::RegexInsensitive => Case::Insensitive,
        };
        match Pattern::regex(texts, case) {
            Ok(pattern) => Some(pattern),
            Err(message) => {
                self.findings.error("bad-regex", span, message);
                None
            }
        }
    }
}

fn relation_of(op: BinaryOp) -> Option<Relation> {
    Some(match op {
        BinaryOp::Eq => Relation::Eq,
        BinaryOp::Ne => Relation::Ne,
        BinaryOp::Lt => Relation::Lt,
        BinaryOp::Le => Relation::Le,
        BinaryOp::Gt => Relation::Gt,
        BinaryOp::Ge => Relation::Ge,
        _ => return None,
    })
}

fn arithmetic_of(op: BinaryOp) -> Arithmetic {
    match op {
        BinaryOp::Sub => Arithmetic::Subtract,
        BinaryOp::Mul => Arithmetic::Multiply,
        BinaryOp::Div => Arithmetic::Divide,
        BinaryOp::Rem => Arithmetic::Modulo,
        _ => Arithmetic::Add,
    }
}

fn sign_of(operator: Arithmetic) -> &'static str {
    match operator {
        Arithmetic::Add => "+",
        Arithmetic::Subtract => "-",
        Arithmetic::Multiply => "*",
        Arithmetic::Divide => "/",
        Arithmetic::Modulo => "%",
    }
}
