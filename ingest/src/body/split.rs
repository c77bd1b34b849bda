//! Cuts JSON into its elements without reading them.
//!
//! Three reasons not to leave this to the parser: each event's own bytes are needed (for its size,
//! and for dead letters); one bad event must not spoil its neighbours; and the depth of nesting
//! has to be known **before** a recursive parser sees it, else a body of a million `[` overflows
//! the stack. The scan is a loop with a counter: 1 MB of `[` costs 1 MB of reading.
//!
//! What stands inside an element is not judged here; whoever parses the element does that.

use memchr::memchr2;

/// The bytes of one JSON value in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// As it came.
    pub raw: &'a [u8],
    /// The same as text; empty where `raw` is not UTF-8.
    pub text: &'a str,
    /// How deep objects and arrays nest in it; 0 for a scalar.
    pub depth: usize,
}

/// Where a body stops being JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// What stands at this byte cannot stand there.
    #[error("expected {expected} at byte {at}")]
    Unexpected {
        /// Where, from 0.
        at: usize,
        /// What could have stood there.
        expected: &'static str,
    },
    /// More elements than the caller wants.
    #[error("more than {0} elements")]
    TooMany(usize),
}

/// A place in a body that moves forward.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next byte that is no white space.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let blank = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))?;
        self.at += blank;
        rest.get(blank).copied()
    }

    /// Passes over `byte`.
    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), SplitError> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(SplitError::Unexpected { at: self.at, expected })
    }

    /// Nothing but white space is left.
    pub(super) fn end(&mut self) -> Result<(), SplitError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(SplitError::Unexpected { at: self.at, expected: "the end" }),
        }
    }

    /// Passes over one value.
    pub(super) fn value(&mut self) -> Result<Piece<'a>, SplitError> {
        let first = self.peek();
        let start = self.at;
        let depth = match first {
            Some(b'{' | b'[') => self.container()?,
            Some(b'"') => {
                self.string()?;
                0
            }
            Some(byte) if !matches!(byte, b',' | b':' | b']' | b'}') => {
                self.scalar();
                0
            }
            _ => return Err(SplitError::Unexpected { at: start, expected: "a value" }),
        };
        let text = self.text.get(start..self.at).unwrap_or_default();
        Ok(Piece { raw: text.as_bytes(), text, depth })
    }

    /// Passes over an object or array; gives how deep it nests.
    fn container(&mut self) -> Result<usize, SplitError> {
        let bytes = self.text.as_bytes();
        let (mut depth, mut deepest) = (0_usize, 0_usize);
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => {
                    depth += 1;
                    deepest = deepest.max(depth);
                }
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(deepest);
            }
        }
        Err(SplitError::Unexpected { at: self.at, expected: "the end of an object or array" })
    }

    /// Passes over a string, from its first quote.
    fn string(&mut self) -> Result<(), SplitError> {
        let bytes = self.text.as_bytes();
        let mut at = self.at + 1;
        while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
            at += found;
            if bytes.get(at) == Some(&b'"') {
                self.at = at + 1;
                return Ok(());
            }
            at += 2;
        }
        Err(SplitError::Unexpected { at: bytes.len(), expected: "the end of a string" })
    }

    fn scalar(&mut self) {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        // Only ASCII ends a scalar, so this is a character boundary.
        self.at += rest
            .iter()
            .position(|byte| {
                matches!(
                    byte,
                    b',' | b':' | b']' | b'}' | b'[' | b'{' | b'"' | b' ' | b'\t' | b'\r' | b'\n'
                )
            })
            .unwrap_or(rest.len());
    }

    /// Passes over an array and gives its elements, at most `max`.
    pub(super) fn elements(&mut self, max: usize) -> Result<Vec<Piece<'a>>, SplitError> {
        self.expect(b'[', "an array")?;
        let mut elements = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(elements);
        }
        loop {
            if elements.len() >= max {
                return Err(SplitError::TooMany(max));
            }
            elements.push(self.value()?);
            if self.peek() == Some(b']') {
                self.at += 1;
                return Ok(elements);
            }
            self.expect(b',', "a comma or the end of the array")?;
        }
    }

    /// Passes over an object, calling `each` with every key (as written, with its quotes); `each`
    /// passes over the value.
    pub(super) fn members<E: From<SplitError>>(
        &mut self,
        mut each: impl FnMut(&'a str, &mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.expect(b'{', "an object")?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(SplitError::Unexpected { at: self.at, expected: "a key" }.into());
            }
            let key = self.value()?;
            self.expect(b':', "a colon")?;
            each(key.text, self)?;
            if self.peek() == Some(b'}') {
                self.at += 1;
                return Ok(());
            }
            self.expect(b',', "a comma or the end of the object")?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, usize)]) {
        let mut scanner = Scanner::new(text);
        let elements = scanner.elements(10).and_then(|found| scanner.end().map(|()| found));
        let found: Vec<_> =
            elements.expect("elements").iter().map(|piece| (piece.text, piece.depth)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn elements_are_cut_with_their_depth() {
        check("[]", &[]);
        check(" [ 1 , \"a,]\" ] ", &[("1", 0), ("\"a,]\"", 0)]);
        check(
            r#"[{"a":[{}]},{"b":"\"]}\\"},[]]"#,
            &[(r#"{"a":[{}]}"#, 3), (r#"{"b":"\"]}\\"}"#, 1), ("[]", 1)],
        );
        check("[\"\u{fc}\",\u{fc}]", &[("\"\u{fc}\"", 0), ("\u{fc}", 0)]);
    }

    #[test]
    fn what_is_unfinished_is_refused() {
        for text in ["", "[", "[1", "[1,", "[1 2]", "[{]", "[\"a]", "[\"\\", "[]]", "[,]", "{}"] {
            let mut scanner = Scanner::new(text);
            let elements = scanner.elements(10).and_then(|_| scanner.end());
            assert!(elements.is_err(), "{text}");
        }
    }

    #[test]
    fn elements_stop_at_the_bound() {
        assert_eq!(Scanner::new("[1,2]").elements(2).map(|all| all.len()), Ok(2));
        assert_eq!(Scanner::new("[1,2,3]").elements(2), Err(SplitError::TooMany(2)));
    }

    #[test]
    fn a_million_brackets_do_not_overflow_the_stack() {
        let deep = "[".repeat(1_000_000);
        assert!(Scanner::new(&deep).value().is_err());
        let closed = format!("{deep}{}", "]".repeat(1_000_000));
        assert_eq!(Scanner::new(&closed).value().map(|piece| piece.depth), Ok(1_000_000));
    }

    proptest::proptest! {
        /// Whatever serde_json writes is cut where serde_json would cut it.
        #[test]
        fn pieces_are_the_elements(texts in proptest::collection::vec("[ -~\u{e0}-\u{ff}]{0,8}", 0..6)) {
            let body = serde_json::to_string(&texts).expect("strings");
            let pieces = Scanner::new(&body).elements(10).expect("an array");
            let read: Vec<String> = pieces
                .iter()
                .map(|piece| serde_json::from_str(piece.text).expect("a string"))
                .collect();
            proptest::prop_assert_eq!(read, texts);
        }
    }
}
