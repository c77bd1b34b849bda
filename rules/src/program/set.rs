//! The constants of an `in` list, sorted for look-up.

use crate::ast::Literal;
use crate::program::datum::{Datum, Relation, relate};
use crate::program::fold::{compare_folded, folded};

/// The constants of an `in` list.
#[derive(Debug, Default)]
pub(crate) struct ConstantSet {
    /// Sorted; folded where `insensitive`.
    texts: Box<[Box<str>]>,
    insensitive: bool,
    /// Sorted.
    ints: Box<[i64]>,
    floats: Box<[f64]>,
    bools: Box<[bool]>,
    has_null: bool,
}

impl ConstantSet {
    /// The set of `constants`; texts without regard to case where `insensitive` (`in~`).
    pub(crate) fn new(constants: &[Literal], insensitive: bool) -> Self {
        let mut texts: Vec<Box<str>> = Vec::new();
        let (mut ints, mut floats, mut bools) = (Vec::new(), Vec::new(), Vec::new());
        let mut has_null = false;
        for constant in constants {
            match constant {
                Literal::Null => has_null = true,
                Literal::Bool(value) => bools.push(*value),
                Literal::Int(value) => ints.push(*value),
                Literal::Float(value) => floats.push(*value),
                Literal::Str(text) if insensitive => texts.push(folded(text).into()),
                Literal::Str(text) => texts.push(text.clone()),
            }
        }
        texts.sort_unstable();
        texts.dedup();
        ints.sort_unstable();
        ints.dedup();
        Self {
            texts: texts.into(),
            insensitive,
            ints: ints.into(),
            floats: floats.into(),
            bools: bools.into(),
            has_null,
        }
    }

    /// Whether one value is in the list: null for null, for a value that none of the constants
    /// compares with, and for one that is not found in a list with `null`.
    pub(crate) fn contains(&self, value: Datum<'_>) -> Option<bool> {
        let (found, comparable) = match value {
            Datum::Null | Datum::Many(_) => return None,
            Datum::Str(text) => (self.has_text(text), !self.texts.is_empty()),
            Datum::Int(int) => (
                self.ints.binary_search(&int).is_ok() || self.has_float(value),
                !self.ints.is_empty() || !self.floats.is_empty(),
            ),
            Datum::Float(_) => (
                self.has_float(value) || self.has_int(value),
                !self.ints.is_empty() || !self.floats.is_empty(),
            ),
            Datum::Bool(bool) => (self.bools.contains(&bool), !self.bools.is_empty()),
        };
        if found {
            Some(true)
        } else if self.has_null || !comparable {
            None
        } else {
            Some(false)
        }
    }

    fn has_text(&self, text: &str) -> bool {
        if self.insensitive {
            self.texts.binary_search_by(|known| compare_folded(text, known).reverse()).is_ok()
        } else {
            self.texts.binary_search_by(|known| known.as_ref().cmp(text)).is_ok()
        }
    }

    fn has_int(&self, value: Datum<'_>) -> bool {
        self.ints.iter().any(|int| relate(Relation::Eq, value, Datum::Int(*int)) == Some(true))
    }

    fn has_float(&self, value: Datum<'_>) -> bool {
        self.floats
            .iter()
            .any(|float| relate(Relation::Eq, value, Datum::Float(*float)) == Some(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(set: &ConstantSet, value: Datum<'_>, expected: Option<bool>) {
        assert_eq!(set.contains(value), expected, "{value:?}");
    }

    #[test]
    fn texts_are_found_by_the_case_that_the_list_asks_for() {
        let constants = ["Foo", "bar", "Baz"].map(|text| Literal::Str(text.into()));
        let exact = ConstantSet::new(&constants, false);
        check(&exact, Datum::Str("Foo"), Some(true));
        check(&exact, Datum::Str("foo"), Some(false));
        let insensitive = ConstantSet::new(&constants, true);
        for text in ["foo", "BAR", "bAZ"] {
            check(&insensitive, Datum::Str(text), Some(true));
        }
        check(&insensitive, Datum::Str("qux"), Some(false));
    }

    #[test]
    fn numbers_are_found_across_their_types() {
        let set = ConstantSet::new(&[Literal::Int(3), Literal::Float(4.0)], false);
        check(&set, Datum::Float(3.0), Some(true));
        check(&set, Datum::Int(4), Some(true));
        check(&set, Datum::Int(5), Some(false));
        check(&set, Datum::Str("3"), None);
        check(&set, Datum::Null, None);
    }

    #[test]
    fn a_null_in_the_list_leaves_open_what_is_not_found() {
        let set = ConstantSet::new(&[Literal::Int(3), Literal::Null], false);
        check(&set, Datum::Int(3), Some(true));
        check(&set, Datum::Int(4), None);
    }
}
