//! Reads the Parquet that the server left.

use anyhow::Context;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Row, RowAccessor};
use parquet::schema::types::Type;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How often each value of a text column stands in a table, over the rows for which `keep` is true
/// of the second column.
///
/// # Errors
/// When a file cannot be read, or lacks a column.
pub(crate) fn count(
    table: &Path,
    column: &str,
    filter: Option<(&str, &str)>,
) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    let (filter_column, wanted) = filter.unzip();
    each_row(table, &[column, filter_column.unwrap_or(column)], |row, places| {
        if wanted.is_none_or(|wanted| row.get_string(places[1]).is_ok_and(|it| it == wanted)) {
            *counts.entry(row.get_string(places[0])?.clone()).or_default() += 1;
        }
        Ok(())
    })?;
    Ok(counts)
}

/// Visits every row of a table, of which it reads these columns; `places` are theirs in the row.
///
/// # Errors
/// When a file cannot be read, or lacks a column, or `visit` says so.
pub(super) fn each_row(
    table: &Path,
    columns: &[&str],
    mut visit: impl FnMut(&Row, &[usize]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for file in parquet_files(table)? {
        let name = || file.display().to_string();
        let reader = SerializedFileReader::new(std::fs::File::open(&file).with_context(name)?);
        let reader = reader.with_context(name)?;
        let schema = reader.metadata().file_metadata().schema();
        let fields = schema.get_fields().iter().filter(|field| columns.contains(&field.name()));
        let fields: Vec<_> = fields.cloned().collect();
        let place = |name: &&str| {
            let mut names = fields.iter().map(|field| field.name());
            names.position(|field| field == *name).with_context(|| format!("no column {name}"))
        };
        let places = columns.iter().map(place).collect::<anyhow::Result<Vec<_>>>()?;
        let read = Type::group_type_builder(schema.name()).with_fields(fields).build()?;
        for row in reader.get_row_iter(Some(read))? {
            visit(&row?, &places).with_context(name)?;
        }
    }
    Ok(())
}

fn parquet_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(parquet_files(&path)?);
        } else {
            let is_parquet = path.extension().is_some_and(|end| end == "parquet");
            anyhow::ensure!(is_parquet, "{} lies inside a table", path.display());
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
