//! The HTTP client of commands that speak to a running server, and of the load driver.
//!
//! Over `https` the server's certificate is checked against the authorities of this machine, and one
//! more that is named.

use anyhow::Context;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// The most of an answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A client with kept connections.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
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
    /// A client of the server at `base` (`http://127.0.0.1:7700`). `authority` is a file with a
    /// certificate (PEM) that may have signed the server's.
    ///
    /// # Errors
    /// When `base` is no address of HTTP, or the file holds no certificate.
    pub(crate) fn new(
        base: &str,
        bearer: Option<String>,
        authority: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let uri: Uri = base.parse().with_context(|| format!("`{base}` is no address"))?;
        let is_tls = uri.scheme_str() == Some("https");
        anyhow::ensure!(
            (is_tls || uri.scheme_str() == Some("http")) && uri.authority().is_some(),
            "`{base}`: expected an address such as http://127.0.0.1:7700"
        );
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let roots = if is_tls { roots(authority)? } else { RootCertStore::empty() };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(roots))
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
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
        let scheme = self.base.scheme_str().unwrap_or("http");
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{scheme}://{authority}{path}"))
            .header("content-type", "application/json");
        if let Some(bearer) = &self.bearer {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        let request = request.body(Full::new(body.into()))?;
        let response = self.exchange(request).await?;
        Ok(Answer { status: response.status(), body: response.into_body() })
    }

    /// Sends a whole request and reads the answer.
    ///
    /// # Errors
    /// When the server cannot be reached, or its answer is too large.
    pub(crate) async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> anyhow::Result<Response<Bytes>> {
        let response = self
            .client
            .request(request)
            .await
            .with_context(|| format!("no answer from {}: is the server running?", self.base))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

fn tls(roots: RootCertStore) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring knows the suites of TLS 1.2 and 1.3");
    builder.with_root_certificates(roots).with_no_client_auth()
}

/// The authorities of this machine, and those of a file.
fn roots(authority: Option<&Path>) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = authority {
        let read =
            CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let read = read.with_context(|| format!("{}: no certificate in PEM", path.display()))?;
        anyhow::ensure!(!read.is_empty(), "{}: no certificate in PEM", path.display());
        roots.add_parsable_certificates(read);
    }
    Ok(roots)
}
