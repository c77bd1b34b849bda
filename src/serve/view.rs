//! What the HTTP side asks the engine.

use super::progress::Progress;
use beckon_engine::catalog::{Deployer, RuleBackfill, RulePlace};
use beckon_engine::live::LiveHandle;
use beckon_engine::model::VisitId;
use beckon_engine::outbox::{Outbox, OutboxStats};
use beckon_engine::pipeline::{Pipeline, PipelineStats, RuleCounts};
use beckon_ingest::{EngineView, live_json};
use beckon_sinks::notification::{NotificationStats, Notifications};
use beckon_sinks::parquet::ParquetStats;
use beckon_sinks::webhook::Webhooks;
use serde_json::{Map, Value, json};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, RwLock};

/// The outbox and who reads it.
#[derive(Debug)]
pub(super) struct Sinks {
    outbox: Outbox,
    tables: Arc<ParquetStats>,
    notifications: Arc<Notifications>,
    webhooks: Arc<Webhooks>,
}

impl Sinks {
    /// These.
    pub(super) fn new(
        outbox: Outbox,
        tables: Arc<ParquetStats>,
        (notifications, webhooks): (&Arc<Notifications>, &Arc<Webhooks>),
    ) -> Self {
        let (notifications, webhooks) = (Arc::clone(notifications), Arc::clone(webhooks));
        Self { outbox, tables, notifications, webhooks }
    }
}

/// The engine as seen from outside. It lets go of the pipeline when that is to end.
#[derive(Debug)]
pub(crate) struct View {
    pipeline: RwLock<Option<Arc<Pipeline>>>,
    live: Option<LiveHandle>,
    deployer: Arc<Deployer>,
    sinks: Sinks,
    progress: Progress,
}

impl View {
    /// A view of running parts.
    pub(super) fn new(
        (pipeline, deployer): (Arc<Pipeline>, Arc<Deployer>),
        sinks: Sinks,
        progress: Progress,
    ) -> Self {
        let live = pipeline.live();
        let pipeline = RwLock::new(Some(pipeline));
        Self { pipeline, live, deployer, sinks, progress }
    }

    /// Lets go of the pipeline.
    pub(crate) fn close(&self) {
        self.pipeline.write().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// The engine's figures; none once it ends.
    pub(crate) fn engine(&self) -> Option<PipelineStats> {
        let pipeline = self.pipeline.read().unwrap_or_else(PoisonError::into_inner);
        pipeline.as_ref().map(|pipeline| pipeline.stats())
    }

    /// The outbox's figures.
    pub(crate) fn outbox(&self) -> OutboxStats {
        self.sinks.outbox.stats()
    }

    /// The figures of messages to pages.
    pub(crate) fn notifications(&self) -> NotificationStats {
        self.sinks.notifications.stats()
    }

    /// Calls to other systems.
    pub(crate) fn webhooks(&self) -> &Webhooks {
        &self.sinks.webhooks
    }

    /// The Parquet sink's figures.
    pub(crate) fn tables(&self) -> &ParquetStats {
        &self.sinks.tables
    }
}

impl EngineView for View {
    fn progress(&self, site: &str, visit: &VisitId) -> Value {
        let events = self.live.as_ref().map(|live| live.snapshot().events).unwrap_or_default();
        self.progress.of_visit(&self.deployer, (site, visit), &events)
    }

    fn lag_records(&self) -> u64 {
        let pipeline = self.pipeline.read().unwrap_or_else(PoisonError::into_inner);
        pipeline.as_ref().map_or(0, |pipeline| pipeline.lag_records())
    }

    fn live_version(&self) -> u64 {
        self.live.as_ref().map_or(0, LiveHandle::version)
    }

    fn live(&self, site: Option<&str>) -> Value {
        self.live.as_ref().map(|live| live_json(&live.snapshot(), site)).unwrap_or_default()
    }

    fn backfill(&self, rule: &RulePlace) -> RuleBackfill {
        let pipeline = self.pipeline.read().unwrap_or_else(PoisonError::into_inner);
        pipeline.as_ref().map(|pipeline| pipeline.backfill(rule)).unwrap_or_default()
    }

    fn rule_counts(&self, package: &str, rule: &str, site: Option<&str>) -> RuleCounts {
        let pipeline = self.pipeline.read().unwrap_or_else(PoisonError::into_inner);
        let counts = pipeline.as_ref().map(|pipeline| pipeline.rule_counts(package, rule, site));
        counts.unwrap_or_default()
    }

    fn status(&self) -> Map<String, Value> {
        let compiled = self.deployer.compiled();
        let rules = compiled.rules.rules.iter();
        let rules: Vec<_> = rules
            .map(|rule| {
                json!({
                    "package": &*rule.package,
                    "rule": &*rule.name,
                    "version": format!("{:032x}", rule.version.0),
                    "enabled": rule.enabled,
                })
            })
            .collect();
        let engine = self.engine().unwrap_or_default();
        let outbox = self.outbox();
        let tables = &self.sinks.tables;
        let (told, called) = (self.notifications(), self.webhooks().stats());
        let said = [
            ("rules", rules.into()),
            (
                "engine",
                json!({
                    "epoch": engine.processed.epoch,
                    "log_sequence": engine.processed.seq,
                    "visits_open": engine.dataflow.stage.visits_open,
                    "windows_open": engine.dataflow.wide.windows_open,
                    "events_matched": engine.dataflow.stage.events_matched,
                    "matches": engine.dataflow.stage.matches + engine.dataflow.wide.stage.matches,
                }),
            ),
            ("outbox", json!({ "bytes": outbox.bytes, "epochs": [outbox.first, outbox.last] })),
            (
                "notification",
                json!({
                    "streams": told.streams,
                    "messages_waiting": told.hub.waiting,
                    "messages": told.hub.messages,
                }),
            ),
            (
                "webhook",
                json!({
                    "waiting": called.endpoints.iter().map(|(_, of)| of.waiting).sum::<u64>(),
                    "delivered": called.endpoints.iter().map(|(_, of)| of.delivered).sum::<u64>(),
                    "dead_letters": called.letters,
                }),
            ),
            (
                "parquet",
                json!({
                    "rows": tables.rows.load(Relaxed),
                    "files": tables.files.load(Relaxed),
                    "epoch_durable": tables.epoch_durable.load(Relaxed),
                    "errors": tables.errors.load(Relaxed),
                }),
            ),
        ];
        said.into_iter().map(|(name, value): (_, Value)| (name.to_owned(), value)).collect()
    }
}
