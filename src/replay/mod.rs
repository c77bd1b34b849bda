//! `beckon replay`: log files through the same engine, as fast as it goes.
//!
//! ```text
//! inputs -> SourceReader -> Sorter -> epochs (feed) -> dataflow -> reports thread: observer, Parquet
//! ```
//!
//! The main thread reads, the dataflow's workers match, a third thread writes Parquet and keeps
//! what the summary shows. The queue between the last two is bounded, so the slowest sets the pace.
//!
//! **Invariant:** the same inputs, rules and options give the same events, visits and matches:
//! log sequences and epochs are counted, and no clock but the marks' `now` (the load date of the
//! Parquet) is read.

mod args;
mod example;
mod feed;
mod json;
mod observer;
mod progress;
mod reports;
mod setup;
mod table;

pub(crate) use args::ReplayArgs;
pub(crate) use setup::read_mapping;

use crate::output;
use crate::typed_columns::typed_columns;
use anyhow::Context;
use args::OutputFormat;
use beckon_engine::dataflow::{Dataflow, DataflowConfig, MakeStage};
use beckon_engine::matcher::{Matcher, WideSetup};
use beckon_engine::model::EpochInput;
use beckon_engine::suppress::Suppressor;
use beckon_ingest::source::{SourceReader, SourceReport};
use beckon_sinks::parquet::ParquetConfig;
use feed::{EpochTarget, FeedStats, Feeder};
use observer::Observed;
use reports::Reports;
use setup::Setup;
use std::sync::Arc;
use std::time::Instant;

/// Everything that the summary shows.
pub(crate) struct Summary {
    observed: Observed,
    source: SourceReport,
    feed: FeedStats,
    seconds: f64,
}

impl Summary {
    fn events_per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let events = self.feed.events as f64;
        events / self.seconds.max(1e-9)
    }
}

/// Replays, and prints what fired.
///
/// # Errors
/// For wrong rules or mappings, inputs that cannot be read at all, and reports that cannot be
/// written.
pub(crate) fn run(args: &ReplayArgs) -> anyhow::Result<()> {
    let setup = Setup::new(args)?;
    let summary = replay(args, setup)?;
    let text = match args.format {
        OutputFormat::Table => table::text(&summary),
        OutputFormat::Json => json::text(&summary)?,
    };
    output::line(text.trim_end())
}

fn replay(args: &ReplayArgs, setup: Setup) -> anyhow::Result<Summary> {
    let started = Instant::now();
    let rules = Arc::new(setup.rules);
    let reader = SourceReader::new(setup.source)?;
    let typed_columns = typed_columns(&rules, &setup.typed_columns);
    let tables = ParquetConfig { typed_columns, ..setup.tables };
    let (mut reports, start) = Reports::start(args, &rules, tables)?;
    let matcher = setup.matcher;
    let config = DataflowConfig {
        workers: args.workers(),
        wide: WideSetup::new(&rules, matcher),
        suppressor: Suppressor::new(&rules, setup.suppress)?,
        ..DataflowConfig::default()
    };
    let stage_rules = Arc::clone(&rules);
    let make_stage: MakeStage =
        Arc::new(move |_| Box::new(Matcher::new(Arc::clone(&stage_rules), matcher)));
    let dataflow = Dataflow::start(config, make_stage, reports.deliver()?)?;
    let engine = Engine { dataflow, reports };
    let mut feeder = Feeder::new(&engine, matcher.inactivity_ms, args.dedup_ids_max, start);
    let fed = feed::run(reader, args, &mut feeder);
    let feed = feeder.stats();
    let observed = engine.finish(fed.is_ok());
    // What the reports say is the cause of what the feeder saw.
    let (observed, source) = (observed?, fed?);
    Ok(Summary { observed, source, feed, seconds: started.elapsed().as_secs_f64() })
}

/// The running engine, and what writes down what it says.
struct Engine {
    dataflow: Dataflow,
    reports: Reports,
}

impl EpochTarget for Engine {
    fn submit(&self, input: EpochInput) -> anyhow::Result<()> {
        anyhow::ensure!(!self.reports.failed(), "the reports failed");
        self.dataflow.submit(input).context("the engine stopped")
    }
}

impl Engine {
    /// Waits for all that was submitted, or gives it up when `is_whole` is false.
    fn finish(self, is_whole: bool) -> anyhow::Result<Observed> {
        let finished = if is_whole { self.dataflow.finish().map(|_| ()) } else { Ok(()) };
        drop(self.dataflow);
        let observed = self.reports.finish()?;
        finished.context("the engine stopped")?;
        Ok(observed)
    }
}
