//! The demo's page: a pretend shop, and what Beckon makes of its visitors.
//!
//! Its files are compiled in, so that the binary alone is enough. They are routes in demo mode only,
//! and answered only to this machine: the page's events are taken without a key, so a page of
//! another name must not be the one that sends them.

use crate::answer::Refusal;
use crate::app::App;
use crate::client::is_local;
use crate::events::peer_of;
use axum::extract::Request;
use axum::http::{StatusCode, header, request::Parts as Head};
use axum::response::{IntoResponse, Response};

/// Scripts, styles and connections of this server, and nothing else; no page may frame it.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /`.
pub(crate) async fn page(request: Request) -> Response {
    answer(request, "text/html", include_str!("../../resources/demo/index.html"))
}

/// `GET /demo.css`.
pub(crate) async fn style(request: Request) -> Response {
    answer(request, "text/css", include_str!("../../resources/demo/demo.css"))
}

/// `GET /demo.js`.
pub(crate) async fn script(request: Request) -> Response {
    answer(request, "text/javascript", include_str!("../../resources/demo/demo.js"))
}

fn answer(request: Request, kind: &str, text: &'static str) -> Response {
    let (head, _) = request.into_parts();
    if !asks_here(&head) {
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
