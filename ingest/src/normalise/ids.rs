//! The ids of an event: those that it names, and those that it is given.

use super::wire::Slot;
use super::{OfVisit, RejectReason, Rejection, missing, text};
use crate::sites::first_128_bits;
use beckon_engine::model::Id;

pub(super) fn id(field: &str, slot: &Slot<'_>) -> Result<Option<Id>, Rejection> {
    let Some(said) = text(field, slot)? else { return Ok(None) };
    Id::from_hex(said).map(Some).map_err(|error| {
        Rejection::field(RejectReason::BadId, field, format_args!("{field}: {error}"))
    })
}

/// The visit of an event. A new one is named by the event that begins it, so that one that is sent again
/// is answered with the same.
pub(super) fn visit(
    named: Option<Id>,
    (of, event): (&OfVisit, Option<&Id>),
) -> Result<Id, Rejection> {
    match (named, of) {
        (Some(named), OfVisit::This(this)) if named != *this => {
            let message = format_args!("visitID: {named} is not {this}, the visit of the request");
            Err(Rejection::field(RejectReason::OtherVisit, "visitID", message))
        }
        (_, OfVisit::This(this)) => Ok(this.clone()),
        (Some(named), _) => Ok(named),
        (None, OfVisit::NamedOrNew) => Ok(event.map_or_else(random_id, named_by)),
        (None, OfVisit::Named) => Err(missing("visitID")),
    }
}

/// The first 128 bits of SHA-256 of a word of our own and the event's id.
fn named_by(event: &Id) -> Id {
    Id::Bits(first_128_bits(format!("beckon visit begun by {event}").as_bytes()))
}

pub(super) fn random_id() -> Id {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    Id::Bits(u128::from_be_bytes(bytes))
}
