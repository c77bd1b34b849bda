//! From an event to a record of the log.

use beckon_engine::log::{NewRecord, RecordBody, dedup_key};
use beckon_engine::model::{Event, PackedEvent, PackedFields};
use std::sync::Arc;

/// The record of an event, with the fields that all events of its request share. Its deduplication key is the one that the log derives again from the
/// event when it is opened: another key would let a repeated event in after a restart.
#[must_use]
pub fn record_of(event: &Event, more: &PackedFields) -> NewRecord {
    let visitor = event.visitor.as_ref().map_or(&event.visit.0, |visitor| &visitor.0);
    NewRecord {
        site: Arc::clone(&event.site),
        visitor_hash: visitor.stable_hash(),
        dedup: Some(dedup_key(&event.site, &event.id)),
        body: RecordBody::Event(PackedEvent::pack_with(event, more)),
    }
}
