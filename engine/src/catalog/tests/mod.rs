//! Deployments the whole way: deployer, log, pipeline, outbox, on a simulated disk.

mod ahead;
mod deciding;
mod memory;
mod running;
mod steps;

use super::{Catalog, Compiler, Deployer, event_compiler};
use crate::clock::{Clock, ManualClock};
use crate::dataflow::DataflowConfig;
use crate::disk::{Disk, SimDisk};
use crate::live::LiveConfig;
use crate::log::{
    Deployment, EmbeddedLog, Log, LogConfig, Named, NewRecord, OpenLog, Owner, PackageKey,
    RecordBody,
};
use crate::matcher::{Matcher, MatcherConfig, WideSetup};
use crate::model::{
    Epoch, Event, EventId, EventTimeMs, Flags, Id, Op, PackedEvent, ServerTimeMs, SuppressReason,
    Value, VisitId, VisitorId,
};
use crate::outbox::{OpenOutbox, Outbox, OutboxConfig, OutboxError, OutboxWriter};
use crate::pipeline::{Pipeline, PipelineConfig, PipelineParts, SnapshotConfig};
use crate::snapshot::{Fitting, Restart, RestartError, SnapshotParts, Snapshots};
use crate::suppress::{SuppressConfig, Suppressor};
use beckon_rules::plan::RuleSet;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// Longer than anything that a test waits for.
const LONG: Duration = Duration::from_secs(60);
/// One that fires at each event A.
pub(crate) const EACH: &str = "any where eventName == \"A\"";
/// One that a visit can leave half finished.
pub(crate) const PAIR: &str = "sequence [ A where true ] [ B where true ]";

pub(crate) fn key(name: &str, site: Option<&str>) -> PackageKey {
    PackageKey { name: name.into(), site: site.map(Into::into) }
}

fn rule(name: &str, query: &str) -> (Arc<str>, Arc<str>) {
    let text = format!(
        "name = \"{name}\"\nfire = \"every\"\nquery = '''{query}'''\n[action]\ntype = \"webhook\"\n\
         endpoint = \"crm\"\n"
    );
    (format!("{name}.toml").into(), text.into())
}

pub(crate) fn package(rules: &[(&str, &str)]) -> Deployment {
    Deployment {
        owner: Owner::Token,
        is_operator: false,
        by: "ann".into(),
        files: rules.iter().map(|(name, query)| rule(name, query)).collect(),
    }
}

/// Closes the log however the test goes on: without that, a pipeline ends at the next tick only.
pub(crate) struct Closing(Arc<EmbeddedLog>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Deref for Closing {
    type Target = EmbeddedLog;

    fn deref(&self) -> &EmbeddedLog {
        &self.0
    }
}

/// Small segments, and nothing to go on from.
fn open_log(disk: &Arc<dyn Disk>, clock: &Arc<ManualClock>) -> OpenLog {
    OpenLog {
        disk: Arc::clone(disk),
        dir: "log".into(),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        config: LogConfig {
            segment_bytes: 100_000,
            log_bytes_max: 1_000_000,
            disk_free_bytes_min: 0,
            ..LogConfig::default()
        },
        named: Named::default(),
        base: None,
        on_fatal: Arc::new(|_| ()),
    }
}

fn open_outbox(disk: Arc<dyn Disk>, dir: &str, log: &dyn Log) -> (OutboxWriter, Epoch) {
    let open = OpenOutbox {
        disk,
        dir: dir.into(),
        config: OutboxConfig::default(),
        slowest: Some(Epoch(0)),
        log_last: log.durable().map_or(Epoch(0), |mark| mark.epoch),
    };
    OutboxWriter::open(open).expect("the outbox is recovered")
}

fn config(
    (workers, suppressor): (usize, Suppressor),
    has_failed: &Arc<AtomicBool>,
) -> PipelineConfig {
    let failed = Arc::clone(has_failed);
    PipelineConfig {
        dataflow: DataflowConfig {
            workers,
            wide: Some(WideSetup::empty(MatcherConfig::default())),
            suppressor,
            live: Some(LiveConfig::default()),
            on_fatal: Arc::new(move |_: &str| failed.store(true, Ordering::Relaxed)),
            ..DataflowConfig::default()
        },
        watermark_delay_ms: 0,
        tick_interval: LONG,
        ..PipelineConfig::default()
    }
}

/// One life of a server.
pub(crate) struct Life {
    /// Before the pipeline, so that it is dropped first.
    pub(crate) log: Closing,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) deployer: Deployer,
    pub(crate) pipeline: Pipeline,
    outbox: Outbox,
    has_failed: Arc<AtomicBool>,
    /// The epoch up to which a restart needs nothing of the log.
    pub(crate) released: Arc<AtomicU64>,
    sent: u128,
}

impl Life {
    /// Takes no snapshots, and goes on from none.
    fn start(disk: &SimDisk, workers: usize, outbox_dir: &str) -> Self {
        Self::start_with(disk, (workers, outbox_dir), None).expect("it can start")
    }

    /// Takes snapshots as often as it is said, and goes on from the newest.
    pub(crate) fn start_with(
        disk: &SimDisk,
        (workers, outbox_dir): (usize, &str),
        snapshot: Option<SnapshotConfig>,
    ) -> Result<Self, RestartError> {
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let clock = Arc::new(ManualClock::new(ServerTimeMs(1_000_000)));
        let snapshots = Snapshots::open(Arc::clone(&shared), "snapshots".into())?;
        let restart = snapshot.map(|_| Restart::new(&snapshots)).transpose()?;
        let log = EmbeddedLog::open(OpenLog {
            named: restart.as_ref().map(Restart::named).unwrap_or_default(),
            base: restart.as_ref().and_then(Restart::base),
            ..open_log(&shared, &clock)
        });
        let log = Arc::new(log.expect("the log is recovered"));
        if let Some(durable) = log.durable() {
            clock.set(durable.now);
        }
        let (writer, outbox_last) = open_outbox(shared, outbox_dir, &*log);
        let outbox = writer.outbox();
        let compiler = event_compiler();
        let deployer =
            Deployer::new(Arc::clone(&log) as _, Arc::clone(&compiler), log.standing().clone());
        let rules = Arc::new(RuleSet::default());
        let suppressor = Suppressor::new(&rules, SuppressConfig::default()).expect("a time zone");
        let suppress = SuppressConfig::default();
        let fitting = Fitting { log: &*log, outbox_last, compiler, suppress };
        let (catalog, restored) = match restart {
            Some(restart) => restart.choose(&fitting)?,
            None => (Catalog::new(fitting.compiler, fitting.suppress).expect("a time zone"), None),
        };
        let (synced, released) = (outbox.clone(), Arc::new(AtomicU64::new(0)));
        let (to_release, released_log) = (Arc::clone(&released), Arc::clone(&log));
        let snapshots = snapshot.map(|_| SnapshotParts {
            snapshots,
            sync_outputs: Arc::new(move |epoch| {
                synced.sync_through(epoch).map_err(std::io::Error::other)
            }),
            on_taken: Arc::new(move |through| {
                to_release.store(through.0, Ordering::Relaxed);
                released_log.release(through);
            }),
        });
        let parts = PipelineParts {
            log: Arc::clone(&log) as Arc<dyn Log>,
            sink: Box::new(writer),
            make_stage: Arc::new(move |_| {
                Box::new(Matcher::new(Arc::clone(&rules), MatcherConfig::default()))
            }),
            catalog: Some(catalog),
            snapshots,
            restored,
        };
        let has_failed = Arc::new(AtomicBool::new(false));
        let mut config = config((workers, suppressor), &has_failed);
        config.snapshot = snapshot.unwrap_or_default();
        // A replay is of what is there: it asks for no epoch of its own.
        if outbox_dir != "outbox" {
            log.close();
        }
        let pipeline = Pipeline::start(parts, config).expect("the pipeline starts");
        let log = Closing(log);
        let sent = log.durable().map_or(0, |mark| mark.last_seq.0.into());
        Ok(Self { log, clock, deployer, pipeline, outbox, has_failed, released, sent })
    }

    pub(crate) fn deploy(&self, key: PackageKey, rules: &[(&str, &str)]) {
        self.deployer.deploy(key, package(rules)).expect("deployed");
    }

    /// An event with so much in it that few fill a segment.
    pub(crate) fn fill(&mut self) {
        let event = self.next_event("a", 1, "C");
        let mut event = event.unpack().expect("just packed");
        event.fields = vec![("title".into(), Value::Str("x".repeat(60_000).into()))];
        self.append(vec![RecordBody::Event(PackedEvent::pack(&event))]);
        self.settle();
    }

    /// An event of a visit of site `a`, in an epoch of its own.
    pub(crate) fn event(&mut self, visit: u128, name: &str) -> &mut Self {
        self.event_on("a", visit, name)
    }

    fn event_on(&mut self, site: &str, visit: u128, name: &str) -> &mut Self {
        let event = self.next_event(site, visit, name);
        self.append(vec![RecordBody::Event(event)]);
        self
    }

    /// One that happened some time before.
    pub(crate) fn late_event(&mut self, visit: u128, name: &str, late_ms: i64) -> &mut Self {
        let event = self.next_event("a", visit, name);
        let mut event = event.unpack().expect("just packed");
        event.timestamp = event.timestamp.saturating_add(-late_ms);
        self.append(vec![RecordBody::Event(PackedEvent::pack(&event))]);
        self
    }

    fn next_event(&mut self, site: &str, visit: u128, name: &str) -> PackedEvent {
        self.clock.advance(1);
        self.sent += 1;
        let now = self.clock.now();
        PackedEvent::pack(&Event {
            flags: Flags::default(),
            site: site.into(),
            name: name.into(),
            id: EventId(Id::Bits(self.sent)),
            visit: VisitId(Id::Bits(visit)),
            visitor: None,
            page: None,
            timestamp: EventTimeMs(now.0),
            server_timestamp: now,
            client_timestamp: None,
            tie: None,
            fields: Vec::new(),
        })
    }

    /// Appends records that stand in one epoch.
    fn append(&self, bodies: Vec<RecordBody>) {
        let record = |body| NewRecord { site: "a".into(), visitor_hash: 0, dedup: None, body };
        let (said, answer) = sync_channel(1);
        let done = Box::new(move |answer| drop(said.send(answer)));
        self.log.append(bodies.into_iter().map(record).collect(), done).expect("there is room");
        answer.recv_timeout(LONG).expect("an answer").expect("on disk");
    }

    /// Waits until everything that is on disk was worked through.
    pub(crate) fn settle(&self) {
        self.reach(self.log.durable().map_or(Epoch(0), |mark| mark.epoch));
    }

    /// The same, and until no rule is shown the log any more.
    pub(crate) fn settle_backfill(&self) {
        self.settle();
        while self.pipeline.is_backfilling() {
            assert!(!self.has_failed.load(Ordering::Relaxed), "the pipeline failed");
            std::thread::yield_now();
        }
    }

    /// The epoch of the last change. Others follow it at once, while visits are open.
    fn changed(&self) -> Epoch {
        let mut reader = self.log.reader(None).expect("it is readable");
        let mut changed = Epoch(0);
        while let Some(group) = reader.next(Duration::ZERO).expect("it is readable") {
            if group.records.iter().any(|one| matches!(one.body, RecordBody::Control(_))) {
                changed = group.mark.epoch;
            }
        }
        changed
    }

    /// Waits until an epoch was worked through.
    fn reach(&self, epoch: Epoch) {
        while self.pipeline.processed().epoch < epoch {
            assert!(!self.has_failed.load(Ordering::Relaxed), "the pipeline failed");
            std::thread::yield_now();
        }
    }

    /// Ends in order; what was said of matches, as `package/rule visit: events`, with the reason
    /// for which it does not act.
    pub(crate) fn end(self) -> Vec<String> {
        drop(self.log);
        self.pipeline.stop().expect("nothing failed");
        let mut reader = self.outbox.reader(Epoch(0)).expect("nothing was released");
        let mut said = Vec::new();
        loop {
            match reader.next(Duration::ZERO) {
                Ok(Some(output)) => said.extend(sorted(output.actions.iter().map(|row| {
                    let fact = &row.fact;
                    let events: Vec<_> = fact.events.iter().map(|id| number(&id.0)).collect();
                    let why = fact.suppressed.map_or("", SuppressReason::as_str);
                    let op = if row.op == Op::Assert { "" } else { row.op.as_str() };
                    let line = format!(
                        "{}/{} {} {}: {} {op} {why}",
                        fact.package,
                        fact.rule,
                        fact.site,
                        number(&fact.visit.0),
                        events.join(" ")
                    );
                    line.trim_end().to_owned()
                }))),
                Ok(None) | Err(OutboxError::Closed) => return said,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn sorted(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<_> = lines.collect();
    lines.sort();
    lines
}

/// Without the matches that were complete before their rule was deployed.
fn later(said: &[String]) -> Vec<&str> {
    said.iter().map(String::as_str).filter(|line| !line.ends_with("backfilled")).collect()
}

fn number(id: &Id) -> String {
    match id {
        Id::Bits(bits) => bits.to_string(),
        Id::Text(text) => text.to_string(),
    }
}

/// The log alone gives the same outbox, byte for byte, whatever the number of workers.
pub(crate) fn check_replay(disk: &SimDisk) {
    let disk = disk.exit();
    for (workers, dir) in [(1, "replayed-1"), (2, "replayed-2")] {
        Life::start(&disk, workers, dir).end();
        assert!(
            files(&disk, "outbox") == files(&disk, dir),
            "{workers} workers say something else"
        );
    }
}

fn files(disk: &SimDisk, dir: &str) -> BTreeMap<String, Vec<u8>> {
    let dir = Path::new(dir);
    let names = disk.list(dir).expect("listed").into_iter();
    names.map(|name| (name.clone(), crate::testing::bytes_of(disk, &dir.join(name)))).collect()
}
