//! The five tables being written: rows in, files out, one round at a time.
//!
//! Rows of the events table wait in the lane of their folder and are put into columns a few
//! thousand at a time; the other tables have one lane each and are put into columns at once. What
//! is open is counted in bytes; over `open_bytes_max` the largest lane goes to its file. A field that is
//! declared ends the round, so that what comes behind it has its column; as many rounds end so as
//! there are typed columns, at most.

use super::catalog;
use super::columns::{Batch, Result, spec};
use super::config::ParquetConfig;
use super::declared::Declared;
use super::error::ParquetError;
use super::events::{EventEncoder, PendingEvent};
use super::facts::{
    ACTION_COLUMNS, DELIVERY_COLUMNS, EPOCH_COLUMNS, VISIT_COLUMNS, append_action, append_delivery,
    append_epoch, append_visit, deliveries,
};
use super::file::{Limits, Output, RoundFiles};
use super::folder::Folder;
use super::layout::{DayFolders, MANIFEST, Table, date_of};
use super::manifest::{Manifest, RoundEntry};
use super::stats::ParquetStats;
use super::typed::TypedPaths;
use beckon_engine::disk::{Disk, DiskLock, RealDisk};
use beckon_engine::model::{Epoch, EpochMark, EpochOutput, EventRow, ServerTimeMs};
use beckon_engine::outbox::Position;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Bytes that a row is counted with beside its event: the row itself, its cells.
const ROW_BYTES: u64 = 256;

/// The tables of a folder, open for writing. Dropping it without [`finish`](Self::finish) leaves
/// what is durable and nothing else.
#[derive(Debug)]
pub struct ParquetTables {
    folder: Folder,
    config: ParquetConfig,
    declared: Declared,
    limits: Limits,
    lock: Arc<dyn DiskLock>,
    manifest: Manifest,
    day: DayFolders,
    events: EventTable,
    visits: FactTable,
    actions: FactTable,
    epochs: FactTable,
    deliveries: FactTable,
    round: Option<Round>,
    last_epoch: Option<Epoch>,
    is_poisoned: bool,
    stats: Arc<ParquetStats>,
}

#[derive(Debug)]
struct Round {
    files: RoundFiles,
    date: String,
    first: EpochMark,
    last: EpochMark,
}

/// The events of one folder.
#[derive(Debug)]
struct EventLane {
    output: Output,
    waiting: Vec<PendingEvent>,
    waiting_bytes: u64,
}

#[derive(Debug)]
struct EventTable {
    encoder: EventEncoder,
    typed_columns: usize,
    lanes: Vec<EventLane>,
    by_folder: BTreeMap<String, usize>,
    /// Names that were looked up in this round; those of `__other` are not remembered, for there
    /// may be any number.
    by_name: BTreeMap<Box<str>, usize>,
}

/// A table with one lane.
#[derive(Debug)]
struct FactTable {
    table: Table,
    batch: Batch,
    rows: usize,
    bytes: u64,
    output: Option<Output>,
}

impl ParquetTables {
    /// Opens the tables of a folder: creates it, or recovers what is there - finishes the last
    /// round of the manifest, drops unfinished files - and checks the columns.
    ///
    /// # Errors
    /// When another process has them open, the file system says no, what was synced is damaged, or
    /// a typed column contradicts an earlier one.
    pub fn open(directory: &Path, config: ParquetConfig) -> Result<Self> {
        Self::open_on(Arc::new(RealDisk), directory, config)
    }

    /// As [`open`](Self::open), on another disk.
    pub(super) fn open_on(
        disk: Arc<dyn Disk>,
        directory: &Path,
        config: ParquetConfig,
    ) -> Result<Self> {
        let folder = Folder::new(disk, directory);
        let name = Path::new(MANIFEST);
        folder.create_folder(name)?;
        let lock = folder.lock(&name.join("lock"))?.into();
        let declared = Declared::new(&config);
        Self::recover(folder, (config, declared), lock, Arc::default())
    }

    /// Opens the tables again after a failure: what was open is dropped.
    ///
    /// # Errors
    /// As [`open`](Self::open); it may be tried again.
    pub(super) fn reopen(&mut self) -> Result<()> {
        let (folder, columns) = (self.folder.clone(), (self.config.clone(), self.declared()));
        self.round = None;
        self.is_poisoned = true;
        *self = Self::recover(folder, columns, Arc::clone(&self.lock), self.stats())?;
        Ok(())
    }

    fn recover(
        folder: Folder,
        (config, declared): (ParquetConfig, Declared),
        lock: Arc<dyn DiskLock>,
        stats: Arc<ParquetStats>,
    ) -> Result<Self> {
        let (manifest, day) = Manifest::open(folder.clone())?;
        let events = EventTable::open(&folder, &declared)?;
        let last_epoch = manifest.durable().map(|position| position.epoch);
        let durable = last_epoch.map_or(0, |epoch| epoch.0);
        stats.epoch_written.store(durable, Relaxed);
        stats.epoch_durable.store(durable, Relaxed);
        stats.open_bytes.store(0, Relaxed);
        Ok(Self {
            folder,
            limits: Limits::new(&config),
            config,
            declared,
            lock,
            manifest,
            day,
            events,
            visits: FactTable::new(Table::Visits, VISIT_COLUMNS),
            actions: FactTable::new(Table::Actions, ACTION_COLUMNS),
            epochs: FactTable::new(Table::Epochs, EPOCH_COLUMNS),
            deliveries: FactTable::new(Table::Deliveries, DELIVERY_COLUMNS),
            round: None,
            last_epoch,
            is_poisoned: false,
            stats,
        })
    }

    /// Takes what the engine said of the next epoch. Nothing is durable before the round ends.
    ///
    /// # Errors
    /// For an epoch that is not behind the last one, and when writing fails; then the tables must
    /// be opened again, and reading goes on behind [`durable`](Self::durable).
    pub fn write(&mut self, output: &EpochOutput) -> Result<()> {
        let epoch = output.mark.epoch;
        if let Some(last) = self.last_epoch.filter(|last| *last >= epoch) {
            let folder = self.folder.path().to_string_lossy().into();
            return Err(ParquetError::Order { folder, epoch, last });
        }
        let date = date_of(output.mark.now)?;
        self.guard(|tables| tables.write_epoch(output, &date))
    }

    fn write_epoch(&mut self, output: &EpochOutput, date: &str) -> Result<()> {
        let is_another_day = self.round.as_ref().is_some_and(|round| round.date != date);
        let is_declared = self.declared.count() > self.events.typed_columns;
        if is_another_day || is_declared || self.roll_due(output.mark.now) {
            self.end_round()?;
        }
        if is_declared {
            self.events = EventTable::open(&self.folder, &self.declared)?;
        }
        self.day.begin(date);
        let mut round = match self.round.take() {
            Some(round) => Round { last: output.mark, ..round },
            None => Round {
                files: RoundFiles::new(
                    self.folder.clone(),
                    self.manifest.next_round(),
                    self.limits,
                ),
                date: date.to_owned(),
                first: output.mark,
                last: output.mark,
            },
        };
        let written = self.write_rows(output, &mut round);
        let is_full = !round.files.finished.is_empty();
        self.stats.open_bytes.store(round.files.open_bytes, Relaxed);
        self.round = Some(round);
        written?;
        self.last_epoch = Some(output.mark.epoch);
        self.stats.epoch_written.store(output.mark.epoch.0, Relaxed);
        if is_full { self.end_round() } else { Ok(()) }
    }

    fn write_rows(&mut self, output: &EpochOutput, round: &mut Round) -> Result<()> {
        let mark = &output.mark;
        for row in &output.events {
            let lane = self.lane_of(row, round);
            let pending = PendingEvent { row: row.clone(), epoch: mark.epoch };
            self.events.push(lane, pending, &mut round.files)?;
            self.make_room(&mut round.files)?;
        }
        for row in &output.visits {
            let bytes = ROW_BYTES;
            self.visits.push(bytes, round, |batch| append_visit(batch, row, mark))?;
            self.make_room(&mut round.files)?;
        }
        for row in &output.actions {
            let data = row.fact.data.as_ref().map_or(0, |data| data.len());
            let bytes = ROW_BYTES + (data + 64 * row.fact.events.len()) as u64;
            self.actions.push(bytes, round, |batch| append_action(batch, row, mark))?;
            self.make_room(&mut round.files)?;
        }
        for row in deliveries(output) {
            self.deliveries.push(ROW_BYTES, round, |batch| append_delivery(batch, row, mark))?;
            self.make_room(&mut round.files)?;
        }
        self.epochs.push(ROW_BYTES, round, |batch| append_epoch(batch, output))?;
        self.make_room(&mut round.files)
    }

    /// The lane of an event's folder; an unreadable event has no name and goes to the others.
    fn lane_of(&mut self, row: &EventRow, round: &Round) -> usize {
        let name = row.event.view().map_or("", |view| view.name);
        if let Some(lane) = self.events.by_name.get(name) {
            return *lane;
        }
        let folder = self.day.choose(name, self.config.event_folders_max);
        let has_own = self.day.names.contains(&folder);
        let lane = self.events.lane(&round.date, folder);
        if has_own {
            self.events.by_name.insert(name.into(), lane);
        } else {
            self.stats.other_events.fetch_add(1, Relaxed);
        }
        lane
    }

    /// Sends the largest of what is open to its file until the rest is within the limit.
    fn make_room(&mut self, files: &mut RoundFiles) -> Result<()> {
        while files.open_bytes > self.config.open_bytes_max {
            let facts =
                [&mut self.visits, &mut self.actions, &mut self.epochs, &mut self.deliveries];
            let fact = facts.into_iter().max_by_key(|table| table.open_bytes());
            let fact = fact.expect("there are four");
            let lane = self.events.lanes.iter_mut().max_by_key(|lane| lane.open_bytes());
            match lane.filter(|lane| lane.open_bytes() >= fact.open_bytes()) {
                Some(lane) => lane.flush(&mut self.events.encoder, files)?,
                None => fact.flush(files)?,
            }
            self.stats.flushes.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    /// Whether the open round is older than `rotation_ms_max`.
    #[must_use]
    pub fn roll_due(&self, now: ServerTimeMs) -> bool {
        self.round.as_ref().is_some_and(|round| {
            now.0.saturating_sub(round.first.now.0) >= self.config.rotation_ms_max
        })
    }

    /// Ends the round: everything written becomes durable and visible. Does nothing without one.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn roll(&mut self) -> Result<()> {
        self.guard(Self::end_round)
    }

    /// Ends the round and closes the tables; says through where they are durable.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn finish(mut self) -> Result<Option<Position>> {
        self.roll()?;
        Ok(self.durable())
    }

    /// Everything through here is in finished files; `None` for new tables.
    #[must_use]
    pub fn durable(&self) -> Option<Position> {
        self.manifest.durable()
    }

    /// What was written since the tables were opened.
    #[must_use]
    pub fn stats(&self) -> Arc<ParquetStats> {
        Arc::clone(&self.stats)
    }

    /// Where fields are declared while the tables are written.
    #[must_use]
    pub fn declared(&self) -> Declared {
        self.declared.clone()
    }

    /// After a failure nothing more is taken: what is open is in doubt.
    fn guard(&mut self, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        if self.is_poisoned {
            return Err(ParquetError::Poisoned);
        }
        let done = work(self);
        self.is_poisoned = done.is_err();
        done
    }

    fn end_round(&mut self) -> Result<()> {
        let Some(Round { mut files, date, first, last }) = self.round.take() else {
            return Ok(());
        };
        self.events.finish(&mut files)?;
        let facts = [&mut self.visits, &mut self.actions, &mut self.epochs, &mut self.deliveries];
        for table in facts {
            if files.round == 1 {
                table.touch(&mut files, &date)?;
            }
            table.finish(&mut files)?;
        }
        files.finished.sort_by(|one, other| one.path.cmp(&other.path));
        let rows: u64 = files.finished.iter().map(|file| file.rows).sum();
        let bytes: u64 = files.finished.iter().map(|file| file.bytes).sum();
        let count = files.finished.len() as u64;
        self.manifest.commit(RoundEntry {
            version: RoundEntry::version(),
            round: files.round,
            date,
            epoch_first: first.epoch.0,
            epoch_last: last.epoch.0,
            sequence_first: first.first_seq.0,
            sequence_last: last.last_seq.0,
            files: files.finished,
        })?;
        self.stats.rounds.fetch_add(1, Relaxed);
        self.stats.rows.fetch_add(rows, Relaxed);
        self.stats.files.fetch_add(count, Relaxed);
        self.stats.bytes.fetch_add(bytes, Relaxed);
        self.stats.epoch_durable.store(last.epoch.0, Relaxed);
        self.stats.open_bytes.store(0, Relaxed);
        Ok(())
    }
}

impl EventLane {
    fn open_bytes(&self) -> u64 {
        self.waiting_bytes + self.output.memory_bytes()
    }

    /// Puts what waits into columns and to the open file.
    fn encode(&mut self, encoder: &mut EventEncoder, files: &mut RoundFiles) -> Result<()> {
        for pending in self.waiting.drain(..) {
            encoder.append(&pending);
        }
        files.open_bytes -= self.waiting_bytes;
        self.waiting_bytes = 0;
        self.output.write(encoder.batch(), files)
    }

    fn flush(&mut self, encoder: &mut EventEncoder, files: &mut RoundFiles) -> Result<()> {
        self.encode(encoder, files)?;
        self.output.flush(files)
    }
}

impl EventTable {
    /// The table with all columns that are declared by now; they are written down.
    fn open(folder: &Folder, declared: &Declared) -> Result<Self> {
        let typed = catalog::settle(folder, declared)?;
        Ok(Self {
            encoder: EventEncoder::new(TypedPaths::new(&typed.declared), &typed.specs),
            typed_columns: typed.declared.len(),
            lanes: Vec::new(),
            by_folder: BTreeMap::new(),
            by_name: BTreeMap::new(),
        })
    }

    fn lane(&mut self, date: &str, folder: String) -> usize {
        if let Some(lane) = self.by_folder.get(&folder) {
            return *lane;
        }
        let path = format!("{}/event={folder}", Table::Events.folder(date));
        let output = Output::new(Table::Events, path);
        self.lanes.push(EventLane { output, waiting: Vec::new(), waiting_bytes: 0 });
        let lane = self.lanes.len() - 1;
        self.by_folder.insert(folder, lane);
        lane
    }

    fn push(&mut self, lane: usize, event: PendingEvent, files: &mut RoundFiles) -> Result<()> {
        let lane = &mut self.lanes[lane];
        let bytes = ROW_BYTES + 2 * event.row.event.as_bytes().len() as u64;
        lane.waiting.push(event);
        lane.waiting_bytes += bytes;
        files.open_bytes += bytes;
        let is_batch = lane.waiting.len() >= files.limits.batch_rows_max
            || lane.waiting_bytes >= files.limits.batch_bytes_max;
        if is_batch { lane.encode(&mut self.encoder, files) } else { Ok(()) }
    }

    fn finish(&mut self, files: &mut RoundFiles) -> Result<()> {
        for mut lane in self.lanes.drain(..) {
            lane.encode(&mut self.encoder, files)?;
            lane.output.finish(files)?;
        }
        self.by_folder.clear();
        self.by_name.clear();
        Ok(())
    }
}

impl FactTable {
    fn new(table: Table, columns: &[(&str, super::columns::Kind)]) -> Self {
        let batch = Batch::new(&spec(columns));
        Self { table, batch, rows: 0, bytes: 0, output: None }
    }

    fn open_bytes(&self) -> u64 {
        self.bytes + self.output.as_ref().map_or(0, Output::memory_bytes)
    }

    fn push(
        &mut self,
        bytes: u64,
        round: &mut Round,
        append: impl FnOnce(&mut Batch),
    ) -> Result<()> {
        append(&mut self.batch);
        self.rows += 1;
        self.bytes += bytes;
        round.files.open_bytes += bytes;
        let table = self.table;
        self.output.get_or_insert_with(|| Output::new(table, table.folder(&round.date)));
        let limits = round.files.limits;
        let is_batch = self.rows >= limits.batch_rows_max || self.bytes >= limits.batch_bytes_max;
        if is_batch { self.encode(&mut round.files) } else { Ok(()) }
    }

    fn encode(&mut self, files: &mut RoundFiles) -> Result<()> {
        files.open_bytes -= self.bytes;
        self.bytes = 0;
        self.rows = 0;
        match &mut self.output {
            Some(output) => output.write(&mut self.batch, files),
            None => Ok(()),
        }
    }

    fn flush(&mut self, files: &mut RoundFiles) -> Result<()> {
        self.encode(files)?;
        self.output.as_mut().map_or(Ok(()), |output| output.flush(files))
    }

    /// Gives new tables a file each, so that a query on one without rows finds its columns.
    fn touch(&mut self, files: &mut RoundFiles, date: &str) -> Result<()> {
        match &self.output {
            Some(_) => Ok(()),
            None => {
                let output = Output::new(self.table, self.table.folder(date));
                self.output.insert(output).touch(&self.batch, files)
            }
        }
    }

    fn finish(&mut self, files: &mut RoundFiles) -> Result<()> {
        self.encode(files)?;
        self.output.take().map_or(Ok(()), |mut output| output.finish(files))
    }
}
