//! Reads the Parquet that the server left and counts what is in it.

use anyhow::Context;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
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
    for file in parquet_files(table)? {
        let reader = SerializedFileReader::new(std::fs::File::open(&file)?)
            .with_context(|| file.display().to_string())?;
        let schema = reader.metadata().file_metadata().schema().clone();
        let place = |name: &str| {
            let mut names = schema.get_fields().iter().map(|field| field.name().to_owned());
            names.position(|field| field == name).with_context(|| format!("no column {name}"))
        };
        let value = place(column)?;
        let filter = match filter {
            Some((name, wanted)) => Some((place(name)?, wanted)),
            None => None,
        };
        for row in reader.get_row_iter(None)? {
            let row = row?;
            if let Some((place, wanted)) = filter
                && row.get_string(place)? != wanted
            {
                continue;
            }
            *counts.entry(row.get_string(value)?.clone()).or_default() += 1;
        }
    }
    Ok(counts)
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
