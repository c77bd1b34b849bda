//! Kills while a snapshot is taken and behind one, which needs a while in which no rules change.
//!
//! A round goes on only while nothing is deployed, so the one who deploys rests for these. The bounds
//! of the torture let the log remove what a snapshot has: a start that could not go on from a
//! snapshot would find no beginning.

use super::clients::Tally;
use super::server::Server;
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// What stands in the server's log where it went on from one.
const GOING_ON: &str = "going on from a snapshot";
/// A round under load takes a second or two.
const ROUND_MAX: Duration = Duration::from_secs(120);

/// The snapshots of a torture.
#[derive(Debug)]
pub(super) struct Snapshots {
    folder: PathBuf,
    random: fastrand::Rng,
    /// Kills behind a new snapshot, and somewhere in a round.
    pub(super) behind: u32,
    pub(super) within: u32,
}

impl Snapshots {
    /// Of the server whose files lie in `folder`.
    pub(super) fn new(folder: &Path, seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { folder: folder.to_owned(), random, behind: 0, within: 0 }
    }

    /// Returns at the moment for a kill: some time into a round, or soon behind a new snapshot.
    ///
    /// # Errors
    /// When no snapshot comes.
    pub(super) fn wait(&mut self, server: &Server, tally: &Tally) -> anyhow::Result<()> {
        tally.rests.store(true, Ordering::Relaxed);
        let waited = if self.random.bool() { self.within(server) } else { self.behind(server) };
        tally.rests.store(false, Ordering::Relaxed);
        waited?;
        // Rules change again, or do not yet.
        std::thread::park_timeout(Duration::from_millis(self.random.u64(..40)));
        Ok(())
    }

    fn behind(&mut self, server: &Server) -> anyhow::Result<()> {
        let before = self.newest()?;
        self.until(server, |it| Ok(it.newest()? > before))?;
        self.behind += 1;
        Ok(())
    }

    fn within(&mut self, server: &Server) -> anyhow::Result<()> {
        self.until(server, |it| Ok(it.unfinished().try_exists()?))?;
        std::thread::park_timeout(Duration::from_millis(self.random.u64(..600)));
        self.within += 1;
        Ok(())
    }

    fn until(
        &self,
        server: &Server,
        is_so: impl Fn(&Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + ROUND_MAX;
        while !is_so(self)? {
            anyhow::ensure!(Instant::now() < deadline, "no snapshot:\n{}", server.last_words());
            std::thread::park_timeout(Duration::from_millis(1));
        }
        Ok(())
    }

    fn unfinished(&self) -> PathBuf {
        self.folder.join("data/snapshots/round.new")
    }

    /// The name of the newest: names sort as the epochs do.
    fn newest(&self) -> anyhow::Result<Option<String>> {
        let folder = self.folder.join("data/snapshots");
        let Ok(entries) = std::fs::read_dir(folder) else { return Ok(None) };
        let mut newest = None;
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.ends_with(".snap") {
                newest = newest.max(Some(name));
            }
        }
        Ok(newest)
    }

    /// Says how many starts went on from one, and fails where that was too few to prove a thing.
    ///
    /// # Errors
    /// When the run was too weak.
    pub(super) fn judge(&self) -> anyhow::Result<()> {
        let log = std::fs::read_to_string(self.folder.join("server.log"))
            .context("what the server logged")?;
        let starts = log.matches(GOING_ON).count();
        let first = first_segment(&self.folder.join("data/log"))?;
        let Self { behind, within, .. } = self;
        crate::say(&format!(
            "{starts} starts went on from a snapshot; {behind} kills behind a new one, {within} while \
             one was taken; the log begins with {first}"
        ));
        anyhow::ensure!(
            starts > 0 && *behind > 0 && *within > 0,
            "the run was too weak: nothing was proven about snapshots; take more kills or another seed"
        );
        Ok(())
    }
}

/// The name of the log's oldest segment.
fn first_segment(folder: &Path) -> anyhow::Result<String> {
    let mut first: Option<String> = None;
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".seg") && first.as_ref().is_none_or(|first| name < *first) {
            first = Some(name);
        }
    }
    first.context("a log without segments")
}
