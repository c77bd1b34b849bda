//! Columns of any table: kinds, Arrow builders, and how a kind is encoded in a file.
//!
//! A table is a list of [`ColumnSpec`]; a row is written cell by cell in that order through
//! [`Cells`]. One set of builders serves all files of a table: rows wait as they came and are put
//! into columns a few thousand at a time, so that the builders stay in the CPU's cache however many
//! files are open.
//!
//! Encoding follows measurement: dictionaries cost more than they give for ids, JSON text and
//! times; times and sequence numbers are delta packed. ZSTD at level 1. Smallest and largest values
//! are kept of numbers and times: comparing texts costs, and nobody asks for a range of them.

use super::error::ParquetError;
use super::hex::hex_digits;
use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, ListBuilder,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use beckon_engine::model::Id;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Rows of a row group: small enough that a hundred files may be open, large enough to scan.
const ROW_GROUP_ROWS_MAX: usize = 128 << 10;

/// What a column holds and how it is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Text that repeats: dictionary.
    Text,
    /// Text that hardly repeats: ids, JSON.
    UniqueText,
    /// Microseconds since 1970, UTC: delta packed.
    Time,
    /// A sequence number or an epoch: delta packed.
    Sequence,
    /// 64-bit integer.
    Integer,
    /// 32-bit integer.
    Small,
    /// 64-bit float.
    Number,
    /// True or false.
    Boolean,
    /// Several texts.
    TextList,
    /// Raw bytes.
    Bytes,
}

impl Kind {
    /// The Arrow type; also the test of "never retyped": two kinds of one type may follow each
    /// other, for they differ in encoding only.
    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Text | Self::UniqueText => DataType::Utf8,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Sequence | Self::Integer => DataType::Int64,
            Self::Small => DataType::Int32,
            Self::Number => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::TextList => DataType::List(list_element()),
            Self::Bytes => DataType::Binary,
        }
    }
}

/// Named as the Parquet format asks for.
fn list_element() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Utf8, true))
}

/// One column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ColumnSpec {
    pub(super) name: Box<str>,
    pub(super) kind: Kind,
}

#[derive(Debug)]
enum Builder {
    Text(StringBuilder),
    Time(TimestampMicrosecondBuilder),
    Integer(Int64Builder),
    Small(Int32Builder),
    Number(Float64Builder),
    Boolean(BooleanBuilder),
    TextList(ListBuilder<StringBuilder>),
    Bytes(BinaryBuilder),
}

impl Builder {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Text | Kind::UniqueText => Self::Text(StringBuilder::new()),
            Kind::Time => {
                Self::Time(TimestampMicrosecondBuilder::new().with_data_type(kind.data_type()))
            }
            Kind::Sequence | Kind::Integer => Self::Integer(Int64Builder::new()),
            Kind::Small => Self::Small(Int32Builder::new()),
            Kind::Number => Self::Number(Float64Builder::new()),
            Kind::Boolean => Self::Boolean(BooleanBuilder::new()),
            Kind::TextList => {
                Self::TextList(ListBuilder::new(StringBuilder::new()).with_field(list_element()))
            }
            Kind::Bytes => Self::Bytes(BinaryBuilder::new()),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Time(builder) => Arc::new(builder.finish()),
            Self::Integer(builder) => Arc::new(builder.finish()),
            Self::Small(builder) => Arc::new(builder.finish()),
            Self::Number(builder) => Arc::new(builder.finish()),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::TextList(builder) => Arc::new(builder.finish()),
            Self::Bytes(builder) => Arc::new(builder.finish()),
        }
    }

    fn append_nulls(&mut self, count: usize) {
        match self {
            Self::Text(builder) => builder.append_nulls(count),
            Self::Time(builder) => builder.append_nulls(count),
            Self::Integer(builder) => builder.append_nulls(count),
            Self::Small(builder) => builder.append_nulls(count),
            Self::Number(builder) => builder.append_nulls(count),
            Self::Boolean(builder) => builder.append_nulls(count),
            Self::TextList(builder) => builder.append_nulls(count),
            Self::Bytes(builder) => builder.append_nulls(count),
        }
    }
}

/// A builder, and the nulls that are to come behind what it holds: most columns of an event are
/// null, and counting is cheaper than appending one at a time.
#[derive(Debug)]
struct Column {
    builder: Builder,
    nulls: usize,
}

impl Column {
    /// The builder, ready for a value.
    fn builder(&mut self) -> &mut Builder {
        let nulls = std::mem::take(&mut self.nulls);
        if nulls > 0 {
            self.builder.append_nulls(nulls);
        }
        &mut self.builder
    }
}

/// The builders of a table.
#[derive(Debug)]
pub(super) struct Batch {
    schema: SchemaRef,
    properties: WriterProperties,
    columns: Vec<Column>,
}

impl Batch {
    pub(super) fn new(columns: &[ColumnSpec]) -> Self {
        let column_of =
            |column: &ColumnSpec| Column { builder: Builder::new(column.kind), nulls: 0 };
        let field = |column: &ColumnSpec| Field::new(&*column.name, column.kind.data_type(), true);
        Self {
            schema: Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>())),
            properties: properties(columns),
            columns: columns.iter().map(column_of).collect(),
        }
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    pub(super) fn properties(&self) -> WriterProperties {
        self.properties.clone()
    }

    /// Begins a row.
    pub(super) fn row(&mut self) -> Cells<'_> {
        Cells { columns: self.columns.iter_mut() }
    }

    /// The rows so far, as one batch; the builders are empty afterwards.
    pub(super) fn take(&mut self) -> RecordBatch {
        let arrays = self.columns.iter_mut().map(|column| column.builder().finish()).collect();
        RecordBatch::try_new(self.schema(), arrays)
            .expect("every row fills every column, each by its own builder")
    }
}

/// One row being written: one call for each column, in the table's order.
#[derive(Debug)]
pub(super) struct Cells<'a> {
    columns: std::slice::IterMut<'a, Column>,
}

impl Cells<'_> {
    fn next(&mut self) -> &mut Column {
        self.columns.next().expect("a row has as many cells as its table has columns")
    }

    fn value(&mut self) -> &mut Builder {
        self.next().builder()
    }

    pub(super) fn null(&mut self) -> &mut Self {
        self.next().nulls += 1;
        self
    }

    pub(super) fn nulls(&mut self, count: usize) -> &mut Self {
        (0..count).for_each(|_| self.next().nulls += 1);
        self
    }

    pub(super) fn text(&mut self, text: Option<&str>) -> &mut Self {
        let Some(text) = text else { return self.null() };
        let Builder::Text(builder) = self.value() else { wrong_kind() };
        builder.append_value(text);
        self
    }

    pub(super) fn hex(&mut self, bits: u128) -> &mut Self {
        self.text(Some(hex_digits(bits).as_str()))
    }

    pub(super) fn optional_hex(&mut self, bits: Option<u128>) -> &mut Self {
        match bits {
            Some(bits) => self.hex(bits),
            None => self.null(),
        }
    }

    pub(super) fn id(&mut self, id: Option<&Id>) -> &mut Self {
        match id {
            Some(Id::Bits(bits)) => self.hex(*bits),
            Some(Id::Text(text)) => self.text(Some(text)),
            None => self.null(),
        }
    }

    /// Milliseconds become microseconds; what does not fit stops at the end of the range.
    pub(super) fn time_ms(&mut self, time_ms: Option<i64>) -> &mut Self {
        self.time_us(time_ms.map(|time_ms| time_ms.saturating_mul(1000)))
    }

    pub(super) fn time_us(&mut self, time_us: Option<i64>) -> &mut Self {
        let Some(time_us) = time_us else { return self.null() };
        let Builder::Time(builder) = self.value() else { wrong_kind() };
        builder.append_value(time_us);
        self
    }

    pub(super) fn integer(&mut self, integer: Option<i64>) -> &mut Self {
        let Some(integer) = integer else { return self.null() };
        let Builder::Integer(builder) = self.value() else { wrong_kind() };
        builder.append_value(integer);
        self
    }

    /// A count or a sequence number; 2^63 of them are never reached.
    pub(super) fn count(&mut self, count: Option<u64>) -> &mut Self {
        self.integer(count.map(|count| i64::try_from(count).unwrap_or(i64::MAX)))
    }

    pub(super) fn small(&mut self, small: Option<i32>) -> &mut Self {
        let Some(small) = small else { return self.null() };
        let Builder::Small(builder) = self.value() else { wrong_kind() };
        builder.append_value(small);
        self
    }

    pub(super) fn number(&mut self, number: f64) -> &mut Self {
        let Builder::Number(builder) = self.value() else { wrong_kind() };
        builder.append_value(number);
        self
    }

    pub(super) fn boolean(&mut self, boolean: Option<bool>) -> &mut Self {
        let Some(boolean) = boolean else { return self.null() };
        let Builder::Boolean(builder) = self.value() else { wrong_kind() };
        builder.append_value(boolean);
        self
    }

    pub(super) fn texts<T: AsRef<str>>(
        &mut self,
        texts: Option<impl Iterator<Item = T>>,
    ) -> &mut Self {
        let Some(texts) = texts else { return self.null() };
        let Builder::TextList(builder) = self.value() else { wrong_kind() };
        texts.for_each(|text| builder.values().append_value(text));
        builder.append(true);
        self
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        let Builder::Bytes(builder) = self.value() else { wrong_kind() };
        builder.append_value(bytes);
        self
    }

    /// Ends the row.
    pub(super) fn done(&mut self) {
        assert!(self.columns.len() == 0, "a row fills all columns of its table");
    }
}

#[cold]
fn wrong_kind() -> ! {
    panic!("a cell is written by the method of its column's kind")
}

fn properties(columns: &[ColumnSpec]) -> WriterProperties {
    let zstd = ZstdLevel::try_new(1).expect("level 1 exists");
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("beckon ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(zstd))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX));
    for column in columns {
        let path = ColumnPath::from(&*column.name);
        builder = match column.kind {
            Kind::UniqueText | Kind::Bytes => builder
                .set_column_statistics_enabled(path.clone(), EnabledStatistics::None)
                .set_column_dictionary_enabled(path, false),
            Kind::Time | Kind::Sequence => builder
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
            Kind::Text => builder.set_column_statistics_enabled(path, EnabledStatistics::None),
            Kind::Integer | Kind::Small | Kind::Number | Kind::Boolean | Kind::TextList => builder,
        };
    }
    builder.build()
}

/// The columns of one table, as the files will have them.
pub(super) fn spec(columns: &[(&str, Kind)]) -> Vec<ColumnSpec> {
    let column = |(name, kind): &(&str, Kind)| ColumnSpec { name: (*name).into(), kind: *kind };
    columns.iter().map(column).collect()
}

/// A folder's or a file's error is about this path.
pub(super) type Result<T> = std::result::Result<T, ParquetError>;
