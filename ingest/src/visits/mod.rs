//! Who may listen to a visit and speak for it.
//!
//! A page shows the visit's secret, whose hash is the visit's id, and names its site by a write key in
//! `?key=`; or a token that the site's server got for the visit, which names the site itself. Both stand
//! in `Authorization: Bearer` and never in an address. A browser key's list of origins is held against
//! the `Origin` where there is one: a page of the server's own origin shows none when it reads, and what
//! opens the visit is the secret.
//!
//! **Alike.** No visit is looked up: that of the path is compared with what is shown, in constant time.
//! So a visit that never was answers as one to which the secret does not belong.

mod token;

pub use token::{VISIT_TOKEN_MS, VisitTokenError, VisitTokens};

use crate::answer::{Refusal, json};
use crate::app::App;
use crate::cross_site::refuse_cross_site;
use crate::events::{Door, add_cors, peer_of, preflight_of, proven_visit, read_body};
use crate::reach::Reach;
use crate::routes::{Access, authorize};
use axum::Extension;
use axum::body::Body;
use axum::extract::{FromRequestParts as _, RawPathParams, Request, State};
use axum::http::{Extensions, Method, StatusCode, request::Parts as Head};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use beckon_engine::model::{Id, SiteName, VisitId};
use serde::Serialize;
use std::sync::Arc;
use subtle::ConstantTimeEq as _;
use token::is_visit_token;
use url::form_urlencoded;
use utoipa::ToSchema;

/// The visit that a request has to do with; with every one that got past a check for [`Access::Visit`]
/// or [`Access::SiteVisit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisitReach {
    /// Its site.
    pub site: SiteName,
    /// The visit.
    pub visit: VisitId,
}

/// What a page may send to the routes of a visit.
const METHODS: &str = "GET, POST";
const HEADERS: &str = "authorization, content-type, last-event-id";

/// `OPTIONS` of a visit's routes.
pub(crate) async fn preflight(State(app): State<Arc<App>>, request: Request) -> Response {
    preflight_of(&app, request, (METHODS, HEADERS))
}

/// Lets through who shows the visit's secret or a token of it.
pub(crate) async fn check_visit(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut head, body) = request.into_parts();
    let door = Door::new(&app, &head);
    let mut response = match admit(&app, &mut head, &door).await {
        Ok(reach) => go_on(&app, (head, body), reach, next).await,
        Err(refusal) => refusal.into_response(),
    };
    add_cors(&app, door.origin(), response.headers_mut());
    response
}

async fn admit(app: &Arc<App>, head: &mut Head, door: &Door) -> Result<VisitReach, Refusal> {
    app.admit_address(door.client())?;
    let visit = visit_of_path(head).await;
    let shown = door.bearer().unwrap_or_default();
    if is_visit_token(shown) {
        let site =
            visit.as_ref().and_then(|it| app.visit_tokens.site_of(shown, it, app.clock.now()));
        return site.zip(visit).map(|(site, visit)| VisitReach { site, visit }).ok_or_else(refused);
    }
    let key = door.key_of_listener(app)?;
    let of_secret = proven_visit(shown);
    let (is_secret, proven) = (of_secret.is_some(), of_secret.unwrap_or_default().to_be_bytes());
    let asked = match &visit {
        Some(VisitId(Id::Bits(bits))) => bits.to_be_bytes(),
        Some(VisitId(Id::Text(_))) | None => proven.map(|byte| !byte),
    };
    let is_its = bool::from(proven.ct_eq(&asked)) && is_secret;
    let visit = visit.filter(|_| is_its).ok_or_else(refused)?;
    Ok(VisitReach { site: Arc::clone(&key.site), visit })
}

/// The same for a visit that is not there and for one that is.
fn refused() -> Refusal {
    let help = "send Authorization: Bearer with the visit's secret, or with a token of \
                POST /v1/visits/{visitID}/token";
    let message = "neither the visit's secret nor a token of it was shown";
    Refusal::new(StatusCode::UNAUTHORIZED, "visit_refused", message, help)
}

/// Lets through who shows an API token with the scope for the visit's site.
pub(crate) async fn check_site_visit(
    State((app, access)): State<(Arc<App>, Access)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut head, body) = request.into_parts();
    match admit_server(&app, &mut head, access).await {
        Ok(reach) => go_on(&app, (head, body), reach, next).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn admit_server(
    app: &Arc<App>,
    head: &mut Head,
    access: Access,
) -> Result<VisitReach, Refusal> {
    app.admit_address(app.client(peer_of(head), &head.headers))?;
    refuse_cross_site(head)?;
    let reach = authorize(app, &head.headers, access)?;
    let site = site_asked(app, head, &reach)?;
    let visit = visit_of_path(head).await.ok_or_else(|| {
        let help = "32 hex digits, or the text by which a mapped source names it";
        Refusal::new(StatusCode::BAD_REQUEST, "bad_visit", "the visit is no id", help)
    })?;
    Ok(VisitReach { site, visit })
}

/// The site of `?site=`, else that of the token, else the only one there is.
fn site_asked(app: &App, head: &Head, reach: &Reach) -> Result<SiteName, Refusal> {
    let query = head.uri.query().unwrap_or_default();
    let mut query = form_urlencoded::parse(query.as_bytes());
    let asked = query.find(|(name, _)| name == "site").map(|(_, site)| site.into_owned());
    let named = reach.narrow(asked)?;
    let site = match &named {
        Some(site) => app.site_named(site),
        None => app.only_site(),
    };
    site.ok_or_else(|| {
        let (code, message) = match named {
            Some(site) => ("site_unknown", format!("there is no site {site:?}")),
            None => ("site_missing", "which site's visit is it?".to_owned()),
        };
        let help = "name a site of the configuration: ?site=NAME, or take a token of that site";
        Refusal::new(StatusCode::BAD_REQUEST, code, message, help)
    })
}

/// Passes a request on with its whole body and nothing else of it but the visit.
async fn go_on(
    app: &Arc<App>,
    (mut head, body): (Head, Body),
    reach: VisitReach,
    next: Next,
) -> Response {
    let client = app.client(peer_of(&head), &head.headers);
    let whole = if head.method == Method::POST {
        match read_body(app, &head, body, Some(client)).await {
            Ok(whole) => Some(whole),
            Err(refusal) => return refusal.into_response(),
        }
    } else {
        None
    };
    head.extensions = Extensions::new();
    head.extensions.insert(reach);
    let body = whole.as_ref().map_or_else(Body::empty, |whole| Body::from(whole.bytes.clone()));
    next.run(Request::from_parts(head, body)).await
}

/// The visit that the path names.
pub(crate) async fn visit_of_path(head: &mut Head) -> Option<VisitId> {
    let parameters = RawPathParams::from_request_parts(head, &()).await.ok()?;
    let text = parameters.iter().find(|(name, _)| *name == "visitID").map(|(_, text)| text)?;
    Id::from_hex(text).or_else(|_| Id::from_text(text)).ok().map(VisitId)
}

/// A token of a visit.
#[derive(Serialize, ToSchema)]
pub(crate) struct VisitToken {
    token: String,
    /// Until when it holds, milliseconds since 1970.
    expires_ms: i64,
}

/// `POST /v1/visits/{visitID}/token`: for a page whose visit's id came from elsewhere.
pub(crate) async fn token(
    State(app): State<Arc<App>>,
    Extension(VisitReach { site, visit }): Extension<VisitReach>,
) -> Response {
    let (token, end) = app.visit_tokens.issue(&site, &visit, app.clock.now());
    json(StatusCode::OK, &VisitToken { token, expires_ms: end.0 })
}
