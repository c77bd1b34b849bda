//! Reads the Parquet that the server left and counts what is in it.

use anyhow::Context;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Row, RowAccessor};
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

/// Checks that the log's records behind `before`, all of them events, and all its epochs stand in
/// the tables once each, without a gap.
///
/// # Errors
/// When one does not, or a file cannot be read.
pub(crate) fn check_sequences(reports: &Path, before: u64, last: u64) -> anyhow::Result<()> {
    let mut records = Vec::new();
    each_row(&reports.join("events"), &["made_up", "log_sequence"], |row, places| {
        if !row.get_bool(places[0])? {
            records.push(u64::try_from(row.get_long(places[1])?)?);
        }
        Ok(())
    })?;
    let mut epochs = Vec::new();
    each_row(&reports.join("epochs"), &["epoch"], |row, places| {
        epochs.push(u64::try_from(row.get_long(places[0])?)?);
        Ok(())
    })?;
    for (what, numbers, before) in
        [("log sequence number", &mut records, before), ("epoch", &mut epochs, 0)]
    {
        numbers.sort_unstable();
        let wrong = numbers.iter().zip(before + 1..).find(|(found, expected)| *found != expected);
        anyhow::ensure!(wrong.is_none(), "{what}: (found, expected) {wrong:?}");
    }
    let count = records.len() as u64;
    anyhow::ensure!(before + count == last, "{count} records, and the log has {before} to {last}");
    Ok(())
}

/// Visits every row of a table; `places` are those of the columns.
fn each_row(
    table: &Path,
    columns: &[&str],
    mut visit: impl FnMut(&Row, &[usize]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for file in parquet_files(table)? {
        let reader = SerializedFileReader::new(std::fs::File::open(&file)?)
            .with_context(|| file.display().to_string())?;
        let schema = reader.metadata().file_metadata().schema().clone();
        let place = |name: &&str| {
            let mut names = schema.get_fields().iter().map(|field| field.name());
            names.position(|field| field == *name).with_context(|| format!("no column {name}"))
        };
        let places = columns.iter().map(place).collect::<anyhow::Result<Vec<_>>>()?;
        for row in reader.get_row_iter(None)? {
            visit(&row?, &places)?;
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
