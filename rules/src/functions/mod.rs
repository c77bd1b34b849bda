//! EQL's functions: what each takes, what it gives, and what it computes.
//!
//! Source: Elastic's EQL function reference; `match` and `wildcard` are older names that public
//! rules still use. Names are found in any case. A function of a null argument is null, but for
//! optional trailing arguments. Positions and lengths count
//! characters. What cannot be computed (text that is no number) is null, never a failure.

mod numbers;
mod text;

use crate::program::{Case, Datum, Value};
use crate::schema::FieldType;

/// A function of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Add,
    Between,
    CidrMatch,
    Concat,
    Divide,
    EndsWith,
    IndexOf,
    Length,
    Match,
    Modulo,
    Multiply,
    Number,
    StartsWith,
    String,
    StringContains,
    Substring,
    Subtract,
    Wildcard,
}

/// What an argument must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parameter {
    /// Any value.
    Any,
    /// Text.
    Text,
    /// Text that is known when the rule is compiled.
    ConstantText,
    /// A whole or floating number.
    Number,
    /// A whole number.
    Whole,
    /// A truth value.
    Truth,
}

/// How a function is called.
#[derive(Debug)]
pub(crate) struct Signature {
    /// The name as the reference spells it.
    pub(crate) name: &'static str,
    pub(crate) function: Function,
    /// Arguments that must be there.
    pub(crate) required: &'static [Parameter],
    /// Trailing arguments that may be absent or null.
    pub(crate) optional: &'static [Parameter],
    /// Any number of further arguments.
    pub(crate) rest: Option<Parameter>,
    /// The result; `None` for a number whose type follows the arguments.
    pub(crate) result: Option<FieldType>,
    /// Whether `name~` exists.
    pub(crate) has_insensitive: bool,
}

use Parameter::{Any, ConstantText, Number, Text, Truth, Whole};

/// All functions, by name.
#[rustfmt::skip]
pub(crate) const SIGNATURES: [Signature; 18] = [
    arithmetic("add", Function::Add),
    Signature { name: "between", function: Function::Between, required: &[Text, Text, Text], optional: &[Truth],
        rest: None, result: Some(FieldType::Str), has_insensitive: true },
    Signature { name: "cidrMatch", function: Function::CidrMatch, required: &[Text, ConstantText], optional: &[],
        rest: Some(ConstantText), result: Some(FieldType::Bool), has_insensitive: false },
    Signature { name: "concat", function: Function::Concat, required: &[Any], optional: &[],
        rest: Some(Any), result: Some(FieldType::Str), has_insensitive: false },
    arithmetic("divide", Function::Divide),
    text_test("endsWith", Function::EndsWith),
    Signature { name: "indexOf", function: Function::IndexOf, required: &[Text, Text], optional: &[Whole],
        rest: None, result: Some(FieldType::Int), has_insensitive: true },
    Signature { name: "length", function: Function::Length, required: &[Text], optional: &[],
        rest: None, result: Some(FieldType::Int), has_insensitive: false },
    Signature { name: "match", function: Function::Match, required: &[Text, ConstantText], optional: &[],
        rest: Some(ConstantText), result: Some(FieldType::Bool), has_insensitive: true },
    arithmetic("modulo", Function::Modulo),
    arithmetic("multiply", Function::Multiply),
    Signature { name: "number", function: Function::Number, required: &[Text], optional: &[Whole],
        rest: None, result: None, has_insensitive: false },
    text_test("startsWith", Function::StartsWith),
    Signature { name: "string", function: Function::String, required: &[Any], optional: &[],
        rest: None, result: Some(FieldType::Str), has_insensitive: false },
    text_test("stringContains", Function::StringContains),
    Signature { name: "substring", function: Function::Substring, required: &[Text], optional: &[Whole, Whole],
        rest: None, result: Some(FieldType::Str), has_insensitive: false },
    arithmetic("subtract", Function::Subtract),
    Signature { name: "wildcard", function: Function::Wildcard, required: &[Text, ConstantText], optional: &[],
        rest: Some(ConstantText), result: Some(FieldType::Bool), has_insensitive: true },
];

const fn arithmetic(name: &'static str, function: Function) -> Signature {
    Signature {
        name,
        function,
        required: &[Number, Number],
        optional: &[],
        rest: None,
        result: None,
        has_insensitive: false,
    }
}

const fn text_test(name: &'static str, function: Function) -> Signature {
    Signature {
        name,
        function,
        required: &[Text, Text],
        optional: &[],
        rest: None,
        result: Some(FieldType::Bool),
        has_insensitive: true,
    }
}

impl Signature {
    /// The function of that name, in any case.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        SIGNATURES.iter().find(|signature| signature.name.eq_ignore_ascii_case(name))
    }

    /// What the argument at `index` must be; `None` where there may be none.
    pub(crate) fn parameter(&self, index: usize) -> Option<Parameter> {
        self.required
            .get(index)
            .or_else(|| self.optional.get(index - self.required.len().min(index)))
            .copied()
            .or(self.rest)
    }

    /// How many arguments it takes, for a message: `2`, `2 to 3`, `2 or more`.
    pub(crate) fn arity(&self) -> String {
        let least = self.required.len();
        match (self.rest, self.optional.len()) {
            (Some(_), _) => format!("{least} or more"),
            (None, 0) => least.to_string(),
            (None, more) => format!("{least} to {}", least + more),
        }
    }

    /// Whether that many arguments may be given.
    pub(crate) fn takes(&self, count: usize) -> bool {
        let most = self.required.len() + self.optional.len();
        count >= self.required.len() && (self.rest.is_some() || count <= most)
    }
}

/// Applies a function to single values. Arithmetic, patterns and networks (`cidrMatch`, `match`,
/// `wildcard`) are compiled to operations of their own and never come here.
pub(crate) fn apply(function: Function, case: Case, arguments: &[Datum<'_>]) -> Value<'static> {
    let at = |index: usize| arguments.get(index).copied().unwrap_or(Datum::Null);
    match function {
        Function::Between => text::between(case, arguments),
        Function::Concat => text::concat(arguments),
        Function::EndsWith | Function::StartsWith | Function::StringContains => {
            text::test(function, case, at(0), at(1))
        }
        Function::IndexOf => text::index_of(case, at(0), at(1), at(2)),
        Function::Length => text::length(at(0)),
        Function::Number => numbers::number(at(0), at(1)),
        Function::String => text::string(at(0)),
        Function::Substring => text::substring(at(0), at(1), at(2)),
        Function::CidrMatch | Function::Match | Function::Wildcard => Value::NULL,
        Function::Add
        | Function::Subtract
        | Function::Multiply
        | Function::Divide
        | Function::Modulo => Value::NULL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case() {
        for name in ["cidrmatch", "cidrMatch", "CIDRMATCH"] {
            let found = Signature::find(name).map(|signature| signature.function);
            assert_eq!(found, Some(Function::CidrMatch));
        }
        assert!(Signature::find("median").is_none());
    }

    #[test]
    fn parameters_are_required_then_optional_then_the_rest() {
        let between = Signature::find("between").expect("known");
        assert_eq!(between.parameter(2), Some(Text));
        assert_eq!(between.parameter(3), Some(Truth));
        assert_eq!(between.parameter(4), None);
        assert_eq!(between.arity(), "3 to 4");
        assert!(!between.takes(2) && between.takes(3) && between.takes(4) && !between.takes(5));
        let concat = Signature::find("concat").expect("known");
        assert_eq!(concat.parameter(9), Some(Any));
        assert!(!concat.takes(0) && concat.takes(9));
    }
}
