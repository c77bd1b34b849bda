//! The thread behind the engine: Parquet, and what the summary shows.

use super::args::ReplayArgs;
use super::feed::Start;
use super::observer::{Observed, Observer};
use anyhow::Context;
use beckon_engine::dataflow::Deliver;
use beckon_engine::model::EpochOutput;
use beckon_rules::plan::RuleSet;
use beckon_sinks::parquet::{ParquetConfig, ParquetTables};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Epochs that wait for the thread; when it is behind, the engine waits.
const QUEUE_EPOCHS_MAX: usize = 8;

/// The running thread.
pub(super) struct Reports {
    sender: Option<SyncSender<EpochOutput>>,
    thread: JoinHandle<anyhow::Result<Observed>>,
    failed: Arc<AtomicBool>,
}

impl Reports {
    /// Opens the tables of a folder, if there is one, and says where numbering goes on. Matches get
    /// other ids there, so nobody could tell the second copies of what is replayed twice: tables that
    /// are not empty are added to only when asked.
    pub(super) fn start(
        args: &ReplayArgs,
        rules: &Arc<RuleSet>,
        config: ParquetConfig,
    ) -> anyhow::Result<(Self, Start)> {
        let directory = args.reports.as_deref();
        let tables = directory.map(|directory| open(directory, config)).transpose()?;
        let durable = tables.as_ref().and_then(ParquetTables::durable);
        if let (Some(directory), Some(position), false) = (directory, durable, args.append) {
            anyhow::bail!(
                "{} has tables already, of {} events: give another folder, or --append to add to \
                 them (what was replayed before is there twice then)",
                directory.display(),
                position.seq.0
            );
        }
        let start = durable.map_or_else(Start::default, |position| Start {
            epoch: position.epoch.next(),
            seq: position.seq.next(),
        });
        let (sender, receiver) = sync_channel(QUEUE_EPOCHS_MAX);
        let failed = Arc::new(AtomicBool::new(false));
        let (observer, has_failed) = (Observer::new(rules), Arc::clone(&failed));
        let work = move || {
            let result = write(&receiver, observer, tables);
            has_failed.store(result.is_err(), Ordering::Release);
            result
        };
        let thread = std::thread::Builder::new().name("reports".to_owned()).spawn(work)?;
        Ok((Self { sender: Some(sender), thread, failed }, start))
    }

    /// What the engine gives its output to; asked for once.
    pub(super) fn deliver(&mut self) -> anyhow::Result<Deliver> {
        let sender = self.sender.take().context("the reports have their engine already")?;
        // A thread that is gone says why when it is joined; until then its epochs go nowhere.
        Ok(Box::new(move |output| drop(sender.send(output))))
    }

    /// Whether it is of no use to go on.
    pub(super) fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Waits until everything is written. The engine must have been dropped before.
    pub(super) fn finish(self) -> anyhow::Result<Observed> {
        drop(self.sender);
        self.thread.join().map_err(|_| anyhow::anyhow!("the thread of the reports panicked"))?
    }
}

fn write(
    receiver: &Receiver<EpochOutput>,
    mut observer: Observer,
    mut tables: Option<ParquetTables>,
) -> anyhow::Result<Observed> {
    let failed = "the reports cannot be written";
    for output in receiver {
        observer.see(&output);
        if let Some(tables) = &mut tables {
            tables.write(&output).context(failed)?;
        }
    }
    if let Some(tables) = tables {
        tables.finish().context(failed)?;
    }
    Ok(observer.finish())
}

fn open(directory: &Path, config: ParquetConfig) -> anyhow::Result<ParquetTables> {
    ParquetTables::open(directory, config)
        .with_context(|| format!("{}: the reports cannot be opened", directory.display()))
}
