//! Metrics of engine, outbox and sinks, read when they are asked for.

use super::view::View;
use super::webhook_figures;
use beckon_engine::dataflow::DataflowStats;
use beckon_engine::pipeline::PipelineStats;
use beckon_rules::program::results_over_limit;
use beckon_sinks::notification::NotificationStats;
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

fn engine_counters(engine: &PipelineStats) -> [Figure; 26] {
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
        (
            "engine_absences_refused",
            "Over pending_absences_max, rule_absences_max or state_max",
            both.absences_refused,
        ),
        (
            "engine_absences_dropped",
            "Pending when their visit was evicted or their window forgotten",
            both.absences_dropped,
        ),
        ("engine_hits_over_limit", "Over rule_hits_max", both.hits_over_limit),
        ("engine_events_unreadable", "Bytes that are no event", stage.events_unreadable),
        ("engine_backfills", "Visits that new rules were tried on", stage.backfills),
        ("engine_backfills_partial", "Over visit_events_max", stage.backfills_partial),
        ("engine_matches", "Matches asserted", both.matches),
        ("engine_matches_retracted", "Matches taken back", both.matches_retracted),
        (
            "engine_visitors_forgotten",
            "Over visitors_max, or away for window_memory_ms",
            suppress.visitors_forgotten,
        ),
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

fn notification_gauges(told: &NotificationStats) -> [Figure; 4] {
    [
        ("notification_streams", "Streams and long polls that are open", told.streams),
        ("notification_messages_waiting", "Messages for a page", told.hub.waiting),
        ("notification_messages_held", "Those that are over and remembered too", told.hub.held),
        ("notification_bytes", "What they are counted with", told.hub.bytes),
    ]
}

fn notification_counters(told: &NotificationStats) -> [Figure; 8] {
    let hub = &told.hub;
    [
        ("notification_messages", "Messages since the start", hub.messages),
        ("notification_said", "Given to a page, again or as withdrawn too", told.said),
        ("notification_over_visit", "Out by visit_messages_max", hub.over_visit),
        ("notification_over_bytes", "Out by bytes_max", hub.over_bytes),
        ("notification_too_large", "Out by message_bytes_max", hub.too_large),
        ("notification_streams_refused", "By streams_max, visit_streams_max", told.streams_refused),
        ("notification_records_refused", "By the log, to be given again", told.records_refused),
        ("notification_records_lost", "The log did not take in time", hub.records_lost),
    ]
}

#[derive(Debug)]
struct Figures(Arc<View>);

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let engine = self.0.engine().unwrap_or_default();
        let (outbox, tables) = (self.0.outbox(), self.0.tables());
        let told = self.0.notifications();
        let webhooks = self.0.webhooks();
        webhook_figures::encode(webhooks, &mut encoder)?;
        let gauges = engine_gauges(&engine).into_iter().chain(notification_gauges(&told));
        let gauges = gauges.chain(webhook_figures::gauges(webhooks)).chain([
            ("outbox_bytes", "Bytes that wait for the slowest sink", outbox.bytes),
            ("parquet_open_bytes", "Memory of open row groups", tables.open_bytes.load(Relaxed)),
            ("parquet_epoch_durable", "Last epoch in files", tables.epoch_durable.load(Relaxed)),
        ]);
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let counters = engine_counters(&engine).into_iter().chain(notification_counters(&told));
        let counters = counters.chain(webhook_figures::counters(webhooks)).chain([
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

#[cfg(test)]
mod tests {
    use super::*;
    use beckon_engine::matcher::WideStats;
    use beckon_engine::model::Epoch;
    use beckon_engine::pipeline::Processed;
    use beckon_engine::snapshot::SnapshotStats;
    use beckon_engine::stage::StageStats;
    use beckon_engine::suppress::SuppressStats;

    /// Each a power of two, or of those that are summed two of them.
    fn stats() -> PipelineStats {
        let stage = StageStats {
            visits_open: 1 << 1,
            state_bytes: 1 << 2,
            next_timer_ms: None,
            events_matched: 1 << 3,
            events_late: 1 << 4,
            events_not_correctable: 1 << 5,
            events_over_limit: 1 << 6,
            visits_evicted: 1 << 7,
            closed_visits_forgotten: 1 << 8,
            kept_events_dropped: 1 << 9,
            partials_dropped: 1 << 10,
            absences_refused: 1 << 11,
            absences_dropped: 1 << 40,
            hits_over_limit: 1 << 12,
            events_unreadable: 1 << 13,
            matches: 1 << 14,
            backfills: 1 << 15,
            backfills_partial: 1 << 16,
            matches_retracted: 1 << 17,
        };
        let of_windows = StageStats {
            state_bytes: 1 << 18,
            events_matched: 1 << 19,
            partials_dropped: 1 << 20,
            absences_refused: 1 << 21,
            absences_dropped: 1 << 41,
            hits_over_limit: 1 << 22,
            matches: 1 << 23,
            matches_retracted: 1 << 24,
            ..StageStats::default()
        };
        let wide = WideStats {
            windows_open: 1 << 25,
            windows_forgotten: 1 << 26,
            events_waiting: 1 << 27,
            events_not_correctable: 1 << 28,
            due: None,
            stage: of_windows,
        };
        let suppress = SuppressStats {
            visitors: 1 << 29,
            visitors_forgotten: 1 << 30,
            decisions_forgotten: 1 << 31,
        };
        let snapshots = SnapshotStats {
            taken: 1 << 32,
            abandoned: 1 << 33,
            failed: 1 << 34,
            through: Epoch(1 << 35),
            bytes: 1 << 36,
            pending: 1 << 37,
        };
        PipelineStats {
            dataflow: DataflowStats { stage, wide, suppress, ..DataflowStats::default() },
            processed: Processed { epoch: Epoch(1 << 38), ..Processed::default() },
            ticks_asked: 1 << 39,
            snapshots,
        }
    }

    #[test]
    fn each_figure_stands_under_its_name() {
        let stats = stats();
        let gauges = engine_gauges(&stats).into_iter();
        let figures: Vec<_> = gauges.chain(engine_counters(&stats)).collect();
        let bits = |value: u64| (0..64).filter(|bit| value >> bit & 1 == 1).collect::<Vec<u32>>();
        let found: Vec<_> = figures.iter().map(|(name, _, value)| (*name, bits(*value))).collect();
        let expected: &[(&str, &[u32])] = &[
            ("engine_visits_open", &[1]),
            ("engine_windows_open", &[25]),
            ("engine_window_events_waiting", &[27]),
            ("engine_state_bytes", &[2, 18]),
            ("engine_epoch", &[38]),
            ("engine_visitors", &[29]),
            ("snapshot_epoch", &[35]),
            ("snapshot_bytes", &[36]),
            ("snapshot_pieces_pending", &[37]),
            ("engine_events_matched", &[3]),
            ("engine_window_events", &[19]),
            ("engine_events_late", &[4]),
            ("engine_events_not_correctable", &[5]),
            ("engine_window_events_not_correctable", &[28]),
            ("engine_events_over_limit", &[6]),
            ("engine_visits_evicted", &[7]),
            ("engine_closed_visits_forgotten", &[8]),
            ("engine_windows_forgotten", &[26]),
            ("engine_kept_events_dropped", &[9]),
            ("engine_partials_dropped", &[10, 20]),
            ("engine_results_over_limit", &[]),
            ("engine_absences_refused", &[11, 21]),
            ("engine_absences_dropped", &[40, 41]),
            ("engine_hits_over_limit", &[12, 22]),
            ("engine_events_unreadable", &[13]),
            ("engine_backfills", &[15]),
            ("engine_backfills_partial", &[16]),
            ("engine_matches", &[14, 23]),
            ("engine_matches_retracted", &[17, 24]),
            ("engine_visitors_forgotten", &[30]),
            ("engine_decisions_forgotten", &[31]),
            ("engine_ticks", &[39]),
            ("snapshots", &[32]),
            ("snapshots_abandoned", &[33]),
            ("snapshots_failed", &[34]),
        ];
        let expected: Vec<_> = expected.iter().map(|(name, bits)| (*name, bits.to_vec())).collect();
        assert_eq!(found, expected);
    }
}
