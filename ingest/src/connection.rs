//! One connection: served, watched, and closed when nobody uses it.
//!
//! The bounds of a request (`head_timeout_ms`, `body_timeout_ms`) say nothing of a connection
//! without one: a client that has sent no byte, an HTTP/2 client that only answers pings, one that
//! does not read its answers. So a connection is closed, gracefully, once it has had no request for
//! `idle_timeout_ms`, and dropped [`CLOSE_MAX`] later if it has not gone by then.
//!
//! A request is in progress while it is handled. An answer whose length is known is handed over
//! whole and its client has the idle time to take it; a stream (`/v1/live`) is in progress until it
//! ends. A request costs two atomic additions and a look at the clock; the task wakes by time only.

use axum::body::Body;
use axum::http::Response;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use hyper_util::server::graceful::GracefulConnection;
use std::fmt::Display;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a graceful close may take before the connection is dropped.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// The requests of one connection, counted to know when it is idle.
#[derive(Debug)]
pub(crate) struct Usage {
    opened: Instant,
    in_progress: AtomicUsize,
    /// When the last request ended, after `opened`.
    ended_ms: AtomicU64,
}

impl Usage {
    pub(crate) fn new(opened: Instant) -> Arc<Self> {
        Arc::new(Self { opened, in_progress: AtomicUsize::new(0), ended_ms: AtomicU64::new(0) })
    }

    pub(crate) fn begin(self: &Arc<Self>) -> InProgress {
        self.in_progress.fetch_add(1, Ordering::AcqRel);
        InProgress(Arc::clone(self))
    }

    fn end(&self, now: Instant) {
        self.ended_ms.fetch_max(millis(now - self.opened), Ordering::AcqRel);
        self.in_progress.fetch_sub(1, Ordering::AcqRel);
    }

    /// How long the connection is to be left alone, at least; `None` when its time is over.
    fn left(&self, now: Instant, idle_max: Duration) -> Option<Duration> {
        if self.in_progress.load(Ordering::Acquire) > 0 {
            return Some(idle_max);
        }
        let ended = self.opened + Duration::from_millis(self.ended_ms.load(Ordering::Acquire));
        let left = (ended + idle_max).saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Waits until the connection has had no request for `idle_max`.
    async fn idle(&self, idle_max: Duration) {
        while let Some(left) = self.left(Instant::now(), idle_max) {
            tokio::time::sleep(left).await;
        }
    }
}

/// Rounded up, so that no connection is closed early.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// A request in progress; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct InProgress(Arc<Usage>);

impl InProgress {
    /// Ends the request with its answer: now, or with the stream that the answer is.
    pub(crate) fn answered(self, response: Response<Body>) -> Response<Body> {
        if response.body().size_hint().exact().is_some() {
            return response;
        }
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let Self(_held) = &self;
                frame
            }))
        })
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.end(Instant::now());
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client, an error, or the server's shutdown.
    Done,
    /// It was idle for too long.
    Idle,
}

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    /// A request of HTTP/1.
    Http1,
    /// What may become the preface of HTTP/2.
    Unknown,
}

const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Waits for the first bytes of a connection and leaves them there. Who tells the versions apart by reading
/// them (`hyper_util`'s `auto`) hands them on in two parts, at which an HTTP/1 connection doubles the buffer
/// that it reads into: 8 KiB more for each of thousands of streams.
///
/// # Errors
/// How the connection ended instead.
pub(crate) async fn first_words(
    stream: &TcpStream,
    usage: &Usage,
    idle_max: Duration,
    stopped: &mut watch::Receiver<()>,
) -> Result<Words, End> {
    let mut bytes = [0; HTTP2_PREFACE.len()];
    let peeked = tokio::select! {
        peeked = stream.peek(&mut bytes) => peeked,
        () = usage.idle(idle_max) => return Err(End::Idle),
        // An error says that the server is gone, which is the same.
        _ = stopped.changed() => return Err(End::Done),
    };
    match peeked {
        Ok(0) | Err(_) => Err(End::Done),
        Ok(count) if HTTP2_PREFACE.starts_with(&bytes[..count]) => Ok(Words::Unknown),
        Ok(_) => Ok(Words::Http1),
    }
}

/// Serves a connection until it ends, is idle for `idle_max`, or the server stops. It comes in a box: moved
/// into this task as it is it would lie there three times, and thousands of them are open.
pub(crate) async fn serve<C>(
    mut connection: Pin<Box<C>>,
    usage: &Usage,
    idle_max: Duration,
    mut stopped: watch::Receiver<()>,
) -> End
where
    C: GracefulConnection,
    C::Error: Display,
{
    let end = tokio::select! {
        served = &mut connection => {
            log(served);
            return End::Done;
        }
        () = usage.idle(idle_max) => End::Idle,
        // An error says that the server is gone, which is the same.
        _ = stopped.changed() => End::Done,
    };
    connection.as_mut().graceful_shutdown();
    match end {
        End::Done => log(connection.await),
        End::Idle => match tokio::time::timeout(CLOSE_MAX, connection).await {
            Ok(served) => log(served),
            Err(_) => tracing::debug!("an idle connection was dropped"),
        },
    }
    end
}

fn log<E: Display>(served: Result<(), E>) {
    if let Err(error) = served {
        tracing::debug!(%error, "connection");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Bytes;
    use futures_util::stream;
    use std::convert::Infallible;

    const IDLE: Duration = Duration::from_secs(60);

    fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_idle_time_begins_with_the_connection_and_with_each_end() {
        let opened = Instant::now();
        let usage = Usage::new(opened);
        let left = |at: Duration| usage.left(opened + at, IDLE);
        assert_eq!(left(after(0)), Some(IDLE));
        assert_eq!(left(after(59)), Some(after(1)));
        assert_eq!(left(after(60)), None);
        usage.in_progress.fetch_add(2, Ordering::AcqRel);
        assert_eq!(left(after(600)), Some(IDLE), "in use");
        usage.end(opened + after(601));
        assert_eq!(left(after(700)), Some(IDLE), "another request is in progress");
        usage.end(opened + after(600));
        assert_eq!(left(after(660)), Some(after(1)), "the later end counts");
        assert_eq!(left(after(661)), None);
    }

    #[test]
    fn a_request_ends_with_its_answer_or_its_stream() {
        let usage = Usage::new(Instant::now());
        let in_progress = || usage.in_progress.load(Ordering::Acquire);
        let whole = usage.begin();
        assert_eq!(in_progress(), 1);
        let whole = whole.answered(Response::new(Body::from("all of it")));
        assert_eq!(in_progress(), 0);
        drop(whole);
        let frames = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"more"))]);
        let endless = usage.begin().answered(Response::new(Body::from_stream(frames)));
        assert_eq!(in_progress(), 1);
        drop(endless);
        assert_eq!(in_progress(), 0);
    }
}
