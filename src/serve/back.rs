//! Everything behind the HTTP side: log, engine, outbox, Parquet sink.

use super::FolderRules;
use super::figures;
use super::view::View;
use crate::config::Config;
use crate::output;
use anyhow::Context;
use beckon_engine::catalog::{Catalog, Compiler, Deployer, NotDeployed, event_compiler};
use beckon_engine::clock::Clock;
use beckon_engine::disk::{Disk, RealDisk};
use beckon_engine::live::LiveConfig;
use beckon_engine::log::{EmbeddedLog, Log, LogConfig, LogError, Named, OpenLog};
use beckon_engine::matcher::{Matcher, MatcherConfig, WideSetup};
use beckon_engine::model::Epoch;
use beckon_engine::outbox::{
    Cursor, Cursors, OpenOutbox, Outbox, OutboxConfig, OutboxWriter, Position,
};
use beckon_engine::pipeline::{Pipeline, PipelineConfig, PipelineParts};
use beckon_engine::suppress::{InvitationLimits, SuppressConfig, Suppressor};
use beckon_ingest::EngineView;
use beckon_rules::plan::RuleSet;
use beckon_rules::render::{Colors, render};
use beckon_sinks::parquet::{self, OutboxSource, ParquetTables, SinkContext, SourceError, Stop};
use prometheus_client::registry::Registry;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The Parquet sink's cursor.
const PARQUET_CURSOR: &str = "parquet";
/// How long the Parquet sink may take to finish its files; what it leaves stays in the outbox.
const SINK_DRAIN_MAX: Duration = Duration::from_secs(60);
/// The exit code after which a supervisor should start the server again (`EX_SOFTWARE`).
const EXIT_FATAL: i32 = 70;

/// The running parts.
pub(crate) struct Back {
    log: Arc<EmbeddedLog>,
    deployer: Arc<Deployer>,
    pipeline: Option<Arc<Pipeline>>,
    view: Arc<View>,
    sink: Option<JoinHandle<anyhow::Result<()>>>,
    sink_stop: Arc<Stop>,
    registry: Option<Registry>,
}

impl Back {
    /// Opens what is on disk and starts the engine and the sink.
    ///
    /// # Errors
    /// When a folder is in use or damaged, or a thread cannot be started.
    pub(crate) fn start(
        config: &Config,
        folder: &FolderRules,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let data = &config.server.data;
        let tables = ParquetTables::open(&config.reports(), config.tables(&folder.rules))?;
        let cursors = Cursors::open(Arc::clone(&disk), data.join("cursors"))?;
        let cursor = cursors.cursor(PARQUET_CURSOR)?;
        let log = open_log(config, &disk, clock, named(&cursors, &tables)?);
        let log = log.map_err(|error| name_what_is_ahead(error, config, &cursors, &tables))?;
        let compiler = event_compiler();
        let deployer = deployer(&log, &compiler, folder)?;
        let (writer, _) = OutboxWriter::open(OpenOutbox {
            disk,
            dir: data.join("outbox"),
            config: outbox_config(config),
            slowest: Some(tables.durable().map_or(Epoch(0), |position| position.epoch)),
            log_last: log.durable().map_or(Epoch(0), |mark| mark.epoch),
        })?;
        let outbox = writer.outbox();
        let tables_stats = tables.stats();
        let sink_stop = Arc::new(Stop::default());
        let sink = Sink { tables, outbox: outbox.clone(), cursor, stop: Arc::clone(&sink_stop) };
        let sink = sink.spawn(Arc::clone(clock))?;
        let pipeline = Arc::new(start_pipeline(config, compiler, &log, writer)?);
        let view = View::new(Arc::clone(&pipeline), Arc::clone(&deployer), outbox, tables_stats);
        let view = Arc::new(view);
        let registry = figures::registry(&view);
        Ok(Self {
            log,
            deployer,
            pipeline: Some(pipeline),
            view,
            sink: Some(sink),
            sink_stop,
            registry: Some(registry),
        })
    }

    /// Where events go.
    pub(crate) fn log(&self) -> Arc<dyn Log> {
        Arc::clone(&self.log) as Arc<dyn Log>
    }

    /// The way in for rules.
    pub(crate) fn deployer(&self) -> Arc<Deployer> {
        Arc::clone(&self.deployer)
    }

    /// What the HTTP side asks.
    pub(crate) fn view(&self) -> Arc<dyn EngineView> {
        Arc::clone(&self.view) as Arc<dyn EngineView>
    }

    /// The metrics of these parts; for the one who serves them.
    pub(crate) fn registry(&mut self) -> Registry {
        self.registry.take().unwrap_or_default()
    }

    /// Works through what is on disk and finishes the Parquet files.
    ///
    /// # Errors
    /// When that fails; everything acknowledged is in the log all the same.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.log.close();
        self.view.close();
        if let Some(pipeline) = self.pipeline.take().and_then(Arc::into_inner) {
            pipeline.stop().context("the engine did not end well")?;
        }
        if let Some(sink) = self.sink.take() {
            let patience = Instant::now() + SINK_DRAIN_MAX;
            while !sink.is_finished() && Instant::now() < patience {
                std::thread::park_timeout(Duration::from_millis(10));
            }
            self.sink_stop.ask();
            let ended = sink.join().map_err(|_| anyhow::anyhow!("the Parquet sink panicked"))?;
            ended.context("the Parquet sink did not end well")?;
        }
        Ok(())
    }
}

/// A part failed in a way that only a restart mends: recovery finds out what is on disk.
fn fatal(reason: &str) {
    tracing::error!(reason, "ending: a restart recovers what is on disk");
    std::process::exit(EXIT_FATAL);
}

/// What the log must reach: the furthest that a cursor or the tables name.
fn named(cursors: &Cursors, tables: &ParquetTables) -> anyhow::Result<Named> {
    let mut named = cursors.named()?;
    if let Some(durable) = tables.durable() {
        named.epoch_max = named.epoch_max.max(durable.epoch);
        named.seq_max = named.seq_max.max(durable.seq);
    }
    Ok(named)
}

/// Says who names what the log has not, where that is the error.
fn name_what_is_ahead(
    error: anyhow::Error,
    config: &Config,
    cursors: &Cursors,
    tables: &ParquetTables,
) -> anyhow::Error {
    let Some(LogError::Lost { .. }) = error.downcast_ref() else { return error };
    let folder = config.server.data.join("cursors");
    let mut all: Vec<(PathBuf, Position)> = cursors
        .all()
        .into_iter()
        .flatten()
        .map(|(name, position)| (folder.join(name), position))
        .collect();
    all.extend(tables.durable().map(|position| (config.reports(), position)));
    let furthest = all.iter().map(|(_, position)| *position).max();
    let furthest = all.iter().filter(|(_, position)| Some(*position) == furthest);
    let paths: Vec<String> = furthest.map(|(path, _)| path.display().to_string()).collect();
    error.context(format!("ahead of the log: {}", paths.join(", ")))
}

fn open_log(
    config: &Config,
    disk: &Arc<dyn Disk>,
    clock: &Arc<dyn Clock>,
    named: Named,
) -> anyhow::Result<Arc<EmbeddedLog>> {
    let section = &config.log;
    let log = EmbeddedLog::open(OpenLog {
        disk: Arc::clone(disk),
        dir: config.server.data.join("log"),
        clock: Arc::clone(clock),
        config: LogConfig {
            segment_bytes: section.segment_bytes,
            retention_ms: section.retention_ms,
            log_bytes_max: section.log_bytes_max,
            disk_free_bytes_min: section.disk_free_bytes_min,
            disk_check_interval_ms: section.disk_check_interval_ms,
            append_queue_bytes_max: section.append_queue_bytes_max,
            group_bytes_max: section.group_bytes_max,
            dedup_ids_max: section.dedup_ids_max,
        },
        named,
        base: None,
        on_fatal: Arc::new(fatal),
    })?;
    if log.cut_bytes() > 0 {
        let bytes = log.cut_bytes();
        tracing::warn!(bytes, "cut the torn end of the log; none of it was acknowledged");
    }
    Ok(Arc::new(log))
}

/// Takes what changed in the folder of rules into the log.
fn deployer(
    log: &Arc<EmbeddedLog>,
    compiler: &Arc<Compiler>,
    folder: &FolderRules,
) -> anyhow::Result<Arc<Deployer>> {
    let standing = log.standing().clone();
    let deployer = Deployer::new(Arc::clone(log) as _, Arc::clone(compiler), standing);
    match deployer.take_folder(folder.packages.clone()) {
        Ok(0) => {}
        Ok(changes) => tracing::info!(changes, "took what changed in the folder of rules"),
        Err(NotDeployed::Wrong(compiled)) => {
            let text = |file: &str| compiled.text(file);
            output::line(&render(&compiled.diagnostics, text, Colors::Plain))?;
            anyhow::bail!("the folder of rules and what is deployed contradict each other");
        }
        Err(refused) => return Err(refused).context("the folder of rules cannot be deployed"),
    }
    Ok(Arc::new(deployer))
}

fn outbox_config(config: &Config) -> OutboxConfig {
    OutboxConfig { outbox_bytes_max: config.log.outbox_bytes_max, ..OutboxConfig::default() }
}

fn start_pipeline(
    config: &Config,
    compiler: Arc<Compiler>,
    log: &Arc<EmbeddedLog>,
    writer: OutboxWriter,
) -> anyhow::Result<Pipeline> {
    let engine = &config.engine;
    let matcher = MatcherConfig {
        lateness_ms: engine.lateness_ms,
        inactivity_ms: Some(engine.inactivity_ms),
        visit_events_max: engine.visit_events_max,
        visit_events_matched_max: engine.visit_events_matched_max,
        visits_open_max: engine.visits_open_max,
        closed_visits_max: engine.closed_visits_max,
        rule_partials_max: engine.rule_partials_max,
        pending_absences_max: engine.pending_absences_max,
        rule_hits_max: engine.rule_hits_max,
        key_combinations_max: engine.key_combinations_max,
        window_events_max: engine.window_events_max,
        windows_max: engine.windows_max,
        window_memory_ms: engine.window_memory_ms,
        ..MatcherConfig::default()
    };
    let mut pipeline = PipelineConfig {
        watermark_delay_ms: engine.watermark_delay_ms,
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
    pipeline.dataflow.on_fatal = Arc::new(fatal);
    let suppress = SuppressConfig {
        invitations: Some(InvitationLimits {
            per_visit: engine.invitations_per_visit,
            per_visitor_per_day: engine.invitations_per_visitor_per_day,
        }),
        visitors_max: engine.visitors_max,
        decisions_max: engine.visitor_decisions_max,
        timezone: engine.timezone.clone(),
        ..SuppressConfig::default()
    };
    // Rules come by the log, its first one like all others.
    let rules = Arc::new(RuleSet::default());
    let catalog = Catalog::new(compiler, suppress.clone()).context("`engine.timezone`")?;
    pipeline.dataflow.suppressor = Suppressor::new(&rules, suppress)?;
    pipeline.dataflow.wide = Some(WideSetup::empty(matcher));
    let parts = PipelineParts {
        log: Arc::clone(log) as Arc<dyn Log>,
        sink: Box::new(writer),
        make_stage: Arc::new(move |_| Box::new(Matcher::new(Arc::clone(&rules), matcher))),
        catalog: Some(catalog),
        snapshots: None,
        restored: None,
    };
    Ok(Pipeline::start(parts, pipeline)?)
}

/// What the Parquet sink's thread works with.
struct Sink {
    tables: ParquetTables,
    outbox: Outbox,
    cursor: Cursor,
    stop: Arc<Stop>,
}

impl Sink {
    /// Starts the thread. A failure that trying again does not mend ends the process: going on
    /// would only fill the outbox.
    fn spawn(self, clock: Arc<dyn Clock>) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
        let Self { tables, outbox, mut cursor, stop } = self;
        let run = move || -> anyhow::Result<()> {
            let mut source = OutboxSource::new(outbox.clone());
            let mut durable = |position: Position| {
                let moved = cursor.advance(position).and_then(|()| outbox.release(position.epoch));
                moved.map_err(|error| SourceError::Failed(error.into()))
            };
            let mut context = SinkContext { stop: &stop, clock: &*clock, durable: &mut durable };
            let ended = parquet::run(tables, &mut source, &mut context);
            if let Err(error) = &ended
                && !stop.is_asked()
            {
                fatal(&format!("the Parquet sink failed: {error}"));
            }
            Ok(ended?)
        };
        Ok(std::thread::Builder::new().name("sink:parquet".to_owned()).spawn(run)?)
    }
}
