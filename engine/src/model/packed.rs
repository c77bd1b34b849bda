//! The packed event: the one byte format that is logged, exchanged, kept and exported.
//!
//! Layout, version 1 (integers little endian unless LEB128 is said):
//!
//! ```text
//! u8  version (1)         u16 flags            u8  presence (bit 0 tie, 1 client timestamp)
//! i64 timestamp ms        i64 server timestamp ms
//! id event, id visit, id visitor, id page      u8 tag: 0 none, 1 then 16 bytes, 2 then str
//! str site, str name                           LEB128 length, UTF-8
//! [zigzag tie] [zigzag client timestamp - timestamp]
//! LEB128 count of fields, then for each: u8 code of a well-known name, or 0 and str; value
//! ```
//!
//! Values are described in `value.rs`, and `view.rs` reads all of it. The position of a name in
//! [`WELL_KNOWN_FIELDS`] is its code and part of the format: names are appended, never moved.

use super::view::EventView;
use super::{Event, Id, Value};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

pub(super) const VERSION: u8 = 1;
pub(super) const HAS_TIE: u8 = 1;
pub(super) const HAS_CLIENT_TIMESTAMP: u8 = 2;

/// Names that take one byte; the code is the position plus one.
pub const WELL_KNOWN_FIELDS: &[&str] = &[
    "url",
    "url.path",
    "url.host",
    "referrer",
    "title",
    "languageCode",
    "category",
    "data",
    "ip",
    "isBot",
    "userAgent",
    "userAgent.name",
    "userAgent.version",
    "userAgent.os",
    "userAgent.device",
    "campaign.source",
    "campaign.medium",
    "campaign.name",
    "campaign.term",
    "campaign.content",
    "userID",
    "visitScope",
];

/// Why bytes are no packed event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    /// The bytes end too early.
    #[error("the packed event ends too early")]
    Short,
    /// Written by a version that this one does not know.
    #[error("the packed event has version {0}, this beckon reads version {known}", known = VERSION)]
    Version(u8),
    /// A tag that has no meaning.
    #[error("unknown tag in a packed event")]
    Tag,
    /// Text that is not UTF-8.
    #[error("text in a packed event is not UTF-8")]
    Utf8,
    /// A number that does not fit.
    #[error("a number in a packed event is too large")]
    Number,
    /// Values nested too deep.
    #[error("values in a packed event nest too deep")]
    Depth,
}

/// An event as bytes; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackedEvent(Arc<[u8]>);

impl PackedEvent {
    /// Packs an event.
    #[must_use]
    pub fn pack(event: &Event) -> Self {
        Self::pack_with(event, &PackedFields::default())
    }

    /// Packs an event with fields behind its own that were packed before. The two must have no name
    /// in common.
    #[must_use]
    pub fn pack_with(event: &Event, more: &PackedFields) -> Self {
        let mut out = Vec::with_capacity(320 + more.bytes.len());
        pack_header(event, &mut out);
        write_varint(&mut out, event.fields.len() as u64 + more.count);
        pack_fields(&event.fields, &mut out);
        out.extend_from_slice(&more.bytes);
        Self(out.into())
    }

    /// Takes bytes that were packed before; they are checked when they are viewed.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads the header.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn view(&self) -> Result<EventView<'_>, UnpackError> {
        EventView::read(&self.0)
    }

    /// The owned event.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn unpack(&self) -> Result<Event, UnpackError> {
        self.view()?.to_event()
    }
}

/// Fields that all events of a request share, packed once for all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedFields {
    bytes: Vec<u8>,
    count: u64,
}

impl PackedFields {
    /// Packs fields.
    #[must_use]
    pub fn pack(fields: &[(Box<str>, Value)]) -> Self {
        let mut bytes = Vec::new();
        pack_fields(fields, &mut bytes);
        Self { bytes, count: fields.len() as u64 }
    }
}

/// As one run of bytes, not as a list of numbers.
impl Serialize for PackedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for PackedEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl serde::de::Visitor<'_> for Bytes {
            type Value = PackedEvent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bytes of a packed event")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<PackedEvent, E> {
                Ok(PackedEvent::from_bytes(bytes))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// Appends everything before the fields.
fn pack_header(event: &Event, out: &mut Vec<u8>) {
    out.push(VERSION);
    out.extend_from_slice(&event.flags.0.to_le_bytes());
    let tie = u8::from(event.tie.is_some()) * HAS_TIE;
    let client = u8::from(event.client_timestamp.is_some()) * HAS_CLIENT_TIMESTAMP;
    out.push(tie | client);
    out.extend_from_slice(&event.timestamp.0.to_le_bytes());
    out.extend_from_slice(&event.server_timestamp.0.to_le_bytes());
    write_id(out, Some(&event.id.0));
    write_id(out, Some(&event.visit.0));
    write_id(out, event.visitor.as_ref().map(|id| &id.0));
    write_id(out, event.page.as_ref().map(|id| &id.0));
    write_str(out, &event.site);
    write_str(out, &event.name);
    if let Some(tie) = event.tie {
        write_varint(out, zigzag(tie));
    }
    if let Some(client) = event.client_timestamp {
        write_varint(out, zigzag(client.0.wrapping_sub(event.timestamp.0)));
    }
}

fn pack_fields(fields: &[(Box<str>, Value)], out: &mut Vec<u8>) {
    for (name, value) in fields {
        match WELL_KNOWN_FIELDS.iter().position(|known| *known == &**name) {
            Some(position) => out.push(u8::try_from(position + 1).unwrap_or(0)),
            None => {
                out.push(0);
                write_str(out, name);
            }
        }
        value.pack(out);
    }
}

pub(super) fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

pub(super) fn write_str(out: &mut Vec<u8>, text: &str) {
    write_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn write_id(out: &mut Vec<u8>, id: Option<&Id>) {
    match id {
        None => out.push(0),
        Some(Id::Bits(bits)) => {
            out.push(1);
            out.extend_from_slice(&bits.to_le_bytes());
        }
        Some(Id::Text(text)) => {
            out.push(2);
            write_str(out, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventId, EventTimeMs, Flags, PageId, ServerTimeMs, VisitId, VisitorId};
    use crate::testing::fixture;

    fn sample() -> Event {
        let text = |text: &str| Value::Str(text.into());
        Event {
            flags: Flags::UNPROVEN,
            site: "shop".into(),
            name: "AddToCart".into(),
            id: EventId(Id::Bits(7)),
            visit: VisitId(Id::Text("session-9".into())),
            visitor: None,
            page: Some(PageId(Id::Bits(u128::MAX))),
            timestamp: EventTimeMs(1_700_000_000_123),
            server_timestamp: ServerTimeMs(1_700_000_000_200),
            client_timestamp: Some(EventTimeMs(-5)),
            tie: Some(-3),
            fields: vec![
                ("url".into(), text("https://shop.example/lamps?utm_source=x")),
                ("custom".into(), Value::List(vec![Value::Int(i64::MIN), Value::Null])),
                (
                    "data".into(),
                    Value::Map(vec![
                        ("price".into(), Value::Float(12.5)),
                        ("cart".into(), Value::Map(vec![("n".into(), Value::Bool(true))])),
                    ]),
                ),
            ],
        }
    }

    /// Every kind of id and value, and every well-known name at its code.
    fn everything() -> Event {
        let mut event = Event { visitor: Some(VisitorId(Id::Bits(77))), page: None, ..sample() };
        for name in WELL_KNOWN_FIELDS {
            event.fields.push(((*name).into(), Value::Str((*name).into())));
        }
        event
    }

    #[test]
    fn version_1_is_written_and_read() {
        let mut written = PackedEvent::pack(&everything()).as_bytes().to_vec();
        let fixture = fixture("event-v1.bin", &written);
        assert_eq!(PackedEvent::from_bytes(&fixture).unpack(), Ok(everything()));
        written[0] = 2;
        let error = PackedEvent::from_bytes(&written).unpack().expect_err("another version");
        assert_eq!(
            error.to_string(),
            "the packed event has version 2, this beckon reads version 1"
        );
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let packed = PackedEvent::pack(&sample());
        assert_eq!(packed.unpack(), Ok(sample()));
    }

    #[test]
    fn every_prefix_is_refused_without_a_panic() {
        let packed = PackedEvent::pack(&sample());
        for length in 0..packed.as_bytes().len() {
            let cut = PackedEvent::from_bytes(&packed.as_bytes()[..length]);
            assert!(cut.unpack().is_err(), "a prefix of {length} bytes was taken for whole");
        }
    }

    #[test]
    fn damaged_bytes_never_panic() {
        let packed = PackedEvent::pack(&sample());
        for position in 0..packed.as_bytes().len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = packed.as_bytes().to_vec();
                bytes[position] ^= flip;
                drop(PackedEvent::from_bytes(&bytes).unpack());
            }
        }
    }
}
