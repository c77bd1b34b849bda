//! What the HTTP side asks the engine.

use super::progress::Progress;
use beckon_engine::catalog::{Deployer, RuleBackfill, RulePlace};
use beckon_engine::live::LiveHandle;
use beckon_engine::model::VisitId;
use beckon_engine::outbox::{Outbox, OutboxStats};
use beckon_engine::pipeline::{Pipeline, PipelineStats, RuleCounts};
use beckon_ingest::{
    EngineFigures, EngineStatus, EngineView, NotificationFigures, OutboxFigures, ParquetFigures,
    RuleStatus, VisitProgress, WebhookFigures, live_json,
};
use beckon_sinks::notification::{NotificationStats, Notifications};
use beckon_sinks::parquet::ParquetStats;
use beckon_sinks::webhook::Webhooks;
use serde_json::Value;
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
    fn progress(&self, site: &str, visit: &VisitId) -> VisitProgress {
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

    fn status(&self) -> EngineStatus {
        let compiled = self.deployer.compiled();
        let rules = compiled.rules.rules.iter().map(|rule| RuleStatus {
            package: Arc::clone(&rule.package),
            rule: Arc::clone(&rule.name),
            version: format!("{:032x}", rule.version.0),
            enabled: rule.enabled,
        });
        let engine = self.engine().unwrap_or_default();
        let (stage, wide) = (engine.dataflow.stage, engine.dataflow.wide);
        let outbox = self.outbox();
        let tables = &self.sinks.tables;
        let (told, called) = (self.notifications(), self.webhooks().stats());
        EngineStatus {
            rules: rules.collect(),
            engine: EngineFigures {
                epoch: engine.processed.epoch.0,
                log_sequence: engine.processed.seq.0,
                visits_open: stage.visits_open,
                windows_open: wide.windows_open,
                events_matched: stage.events_matched,
                matches: stage.matches + wide.stage.matches,
            },
            outbox: OutboxFigures { bytes: outbox.bytes, epochs: [outbox.first.0, outbox.last.0] },
            notification: NotificationFigures {
                streams: told.streams,
                messages_waiting: told.hub.waiting,
                messages: told.hub.messages,
            },
            webhook: WebhookFigures {
                waiting: called.endpoints.iter().map(|(_, of)| of.waiting).sum(),
                delivered: called.endpoints.iter().map(|(_, of)| of.delivered).sum(),
                dead_letters: called.letters,
            },
            parquet: ParquetFigures {
                rows: tables.rows.load(Relaxed),
                files: tables.files.load(Relaxed),
                epoch_durable: tables.epoch_durable.load(Relaxed),
                errors: tables.errors.load(Relaxed),
            },
        }
    }
}
