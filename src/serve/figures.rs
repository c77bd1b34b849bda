//! Metrics of engine, outbox and Parquet sink, read when they are asked for.

use super::view::View;
use beckon_engine::dataflow::DataflowStats;
use beckon_engine::pipeline::PipelineStats;
use beckon_rules::program::results_over_limit;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A registry with these metrics; the HTTP side adds its own and the log's.
pub(crate) fn registry(view: &Arc<View>) -> Registry {
    let mut registry = Registry::default();
    let figures = Box::new(Figures(Arc::clone(view)));
    registry.sub_registry_with_prefix("beckon").register_collector(figures);
    registry
}

/// A metric: its name, its help, its value.
type Figure = (&'static str, &'static str, u64);

fn engine_gauges(engine: &PipelineStats) -> [Figure; 9] {
    let DataflowStats { stage, wide, suppress, .. } = engine.dataflow;
    [
        ("engine_visits_open", "Open visits", stage.visits_open),
        ("engine_windows_open", "Windows that are no visits", wide.windows_open),
        ("engine_window_events_waiting", "Events before the horizon", wide.events_waiting),
        (
            "engine_state_bytes",
            "Bytes of windows' state",
            stage.state_bytes + wide.stage.state_bytes,
        ),
        ("engine_epoch", "Last epoch whose output is kept", engine.processed.epoch.0),
        ("engine_visitors", "Visitors remembered for what they saw", suppress.visitors),
        ("snapshot_epoch", "Last epoch of the newest snapshot", engine.snapshots.through.0),
        ("snapshot_bytes", "Size of the last one taken since the start", engine.snapshots.bytes),
        ("snapshot_pieces_pending", "Pieces asked for, not written", engine.snapshots.pending),
    ]
}

fn engine_counters(engine: &PipelineStats) -> [Figure; 25] {
    let DataflowStats { stage, wide, suppress, .. } = engine.dataflow;
    let both = stage.sum(&wide.stage);
    [
        ("engine_events_matched", "Events tried on the rules", stage.events_matched),
        ("engine_window_events", "Events tried in other windows", wide.stage.events_matched),
        ("engine_events_late", "Late events", stage.events_late),
        (
            "engine_events_not_correctable",
            "Late events that sort before those that their visit keeps",
            stage.events_not_correctable,
        ),
        (
            "engine_window_events_not_correctable",
            "Late because of window_events_max",
            wide.events_not_correctable,
        ),
        ("engine_events_over_limit", "Over visit_events_matched_max", stage.events_over_limit),
        ("engine_visits_evicted", "Closed by visits_open_max", stage.visits_evicted),
        ("engine_closed_visits_forgotten", "Over closed_visits_max", stage.closed_visits_forgotten),
        (
            "engine_windows_forgotten",
            "Over windows_max or window_memory_ms",
            wide.windows_forgotten,
        ),
        ("engine_kept_events_dropped", "Over visit_events_max", stage.kept_events_dropped),
        (
            "engine_partials_dropped",
            "Partial matches over rule_partials_max or state_max, join keys over key_combinations_max",
            both.partials_dropped,
        ),
        (
            "engine_results_over_limit",
            "Null because several-valued arguments have over MAPPED_VALUES_MAX combinations",
            results_over_limit(),
        ),
        ("engine_absences_refused", "Over pending_absences_max", both.absences_refused),
        ("engine_hits_over_limit", "Over rule_hits_max", both.hits_over_limit),
        ("engine_events_unreadable", "Bytes that are no event", stage.events_unreadable),
        ("engine_backfills", "Visits that new rules were tried on", stage.backfills),
        ("engine_backfills_partial", "Over visit_events_max", stage.backfills_partial),
        ("engine_matches", "Matches asserted", both.matches),
        ("engine_matches_retracted", "Matches taken back", both.matches_retracted),
        ("engine_visitors_forgotten", "Over visitors_max", suppress.visitors_forgotten),
        (
            "engine_decisions_forgotten",
            "Over visitor_decisions_max, and matches of one action over STANDING_MAX",
            suppress.decisions_forgotten,
        ),
        ("engine_ticks", "Epochs asked for by timers", engine.ticks_asked),
        ("snapshots", "Snapshots taken", engine.snapshots.taken),
        ("snapshots_abandoned", "Given up because rules changed", engine.snapshots.abandoned),
        ("snapshots_failed", "Given up because of the disk", engine.snapshots.failed),
    ]
}

#[derive(Debug)]
struct Figures(Arc<View>);

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let engine = self.0.engine().unwrap_or_default();
        let (outbox, tables) = (self.0.outbox(), self.0.tables());
        let gauges = engine_gauges(&engine).into_iter().chain([
            ("outbox_bytes", "Bytes that wait for the slowest sink", outbox.bytes),
            ("parquet_open_bytes", "Memory of open row groups", tables.open_bytes.load(Relaxed)),
            ("parquet_epoch_durable", "Last epoch in files", tables.epoch_durable.load(Relaxed)),
        ]);
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let counters = engine_counters(&engine).into_iter().chain([
            ("parquet_rows", "Rows in finished files", tables.rows.load(Relaxed)),
            ("parquet_files", "Finished files", tables.files.load(Relaxed)),
            ("parquet_file_bytes", "Bytes of finished files", tables.bytes.load(Relaxed)),
            ("parquet_errors", "Failures that were tried again", tables.errors.load(Relaxed)),
            ("parquet_other_events", "Events without a folder", tables.other_events.load(Relaxed)),
            ("parquet_flushes", "Row groups cut by open_bytes_max", tables.flushes.load(Relaxed)),
        ]);
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(
                name,
                help,
                None,
                counter.metric_type(),
            )?)?;
        }
        Ok(())
    }
}
