//! The server: listens, bounds connections, drains.
//!
//! An own accept loop instead of `axum::serve`, because that one bounds neither connections nor the
//! time for a request's head. A connection over the limit is told 503 and closed; so are a bounded
//! number at a time, and the others are closed at once. [`connection`] closes the idle ones.

use crate::app::{App, Parts, Peer, ServerConfig, ServerError};
use crate::connection::{self, End, Usage, Words, first_words};
use crate::linger::Lingering;
use crate::normalise::UserAgents;
use crate::routes::{self, Access};
use crate::table::{Route, table};
use crate::tls;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt as _;

/// How long open requests may take once the server shuts down.
const DRAIN_MAX: Duration = Duration::from_secs(20);
/// After a failed accept (no file descriptors left) the loop rests.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// Connections over the limit that are told so at the same time, and for how long.
const REFUSALS_MAX: usize = 64;
const LINGER_MAX: Duration = Duration::from_secs(1);
const STREAMS_MAX: u32 = 128;
/// What an HTTP/1 connection reads ahead, in memory that no body has reserved; so much may the head
/// of a request have, and what comes in one read with its end as much again (431).
const READ_AHEAD_BYTES_MAX: usize = 64 << 10;

/// The HTTP side of Beckon.
#[derive(Clone)]
pub struct Server {
    app: Arc<App>,
    tls: Option<TlsAcceptor>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

impl Server {
    /// Checks the configuration and puts the parts together.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn new(config: &ServerConfig, parts: Parts) -> Result<Self, ServerError> {
        let tls = config.tls.clone().map(tls::acceptor).transpose()?;
        let app = Arc::new(App::new(config, parts)?);
        UserAgents::prepare();
        Ok(Self { app, tls })
    }

    /// Method, path and access of every route.
    #[must_use]
    pub fn routes(&self) -> Vec<(Method, &'static str, Access)> {
        let said = |route: Route| (route.method, route.path, route.access);
        table(&self.app).into_iter().map(said).collect()
    }

    /// The routes, for tests without a socket; requests carry a [`Peer`] as an extension.
    pub fn router(&self) -> Router {
        routes::router(&self.app)
    }

    /// Serves until `shutdown` is done, then answers what is open and returns.
    ///
    /// # Errors
    /// When the listener's address cannot be read.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        let address = listener.local_addr()?;
        if self.tls.is_some() {
            tracing::info!("by TLS alone");
        }
        tracing::info!(%address, "listening");
        let router = self.router();
        let (stop, stopped) = watch::channel(());
        let connections = Arc::new(Semaphore::new(self.app.limits.connections_max));
        let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
        tokio::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match Arc::clone(&connections).try_acquire_owned() {
                    Ok(permit) => {
                        let stopped = stopped.clone();
                        self.spawn(&router, Accepted { stream, peer, permit, stopped });
                    }
                    Err(_) => self.spawn_refusal(stream, &refusals),
                },
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
        drop(listener);
        self.app.drain();
        drop((stopped, stop.send(())));
        if tokio::time::timeout(DRAIN_MAX, stop.closed()).await.is_err() {
            tracing::warn!("connections were still open at the end of the drain");
        }
        self.app.refusals.end();
        Ok(())
    }

    /// A connection over the limit; beyond [`REFUSALS_MAX`] it is closed without a word.
    fn spawn_refusal(&self, stream: TcpStream, refusals: &Arc<Semaphore>) {
        self.app.metrics.connections_refused.inc();
        self.app.refusals.refused("too_many_connections");
        // Behind TLS nothing can be said without a handshake, which is dear.
        if self.tls.is_none() {
            refuse_apart(stream, refusals, self.app.limits.retry_after_seconds);
        }
    }

    fn spawn(&self, router: &Router, accepted: Accepted) {
        let Accepted { stream, peer, permit, mut stopped } = accepted;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "nodelay");
        }
        let (server, router) = (self.clone(), router.clone());
        tokio::spawn(async move {
            let _permit = permit;
            server.app.metrics.connections.inc();
            match &server.tls {
                None => {
                    let (usage, idle_max) = (Usage::new(Instant::now()), server.idle_max());
                    match first_words(&stream, &usage, idle_max, &mut stopped).await {
                        Ok(words) => {
                            let stream = (stream, words);
                            let served =
                                server.connection(stream, (router, peer), (usage, stopped));
                            Box::pin(served).await;
                        }
                        Err(End::Idle) => drop(server.app.metrics.connections_idle.inc()),
                        Err(End::Done) => {}
                    }
                }
                Some(tls) => {
                    // Boxed, so that a connection without TLS takes no room for its handshake.
                    let hands = Box::pin(server.shake_hands(tls, stream));
                    if let Some(stream) = hands.await {
                        let stream = (stream, Words::Unknown);
                        let usage = Usage::new(Instant::now());
                        let served = server.connection(stream, (router, peer), (usage, stopped));
                        Box::pin(served).await;
                    }
                }
            }
            server.app.metrics.connections.dec();
        });
    }

    /// A handshake has the time of a request's head.
    async fn shake_hands(
        &self,
        tls: &TlsAcceptor,
        stream: TcpStream,
    ) -> Option<TlsStream<TcpStream>> {
        let head_timeout = Duration::from_millis(self.app.limits.head_timeout_ms);
        match tokio::time::timeout(head_timeout, tls.accept(stream)).await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
        self.app.metrics.tls_handshakes_failed.inc();
        None
    }

    fn idle_max(&self) -> Duration {
        Duration::from_millis(self.app.limits.idle_timeout_ms)
    }

    /// How connections that begin so are served.
    fn builder(&self, words: Words) -> auto::Builder<TokioExecutor> {
        let limits = &self.app.limits;
        let mut builder = auto::Builder::new(TokioExecutor::new());
        let head_timeout = Duration::from_millis(limits.head_timeout_ms);
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(head_timeout)
            .max_buf_size(READ_AHEAD_BYTES_MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .keep_alive_interval(head_timeout);
        match words {
            Words::Http1 => builder.http1_only(),
            Words::Unknown => builder,
        }
    }

    /// Serves one connection to its end.
    async fn connection<S>(
        &self,
        (stream, words): (S, Words),
        (router, peer): (Router, SocketAddr),
        (usage, stopped): (Arc<Usage>, watch::Receiver<()>),
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let counted = Arc::clone(&usage);
        let body_timeout = Duration::from_millis(self.app.limits.body_timeout_ms);
        let cut_off = self.app.metrics.bodies_cut_off.clone();
        let service = tower::service_fn(move |request: Request<Incoming>| {
            let in_progress = counted.begin();
            let deadline = Instant::now() + body_timeout;
            let request = Lingering::wrap(request, deadline, cut_off.clone());
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer));
            let answered = router.clone().oneshot(request);
            async move { answered.await.map(|response| in_progress.answered(response)) }
        });
        let service = TowerToHyperService::new(service);
        let builder = self.builder(words);
        let served = Box::pin(builder.serve_connection(TokioIo::new(stream), service).into_owned());
        // It would wait with the connection for its end.
        drop(builder);
        let end = connection::serve(served, &usage, self.idle_max(), stopped).await;
        if end == End::Idle {
            self.app.metrics.connections_idle.inc();
        }
    }
}

/// A connection within the limit.
struct Accepted {
    stream: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
    stopped: watch::Receiver<()>,
}

/// Refuses on a task of its own while `refusals` has room; else closes at once.
fn refuse_apart(stream: TcpStream, refusals: &Arc<Semaphore>, retry_after: u32) {
    if let Ok(permit) = Arc::clone(refusals).try_acquire_owned() {
        tokio::spawn(async move {
            refuse(stream, retry_after).await;
            drop(permit);
        });
    }
}

/// Says 503 into a connection over the limit, and lingers until the client has read it: a socket
/// closed over unread bytes is reset, and the answer lost with it.
async fn refuse(mut stream: TcpStream, retry_after: u32) {
    let body = "{\"error\":{\"code\":\"too_many_connections\",\"message\":\"too many connections\",\
                \"help\":\"limits.connections_max\"}}";
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: \
         {retry_after}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let linger = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    match tokio::time::timeout(LINGER_MAX, linger).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a refused connection"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flood of connections costs no more tasks than there is room for.
    #[tokio::test]
    async fn beyond_the_refusals_a_connection_is_closed_without_a_word() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let refusals = Arc::new(Semaphore::new(1));
        // The first is told and lingers, for its client has not gone.
        let mut told = TcpStream::connect(address).await.expect("listening");
        let (stream, _) = listener.accept().await.expect("connected");
        refuse_apart(stream, &refusals, 1);
        let mut closed = TcpStream::connect(address).await.expect("listening");
        let (stream, _) = listener.accept().await.expect("connected");
        refuse_apart(stream, &refusals, 1);
        let mut text = String::new();
        closed.read_to_string(&mut text).await.expect("closed");
        assert_eq!(text, "");
        told.read_to_string(&mut text).await.expect("told");
        assert!(text.starts_with("HTTP/1.1 503"), "{text}");
    }
}
