//! JSON values, owned and as a view of packed bytes.
//!
//! Packed layout (version 1), one tag byte first: 0 null, 1 false, 2 true, 3 integer (zigzag
//! LEB128), 4 float (8 bytes, little endian), 5 string (LEB128 length, UTF-8), 6 list (LEB128 bytes
//! of what follows, LEB128 count, values), 7 map (as the list, with a key - LEB128 length and
//! UTF-8 - before each value). The byte length lets a reader pass over what it does not want.

use super::packed::{UnpackError, write_str, write_varint, zigzag};
use super::view::Cursor;
use serde::{Deserialize, Serialize};

/// How deep values may nest; ingest refuses deeper input, and unpacking stops here.
pub const DEPTH_MAX: usize = 32;

/// A JSON value. Integers that fit `i64` stay integers, as EQL's division asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number without fraction or exponent.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Str(Box<str>),
    /// Several values.
    List(Vec<Value>),
    /// Named values, in the order they came; the last of equal names counts.
    Map(Vec<(Box<str>, Value)>),
}

impl Value {
    /// Appends the packed form to `out`.
    pub(super) fn pack(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(0),
            Self::Bool(false) => out.push(1),
            Self::Bool(true) => out.push(2),
            Self::Int(int) => {
                out.push(3);
                write_varint(out, zigzag(*int));
            }
            Self::Float(float) => {
                out.push(4);
                out.extend_from_slice(&float.to_le_bytes());
            }
            Self::Str(text) => {
                out.push(5);
                write_str(out, text);
            }
            Self::List(values) => pack_nested(out, 6, values.len(), |body| {
                for value in values {
                    value.pack(body);
                }
            }),
            Self::Map(entries) => pack_nested(out, 7, entries.len(), |body| {
                for (key, value) in entries {
                    write_str(body, key);
                    value.pack(body);
                }
            }),
        }
    }
}

fn pack_nested(out: &mut Vec<u8>, tag: u8, count: usize, body: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::with_capacity(64);
    write_varint(&mut inner, count as u64);
    body(&mut inner);
    out.push(tag);
    write_varint(out, inner.len() as u64);
    out.extend_from_slice(&inner);
}

/// A packed value, read in place.
#[derive(Clone, Copy, Debug)]
pub enum ValueView<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number without fraction.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Str(&'a str),
    /// Several values.
    List(ListIter<'a>),
    /// Named values.
    Map(MapIter<'a>),
}

impl<'a> ValueView<'a> {
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, UnpackError> {
        Ok(match cursor.byte()? {
            0 => Self::Null,
            1 => Self::Bool(false),
            2 => Self::Bool(true),
            3 => Self::Int(cursor.zigzag()?),
            4 => Self::Float(f64::from_le_bytes(cursor.array()?)),
            5 => Self::Str(cursor.str()?),
            tag @ (6 | 7) => {
                let length = cursor.length()?;
                let mut body = Cursor::new(cursor.bytes(length)?);
                let count = body.length()?;
                if tag == 6 {
                    Self::List(ListIter { cursor: body, left: count })
                } else {
                    Self::Map(MapIter { cursor: body, left: count })
                }
            }
            _ => return Err(UnpackError::Tag),
        })
    }

    /// The owned value.
    ///
    /// # Errors
    /// When the bytes are damaged or nest deeper than [`DEPTH_MAX`].
    pub fn to_value(self) -> Result<Value, UnpackError> {
        self.to_value_within(DEPTH_MAX)
    }

    fn to_value_within(self, depth: usize) -> Result<Value, UnpackError> {
        let inner = depth.checked_sub(1).ok_or(UnpackError::Depth)?;
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(bool) => Value::Bool(bool),
            Self::Int(int) => Value::Int(int),
            Self::Float(float) => Value::Float(float),
            Self::Str(text) => Value::Str(text.into()),
            Self::List(iter) => Value::List(
                iter.map(|value| value?.to_value_within(inner)).collect::<Result<_, _>>()?,
            ),
            Self::Map(iter) => Value::Map(
                iter.map(|entry| {
                    let (key, value) = entry?;
                    Ok((key.into(), value.to_value_within(inner)?))
                })
                .collect::<Result<_, UnpackError>>()?,
            ),
        })
    }
}

/// The values of a packed list. Stops after the first error.
#[derive(Clone, Copy, Debug)]
pub struct ListIter<'a> {
    cursor: Cursor<'a>,
    left: usize,
}

impl<'a> Iterator for ListIter<'a> {
    type Item = Result<ValueView<'a>, UnpackError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let value = ValueView::read(&mut self.cursor);
        if value.is_err() {
            self.left = 0;
        }
        Some(value)
    }
}

/// The entries of a packed map. Stops after the first error.
#[derive(Clone, Copy, Debug)]
pub struct MapIter<'a> {
    cursor: Cursor<'a>,
    left: usize,
}

impl<'a> Iterator for MapIter<'a> {
    type Item = Result<(&'a str, ValueView<'a>), UnpackError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let mut entry = || {
            let key = self.cursor.str()?;
            Ok((key, ValueView::read(&mut self.cursor)?))
        };
        let entry = entry();
        if entry.is_err() {
            self.left = 0;
        }
        Some(entry)
    }
}
