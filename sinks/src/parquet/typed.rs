//! Finds the values of declared fields while an event's fields are walked once.
//!
//! The declared paths form a tree by their segments; a field or map entry that is not in it costs
//! one look-up.

use super::columns::{Cells, ColumnSpec, Kind};
use super::config::{ColumnType, TypedColumn};
use super::{columns::Result, error::ParquetError};
use beckon_engine::model::{UnpackError, ValueView};
use beckon_rules::program::Datum;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
struct Node {
    column: Option<usize>,
    children: BTreeMap<Box<str>, Node>,
}

/// The declared fields and what was found of them in the row at hand.
#[derive(Debug, Default)]
pub(super) struct TypedPaths {
    root: Node,
    kinds: Vec<ColumnType>,
}

/// What was found in one row: one place for each typed column.
pub(super) type Found<'a> = Vec<Option<ValueView<'a>>>;

impl TypedPaths {
    pub(super) fn new(columns: &[TypedColumn]) -> Self {
        let mut paths = Self::default();
        for (index, column) in columns.iter().enumerate() {
            let mut node = &mut paths.root;
            for segment in column.path.split('.') {
                node = node.children.entry(segment.into()).or_default();
            }
            node.column = Some(index);
            paths.kinds.push(column.kind);
        }
        paths
    }

    /// Whether a field of this name may say something of a declared one.
    pub(super) fn knows(&self, name: &str) -> bool {
        let first = name.split_once('.').map_or(name, |(first, _)| first);
        self.root.children.contains_key(first)
    }

    /// Notes what `value`, the event's field `name`, says of declared fields.
    pub(super) fn look<'a>(
        &self,
        name: &str,
        value: ValueView<'a>,
        found: &mut Found<'a>,
    ) -> std::result::Result<(), UnpackError> {
        let mut node = &self.root;
        for segment in name.split('.') {
            match node.children.get(segment) {
                Some(child) => node = child,
                None => return Ok(()),
            }
        }
        visit(node, value, found)
    }

    /// Writes what was found, one cell a column.
    pub(super) fn write(&self, found: &Found<'_>, cells: &mut Cells<'_>) {
        for (index, kind) in self.kinds.iter().enumerate() {
            write_cell(*kind, found.get(index).copied().flatten(), cells);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }
}

/// The tree is as deep as the longest declared path, and so is the recursion.
fn visit<'a>(
    node: &Node,
    value: ValueView<'a>,
    found: &mut Found<'a>,
) -> std::result::Result<(), UnpackError> {
    if let Some(column) = node.column {
        found[column] = Some(value);
    }
    if let (ValueView::Map(entries), false) = (value, node.children.is_empty()) {
        for entry in entries {
            let (key, value) = entry?;
            if let Some(child) = node.children.get(key) {
                visit(child, value, found)?;
            }
        }
    }
    Ok(())
}

/// A column has what rules read: both ask the same functions. It has one value: of several there is none.
fn write_cell(kind: ColumnType, value: Option<ValueView<'_>>, cells: &mut Cells<'_>) {
    match value.map_or(Datum::Null, Datum::from).read_as(kind.field_type()) {
        Datum::Str(text) => cells.text(Some(text)),
        // A date that microseconds cannot say is none.
        Datum::Int(ms) if kind == ColumnType::Date => cells.time_us(ms.checked_mul(1000)),
        Datum::Int(integer) => cells.integer(Some(integer)),
        Datum::Float(number) => cells.number(number),
        Datum::Bool(boolean) => cells.boolean(Some(boolean)),
        Datum::Null | Datum::Many(_) => cells.null(),
    };
}

/// The columns that `declared` asks for.
///
/// # Errors
/// [`ParquetError::Path`] for a path that gives no name.
pub(super) fn typed_specs(declared: &[TypedColumn]) -> Result<Vec<ColumnSpec>> {
    let spec = |column: &TypedColumn| {
        let name =
            column.column_name().ok_or_else(|| ParquetError::Path { path: column.path.clone() })?;
        Ok(ColumnSpec { name: name.into(), kind: kind_of(column.kind) })
    };
    declared.iter().map(spec).collect()
}

fn kind_of(kind: ColumnType) -> Kind {
    match kind {
        ColumnType::String => Kind::Text,
        ColumnType::Integer => Kind::Integer,
        ColumnType::Number => Kind::Number,
        ColumnType::Boolean => Kind::Boolean,
        ColumnType::Date => Kind::Time,
    }
}
