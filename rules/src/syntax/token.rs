//! Tokens: what the lexer cuts a query's text into.

use crate::ast::Span;

/// A token and its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) span: Span,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    /// A name or a keyword, as written.
    Word(Box<str>),
    /// A word with `~` directly behind it (`like~`, `concat~`), without the `~`.
    TildeWord(Box<str>),
    /// A name in backquotes, without them.
    Quoted(Box<str>),
    /// A text, escapes resolved.
    Str(Box<str>),
    /// A whole number. Unsigned, so that `-9223372036854775808` can be put together.
    Int(u64),
    /// Any other number.
    Float(f64),
    /// An operator or a bracket.
    Sign(Sign),
    /// Behind the last token.
    End,
}

macro_rules! signs {
    ($($name:ident = $text:literal,)*) => {
        /// Operators and brackets.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Sign { $($name,)* }

        impl Sign {
            /// All of them; where one begins with another, the longer is first.
            pub(super) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As it is written.
            pub(super) fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

signs! {
    Equal = "==",
    NotEqual = "!=",
    LessEqual = "<=",
    GreaterEqual = ">=",
    Less = "<",
    Greater = ">",
    Assign = "=",
    Bang = "!",
    LeftParen = "(",
    RightParen = ")",
    LeftBracket = "[",
    RightBracket = "]",
    Comma = ",",
    Dot = ".",
    Colon = ":",
    Question = "?",
    Pipe = "|",
    Plus = "+",
    Minus = "-",
    Star = "*",
    Slash = "/",
    Percent = "%",
}

/// Words that are no names unless they stand in backquotes or behind a dot.
pub(super) const KEYWORDS: &[&str] = &[
    "and", "any", "by", "false", "in", "join", "like", "maxspan", "not", "null", "of", "or",
    "regex", "sample", "sequence", "true", "until", "where", "with",
];

impl TokenKind {
    /// How a message names it.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Word(word) => format!("`{word}`"),
            Self::TildeWord(word) => format!("`{word}~`"),
            Self::Quoted(name) => format!("the name `{name}`"),
            Self::Str(_) => "a text".to_owned(),
            Self::Int(number) => format!("`{number}`"),
            Self::Float(number) => format!("`{number}`"),
            Self::Sign(sign) => format!("`{}`", sign.as_str()),
            Self::End => "the end of the query".to_owned(),
        }
    }
}
