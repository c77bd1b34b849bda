//! From an event to a record of the log.

use beckon_engine::log::{NewRecord, RecordBody};
use beckon_engine::model::{Event, Id, PackedEvent};
use std::sync::Arc;

/// The record of an event. Its deduplication key is the event's id moved by the salt of its site
/// ([`crate::sites::first_128_bits`] of the site's name): within a site two ids never collide, and
/// across sites only for who knows another site's random ids.
#[must_use]
pub fn record_of(event: &Event, dedup_salt: u128) -> NewRecord {
    let dedup = match &event.id.0 {
        Id::Bits(bits) => bits ^ dedup_salt,
        Id::Text(text) => crate::sites::first_128_bits(text.as_bytes()) ^ dedup_salt,
    };
    let visitor = event.visitor.as_ref().map_or(&event.visit.0, |visitor| &visitor.0);
    NewRecord {
        site: Arc::clone(&event.site),
        visitor_hash: visitor.stable_hash(),
        dedup: Some(dedup),
        body: RecordBody::Event(PackedEvent::pack(event)),
    }
}
