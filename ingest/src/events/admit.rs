//! Who may write: keys, origins, and what browsers are told about them.
//!
//! A key comes from `Authorization: Bearer`, else from the envelope, else from `?key=`, else of a page from
//! its origin, where a site says so (`default_for_origin`). The first and
//! the third are known before the body and judged there; one in the envelope is judged once the body is
//! cut, before anything is read of an event. A key of the query that is refused is refused whatever an
//! envelope may show. So is a page whose head shows no key and whose origin is on no list: no browser
//! key lets it in, and a server key, which is a secret, has no place in a page's body.

use super::peer_of;
use crate::answer::Refusal;
use crate::app::App;
use crate::client::{is_local, is_loopback_origin, origin_of};
use crate::normalise::Sender;
use crate::sites::WriteKey;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts as Head};
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::Arc;
use url::form_urlencoded;

/// What browsers may send, and for how long they may believe it (Chromium's own bound).
const ALLOWED_HEADERS: &str = "authorization, content-type, content-encoding";
const PREFLIGHT_SECONDS: &str = "7200";

/// What the head of a request says of its sender.
#[derive(Debug)]
pub(crate) struct Door {
    pub(super) client: IpAddr,
    pub(super) origin: Option<String>,
    bearer: Option<Result<String, ()>>,
    query_key: Option<String>,
    is_local: bool,
}

impl Door {
    pub(crate) fn new(app: &App, head: &Head) -> Self {
        let peer = peer_of(head);
        let text = |name| head.headers.get(name).map(|value: &HeaderValue| value.to_str());
        let bearer = text(header::AUTHORIZATION).map(|value| {
            let (scheme, key) = value.map_err(drop)?.split_once(' ').ok_or(())?;
            scheme.eq_ignore_ascii_case("bearer").then(|| key.trim().to_owned()).ok_or(())
        });
        let query = head.uri.query().unwrap_or_default();
        let query_key = form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == "key")
            .map(|(_, value)| value.into_owned());
        let authority = head.uri.authority().map(|authority| authority.as_str());
        Self {
            client: app.client(peer, &head.headers),
            origin: text(header::ORIGIN).map(|origin| origin.unwrap_or("null").to_owned()),
            bearer,
            query_key,
            is_local: is_local(peer.0.ip(), &head.headers, authority),
        }
    }

    pub(crate) fn client(&self) -> IpAddr {
        self.client
    }

    pub(crate) fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// What stands behind `Bearer`.
    pub(crate) fn bearer(&self) -> Option<&str> {
        self.bearer.as_ref()?.as_deref().ok()
    }

    /// The key of who listens to a visit, whose `Authorization` is the visit's: that of the query, else
    /// what stands for none.
    pub(crate) fn key_of_listener(&self, app: &App) -> Result<Arc<WriteKey>, Refusal> {
        let Some(key) = &self.query_key else { return self.key_of_origin(app) };
        let Some(key) = app.sites.find(key) else { return Err(key_unknown()) };
        let is_allowed = |origin| key.sender == Sender::Server || key.allows(origin);
        if !self.origin.as_deref().is_none_or(is_allowed) {
            return Err(origin_refused("the origin is not on the key's list"));
        }
        app.admit_key(key)?;
        Ok(Arc::clone(key))
    }

    /// The key of the head, if there is one: of the `Authorization` header, else of the query.
    pub(super) fn key_of_head(&self, app: &App) -> Result<Option<Arc<WriteKey>>, Refusal> {
        match (&self.bearer, &self.query_key) {
            (None, None) => self.admit_keyless(app).map(|()| None),
            (Some(Ok(key)), _) | (None, Some(key)) => self.admit(app, key).map(Some),
            (Some(Err(())), _) => Err(unauthorized(
                "bad_authorization",
                "the Authorization header is not Bearer and a key",
            )),
        }
    }

    /// Lets a request whose key can only be in its envelope come as far as its body.
    fn admit_keyless(&self, app: &App) -> Result<(), Refusal> {
        match self.origin.as_deref().filter(|origin| !may_read(app, origin)) {
            None => Ok(()),
            Some(_) if app.demo.is_some() => Err(demo_is_local()),
            Some(_) => Err(on_no_list()),
        }
    }

    /// Every key that the request shows, wherever: none of them is kept.
    pub(super) fn shown_keys<'a>(&'a self, envelope: Option<&'a str>) -> [Option<&'a str>; 3] {
        let bearer = self.bearer.as_ref().and_then(|bearer| bearer.as_deref().ok());
        [bearer, envelope, self.query_key.as_deref()]
    }

    /// The key that counts, now that the envelope is known; without any, that of the page's origin, or the
    /// demo's, for this machine.
    pub(super) fn key_of_batch(
        &self,
        app: &App,
        of_head: Option<Arc<WriteKey>>,
        envelope: Option<&str>,
    ) -> Result<Arc<WriteKey>, Refusal> {
        // One of the envelope goes before one of the query; the same one is not judged again.
        let is_other = self.bearer.is_none() && envelope != self.query_key.as_deref();
        if let Some(key) = envelope.filter(|_| is_other) {
            return self.admit(app, key);
        }
        if let Some(key) = of_head {
            return Ok(key);
        }
        self.key_of_origin(app)
    }

    /// The default key of the page's origin, else the demo's, for this machine.
    fn key_of_origin(&self, app: &App) -> Result<Arc<WriteKey>, Refusal> {
        if let Some(key) = self.origin.as_deref().and_then(|origin| app.sites.default_of(origin)) {
            app.admit_key(key)?;
            return Ok(Arc::clone(key));
        }
        let Some(demo) = &app.demo else {
            return Err(unauthorized("key_missing", "no write key was shown"));
        };
        if !self.is_local || self.origin.as_deref().is_some_and(|o| !is_loopback_origin(o)) {
            return Err(demo_is_local());
        }
        app.admit_key(demo)?;
        Ok(Arc::clone(demo))
    }

    fn admit(&self, app: &App, key: &str) -> Result<Arc<WriteKey>, Refusal> {
        let Some(key) = app.sites.find(key) else { return Err(key_unknown()) };
        if key.sender == Sender::Browser
            && !self.origin.as_deref().is_some_and(|origin| key.allows(origin))
        {
            return Err(origin_refused(match &self.origin {
                Some(_) => "the origin is not on the key's list",
                None => "a browser key needs an Origin header",
            }));
        }
        app.admit_key(key)?;
        Ok(Arc::clone(key))
    }
}

fn origin_refused(message: &str) -> Refusal {
    let help = "add the page's origin to the key's origins, or use a server key";
    Refusal::new(StatusCode::FORBIDDEN, "origin_refused", message, help)
}

fn key_unknown() -> Refusal {
    unauthorized("key_unknown", "the write key is not known")
}

fn unauthorized(code: &'static str, message: &str) -> Refusal {
    let help = "show a write key: Authorization: Bearer KEY, the envelope's key, or ?key=KEY";
    Refusal::new(StatusCode::UNAUTHORIZED, code, message, help)
}

fn demo_is_local() -> Refusal {
    let help = "open the demo by http://localhost, on this machine, without a proxy";
    let message = "the demo takes events without a key from this machine only";
    Refusal::new(StatusCode::FORBIDDEN, "demo_is_local", message, help)
}

fn on_no_list() -> Refusal {
    let message = "the origin is on no key's list";
    let help = "add the page's origin to a browser key's origins";
    Refusal::new(StatusCode::FORBIDDEN, "origin_refused", message, help)
}

/// Whether a page of this origin may read answers at all.
fn may_read(app: &App, origin: &str) -> bool {
    app.sites.any_allows(origin) || (app.demo.is_some() && is_loopback_origin(origin))
}

/// Lets a listed origin read the answer; every answer varies by origin, so that no cache gives one
/// origin's to another. Credentials are never allowed: keys do not travel in cookies.
pub(crate) fn add_cors(app: &App, origin: Option<&str>, headers: &mut HeaderMap) {
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin.filter(|origin| may_read(app, origin)) else { return };
    if let Ok(origin) = HeaderValue::from_str(origin) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers
            .insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
    }
}

/// `OPTIONS /v1/events`: answered for an origin on any key's list, within the address's rate.
pub(crate) async fn preflight(State(app): State<Arc<App>>, request: Request) -> Response {
    preflight_of(&app, request, ("POST", ALLOWED_HEADERS))
}

/// The answer to a preflight, where pages may use these methods and headers.
pub(crate) fn preflight_of(
    app: &Arc<App>,
    request: Request,
    (methods, headers): (&'static str, &'static str),
) -> Response {
    let (request, _) = request.into_parts();
    let origin = origin_of(&request.headers);
    let admitted = app.admit_address(app.client(peer_of(&request), &request.headers));
    let mut response = match (admitted, origin) {
        (Err(refusal), _) => refusal.into_response(),
        (Ok(()), Some(origin)) if may_read(app, origin) => {
            let allowed = [
                (header::ACCESS_CONTROL_ALLOW_METHODS, methods),
                (header::ACCESS_CONTROL_ALLOW_HEADERS, headers),
                (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS),
            ];
            (StatusCode::NO_CONTENT, allowed).into_response()
        }
        _ => on_no_list().into_response(),
    };
    add_cors(app, origin, response.headers_mut());
    response
}
