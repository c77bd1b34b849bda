//! What the HTTP side counts, for Prometheus.
//!
//! **Invariant:** a label's value is a name of the code or of the configuration (route, status,
//! reason, key), never a text that a client chose.

use crate::app::EngineView;
use crate::dead_letters::{Counters, DeadLetters};
use crate::limits::Limits;
use crate::memory::Memory;
use crate::normalise::{Normaliser, RejectReason};
use crate::rate::Rates;
use beckon_engine::log::{Log, LogStats};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text::encode};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    code: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SiteResult {
    site: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OwnerLabels {
    owner: &'static str,
}

/// What became of the events of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventCounts {
    pub(crate) ok: u64,
    pub(crate) duplicate: u64,
    pub(crate) rejected: u64,
    pub(crate) unproven: u64,
    pub(crate) clamped: u64,
    pub(crate) skewed: u64,
    /// Sign-ins that are not proven on a site that has a way to prove them.
    pub(crate) doubted: u64,
    /// Input fields that the server owns.
    pub(crate) dropped_owned: u64,
    /// Input fields that no event has.
    pub(crate) dropped_unknown: u64,
}

/// The counters.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RouteLabels, Counter>,
    refusals: Family<RefusalLabels, Counter>,
    request_seconds: Histogram,
    events: Family<SiteResult, Counter>,
    rejections: Family<ReasonLabels, Counter>,
    dropped_fields: Family<OwnerLabels, Counter>,
    unproven: Counter,
    clamped: Counter,
    skewed: Counter,
    doubted: Counter,
    body_bytes: Counter,
    pub(crate) bodies_cut_off: Counter,
    pub(crate) connections: Gauge,
    pub(crate) connections_refused: Counter,
    pub(crate) connections_idle: Counter,
    pub(crate) tls_handshakes_failed: Counter,
    pub(crate) live_streams: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub(crate) fn new(
        mut registry: Registry,
        log: &Arc<dyn Log>,
        letters: &Arc<DeadLetters>,
        loads: Loads,
    ) -> Self {
        let seconds = [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0];
        let metrics = Self {
            requests: Family::default(),
            refusals: Family::default(),
            request_seconds: Histogram::new(seconds),
            events: Family::default(),
            rejections: Family::default(),
            dropped_fields: Family::default(),
            unproven: Counter::default(),
            clamped: Counter::default(),
            skewed: Counter::default(),
            doubted: Counter::default(),
            body_bytes: Counter::default(),
            bodies_cut_off: Counter::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            connections_idle: Counter::default(),
            tls_handshakes_failed: Counter::default(),
            live_streams: Gauge::default(),
            registry: Registry::default(),
        };
        metrics.register(registry.sub_registry_with_prefix("beckon"));
        registry.register_collector(Box::new(LogCollector(Arc::clone(log))));
        registry.register_collector(Box::new(LetterCollector(Arc::clone(letters))));
        registry.register_collector(Box::new(loads));
        for reason in RejectReason::ALL {
            let labels = ReasonLabels { reason: reason.as_str() };
            metrics.rejections.get_or_create(&labels).inc_by(0);
        }
        Self { registry, ..metrics }
    }

    fn register(&self, to: &mut Registry) {
        let Self { requests, refusals, request_seconds, events, .. } = self;
        let Self { rejections, dropped_fields, .. } = self;
        to.register("http_requests", "Requests by route and status", requests.clone());
        to.register(
            "requests_refused",
            "Requests answered with an error, by its code",
            refusals.clone(),
        );
        to.register_with_unit(
            "http_request_duration",
            "Time to answer, the wait for the disk included",
            Unit::Seconds,
            request_seconds.clone(),
        );
        to.register("events", "Events by site and result", events.clone());
        to.register("rejections", "Rejected events by reason", rejections.clone());
        to.register("dropped_fields", "Input fields that were not taken", dropped_fields.clone());
        for (name, help, counter) in [
            ("unproven_events", "Events of a visit whose secret was not shown", &self.unproven),
            ("clamped_events", "Events whose time lay too far away", &self.clamped),
            ("skewed_events", "Events of a clock that was corrected", &self.skewed),
            (
                "unverified_sign_ins",
                "SignIn and UserInfo without the proof that their site asks for",
                &self.doubted,
            ),
            ("body_bytes", "Bytes of bodies as sent", &self.body_bytes),
            (
                "bodies_cut_off",
                "Refused bodies that were not read to their end",
                &self.bodies_cut_off,
            ),
            ("connections_refused", "Connections over the limit", &self.connections_refused),
            ("connections_idle", "Connections closed without requests", &self.connections_idle),
            (
                "tls_handshakes_failed",
                "Connections whose TLS handshake failed or took too long",
                &self.tls_handshakes_failed,
            ),
        ] {
            to.register(name, help, counter.clone());
        }
        to.register("connections", "Open connections", self.connections.clone());
        to.register("live_streams", "Open streams of /v1/live", self.live_streams.clone());
    }

    pub(crate) fn request(&self, route: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&RouteLabels { route, status }).inc();
        self.request_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn refused(&self, code: &'static str, status: u16) {
        self.refusals.get_or_create(&RefusalLabels { code, status }).inc();
    }

    pub(crate) fn body(&self, bytes: usize) {
        self.body_bytes.inc_by(bytes as u64);
    }

    pub(crate) fn rejected(&self, reason: RejectReason) {
        self.rejections.get_or_create(&ReasonLabels { reason: reason.as_str() }).inc();
    }

    pub(crate) fn events(&self, site: &str, counts: EventCounts) {
        for (result, count) in
            [("ok", counts.ok), ("duplicate", counts.duplicate), ("rejected", counts.rejected)]
        {
            if count > 0 {
                let labels = SiteResult { site: site.into(), result };
                self.events.get_or_create(&labels).inc_by(count);
            }
        }
        for (owner, count) in [("server", counts.dropped_owned), ("nobody", counts.dropped_unknown)]
        {
            if count > 0 {
                self.dropped_fields.get_or_create(&OwnerLabels { owner }).inc_by(count);
            }
        }
        self.unproven.inc_by(counts.unproven);
        self.clamped.inc_by(counts.clamped);
        self.skewed.inc_by(counts.skewed);
        self.doubted.inc_by(counts.doubted);
    }

    /// Everything in the text format of Prometheus.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Reads the log's own counters when somebody asks.
#[derive(Debug)]
struct LogCollector(Arc<dyn Log>);

impl Collector for LogCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (gauges, counters) = log_figures(self.0.stats());
        encode_all(&mut encoder, &gauges, &counters)
    }
}

fn log_figures(stats: LogStats) -> ([Figure; 9], [Figure; 4]) {
    let LogStats {
        bytes,
        segments,
        oldest_segment,
        oldest_epoch,
        digests_missing,
        queued_bytes,
        records,
        groups,
        duplicates,
        dedup_ids,
        dedup_window_ms,
        sync_nanos,
        sync_nanos_max,
    } = stats;
    let gauges = [
        ("beckon_log_bytes", "Bytes of the log on disk", bytes),
        ("beckon_log_segments", "Segments of the log", segments),
        ("beckon_log_oldest_segment", "The first segment that is held", oldest_segment),
        ("beckon_log_oldest_epoch", "The first epoch that is held", oldest_epoch),
        ("beckon_log_digests_missing", "Sealed segments that a restart reads", digests_missing),
        ("beckon_log_queued_bytes", "Bytes that wait for the disk", queued_bytes),
        ("beckon_dedup_ids", "Event ids that are remembered", dedup_ids),
        ("beckon_dedup_window_ms", "Age of the oldest remembered id", dedup_window_ms),
        ("beckon_log_sync_nanos_max", "The slowest sync since start", sync_nanos_max),
    ];
    let counters = [
        ("beckon_log_records", "Records appended since start", records),
        ("beckon_log_groups", "Commit groups since start", groups),
        ("beckon_log_duplicates", "Duplicates since start", duplicates),
        ("beckon_log_sync_nanos", "Nanoseconds spent in sync since start", sync_nanos),
    ];
    (gauges, counters)
}

/// What requests have a bound on together, and what was cut off there, read when somebody asks.
#[derive(Debug)]
pub(crate) struct Loads {
    pub(crate) engine: Arc<dyn EngineView>,
    pub(crate) memory: Memory,
    pub(crate) normaliser: Arc<Normaliser>,
    pub(crate) addresses: Arc<Rates<u64>>,
    pub(crate) limits: Limits,
}

impl Collector for Loads {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Limits { engine_lag_records_max, in_flight_bytes_max, .. } = self.limits;
        let in_flight_bytes = self.memory.taken_bytes() as u64;
        let in_flight_bytes_max = in_flight_bytes_max as u64;
        let gauges = [
            (
                "beckon_engine_lag_records",
                "Log records that the engine is behind",
                self.engine.lag_records(),
            ),
            ("beckon_engine_lag_records_max", "Over it: 503 engine_behind", engine_lag_records_max),
            ("beckon_in_flight_bytes", "Memory of bodies, in whole KiB", in_flight_bytes),
            ("beckon_in_flight_bytes_max", "Over it: 503 too_many_bytes", in_flight_bytes_max),
        ];
        let counters = [
            (
                "beckon_addresses_forgotten",
                "Addresses whose rate is no longer remembered, over addresses_max",
                self.addresses.forgotten(),
            ),
            (
                "beckon_query_parameters_dropped",
                "Query parameters over QUERY_PARAMETERS_MAX of one address",
                self.normaliser.parameters_over_limit(),
            ),
        ];
        encode_all(&mut encoder, &gauges, &counters)
    }
}

/// Reads the dead letters' own counters.
#[derive(Debug)]
struct LetterCollector(Arc<DeadLetters>);

impl Collector for LetterCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (gauges, counters) = letter_figures(self.0.counters());
        encode_all(&mut encoder, &gauges, &counters)
    }
}

fn letter_figures(counters: Counters) -> ([Figure; 2], [Figure; 5]) {
    let Counters { written, queue_full, unwritable, evicted, expired, waiting, bytes } = counters;
    let gauges = [
        ("beckon_dead_letters_waiting", "Letters that wait for the disk", waiting),
        ("beckon_dead_letters_bytes", "Bytes of letters on disk", bytes),
    ];
    let counters = [
        ("beckon_dead_letters_written", "Letters written", written),
        ("beckon_dead_letters_queue_full", "Letters lost to a full queue", queue_full),
        ("beckon_dead_letters_unwritable", "Letters that the disk refused", unwritable),
        ("beckon_dead_letters_evicted", "Letters removed over bytes_max", evicted),
        ("beckon_dead_letters_expired", "Letters removed after days_max", expired),
    ];
    (gauges, counters)
}

/// A name, what it counts, and how many.
type Figure = (&'static str, &'static str, u64);

fn encode_all(
    encoder: &mut DescriptorEncoder<'_>,
    gauges: &[Figure],
    counters: &[Figure],
) -> Result<(), fmt::Error> {
    for (name, help, value) in gauges {
        let gauge = ConstGauge::new(i64::try_from(*value).unwrap_or(i64::MAX));
        gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
    }
    for (name, help, value) in counters {
        let counter = ConstCounter::new(*value);
        counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
