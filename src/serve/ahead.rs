//! Who has taken what of the log: it must reach at least that far.

use crate::config::Config;
use beckon_engine::log::{LogError, Named};
use beckon_engine::outbox::{Cursors, Position};
use beckon_engine::snapshot::Restart;
use beckon_sinks::parquet::ParquetTables;
use std::path::PathBuf;

/// How far each is, by where it keeps that.
pub(super) struct Ahead(Vec<(PathBuf, Position)>);

impl Ahead {
    /// The cursors, the tables, and the newest snapshot.
    ///
    /// # Errors
    /// When a cursor is damaged.
    pub(super) fn of(
        config: &Config,
        cursors: &Cursors,
        (tables, restart): (&ParquetTables, &Restart<'_>),
    ) -> anyhow::Result<Self> {
        let data = &config.server.data;
        let of_cursor = |(name, position)| (data.join("cursors").join(name), position);
        let mut all: Vec<_> = cursors.all()?.into_iter().map(of_cursor).collect();
        all.extend(tables.durable().map(|position| (config.reports(), position)));
        let Named { epoch_max, seq_max } = restart.named();
        all.push((data.join("snapshots"), Position { epoch: epoch_max, seq: seq_max }));
        Ok(Self(all))
    }

    /// The furthest.
    pub(super) fn named(&self) -> Named {
        let positions = || self.0.iter().map(|(_, position)| *position);
        Named {
            epoch_max: positions().map(|position| position.epoch).max().unwrap_or_default(),
            seq_max: positions().map(|position| position.seq).max().unwrap_or_default(),
        }
    }

    /// Says who names what the log has not, where that is the error.
    pub(super) fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let Some(LogError::Lost { .. }) = error.downcast_ref() else { return error };
        let furthest = self.0.iter().map(|(_, position)| *position).max();
        let furthest = self.0.iter().filter(|(_, position)| Some(*position) == furthest);
        let paths: Vec<String> = furthest.map(|(path, _)| path.display().to_string()).collect();
        error.context(format!("ahead of the log: {}", paths.join(", ")))
    }
}
