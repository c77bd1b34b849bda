//! One event as it came: the known fields in slots, read in one pass over its JSON.
//!
//! Reading never fails because of a value's type: a slot holds what was there, and the normaliser
//! says what it makes of it, with the path. It fails only where the text is no JSON. Text without
//! escapes is borrowed from the body.
//!
//! **Invariant:** the depth of what is read here was bounded before (`body::split`), so the
//! recursion of [`Value`]s is bounded too.

use beckon_engine::model::Value;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess};
use std::borrow::Cow;
use std::fmt;

/// A value that should be a scalar.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Slot<'a> {
    #[default]
    Absent,
    Null,
    Bool,
    Int(i64),
    Float(f64),
    Str(Cow<'a, str>),
    Nested,
}

impl Slot<'_> {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Absent => "nothing",
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Str(_) => "a string",
            Self::Nested => "an object or array",
        }
    }
}

/// An event's fields as they came.
#[derive(Debug, Default)]
pub(super) struct WireEvent<'a> {
    pub(super) event_name: Slot<'a>,
    pub(super) event_type: Slot<'a>,
    pub(super) event_id: Slot<'a>,
    pub(super) visit_id: Slot<'a>,
    pub(super) global_visit_id: Slot<'a>,
    pub(super) page_id: Slot<'a>,
    pub(super) timestamp: Slot<'a>,
    pub(super) seq: Slot<'a>,
    pub(super) url: Slot<'a>,
    pub(super) referrer: Slot<'a>,
    pub(super) title: Slot<'a>,
    pub(super) language_code: Slot<'a>,
    pub(super) category: Option<Value>,
    pub(super) data: Option<Value>,
    /// Names of fields that no slot is for.
    pub(super) others: Vec<Box<str>>,
    /// The event is JSON, but no object.
    pub(super) not_an_object: bool,
}

impl<'de> Deserialize<'de> for WireEvent<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EventVisitor)
    }
}

fn no_object<'a>() -> WireEvent<'a> {
    WireEvent { not_an_object: true, ..WireEvent::default() }
}

struct EventVisitor;

impl<'de> serde::de::Visitor<'de> for EventVisitor {
    type Value = WireEvent<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut event = WireEvent::default();
        while let Some(key) = map.next_key::<Key<'de>>()? {
            let slot = match &*key.0 {
                "eventName" => &mut event.event_name,
                "eventType" => &mut event.event_type,
                "eventID" => &mut event.event_id,
                "visitID" => &mut event.visit_id,
                "globalVisitID" => &mut event.global_visit_id,
                "pageID" => &mut event.page_id,
                "timestamp" => &mut event.timestamp,
                "seq" => &mut event.seq,
                "url" => &mut event.url,
                "referrer" => &mut event.referrer,
                "title" => &mut event.title,
                "languageCode" => &mut event.language_code,
                "category" => {
                    event.category = Some(map.next_value_seed(ValueSeed)?);
                    continue;
                }
                "data" => {
                    event.data = Some(map.next_value_seed(ValueSeed)?);
                    continue;
                }
                other => {
                    event.others.push(other.into());
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *slot = map.next_value()?;
        }
        Ok(event)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(no_object())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(no_object())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(no_object())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(no_object())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(no_object())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(no_object())
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(no_object())
    }
}

/// A key of an object, borrowed where it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> serde::de::Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.into())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

impl<'de> Deserialize<'de> for Slot<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SlotVisitor;
        impl<'de> serde::de::Visitor<'de> for SlotVisitor {
            type Value = Slot<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Slot::Null)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Slot::Bool)
            }

            fn visit_i64<E>(self, int: i64) -> Result<Self::Value, E> {
                Ok(Slot::Int(int))
            }

            fn visit_u64<E>(self, int: u64) -> Result<Self::Value, E> {
                Ok(match i64::try_from(int) {
                    Ok(int) => Slot::Int(int),
                    Err(_) => Slot::Float(as_float(int)),
                })
            }

            fn visit_f64<E>(self, float: f64) -> Result<Self::Value, E> {
                Ok(Slot::Float(float))
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Slot::Str(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Slot::Str(Cow::Owned(text.into())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Slot::Nested)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Slot::Nested)
            }
        }
        deserializer.deserialize_any(SlotVisitor)
    }
}

/// The nearest float: only for integers beyond `i64`.
#[expect(clippy::cast_precision_loss, reason = "the nearest float is what JSON readers give")]
fn as_float(int: u64) -> f64 {
    int as f64
}

/// Reads any JSON value into the model's.
struct ValueSeed;

impl<'de> DeserializeSeed<'de> for ValueSeed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> serde::de::Visitor<'de> for ValueSeed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, bool: bool) -> Result<Value, E> {
        Ok(Value::Bool(bool))
    }

    fn visit_i64<E>(self, int: i64) -> Result<Value, E> {
        Ok(Value::Int(int))
    }

    fn visit_u64<E>(self, int: u64) -> Result<Value, E> {
        Ok(i64::try_from(int).map_or_else(|_| Value::Float(as_float(int)), Value::Int))
    }

    fn visit_f64<E>(self, float: f64) -> Result<Value, E> {
        Ok(Value::Float(float))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Str(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(Self)? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::with_capacity(4);
        while let Some(key) = map.next_key::<Key<'de>>()? {
            entries.push((key.0.into(), map.next_value_seed(Self)?));
        }
        Ok(Value::Map(entries))
    }
}
