//! The columns of all files so far: appended, never removed, never retyped.
//!
//! `_manifest/columns.json` names each table's columns with their types and, for typed columns,
//! the field they were declared for. Version 1:
//!
//! ```text
//! {"version": 1, "tables": [{"table": "events", "columns": [["log_sequence", "sequence"], ...]}, ...],
//!  "typed": [{"path": "data.price", "type": "number"}, ...]}
//! ```
//!
//! A declaration that contradicts it is refused before anything
//! is written, and a new one stands in it before a file has the column. A typed column stays when its
//! declaration goes, and is filled on. The file is replaced whole: written beside, synced, renamed.

use super::columns::{ColumnSpec, Kind, Result};
use super::config::TypedColumn;
use super::declared::Declared;
use super::error::ParquetError;
use super::events::EVENT_COLUMNS;
use super::facts::{ACTION_COLUMNS, DELIVERY_COLUMNS, EPOCH_COLUMNS, VISIT_COLUMNS};
use super::folder::Folder;
use super::layout::{MANIFEST, Table};
use super::typed::typed_specs;
use serde::{Deserialize, Serialize};
use std::path::Path;

const VERSION: u32 = 1;
const FILE: &str = "columns.json";
const ADVICE: &str = "restore it from a copy, or begin with an empty folder";

/// The file's contents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalog {
    version: u32,
    tables: Vec<TableColumns>,
    typed: Vec<TypedColumn>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TableColumns {
    table: Box<str>,
    columns: Vec<(Box<str>, Kind)>,
}

/// What every version of the file has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// The typed columns of the events table, oldest first.
#[derive(Debug)]
pub(super) struct Typed {
    pub(super) declared: Vec<TypedColumn>,
    pub(super) specs: Vec<ColumnSpec>,
}

/// Checks what is declared against what the files have, and writes down what is new.
pub(super) fn settle(folder: &Folder, declared: &Declared) -> Result<Typed> {
    let name = Path::new(MANIFEST).join(FILE);
    let path = folder.at(&name);
    let before = folder.read(&name)?.map(|text| parse(&text, &path)).transpose()?;
    let typed = declared.behind(before.as_ref().map_or(&[], |catalog| &catalog.typed))?;
    let tables = Table::ALL.map(built_in).to_vec();
    if let Some(before) = &before {
        check_built_in(&before.tables, &tables, &path)?;
    }
    let catalog = Catalog { version: VERSION, tables, typed };
    if before.as_ref() != Some(&catalog) {
        let text = serde_json::to_string_pretty(&catalog).expect("names and types are JSON");
        folder.replace(&name, text.as_bytes())?;
    }
    let specs = typed_specs(&catalog.typed)?;
    Ok(Typed { declared: catalog.typed, specs })
}

fn parse(text: &[u8], path: &Path) -> Result<Catalog> {
    let bad_json = |error: serde_json::Error| damaged(path, error.to_string());
    let Versioned { version } = serde_json::from_slice(text).map_err(bad_json)?;
    if version != VERSION {
        let what = format!("version {version} is unknown, this Beckon reads {VERSION}");
        return Err(damaged(path, what));
    }
    serde_json::from_slice(text).map_err(bad_json)
}

fn damaged(path: &Path, what: String) -> ParquetError {
    let path = path.to_string_lossy().into();
    ParquetError::Damaged { path, what: what.into(), advice: ADVICE }
}

fn built_in(table: Table) -> TableColumns {
    let columns = match table {
        Table::Events => EVENT_COLUMNS,
        Table::Visits => VISIT_COLUMNS,
        Table::Actions => ACTION_COLUMNS,
        Table::Epochs => EPOCH_COLUMNS,
        Table::Deliveries => DELIVERY_COLUMNS,
    };
    let columns = columns.iter().map(|(name, kind)| ((*name).into(), *kind)).collect();
    TableColumns { table: table.as_str().into(), columns }
}

/// What a newer version wrote has columns that this one does not know: it may not go on.
fn check_built_in(before: &[TableColumns], now: &[TableColumns], path: &Path) -> Result<()> {
    for old in before {
        let new = now.iter().find(|table| table.table == old.table);
        for (name, kind) in &old.columns {
            let found = new.and_then(|table| table.columns.iter().find(|(new, _)| new == name));
            let Some((_, now)) = found else {
                let what = format!("the column {name} of the table {} is not known", old.table);
                return Err(damaged(path, what));
            };
            if now.data_type() != kind.data_type() {
                return Err(ParquetError::Contradiction {
                    table: old.table.clone(),
                    column: name.clone(),
                    found: format!("{kind:?}").into(),
                    wanted: format!("{now:?}").into(),
                });
            }
        }
    }
    Ok(())
}
