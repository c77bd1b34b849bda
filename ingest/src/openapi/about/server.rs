//! What is said of health, figures, and what happens now.

use super::{About, JSON, Tag, text};
use crate::health::{Health, Status};
use crate::live::Live;
use utoipa::openapi::schema::{ObjectBuilder, Type};

/// The kind of server-sent events.
pub(super) const EVENTS: &str = "text/event-stream";

pub(crate) fn document() -> About {
    let any = ObjectBuilder::new().schema_type(Type::Object).into();
    About::new(Tag::Server, "describe", "This description").answers_as(
        200,
        JSON,
        (any, "OpenAPI 3.1"),
    )
}

pub(crate) fn healthz() -> About {
    About::new(Tag::Server, "isAlive", "Says that the server lives")
        .answers::<Health>(200, "It does")
}

pub(crate) fn readyz() -> About {
    About::new(Tag::Server, "isReady", "Says whether an event would be taken now")
        .answers::<Health>(200, "It would: by engine, log and disk")
}

pub(crate) fn metrics() -> About {
    About::new(Tag::Server, "readMetrics", "Metrics for Prometheus").answers_as(
        200,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        (text(), "OpenMetrics"),
    )
}

pub(crate) fn status() -> About {
    About::new(Tag::Server, "readStatus", "Rules, and the figures of all parts")
        .answers::<Status>(200, "Now")
}

pub(crate) fn live() -> About {
    About::new(Tag::Server, "streamLive", "What happens now, as server-sent events")
        .detail("Each event is a whole `Live` in JSON. The stream has no end.")
        .with::<Live>()
        .answers_as(200, EVENTS, (text(), "A stream"))
}

pub(crate) fn snapshot() -> About {
    About::new(Tag::Server, "showLive", "What happens now, once").answers::<Live>(200, "Now")
}
