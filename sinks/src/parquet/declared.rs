//! The typed columns of the events table, over all that were ever declared, oldest first.
//!
//! Whoever deploys packages declares fields while the sink writes: both hold this list. It is appended
//! to only, and one name is one field with one type, for ever. The sink takes up what is new between
//! two rounds, and writes it down (`catalog.rs`) before a file has it; what was declared and never
//! written down is declared anew after a restart, by those packages that stand.

use super::columns::Result;
use super::config::{ParquetConfig, TypedColumn};
use super::error::ParquetError;
use super::layout::Table;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Typed columns, to be declared while the tables are written. Clones are the same list.
#[derive(Clone, Debug)]
pub struct Declared {
    columns: Arc<Mutex<Vec<TypedColumn>>>,
    columns_max: usize,
}

impl Declared {
    /// What a configuration asks for; nothing of it is checked yet.
    pub(super) fn new(config: &ParquetConfig) -> Self {
        let columns = Arc::new(Mutex::new(config.typed_columns.clone()));
        Self { columns, columns_max: config.typed_columns_max }
    }

    fn columns(&self) -> MutexGuard<'_, Vec<TypedColumn>> {
        self.columns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all of these may be declared.
    ///
    /// # Errors
    /// For the first that contradicts a column, has no name, or is one too many.
    pub fn check(&self, wanted: &[TypedColumn]) -> Result<()> {
        self.with(&self.columns(), wanted).map(drop)
    }

    /// Declares a column; the next round has it. One that is there already stays where it is.
    ///
    /// # Errors
    /// As [`check`](Self::check); then it is not declared.
    pub fn declare(&self, wanted: &TypedColumn) -> Result<()> {
        let mut columns = self.columns();
        *columns = self.with(&columns, std::slice::from_ref(wanted))?;
        Ok(())
    }

    /// Puts the columns that files have had in front of all others, and says what there is.
    pub(super) fn behind(&self, before: &[TypedColumn]) -> Result<Vec<TypedColumn>> {
        let mut columns = self.columns();
        *columns = self.with(before, &columns)?;
        Ok(columns.clone())
    }

    pub(super) fn count(&self) -> usize {
        self.columns().len()
    }

    fn with(&self, before: &[TypedColumn], wanted: &[TypedColumn]) -> Result<Vec<TypedColumn>> {
        let mut columns = before.to_vec();
        for column in wanted {
            add(&mut columns, column)?;
        }
        let (found, max) = (columns.len(), self.columns_max);
        if found > max { Err(ParquetError::TooManyColumns { found, max }) } else { Ok(columns) }
    }
}

/// One name is one field with one type.
fn add(columns: &mut Vec<TypedColumn>, column: &TypedColumn) -> Result<()> {
    let name =
        column.column_name().ok_or_else(|| ParquetError::Path { path: column.path.clone() })?;
    let same_name =
        columns.iter().find(|known| known.column_name().as_deref() == Some(name.as_str()));
    match same_name {
        Some(known) if known == column => Ok(()),
        Some(known) => Err(ParquetError::Contradiction {
            table: Table::Events.as_str().into(),
            column: name.into(),
            found: describe(known).into(),
            wanted: describe(column).into(),
        }),
        None => {
            columns.push(column.clone());
            Ok(())
        }
    }
}

fn describe(column: &TypedColumn) -> String {
    format!("`{}` as {}", column.path, column.kind.as_str())
}
