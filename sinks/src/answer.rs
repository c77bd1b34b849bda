//! Refusals, in the words of every other route: `{"error":{"code", "message", "help"}}`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use beckon_engine::log::Refused;
use serde::Serialize;

/// The code of a refusal, kept with its response for who counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusalCode(pub &'static str);

/// A request that is not served.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    help: &'static str,
}

impl Refusal {
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
        help: &'static str,
    ) -> Self {
        Self { status, code, message: message.into(), help }
    }

    pub(crate) fn bad(code: &'static str, message: impl Into<String>, help: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message, help)
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let code = match refused {
            Refused::Busy => "log_busy",
            Refused::LogFull => "log_full",
            Refused::DiskFull => "disk_full",
            Refused::Closed => "log_closed",
        };
        let help = "try again after Retry-After seconds; nothing of this request was taken";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, refused.to_string(), help)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error =
            serde_json::json!({ "code": self.code, "message": self.message, "help": self.help });
        let mut response = json(self.status, &serde_json::json!({ "error": error }));
        response.extensions_mut().insert(RefusalCode(self.code));
        let is_later =
            [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&self.status);
        if is_later {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(1));
        }
        response
    }
}

/// A JSON answer that no cache keeps.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    json_text(status, serde_json::to_string(body).expect("answers have a JSON form"))
}

/// The same of what was written before.
pub(crate) fn json_text(status: StatusCode, mut text: String) -> Response {
    text.push('\n');
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, text).into_response()
}
