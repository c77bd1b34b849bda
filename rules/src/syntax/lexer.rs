//! Cuts the text of a query into tokens.
//!
//! A slip whose meaning is plain (single quotes) is an error and still gives its token, so that the
//! parser can go on and find more; any other makes the result broken, and the parser is not asked.

use super::SyntaxError;
use super::token::{Sign, Token, TokenKind};
use crate::ast::Span;

/// Tokens, the last of them [`TokenKind::End`], and what was wrong.
pub(super) struct Lexed {
    pub(super) tokens: Vec<Token>,
    pub(super) errors: Vec<SyntaxError>,
    /// Something could not be read at all: the tokens are not worth parsing.
    pub(super) is_broken: bool,
}

/// Cuts `text`, which is shorter than 4 GB.
pub(super) fn lex(text: &str) -> Lexed {
    let out = Lexed { tokens: Vec::new(), errors: Vec::new(), is_broken: false };
    let mut lexer = Lexer { text, position: 0, out };
    while lexer.skip_blank() {
        lexer.token();
    }
    lexer.push(text.len(), TokenKind::End);
    lexer.out
}

struct Lexer<'a> {
    text: &'a str,
    position: usize,
    out: Lexed,
}

fn is_word_start(character: char) -> bool {
    character.is_ascii_alphabetic() || character == '_' || character == '@'
}

fn is_word_part(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || character == '@'
}

/// The span of bytes `start..end`.
fn span(start: usize, end: usize) -> Span {
    let offset = |at: usize| u32::try_from(at).expect("a query is shorter than 4 GB");
    Span { start: offset(start), end: offset(end) }
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.position..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn peek_second(&self) -> Option<char> {
        self.rest().chars().nth(1)
    }

    fn bump(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.position += character.len_utf8();
        Some(character)
    }

    fn eat(&mut self, prefix: &str) -> bool {
        let is_there = self.rest().starts_with(prefix);
        if is_there {
            self.position += prefix.len();
        }
        is_there
    }

    /// Takes characters as long as they satisfy `accept`.
    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|character| !accept(character)).unwrap_or(rest.len());
        self.position += length;
        rest.get(..length).unwrap_or_default()
    }

    fn push(&mut self, start: usize, kind: TokenKind) {
        self.out.tokens.push(Token { kind, span: span(start, self.position.max(start)) });
    }

    fn repaired(&mut self, start: usize, message: &str, help: &str) {
        let error = SyntaxError::new(span(start, self.position), message);
        self.out.errors.push(error.with_help(help));
    }

    fn broken(&mut self, start: usize, message: impl Into<String>, help: &str) {
        let error = SyntaxError::new(span(start, self.position), message);
        self.out.errors.push(error.with_help(help));
        self.out.is_broken = true;
    }

    /// Goes to the next token; false at the end of the text.
    fn skip_blank(&mut self) -> bool {
        loop {
            self.take_while(char::is_whitespace);
            let start = self.position;
            if self.eat("//") {
                self.take_while(|character| character != '\n');
            } else if self.eat("/*") {
                match self.rest().find("*/") {
                    Some(length) => self.position += length + 2,
                    None => {
                        self.position = self.text.len();
                        self.broken(start, "this comment does not end", "close it with `*/`");
                    }
                }
            } else {
                return self.position < self.text.len();
            }
        }
    }

    fn token(&mut self) {
        let start = self.position;
        match self.peek() {
            Some(first) if is_word_start(first) => {
                let word: Box<str> = self.take_while(is_word_part).into();
                let is_tilde = self.eat("~");
                let kind =
                    if is_tilde { TokenKind::TildeWord(word) } else { TokenKind::Word(word) };
                self.push(start, kind);
            }
            Some(first) if first.is_ascii_digit() => self.number(),
            Some('.') if self.is_fraction() => self.number(),
            Some('"') => self.double_quoted(),
            Some('\'') => self.single_quoted(),
            Some('`') => self.back_quoted(),
            Some('?') if self.peek_second().is_some_and(|next| matches!(next, '"' | '\'')) => {
                self.raw_text();
            }
            _ => self.sign(),
        }
    }

    /// `.5` is a number unless the dot stands directly behind a name.
    fn is_fraction(&self) -> bool {
        let is_after_name = self.out.tokens.last().is_some_and(|token| {
            let is_name = matches!(token.kind, TokenKind::Word(_) | TokenKind::Quoted(_));
            is_name && span(0, self.position).end == token.span.end
        });
        !is_after_name && self.peek_second().is_some_and(|next| next.is_ascii_digit())
    }

    fn number(&mut self) {
        let start = self.position;
        let is_digit = |character: char| character.is_ascii_digit();
        self.take_while(is_digit);
        let mut is_float = false;
        if self.peek() == Some('.') && self.peek_second().is_some_and(is_digit) {
            is_float = true;
            self.bump();
            self.take_while(is_digit);
        }
        is_float |= self.exponent();
        let text = self.text.get(start..self.position).unwrap_or_default();
        let kind = if is_float {
            text.parse().ok().filter(|number: &f64| number.is_finite()).map(TokenKind::Float)
        } else {
            text.parse().ok().map(TokenKind::Int)
        };
        match kind {
            Some(kind) => self.push(start, kind),
            None => {
                let message = format!("the number `{text}` is too large");
                self.broken(start, message, "whole numbers have 64 bits with their sign");
            }
        }
    }

    /// Takes `e+10` if it stands here whole; `e` alone is the beginning of a word.
    fn exponent(&mut self) -> bool {
        let back = self.position;
        let is_digit = |character: char| character.is_ascii_digit();
        if self.eat("e") || self.eat("E") {
            if !self.eat("+") {
                self.eat("-");
            }
            if !self.take_while(is_digit).is_empty() {
                return true;
            }
        }
        self.position = back;
        false
    }

    fn double_quoted(&mut self) {
        let start = self.position;
        if self.eat("\"\"\"") {
            return self.triple_quoted(start);
        }
        self.bump();
        if let Some(text) = self.escaped_until('"', start) {
            self.push(start, TokenKind::Str(text));
        }
    }

    /// `"""raw"""`: no escapes, one line; up to two quotes more belong to the text.
    fn triple_quoted(&mut self, start: usize) {
        let rest = self.rest();
        let line = rest.get(..rest.find(['\r', '\n']).unwrap_or(rest.len())).unwrap_or_default();
        let Some(mut length) = line.find("\"\"\"") else {
            self.position += line.len();
            return self.broken(start, "this text does not end", "close it with `\"\"\"`");
        };
        let quotes = line.get(length..).unwrap_or_default();
        let more = quotes.chars().take_while(|&quote| quote == '"').count() - 3;
        length += more.min(2);
        self.position += length + 3;
        self.push(start, TokenKind::Str(line.get(..length).unwrap_or_default().into()));
    }

    fn single_quoted(&mut self) {
        let start = self.position;
        self.bump();
        if let Some(text) = self.escaped_until('\'', start) {
            self.repaired(start, "a text stands in double quotes", "write \"...\"");
            self.push(start, TokenKind::Str(text));
        }
    }

    /// The older dialect's `?"raw"`.
    fn raw_text(&mut self) {
        let start = self.position;
        self.bump();
        let Some(quote) = self.bump() else { return };
        let text: Box<str> = self.take_while(|character| character != quote).into();
        if self.bump().is_none() {
            return self.broken(start, "this text does not end", "write \"\"\"...\"\"\"");
        }
        self.repaired(start, "`?` does not make a raw text", "write \"\"\"...\"\"\"");
        self.push(start, TokenKind::Str(text));
    }

    /// The text up to `quote`, escapes resolved; `None` (and an error) if it does not end.
    fn escaped_until(&mut self, quote: char, start: usize) -> Option<Box<str>> {
        let mut out = String::new();
        loop {
            let here = self.position;
            match self.bump() {
                Some(character) if character == quote => return Some(out.into()),
                Some('\\') => out.extend(self.escape(here)),
                None | Some('\n' | '\r') => {
                    self.position = here;
                    let help = format!("close it with `{quote}` on the same line");
                    self.broken(start, "this text does not end", &help);
                    return None;
                }
                Some(character) => out.push(character),
            }
        }
    }

    /// One escape, whose backslash at `start` was taken.
    fn escape(&mut self, start: usize) -> Option<char> {
        let known = match self.peek()? {
            'b' => '\u{8}',
            't' => '\t',
            'n' => '\n',
            'f' => '\u{c}',
            'r' => '\r',
            same @ ('"' | '\'' | '\\') => same,
            'u' => return self.unicode_escape(start),
            '\n' | '\r' => return None,
            other => {
                self.bump();
                let message = format!("`\\{other}` is not an escape");
                let help = "write `\\\\` for a backslash, or the text in `\"\"\"`";
                self.broken(start, message, help);
                return None;
            }
        };
        self.bump();
        Some(known)
    }

    /// `u{200f}`: two to eight hex digits.
    fn unicode_escape(&mut self, start: usize) -> Option<char> {
        self.bump();
        let digits = if self.eat("{") {
            self.take_while(|character| character.is_ascii_hexdigit())
        } else {
            ""
        };
        let is_whole = (2..=8).contains(&digits.len()) && self.eat("}");
        let character = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
        if character.is_none() || !is_whole {
            self.broken(start, "this is not a character", "write it as `\\u{200f}`");
            return None;
        }
        character
    }

    fn back_quoted(&mut self) {
        let start = self.position;
        self.bump();
        let mut name = String::new();
        loop {
            match self.bump() {
                Some('`') if self.eat("`") => name.push('`'),
                Some('`') => break,
                None | Some('\n' | '\r') => {
                    return self.broken(
                        start,
                        "this name does not end",
                        "close it with a backquote",
                    );
                }
                Some(character) => name.push(character),
            }
        }
        if name.is_empty() {
            return self.broken(start, "a name has at least one character", "write it in between");
        }
        self.push(start, TokenKind::Quoted(name.into()));
    }

    fn sign(&mut self) {
        let start = self.position;
        for &sign in Sign::ALL {
            if self.eat(sign.as_str()) {
                return self.push(start, TokenKind::Sign(sign));
            }
        }
        let Some(character) = self.bump() else { return };
        self.take_while(|next| next == character);
        let help = match character {
            '&' => "write `and`",
            ';' => "a query is one statement; leave it out",
            '{' | '}' => "terms of a sequence stand in `[ ]`",
            _ => "other characters stand only in texts (\"...\") and in names in backquotes",
        };
        let found = self.text.get(start..self.position).unwrap_or_default();
        self.broken(start, format!("`{}` means nothing here", found.escape_debug()), help);
    }
}
