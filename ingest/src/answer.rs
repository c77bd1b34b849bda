//! What a request that was not served is told.
//!
//! Every error has the same body: `{"error":{"code", "message", "help"}}`. The code is for
//! programs and part of the API, the message says what was wrong, the help what to do.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use std::borrow::Cow;
use utoipa::ToSchema;

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) help: Cow<'static, str>,
    /// Seconds after which it is worth trying again.
    pub(crate) retry_after: Option<u32>,
}

/// The code of a refusal, kept with its response as an extension, so that it is counted and logged in
/// one place.
#[derive(Clone, Copy, Debug)]
pub struct RefusalCode(pub &'static str);

/// A request that was not served.
#[derive(Serialize, ToSchema)]
#[schema(as = Refusal)]
pub(crate) struct RefusalBody<'a> {
    error: Inner<'a>,
}

/// Why not.
#[derive(Serialize, ToSchema)]
#[schema(as = RefusalError)]
struct Inner<'a> {
    /// For programs.
    code: &'a str,
    /// What was wrong, in a sentence.
    message: &'a str,
    /// What to do.
    help: &'a str,
}

impl Refusal {
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
        help: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, code, message: message.into(), help: help.into(), retry_after: None }
    }

    /// 408, 429 or 503, to be tried again.
    pub(crate) fn later(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    pub(crate) fn not_found() -> Self {
        let help = "GET /openapi.json lists the routes";
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here", help)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        let help = "the server's log has more";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message, help)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = Inner { code: self.code, message: &self.message, help: &self.help };
        let body = RefusalBody { error };
        let mut response = json(self.status, &body);
        response.extensions_mut().insert(RefusalCode(self.code));
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let schemes = HeaderValue::from_static("Bearer, Basic realm=\"beckon\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, schemes);
        }
        response
    }
}

/// A JSON answer that no cache keeps.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => json_text(status, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// A JSON answer that was written before, and the end of its line, for who reads it in a terminal.
pub(crate) fn json_text(status: StatusCode, mut text: String) -> Response {
    text.push('\n');
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, text).into_response()
}

/// A JSON answer that is the same for all, until the server is another.
pub(crate) fn json_shared(text: Bytes) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")];
    (StatusCode::OK, headers, text).into_response()
}
