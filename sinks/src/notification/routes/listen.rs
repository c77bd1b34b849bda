//! `GET /v1/visits/{visitID}/notifications`: what is said to a page, as a stream or once.
//!
//! With `Accept: application/json` it is a long poll, else server-sent events. `?page=` names the page
//! that listens: without it nothing comes that is for a certain page.
//!
//! **Resume.** An event's id is its message's. A stream that names the last it has (`Last-Event-ID`)
//! gets what came behind that first, and then what is older and was acknowledged by nobody: that a page
//! got a message does not mean that it did something with it. A long poll with `?after=` waits for what
//! comes behind, and gives the older ones when its time is over.

use super::{Admitted, message_of, page_of};
use crate::answer::{Refusal, json_text};
use crate::notification::Said;
use crate::notification::message::Words;
use crate::notification::notifications::{Look, NoPlace, Notifications, Place};
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use beckon_engine::model::{MessageId, PageId};
use futures_util::stream;
use serde::Deserialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

/// Tells a browser how soon to come again, and a proxy that the stream goes on.
const GREETING: &[u8] = b"retry: 1000\n\n";
/// Written to a page at a time, unless one message is larger.
const CHUNK_BYTES: usize = 16 << 10;
const HEARTBEAT: &[u8] = b": still here\n\n";

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    page: Option<String>,
    after: Option<String>,
}

/// What a long poll is answered.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what is put together of texts")]
pub(super) struct Messages {
    messages: Vec<Words<'static>>,
}

/// The handler.
pub(super) async fn listen(
    State(notifications): State<Arc<Notifications>>,
    Extension(Admitted(key)): Extension<Admitted>,
    asked: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Query(asked) =
        asked.map_err(|error| Refusal::bad("bad_query", error.body_text(), "page, after, key"))?;
    let page = page_of(asked.page.as_deref())?;
    let place = notifications.listen(key).map_err(no_place)?;
    let listener = Listener { notifications, place, page };
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::ACCEPT).is_some_and(|accept| accept.contains("application/json")) {
        let after = asked.after.as_deref().and_then(message_of);
        return Ok(listener.poll(after).await);
    }
    let last = text(header::HeaderName::from_static("last-event-id")).and_then(message_of);
    Ok(listener.stream(last))
}

fn no_place(why: NoPlace) -> Refusal {
    let unavailable = |code, message| {
        let help = "notification.streams_max; try again after Retry-After seconds";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, code, message, help)
    };
    match why {
        NoPlace::All => unavailable("too_many_streams", "too many streams are open"),
        NoPlace::Closed => unavailable("ending", "the server ends"),
        NoPlace::Visit => {
            let help = "notification.visit_streams_max; close one of the visit's others";
            let message = "too many streams of this visit are open";
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many_streams", message, help)
        }
    }
}

/// A page that listens.
struct Listener {
    notifications: Arc<Notifications>,
    place: Place,
    page: Option<PageId>,
}

impl Listener {
    /// What is said behind a place, once there is something; nothing when it is time. `None`: the
    /// server ends.
    async fn next(&self, after: u64, until: Instant) -> Option<Vec<Said>> {
        loop {
            // What comes between the look and the sleep wakes it.
            let mut woken = pin!(self.place.wake.notified());
            woken.as_mut().enable();
            match self.notifications.look(&self.place, self.page.as_ref(), after) {
                Look::Closed => return None,
                Look::Said(said) if !said.is_empty() => return Some(said),
                Look::Said(_) => {}
            }
            if timeout_at(until, woken).await.is_err() {
                return Some(Vec::new());
            }
        }
    }

    async fn poll(self, after: Option<MessageId>) -> Response {
        let after = self.notifications.place_of(&self.place.key, after);
        let until = Instant::now() + Duration::from_millis(self.notifications.config.poll_ms_max);
        let mut said = self.next(after, until).await.unwrap_or_default();
        if said.is_empty() && after > 0 {
            // Time is over: what was given before and nobody acknowledged comes again.
            said = self.next(0, Instant::now()).await.unwrap_or_default();
        }
        let messages = said.iter().map(Said::json).collect::<Vec<_>>().join(",");
        json_text(StatusCode::OK, format!("{{\"messages\":[{messages}]}}"))
    }

    fn stream(self, last: Option<MessageId>) -> Response {
        let resumed = self.notifications.place_of(&self.place.key, last);
        let stream = Stream {
            listener: self,
            sent: 0,
            resumed: Some(resumed),
            is_greeted: false,
            next: VecDeque::new(),
        };
        let body = stream::unfold(stream, |mut stream| async move {
            let said = stream.next().await?;
            Some((Ok::<_, Infallible>(said), stream))
        });
        let headers =
            [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
        (headers, Body::from_stream(body)).into_response()
    }
}

/// A stream of server-sent events.
struct Stream {
    listener: Listener,
    /// The place of the last that was said.
    sent: u64,
    /// The place of the last that the page has from an earlier stream, until it was told the others.
    resumed: Option<u64>,
    is_greeted: bool,
    /// What was given to it and is not written yet: shares its texts with the hub and other streams.
    next: VecDeque<Said>,
}

impl Stream {
    /// The next bytes; `None` when the server ends.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.is_greeted {
            self.is_greeted = true;
            return Some(Bytes::from_static(GREETING));
        }
        if let Some(chunk) = self.chunk() {
            return Some(chunk);
        }
        let heartbeat = Duration::from_millis(self.listener.notifications.config.heartbeat_ms);
        let mut said = self.listener.next(self.sent, Instant::now() + heartbeat).await?;
        let Some(last) = said.iter().map(|said| said.place).max() else {
            return Some(Bytes::from_static(HEARTBEAT));
        };
        self.sent = last;
        if let Some(resumed) = self.resumed.take() {
            said.sort_by_key(|said| (said.place <= resumed, said.place));
        }
        self.next = said.into();
        self.chunk()
    }

    /// As much of what is next as is written at a time: a page that reads slowly has no copy of all of it.
    fn chunk(&mut self) -> Option<Bytes> {
        let mut chunk = self.next.pop_front()?.event();
        while chunk.len() < CHUNK_BYTES
            && let Some(said) = self.next.pop_front()
        {
            chunk.push_str(&said.event());
        }
        Some(chunk.into())
    }
}
