//! What rules read of an event: chosen paths taken out of its packed bytes in one pass.
//!
//! An [`Extractor`] knows a list of paths; [`Extractor::capture`] walks an event's fields once and
//! leaves each path's value in [`Captures`], borrowed from the bytes. A path is a header field's
//! wire name, or the longest prefix that is a field's name and the rest inside maps. A map, and
//! whatever stands in a list but a scalar, reads as null.

use super::names::Names;
use crate::model::{
    EventView, FieldName, Identity, UnpackError, ValueView, WELL_KNOWN_FIELDS, system,
};
use beckon_rules::ast::Path;
use beckon_rules::program::Datum;

/// Fields of an event that have a place of their own in it, or are stamped on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header {
    EventName,
    EventType,
    EventId,
    Visit,
    Visitor,
    Page,
    Timestamp,
    ServerTimestamp,
    Tie,
    Site,
    User,
    Scope,
}

impl Header {
    fn of(path: &Path) -> Option<Self> {
        let [name] = &*path.parts else { return None };
        Some(match &**name {
            "eventName" => Self::EventName,
            "eventType" => Self::EventType,
            "eventID" => Self::EventId,
            "visitID" => Self::Visit,
            "globalVisitID" => Self::Visitor,
            "pageID" => Self::Page,
            "timestamp" => Self::Timestamp,
            "serverTimestamp" => Self::ServerTimestamp,
            "seq" => Self::Tie,
            "site" => Self::Site,
            "userID" => Self::User,
            "visitScope" => Self::Scope,
            _ => return None,
        })
    }
}

/// A value that is wanted of a field.
#[derive(Debug)]
struct Want {
    /// Where it goes.
    place: usize,
    /// Bytes of the field's name: the longest wins.
    prefix_bytes: usize,
    /// The way on inside the field's maps.
    rest: Box<[Box<str>]>,
}

/// Takes a fixed list of paths out of events.
#[derive(Debug)]
pub(super) struct Extractor {
    count: usize,
    headers: Vec<(usize, Header)>,
    /// By a well-known name's index.
    known: Vec<Vec<Want>>,
    other: Names<Vec<Want>>,
}

impl Extractor {
    /// One for these paths; a path's place is its position.
    pub(super) fn new<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Self {
        let mut extractor = Self {
            count: 0,
            headers: Vec::new(),
            known: WELL_KNOWN_FIELDS.iter().map(|_| Vec::new()).collect(),
            other: Names::default(),
        };
        for path in paths {
            let place = extractor.count;
            extractor.count += 1;
            match Header::of(path) {
                Some(header) => extractor.headers.push((place, header)),
                None => extractor.want(place, path),
            }
        }
        extractor
    }

    fn want(&mut self, place: usize, path: &Path) {
        for length in 1..=path.parts.len() {
            let (prefix, rest) = path.parts.split_at(length);
            let name = prefix.join(".");
            let want = Want { place, prefix_bytes: name.len(), rest: rest.into() };
            match WELL_KNOWN_FIELDS.iter().position(|known| **known == *name) {
                Some(index) => self.known[index].push(want),
                None => self.other.entry(&name, Vec::new).push(want),
            }
        }
    }

    /// Reads an event. Header fields that are stamped are left for [`Extractor::stamp`].
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub(super) fn capture<'a>(&self, event: &EventView<'a>) -> Result<Captures<'a>, UnpackError> {
        self.capture_into(event, Buffers::default())
    }

    /// The same, into buffers that were used before.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub(super) fn capture_into<'a>(
        &self,
        event: &EventView<'a>,
        buffers: Buffers,
    ) -> Result<Captures<'a>, UnpackError> {
        let mut captures = Captures::new(self.count, buffers);
        for (place, header) in &self.headers {
            captures.header(*place, *header, event);
        }
        let mut damage = None;
        event.for_each_field(|name, value| {
            for want in self.wanted(name) {
                if let Err(error) = captures.field(want, value) {
                    damage = Some(error);
                }
            }
        })?;
        damage.map_or(Ok(captures), Err)
    }

    fn wanted(&self, name: FieldName<'_>) -> &[Want] {
        match name {
            FieldName::Known(index) => &self.known[usize::from(index)],
            FieldName::Other(_) if self.other.is_empty() => &[],
            FieldName::Other(name) => self.other.find(name).map_or(&[], Vec::as_slice),
        }
    }

    /// Fills in who the visitor is.
    pub(super) fn stamp(&self, captures: &mut Captures<'_>, identity: &Identity) {
        for (place, header) in &self.headers {
            match header {
                Header::User => {
                    if let Some(user) = &identity.user {
                        captures.text(*place, user.to_string());
                    }
                }
                Header::Scope => captures.one(*place, Datum::Str(identity.scope.as_str())),
                _ => {}
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Captured<'a> {
    One(Datum<'a>),
    /// A range of [`Captures::many`].
    Many(usize, usize),
    /// An index of [`Captures::texts`].
    Text(usize),
}

/// The values that an [`Extractor`] took, by place.
#[derive(Debug)]
pub(super) struct Captures<'a> {
    /// The value, and how many bytes the name of the field has that gave it.
    values: Vec<(Captured<'a>, usize)>,
    many: Vec<Datum<'a>>,
    texts: Vec<String>,
}

/// The memory of [`Captures`], between two events.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    values: Vec<(Captured<'static>, usize)>,
    many: Vec<Datum<'static>>,
}

impl<'a> Captures<'a> {
    fn new(count: usize, buffers: Buffers) -> Self {
        let mut values: Vec<(Captured<'a>, usize)> = buffers.values;
        values.resize(count, (Captured::One(Datum::Null), 0));
        Self { values, many: buffers.many, texts: Vec::new() }
    }

    /// Gives the memory back. Collecting an emptied vector into one of the same layout keeps its
    /// memory (it is done in place).
    pub(super) fn into_buffers(mut self) -> Buffers {
        self.values.clear();
        self.many.clear();
        Buffers {
            values: self.values.into_iter().map(|_| (Captured::One(Datum::Null), 0)).collect(),
            many: self.many.into_iter().map(|_| Datum::Null).collect(),
        }
    }

    /// The value at a place; null where the event has none.
    pub(super) fn value(&self, place: usize) -> Datum<'_> {
        match self.values.get(place) {
            None => Datum::Null,
            Some((Captured::One(datum), _)) => *datum,
            Some((Captured::Many(start, end), _)) => Datum::Many(&self.many[*start..*end]),
            Some((Captured::Text(index), _)) => Datum::Str(&self.texts[*index]),
        }
    }

    fn one(&mut self, place: usize, datum: Datum<'a>) {
        self.values[place].0 = Captured::One(datum);
    }

    fn text(&mut self, place: usize, text: String) {
        self.values[place].0 = Captured::Text(self.texts.len());
        self.texts.push(text);
    }

    fn header(&mut self, place: usize, header: Header, event: &EventView<'a>) {
        let datum = match header {
            Header::EventName => Datum::Str(event.name),
            Header::EventType if system::is_system(event.name) => Datum::Str("SYSTEM"),
            Header::EventType => Datum::Str("BUSINESS"),
            Header::Site => Datum::Str(event.site),
            Header::Timestamp => Datum::Int(event.timestamp.0),
            Header::ServerTimestamp => Datum::Int(event.server_timestamp.0),
            Header::Tie => event.tie.map_or(Datum::Null, Datum::Int),
            Header::EventId => return self.text(place, event.id().to_string()),
            Header::Visit => return self.text(place, event.visit().to_string()),
            Header::Visitor => return self.id(place, event.visitor()),
            Header::Page => return self.id(place, event.page()),
            Header::User | Header::Scope => return,
        };
        self.one(place, datum);
    }

    fn id(&mut self, place: usize, id: Option<impl ToString>) {
        if let Some(id) = id {
            self.text(place, id.to_string());
        }
    }

    fn field(&mut self, want: &Want, value: ValueView<'a>) -> Result<(), UnpackError> {
        if want.prefix_bytes <= self.values[want.place].1 {
            return Ok(());
        }
        let mut value = value;
        for part in &want.rest {
            value = inside(value, part)?;
        }
        let captured = match value {
            ValueView::List(values) => {
                let start = self.many.len();
                for value in values {
                    self.many.push(value?.into());
                }
                self.list(start)
            }
            value => Captured::One(value.into()),
        };
        self.values[want.place] = (captured, want.prefix_bytes);
        Ok(())
    }

    /// What `many[start..]` is: no value, one, or several.
    fn list(&mut self, start: usize) -> Captured<'a> {
        let values = &self.many[start..];
        if let [one] = values {
            return Captured::One(*one);
        }
        if values.iter().all(|value| *value == Datum::Null) {
            return Captured::One(Datum::Null);
        }
        Captured::Many(start, self.many.len())
    }
}

/// The last value of that name in a map.
fn inside<'a>(value: ValueView<'a>, name: &str) -> Result<ValueView<'a>, UnpackError> {
    let ValueView::Map(entries) = value else { return Ok(ValueView::Null) };
    let mut found = ValueView::Null;
    for entry in entries {
        let (key, value) = entry?;
        if key == name {
            found = value;
        }
    }
    Ok(found)
}

/// One value; lists and maps are none.
impl<'a> From<ValueView<'a>> for Datum<'a> {
    fn from(value: ValueView<'a>) -> Self {
        match value {
            ValueView::Bool(bool) => Self::Bool(bool),
            ValueView::Int(int) => Self::Int(int),
            ValueView::Float(float) => Self::Float(float),
            ValueView::Str(text) => Self::Str(text),
            ValueView::Null | ValueView::List(_) | ValueView::Map(_) => Self::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher::testing::{Sample, list, map, path, text};
    use crate::model::{Value, VisitScope};

    /// The value of `path` in `event`, as its debug text.
    fn check(event: &Sample, dotted: &str, expected: &str) {
        let packed = event.pack(1).event;
        let view = packed.view().expect("just packed");
        let path = path(dotted);
        let extractor = Extractor::new([&path]);
        let mut captures = extractor.capture(&view).expect("just packed");
        let identity =
            Identity { scope: VisitScope::Recognized, user: Some("ada".into()), verified: false };
        extractor.stamp(&mut captures, &identity);
        assert_eq!(format!("{:?}", captures.value(0)), expected, "{dotted}");
    }

    #[test]
    fn header_fields_have_their_wire_names() {
        let event = Sample::new("AddToCart", 1_000);
        check(&event, "eventName", "Str(\"AddToCart\")");
        check(&event, "eventType", "Str(\"BUSINESS\")");
        check(&Sample::new("SignIn", 0), "eventType", "Str(\"SYSTEM\")");
        check(&event, "visitID", "Str(\"00000000000000000000000000000001\")");
        check(&event, "globalVisitID", "Null");
        check(&event, "timestamp", "Int(1000)");
        check(&event, "seq", "Null");
        check(&event, "site", "Str(\"shop\")");
        check(&event, "userID", "Str(\"ada\")");
        check(&event, "visitScope", "Str(\"Recognized\")");
    }

    #[test]
    fn the_longest_prefix_that_is_a_field_counts() {
        let inner = map(&[("b", map(&[("c", Value::Int(1))]))]);
        let event = Sample::new("A", 0).with("a", inner).with("a.b", map(&[("d", text("x"))]));
        check(&event, "a.b.d", "Str(\"x\")");
        check(&event, "a.b.c", "Null");
        check(&event, "a.b", "Null");
        let turned = Sample::new("A", 0)
            .with("a.b", map(&[("d", text("x"))]))
            .with("a", map(&[("b", map(&[("d", text("y"))]))]));
        check(&turned, "a.b.d", "Str(\"x\")");
    }

    #[test]
    fn well_known_and_other_names_are_found() {
        let event = Sample::new("A", 0)
            .with("url.path", text("/a"))
            .with("url.query.q", text("lamp"))
            .with("data", map(&[("price", Value::Float(1.5)), ("price", Value::Int(2))]));
        check(&event, "url.path", "Str(\"/a\")");
        check(&event, "url.query.q", "Str(\"lamp\")");
        check(&event, "url.query.r", "Null");
        check(&event, "data.price", "Int(2)");
        check(&event, "data", "Null");
    }

    #[test]
    fn lists_are_several_values() {
        let event = Sample::new("A", 0)
            .with("two", list(&[text("x"), Value::Null]))
            .with("one", list(&[text("x")]))
            .with("none", list(&[]))
            .with("nulls", list(&[Value::Null, map(&[])]));
        check(&event, "two", "Many([Str(\"x\"), Null])");
        check(&event, "one", "Str(\"x\")");
        check(&event, "none", "Null");
        check(&event, "nulls", "Null");
    }
}
