//! Traces by OpenTelemetry: requests, what of them waits for the disk, and webhook calls, sent to a
//! collector by OTLP over HTTP.
//!
//! Off unless `traces.endpoint` says where. Which traces are kept is decided by their ids alone
//! (`traces.share`), so that all who go by the same share keep the same ones; a caller's `traceparent`
//! gives a request its place in the caller's trace. Who chooses ids that are kept fills the queue at most:
//! spans wait in one of `traces.queue_spans_max`, and what it does not hold, and what the collector does
//! not take, is dropped and counted. Nobody waits for it.

use crate::config::TracesSection;
use crate::http_client::HttpClient;
use async_trait::async_trait;
use axum::http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::body::Bytes;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HeaderExtractor, HttpError};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, Span, SpanData,
    SpanExporter, SpanProcessor,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// What the collector may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// Between two batches, where no queue is half full.
const BATCH_INTERVAL: Duration = Duration::from_secs(1);
/// What is left of the queue at the end has so long to go.
const FINISH_TIME_MAX: Duration = Duration::from_secs(5);

/// The way out of spans.
#[derive(Debug)]
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    counts: Counts,
}

/// What became of spans. Those that are neither sent nor refused wait, or were dropped.
#[derive(Clone, Debug, Default)]
struct Counts {
    made: Counter,
    sent: Counter,
    refused: Counter,
}

impl Traces {
    /// Starts the thread that sends, if there is a collector. Requests run on `runtime`.
    ///
    /// # Errors
    /// When the endpoint is no address of HTTP.
    pub(crate) fn start(config: &TracesSection, runtime: &Handle) -> anyhow::Result<Option<Self>> {
        let Some(endpoint) = &config.endpoint else { return Ok(None) };
        let endpoint = endpoint.trim_end_matches('/');
        let client = HttpClient::new(endpoint, None, None)?;
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_http_client(Sender { client, runtime: runtime.clone() })
            .with_endpoint(format!("{endpoint}/v1/traces"))
            .with_headers(config.headers.clone().into_iter().collect())
            .with_timeout(ANSWER_TIME_MAX)
            .build()?;
        let counts = Counts::default();
        let exporter =
            Counted { exporter, counts: counts.clone(), is_refused: AtomicBool::new(false) };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(config.queue_spans_max)
            .with_max_export_batch_size(config.queue_spans_max.div_ceil(4))
            .with_scheduled_delay(BATCH_INTERVAL)
            .build();
        let batches = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
        let resource = Resource::builder()
            .with_service_name("beckon")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::TraceIdRatioBased(config.share))
            .with_span_processor(Made { batches, made: counts.made.clone() })
            .with_resource(resource)
            .build();
        Ok(Some(Self { provider, counts }))
    }

    /// What makes the spans.
    pub(crate) fn tracer(&self) -> SdkTracer {
        self.provider.tracer("beckon")
    }

    /// Adds its counters.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let Counts { made, sent, refused } = &self.counts;
        let registry = registry.sub_registry_with_prefix("beckon_traces");
        for (name, help, counter) in [
            ("spans_made", "Spans of the traces that are kept", made),
            ("spans_sent", "Spans that the collector took", sent),
            ("spans_refused", "Spans that the collector did not take", refused),
        ] {
            registry.register(name, help, counter.clone());
        }
    }

    /// Sends what waits, for a while.
    pub(crate) fn finish(&self) {
        if let Err(why) = self.provider.shutdown_with_timeout(FINISH_TIME_MAX) {
            tracing::warn!(%why, "the last spans were not sent");
        }
    }
}

/// Gives a request's span its place in the trace that the caller names.
pub(crate) fn join_caller(headers: &HeaderMap, span: &tracing::Span) {
    let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
    // An error means that nobody makes spans.
    drop(span.set_parent(parent));
}

/// Sends by the client that commands have. The thread of the batches has no runtime of its own.
#[derive(Debug)]
struct Sender {
    client: HttpClient,
    runtime: Handle,
}

#[async_trait]
impl opentelemetry_http::HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let answered = self.runtime.spawn(async move {
            tokio::time::timeout(ANSWER_TIME_MAX, client.exchange(request.map(Full::new))).await
        });
        Ok(answered.await???)
    }
}

/// Counts what the collector takes, and tells when that changes.
#[derive(Debug)]
struct Counted {
    exporter: opentelemetry_otlp::SpanExporter,
    counts: Counts,
    is_refused: AtomicBool,
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let result = self.exporter.export(batch).await;
        let was_refused = self.is_refused.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Ok(()) => {
                self.counts.sent.inc_by(spans);
            }
            Err(why) => {
                self.counts.refused.inc_by(spans);
                if !was_refused {
                    tracing::warn!(%why, "the collector of traces takes none: they are dropped");
                }
            }
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Counts what comes, whether the queue holds it or not.
#[derive(Debug)]
struct Made {
    batches: BatchSpanProcessor,
    made: Counter,
}

impl SpanProcessor for Made {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        self.made.inc();
        self.batches.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}
