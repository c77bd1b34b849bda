//! Everything behind the HTTP side: log, engine, outbox, sinks.

use super::FolderRules;
use super::ahead::Ahead;
use super::columns::Columns;
use super::progress::Progress;
use super::slowest::{Reader, Slowest};
use super::view::{Sinks, View};
use super::{figures, notification, webhook};
use crate::config::Config;
use crate::{engine_config, output};
use anyhow::Context;
use beckon_engine::catalog::{Compiler, Deployer, NotDeployed, event_compiler_within};
use beckon_engine::clock::Clock;
use beckon_engine::disk::{Disk, RealDisk};
use beckon_engine::log::{EmbeddedLog, Log, LogBase, LogConfig, Named, OpenLog};
use beckon_engine::model::{Epoch, LogSeq};
use beckon_engine::outbox::{
    Cursor, Cursors, OpenOutbox, Outbox, OutboxConfig, OutboxWriter, Position,
};
use beckon_engine::pipeline::Pipeline;
use beckon_engine::snapshot::{Restart, Snapshots};
use beckon_ingest::EngineView;
use beckon_rules::render::{Colors, render};
use beckon_sinks::notification::Notifications;
use beckon_sinks::parquet::{self, OutboxSource, ParquetTables, SinkContext, SourceError, Stop};
use beckon_sinks::webhook::Webhooks;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The Parquet sink's cursor.
const PARQUET_CURSOR: &str = "parquet";
/// The exit code after which a supervisor should start the server again (`EX_SOFTWARE`).
const EXIT_FATAL: i32 = 70;

/// The running parts.
pub(crate) struct Back {
    log: Arc<EmbeddedLog>,
    deployer: Arc<Deployer>,
    pipeline: Option<Arc<Pipeline>>,
    view: Arc<View>,
    notifications: Arc<Notifications>,
    notifier: Option<JoinHandle<anyhow::Result<()>>>,
    webhooks: Arc<Webhooks>,
    caller: Option<webhook::Threads>,
    sink: Option<JoinHandle<anyhow::Result<()>>>,
    sink_stop: Arc<Stop>,
    /// How long the sink may take to finish its files; what it leaves stays in the outbox.
    sink_drain_max: Duration,
    registry: Option<Registry>,
}

impl Back {
    /// Opens what is on disk and starts the engine and the sinks.
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
        let tables = ParquetTables::open(&config.reports(), config.tables())?;
        let cursors = Cursors::open(Arc::clone(&disk), data.join("cursors"))?;
        let cursor = cursors.cursor(PARQUET_CURSOR)?;
        let snapshots = Snapshots::open(Arc::clone(&disk), data.join("snapshots"))?;
        let restart = Restart::new(&snapshots)?;
        let ahead = Ahead::of(config, &cursors, (&tables, &restart))?;
        let log = open_log(config, (&disk, clock), (ahead.named(), restart.base()));
        let log = log.map_err(|error| ahead.explain(error))?;
        // Made where it is missing, and only beside a log that reaches as far.
        let told = notification::cursor(&cursors, notification::CURSOR, tables.durable())?;
        let called = notification::cursor(&cursors, webhook::CURSOR, tables.durable())?;
        let taken = tables.durable().map_or(Epoch(0), |position| position.epoch);
        let taken = [taken, told.1.epoch, called.1.epoch];
        let found = log.durable().map_or(LogSeq(0), |mark| mark.last_seq);
        let ready_at = log.durable().map_or(Epoch(0), |mark| mark.epoch);
        let notifications = notification::hub(config, (&log, clock), ready_at);
        let webhooks = webhook::webhooks(config, (&log, clock), ready_at)?;
        let compiler = event_compiler_within(engine_config::server_limits(config));
        let deployer = deployer(&log, &compiler, Columns(tables.declared()), folder)?;
        let (writer, outbox_last) = OutboxWriter::open(OpenOutbox {
            disk,
            dir: data.join("outbox"),
            config: outbox_config(config),
            slowest: taken.into_iter().min(),
            log_last: log.durable().map_or(Epoch(0), |mark| mark.epoch),
        })?;
        let outbox = writer.outbox();
        let tables_stats = tables.stats();
        let sink_stop = Arc::new(Stop::default());
        let slowest = Slowest::new(outbox.clone(), taken);
        let sink = Sink {
            tables,
            outbox: outbox.clone(),
            cursor,
            slowest: Arc::clone(&slowest),
            stop: Arc::clone(&sink_stop),
        };
        let sink = sink.spawn(Arc::clone(clock))?;
        let notifier =
            notification::spawn(&notifications, outbox.clone(), told, Arc::clone(&slowest))?;
        let calls = (outbox.clone(), slowest);
        let caller = webhook::Threads::start(config, &webhooks, calls, called)?;
        let (out, restart) = ((&log, writer, outbox_last), (&snapshots, restart, compiler));
        let pipeline = Arc::new(super::engine::start(config, out, restart, found)?);
        let sinks = Sinks::new(outbox, tables_stats, (&notifications, &webhooks));
        let progress = Progress::new(config, Arc::clone(clock));
        let engine = (Arc::clone(&pipeline), Arc::clone(&deployer));
        let view = Arc::new(View::new(engine, sinks, progress));
        let registry = figures::registry(&view);
        Ok(Self {
            log,
            deployer,
            pipeline: Some(pipeline),
            view,
            notifications,
            notifier: Some(notifier),
            webhooks,
            caller: Some(caller),
            sink: Some(sink),
            sink_stop,
            sink_drain_max: Duration::from_millis(config.reports.drain_ms_max),
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

    /// Messages to pages.
    pub(crate) fn notifications(&self) -> Arc<Notifications> {
        Arc::clone(&self.notifications)
    }

    /// Calls to other systems.
    pub(crate) fn webhooks(&self) -> Arc<Webhooks> {
        Arc::clone(&self.webhooks)
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
        // What came of the last calls is to stand in the log.
        let caller = self.caller.take().map(webhook::Threads::stop_calls).transpose()?;
        self.log.close();
        self.view.close();
        if let Some(pipeline) = self.pipeline.take().and_then(Arc::into_inner) {
            pipeline.stop().context("the engine did not end well")?;
        }
        if let Some(notifier) = self.notifier.take() {
            let ended = notifier.join();
            let ended = ended.map_err(|_| anyhow::anyhow!("the sink of notifications panicked"))?;
            ended.context("the sink of notifications did not end well")?;
        }
        if let Some(caller) = caller {
            let ended = caller.join();
            let ended = ended.map_err(|_| anyhow::anyhow!("the sink of webhooks panicked"))?;
            ended.context("the sink of webhooks did not end well")?;
        }
        if let Some(sink) = self.sink.take() {
            let patience = Instant::now() + self.sink_drain_max;
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
pub(super) fn fatal(reason: &str) {
    tracing::error!(reason, "ending: a restart recovers what is on disk");
    std::process::exit(EXIT_FATAL);
}

fn open_log(
    config: &Config,
    (disk, clock): (&Arc<dyn Disk>, &Arc<dyn Clock>),
    (named, base): (Named, Option<LogBase>),
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
        base,
        on_fatal: Arc::new(fatal),
    })?;
    if log.cut_bytes() > 0 {
        let bytes = log.cut_bytes();
        tracing::warn!(bytes, "cut the torn end of the log; none of it was acknowledged");
    }
    Ok(Arc::new(log))
}

/// Declares the columns of what stands, and takes what changed in the folder of rules into the log.
fn deployer(
    log: &Arc<EmbeddedLog>,
    compiler: &Arc<Compiler>,
    columns: Columns,
    folder: &FolderRules,
) -> anyhow::Result<Arc<Deployer>> {
    let standing = log.standing().clone();
    let deployer = Deployer::new(Arc::clone(log) as _, Arc::clone(compiler), standing)
        .admitting(Arc::new(columns));
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

/// What the Parquet sink's thread works with.
struct Sink {
    tables: ParquetTables,
    outbox: Outbox,
    cursor: Cursor,
    slowest: Arc<Slowest>,
    stop: Arc<Stop>,
}

impl Sink {
    /// Starts the thread. A failure that trying again does not mend ends the process: going on
    /// would only fill the outbox.
    fn spawn(self, clock: Arc<dyn Clock>) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
        let Self { tables, outbox, mut cursor, slowest, stop } = self;
        let run = move || -> anyhow::Result<()> {
            let mut source = OutboxSource::new(outbox);
            let mut durable = |position: Position| {
                let moved = cursor.advance(position);
                let moved = moved.and_then(|()| slowest.moved(Reader::Tables, position.epoch));
                moved.map_err(|error| SourceError::Failed(error.into()))
            };
            let mut context = SinkContext {
                stop: &stop,
                clock: &*clock,
                wait: &mut |wait| stop.wait(wait),
                durable: &mut durable,
            };
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
