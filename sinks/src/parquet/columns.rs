//! Columns of any table: kinds, Arrow builders, and how a kind is encoded in a file.
//!
//! A table is a list of [`ColumnSpec`]; a row is written cell by cell in that order through
//! [`Cells`]. One set of builders serves all files of a table: rows wait as they came and are put
//! into columns a few thousand at a time, so that the builders stay in the CPU's cache however many
//! files are open.
//!
//! Encoding follows measurement: dictionaries cost more than they give for ids, JSON text and
//! times; times and sequence numbers are delta packed. ZSTD at level 1.

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

    fn append_null(&mut self) {
        match self {
            Self::Text(builder) => builder.append_null(),
            Self::Time(builder) => builder.append_null(),
            Self::Integer(builder) => builder.append_null(),
            Self::Small(builder) => builder.append_null(),
            Self::Number(builder) => builder.append_null(),
            Self::Boolean(builder) => builder.append_null(),
            Self::TextList(builder) => builder.append_null(),
            Self::Bytes(builder) => builder.append_null(),
        }
    }
}

/// The builders of a table.
#[derive(Debug)]
pub(super) struct Batch {
    schema: SchemaRef,
    properties: WriterProperties,
    builders: Vec<Builder>,
}

impl Batch {
    pub(super) fn new(columns: &[ColumnSpec]) -> Self {
        let field = |column: &ColumnSpec| Field::new(&*column.name, column.kind.data_type(), true);
        Self {
            schema: Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>())),
            properties: properties(columns),
            builders: columns.iter().map(|column| Builder::new(column.kind)).collect(),
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
        Cells { builders: self.builders.iter_mut() }
    }

    /// The rows so far, as one batch; the builders are empty afterwards.
    pub(super) fn take(&mut self) -> RecordBatch {
        let arrays = self.builders.iter_mut().map(Builder::finish).collect();
        RecordBatch::try_new(self.schema(), arrays)
            .expect("every row fills every column, each by its own builder")
    }
}

/// One row being written: one call for each column, in the table's order.
#[derive(Debug)]
pub(super) struct Cells<'a> {
    builders: std::slice::IterMut<'a, Builder>,
}

impl Cells<'_> {
    fn next(&mut self) -> &mut Builder {
        self.builders.next().expect("a row has as many cells as its table has columns")
    }

    pub(super) fn null(&mut self) -> &mut Self {
        self.next().append_null();
        self
    }

    pub(super) fn nulls(&mut self, count: usize) -> &mut Self {
        (0..count).for_each(|_| self.next().append_null());
        self
    }

    pub(super) fn text(&mut self, text: Option<&str>) -> &mut Self {
        let Builder::Text(builder) = self.next() else { wrong_kind() };
        builder.append_option(text);
        self
    }

    pub(super) fn hex(&mut self, bits: Option<u128>) -> &mut Self {
        let Builder::Text(builder) = self.next() else { wrong_kind() };
        match bits {
            Some(bits) => builder.append_value(hex_digits(bits).as_str()),
            None => builder.append_null(),
        }
        self
    }

    pub(super) fn id(&mut self, id: Option<&Id>) -> &mut Self {
        match id {
            Some(Id::Bits(bits)) => self.hex(Some(*bits)),
            Some(Id::Text(text)) => self.text(Some(text)),
            None => self.text(None),
        }
    }

    /// Milliseconds become microseconds; what does not fit stops at the end of the range.
    pub(super) fn time_ms(&mut self, time_ms: Option<i64>) -> &mut Self {
        let Builder::Time(builder) = self.next() else { wrong_kind() };
        builder.append_option(time_ms.map(|time_ms| time_ms.saturating_mul(1000)));
        self
    }

    pub(super) fn integer(&mut self, integer: Option<i64>) -> &mut Self {
        let Builder::Integer(builder) = self.next() else { wrong_kind() };
        builder.append_option(integer);
        self
    }

    /// A count or a sequence number; 2^63 of them are never reached.
    pub(super) fn count(&mut self, count: Option<u64>) -> &mut Self {
        self.integer(count.map(|count| i64::try_from(count).unwrap_or(i64::MAX)))
    }

    pub(super) fn small(&mut self, small: Option<i32>) -> &mut Self {
        let Builder::Small(builder) = self.next() else { wrong_kind() };
        builder.append_option(small);
        self
    }

    pub(super) fn number(&mut self, number: Option<f64>) -> &mut Self {
        let Builder::Number(builder) = self.next() else { wrong_kind() };
        builder.append_option(number);
        self
    }

    pub(super) fn boolean(&mut self, boolean: Option<bool>) -> &mut Self {
        let Builder::Boolean(builder) = self.next() else { wrong_kind() };
        builder.append_option(boolean);
        self
    }

    pub(super) fn texts<T: AsRef<str>>(
        &mut self,
        texts: Option<impl Iterator<Item = T>>,
    ) -> &mut Self {
        let Builder::TextList(builder) = self.next() else { wrong_kind() };
        match texts {
            Some(texts) => {
                texts.for_each(|text| builder.values().append_value(text));
                builder.append(true);
            }
            None => builder.append_null(),
        }
        self
    }

    pub(super) fn bytes(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        let Builder::Bytes(builder) = self.next() else { wrong_kind() };
        builder.append_option(bytes);
        self
    }

    /// Ends the row.
    pub(super) fn done(&mut self) {
        assert!(self.builders.len() == 0, "a row fills all columns of its table");
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
            Kind::Text | Kind::Integer | Kind::Small | Kind::Number | Kind::Boolean => builder,
            Kind::TextList => builder,
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
