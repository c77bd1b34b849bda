//! The HTTP client of commands that speak to a running server, and of the load driver.
//!
//! Plain HTTP: a server is asked on loopback or behind its own proxy.

use anyhow::Context;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;

/// The most of an answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A client with kept connections.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    client: Client<HttpConnector, Full<Bytes>>,
    base: Uri,
    bearer: Option<String>,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// The body.
    pub(crate) body: Bytes,
}

impl HttpClient {
    /// A client of the server at `base` (`http://127.0.0.1:7700`).
    ///
    /// # Errors
    /// When `base` is no `http://` address.
    pub(crate) fn new(base: &str, bearer: Option<String>) -> anyhow::Result<Self> {
        let uri: Uri = base.parse().with_context(|| format!("`{base}` is no address"))?;
        anyhow::ensure!(
            uri.scheme_str() == Some("http") && uri.authority().is_some(),
            "`{base}`: expected an address such as http://127.0.0.1:7700"
        );
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, base: uri, bearer })
    }

    /// Sends a request to a path (with its query) and reads the answer.
    ///
    /// # Errors
    /// When the server cannot be reached, or its answer is too large.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Answer> {
        let authority = self.base.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{authority}{path}"))
            .header("content-type", "application/json");
        if let Some(bearer) = &self.bearer {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        let request = request.body(Full::new(body.into()))?;
        let response = self
            .client
            .request(request)
            .await
            .with_context(|| format!("no answer from {}: is the server running?", self.base))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?
            .to_bytes();
        Ok(Answer { status, body })
    }
}
