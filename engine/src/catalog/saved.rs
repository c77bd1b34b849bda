//! The catalog in a snapshot: what stands deployed, and which rule has which slot.

use super::slots::Slots;
use super::{BackfilledFrom, Catalog, Compiler};
use crate::log::Standing;
use crate::model::EpochMark;
use crate::stage::{PartialBackfills, RuleBegin, RuleChange};
use crate::suppress::SuppressConfig;
use beckon_rules::schedule::ScheduleError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A catalog while no deployment is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedCatalog {
    /// What stands deployed and paused.
    pub standing: Standing,
    slots: Slots,
    begins: Vec<Option<RuleBegin>>,
    backfilled_from: BackfilledFrom,
    partial: BTreeMap<u32, u64>,
}

/// Why a catalog cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The configuration's time zone is none.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The state of the engine is that of other rules.
    #[error("this beckon reads the deployed rules otherwise than the one that took the snapshot")]
    OtherRules,
}

impl Catalog {
    /// What a snapshot holds of it.
    #[must_use]
    pub fn save(&self) -> SavedCatalog {
        SavedCatalog {
            standing: self.standing.clone(),
            slots: self.slots.clone(),
            begins: self.current.begins.to_vec(),
            backfilled_from: self.backfilled_from.clone(),
            partial: self.current.partial.all(),
        }
    }

    /// A catalog as it was saved, behind an epoch.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn restore(
        compiler: Arc<Compiler>,
        suppress: SuppressConfig,
        saved: SavedCatalog,
        ended: &EpochMark,
    ) -> Result<Self, CatalogError> {
        let mut catalog = Self::new(compiler, suppress)?;
        let SavedCatalog { standing, slots, begins, backfilled_from, partial } = saved;
        (catalog.standing, catalog.slots) = (standing, slots);
        catalog.backfilled_from = backfilled_from;
        catalog.current.partial = Arc::new(PartialBackfills::restored(partial));
        let mut change = catalog.current.clone();
        catalog.compile((ended, false), &mut change);
        if !change.fresh.is_empty() || !change.retired.is_empty() {
            return Err(CatalogError::OtherRules);
        }
        change.begins = begins.into();
        change.paused = Arc::new(catalog.standing.paused.clone());
        catalog.current = change;
        Ok(catalog)
    }

    /// What runs.
    #[must_use]
    pub fn rules(&self) -> &RuleChange {
        &self.current
    }
}
