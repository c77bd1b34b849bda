//! Kills while a snapshot is taken and behind one, which needs a while in which no rules change.
//!
//! A round goes on only while nothing is deployed, so the one who deploys rests for these. The bounds
//! of the torture let the log remove what a snapshot has: a start that could not go on from a
//! snapshot would find no beginning.

use super::clients::Tally;
use super::server::Server;
use anyhow::Context;
use std::collections::BTreeSet;
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

    /// Returns soon behind a new snapshot.
    ///
    /// # Errors
    /// When none comes.
    pub(super) fn wait_behind(&mut self, server: &Server, tally: &Tally) -> anyhow::Result<()> {
        self.rest(tally, |it| it.behind(server))
    }

    /// Returns some time into a round.
    ///
    /// # Errors
    /// When none comes.
    pub(super) fn wait_within(&mut self, server: &Server, tally: &Tally) -> anyhow::Result<()> {
        self.rest(tally, |it| it.within(server))
    }

    /// Waits while nothing is deployed.
    fn rest(
        &mut self,
        tally: &Tally,
        wait: impl FnOnce(&mut Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        tally.rests.store(true, Ordering::Relaxed);
        let waited = wait(self);
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

    /// The name of the newest.
    fn newest(&self) -> anyhow::Result<Option<String>> {
        Ok(names(&self.folder.join("data/snapshots"), ".snap")?.pop_last())
    }

    /// Starts that went on from one.
    ///
    /// # Errors
    /// When what the server logged cannot be read.
    pub(super) fn starts(&self) -> anyhow::Result<usize> {
        let log = std::fs::read_to_string(self.folder.join("server.log"))
            .context("what the server logged")?;
        Ok(log.matches(GOING_ON).count())
    }

    /// Says how many starts went on from one, and fails where that was too few to prove a thing.
    ///
    /// # Errors
    /// When the run was too weak.
    pub(super) fn judge(&self) -> anyhow::Result<()> {
        let starts = self.starts()?;
        let first = names(&self.folder.join("data/log"), ".seg")?.pop_first();
        let first = first.context("a log without segments")?;
        let Self { behind, within, .. } = self;
        crate::say(&format!(
            "{starts} starts went on from a snapshot; {behind} kills behind a new one, {within} while \
             one was taken; the log begins with {first}"
        ));
        anyhow::ensure!(
            starts > 0 && *behind > 0 && *within > 0,
            "the run was too weak: nothing was proven about snapshots; take more kills"
        );
        Ok(())
    }
}

/// The files of a folder with such an end; their numbers sort as their names do. None where the folder is
/// not there yet.
fn names(folder: &Path, end: &str) -> anyhow::Result<BTreeSet<String>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(BTreeSet::new()) };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let is_asked =
        |name: &anyhow::Result<String>| !name.as_ref().is_ok_and(|it| !it.ends_with(end));
    names.filter(is_asked).collect()
}
