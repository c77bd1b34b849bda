//! The events table: every field of the normalised event, and what the engine said of it.
//!
//! A field of the event stands in exactly one of: its own column, where it has the column's type;
//! `data`, as JSON text; `fields`, one JSON object of all others by their names. So the event can
//! be built again from its row alone. (The order of top-level fields, which has no meaning, is not
//! kept; a float that is not finite is null.) Typed columns repeat values that stand in `data` or
//! `fields`. What cannot be read has its bytes in `unreadable`, and null in all that would have
//! come from them.

use super::columns::{Batch, Cells, ColumnSpec, Kind, spec};
use super::typed::{Found, TypedPaths};
use beckon_engine::model::{
    Epoch, EventRow, EventView, FieldName, Flags, Id, Identity, ListIter, UnpackError, ValueView,
    VisitScope, WELL_KNOWN_FIELDS, partition_of, system, write_json, write_json_str,
};

/// Columns of every events file, in order; typed columns follow. Appended, never changed.
pub(super) const EVENT_COLUMNS: &[(&str, Kind)] = &[
    ("log_sequence", Kind::Sequence),
    ("epoch", Kind::Sequence),
    ("site", Kind::Text),
    ("partition", Kind::Small),
    ("visit_instance", Kind::Sequence),
    ("fate", Kind::Text),
    ("is_late", Kind::Boolean),
    ("event_name", Kind::Text),
    ("event_type", Kind::Text),
    ("event_id", Kind::UniqueText),
    ("visit_id", Kind::Text),
    ("global_visit_id", Kind::Text),
    ("page_id", Kind::UniqueText),
    ("text_ids", Kind::Small),
    ("timestamp", Kind::Time),
    ("server_timestamp", Kind::Time),
    ("client_timestamp", Kind::Time),
    ("seq", Kind::Integer),
    ("user_id", Kind::Text),
    ("visit_scope", Kind::Text),
    ("verified", Kind::Boolean),
    ("unproven", Kind::Boolean),
    ("record_only", Kind::Boolean),
    ("user_proven", Kind::Boolean),
    ("clamped", Kind::Boolean),
    ("skew_corrected", Kind::Boolean),
    ("made_up", Kind::Boolean),
    ("url", Kind::Text),
    ("url_path", Kind::Text),
    ("url_host", Kind::Text),
    ("referrer", Kind::Text),
    ("title", Kind::Text),
    ("language_code", Kind::Text),
    ("ip", Kind::Text),
    ("user_agent_name", Kind::Text),
    ("user_agent_version", Kind::Text),
    ("user_agent_os", Kind::Text),
    ("user_agent_device", Kind::Text),
    ("campaign_source", Kind::Text),
    ("campaign_medium", Kind::Text),
    ("campaign_name", Kind::Text),
    ("campaign_term", Kind::Text),
    ("campaign_content", Kind::Text),
    ("category", Kind::TextList),
    ("is_bot", Kind::Boolean),
    ("data", Kind::UniqueText),
    ("fields", Kind::UniqueText),
    ("unreadable", Kind::Bytes),
];

/// Fields with a text column, in the order of those columns (from `url` on).
pub(super) const TEXT_FIELDS: [&str; 16] = [
    "url",
    "url.path",
    "url.host",
    "referrer",
    "title",
    "languageCode",
    "ip",
    "userAgent.name",
    "userAgent.version",
    "userAgent.os",
    "userAgent.device",
    "campaign.source",
    "campaign.medium",
    "campaign.name",
    "campaign.term",
    "campaign.content",
];

/// The flags that are columns, in their order (from `unproven` on).
pub(super) const FLAG_COLUMNS: [Flags; 6] = [
    Flags::UNPROVEN,
    Flags::RECORD_ONLY,
    Flags::VERIFIED,
    Flags::CLAMPED,
    Flags::SKEW_CORRECTED,
    Flags::MADE_UP,
];

/// An event that waits to be written.
#[derive(Clone, Debug)]
pub(super) struct PendingEvent {
    pub(super) row: EventRow,
    pub(super) epoch: Epoch,
}

/// Where a well-known field goes.
#[derive(Clone, Copy, Debug)]
enum Place {
    Text(usize),
    Category,
    IsBot,
    Data,
    Fields,
}

/// Turns events into rows of the table.
#[derive(Debug)]
pub(super) struct EventEncoder {
    batch: Batch,
    typed: TypedPaths,
    places: Vec<Place>,
    /// Which well-known fields may say something of typed columns.
    typed_places: Vec<bool>,
    data: String,
    fields: String,
}

/// The fields of one event, sorted into columns; the JSON texts stand in the encoder.
#[derive(Debug, Default)]
struct Sorted<'a> {
    texts: [Option<&'a str>; TEXT_FIELDS.len()],
    category: Option<ListIter<'a>>,
    is_bot: Option<bool>,
    typed: Found<'a>,
}

impl EventEncoder {
    pub(super) fn new(typed: TypedPaths, typed_specs: &[ColumnSpec]) -> Self {
        let mut columns = spec(EVENT_COLUMNS);
        columns.extend_from_slice(typed_specs);
        Self {
            batch: Batch::new(&columns),
            typed_places: WELL_KNOWN_FIELDS.iter().map(|name| typed.knows(name)).collect(),
            typed,
            places: WELL_KNOWN_FIELDS.iter().map(|name| place_of(name)).collect(),
            data: String::new(),
            fields: String::new(),
        }
    }

    pub(super) fn batch(&mut self) -> &mut Batch {
        &mut self.batch
    }

    /// Writes one row.
    pub(super) fn append(&mut self, pending: &PendingEvent) {
        let row = &pending.row;
        let whole = row.event.view().and_then(|view| Ok((view, self.sort(&view)?)));
        let mut cells = self.batch.row();
        cells.count(Some(row.seq.0)).count(Some(pending.epoch.0));
        match whole {
            Ok((view, sorted)) => {
                write_header(&mut cells, row, &view);
                write_identity(&mut cells, &row.identity);
                for flag in FLAG_COLUMNS {
                    cells.boolean(Some(view.flags.has(flag)));
                }
                for text in sorted.texts {
                    cells.text(text);
                }
                cells.texts(sorted.category.map(texts_of)).boolean(sorted.is_bot);
                cells.text(non_empty(&self.data)).text(non_empty(&self.fields)).null();
                self.typed.write(&sorted.typed, &mut cells);
            }
            Err(_) => {
                cells.null().null().count(row.instance.map(|instance| instance.0.0));
                cells.text(Some(row.fate.as_str())).boolean(Some(row.fate.is_late()));
                let from_the_event = EVENT_COLUMNS.len() - 7 - 1;
                cells.nulls(from_the_event).bytes(row.event.as_bytes()).nulls(self.typed.len());
            }
        }
        cells.done();
    }

    /// Sorts the fields of an event into columns, `data` and `fields`.
    fn sort<'a>(&mut self, view: &EventView<'a>) -> Result<Sorted<'a>, UnpackError> {
        let mut sorted = Sorted { typed: vec![None; self.typed.len()], ..Sorted::default() };
        self.data.clear();
        self.fields.clear();
        let mut outcome = Ok(());
        view.for_each_field(|name, value| {
            if outcome.is_ok() {
                outcome = self.sort_field(name, value, &mut sorted);
            }
        })?;
        outcome?;
        if !self.fields.is_empty() {
            self.fields.push('}');
        }
        Ok(sorted)
    }

    fn sort_field<'a>(
        &mut self,
        name: FieldName<'a>,
        value: ValueView<'a>,
        sorted: &mut Sorted<'a>,
    ) -> Result<(), UnpackError> {
        let (place, is_typed) = match name {
            FieldName::Known(index) => {
                (self.places[usize::from(index)], self.typed_places[usize::from(index)])
            }
            FieldName::Other(name) => (Place::Fields, self.typed.knows(name)),
        };
        if is_typed {
            self.typed.look(name.as_str(), value, &mut sorted.typed)?;
        }
        match (place, value) {
            (Place::Text(index), ValueView::Str(text)) => sorted.texts[index] = Some(text),
            (Place::Category, ValueView::List(list)) if is_text_list(list)? => {
                sorted.category = Some(list);
            }
            (Place::IsBot, ValueView::Bool(is_bot)) => sorted.is_bot = Some(is_bot),
            (Place::Data, value) => write_json(value, &mut self.data)?,
            (_, value) => {
                self.fields.push(if self.fields.is_empty() { '{' } else { ',' });
                write_json_str(name.as_str(), &mut self.fields);
                self.fields.push(':');
                write_json(value, &mut self.fields)?;
            }
        }
        Ok(())
    }
}

fn place_of(name: &str) -> Place {
    if let Some(index) = TEXT_FIELDS.iter().position(|field| *field == name) {
        return Place::Text(index);
    }
    match name {
        "category" => Place::Category,
        "isBot" => Place::IsBot,
        "data" => Place::Data,
        _ => Place::Fields,
    }
}

fn write_header(cells: &mut Cells<'_>, row: &EventRow, view: &EventView<'_>) {
    let visit = view.visit();
    let visitor = view.visitor();
    let page = view.page();
    let id = view.id();
    let ids = [
        Some(&id.0),
        Some(&visit.0),
        visitor.as_ref().map(|id| &id.0),
        page.as_ref().map(|id| &id.0),
    ];
    let event_type = if system::is_system(view.name) { "SYSTEM" } else { "BUSINESS" };
    cells
        .text(Some(view.site))
        .small(Some(i32::from(partition_of(view.site, &visit).0)))
        .count(row.instance.map(|instance| instance.0.0))
        .text(Some(row.fate.as_str()))
        .boolean(Some(row.fate.is_late()))
        .text(Some(view.name))
        .text(Some(event_type));
    for id in ids {
        cells.id(id);
    }
    cells
        .small(text_ids(ids))
        .time_ms(Some(view.timestamp.0))
        .time_ms(Some(view.server_timestamp.0))
        .time_ms(view.client_timestamp.map(|time| time.0))
        .integer(view.tie);
}

/// `user_id`, `visit_scope`, `verified`.
pub(super) fn write_identity(cells: &mut Cells<'_>, identity: &Identity) {
    let is_known = identity.scope != VisitScope::Anonymous;
    cells
        .text(identity.user.as_deref())
        .text(Some(identity.scope.as_str()))
        .boolean(is_known.then_some(identity.verified));
}

/// Which of the event's, visit's, visitor's and page's ids are a mapped source's text (bits 0 to
/// 3); null where all are 128 bits. A text may look like hex digits and is another id all the same.
fn text_ids(ids: [Option<&Id>; 4]) -> Option<i32> {
    let bit = |(index, id): (usize, &Option<&Id>)| match id {
        Some(Id::Text(_)) => 1_i32 << index,
        _ => 0,
    };
    Some(ids.iter().enumerate().map(bit).sum()).filter(|bits| *bits != 0)
}

fn is_text_list(mut list: ListIter<'_>) -> Result<bool, UnpackError> {
    list.try_fold(true, |all, value| Ok(all && matches!(value?, ValueView::Str(_))))
}

/// The texts of a list that [`is_text_list`] has seen.
fn texts_of(list: ListIter<'_>) -> impl Iterator<Item = &str> {
    list.filter_map(|value| match value {
        Ok(ValueView::Str(text)) => Some(text),
        _ => None,
    })
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
