//! The demo's page: a pretend shop, and what Beckon makes of its visitors.
//!
//! Its files are compiled in, so that the binary alone is enough. They are routes in demo mode only,
//! and answered only to this machine: the page's events are taken without a key, so a page of
//! another name must not be the one that sends them.

use crate::answer::{Refusal, json};
use crate::app::App;
use crate::client::is_local;
use crate::events::peer_of;
use crate::visits::visit_of_path;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header, request::Parts as Head};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Scripts, styles and connections of this server, and nothing else; no page may frame it.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

macro_rules! file {
    ($name:literal, $kind:literal) => {
        ($name, $kind, include_str!(concat!("../../resources/demo/", $name)))
    };
}

/// The files beside the page: name, kind, text.
const FILES: [(&str, &str, &str); 13] = [
    file!("icon.svg", "image/svg+xml"),
    file!("base.css", "text/css"),
    file!("shop.css", "text/css"),
    file!("inspector.css", "text/css"),
    file!("main.js", "text/javascript"),
    file!("dom.js", "text/javascript"),
    file!("visit.js", "text/javascript"),
    file!("outbox.js", "text/javascript"),
    file!("messages.js", "text/javascript"),
    file!("invitation.js", "text/javascript"),
    file!("shop.js", "text/javascript"),
    file!("inspector.js", "text/javascript"),
    file!("rules.js", "text/javascript"),
];

/// `GET /`.
pub(crate) async fn page(request: Request) -> Response {
    let (head, _) = request.into_parts();
    answer(&head, "text/html", include_str!("../../resources/demo/index.html"))
}

/// `GET /demo/{file}`.
pub(crate) async fn part(name: Result<Path<String>, PathRejection>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let is_asked = |known: &str| name.as_ref().is_ok_and(|Path(name)| name == known);
    match FILES.iter().find(|(known, _, _)| is_asked(known)) {
        Some((_, kind, text)) => answer(&head, kind, text),
        None => Refusal::not_found().into_response(),
    }
}

/// `GET /demo/visits/{visitID}`: how far the rules have come in a visit.
pub(crate) async fn progress(State(app): State<Arc<App>>, request: Request) -> Response {
    let (mut head, _) = request.into_parts();
    let Some(demo) = app.demo.as_ref().filter(|_| asks_here(&head)) else {
        return not_here().into_response();
    };
    let Some(visit) = visit_of_path(&mut head).await else {
        return Refusal::not_found().into_response();
    };
    json(StatusCode::OK, &app.engine.progress(&demo.site, &visit))
}

fn answer(head: &Head, kind: &str, text: &'static str) -> Response {
    if !asks_here(head) {
        return not_here().into_response();
    }
    let kind = format!("{kind}; charset=utf-8");
    let headers = [
        (header::CONTENT_TYPE, kind.as_str()),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, text).into_response()
}

/// Whether a request was made on this machine, to this machine.
pub(crate) fn asks_here(head: &Head) -> bool {
    let authority = head.uri.authority().map(|authority| authority.as_str());
    is_local(peer_of(head).0.ip(), &head.headers, authority)
}

/// Whether this server is a demo and the request asks here: it watches without a token, as it sends
/// without a key. Pages of other origins cannot read the answer, other hosts' names are refused.
pub(crate) fn may_watch(app: &App, head: &Head) -> bool {
    app.demo.is_some() && asks_here(head)
}

fn not_here() -> Refusal {
    let help = "open the demo by http://localhost, on this machine, without a proxy";
    let message = "the demo is shown to this machine only";
    Refusal::new(StatusCode::FORBIDDEN, "demo_is_local", message, help)
}
