//! Join keys: the values under which an event may fill a step.
//!
//! Keys compare by value, whatever the fields' names: 1.0 is 1. A key that is absent keeps the event
//! out, unless it is optional: then absence is the value null. A field of several values makes one
//! key for each distinct value; several such fields make every combination, up to
//! `key_combinations_max`.

use beckon_rules::plan::KeyPlan;
use beckon_rules::program::{Datum, Fields};
use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};
use xxhash_rust::xxh3::xxh3_64;

/// One join key: its values, written so that equal keys are equal bytes, and their hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    /// Of a key without values, 0.
    pub(super) hash: u64,
    /// A tag and a value, for each part.
    pub(super) bytes: SmallVec<[u8; 24]>,
}

/// The keys of one event at one step.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// In the order of the values in the event, the first part outermost.
    pub(super) keys: SmallVec<[Key; 1]>,
    /// Combinations passed over.
    pub(super) dropped: u64,
}

impl Keys {
    /// The keys of an event.
    pub(super) fn of(parts: &[KeyPlan], fields: &impl Fields, combinations_max: usize) -> Self {
        let mut keys = Self { keys: smallvec![Key::default()], dropped: 0 };
        for part in parts {
            let field = fields.field(part.field);
            let several = match &field {
                Datum::Many(several) => several,
                one => std::slice::from_ref(one),
            };
            let mut values: SmallVec<[Datum<'_>; 4]> = SmallVec::new();
            for value in several.iter().map(|value| by_value(*value)) {
                let is_key = part.optional || value != Datum::Null;
                if !is_key || values.contains(&value) {
                    continue;
                }
                if values.len() < combinations_max {
                    values.push(value);
                } else {
                    keys.dropped += 1;
                }
            }
            keys.multiply(&values, combinations_max);
        }
        for key in &mut keys.keys {
            if !key.bytes.is_empty() {
                key.hash = xxh3_64(&key.bytes);
            }
        }
        keys
    }

    fn multiply(&mut self, values: &[Datum<'_>], combinations_max: usize) {
        let all = self.keys.len() * values.len();
        let before = std::mem::take(&mut self.keys);
        let combinations =
            before.iter().flat_map(|key| values.iter().map(move |value| (key, value)));
        for (key, value) in combinations.take(combinations_max) {
            let mut key = key.clone();
            write(*value, &mut key.bytes);
            self.keys.push(key);
        }
        self.dropped += (all - self.keys.len()) as u64;
    }
}

/// A whole float as the integer it is.
fn by_value(value: Datum<'_>) -> Datum<'_> {
    match value {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
        Datum::Float(float) if float.fract() == 0.0 && float.abs() < 9e15 => {
            Datum::Int(float as i64)
        }
        value => value,
    }
}

fn write(value: Datum<'_>, out: &mut SmallVec<[u8; 24]>) {
    match value {
        Datum::Null | Datum::Many(_) => out.push(0),
        Datum::Bool(bool) => out.extend_from_slice(&[1, u8::from(bool)]),
        Datum::Int(int) => {
            out.push(2);
            out.extend_from_slice(&int.to_le_bytes());
        }
        Datum::Float(float) => {
            out.push(3);
            out.extend_from_slice(&float.to_bits().to_le_bytes());
        }
        Datum::Str(text) => {
            out.push(4);
            out.extend_from_slice(&(text.len() as u64).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beckon_rules::plan::{BindingSlot, FieldSlot};

    struct Event<'a>(&'a [Datum<'a>]);

    impl Fields for Event<'_> {
        fn field(&self, slot: FieldSlot) -> Datum<'_> {
            self.0[usize::from(slot.0)]
        }

        fn bound(&self, _: BindingSlot, _: FieldSlot) -> Datum<'_> {
            Datum::Null
        }
    }

    fn keys(fields: &[Datum<'_>], optional: bool, combinations_max: usize) -> Keys {
        let parts: Vec<KeyPlan> = (0..)
            .map(FieldSlot)
            .zip(fields)
            .map(|(field, _)| KeyPlan { field, optional })
            .collect();
        Keys::of(&parts, &Event(fields), combinations_max)
    }

    #[test]
    fn without_parts_there_is_one_key() {
        assert_eq!(keys(&[], false, 64).keys.as_slice(), [Key::default()]);
    }

    #[test]
    fn keys_compare_by_value() {
        let key = |datum| keys(&[datum], false, 64).keys[0].clone();
        assert_eq!(key(Datum::Int(1)), key(Datum::Float(1.0)));
        assert_ne!(key(Datum::Int(1)), key(Datum::Str("1")));
        assert_ne!(key(Datum::Int(1)), key(Datum::Bool(true)));
        let pair = |a, b| keys(&[Datum::Str(a), Datum::Str(b)], false, 64).keys[0].clone();
        assert_ne!(pair("a", "bc"), pair("ab", "c"));
    }

    #[test]
    fn an_absent_key_keeps_the_event_out_unless_it_is_optional() {
        assert!(keys(&[Datum::Null], false, 64).keys.is_empty());
        assert_eq!(keys(&[Datum::Null], true, 64).keys.len(), 1);
        assert!(keys(&[Datum::Int(1), Datum::Null], false, 64).keys.is_empty());
    }

    #[test]
    fn several_values_make_distinct_keys_up_to_the_limit() {
        let several = [Datum::Str("a"), Datum::Str("b"), Datum::Null, Datum::Str("a")];
        let fields = [Datum::Many(&several), Datum::Many(&several)];
        let all = keys(&fields, false, 64);
        assert_eq!((all.keys.len(), all.dropped), (4, 0));
        let some = keys(&fields, false, 3);
        assert_eq!((some.keys.len(), some.dropped), (3, 1));
        assert_eq!(some.keys[..], all.keys[..3]);
        let four = ["a", "b", "c", "d"].map(Datum::Str);
        let mixed = keys(&[Datum::Many(&several), Datum::Many(&four)], false, 3);
        // "d" is not combined; of the other six combinations three are taken.
        assert_eq!((mixed.keys.len(), mixed.dropped), (3, 4));
    }
}
