//! `cargo xtask torture --overload`: more load than is let through, while reports cannot be written.
//!
//! Bounds are small, and batches come open-loop. In turn:
//!
//! 1. uploads that do not end take all the memory that bodies may have: 503, and back;
//! 2. a file stands where the reports' folder should be: the server acknowledges all the same, and
//!    what the sink has not taken waits on disk, in the outbox;
//! 3. the outbox is full and the engine falls behind the log: 503 `engine_behind`;
//! 4. the folder is back: batches are taken again, and the sink catches up.
//!
//! All the time, resident memory stays within [`GROWTH_BYTES_MAX`] of what it was before, and every
//! batch has its answer. In the end every acknowledged event stands in the Parquet once, no refused
//! one does, neither a log sequence number nor an epoch is missing or there twice, and the visits are
//! what the events say.
//!
//! `--minutes N` does all of it again and again, and prints what memory there was each minute. What is
//! remembered for long has small bounds, so that it is full before memory is looked at first. From the
//! second minute on memory is held against what it was at the end of the first.

use super::clients::KEY;
use super::memory::Resident;
use super::open_load::{OpenLoad, Outcome};
use super::server::Server;
use super::tables::Tables;
use crate::status::{STEP_MAX, Status, wait};
use anyhow::Context;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// What overload may add to the resident memory.
const GROWTH_BYTES_MAX: u64 = 48 << 20;
const BATCHES_PER_SECOND: u32 = 500;
/// Batches that are acknowledged before memory is looked at.
const WARM_BATCHES: u64 = 500;
const MINUTE: Duration = Duration::from_secs(60);
/// Uploads that do not end: together far more than bodies may have.
const UPLOADS: usize = 128;
const UPLOAD_BYTES: usize = 1 << 20;
const OUTBOX_BYTES_MAX: u64 = 16_000_000;
/// Batches that must be refused while the engine is behind.
const REFUSED_BATCHES: u64 = 500;

/// What waits in the log when the engine is behind is 60 MB, more than memory may grow by.
const BOUNDS: &str = "
[engine]
visit_events_max = 10
visit_events_matched_max = 1000000000
lateness_ms = 1000
epochs_in_flight_max = 8
events_in_flight_max = 1000
snapshot_records = 20000

[log]
segment_bytes = 8000000
retention_ms = 1000
append_queue_bytes_max = 2000000
outbox_bytes_max = 16000000
dedup_ids_max = 5000

[reports]
rotation_ms_max = 500
open_bytes_max = 8000000

[limits]
in_flight_bytes_max = 16000000
engine_lag_records_max = 15000
key_requests_per_second_max = 0
address_requests_per_second_max = 0
";

/// Runs the test.
///
/// # Errors
/// When the server does not refuse, does not recover, grows, or loses or doubles something.
pub(crate) fn run(_root: &Path, binary: &Path) -> anyhow::Result<()> {
    run_for(binary, 0)
}

/// Runs the test until so many minutes are over, once at least.
///
/// # Errors
/// As [`run`].
pub(super) fn run_for(binary: &Path, minutes: u32) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("beckon-overload-").tempdir()?;
    super::write_configuration(folder.path(), BOUNDS)?;
    let mut server = Server::new(binary.to_owned(), folder.path(), crate::free_address()?);
    let status = Status::new(binary, &folder.path().join("data"), &server.base())?;
    server.start(1)?;
    status.wait_for_answer()?;
    // The rules are in the log too.
    let log_before = status.number("/log/log_sequence")?;
    let load = OpenLoad::start(&server.base(), BATCHES_PER_SECOND);
    let outcome = Arc::clone(&load.outcome);
    let run = Run { server: &server, status: &status, outcome: &outcome };
    let followed = run.follow_for(&folder.path().join("reports"), minutes);
    let ended = load.end();
    followed.and(ended).with_context(|| server.last_words())?;
    // A stop does not wait for a full outbox: what it lacks is derived after the next start.
    let lag = || status.number("/lag_records");
    wait("the engine catches up", || Ok(lag()? == 0))?;
    let log_last = status.number("/log/log_sequence")?;
    server.stop()?;
    judge(&folder.path().join("reports"), &outcome, log_before, log_last)
}

/// A server under load.
struct Run<'a> {
    server: &'a Server,
    status: &'a Status,
    outcome: &'a Outcome,
}

impl Run<'_> {
    fn follow_for(&self, reports: &Path, minutes: u32) -> anyhow::Result<()> {
        wait("ordinary load", || {
            let is_warm = self.acknowledged() >= WARM_BATCHES;
            Ok(is_warm && self.status.number("/parquet/files")? > 0)
        })?;
        let mut before = self.server.resident()?;
        self.say("ordinary load", before);
        let (begun, mut minute) = (Instant::now(), 0);
        loop {
            self.follow(reports, before)?;
            while minute < minutes && begun.elapsed() >= MINUTE * (minute + 1) {
                minute += 1;
                self.say(&format!("minute {minute}"), self.server.resident()?);
            }
            if minute >= minutes {
                return Ok(());
            }
            // What the allocator keeps for all of it is there after a minute.
            if minute == 0 {
                before = self.server.resident()?;
            }
            wait("what has waited is taken", || {
                let bytes = self.status.number("/outbox/bytes")?;
                Ok(bytes < OUTBOX_BYTES_MAX / 4 && self.status.number("/lag_records")? < 1_000)
            })?;
        }
    }

    fn follow(&self, reports: &Path, before: Resident) -> anyhow::Result<()> {
        drop(stall_uploads(self.server.address())?);
        wait("the memory of bodies is given back", || {
            Ok(self.status.number("/body_bytes")? < UPLOAD_BYTES as u64)
        })?;
        self.check("uploads that do not end", before)?;

        let obstacle = Obstacle::stand(reports)?;
        self.see_the_outbox_grow()?;
        self.check("reports cannot be written", before)?;
        let refused = self.refused("engine_behind");
        wait("the engine falls behind", || {
            Ok(self.refused("engine_behind") >= refused + REFUSED_BATCHES)
        })?;
        self.check("the engine is behind", before)?;

        obstacle.go()?;
        let taken = self.acknowledged();
        wait("batches are taken again", || Ok(self.acknowledged() > taken + 10))?;
        self.check("reports are written again", before)
    }

    /// While there is room on disk, events are acknowledged as ever.
    fn see_the_outbox_grow(&self) -> anyhow::Result<()> {
        let (taken, refused) = (self.acknowledged(), self.outcome.batches_refused.load(Relaxed));
        let errors = self.status.number("/parquet/errors")?;
        wait("the sink fails, and the outbox grows", || {
            Ok(self.status.number("/parquet/errors")? > errors + 2
                && self.status.number("/outbox/bytes")? > OUTBOX_BYTES_MAX / 2)
        })?;
        anyhow::ensure!(self.acknowledged() > taken, "nothing acknowledged without the sink");
        let refused = self.outcome.batches_refused.load(Relaxed) - refused;
        anyhow::ensure!(refused == 0, "{refused} batches refused without the sink");
        Ok(())
    }

    fn acknowledged(&self) -> u64 {
        self.outcome.batches_acknowledged.load(Relaxed)
    }

    fn refused(&self, code: &str) -> u64 {
        let refusals = self.outcome.refusals.lock().expect("no client panics");
        refusals.get(code).copied().unwrap_or_default()
    }

    fn check(&self, phase: &str, before: Resident) -> anyhow::Result<()> {
        let now = self.server.resident()?;
        self.say(phase, now);
        let growth = now.peak_bytes.saturating_sub(before.peak_bytes);
        anyhow::ensure!(
            growth <= GROWTH_BYTES_MAX,
            "{phase}: the server grew by {growth} bytes, more than {GROWTH_BYTES_MAX}"
        );
        Ok(())
    }

    fn say(&self, phase: &str, resident: Resident) {
        crate::say(&format!(
            "{phase}: resident {} MB, {} MB at most so far; {} batches acknowledged, refused: {:?}",
            resident.now_bytes / 1_000_000,
            resident.peak_bytes / 1_000_000,
            self.acknowledged(),
            self.outcome.refusals.lock().expect("no client panics")
        ));
    }
}

/// Opens uploads that lack their last byte; some must be refused at once.
fn stall_uploads(address: &str) -> anyhow::Result<Vec<TcpStream>> {
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {KEY}\r\n\
         content-length: {UPLOAD_BYTES}\r\n\r\n",
        address
    );
    let body = vec![b' '; UPLOAD_BYTES - 1];
    let mut uploads = Vec::new();
    let mut refused = 0;
    for _ in 0..UPLOADS {
        let mut upload = TcpStream::connect(address)?;
        upload.write_all(head.as_bytes())?;
        upload.set_write_timeout(Some(STEP_MAX))?;
        // One that is refused is cut off: writing fails then, and there is an answer.
        drop(upload.write_all(&body));
        upload.set_read_timeout(Some(Duration::from_millis(1)))?;
        let mut start = [0; 12];
        if upload.read_exact(&mut start).is_ok() {
            anyhow::ensure!(&start == b"HTTP/1.1 503", "an upload was told {start:?}");
            refused += 1;
        }
        uploads.push(upload);
    }
    crate::say(&format!("{refused} of {UPLOADS} uploads refused"));
    anyhow::ensure!(refused > 0, "no upload was refused");
    Ok(uploads)
}

/// A file where the folder of reports should be.
struct Obstacle {
    folder: PathBuf,
    aside: PathBuf,
}

impl Obstacle {
    fn stand(folder: &Path) -> anyhow::Result<Self> {
        let aside = folder.with_extension("aside");
        std::fs::rename(folder, &aside)?;
        std::fs::write(folder, "no folder")?;
        Ok(Self { folder: folder.to_owned(), aside })
    }

    fn go(self) -> anyhow::Result<()> {
        std::fs::remove_file(&self.folder)?;
        Ok(std::fs::rename(&self.aside, &self.folder)?)
    }
}

fn judge(reports: &Path, outcome: &Outcome, log_before: u64, log_last: u64) -> anyhow::Result<()> {
    let acknowledged = outcome.acknowledged.lock().expect("no client panics");
    let refused = outcome.refused.lock().expect("no client panics");
    let unanswered = outcome.unanswered.lock().expect("no client panics");
    crate::say(&format!(
        "{} events acknowledged, {} refused, without an answer {unanswered:?}; {log_last} in the log",
        acknowledged.len(),
        refused.len(),
    ));
    anyhow::ensure!(unanswered.is_empty(), "batches without an answer: {unanswered:?}");
    let tables = Tables::read(reports)?;
    let events = tables.event_ids();
    let times =
        |id: &u128| events.partition_point(|it| it <= id) - events.partition_point(|it| it < id);
    let wrong = acknowledged.iter().find(|id| times(id) != 1);
    anyhow::ensure!(wrong.is_none(), "acknowledged, and not there once: {wrong:X?}");
    let wrong = refused.iter().find(|id| times(id) != 0);
    anyhow::ensure!(wrong.is_none(), "refused, and there: {wrong:X?}");
    tables.check_records(log_before, log_last)?;
    tables.check_epochs()?;
    tables.check_visits()?;
    crate::say("nothing lost, nothing doubled, nothing taken that was refused");
    Ok(())
}
