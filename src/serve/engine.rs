//! The engine as the configuration wants it, behind the newest snapshot that fits.

use crate::config::Config;
use crate::engine_config;
use anyhow::Context;
use beckon_engine::catalog::Compiler;
use beckon_engine::dataflow::MakeStage;
use beckon_engine::live::LiveConfig;
use beckon_engine::log::{EmbeddedLog, Log};
use beckon_engine::matcher::{Matcher, WideSetup};
use beckon_engine::model::{Epoch, LogSeq};
use beckon_engine::outbox::{Outbox, OutboxWriter};
use beckon_engine::pipeline::{Pipeline, PipelineConfig, PipelineParts, SnapshotConfig};
use beckon_engine::snapshot::{Fitting, Restart, SnapshotFile, SnapshotParts, Snapshots};
use beckon_engine::suppress::Suppressor;
use beckon_rules::plan::RuleSet;
use std::io;
use std::sync::Arc;

/// Starts it, between a log and an outbox that holds what was said up to an epoch. The log held
/// records up to `found` when it was opened.
///
/// # Errors
/// When there is nothing to go on from, or a thread cannot be started.
pub(super) fn start(
    config: &Config,
    (log, writer, outbox_last): (&Arc<EmbeddedLog>, OutboxWriter, Epoch),
    (snapshots, restart, compiler): (&Snapshots, Restart<'_>, Arc<Compiler>),
    found: LogSeq,
) -> anyhow::Result<Pipeline> {
    let fitting =
        Fitting { log: &**log, outbox_last, compiler, suppress: engine_config::suppress(config) };
    let (catalog, restored) = restart.choose(&fitting)?;
    tell_restart(found, restored.as_deref());
    let parts = PipelineParts {
        log: Arc::clone(log) as Arc<dyn Log>,
        snapshots: Some(snapshot_parts(snapshots.clone(), writer.outbox(), log)),
        sink: Box::new(writer),
        make_stage: make_stage(config),
        catalog: Some(catalog),
        restored,
    };
    Ok(Pipeline::start(parts, pipeline_config(config)?)?)
}

/// Says where the engine begins.
fn tell_restart(last: LogSeq, restored: Option<&SnapshotFile>) {
    let from = restored.map_or(LogSeq(0), |file| file.rest().base.last_seq);
    let records = last.0.saturating_sub(from.0);
    let bytes = restored.map_or(0, SnapshotFile::bytes);
    match restored.map(|file| file.rest().through.epoch) {
        Some(snapshot) => tracing::info!(%snapshot, bytes, records, "going on from a snapshot"),
        None if records > 0 => tracing::info!(records, "going on from the start of the log"),
        None => {}
    }
}

fn snapshot_parts(snapshots: Snapshots, outbox: Outbox, log: &Arc<EmbeddedLog>) -> SnapshotParts {
    let log = Arc::clone(log);
    SnapshotParts {
        snapshots,
        sync_outputs: Arc::new(move |epoch| outbox.sync_through(epoch).map_err(io::Error::other)),
        on_taken: Arc::new(move |through| log.release(through)),
    }
}

/// The rules come by the log, its first ones like all others.
fn make_stage(config: &Config) -> MakeStage {
    let (rules, matcher) = (Arc::new(RuleSet::default()), engine_config::matcher(config));
    Arc::new(move |_| Box::new(Matcher::new(Arc::clone(&rules), matcher)))
}

fn pipeline_config(config: &Config) -> anyhow::Result<PipelineConfig> {
    let engine = &config.engine;
    let mut pipeline = PipelineConfig {
        watermark_delay_ms: engine.watermark_delay_ms,
        snapshot: SnapshotConfig {
            records: engine.snapshot_records,
            interval_ms: engine.snapshot_interval_ms,
        },
        ..PipelineConfig::default()
    };
    pipeline.dataflow.workers = engine.workers;
    pipeline.dataflow.epochs_in_flight_max = engine.epochs_in_flight_max;
    pipeline.dataflow.events_in_flight_max = engine.events_in_flight_max;
    pipeline.dataflow.live = Some(LiveConfig {
        live_names_max: engine.live_names_max,
        live_recent_max: engine.live_recent_max,
        ..LiveConfig::default()
    });
    pipeline.dataflow.on_fatal = Arc::new(super::back::fatal);
    pipeline.dataflow.suppressor =
        Suppressor::new(&RuleSet::default(), engine_config::suppress(config))
            .context("`engine.timezone`")?;
    pipeline.dataflow.wide = Some(WideSetup::empty(engine_config::matcher(config)));
    Ok(pipeline)
}
