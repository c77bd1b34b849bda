//! Calls of functions: arity, types of arguments, and what is prepared when a rule is compiled.

use super::Checker;
use super::expression::{Kind, Typed};
use crate::ast::{Expr, Literal, MatchOp, Span, Spanned};
use crate::functions::{Function, Parameter, SIGNATURES, Signature};
use crate::program::{Arithmetic, Case, Network, Node, Pattern, Wildcard};
use crate::suggest::closest;
use std::sync::Arc;

impl Checker<'_> {
    /// `name(arguments)`, `name~(arguments)`.
    pub(super) fn call(
        &mut self,
        name: &Spanned<Box<str>>,
        case: Case,
        arguments: &[Expr],
        span: Span,
    ) -> Typed {
        let arguments: Vec<Typed> =
            arguments.iter().map(|argument| self.expression(argument)).collect();
        let Some(signature) = Signature::find(&name.node) else {
            self.unknown_function(name);
            return Typed::unknown(span);
        };
        if case == Case::Insensitive && !signature.has_insensitive {
            self.findings.error(
                "no-insensitive",
                name.span,
                format!("`{}` does not depend on case: write it without `~`", signature.name),
            );
        }
        if !signature.takes(arguments.len()) {
            self.findings.error(
                "arity",
                span,
                format!(
                    "`{}` takes {} arguments, not {}",
                    signature.name,
                    signature.arity(),
                    arguments.len()
                ),
            );
            return Typed::unknown(span);
        }
        let errors = self.findings.errors();
        for (index, argument) in arguments.iter().enumerate() {
            self.argument(signature, index, argument);
        }
        if self.findings.errors() > errors {
            return Typed::unknown(span);
        }
        let several = arguments.iter().any(|argument| argument.several);
        let typed = self.lower(signature, case, arguments, span);
        Typed { several, ..typed }
    }

    fn unknown_function(&mut self, name: &Spanned<Box<str>>) {
        let message = format!("there is no function `{}`", name.node);
        let help = match closest(&name.node, SIGNATURES.iter().map(|known| known.name)) {
            Some(known) => format!("did you mean `{known}`?"),
            None => "the functions are those of Elastic's EQL function reference".to_owned(),
        };
        self.findings.error_with_help("unknown-function", name.span, (message, help));
    }

    /// Checks one argument's type. Null is an argument of any type, but no constant pattern.
    fn argument(&mut self, signature: &Signature, index: usize, argument: &Typed) {
        let Some(parameter) = signature.parameter(index) else {
            return;
        };
        let kind = argument.kind;
        let (fits, expected) = match parameter {
            Parameter::Any => (true, "any value"),
            Parameter::Text => (kind.may_be_text(), "text"),
            Parameter::ConstantText => {
                (matches!(argument.node.as_constant(), Some(Literal::Str(_))), "a constant text")
            }
            Parameter::Number => (kind.may_be_number() || kind == Kind::Date, "a number"),
            Parameter::Whole => (kind.may_be_number() && kind != Kind::Float, "a whole number"),
            Parameter::Truth => (kind.may_be_truth(), "true or false"),
        };
        if !fits {
            self.findings.error(
                "type-mismatch",
                argument.span,
                format!(
                    "argument {} of `{}` must be {expected}, but this is {}",
                    index + 1,
                    signature.name,
                    kind.noun()
                ),
            );
        }
    }

    /// Turns a call into the operation that does it.
    fn lower(
        &mut self,
        signature: &Signature,
        case: Case,
        arguments: Vec<Typed>,
        span: Span,
    ) -> Typed {
        let result = signature.result.map_or(Kind::Number, Kind::of);
        if let Some(operator) = arithmetic_of(signature.function) {
            let mut sides = arguments.into_iter();
            return match (sides.next(), sides.next()) {
                (Some(left), Some(right)) => self.arithmetic(operator, left, right, span),
                _ => Typed::unknown(span),
            };
        }
        let constants: Vec<&str> = arguments
            .iter()
            .skip(1)
            .filter_map(|argument| match argument.node.as_constant() {
                Some(Literal::Str(text)) => Some(text.as_ref()),
                _ => None,
            })
            .collect();
        let is_prepared = !constants.is_empty() && constants.len() + 1 == arguments.len();
        let pattern = match signature.function {
            Function::CidrMatch => self.networks(&constants, span),
            Function::Match if case == Case::Sensitive => {
                self.pattern(MatchOp::Regex, &constants, span)
            }
            Function::Match => self.pattern(MatchOp::RegexInsensitive, &constants, span),
            Function::Wildcard if case == Case::Sensitive => {
                self.pattern(MatchOp::Like, &constants, span)
            }
            Function::Wildcard => self.pattern(MatchOp::LikeInsensitive, &constants, span),
            Function::StartsWith if is_prepared => affix(&constants, case, Wildcard::prefix),
            Function::EndsWith if is_prepared => affix(&constants, case, Wildcard::suffix),
            Function::StringContains if is_prepared => affix(&constants, case, Wildcard::contains),
            _ => None,
        };
        let mut nodes = arguments.into_iter().map(|argument| argument.node);
        let node = match pattern {
            Some(pattern) => {
                let value = Box::new(nodes.next().unwrap_or(Node::Constant(Literal::Null)));
                Node::Fits { value, pattern: Arc::new(pattern) }
            }
            None => {
                let function = signature.function;
                Node::Call { function, case, arguments: nodes.collect() }
            }
        };
        Typed::new(node, result, span)
    }

    fn networks(&mut self, blocks: &[&str], span: Span) -> Option<Pattern> {
        let mut networks = Vec::with_capacity(blocks.len());
        for block in blocks {
            match Network::parse(block) {
                Some(network) => networks.push(network),
                None => self.findings.error(
                    "bad-network",
                    span,
                    format!("`{block}` is no block of addresses such as `10.0.0.0/8`"),
                ),
            }
        }
        (networks.len() == blocks.len()).then(|| Pattern::Networks(networks.into()))
    }
}

fn affix(texts: &[&str], case: Case, make: impl Fn(&str, Case) -> Wildcard) -> Option<Pattern> {
    Some(Pattern::Wildcards(texts.iter().map(|text| make(text, case)).collect()))
}

fn arithmetic_of(function: Function) -> Option<Arithmetic> {
    Some(match function {
        Function::Add => Arithmetic::Add,
        Function::Subtract => Arithmetic::Subtract,
        Function::Multiply => Arithmetic::Multiply,
        Function::Divide => Arithmetic::Divide,
        Function::Modulo => Arithmetic::Modulo,
        _ => return None,
    })
}
