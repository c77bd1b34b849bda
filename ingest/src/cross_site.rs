//! Requests with a password that another site's page may have made.
//!
//! A browser that was told a `Basic` password once sends it with whatever any page asks for. So a request
//! with `Basic` must not come from a page of another origin, and one that writes must be
//! `application/json`, which no form and no simple request of a page is. (A `Bearer` token is sent by who
//! holds it only.)

use crate::answer::Refusal;
use crate::client::host_of;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header, request::Parts as Head};

/// Refuses what a page of another origin asks for with the browser's password.
///
/// # Errors
/// 403 for a request of another origin, 415 for one that writes and is no JSON.
pub(crate) fn refuse_cross_site(head: &Head) -> Result<(), Refusal> {
    if !has_basic(&head.headers) {
        return Ok(());
    }
    if is_cross_site(&head.headers, &head.uri) {
        let message = "a page of another origin asks with the browser's password";
        let help = "send the token as Authorization: Bearer TOKEN";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "cross_site", message, help));
    }
    let only_reads = matches!(head.method, Method::GET | Method::HEAD);
    if only_reads || is_json(&head.headers) {
        return Ok(());
    }
    let message = "a request that writes with Basic must be application/json";
    let help = "send Content-Type: application/json, or the token as Authorization: Bearer TOKEN";
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "json_needed", message, help))
}

fn has_basic(headers: &HeaderMap) -> bool {
    let scheme = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    scheme.is_some_and(|text| text.get(..5).is_some_and(|it| it.eq_ignore_ascii_case(b"basic")))
}

/// By `Sec-Fetch-Site`, which all browsers of today send, else by `Origin`, which others send with what
/// writes.
fn is_cross_site(headers: &HeaderMap, uri: &Uri) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return !matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let host = host_of(headers, uri.authority().map(|authority| authority.as_str()));
    let of_origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    match (of_origin, host) {
        (Some((_, of_origin)), Some(host)) => !of_origin.eq_ignore_ascii_case(host),
        _ => true,
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    #[track_caller]
    fn check(method: &str, headers: &[(&str, &str)], expected: Option<u16>) {
        let mut request = Request::builder().method(method).uri("/v1/rules");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        let said = refuse_cross_site(&head).err().map(|refusal| refusal.status.as_u16());
        assert_eq!(said, expected, "{method} {headers:?}");
    }

    #[test]
    fn a_browsers_password_is_taken_from_its_own_pages_only() {
        let basic = ("authorization", "bAsIc eDp5");
        let (host, json) = (("host", "a.example:7700"), ("content-type", "application/json; x=y"));
        check("GET", &[basic], None);
        check("GET", &[basic, ("sec-fetch-site", "none")], None);
        check("POST", &[basic, json, ("sec-fetch-site", "same-origin")], None);
        for site in ["cross-site", "same-site", "what"] {
            check("GET", &[basic, ("sec-fetch-site", site)], Some(403));
        }
        check("POST", &[basic, json, host, ("origin", "http://A.example:7700")], None);
        for origin in ["http://a.example", "null", "https://b.example:7700", "\u{fc}"] {
            check("POST", &[basic, json, host, ("origin", origin)], Some(403));
        }
        check("POST", &[basic, json, ("origin", "http://a.example")], Some(403));
        check("POST", &[("authorization", "Bearer x"), ("sec-fetch-site", "cross-site")], None);
    }

    #[test]
    fn what_writes_with_a_password_is_json() {
        let basic = ("authorization", "Basic eDp5");
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
            check("PUT", &[basic, ("content-type", kind)], Some(415));
        }
        check("DELETE", &[basic], Some(415));
        check("DELETE", &[("authorization", "Bearer x")], None);
        check("HEAD", &[basic], None);
    }
}
