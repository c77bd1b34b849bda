//! What is said of the doors for events.

use super::event::{Event, EventResults, Events, EventsOfVisit};
use super::{About, JSON, Tag, reference, text};
use crate::gwe::Visit;
use utoipa::openapi::Required;

const ON_DISK: &str = "What is good is on disk; each event has a result, in order";
const COMPRESSED: &str = "The body may be compressed (`Content-Encoding`: gzip, zstd, br).";

pub(crate) fn post() -> About {
    let kinds = vec![(JSON, reference::<Events>()), ("application/x-ndjson", text())];
    About::new(Tag::Events, "sendEvents", "Sends events")
        .detail(&format!(
            "One event that is rejected does not cost its neighbours. {COMPRESSED} Whatever \
             `Content-Type` says, a body is read as what it is."
        ))
        .with::<Events>()
        .body_of(Required::True, kinds, "Events; as NDJSON one on each line")
        .answers::<EventResults>(200, ON_DISK)
}

pub(crate) fn gwe_visit() -> About {
    About::new(Tag::Events, "beginVisit", "Begins a visit, as Genesys Web Engagement has it")
        .detail("A `VisitStarted`; without a `visitID` it is given one.")
        .body::<Event>("The event `VisitStarted`")
        .answers::<Visit>(200, "The visit; its event is on disk")
}

pub(crate) fn gwe_events() -> About {
    About::new(Tag::Events, "sendVisitEvents", "Sends events of a visit")
        .detail(&format!("The visit of the path fills each event's `visitID`. {COMPRESSED}"))
        .body::<EventsOfVisit>("One event, which is 400 where it is rejected, or an array")
        .answers::<EventResults>(200, ON_DISK)
}

/// What a browser asks before it sends.
pub(super) fn preflight(tag: Tag, id: &str) -> About {
    About::new(tag, id, "Says whether a page may do this")
        .answers_nothing(204, "It may: `Access-Control-Allow-*` say how")
        .refuses(403, "The page's origin is on no key's list")
        .refuses(429, "Too many requests of this address")
}

pub(crate) fn preflight_post() -> About {
    preflight(Tag::Events, "askToSendEvents")
}

pub(crate) fn preflight_gwe_visit() -> About {
    preflight(Tag::Events, "askToBeginVisit")
}

pub(crate) fn preflight_gwe_events() -> About {
    preflight(Tag::Events, "askToSendVisitEvents")
}
