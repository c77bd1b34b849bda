//! A request's body that is read on after it was refused.
//!
//! A refusal comes early, often before the body. A socket that is closed over unread bytes is reset,
//! and a client that is still sending fails at the write and never reads the answer. So what a
//! handler leaves of a body is read and dropped behind the answer, on a task of its own, while the
//! answer goes out at once; then the connection goes on. No more than [`LINGER_BYTES_MAX`] are read,
//! and not for longer than any body may take (`limits.body_timeout_ms` from the request on); over
//! that the connection is closed, counted.
//!
//! HTTP/1 only: HTTP/2 ends a stream without its neighbours. A client that waits for `100 Continue`
//! has sent nothing yet, and is told not to.

use axum::body::Bytes;
use axum::http::{Request, Version, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::runtime::Handle;
use tokio::time::Instant;

/// Bytes of one refused body that are read and dropped.
pub(crate) const LINGER_BYTES_MAX: usize = 16 << 20;

/// A body that is read to its end behind the answer, if the handler does not.
#[derive(Debug)]
pub(crate) struct Lingering<B: Body<Data = Bytes> + Send + Unpin + 'static> {
    /// None once the end, or an error, has been read.
    body: Option<B>,
    /// None where nobody waits for the rest to be read.
    until: Option<Instant>,
    /// Bodies of which a rest was left.
    cut_off: Counter,
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Lingering<B> {
    /// Puts the body of a request into one that lingers until `deadline` at the most.
    pub(crate) fn wrap(request: Request<B>, deadline: Instant, cut_off: Counter) -> Request<Self> {
        let is_http_1 = request.version() < Version::HTTP_2;
        let waits = request.headers().contains_key(header::EXPECT);
        let until = (is_http_1 && !waits).then_some(deadline);
        request.map(|body| Self { body: Some(body), until, cut_off })
    }
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Body for Lingering<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Drop for Lingering<B> {
    fn drop(&mut self) {
        let Some(until) = self.until else { return };
        let rest = self.body.take().filter(|body| !body.is_end_stream());
        // Without a runtime the process ends, and the connection with it.
        if let (Some(rest), Ok(runtime)) = (rest, Handle::try_current()) {
            let cut_off = self.cut_off.clone();
            runtime.spawn(async move {
                let drained = tokio::time::timeout_at(until, drain(rest, LINGER_BYTES_MAX));
                if drained.await != Ok(true) {
                    cut_off.inc();
                }
            });
        }
    }
}

/// Reads up to `bytes_max`; says whether that was all.
async fn drain(mut body: impl Body<Data = Bytes> + Unpin, bytes_max: usize) -> bool {
    let mut left = bytes_max;
    while let Some(Ok(frame)) = body.frame().await {
        let read = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(read) {
            Some(rest) => left = rest,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http_body_util::StreamBody;
    use std::convert::Infallible;

    #[tokio::test]
    async fn a_rest_is_read_up_to_the_bound() {
        let drained = async |frames: usize, bytes_max: usize| {
            let frame = || Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; 10])));
            let mut left = frames;
            let frames = stream::iter(std::iter::from_fn(|| {
                left = left.checked_sub(1)?;
                Some(frame())
            }));
            (drain(StreamBody::new(frames), bytes_max).await, left)
        };
        assert_eq!(drained(10, 100).await, (true, 0));
        assert_eq!(drained(11, 100).await, (false, 0));
        assert_eq!(drained(1_000, 100).await, (false, 1_000 - 11));
    }
}
