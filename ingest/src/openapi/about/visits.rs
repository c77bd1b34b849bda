//! What is said of messages to the pages of a visit.
//!
//! They are served by another part: its schemas are named, and come with it ([`Mounted`]).
//!
//! [`Mounted`]: crate::Mounted

use super::events::preflight;
use super::server::EVENTS;
use super::{About, JSON, Tag, text};
use crate::visits::VisitToken;
use utoipa::openapi::{Ref, Required};

const SITE: &str = "The visit's site; without it that of the token, or the only one";

pub(crate) fn token() -> About {
    let summary = "Gives a token of a visit for its page, for an hour";
    About::new(Tag::Visits, "giveVisitToken", summary)
        .query::<String>("site", SITE)
        .reads_body()
        .answers::<VisitToken>(200, "The token")
}

pub(crate) fn listen() -> About {
    About::new(Tag::Visits, "listen", "What is said to a page: as a stream, or by a long poll")
        .detail("With `Accept: application/json` it is a long poll, else server-sent events.")
        .query::<String>(
            "page",
            "The page that listens: without it nothing comes for a certain one",
        )
        .query::<String>("after", "Of a long poll: the last message that the page has")
        .header::<String>("Last-Event-ID", "Of a stream: the last message that the page has")
        .answers_named(200, "Messages", "Messages until they are acknowledged")
        .answers_as(200, EVENTS, (text(), "Messages until they are acknowledged"))
        .refuses(400, "The page is no id")
}

pub(crate) fn word() -> About {
    let kinds = vec![(JSON, Ref::from_schema_name("MessageWord").into())];
    About::new(Tag::Visits, "acknowledge", "Says what became of a message")
        .body_of(Required::False, kinds, "Without it the message is acknowledged")
        .answers_nothing(204, "It is on disk, also when it was said before")
        .refuses(404, "The message is not known, or over for long")
}

pub(crate) fn notify() -> About {
    let kinds = vec![(JSON, Ref::from_schema_name("MessagesToSend").into())];
    About::new(Tag::Visits, "notify", "Sends messages to a visit, all of them or none")
        .query::<String>("site", SITE)
        .body_of(Required::True, kinds, "Messages")
        .answers_nothing(200, "They are on disk")
}

pub(crate) fn preflight_listen() -> About {
    preflight(Tag::Visits, "askToListen")
}

pub(crate) fn preflight_word() -> About {
    preflight(Tag::Visits, "askToAcknowledge")
}
