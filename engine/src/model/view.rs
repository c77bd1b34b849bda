//! Reading packed bytes in place: the format is described in `packed.rs`.

use super::packed::{HAS_CLIENT_TIMESTAMP, HAS_TIE, UnpackError, VERSION, WELL_KNOWN_FIELDS};
use super::{
    Event, EventId, EventTimeMs, Flags, Id, PageId, ServerTimeMs, VisitId, VisitorId,
    value::ValueView,
};

/// The name of a field in a packed event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldName<'a> {
    /// An index into [`WELL_KNOWN_FIELDS`].
    Known(u8),
    /// Any other name.
    Other(&'a str),
}

impl<'a> FieldName<'a> {
    /// The name as text.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        match self {
            Self::Known(index) => WELL_KNOWN_FIELDS[usize::from(index)],
            Self::Other(name) => name,
        }
    }
}

/// A packed event, read in place; the header is decoded, the fields are walked on demand.
#[derive(Clone, Copy, Debug)]
pub struct EventView<'a> {
    /// What the server found out.
    pub flags: Flags,
    /// The site.
    pub site: &'a str,
    /// `eventName`.
    pub name: &'a str,
    /// When it happened.
    pub timestamp: EventTimeMs,
    /// When it was received.
    pub server_timestamp: ServerTimeMs,
    /// What the client said, where it was corrected.
    pub client_timestamp: Option<EventTimeMs>,
    /// The client's tie-breaker.
    pub tie: Option<i64>,
    event: IdView<'a>,
    visit: IdView<'a>,
    visitor: Option<IdView<'a>>,
    page: Option<IdView<'a>>,
    fields: Cursor<'a>,
}

#[derive(Clone, Copy, Debug)]
enum IdView<'a> {
    Bits(u128),
    Text(&'a str),
}

impl IdView<'_> {
    fn to_id(self) -> Id {
        match self {
            Self::Bits(bits) => Id::Bits(bits),
            Self::Text(text) => Id::Text(text.into()),
        }
    }
}

impl<'a> EventView<'a> {
    /// Reads the header of packed bytes.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn read(bytes: &'a [u8]) -> Result<Self, UnpackError> {
        let mut cursor = Cursor::new(bytes);
        let version = cursor.byte()?;
        if version != VERSION {
            return Err(UnpackError::Version(version));
        }
        let flags = Flags(u16::from_le_bytes(cursor.array()?));
        let presence = cursor.byte()?;
        let timestamp = EventTimeMs(i64::from_le_bytes(cursor.array()?));
        let server_timestamp = ServerTimeMs(i64::from_le_bytes(cursor.array()?));
        let event = cursor.id()?.ok_or(UnpackError::Tag)?;
        let visit = cursor.id()?.ok_or(UnpackError::Tag)?;
        let visitor = cursor.id()?;
        let page = cursor.id()?;
        let site = cursor.str()?;
        let name = cursor.str()?;
        let tie = if presence & HAS_TIE != 0 { Some(cursor.zigzag()?) } else { None };
        let client_timestamp = if presence & HAS_CLIENT_TIMESTAMP != 0 {
            Some(EventTimeMs(timestamp.0.wrapping_add(cursor.zigzag()?)))
        } else {
            None
        };
        let fields = cursor;
        Ok(Self {
            flags,
            site,
            name,
            timestamp,
            server_timestamp,
            client_timestamp,
            tie,
            event,
            visit,
            visitor,
            page,
            fields,
        })
    }

    /// `eventID`.
    #[must_use]
    pub fn id(&self) -> EventId {
        EventId(self.event.to_id())
    }

    /// `visitID`.
    #[must_use]
    pub fn visit(&self) -> VisitId {
        VisitId(self.visit.to_id())
    }

    /// `globalVisitID`.
    #[must_use]
    pub fn visitor(&self) -> Option<VisitorId> {
        self.visitor.map(|id| VisitorId(id.to_id()))
    }

    /// `pageID`.
    #[must_use]
    pub fn page(&self) -> Option<PageId> {
        self.page.map(|id| PageId(id.to_id()))
    }

    /// `url.host`, where the event has one and can be read.
    #[must_use]
    pub fn host(&self) -> Option<&'a str> {
        let mut host = None;
        let read = self.for_each_field(|name, value| {
            if let ("url.host", ValueView::Str(text)) = (name.as_str(), value) {
                host = Some(text);
            }
        });
        read.ok().and(host)
    }

    /// Calls `each` for every field, in the order they were packed.
    ///
    /// # Errors
    /// When the bytes are damaged; fields before the damage were already given.
    pub fn for_each_field(
        &self,
        mut each: impl FnMut(FieldName<'a>, ValueView<'a>),
    ) -> Result<(), UnpackError> {
        let mut cursor = self.fields;
        for _ in 0..cursor.length()? {
            let name = match cursor.byte()? {
                0 => FieldName::Other(cursor.str()?),
                code if usize::from(code) <= WELL_KNOWN_FIELDS.len() => FieldName::Known(code - 1),
                _ => return Err(UnpackError::Tag),
            };
            each(name, ValueView::read(&mut cursor)?);
        }
        Ok(())
    }

    /// The owned event.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn to_event(&self) -> Result<Event, UnpackError> {
        let mut fields = Vec::new();
        let mut failed = None;
        self.for_each_field(|name, value| match value.to_value() {
            Ok(value) => fields.push((name.as_str().into(), value)),
            Err(error) => failed = Some(error),
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        Ok(Event {
            flags: self.flags,
            site: self.site.into(),
            name: self.name.into(),
            id: self.id(),
            visit: self.visit(),
            visitor: self.visitor(),
            page: self.page(),
            timestamp: self.timestamp,
            server_timestamp: self.server_timestamp,
            client_timestamp: self.client_timestamp,
            tie: self.tie,
            fields,
        })
    }
}

/// Reads packed bytes from front to back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], UnpackError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(UnpackError::Short)?;
        self.rest = rest;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], UnpackError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(UnpackError::Short)?;
        self.rest = rest;
        Ok(*head)
    }

    pub(super) fn byte(&mut self) -> Result<u8, UnpackError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn varint(&mut self) -> Result<u64, UnpackError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(UnpackError::Number)
    }

    pub(super) fn length(&mut self) -> Result<usize, UnpackError> {
        usize::try_from(self.varint()?).map_err(|_| UnpackError::Number)
    }

    pub(super) fn zigzag(&mut self) -> Result<i64, UnpackError> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    pub(super) fn str(&mut self) -> Result<&'a str, UnpackError> {
        let length = self.length()?;
        std::str::from_utf8(self.bytes(length)?).map_err(|_| UnpackError::Utf8)
    }

    fn id(&mut self) -> Result<Option<IdView<'a>>, UnpackError> {
        Ok(match self.byte()? {
            0 => None,
            1 => Some(IdView::Bits(u128::from_le_bytes(self.array()?))),
            2 => Some(IdView::Text(self.str()?)),
            _ => return Err(UnpackError::Tag),
        })
    }
}
