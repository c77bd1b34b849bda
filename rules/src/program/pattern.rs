//! What a text is matched against: wildcards, regular expressions, networks. All are prepared
//! when a rule is compiled; matching allocates nothing.

use crate::program::fold::{
    compare_folded, contains_folded, ends_with_folded, fold, folded, starts_with_folded,
};
use crate::program::lucene;
use std::net::IpAddr;

/// Memory of one compiled regular expression, and of its cache.
const REGEX_COMPILED_BYTES_MAX: usize = 1 << 20;

/// Whether capital and small letters are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Sensitive,
    Insensitive,
}

/// What a text is matched against: any of several patterns.
#[derive(Debug)]
pub(crate) enum Pattern {
    /// `:`, `like`, `startsWith`, `endsWith`, `stringContains` of constants.
    Wildcards(Box<[Wildcard]>),
    /// `regex`: one expression of all alternatives.
    Regex(regex::Regex),
    /// `cidrMatch`.
    Networks(Box<[Network]>),
}

impl Pattern {
    /// Prepares `regex`; an error says what is wrong, without a full stop.
    pub(crate) fn regex(patterns: &[&str], case: Case) -> Result<Self, String> {
        let mut whole = String::from(r"\A(?:");
        for (index, pattern) in patterns.iter().enumerate() {
            if index > 0 {
                whole.push('|');
            }
            whole.push_str(&format!("(?:{})", lucene::translate(pattern)?));
        }
        whole.push_str(r")\z");
        regex::RegexBuilder::new(&whole)
            .case_insensitive(case == Case::Insensitive)
            .size_limit(REGEX_COMPILED_BYTES_MAX)
            .dfa_size_limit(REGEX_COMPILED_BYTES_MAX)
            .build()
            .map(Self::Regex)
            .map_err(|_| format!("the expression needs more than {REGEX_COMPILED_BYTES_MAX} bytes"))
    }

    /// Whether any pattern fits; null where the text is no address and networks are asked for.
    pub(crate) fn fits(&self, text: &str) -> Option<bool> {
        match self {
            Self::Wildcards(wildcards) => {
                Some(wildcards.iter().any(|wildcard| wildcard.fits(text)))
            }
            Self::Regex(regex) => Some(regex.is_match(text)),
            Self::Networks(networks) => {
                let address = text.parse::<IpAddr>().ok()?;
                Some(networks.iter().any(|network| network.contains(address)))
            }
        }
    }
}

/// One pattern of `:` or `like`, in the cheapest shape that it has.
#[derive(Debug)]
pub(crate) struct Wildcard {
    case: Case,
    shape: Shape,
}

/// Texts are folded where case is set aside.
#[derive(Debug, PartialEq)]
enum Shape {
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Contains(Box<str>),
    Glob(Box<[Token]>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    /// `*`
    Run,
    /// `?`
    One,
    Character(char),
}

impl Wildcard {
    /// Reads `*` and `?`.
    pub(crate) fn new(pattern: &str, case: Case) -> Self {
        let pattern = in_case(pattern, case);
        let is_plain = |text: &str| !text.contains(['*', '?']);
        let shape = if is_plain(&pattern) {
            Shape::Exact(pattern.into())
        } else if let Some(rest) = pattern.strip_suffix('*').filter(|rest| is_plain(rest)) {
            Shape::Prefix(rest.into())
        } else if let Some(rest) = pattern.strip_prefix('*').filter(|rest| is_plain(rest)) {
            Shape::Suffix(rest.into())
        } else if let Some(rest) = pattern
            .strip_prefix('*')
            .and_then(|rest| rest.strip_suffix('*'))
            .filter(|rest| is_plain(rest))
        {
            Shape::Contains(rest.into())
        } else {
            Shape::Glob(tokens(&pattern))
        };
        Self { case, shape }
    }

    /// The text `prefix` and anything behind it.
    pub(crate) fn prefix(prefix: &str, case: Case) -> Self {
        Self { case, shape: Shape::Prefix(in_case(prefix, case).into()) }
    }

    /// Anything and the text `suffix`.
    pub(crate) fn suffix(suffix: &str, case: Case) -> Self {
        Self { case, shape: Shape::Suffix(in_case(suffix, case).into()) }
    }

    /// The text `inner`, and anything around it.
    pub(crate) fn contains(inner: &str, case: Case) -> Self {
        Self { case, shape: Shape::Contains(in_case(inner, case).into()) }
    }

    /// Whether the whole text fits.
    pub(crate) fn fits(&self, text: &str) -> bool {
        match (self.case, &self.shape) {
            (Case::Sensitive, Shape::Exact(exact)) => text == exact.as_ref(),
            (Case::Sensitive, Shape::Prefix(prefix)) => text.starts_with(prefix.as_ref()),
            (Case::Sensitive, Shape::Suffix(suffix)) => text.ends_with(suffix.as_ref()),
            (Case::Sensitive, Shape::Contains(inner)) => text.contains(inner.as_ref()),
            (Case::Insensitive, Shape::Exact(exact)) => compare_folded(text, exact).is_eq(),
            (Case::Insensitive, Shape::Prefix(prefix)) => starts_with_folded(text, prefix),
            (Case::Insensitive, Shape::Suffix(suffix)) => ends_with_folded(text, suffix),
            (Case::Insensitive, Shape::Contains(inner)) => contains_folded(text, inner),
            (Case::Sensitive, Shape::Glob(tokens)) => glob(tokens, text, |character| character),
            (Case::Insensitive, Shape::Glob(tokens)) => glob(tokens, text, fold),
        }
    }
}

fn in_case(text: &str, case: Case) -> String {
    match case {
        Case::Sensitive => text.to_owned(),
        Case::Insensitive => folded(text),
    }
}

/// Runs of `*` count as one.
fn tokens(pattern: &str) -> Box<[Token]> {
    let mut tokens: Vec<Token> = pattern
        .chars()
        .map(|character| match character {
            '*' => Token::Run,
            '?' => Token::One,
            other => Token::Character(other),
        })
        .collect();
    tokens.dedup_by(|a, b| *a == Token::Run && *b == Token::Run);
    tokens.into()
}

/// Greedy, going back to the last `*` alone: at most pattern times text steps, no recursion.
fn glob(tokens: &[Token], text: &str, case: impl Fn(char) -> char) -> bool {
    let mut rest = text.chars();
    let mut at = 0;
    let mut last_run: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        let mut ahead = rest.clone();
        let character = ahead.next();
        let steps = match (tokens.get(at), character) {
            (Some(Token::Run), _) => {
                at += 1;
                last_run = Some((at, rest.clone()));
                continue;
            }
            (None, None) => return true,
            (Some(Token::One), Some(_)) => true,
            (Some(Token::Character(expected)), Some(found)) => case(found) == *expected,
            _ => false,
        };
        if steps {
            rest = ahead;
            at += 1;
            continue;
        }
        let Some((behind_run, mut from)) = last_run else {
            return false;
        };
        if from.next().is_none() {
            return false;
        }
        at = behind_run;
        rest = from.clone();
        last_run = Some((behind_run, from));
    }
}

/// An address block: `10.0.0.0/8`, `2001:db8::/32`; bits behind the prefix do not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    V4 { bits: u32, mask: u32 },
    V6 { bits: u128, mask: u128 },
}

impl Network {
    /// Reads a block; a bare address is a block of one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
            None => (text, None),
        };
        match address.parse::<IpAddr>().ok()? {
            IpAddr::V4(address) => {
                let length = length.unwrap_or(32);
                let mask = match length {
                    0 => 0,
                    1..=32 => u32::MAX << (32 - length),
                    _ => return None,
                };
                Some(Self::V4 { bits: address.to_bits() & mask, mask })
            }
            IpAddr::V6(address) => {
                let length = length.unwrap_or(128);
                let mask = match length {
                    0 => 0,
                    1..=128 => u128::MAX << (128 - length),
                    _ => return None,
                };
                Some(Self::V6 { bits: address.to_bits() & mask, mask })
            }
        }
    }

    /// Whether the address lies in the block; one of the other family does not.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::V4 { bits, mask }, IpAddr::V4(address)) => address.to_bits() & mask == *bits,
            (Self::V6 { bits, mask }, IpAddr::V6(address)) => address.to_bits() & mask == *bits,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, case: Case, text: &str, expected: bool) {
        assert_eq!(Wildcard::new(pattern, case).fits(text), expected, "{pattern} {case:?} {text}");
    }

    #[test]
    fn wildcards_fit_the_whole_text() {
        for case in [Case::Sensitive, Case::Insensitive] {
            check("abc", case, "abc", true);
            check("abc", case, "abcd", false);
            check("ab*", case, "ab", true);
            check("*bc", case, "abc", true);
            check("*b*", case, "abc", true);
            check("*", case, "", true);
            check("?", case, "", false);
            check("a?c", case, "a\u{e9}c", true);
            check("a*b*c", case, "aXbXbXc", true);
            check("a*b*c", case, "aXbXbX", false);
            check("**a**", case, "a", true);
            check("*ab*ab", case, "abab", true);
            check("*?b", case, "b", false);
        }
    }

    #[test]
    fn case_counts_as_the_operator_says() {
        check("A*", Case::Sensitive, "abc", false);
        for pattern in ["ABC", "A*", "*C", "*B*", "A?C"] {
            check(pattern, Case::Insensitive, "abc", true);
        }
    }

    #[test]
    fn stars_of_functions_are_plain_characters() {
        assert!(Wildcard::prefix("a*", Case::Sensitive).fits("a*b"));
        assert!(!Wildcard::prefix("a*", Case::Sensitive).fits("aab"));
    }

    #[test]
    fn a_hostile_wildcard_takes_no_exponential_time() {
        let pattern = "*a".repeat(40) + "b";
        assert!(!Wildcard::new(&pattern, Case::Sensitive).fits(&"a".repeat(2000)));
    }

    #[test]
    fn networks_hold_their_addresses() {
        let check = |network: &str, address: &str, expected| {
            let network = Network::parse(network).expect(network);
            assert_eq!(network.contains(address.parse().expect(address)), expected, "{address}");
        };
        check("10.6.48.157/8", "10.1.2.3", true);
        check("10.6.48.157/8", "11.1.2.3", false);
        check("0.0.0.0/0", "8.8.8.8", true);
        check("2001:db8::/32", "2001:db8:1::1", true);
        check("2001:db8::/32", "10.0.0.1", false);
        check("10.0.0.1", "10.0.0.1", true);
        for text in ["10.0.0.0/33", "10.0.0/8", "x", "::/129", "10.0.0.0/"] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_expression_that_grows_too_large_is_refused() {
        assert!(Pattern::regex(&["((a{1000}){1000}){1000}"], Case::Sensitive).is_err());
        let both = Pattern::regex(&["a", "b|c"], Case::Insensitive).expect("small");
        assert_eq!(both.fits("C"), Some(true));
        assert_eq!(both.fits("bc"), Some(false));
    }
}
