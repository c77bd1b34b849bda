//! The options of `beckon replay`.

use beckon_engine::log::LogConfig;
use beckon_ingest::source::{Format, SortConfig};
use clap::{Args, ValueEnum};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Options of `beckon replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Access logs, NDJSON or CSV, also packed with gzip or Zstandard; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Folder of rule packages: DIR/PACKAGE/RULE.toml
    #[arg(long, value_name = "DIR")]
    pub(crate) rules: Option<PathBuf>,
    /// Folder of the Parquet tables
    #[arg(long, value_name = "DIR")]
    pub(crate) reports: Option<PathBuf>,
    /// Add to the tables that the folder has; what was replayed into it before is there twice then
    #[arg(long, requires = "reports")]
    pub(crate) append: bool,
    /// What the fields of a foreign JSON or CSV mean
    #[arg(long, value_name = "MAPPING.toml")]
    pub(crate) source: Option<PathBuf>,
    /// Take events in the order of the files; those that are too late are reported, not matched
    #[arg(long)]
    pub(crate) unsorted: bool,
    /// What the files are, where their content does not tell
    #[arg(long, value_name = "FORMAT")]
    pub(crate) input: Option<InputFormat>,
    /// How the result is printed
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: OutputFormat,
    /// Threads that match [default: one less than the machine has]
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<NonZeroUsize>,
    /// Bytes of events that are sorted in memory; more go through temporary files
    #[arg(long, value_name = "BYTES", default_value_t = SortConfig::default().memory_bytes_max)]
    pub(crate) sort_memory_bytes_max: usize,
    /// Event ids remembered to find duplicates, 22 to 28 bytes each; then the oldest go, counted
    #[arg(long, value_name = "N", default_value_t = LogConfig::default().dedup_ids_max)]
    pub(crate) dedup_ids_max: usize,
}

/// What an input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    /// Apache or nginx, common or combined
    AccessLog,
    /// A JSON object on each line
    Ndjson,
    /// Comma-separated values with a header
    Csv,
}

impl From<InputFormat> for Format {
    fn from(format: InputFormat) -> Self {
        match format {
            InputFormat::AccessLog => Self::AccessLog,
            InputFormat::Ndjson => Self::Ndjson,
            InputFormat::Csv => Self::Csv,
        }
    }
}

/// How the result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people
    Table,
    /// For programs
    Json,
}

impl ReplayArgs {
    /// Threads that match.
    pub(crate) fn workers(&self) -> usize {
        self.workers.map_or_else(
            || std::thread::available_parallelism().map_or(1, |all| all.get().clamp(2, 9) - 1),
            NonZeroUsize::get,
        )
    }

    /// Standard input cannot be sorted: it may never end.
    pub(crate) fn is_sorted(&self) -> bool {
        !self.unsorted && self.files.iter().all(|file| file.as_os_str() != "-")
    }
}
