//! Expressions: what stands behind `where`, in keys and in pipes.
//!
//! From loosest to tightest: `or`, `and`, `not`, one comparison, `+ -`, `* / %`, sign, and a
//! constant, field, function or parenthesis with at most one of `in`, `:`, `like`, `regex`.

use super::cursor::{Cursor, Parsed};
use super::token::{KEYWORDS, Sign, TokenKind};
use super::{ARITHMETIC_MAX, PATH_PARTS_MAX, SyntaxError};
use crate::ast::{BinaryOp, Expr, Literal, MatchOp, Path, Span, Spanned, UnaryOp};

fn join(left: Span, right: Span) -> Span {
    Span { start: left.start, end: right.end }
}

fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    let span = join(left.span(), right.span());
    Expr::Binary { op, left: Box::new(left), right: Box::new(right), span }
}

/// A chain of one associative operator as a balanced tree, operands in order.
fn balanced(op: BinaryOp, mut operands: Vec<Expr>) -> Option<Expr> {
    if operands.len() < 2 {
        return operands.pop();
    }
    let right = operands.split_off(operands.len().div_ceil(2));
    Some(binary(op, balanced(op, operands)?, balanced(op, right)?))
}

impl Cursor {
    /// An expression.
    pub(super) fn expression(&mut self) -> Parsed<Expr> {
        self.nested(|cursor| cursor.chain("or", BinaryOp::Or, Self::conjunction))
    }

    /// Expressions between commas.
    pub(super) fn expressions(&mut self) -> Parsed<Vec<Expr>> {
        let mut list = vec![self.expression()?];
        while self.eat_sign(Sign::Comma) {
            list.push(self.expression()?);
        }
        Ok(list)
    }

    fn chain(
        &mut self,
        word: &'static str,
        op: BinaryOp,
        operand: fn(&mut Self) -> Parsed<Expr>,
    ) -> Parsed<Expr> {
        let mut operands = vec![operand(self)?];
        while self.eat_word(word) {
            operands.push(operand(self)?);
        }
        Ok(balanced(op, operands).expect("a chain has an operand"))
    }

    fn conjunction(&mut self) -> Parsed<Expr> {
        self.chain("and", BinaryOp::And, Self::negation)
    }

    fn negation(&mut self) -> Parsed<Expr> {
        let start = self.span();
        if self.is_sign(Sign::Bang) {
            let error = SyntaxError::new(start, "`!` is not an operator of conditions");
            return Err(error.with_help("write `not`"));
        }
        if !self.eat_word("not") {
            return self.comparison();
        }
        let operand = Box::new(self.nested(Self::negation)?);
        let span = join(start, operand.span());
        Ok(Expr::Unary { op: UnaryOp::Not, operand, span })
    }

    fn comparison_op(&mut self) -> Option<BinaryOp> {
        let TokenKind::Sign(sign) = self.peek() else { return None };
        let op = match sign {
            Sign::Equal | Sign::Assign => BinaryOp::Eq,
            Sign::NotEqual => BinaryOp::Ne,
            Sign::Less => BinaryOp::Lt,
            Sign::LessEqual => BinaryOp::Le,
            Sign::Greater => BinaryOp::Gt,
            Sign::GreaterEqual => BinaryOp::Ge,
            _ => return None,
        };
        if self.is_sign(Sign::Assign) {
            let error = SyntaxError::new(self.span(), "`=` does not compare");
            self.report(error.with_help("write `==`"));
        }
        self.advance();
        Some(op)
    }

    fn comparison(&mut self) -> Parsed<Expr> {
        let left = self.sum()?;
        let Some(op) = self.comparison_op() else { return Ok(left) };
        let whole = binary(op, left, self.sum()?);
        let next = self.span();
        if self.comparison_op().is_some() {
            let error = SyntaxError::new(next, "comparisons do not chain");
            return Err(error.with_help("write `a < b and b < c`"));
        }
        Ok(whole)
    }

    /// A chain of arithmetic operators, from the left.
    fn arithmetic(
        &mut self,
        op: fn(Sign) -> Option<BinaryOp>,
        operand: fn(&mut Self) -> Parsed<Expr>,
    ) -> Parsed<Expr> {
        let mut left = operand(self)?;
        while let TokenKind::Sign(sign) = *self.peek()
            && let Some(op) = op(sign)
        {
            self.arithmetic += 1;
            if self.arithmetic > ARITHMETIC_MAX {
                let message = format!("a query has at most {ARITHMETIC_MAX} arithmetic operators");
                return Err(SyntaxError::new(self.span(), message));
            }
            self.advance();
            left = binary(op, left, operand(self)?);
        }
        Ok(left)
    }

    fn sum(&mut self) -> Parsed<Expr> {
        let op = |sign| match sign {
            Sign::Plus => Some(BinaryOp::Add),
            Sign::Minus => Some(BinaryOp::Sub),
            _ => None,
        };
        self.arithmetic(op, Self::product)
    }

    fn product(&mut self) -> Parsed<Expr> {
        let op = |sign| match sign {
            Sign::Star => Some(BinaryOp::Mul),
            Sign::Slash => Some(BinaryOp::Div),
            Sign::Percent => Some(BinaryOp::Rem),
            _ => None,
        };
        self.arithmetic(op, Self::signed)
    }

    /// `-x`, `+x`; the sign of a constant becomes part of it.
    fn signed(&mut self) -> Parsed<Expr> {
        let start = self.span();
        let is_number = matches!(self.peek_at(1).kind, TokenKind::Int(_) | TokenKind::Float(_));
        if self.is_sign(Sign::Minus) && is_number {
            return self.postfix();
        }
        if self.eat_sign(Sign::Plus) {
            return self.nested(Self::signed);
        }
        if !self.eat_sign(Sign::Minus) {
            return self.postfix();
        }
        let operand = Box::new(self.nested(Self::signed)?);
        let span = join(start, operand.span());
        Ok(Expr::Unary { op: UnaryOp::Neg, operand, span })
    }

    /// A primary with at most one of `in`, `:`, `like`, `regex` behind it.
    fn postfix(&mut self) -> Parsed<Expr> {
        let value = self.primary()?;
        if self.is_word("not") {
            return self.not_in(value);
        }
        if let Some(insensitive) = self.in_op() {
            return self.in_list(value, insensitive, false);
        }
        let Some(op) = self.match_op() else { return Ok(value) };
        let patterns = self.patterns()?;
        let span = self.span_from(value.span());
        Ok(Expr::Match { op, value: Box::new(value), patterns, span })
    }

    fn not_in(&mut self, value: Expr) -> Parsed<Expr> {
        self.advance();
        if let Some(insensitive) = self.in_op() {
            return self.in_list(value, insensitive, true);
        }
        let mut error = self.unexpected("`in` after `not`", &["in"]);
        if self.match_op().is_some() {
            error.help = Some("`not` stands before the whole: `not x like \"...\"`".to_owned());
        }
        Err(error)
    }

    /// Takes `in` or `in~`; true for the latter.
    fn in_op(&mut self) -> Option<bool> {
        let insensitive = match self.peek() {
            TokenKind::Word(word) if **word == *"in" => false,
            TokenKind::TildeWord(word) if **word == *"in" => true,
            _ => return None,
        };
        self.advance();
        Some(insensitive)
    }

    fn in_list(&mut self, value: Expr, insensitive: bool, negated: bool) -> Parsed<Expr> {
        self.expect_sign(Sign::LeftParen)?;
        let list = self.expressions()?;
        self.expect_sign(Sign::RightParen)?;
        let span = self.span_from(value.span());
        Ok(Expr::In { value: Box::new(value), list, negated, insensitive, span })
    }

    fn match_op(&mut self) -> Option<MatchOp> {
        let op = match self.peek() {
            TokenKind::Sign(Sign::Colon) => MatchOp::Colon,
            TokenKind::Word(word) if **word == *"like" => MatchOp::Like,
            TokenKind::Word(word) if **word == *"regex" => MatchOp::Regex,
            TokenKind::TildeWord(word) if **word == *"like" => MatchOp::LikeInsensitive,
            TokenKind::TildeWord(word) if **word == *"regex" => MatchOp::RegexInsensitive,
            _ => return None,
        };
        self.advance();
        Some(op)
    }

    /// One constant, or several in parentheses.
    fn patterns(&mut self) -> Parsed<Vec<Spanned<Literal>>> {
        if !self.eat_sign(Sign::LeftParen) {
            return Ok(vec![self.pattern()?]);
        }
        let mut patterns = vec![self.pattern()?];
        while self.eat_sign(Sign::Comma) {
            patterns.push(self.pattern()?);
        }
        self.expect_sign(Sign::RightParen)?;
        Ok(patterns)
    }

    fn pattern(&mut self) -> Parsed<Spanned<Literal>> {
        match self.literal() {
            Some(literal) => literal,
            None => {
                let error = self.unexpected("a constant", &["null", "true", "false"]);
                let help = "a pattern is a text in quotes, or several in parentheses";
                Err(SyntaxError { help: error.help.or(Some(help.to_owned())), ..error })
            }
        }
    }

    /// The constant that stands here, if one does.
    pub(super) fn literal(&mut self) -> Option<Parsed<Spanned<Literal>>> {
        let start = self.span();
        let is_negative = self.is_sign(Sign::Minus);
        let node = match &self.peek_at(usize::from(is_negative)).kind {
            TokenKind::Int(number) => match whole(*number, is_negative) {
                Some(number) => Literal::Int(number),
                None => {
                    let error = SyntaxError::new(start, format!("`{number}` is too large"));
                    return Some(Err(error.with_help("whole numbers have 64 bits with a sign")));
                }
            },
            TokenKind::Float(number) if is_negative => Literal::Float(-number),
            TokenKind::Float(number) => Literal::Float(*number),
            _ if is_negative => return None,
            TokenKind::Str(text) => Literal::Str(text.clone()),
            TokenKind::Word(word) => match &**word {
                "null" => Literal::Null,
                "true" => Literal::Bool(true),
                "false" => Literal::Bool(false),
                _ => return None,
            },
            _ => return None,
        };
        self.advance();
        if is_negative {
            self.advance();
        }
        Some(Ok(Spanned { node, span: self.span_from(start) }))
    }

    fn primary(&mut self) -> Parsed<Expr> {
        if let Some(literal) = self.literal() {
            return literal.map(Expr::Literal);
        }
        if self.eat_sign(Sign::LeftParen) {
            let inner = self.expression()?;
            self.expect_sign(Sign::RightParen)?;
            return Ok(inner);
        }
        let is_call = self.peek_at(1).kind == TokenKind::Sign(Sign::LeftParen);
        match self.peek() {
            TokenKind::TildeWord(_) => self.call(),
            TokenKind::Word(word) if is_call && !KEYWORDS.contains(&&**word) => self.call(),
            TokenKind::Word(_) | TokenKind::Quoted(_) | TokenKind::Sign(Sign::Question) => {
                self.field()
            }
            _ => Err(self.unexpected("a field, a constant or a function", &[])),
        }
    }

    /// `name(a, b)`, `name~(a, b)`.
    fn call(&mut self) -> Parsed<Expr> {
        let start = self.span();
        let (name, insensitive) = match self.peek() {
            TokenKind::TildeWord(word) => (word.clone(), true),
            TokenKind::Word(word) => (word.clone(), false),
            _ => return Err(self.unexpected("a function", &[])),
        };
        self.advance();
        self.expect_sign(Sign::LeftParen)?;
        let args = if self.is_sign(Sign::RightParen) { Vec::new() } else { self.expressions()? };
        self.expect_sign(Sign::RightParen)?;
        let name = Spanned { node: name, span: start };
        Ok(Expr::Call { name, insensitive, args, span: self.span_from(start) })
    }

    fn field(&mut self) -> Parsed<Expr> {
        let optional = self.eat_sign(Sign::Question);
        let path = self.path("a field")?;
        self.refuse_behind_field()?;
        Ok(Expr::Field { path, optional })
    }

    /// Constructs of EQL that start like a field and that no engine for events of visits needs.
    fn refuse_behind_field(&mut self) -> Parsed<()> {
        let start = self.span();
        if self.is_sign(Sign::LeftBracket) && matches!(self.peek_at(1).kind, TokenKind::Int(_)) {
            let error = SyntaxError::new(start, "a single value of a list cannot be named");
            return Err(
                error.with_help("a comparison is true if any value of the list satisfies it")
            );
        }
        if self.is_word("of") && self.peek_at(1).kind == TokenKind::Sign(Sign::LeftBracket) {
            let error = SyntaxError::new(start, "`of [ ]` is about processes and is not supported");
            return Err(error.with_help("write a sequence"));
        }
        Ok(())
    }

    /// Names between dots; behind a dot a keyword is a name as well.
    pub(super) fn path(&mut self, expected: &str) -> Parsed<Spanned<Path>> {
        let start = self.span();
        let mut parts = vec![self.name(expected)?.node];
        while self.eat_sign(Sign::Dot) {
            let part = match self.peek() {
                TokenKind::Word(word) | TokenKind::Quoted(word) => word.clone(),
                _ => return Err(self.unexpected("a name after the dot", &[])),
            };
            if parts.len() == PATH_PARTS_MAX {
                let message = format!("a path has at most {PATH_PARTS_MAX} parts");
                return Err(SyntaxError::new(self.span(), message));
            }
            self.advance();
            parts.push(part);
        }
        Ok(Spanned { node: Path { parts }, span: self.span_from(start) })
    }
}

/// A whole number with its sign.
fn whole(number: u64, is_negative: bool) -> Option<i64> {
    let number = i128::from(number);
    i64::try_from(if is_negative { -number } else { number }).ok()
}
