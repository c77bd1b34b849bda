//! Reads a request's body under its bounds.
//!
//! A few kilobytes may become megabytes before anything in them says whose they are. So every further
//! 64 KiB that a stranger's body has when it is inflated take a request from the rate of the
//! stranger's address: inflating for an address has the bound that its requests have.

use crate::answer::Refusal;
use crate::app::App;
use crate::body::{Encoding, InflateError, inflate};
use crate::memory::Reservation;
use axum::body::Body;
use axum::http::{StatusCode, header, request::Parts as Head};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A body in memory, with its part of what bodies may take.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) bytes: Bytes,
    _memory: Reservation,
}

/// Reads and inflates. `stranger` is who has shown no secret yet.
pub(crate) async fn read(
    app: &Arc<App>,
    head: &Head,
    body: Body,
    stranger: Option<IpAddr>,
) -> Result<Whole, Refusal> {
    let length = head.headers.get(header::CONTENT_LENGTH).and_then(|text| text.to_str().ok());
    let said: usize = length.and_then(|text| text.parse().ok()).unwrap_or(0);
    if said > app.limits.body_bytes_max {
        return Err(too_large("body_too_large", "limits.body_bytes_max"));
    }
    let mut memory = app.memory.reserve_nothing();
    if !memory.grow(said) {
        return Err(no_memory(app));
    }
    let deadline = Duration::from_millis(app.limits.body_timeout_ms);
    let frames = frames(app, body, said, &mut memory);
    let bytes = match tokio::time::timeout(deadline, frames).await {
        Ok(read) => read?,
        Err(_) => {
            let message = "the body took too long";
            let help = "limits.body_timeout_ms";
            let refusal = Refusal::new(StatusCode::REQUEST_TIMEOUT, "timeout", message, help);
            return Err(refusal.later(app.limits.retry_after_seconds));
        }
    };
    app.metrics.body(bytes.len());
    let encoding = head.headers.get(header::CONTENT_ENCODING).map(|value| value.to_str());
    let encoding = match encoding {
        Some(Err(_)) => None,
        Some(Ok(name)) => Encoding::of(Some(name), &bytes),
        None => Encoding::of(None, &bytes),
    };
    match encoding {
        Some(Encoding::Identity) => Ok(Whole { bytes, _memory: memory }),
        Some(encoding) => inflate_apart(app, (encoding, bytes), memory, stranger).await,
        None => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unknown_encoding",
            "the content encoding is not known",
            "use gzip, zstd or br, or none",
        )),
    }
}

/// Collects the frames. The first frame of a small body is the body, without a copy.
async fn frames(
    app: &App,
    mut body: Body,
    reserved: usize,
    memory: &mut Reservation,
) -> Result<Bytes, Refusal> {
    let mut first: Option<Bytes> = None;
    let mut whole = BytesMut::new();
    let mut length = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let help = "send the body again";
            Refusal::new(StatusCode::BAD_REQUEST, "body_broken", error.to_string(), help)
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let before = length.max(reserved);
        length += data.len();
        if length > app.limits.body_bytes_max {
            return Err(too_large("body_too_large", "limits.body_bytes_max"));
        }
        if !memory.grow(length.saturating_sub(before)) {
            return Err(no_memory(app));
        }
        match first.take() {
            None if whole.is_empty() => first = Some(data),
            None => whole.extend_from_slice(&data),
            Some(before) => {
                whole.reserve(reserved.max(length));
                whole.extend_from_slice(&before);
                whole.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| whole.freeze()))
}

/// Inflating takes milliseconds of processor for a large body: not on the threads that serve.
async fn inflate_apart(
    app: &Arc<App>,
    (encoding, body): (Encoding, Bytes),
    memory: Reservation,
    stranger: Option<IpAddr>,
) -> Result<Whole, Refusal> {
    let shared = Arc::clone(app);
    let task = tokio::task::spawn_blocking(move || {
        inflate_paid(&shared, (encoding, &body), memory, stranger)
    });
    task.await.unwrap_or_else(|_| Err(Refusal::internal("inflating the body failed")))
}

fn inflate_paid(
    app: &App,
    (encoding, body): (Encoding, &[u8]),
    mut memory: Reservation,
    stranger: Option<IpAddr>,
) -> Result<Whole, Refusal> {
    let mut is_first = true;
    let mut over_rate = None;
    let inflated = inflate(encoding, body, app.limits.decompressed_bytes_max, |bytes| {
        // The request itself has paid for the first of them.
        let paid_by = stranger.filter(|_| !std::mem::take(&mut is_first));
        over_rate = paid_by.and_then(|client| app.admit_address(client).err());
        over_rate.is_none() && memory.grow(bytes)
    });
    if let Some(refusal) = over_rate {
        return Err(refusal);
    }
    match inflated {
        Ok(bytes) => Ok(Whole { bytes: bytes.into(), _memory: memory }),
        Err(InflateError::TooLarge(_)) => {
            Err(too_large("decompressed_body_too_large", "limits.decompressed_bytes_max"))
        }
        Err(InflateError::NoMemory) => Err(no_memory(app)),
        Err(error @ InflateError::Damaged(_)) => {
            let help = "check the Content-Encoding header";
            Err(Refusal::new(StatusCode::BAD_REQUEST, "not_compressed", error.to_string(), help))
        }
    }
}

fn too_large(code: &'static str, help: &'static str) -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, code, "the body is too large", help)
}

fn no_memory(app: &App) -> Refusal {
    app.unavailable("too_many_bytes", "too many bytes of requests are in memory")
}
