//! Reads events of any number of inputs, one after the other.
//!
//! **Invariant:** what is wrong with an input's content is counted and never ends the replay: a bad
//! line costs itself, damage within a file (a cut gzip) costs the rest of that file. What is wrong
//! with the request (no such file, no mapping for a CSV, a column that is not there) is an error.

use super::access_event::AccessMapper;
use super::access_log::AccessLine;
use super::csv::{CsvLine, CsvLines, delimiter_of};
use super::format::{Format, format_of};
use super::id_name::IdName;
use super::input::{Input, Line, Lines};
use super::mapping::{Mapper, Mapping, RecordFormat};
use super::record::{Header, MissingColumn, Record};
use super::report::{Dropped, SourceReport};
use super::wire::WireEvents;
use super::{Place, SITE_DEFAULT};
use crate::normalise::QueryPolicy;
use beckon_engine::model::Event;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The longest line of an input, and the longest record of a CSV.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;

/// What is read, and how.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// The inputs, in order.
    pub inputs: Vec<Input>,
    /// What they are; found out from the content of each otherwise.
    pub format: Option<Format>,
    /// What their fields mean, where they are not Beckon's own.
    pub mapping: Option<Arc<Mapping>>,
    /// Which query parameters of addresses are kept.
    pub query_parameters: QueryPolicy,
    /// The longest line.
    pub line_bytes_max: usize,
}

impl SourceConfig {
    /// Inputs with nothing said about them.
    #[must_use]
    pub fn new(inputs: Vec<Input>) -> Self {
        Self {
            inputs,
            format: None,
            mapping: None,
            query_parameters: QueryPolicy::default(),
            line_bytes_max: LINE_BYTES_MAX,
        }
    }
}

/// Why an input cannot be read at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// It cannot be opened.
    #[error("{input}: {source}")]
    Open {
        /// The input.
        input: String,
        /// What the system says.
        source: io::Error,
    },
    /// Its format is none that is known.
    #[error("{0}: not an access log, NDJSON or CSV; say which it is")]
    UnknownFormat(String),
    /// A CSV says nothing of what its columns mean.
    #[error("{0}: a CSV needs a source mapping that says what its columns mean")]
    NeedsMapping(String),
    /// Access logs have a mapping of their own.
    #[error("{0}: an access log takes no source mapping")]
    TakesNoMapping(String),
    /// The mapping names a column that the header lacks.
    #[error("{input}: {what}")]
    MissingColumn {
        /// The input.
        input: String,
        /// Which, and what to do.
        what: String,
    },
}

/// The events of all inputs.
pub struct SourceReader {
    config: SourceConfig,
    id_names: Vec<IdName>,
    opened: usize,
    current: Option<Current>,
    access: Arc<AccessMapper>,
    wire: Arc<WireEvents>,
    report: SourceReport,
    read_bytes: Arc<AtomicU64>,
    total_bytes: Option<u64>,
}

impl std::fmt::Debug for SourceReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceReader").field("config", &self.config).finish_non_exhaustive()
    }
}

struct Current {
    name: String,
    id_name: IdName,
    decoder: Decoder,
}

enum Decoder {
    AccessLog(Lines, Arc<AccessMapper>),
    Wire(Lines, Arc<WireEvents>),
    Ndjson(Lines, Box<Mapper>),
    Csv { lines: Box<CsvLines>, mapper: Box<Mapper>, columns: usize },
}

/// What one step of reading gave.
#[expect(clippy::large_enum_variant, reason = "moved once; a box would be an allocation an event")]
enum Step {
    End,
    Empty,
    Event(Event),
    Bad { lines: u64, reason: String },
}

impl Step {
    fn bad(reason: impl Into<String>) -> Self {
        Self::Bad { lines: 1, reason: reason.into() }
    }
}

impl SourceReader {
    /// Looks at the inputs; they are opened one by one as they are read.
    ///
    /// # Errors
    /// When one is not there.
    pub fn new(config: SourceConfig) -> Result<Self, SourceError> {
        let mut total_bytes = Some(0);
        for input in &config.inputs {
            let size = input
                .size_bytes()
                .map_err(|source| SourceError::Open { input: input.name(), source })?;
            total_bytes = total_bytes.zip(size).map(|(total, size)| total + size);
        }
        let policy = || config.query_parameters.clone();
        let access = Arc::new(AccessMapper::new(SITE_DEFAULT.into(), policy()));
        let wire = Arc::new(WireEvents::new(SITE_DEFAULT.into(), policy()));
        Ok(Self {
            id_names: IdName::of_all(&config.inputs),
            config,
            opened: 0,
            current: None,
            access,
            wire,
            report: SourceReport::default(),
            read_bytes: Arc::default(),
            total_bytes,
        })
    }

    /// What was read so far.
    #[must_use]
    pub fn report(&self) -> &SourceReport {
        &self.report
    }

    /// Bytes of all inputs before unpacking; `None` with standard input among them.
    #[must_use]
    pub fn total_bytes(&self) -> Option<u64> {
        self.total_bytes
    }

    /// Bytes read so far, before unpacking.
    #[must_use]
    pub fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }

    /// The next event and where it stood; `None` at the end.
    ///
    /// # Errors
    /// When an input cannot be read at all.
    pub fn next_event(&mut self) -> Result<Option<(Place, Event)>, SourceError> {
        loop {
            let Some(current) = &mut self.current else {
                if !self.open_next()? {
                    return Ok(None);
                }
                continue;
            };
            let step = current.step(&mut self.report.dropped);
            let line = current.decoder.number();
            match step {
                Ok(Step::Event(event)) => {
                    self.report.events += 1;
                    let input = u32::try_from(self.opened).unwrap_or(u32::MAX);
                    return Ok(Some((Place { input, line }, event)));
                }
                Ok(Step::Empty) => {}
                Ok(Step::Bad { lines, reason }) => {
                    self.report.bad_lines += lines - 1;
                    let first = line + 1 - lines;
                    self.report.bad(&current.name, first, reason);
                }
                Ok(Step::End) => self.close_current(),
                Err(error) => {
                    let reason = format!("cannot be read from here on: {error}");
                    self.report.bad(&current.name, line + 1, reason);
                    self.close_current();
                }
            }
        }
    }

    fn close_current(&mut self) {
        if let Some(mapper) = self.current.take().and_then(|current| current.decoder.into_mapper())
        {
            self.report.mismatched_values += mapper.mismatched_values;
        }
    }

    fn open_next(&mut self) -> Result<bool, SourceError> {
        let Some(input) = self.config.inputs.get(self.opened) else { return Ok(false) };
        let id_name = self.id_names[self.opened].clone();
        self.opened += 1;
        let name = input.name();
        let opened = input
            .open(Arc::clone(&self.read_bytes))
            .map_err(|source| SourceError::Open { input: name.clone(), source })?;
        if opened.head.iter().all(u8::is_ascii_whitespace) {
            // An empty log is a log.
            return Ok(true);
        }
        let format =
            self.format(&opened.head).ok_or_else(|| SourceError::UnknownFormat(name.clone()))?;
        let mut lines = Lines::new(opened.content, self.config.line_bytes_max);
        let missing = |error: MissingColumn| SourceError::MissingColumn {
            input: name.clone(),
            what: error.to_string(),
        };
        let decoder = match (format, &self.config.mapping) {
            (Format::AccessLog, None) => Decoder::AccessLog(lines, Arc::clone(&self.access)),
            (Format::AccessLog, Some(_)) => return Err(SourceError::TakesNoMapping(name)),
            (Format::Ndjson, None) => Decoder::Wire(lines, Arc::clone(&self.wire)),
            (Format::Ndjson, Some(mapping)) => {
                Decoder::Ndjson(lines, Box::new(Mapper::new(mapping, None).map_err(missing)?))
            }
            (Format::Csv, None) => return Err(SourceError::NeedsMapping(name)),
            (Format::Csv, Some(mapping)) => {
                let header = first_line(&mut lines)
                    .map_err(|source| SourceError::Open { input: name.clone(), source })?;
                csv_decoder(&header, lines, mapping, self.config.line_bytes_max).map_err(missing)?
            }
        };
        self.current = Some(Current { id_name, name, decoder });
        Ok(true)
    }

    fn format(&self, head: &[u8]) -> Option<Format> {
        let mapped = self.config.mapping.as_ref().and_then(|mapping| mapping.format);
        let mapped = mapped.map(|format| match format {
            RecordFormat::Csv => Format::Csv,
            RecordFormat::Ndjson => Format::Ndjson,
        });
        self.config.format.or(mapped).or_else(|| format_of(head))
    }
}

impl Iterator for SourceReader {
    type Item = Result<(Place, Event), SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_event().transpose()
    }
}

fn first_line(lines: &mut Lines) -> io::Result<Vec<u8>> {
    loop {
        match lines.next()? {
            Some(Line::Bytes(line)) if !line.is_empty() => return Ok(line.to_vec()),
            Some(Line::Bytes(_)) => {}
            Some(Line::TooLong) => return Err(io::Error::other("the header is too long")),
            None => return Ok(Vec::new()),
        }
    }
}

fn csv_decoder(
    header: &[u8],
    lines: Lines,
    mapping: &Arc<Mapping>,
    record_bytes_max: usize,
) -> Result<Decoder, MissingColumn> {
    let delimiter = mapping.delimiter.or_else(|| delimiter_of(header)).unwrap_or(b',');
    let head = Lines::new(Box::new(io::Cursor::new(header.to_vec())), record_bytes_max);
    let mut names: Vec<Box<str>> = Vec::new();
    let mut head = CsvLines::new(head, delimiter, record_bytes_max);
    if let Ok(Some(CsvLine::Record { fields, .. })) = head.next() {
        names.extend((0..).map_while(|column| fields.field(column)).map(|name| name.trim().into()));
    }
    let header: &Header = &names;
    let mapper = Box::new(Mapper::new(mapping, Some(header))?);
    let lines = Box::new(CsvLines::new(lines, delimiter, record_bytes_max));
    Ok(Decoder::Csv { lines, mapper, columns: names.len() })
}

impl Decoder {
    /// The number of the last line read.
    fn number(&self) -> u64 {
        match self {
            Self::AccessLog(lines, _) | Self::Wire(lines, _) | Self::Ndjson(lines, _) => {
                lines.number()
            }
            Self::Csv { lines, .. } => lines.number(),
        }
    }

    fn into_mapper(self) -> Option<Box<Mapper>> {
        match self {
            Self::AccessLog(..) | Self::Wire(..) => None,
            Self::Ndjson(_, mapper) | Self::Csv { mapper, .. } => Some(mapper),
        }
    }
}

impl Current {
    fn step(&mut self, dropped: &mut Dropped) -> io::Result<Step> {
        if let Decoder::Csv { lines, mapper, columns } = &mut self.decoder {
            return step_csv(&self.id_name, lines, mapper, *columns);
        }
        let line_number = self.decoder.number() + 1;
        let (Decoder::AccessLog(lines, _) | Decoder::Wire(lines, _) | Decoder::Ndjson(lines, _)) =
            &mut self.decoder
        else {
            return Ok(Step::End);
        };
        let line = match lines.next()? {
            None => return Ok(Step::End),
            Some(Line::TooLong) => return Ok(Step::bad("the line is too long")),
            Some(Line::Bytes(line)) if line.iter().all(u8::is_ascii_whitespace) => {
                return Ok(Step::Empty);
            }
            Some(Line::Bytes(line)) => line.to_vec(),
        };
        let derived_id = || self.id_name.derive(line_number, &line);
        Ok(match &mut self.decoder {
            Decoder::AccessLog(_, mapper) => {
                match AccessLine::parse(&String::from_utf8_lossy(&line)) {
                    Ok(parsed) => Step::Event(mapper.event(&parsed, derived_id(), dropped)),
                    Err(error) => Step::bad(error.to_string()),
                }
            }
            Decoder::Wire(_, wire) => match wire.event(&line, derived_id, dropped) {
                Ok(event) => Step::Event(event),
                Err(error) => Step::bad(error.to_string()),
            },
            Decoder::Ndjson(_, mapper) => match serde_json::from_slice(&line) {
                Ok(object) => match mapper.event(&Record::Json(&object), derived_id) {
                    Ok(event) => Step::Event(event),
                    Err(error) => Step::bad(error.to_string()),
                },
                Err(error) => Step::bad(format!("not a JSON object: {error}")),
            },
            Decoder::Csv { .. } => Step::End,
        })
    }
}

fn step_csv(
    id_name: &IdName,
    lines: &mut CsvLines,
    mapper: &mut Mapper,
    columns: usize,
) -> io::Result<Step> {
    let before = lines.number();
    Ok(match lines.next()? {
        None => Step::End,
        Some(CsvLine::Bad { lines, reason }) => Step::Bad { lines, reason: reason.to_owned() },
        Some(CsvLine::Record { fields, .. }) if fields.ends.len() != columns => {
            Step::bad(format!("expected {columns} fields, found {}", fields.ends.len()))
        }
        Some(CsvLine::Record { fields, raw }) => {
            let derived = || id_name.derive(before + 1, raw);
            match mapper.event(&Record::Csv(fields), derived) {
                Ok(event) => Step::Event(event),
                Err(error) => Step::bad(error.to_string()),
            }
        }
    })
}

#[cfg(test)]
mod tests;
