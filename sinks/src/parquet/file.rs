//! One Parquet file being written, and the files of a round.
//!
//! A file is written in the temporary folder through a writer that computes its checksum on the
//! way, so that nothing is read again. It is finished - footer, sync - at a limit of its own or at
//! the end of its round; only the manifest makes it visible.

use super::columns::{Batch, Result};
use super::config::ParquetConfig;
use super::error::ParquetError;
use super::folder::{Folder, sync_file};
use super::layout::{TEMPORARY, Table, file_stem};
use super::manifest::FileEntry;
use arrow_array::{Array, Int64Array, RecordBatch};
use beckon_engine::disk::DiskFile;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Rows that wait for one file before they are put into columns.
pub(super) const BATCH_ROWS_MAX: usize = 1024;
/// Bytes that wait for one file before they are put into columns.
const BATCH_BYTES_MAX: u64 = 4 << 20;

/// Appends to a file, and computes CRC32C and length of what passes.
#[derive(Debug)]
struct Checked {
    file: Box<dyn DiskFile>,
    crc32c: u32,
    bytes: u64,
}

impl Write for Checked {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write_at(self.bytes, bytes)?;
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Part {
    writer: ArrowWriter<Checked>,
    temporary: PathBuf,
    path: String,
    rows: u64,
    sequences: Sequences,
}

/// First and last log sequence number of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sequences {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Sequences {
    fn join(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }

    /// Of the rows of a batch: `log_sequence`, or first and last of the epochs table.
    fn of(table: Table, batch: &RecordBatch) -> Self {
        let (first, last) = match table {
            Table::Epochs => (batch.column(1), batch.column(2)),
            Table::Events | Table::Visits | Table::Actions | Table::Deliveries => {
                (batch.column(0), batch.column(0))
            }
        };
        let values = |column: &dyn Array| -> Vec<u64> {
            let column = column.as_any().downcast_ref::<Int64Array>();
            let column = column.expect("sequence numbers are 64-bit integers");
            column.values().iter().map(|value| u64::try_from(*value).unwrap_or(0)).collect()
        };
        Self {
            first: values(first).into_iter().min().unwrap_or(0),
            last: values(last).into_iter().max().unwrap_or(0),
        }
    }
}

/// What the files of a round share.
#[derive(Debug)]
pub(super) struct RoundFiles {
    folder: Folder,
    pub(super) round: u64,
    pub(super) limits: Limits,
    /// Memory of what is open, over all files.
    pub(super) open_bytes: u64,
    pub(super) finished: Vec<FileEntry>,
    parts: u32,
}

/// The limits of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    file_bytes_max: u64,
    file_rows_max: u64,
    pub(super) batch_rows_max: usize,
    pub(super) batch_bytes_max: u64,
}

impl Limits {
    pub(super) fn new(config: &ParquetConfig) -> Self {
        let file_rows_max = usize::try_from(config.file_rows_max).unwrap_or(usize::MAX);
        Self {
            file_bytes_max: config.file_bytes_max,
            file_rows_max: config.file_rows_max.max(1),
            batch_rows_max: BATCH_ROWS_MAX.min(file_rows_max),
            batch_bytes_max: BATCH_BYTES_MAX.min(config.file_bytes_max / 16),
        }
    }

    /// Room that is kept for the next batch and the footer.
    fn margin_bytes(&self) -> u64 {
        (2 * BATCH_BYTES_MAX).min(self.file_bytes_max / 4)
    }
}

impl RoundFiles {
    pub(super) fn new(folder: Folder, round: u64, limits: Limits) -> Self {
        Self { folder, round, limits, open_bytes: 0, finished: Vec::new(), parts: 0 }
    }

    fn create(&mut self, folder: &str, batch: &Batch) -> Result<Part> {
        let stem = file_stem(self.round, self.parts);
        self.parts += 1;
        let name = Path::new(TEMPORARY).join(format!("{stem}.part"));
        let file = self.folder.create(&name)?;
        let temporary = self.folder.at(&name);
        let options = ArrowWriterOptions::new()
            .with_properties(batch.properties())
            .with_skip_arrow_metadata(true);
        let checked = Checked { file, crc32c: 0, bytes: 0 };
        let writer = ArrowWriter::try_new_with_options(checked, batch.schema(), options)
            .map_err(ParquetError::encode(&temporary))?;
        let path = format!("{folder}/{stem}.parquet");
        let sequences = Sequences { first: u64::MAX, last: 0 };
        Ok(Part { writer, temporary, path, rows: 0, sequences })
    }
}

/// The files of one folder in a round: at most one is open.
pub(super) struct Output {
    table: Table,
    folder: String,
    part: Option<Part>,
    memory_bytes: u64,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Output {
    pub(super) fn new(table: Table, folder: String) -> Self {
        Self { table, folder, part: None, memory_bytes: 0 }
    }

    /// Memory of the open row group.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Writes the rows of `batch`, to as many files as the limits ask for.
    pub(super) fn write(&mut self, batch: &mut Batch, files: &mut RoundFiles) -> Result<()> {
        let mut rows = batch.take();
        while rows.num_rows() > 0 {
            let mut part = match self.part.take() {
                Some(part) => part,
                None => files.create(&self.folder, batch)?,
            };
            let left = files.limits.file_rows_max.saturating_sub(part.rows);
            let count = rows.num_rows().min(usize::try_from(left).unwrap_or(usize::MAX));
            let head = rows.slice(0, count);
            rows = rows.slice(count, rows.num_rows() - count);
            part.writer.write(&head).map_err(ParquetError::encode(&part.temporary))?;
            part.rows += count as u64;
            part.sequences = part.sequences.join(Sequences::of(self.table, &head));
            let size = (part.writer.bytes_written() + part.writer.in_progress_size()) as u64;
            let is_full = part.rows >= files.limits.file_rows_max
                || size + files.limits.margin_bytes() > files.limits.file_bytes_max;
            self.part = Some(part);
            if is_full {
                self.finish(files)?;
            }
        }
        self.note_memory(files);
        Ok(())
    }

    /// Sees that there is a file, if only one without rows: it tells readers the columns.
    pub(super) fn touch(&mut self, batch: &Batch, files: &mut RoundFiles) -> Result<()> {
        if self.part.is_none() {
            self.part = Some(files.create(&self.folder, batch)?);
        }
        Ok(())
    }

    /// Ends the open row group: its memory goes to the file.
    pub(super) fn flush(&mut self, files: &mut RoundFiles) -> Result<()> {
        if let Some(part) = &mut self.part {
            part.writer.flush().map_err(ParquetError::encode(&part.temporary))?;
        }
        self.note_memory(files);
        Ok(())
    }

    /// Ends and syncs the open file, if there is one.
    pub(super) fn finish(&mut self, files: &mut RoundFiles) -> Result<()> {
        let Some(part) = self.part.take() else { return Ok(()) };
        let checked = part.writer.into_inner().map_err(ParquetError::encode(&part.temporary))?;
        sync_file(&*checked.file, &part.temporary)?;
        files.finished.push(FileEntry {
            path: part.path,
            rows: part.rows,
            bytes: checked.bytes,
            crc32c: checked.crc32c,
            sequence_first: part.sequences.first.min(part.sequences.last),
            sequence_last: part.sequences.last,
        });
        self.note_memory(files);
        Ok(())
    }

    fn note_memory(&mut self, files: &mut RoundFiles) {
        let now = self.part.as_ref().map_or(0, |part| part.writer.memory_size() as u64);
        files.open_bytes = files.open_bytes - self.memory_bytes + now;
        self.memory_bytes = now;
    }
}
