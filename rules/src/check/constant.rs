//! Functions of constants, for those who walk a syntax tree themselves.

use super::{Bindings, Checker, Extent, Findings, Slots};
use crate::ast::{Expr, Literal, Span, Spanned};
use crate::schema::{Schema, UnknownFields};

/// The value of a function; null where it does not exist or does not take these arguments.
#[must_use]
pub fn call(name: &str, insensitive: bool, arguments: &[Literal]) -> Literal {
    let span = Span::default();
    let literal = |argument: &Literal| Expr::Literal(Spanned { node: argument.clone(), span });
    let call = Expr::Call {
        name: Spanned { node: name.into(), span },
        insensitive,
        args: arguments.iter().map(literal).collect(),
        span,
    };
    let mut checker = Checker {
        schema: &Schema::new("eventName", UnknownFields::Error),
        slots: &mut Slots::default(),
        bindings: Bindings::default(),
        extent: Extent::VISIT,
        findings: Findings::default(),
    };
    let node = checker.expression(&call).node;
    if checker.findings.errors() > 0 {
        return Literal::Null;
    }
    node.folded().as_constant().cloned().unwrap_or(Literal::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_constants_are_computed() {
        let text = |text: &str| Literal::Str(text.into());
        assert_eq!(call("LENGTH", false, &[text("abc")]), Literal::Int(3));
        assert_eq!(call("startsWith", true, &[text("Abc"), text("aB")]), Literal::Bool(true));
        assert_eq!(call("startsWith", false, &[text("Abc"), text("aB")]), Literal::Bool(false));
        assert_eq!(call("wildcard", false, &[text("abc"), text("a*")]), Literal::Bool(true));
        assert_eq!(
            call("add", false, &[Literal::Int(1), Literal::Float(0.5)]),
            Literal::Float(1.5)
        );
        for (name, argument) in
            [("length", Literal::Null), ("length", Literal::Int(5)), ("no", text("x"))]
        {
            assert_eq!(call(name, false, &[argument]), Literal::Null, "{name}");
        }
    }
}
