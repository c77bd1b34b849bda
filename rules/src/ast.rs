//! The syntax tree of a query, with the place of everything in the text.
//!
//! It is the whole language of Elastic's EQL and of our additions, whether it runs today or not:
//! what does not run yet is refused by the checker, with a diagnostic, never by the parser.

/// A part of a query's text: bytes `start..end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// The byte behind the last.
    pub end: u32,
}

impl Span {
    /// The bytes as a range.
    #[must_use]
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Something and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Spanned<T> {
    /// The thing.
    pub node: T,
    /// Its place.
    pub span: Span,
}

/// A whole query: what is matched, and what is done with the matches.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// What is matched.
    pub body: QueryBody,
    /// `| ...`, in order.
    pub pipes: Vec<Spanned<Pipe>>,
}

/// The three kinds of query.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryBody {
    /// `name where condition`.
    Event(EventFilter),
    /// `sequence by ... with maxspan=... [ ... ] ... until [ ... ]`.
    Sequence(Sequence),
    /// `sample by ... with maxspan=... [ ... ] ...` (`until` and missing terms do not exist here).
    Sample(Sequence),
}

/// `name where condition`.
#[derive(Clone, Debug, PartialEq)]
pub struct EventFilter {
    /// The event's name; `None` for `any`.
    pub name: Option<Spanned<Box<str>>>,
    /// The condition; `true` is written out.
    pub condition: Expr,
}

/// The terms of a sequence or a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence {
    /// `by` before the first term: keys that all terms have.
    pub by: Vec<JoinKey>,
    /// `with maxspan=...`, in milliseconds.
    pub maxspan_ms: Option<Spanned<i64>>,
    /// The terms, in order.
    pub terms: Vec<Term>,
    /// `until [ ... ]`.
    pub until: Option<Box<Term>>,
}

/// `[ filter ] by ... with runs=n as name`, or `![ filter ]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// What an event must be.
    pub filter: EventFilter,
    /// `![...]`: no such event may be there.
    pub missing: bool,
    /// `by` behind the term.
    pub by: Vec<JoinKey>,
    /// `with runs=n`.
    pub runs: Option<Spanned<u32>>,
    /// `as name`.
    pub name: Option<Spanned<Box<str>>>,
    /// From the bracket to the last word.
    pub span: Span,
}

/// One key of `by`.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinKey {
    /// Usually a field; EQL allows any expression.
    pub expr: Expr,
    /// `?field`: absence counts as the value null.
    pub optional: bool,
}

/// A dotted path: `data.sku`, `category`, `cart.data.sku` (whose first part names a term).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// The parts between the dots, backquotes removed.
    pub parts: Vec<Box<str>>,
}

/// A constant.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text, escapes resolved.
    Str(Box<str>),
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A constant.
    Literal(Spanned<Literal>),
    /// A field, or a field of an earlier term; `optional` for `?field`.
    Field {
        /// The path and its place.
        path: Spanned<Path>,
        /// `?field`: not an error where the schema lacks it.
        optional: bool,
    },
    /// `not x`, `-x`.
    Unary {
        /// Which.
        op: UnaryOp,
        /// Of what.
        operand: Box<Expr>,
        /// The whole.
        span: Span,
    },
    /// `a op b`.
    Binary {
        /// Which.
        op: BinaryOp,
        /// The left side.
        left: Box<Expr>,
        /// The right side.
        right: Box<Expr>,
        /// The whole.
        span: Span,
    },
    /// `x in (a, b)`, `not in`, `in~`.
    In {
        /// What is looked for.
        value: Box<Expr>,
        /// Where.
        list: Vec<Expr>,
        /// `not in`.
        negated: bool,
        /// `in~`.
        insensitive: bool,
        /// The whole.
        span: Span,
    },
    /// `x : "a*"`, `x like ("a*", "b")`, `x regex~ "..."`.
    Match {
        /// Which.
        op: MatchOp,
        /// What is matched.
        value: Box<Expr>,
        /// The patterns; for `:` also other literals, compared as `==`.
        patterns: Vec<Spanned<Literal>>,
        /// The whole.
        span: Span,
    },
    /// `fn(a, b)`, `fn~(a, b)`.
    Call {
        /// The function's name as written.
        name: Spanned<Box<str>>,
        /// `fn~`.
        insensitive: bool,
        /// Arguments.
        args: Vec<Expr>,
        /// The whole.
        span: Span,
    },
}

/// Operators of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    /// `not`.
    Not,
    /// `-`.
    Neg,
}

/// Operators of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is its own sign")]
pub enum BinaryOp {
    And,
    Or,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Add,
    Sub,
    Mul,
    Div,
    Rem,
}

/// Operators on text patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchOp {
    /// `:`: equal without regard to case, with wildcards.
    Colon,
    /// `like`: wildcards, by case.
    Like,
    /// `like~`: wildcards, in any case.
    LikeInsensitive,
    /// `regex`.
    Regex,
    /// `regex~`.
    RegexInsensitive,
}

/// What follows a `|`.
#[derive(Clone, Debug, PartialEq)]
pub enum Pipe {
    /// `head n`.
    Head(u64),
    /// `tail n`.
    Tail(u64),
    /// `where condition`, and the reference engine's `filter`.
    Where(Expr),
    /// `eval name = expr, ...`.
    Eval(Vec<(Spanned<Box<str>>, Expr)>),
    /// `keep path, ...`.
    Keep(Vec<Spanned<Path>>),
    /// `lookup table on field`.
    Lookup {
        /// The reference table.
        table: Spanned<Box<str>>,
        /// The field that is looked up.
        on: Spanned<Path>,
    },
    /// `stats n = count(), ... by key, ... over 5m every 1m`.
    Stats {
        /// Names and aggregates.
        aggregates: Vec<(Spanned<Box<str>>, Expr)>,
        /// Group keys.
        by: Vec<Expr>,
        /// Width of the window, in milliseconds.
        over_ms: Option<Spanned<i64>>,
        /// Hop of the window, in milliseconds.
        every_ms: Option<Spanned<i64>>,
    },
    /// `unique`, `unique_count`, `count`, `sort` of the reference engine, with arguments.
    Reference {
        /// Which.
        name: Spanned<Box<str>>,
        /// Arguments.
        args: Vec<Expr>,
    },
}

impl Expr {
    /// Where the expression stands.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Self::Literal(literal) => literal.span,
            Self::Field { path, .. } => path.span,
            Self::Unary { span, .. }
            | Self::Binary { span, .. }
            | Self::In { span, .. }
            | Self::Match { span, .. }
            | Self::Call { span, .. } => *span,
        }
    }
}
