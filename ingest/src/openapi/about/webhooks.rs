//! What is said of webhooks. They are served by another part, whose schemas are named.

use super::{About, JSON, Tag};
use utoipa::openapi::{Ref, Required};

pub(crate) fn endpoints() -> About {
    About::new(Tag::Webhooks, "listEndpoints", "Lists the endpoints, and how they do")
        .answers_named(200, "WebhookEndpoints", "All of the configuration")
}

pub(crate) fn letters() -> About {
    About::new(Tag::Webhooks, "listDeadCalls", "Lists calls that were given up, oldest first")
        .query::<u64>("after", "Those behind this one: `next` of the answer before")
        .query::<u64>("limit", "So many at most, 1 to 1,000; 100 where nothing is said")
        .query::<String>("endpoint", "Those of this endpoint")
        .answers_named(200, "WebhookDeadLetters", "A page of them")
        .refuses(400, "A parameter is not known, or has not the form that it should")
}

pub(crate) fn replay() -> About {
    let kinds = vec![(JSON, Ref::from_schema_name("WebhookDeadLettersWanted").into())];
    About::new(Tag::Webhooks, "replayDeadCalls", "Lets calls that were given up wait again")
        .body_of(Required::True, kinds, "Some by their ids, or those that a filter finds")
        .answers_named(200, "WebhookDeadLettersReplayed", "What became of each")
}

pub(crate) fn enable() -> About {
    About::new(Tag::Webhooks, "enableEndpoint", "Calls an endpoint again that said 410")
        .answers_named(200, "WebhookEnabled", "It is called")
        .refuses(404, "The configuration has no such endpoint")
}
