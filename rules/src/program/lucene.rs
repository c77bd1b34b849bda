//! Lucene's regular expressions (`regex`), translated for the `regex` crate.
//!
//! Source: Elasticsearch, "Regular expression syntax". A pattern matches the whole text, `^` and
//! `$` are plain characters, a quantifier behind a quantifier repeats it (`.*?` is an optional
//! `.*`, not a lazy one). The optional operators (`~ & @ # < "`) are refused: rules have no use for
//! them, and reading them as plain characters would differ from what Elasticsearch does with the
//! same query. So are `\w` and its kin.
//!
//! **Invariant:** what is returned compiles, but for its size.

use std::iter::Peekable;
use std::str::Chars;

/// The longest pattern, in bytes; Lucene's own limit is 1,000 characters.
pub(crate) const REGEX_BYTES_MAX: usize = 1000;
/// The deepest nesting of groups.
const DEPTH_MAX: usize = 50;
/// The highest count in `{n,m}`.
const REPEAT_MAX: u32 = 1000;

/// Translates a pattern; an error says what is wrong with it, in a sentence without a full stop.
pub(crate) fn translate(pattern: &str) -> Result<String, String> {
    if pattern.len() > REGEX_BYTES_MAX {
        return Err(format!("the pattern is longer than {REGEX_BYTES_MAX} bytes"));
    }
    let mut translator = Translator { rest: pattern.chars().peekable() };
    let translated = translator.alternatives(0)?;
    match translator.rest.next() {
        None => Ok(translated),
        Some(_) => Err("there is a `)` without a `(`; write `\\)` for the character".to_owned()),
    }
}

struct Translator<'a> {
    rest: Peekable<Chars<'a>>,
}

impl Translator<'_> {
    /// `a|b`, up to the end or a `)`.
    fn alternatives(&mut self, depth: usize) -> Result<String, String> {
        if depth > DEPTH_MAX {
            return Err(format!("groups are nested deeper than {DEPTH_MAX}"));
        }
        let mut out = String::new();
        loop {
            match self.rest.peek() {
                None | Some(')') => return Ok(out),
                Some('|') => {
                    self.rest.next();
                    out.push('|');
                }
                Some(_) => out.push_str(&self.repeated(depth)?),
            }
        }
    }

    /// An atom and the quantifiers behind it.
    fn repeated(&mut self, depth: usize) -> Result<String, String> {
        let mut out = self.atom(depth)?;
        while let Some(sign @ ('?' | '*' | '+' | '{')) = self.rest.peek().copied() {
            self.rest.next();
            let quantifier = if sign == '{' { self.counts()? } else { sign.to_string() };
            out = format!("(?:{out}){quantifier}");
        }
        Ok(out)
    }

    fn atom(&mut self, depth: usize) -> Result<String, String> {
        let character = self.rest.next().expect("the caller saw a character");
        match character {
            '(' => {
                let inner = self.alternatives(depth + 1)?;
                self.expect(')', "a `(` is not closed; write `\\(` for the character")?;
                Ok(format!("(?:{inner})"))
            }
            '[' => self.class(),
            '.' => Ok("(?s:.)".to_owned()),
            '\\' => Ok(literal(self.escaped()?)),
            '?' | '*' | '+' | '{' => {
                Err(format!("`{character}` has nothing to repeat; write `\\{character}`"))
            }
            '~' | '&' | '@' | '#' | '<' | '"' => Err(format!(
                "`{character}` is an operator of Lucene that rules do not have; \
                 write `\\{character}` for the character"
            )),
            plain => Ok(literal(plain)),
        }
    }

    /// The character behind a backslash.
    fn escaped(&mut self) -> Result<char, String> {
        match self.rest.next() {
            None => Err("the pattern ends in a backslash; write `\\\\` for one".to_owned()),
            Some(letter) if letter.is_ascii_alphanumeric() => Err(format!(
                "`\\{letter}` does not exist in Lucene's syntax; write a class such as \
                 `[0-9]`, `[A-Za-z0-9_]` or `[ ]`"
            )),
            Some(character) => Ok(character),
        }
    }

    /// What follows a `[`.
    fn class(&mut self) -> Result<String, String> {
        let mut out = String::from("[");
        if self.rest.next_if_eq(&'^').is_some() {
            out.push('^');
        }
        let before = out.len();
        while let Some(first) = self.rest.next_if(|character| *character != ']') {
            let first = if first == '\\' { self.escaped()? } else { first };
            out.push_str(&literal(first));
            if self.rest.next_if_eq(&'-').is_some() {
                match self.rest.next_if(|character| *character != ']') {
                    None => out.push_str(&literal('-')),
                    Some(last) => {
                        let last = if last == '\\' { self.escaped()? } else { last };
                        if last < first {
                            return Err(format!("the range `{first}-{last}` is empty"));
                        }
                        out.push('-');
                        out.push_str(&literal(last));
                    }
                }
            }
        }
        if out.len() == before {
            return Err("a class `[]` is empty or not closed".to_owned());
        }
        self.expect(']', "a `[` is not closed; write `\\[` for the character")?;
        out.push(']');
        Ok(out)
    }

    /// What follows a `{`: `n}`, `n,}` or `n,m}`.
    fn counts(&mut self) -> Result<String, String> {
        let least = self.count()?;
        let most = if self.rest.next_if_eq(&',').is_none() {
            Some(least)
        } else if self.rest.peek() == Some(&'}') {
            None
        } else {
            Some(self.count()?)
        };
        self.expect('}', "a `{` is not closed; write `\\{` for the character")?;
        match most {
            Some(most) if most < least => Err(format!("the range `{{{least},{most}}}` is empty")),
            Some(most) => Ok(format!("{{{least},{most}}}")),
            None => Ok(format!("{{{least},}}")),
        }
    }

    fn count(&mut self) -> Result<u32, String> {
        let mut digits = String::new();
        while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        match digits.parse::<u32>() {
            Ok(count) if count <= REPEAT_MAX => Ok(count),
            _ => Err(format!("`{{` takes counts of 0 to {REPEAT_MAX}, as in `{{2,3}}`")),
        }
    }

    fn expect(&mut self, character: char, otherwise: &str) -> Result<(), String> {
        match self.rest.next_if_eq(&character) {
            Some(_) => Ok(()),
            None => Err(otherwise.to_owned()),
        }
    }
}

/// A character that stands for itself wherever it stands.
fn literal(character: char) -> String {
    if character.is_ascii_alphanumeric() {
        character.to_string()
    } else {
        format!("\\x{{{:x}}}", u32::from(character))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, expected: bool) {
        let translated = translate(pattern).expect(pattern);
        let regex = regex::Regex::new(&format!(r"\A(?:{translated})\z")).expect(&translated);
        assert_eq!(regex.is_match(text), expected, "{pattern} as {translated} on {text:?}");
    }

    #[test]
    fn patterns_mean_what_they_mean_to_lucene() {
        check("ab", "ab", true);
        check("ab", "xab", false);
        check("a|bc", "bc", true);
        check("a.c", "a\nc", true);
        check(".+?", "", true); // an optional `.+`, not a lazy one
        check("^a$", "^a$", true);
        check("[a-c]{2,3}", "abc", true);
        check("[a-c]{2,3}", "abcd", false);
        check("[^/]+/", "x/", true);
        check(r"a\.b", "a.b", true);
        check(r"a\.b", "axb", false);
        check("[a-]", "-", true);
        check(r"[\]\-x]", "]", true);
        check("[[&&b]", "&", true);
        check("()", "", true);
        check("a{2}", "aa", true);
        check("a{1,}", "", false);
    }

    #[test]
    fn what_lucene_lacks_or_means_otherwise_is_refused() {
        for pattern in [
            r"\w+", r"a\s", "a@b", "a&b", "~a", "<1-5>", "a\"b", "#", "(a", "a)", "[a", "[]", "*a",
            "a{", "a{3,2}", "a{1001}", "[z-a]", r"a\",
        ] {
            assert!(translate(pattern).is_err(), "{pattern}");
        }
        assert!(translate(&"(".repeat(DEPTH_MAX + 2)).is_err());
        assert!(translate(&"a".repeat(REGEX_BYTES_MAX + 1)).is_err());
    }
}
