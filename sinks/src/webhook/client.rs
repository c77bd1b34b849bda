//! One attempt over HTTP: look the name up, judge the address, connect to that one, ask, read the status.
//!
//! A connection for each attempt: what is connected to was judged a moment ago, and nothing of one
//! endpoint's answers reaches another's. Of an answer the status and `Retry-After` count; its body is read
//! up to [`ANSWER_BYTES_MAX`] so that the other end sees an orderly end, and thrown away.

use super::WebhookError;
use super::config::{Checked, EndpointConfig, policy_of};
use super::queue::{Job, Verdict};
use beckon_engine::model::ServerTimeMs;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, LOCATION, RETRY_AFTER, USER_AGENT};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::fmt::rfc2822::DateTimeParser;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// The most of an answer's body that is read.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// How long it may take.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// The most of an answer's head that is read.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 4;
const AGENT: &str = concat!("beckon/", env!("CARGO_PKG_VERSION"));

/// The addresses of a name.
pub(super) type Found = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
/// Looks a name up.
pub(super) type Resolve = Arc<dyn Fn(String, u16) -> Found + Send + Sync>;

/// Asks the system.
pub(super) fn system_resolver() -> Resolve {
    Arc::new(|host, port| {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    })
}

/// An endpoint and how it is reached.
struct Target {
    endpoint: Checked,
    tls: TlsConnector,
}

/// Makes attempts.
pub(super) struct Client {
    targets: BTreeMap<String, Target>,
    resolve: Resolve,
    timeout: Duration,
    /// Instead of the policies, in tests that have loopback alone.
    admits: Option<fn(IpAddr) -> bool>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("targets", &self.targets.keys()).finish_non_exhaustive()
    }
}

/// Why there is no answer, in a word.
type Reason = &'static str;

impl Client {
    pub(super) fn new(
        endpoints: &BTreeMap<String, EndpointConfig>,
        timeout_ms: u64,
        resolve: Resolve,
    ) -> Result<Self, WebhookError> {
        let target = |(name, config): (&String, &EndpointConfig)| {
            let endpoint = config.checked(name)?;
            let tls = connector(config.authority.as_deref()).map_err(|message| {
                WebhookError::config(format!(".endpoints.{name}.authority"), message)
            })?;
            Ok((name.clone(), Target { endpoint, tls }))
        };
        let targets = endpoints.iter().map(target).collect::<Result<_, WebhookError>>()?;
        Ok(Self { targets, resolve, timeout: Duration::from_millis(timeout_ms), admits: None })
    }

    /// Judges addresses by this alone.
    #[cfg(test)]
    pub(super) fn admitting(self, admits: fn(IpAddr) -> bool) -> Self {
        Self { admits: Some(admits), ..self }
    }

    /// Makes an attempt.
    pub(super) async fn call(&self, job: &Job, now: ServerTimeMs) -> Verdict {
        let failed =
            |reason: Reason| Verdict::Failed { reason: reason.into(), retry_after_ms: None };
        let Some(target) = self.targets.get(&*job.endpoint) else { return failed("no_endpoint") };
        match tokio::time::timeout(self.timeout, self.follow(target, job, now)).await {
            Ok(Ok(response)) => {
                let verdict = verdict_of(response.status(), response.headers(), now);
                read_on(response.into_body()).await;
                verdict
            }
            Ok(Err(reason)) => failed(reason),
            Err(_) => failed("timeout"),
        }
    }

    /// Asks, and asks where it is sent to, each time by an address that was judged.
    async fn follow(
        &self,
        target: &Target,
        job: &Job,
        now: ServerTimeMs,
    ) -> Result<Response<Incoming>, Reason> {
        let mut url = target.endpoint.url.clone();
        for _ in 0..=target.endpoint.redirects_max {
            let response = self.ask(target, &url, (job, now)).await?;
            // The others ask for a GET, which says nothing.
            let is_sent_on = [StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT]
                .contains(&response.status());
            if !is_sent_on || target.endpoint.redirects_max == 0 {
                return Ok(response);
            }
            let location = response.headers().get(LOCATION).and_then(|it| it.to_str().ok());
            let next = location.and_then(|it| url.join(it).ok()).ok_or("redirect_refused")?;
            // What was encrypted stays so.
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err("redirect_refused");
            }
            url = next;
        }
        Err("too_many_redirects")
    }

    async fn ask(
        &self,
        target: &Target,
        url: &Url,
        (job, now): (&Job, ServerTimeMs),
    ) -> Result<Response<Incoming>, Reason> {
        let stream = self.connect(target, url).await?;
        let request = request(target, url, (job, now))?;
        if url.scheme() == "http" {
            return send(stream, request).await;
        }
        let host = match url.host().ok_or("redirect_refused")? {
            Host::Domain(name) => {
                ServerName::try_from(name.to_owned()).map_err(|_| "tls_failed")?
            }
            Host::Ipv4(address) => ServerName::IpAddress(IpAddr::V4(address).into()),
            Host::Ipv6(address) => ServerName::IpAddress(IpAddr::V6(address).into()),
        };
        let stream = target.tls.connect(host, stream).await.map_err(|_| "tls_failed")?;
        send(stream, request).await
    }

    /// Connects to an address of the host that may be called.
    async fn connect(&self, target: &Target, url: &Url) -> Result<TcpStream, Reason> {
        let policy = policy_of(url, target.endpoint.allow_private).ok_or("redirect_refused")?;
        let port = url.port_or_known_default().ok_or("redirect_refused")?;
        let found = match url.host().ok_or("redirect_refused")? {
            Host::Ipv4(address) => vec![SocketAddr::from((address, port))],
            Host::Ipv6(address) => vec![SocketAddr::from((address, port))],
            Host::Domain(name) => {
                (self.resolve)(name.to_owned(), port).await.map_err(|_| "name_unknown")?
            }
        };
        let admits = |address: &SocketAddr| match self.admits {
            Some(admits) => admits(address.ip()),
            None => policy.admits(address.ip()),
        };
        let mut reason = if found.is_empty() { "name_unknown" } else { "address_refused" };
        for address in found.into_iter().filter(admits).take(ADDRESSES_MAX) {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(_) => reason = "not_connected",
            }
        }
        Err(reason)
    }
}

fn request(
    target: &Target,
    url: &Url,
    (job, now): (&Job, ServerTimeMs),
) -> Result<Request<Full<Bytes>>, Reason> {
    let timestamp_s = now.0.div_euclid(1_000);
    let signature = target.endpoint.signer.sign(&job.webhook_id, timestamp_s, &job.body);
    let host = url.host_str().ok_or("redirect_refused")?;
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let query = url.query().map_or_else(String::new, |query| format!("?{query}"));
    Request::post(format!("{}{query}", url.path()))
        .header(HOST, host)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, AGENT)
        .header("webhook-id", &job.webhook_id)
        .header("webhook-timestamp", timestamp_s)
        .header("webhook-signature", signature)
        .body(Full::new(Bytes::copy_from_slice(job.body.as_bytes())))
        .map_err(|_| "redirect_refused")
}

/// Sends a request on a connection of its own.
async fn send<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Reason>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let handshake =
        http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|_| "broken_off")?;
    // It ends when the answer is dropped.
    drop(tokio::spawn(connection));
    sender.send_request(request).await.map_err(|_| "broken_off")
}

/// Reads what an answer says beside its status, within bounds, for the sake of the other end.
async fn read_on(mut body: Incoming) {
    let mut bytes = 0;
    let read = async {
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > ANSWER_BYTES_MAX {
                break;
            }
        }
    };
    // What it says changes nothing, so neither does its being late.
    drop(tokio::time::timeout(ANSWER_MAX, read).await);
}

fn verdict_of(status: StatusCode, headers: &HeaderMap, now: ServerTimeMs) -> Verdict {
    if status.is_success() {
        return Verdict::Delivered;
    }
    if status == StatusCode::GONE {
        return Verdict::Gone;
    }
    // Who is throttled, or has an upstream that is.
    let is_later = [429, 502, 503, 504].contains(&status.as_u16());
    let later = headers.get(RETRY_AFTER).filter(|_| is_later).and_then(|it| it.to_str().ok());
    Verdict::Failed {
        reason: format!("status_{}", status.as_u16()).into(),
        retry_after_ms: later.and_then(|text| retry_after_ms(text.trim(), now)),
    }
}

/// Seconds, or a date of HTTP.
fn retry_after_ms(text: &str, now: ServerTimeMs) -> Option<i64> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(i64::from(seconds) * 1_000);
    }
    let date = DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(date.as_millisecond().saturating_sub(now.0).max(0))
}

fn connector(authority: Option<&Path>) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = authority {
        let read =
            CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let read = read.map_err(|error| format!("{}: {error}", path.display()))?;
        if roots.add_parsable_certificates(read).0 == 0 {
            return Err(format!("{}: no certificate in PEM", path.display()));
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring knows the suites of TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = ServerTimeMs(784_111_777_000);
        assert_eq!(retry_after_ms("120", now), Some(120_000));
        assert_eq!(retry_after_ms("Sun, 06 Nov 1994 08:50:07 GMT", now), Some(30_000));
        assert_eq!(retry_after_ms("Sun, 06 Nov 1994 08:49:07 GMT", now), Some(0));
        assert_eq!(retry_after_ms("soon", now), None);
        assert_eq!(retry_after_ms("-1", now), None);
    }

    #[test]
    fn statuses_mean_what_the_standard_says() {
        let verdict = |status: u16, later: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers
                .extend(later.map(|it| (RETRY_AFTER, hyper::header::HeaderValue::from_static(it))));
            verdict_of(StatusCode::from_u16(status).expect("one"), &headers, ServerTimeMs(0))
        };
        let failed = |reason: &str, retry_after_ms| Verdict::Failed {
            reason: reason.into(),
            retry_after_ms,
        };
        assert_eq!(verdict(200, None), Verdict::Delivered);
        assert_eq!(verdict(204, Some("9")), Verdict::Delivered);
        assert_eq!(verdict(410, None), Verdict::Gone);
        assert_eq!(verdict(302, None), failed("status_302", None));
        assert_eq!(verdict(500, Some("9")), failed("status_500", None));
        assert_eq!(verdict(429, Some("9")), failed("status_429", Some(9_000)));
        assert_eq!(verdict(502, Some("9")), failed("status_502", Some(9_000)));
        assert_eq!(verdict(504, Some("9")), failed("status_504", Some(9_000)));
        assert_eq!(verdict(503, Some(" 9 ")), failed("status_503", Some(9_000)));
    }
}
