//! When the kills come. Each kind of moment has its share of them, in an order that the seed decides.
//!
//! What a kill hits is left to the machine. A run that has not hit all that it is to prove goes on with
//! kills at such moments, so that no seed is a bad one.

use super::clients::Tally;
use super::server::Server;
use super::snapshots::Snapshots;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Kills behind those that were asked for, at most.
const MORE_KILLS_MAX: u32 = 20;
/// A run lasts so long at least: a visit that is left is over four seconds later.
const RUN_MIN: Duration = Duration::from_secs(8);

/// When a kill comes.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Soon behind the start: it recovers, perhaps.
    Recovery,
    /// A change of what is deployed is under way.
    Change,
    /// Some batches later.
    Load,
    BehindSnapshot,
    WithinSnapshot,
}

/// Ten kills in a row have these, in any order.
const SHARES: [Moment; 10] = [
    Moment::Load,
    Moment::Change,
    Moment::BehindSnapshot,
    Moment::WithinSnapshot,
    Moment::Recovery,
    Moment::Load,
    Moment::Change,
    Moment::Load,
    Moment::Recovery,
    Moment::Load,
];

/// Kills of a server under load.
pub(super) struct Kills<'a> {
    pub(super) server: &'a mut Server,
    pub(super) tally: &'a Tally,
    pub(super) snapshots: &'a mut Snapshots,
    pub(super) random: fastrand::Rng,
}

impl Kills<'_> {
    /// Kills it so often, and more often where that proved too little.
    ///
    /// # Errors
    /// When the server ends by itself, or nothing goes on.
    pub(super) fn run(&mut self, kills: u32) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut moments: Vec<_> = SHARES.into_iter().cycle().zip(0..kills).collect();
        self.random.shuffle(&mut moments);
        for ((moment, _), kill) in moments.into_iter().zip(1_u32..) {
            self.kill(moment, &format!("kill {kill} of {kills}"))?;
        }
        for kill in 1..=MORE_KILLS_MAX {
            let Some((moment, lack)) = self.lacks()? else { break };
            self.kill(moment, &format!("kill {kill} behind those, as {lack}"))?;
        }
        while begun.elapsed() < RUN_MIN {
            self.wait_for(&self.tally.batches, 1)?;
        }
        self.wait_for(&self.tally.batches, 50)
    }

    fn kill(&mut self, moment: Moment, which: &str) -> anyhow::Result<()> {
        match moment {
            Moment::Recovery => {
                std::thread::park_timeout(Duration::from_millis(self.random.u64(..300)));
            }
            Moment::Change => {
                let more = self.random.u64(1..10);
                self.wait_for(&self.tally.changes, more)?;
                std::thread::park_timeout(Duration::from_micros(self.random.u64(..3_000)));
            }
            Moment::Load => {
                let more = self.random.u64(1..120);
                self.wait_for(&self.tally.batches, more)?;
            }
            Moment::BehindSnapshot => self.snapshots.wait_behind(self.server, self.tally)?,
            Moment::WithinSnapshot => self.snapshots.wait_within(self.server, self.tally)?,
        }
        self.server.kill()?;
        let workers = self.random.u32(1..=2);
        crate::say(&format!(
            "{which}: {} batches acknowledged, {} changes of rules sent; starting with {workers} workers",
            seen(&self.tally.batches),
            seen(&self.tally.changes)
        ));
        self.server.start(workers)
    }

    /// What no kill has hit yet, and the moment at which one may.
    fn lacks(&self) -> anyhow::Result<Option<(Moment, &'static str)>> {
        let Tally { cut_off, duplicates, changes_cut_off, .. } = self.tally;
        let lack = if seen(cut_off) == 0 || seen(duplicates) == 0 {
            (Moment::Load, "no stored batch was cut off")
        } else if seen(changes_cut_off) == 0 {
            (Moment::Change, "no change of rules was cut off")
        } else if self.snapshots.within == 0 {
            (Moment::WithinSnapshot, "none came within a snapshot")
        } else if self.snapshots.behind == 0 || self.snapshots.starts()? == 0 {
            (Moment::BehindSnapshot, "no start went on from a snapshot")
        } else {
            return Ok(None);
        };
        Ok(Some(lack))
    }

    /// Waits until so many more are counted.
    fn wait_for(&self, count: &AtomicU64, more: u64) -> anyhow::Result<()> {
        let enough = seen(count) + more;
        let deadline = Instant::now() + Duration::from_secs(120);
        while seen(count) < enough {
            anyhow::ensure!(!self.tally.ends.load(Ordering::Relaxed), "the deployer gave up");
            let words = || self.server.last_words();
            anyhow::ensure!(Instant::now() < deadline, "no progress:\n{}", words());
            std::thread::park_timeout(Duration::from_micros(200));
        }
        Ok(())
    }
}

fn seen(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}
