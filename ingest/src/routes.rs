//! The router of the table of routes, and the check of who may use one.
//!
//! A route behind a token is wrapped here, so that no handler can forget the check. None is open because
//! no token exists.

use crate::answer::{Refusal, RefusalCode};
use crate::app::App;
use crate::client::origin_of;
use crate::cross_site::refuse_cross_site;
use crate::demo;
use crate::events::{peer_of, read_body};
use crate::reach::Reach;
use crate::sites::WriteKey;
use crate::table::table;
use crate::tokens::{Scope, TokenInfo};
use crate::visits;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use base64::Engine as _;
use beckon_engine::SPANS;
use std::sync::Arc;
use std::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone. These routes are listed by name in a test.
    Public,
    /// Who shows a write key (of a browser: with a listed origin).
    WriteKey,
    /// Who shows an API token with this scope for all sites.
    Token(Scope),
    /// Who shows an API token with this scope; one of a site sees and does what concerns that site.
    SiteToken(Scope),
    /// The same; and of a demo, who asks on its own machine, without a token.
    SiteTokenOrDemo(Scope),
    /// Who shows an API token of one site with this scope; and a page of an origin that has a default
    /// key. With the request goes the write key that it stands for.
    SiteTokenOrOrigin(Scope),
    /// Who shows an API token with this scope for the site of the path's visit.
    SiteVisit(Scope),
    /// Who shows the secret of the path's visit, or a token of it.
    Visit,
}

impl Access {
    pub(crate) fn scope(self) -> Option<Scope> {
        match self {
            Self::Public | Self::WriteKey | Self::Visit => None,
            Self::Token(scope)
            | Self::SiteToken(scope)
            | Self::SiteTokenOrDemo(scope)
            | Self::SiteTokenOrOrigin(scope)
            | Self::SiteVisit(scope) => Some(scope),
        }
    }
}

/// Where the API lies.
const API: [&str; 2] = ["/v1/", "/server/data/"];

/// The router of the table.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let mut router = Router::new();
    for route in table(app) {
        tracing::debug!(method = %route.method, path = route.path, access = ?route.access, "route");
        // Where a visit is asked for, who checks that reads it.
        let is_read_here = route.is_mounted && matches!(route.access, Access::Token(_));
        let handler = if is_read_here && route.method != Method::GET {
            route.handler.layer(from_fn_with_state(Arc::clone(app), read_whole))
        } else {
            route.handler
        };
        let mut handler = guarded(app, handler, route.access);
        let path = route.path;
        let watch = move |State(app): State<Arc<App>>, request: Request, next: Next| {
            watched(app, path, request, next)
        };
        handler = handler.layer(from_fn_with_state(Arc::clone(app), watch));
        router = router.route(path, handler);
    }
    router
        .fallback(|| async { Refusal::not_found() })
        .method_not_allowed_fallback(|| async {
            let help = "GET /openapi.json lists the routes";
            let status = StatusCode::METHOD_NOT_ALLOWED;
            Refusal::new(status, "method_not_allowed", "not with this method", help)
        })
        .layer(from_fn(safe_headers))
        .with_state(Arc::clone(app))
}

/// A handler behind the check of who may use it.
fn guarded(
    app: &Arc<App>,
    handler: MethodRouter<Arc<App>>,
    access: Access,
) -> MethodRouter<Arc<App>> {
    let app = Arc::clone(app);
    match access {
        Access::Public | Access::WriteKey => handler,
        Access::Token(_)
        | Access::SiteToken(_)
        | Access::SiteTokenOrDemo(_)
        | Access::SiteTokenOrOrigin(_) => {
            handler.layer(from_fn_with_state((app, access), check_token))
        }
        Access::SiteVisit(_) => {
            handler.layer(from_fn_with_state((app, access), visits::check_site_visit))
        }
        Access::Visit => handler.layer(from_fn_with_state(app, visits::check_visit)),
    }
}

/// Reads a body for another part, under the bounds that hold for all bodies.
async fn read_whole(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match read_body(&app, &head, body, None).await {
        Ok(whole) => {
            let body = Body::from(whole.bytes.clone());
            next.run(Request::from_parts(head, body)).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// Counts, logs and traces a request. Neither its query (a key may stand there) nor its body is logged.
async fn watched(app: Arc<App>, route: &'static str, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let begun = Instant::now();
    let span = span_of(&app, route, &request);
    let response = next.run(request).instrument(span.clone()).await;
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    span.record("http.response.status_code", status);
    if response.status().is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    app.metrics.request(route, status, took);
    if let Some(RefusalCode(code)) = response.extensions().get() {
        app.metrics.refused(code, status);
        let is_overload = response.status() == StatusCode::TOO_MANY_REQUESTS;
        if is_overload || response.status().is_server_error() {
            app.refusals.refused(code);
        }
    }
    tracing::debug!(%method, route, status, micros = took.as_micros(), "request");
    response
}

/// A request's span, named as OpenTelemetry's conventions for HTTP have it.
fn span_of(app: &App, route: &'static str, request: &Request) -> Span {
    let method = request.method();
    let span = tracing::info_span!(
        target: SPANS,
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = %method,
        http.route = route,
        http.response.status_code = Empty,
    );
    if !span.is_disabled() {
        (app.join_caller)(request.headers(), &span);
    }
    span
}

/// What every answer tells browsers. An answer of the API is kept by no cache, unless it says that it
/// may be, and is embedded by no page of another origin: it is never a script, so never JSONP.
async fn safe_headers(request: Request, next: Next) -> Response {
    let is_api = API.iter().any(|prefix| request.uri().path().starts_with(prefix));
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let nosniff = header::HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    let no_referrer = header::HeaderValue::from_static("no-referrer");
    headers.insert(header::REFERRER_POLICY, no_referrer);
    if is_api {
        let same_origin = header::HeaderValue::from_static("same-origin");
        headers.insert("cross-origin-resource-policy", same_origin);
        let no_store = header::HeaderValue::from_static("no-store");
        headers.entry(header::CACHE_CONTROL).or_insert(no_store);
    }
    response
}

/// Lets through who shows a token with the scope, with that token and the sites that it reaches.
async fn check_token(
    State((app, access)): State<(Arc<App>, Access)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut head, body) = request.into_parts();
    let client = app.client(peer_of(&head), &head.headers);
    if let Err(refusal) = app.admit_address(client).and_then(|()| refuse_cross_site(&head)) {
        return refusal.into_response();
    }
    if let Access::SiteTokenOrOrigin(scope) = access {
        match key_of(&app, &head.headers, scope) {
            Ok(key) => head.extensions.insert(key),
            Err(refusal) => return refusal.into_response(),
        };
        return next.run(Request::from_parts(head, body)).await;
    }
    let is_open = matches!(access, Access::SiteTokenOrDemo(_)) && demo::may_watch(&app, &head);
    let reach = if is_open {
        Reach::all()
    } else {
        match shown(&app, &head.headers, access) {
            Ok((reach, token)) => {
                head.extensions.insert(token);
                reach
            }
            Err(refusal) => return refusal.into_response(),
        }
    };
    head.extensions.insert(reach);
    next.run(Request::from_parts(head, body)).await
}

/// The sites that a request's token reaches.
pub(crate) fn authorize(app: &App, headers: &HeaderMap, access: Access) -> Result<Reach, Refusal> {
    shown(app, headers, access).map(|(reach, _)| reach)
}

/// The token that is shown, and the sites on which it may do this.
fn shown(app: &App, headers: &HeaderMap, access: Access) -> Result<(Reach, TokenInfo), Refusal> {
    let scope = access.scope().expect("asked for where a scope is");
    let token = token_of(app, headers, scope)?;
    Ok((reach_of(&token, scope, access)?, token))
}

fn token_help(scope: Scope) -> String {
    format!(
        "make one with beckon token create --scope {scope}, send it as Authorization: Bearer TOKEN"
    )
}

/// The valid token that is shown.
fn token_of(app: &App, headers: &HeaderMap, scope: Scope) -> Result<TokenInfo, Refusal> {
    let refuse = |code, message: String| {
        Refusal::new(StatusCode::UNAUTHORIZED, code, message, token_help(scope))
    };
    let shown = shown_token(headers).ok_or_else(|| {
        refuse("token_missing", format!("a token with the scope {scope} is needed"))
    })?;
    let unknown = || refuse("token_unknown", "the token is not known".to_owned());
    app.tokens.verify(&shown).ok_or_else(unknown)
}

/// The write key that a request stands for: that of its page's origin, or of the site of its token.
fn key_of(app: &App, headers: &HeaderMap, scope: Scope) -> Result<Arc<WriteKey>, Refusal> {
    let is_keyless = !headers.contains_key(header::AUTHORIZATION);
    let origin = origin_of(headers).filter(|_| is_keyless);
    let default = origin.and_then(|origin| app.sites.default_of(origin));
    let key = match default {
        Some(key) => key,
        None => {
            let token = token_of(app, headers, scope)?;
            reach_of(&token, scope, Access::SiteToken(scope))?;
            let site = token.site.as_deref();
            site.and_then(|site| app.sites.of_tokens(site)).ok_or_else(|| {
                let message = match site {
                    Some(site) => format!("the configuration has no site {site}"),
                    None => "the token is for all sites, an event is of one".to_owned(),
                };
                let help = "make one with beckon token create --site SITE --scope events:write";
                Refusal::new(StatusCode::FORBIDDEN, "other_site", message, help)
            })?
        }
    };
    app.admit_key(key)?;
    Ok(Arc::clone(key))
}

/// The sites on which a token may do this.
fn reach_of(token: &TokenInfo, scope: Scope, access: Access) -> Result<Reach, Refusal> {
    let refuse = |code, message: String| {
        Refusal::new(StatusCode::FORBIDDEN, code, message, token_help(scope))
    };
    let own_site = token.site.as_deref();
    if !token.grants(scope, own_site) {
        return Err(refuse("scope_missing", format!("the token has not the scope {scope}")));
    }
    match (access, own_site) {
        (Access::SiteToken(_) | Access::SiteTokenOrDemo(_) | Access::SiteVisit(_), _)
        | (_, None) => Ok(Reach::of(token)),
        (_, Some(site)) => {
            let message = format!("the token is for the site {site}, this concerns all sites");
            Err(refuse("other_site", message))
        }
    }
}

/// `Bearer TOKEN`, or the password of `Basic`.
fn shown_token(headers: &HeaderMap) -> Option<String> {
    let (scheme, rest) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok()?;
    let (_, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(password.to_owned())
}
