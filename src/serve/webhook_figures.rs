//! Metrics of webhooks: those of each endpoint by its name, which the configuration gave.

use beckon_sinks::webhook::{EndpointStats, Webhooks};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// A metric of all endpoints together: its name, its help, its value.
pub(super) type Figure = (&'static str, &'static str, u64);
/// One of each endpoint.
type Of = (&'static str, &'static str, fn(&EndpointStats) -> u64);

const GAUGES: [Of; 5] = [
    ("webhook_waiting", "Calls that wait", |of| of.waiting),
    ("webhook_in_flight", "Calls that are under way", |of| of.in_flight),
    ("webhook_bytes", "What both are counted with", |of| of.bytes),
    ("webhook_resting", "1: it failed in a row and rests", |of| u64::from(of.is_resting)),
    ("webhook_gone", "1: it said 410 and is not called", |of| u64::from(of.is_gone)),
];

const COUNTERS: [Of; 4] = [
    ("webhook_delivered", "Attempts that it took", |of| of.delivered),
    ("webhook_failed", "Attempts that failed", |of| of.failed),
    ("webhook_buried", "Calls that became dead letters", |of| of.buried),
    ("webhook_rests", "How often it was left to rest", |of| of.breaker_opened),
];

/// Of all endpoints, and of those that there are not.
pub(super) fn gauges(webhooks: &Webhooks) -> [Figure; 3] {
    let stats = webhooks.stats();
    [
        ("webhook_dead_letters", "Dead letters that can be replayed", stats.letters),
        ("webhook_dead_letter_bytes", "What they are counted with", stats.letter_bytes),
        ("webhook_records_waiting", "Records that wait for the log", stats.records_waiting),
    ]
}

/// The same that only grow.
pub(super) fn counters(webhooks: &Webhooks) -> [Figure; 6] {
    let stats = webhooks.stats();
    [
        ("webhook_dead_letters_written", "Calls that became dead letters", stats.letters_written),
        ("webhook_dead_letters_dropped", "By their number, bytes or days", stats.letters_dropped),
        ("webhook_too_large", "Out by call_bytes_max", stats.too_large),
        ("webhook_records_refused", "By the log, to be given again", webhooks.records_refused()),
        ("webhook_records_lost", "The log did not take in time", stats.records_lost),
        ("webhook_attempt_milliseconds", "Time of all attempts", webhooks.attempt_millis()),
    ]
}

/// Those of each endpoint.
pub(super) fn encode(
    webhooks: &Webhooks,
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), std::fmt::Error> {
    let endpoints = webhooks.stats().endpoints;
    if endpoints.is_empty() {
        return Ok(());
    }
    for (kind, figures) in [(MetricType::Gauge, &GAUGES[..]), (MetricType::Counter, &COUNTERS)] {
        for (name, help, of) in figures {
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (endpoint, stats) in &endpoints {
                let labels = [("endpoint", &**endpoint)];
                let encoder = family.encode_family(&labels)?;
                match kind {
                    MetricType::Counter => ConstCounter::new(of(stats)).encode(encoder)?,
                    _ => ConstGauge::new(i64::try_from(of(stats)).unwrap_or(i64::MAX))
                        .encode(encoder)?,
                }
            }
        }
    }
    Ok(())
}
