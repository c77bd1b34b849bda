//! What a start goes on from: the newest snapshot that is whole and that log, outbox and rules fit.

use super::file::{Rest, SnapshotFile};
use super::store::{SnapshotError, Snapshots};
use crate::catalog::{Catalog, CatalogError, Compiler};
use crate::log::{Log, LogBase, LogError, Named};
use crate::model::Epoch;
use crate::suppress::SuppressConfig;
use std::sync::Arc;

/// A start, from before the log is opened (which has to know what its beginning said) until the outbox
/// is.
#[derive(Debug)]
pub struct Restart<'a> {
    snapshots: &'a Snapshots,
    newest: Option<SnapshotFile>,
}

/// What is needed to judge a snapshot.
#[derive(Debug)]
pub struct Fitting<'a> {
    /// Where it has to be gone on from.
    pub log: &'a dyn Log,
    /// The last epoch that the outbox holds: what a snapshot has in it is not said again.
    pub outbox_last: Epoch,
    /// Compiles what stands deployed.
    pub compiler: Arc<Compiler>,
    /// How matches act.
    pub suppress: SuppressConfig,
}

/// Why there is nothing to go on from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestartError {
    /// What the file system says.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The configuration's time zone is none.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The log begins behind its first record, and no snapshot is usable.
    #[error(
        "the beginning of the log was removed behind a snapshot, and none of the snapshots can be \
         used: restore the folder `snapshots` from a copy, or move the whole data folder and that \
         of the reports away to start anew"
    )]
    Nothing,
}

impl<'a> Restart<'a> {
    /// Looks for the newest whole one.
    ///
    /// # Errors
    /// What the file system says.
    pub fn new(snapshots: &'a Snapshots) -> Result<Self, SnapshotError> {
        let newest = snapshots.whole_before(Epoch(u64::MAX))?.next().transpose()?;
        Ok(Self { snapshots, newest })
    }

    /// What the log's removed beginning said.
    #[must_use]
    pub fn base(&self) -> Option<LogBase> {
        self.newest.as_ref().map(|file| {
            let Rest { through, catalog, .. } = file.rest();
            LogBase { epoch: through.epoch, standing: catalog.standing.clone() }
        })
    }

    /// How far the log must reach.
    #[must_use]
    pub fn named(&self) -> Named {
        let through = self.newest.as_ref().map(|file| file.rest().through);
        through.map_or_else(Named::default, |through| Named {
            epoch_max: through.epoch,
            seq_max: through.last_seq,
        })
    }

    /// The snapshot to go on from, with the catalog as it was then; without one the log's start.
    ///
    /// # Errors
    /// [`RestartError`].
    pub fn choose(
        self,
        fitting: &Fitting<'_>,
    ) -> Result<(Catalog, Option<Arc<SnapshotFile>>), RestartError> {
        let before = self.newest.as_ref().map_or(Epoch(0), |file| file.rest().through.epoch);
        let newest = self.newest.map(Ok);
        for file in newest.into_iter().chain(self.snapshots.whole_before(before)?) {
            let file = file?;
            match fitting.catalog(file.rest()) {
                Ok(catalog) => return Ok((catalog, Some(Arc::new(file)))),
                Err(Misfit::Fatal(error)) => return Err(error),
                Err(Misfit::Other(why)) => {
                    let through = file.rest().through.epoch;
                    tracing::warn!(%through, %why, "a snapshot is passed over");
                }
            }
        }
        if fitting.log.stats().oldest_epoch > 1 {
            return Err(RestartError::Nothing);
        }
        let Fitting { compiler, suppress, .. } = fitting;
        let catalog = Catalog::new(Arc::clone(compiler), suppress.clone());
        Ok((catalog.map_err(CatalogError::from)?, None))
    }
}

enum Misfit {
    Fatal(RestartError),
    Other(String),
}

impl Fitting<'_> {
    /// The catalog of a snapshot that fits.
    fn catalog(&self, rest: &Rest) -> Result<Catalog, Misfit> {
        let Rest { base, through, catalog } = rest;
        if through.epoch > self.outbox_last {
            let why = format!("the outbox ends with epoch {} before it", self.outbox_last);
            return Err(Misfit::Other(why));
        }
        let next = base.epoch.next();
        if self.log.stats().oldest_epoch > next.0 {
            return Err(Misfit::Other(LogError::Gone(next).to_string()));
        }
        let (compiler, suppress) = (Arc::clone(&self.compiler), self.suppress.clone());
        match Catalog::restore(compiler, suppress, catalog.clone(), base) {
            Ok(catalog) => Ok(catalog),
            Err(error @ CatalogError::OtherRules) => Err(Misfit::Other(error.to_string())),
            Err(error) => Err(Misfit::Fatal(error.into())),
        }
    }
}
