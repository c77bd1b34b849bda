//! The limits of the tables, and the columns that packages declare.

use beckon_rules::schema::FieldType;
use serde::{Deserialize, Serialize};

/// How the tables are cut into files, and what they may hold open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ParquetConfig {
    /// A file is finished before it is larger than this.
    pub file_bytes_max: u64,
    /// A file is finished at this many rows.
    pub file_rows_max: u64,
    /// All open files are finished when the first row in them is this old, by the marks' clock.
    pub rotation_ms_max: i64,
    /// Rows and row groups that are open may hold this much memory together; beyond it the
    /// largest goes to its file.
    pub open_bytes_max: u64,
    /// Event names that get a folder of their own on a day; others share `event=__other`.
    pub event_folders_max: usize,
    /// Typed columns of the events table, over all that were ever declared.
    pub typed_columns_max: usize,
    /// The columns that are declared from the start; others may come by [`Declared`](super::Declared).
    pub typed_columns: Vec<TypedColumn>,
}

impl Default for ParquetConfig {
    fn default() -> Self {
        Self {
            file_bytes_max: 128 << 20,
            file_rows_max: 1_000_000,
            rotation_ms_max: 5 * 60 * 1000,
            open_bytes_max: 256 << 20,
            event_folders_max: 100,
            typed_columns_max: 200,
            typed_columns: Vec::new(),
        }
    }
}

/// A field that gets a column of its own type, beside the JSON text that has it too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypedColumn {
    /// The field as rules name it: `data.price`, `data.cart.total`, or a mapped source's `status`.
    pub path: Box<str>,
    /// Its type; what rules do not read as a value of it is null in the column.
    #[serde(rename = "type")]
    pub kind: ColumnType,
}

/// What a typed column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// Text.
    String,
    /// A 64-bit integer; `3.0` counts as one.
    Integer,
    /// A 64-bit float; integers are taken too.
    Number,
    /// True or false.
    Boolean,
    /// A point in time.
    Date,
}

impl ColumnType {
    /// Its name in the `[types]` of a package.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "float",
            Self::Boolean => "boolean",
            Self::Date => "date",
        }
    }

    /// What rules read such a field as.
    pub(super) fn field_type(self) -> FieldType {
        match self {
            Self::String => FieldType::Str,
            Self::Integer => FieldType::Int,
            Self::Number => FieldType::Float,
            Self::Boolean => FieldType::Bool,
            Self::Date => FieldType::Date,
        }
    }
}

impl TypedColumn {
    /// The column's name in snake case: `data_cart_total` for `data.cartTotal`; a field outside
    /// `data` begins with `field_`. `None` where nothing of the path can stand in a name.
    #[must_use]
    pub fn column_name(&self) -> Option<String> {
        let (prefix, rest) = match self.path.strip_prefix("data.") {
            Some(rest) => ("data_", rest),
            None => ("field_", &*self.path),
        };
        let snake = snake_case(rest);
        (!snake.is_empty()).then(|| format!("{prefix}{snake}"))
    }
}

/// Lower case with one underscore between words; other characters end a word.
fn snake_case(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 4);
    let mut previous_is_lower = false;
    for char in text.chars() {
        if !char.is_ascii_alphanumeric() {
            if !out.is_empty() && !out.ends_with('_') {
                out.push('_');
            }
            previous_is_lower = false;
            continue;
        }
        if char.is_ascii_uppercase() && previous_is_lower {
            out.push('_');
        }
        previous_is_lower = !char.is_ascii_uppercase();
        out.push(char.to_ascii_lowercase());
    }
    out.truncate(out.trim_end_matches('_').len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: Option<&str>) {
        let column = TypedColumn { path: path.into(), kind: ColumnType::String };
        assert_eq!(column.column_name().as_deref(), expected, "{path}");
    }

    /// What readers of the tables were promised.
    #[test]
    fn the_defaults_are_those_that_are_documented() {
        let config = ParquetConfig::default();
        assert_eq!((config.file_bytes_max, config.file_rows_max), (128 << 20, 1_000_000));
        assert_eq!((config.rotation_ms_max, config.open_bytes_max), (300_000, 256 << 20));
        assert_eq!((config.event_folders_max, config.typed_columns_max), (100, 200));
    }

    #[test]
    fn columns_are_named_in_snake_case() {
        check("data.price", Some("data_price"));
        check("data.cart.itemCount", Some("data_cart_item_count"));
        check("data.userID", Some("data_user_id"));
        check("data.Gr\u{f6}\u{df}e-2", Some("data_gr_e_2"));
        check("status", Some("field_status"));
        check("data._", None);
        check("data.\u{4ef7}", None);
    }
}
