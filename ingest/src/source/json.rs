//! JSON as an event's values.

use beckon_engine::model::{DEPTH_MAX, Value};
use serde_json::Value as Json;

/// A value nests deeper than an event may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("values nest deeper than {DEPTH_MAX}")]
pub struct TooDeep;

/// The value that a JSON text says; a number that is no whole one in 64 bits is a float.
///
/// # Errors
/// When it nests deeper than [`DEPTH_MAX`].
pub fn value_of(json: &Json) -> Result<Value, TooDeep> {
    within(json, DEPTH_MAX)
}

fn within(json: &Json, depth: usize) -> Result<Value, TooDeep> {
    let inner = depth.checked_sub(1).ok_or(TooDeep)?;
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(bool) => Value::Bool(*bool),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::Str(text.as_str().into()),
        Json::Array(values) => {
            Value::List(values.iter().map(|value| within(value, inner)).collect::<Result<_, _>>()?)
        }
        Json::Object(map) => Value::Map(
            map.iter()
                .map(|(key, value)| Ok((key.as_str().into(), within(value, inner)?)))
                .collect::<Result<_, TooDeep>>()?,
        ),
    })
}
