//! Which declared fields get Parquet columns of their own, for the server and for replay alike.

use beckon_rules::plan::RuleSet;
use beckon_rules::schema::FieldType;
use beckon_sinks::parquet::{ColumnType, TypedColumn};

/// A column for each type that a package declares, then for each field of a source mapping that
/// no package declares.
pub(crate) fn typed_columns(rules: &RuleSet, mapped: &[(String, FieldType)]) -> Vec<TypedColumn> {
    let declared = rules.types.iter().map(|(path, kind)| (path.parts.join("."), *kind));
    let mut fields: Vec<_> = declared.collect();
    let is_free = |path: &String| fields.iter().all(|(declared, _)| declared != path);
    let free: Vec<_> = mapped.iter().filter(|(path, _)| is_free(path)).cloned().collect();
    fields.extend(free);
    let column = |(path, kind): (String, FieldType)| {
        column_type(kind).map(|kind| TypedColumn { path: path.into(), kind })
    };
    fields.into_iter().filter_map(column).collect()
}

/// The column of a declared type; `any` has none.
fn column_type(kind: FieldType) -> Option<ColumnType> {
    match kind {
        FieldType::Str => Some(ColumnType::String),
        FieldType::Int => Some(ColumnType::Integer),
        FieldType::Float => Some(ColumnType::Number),
        FieldType::Bool => Some(ColumnType::Boolean),
        FieldType::Date => Some(ColumnType::Date),
        FieldType::Any => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beckon_rules::ast::Path;

    #[test]
    fn a_package_has_the_last_word_on_a_field() {
        let path = |text: &str| Path { parts: text.split('.').map(Into::into).collect() };
        let types =
            vec![(path("data.at"), FieldType::Date), (path("data.price"), FieldType::Float)];
        let rules = RuleSet { types, ..RuleSet::default() };
        let mapped = [
            ("data.at".to_owned(), FieldType::Int),
            ("data.price".to_owned(), FieldType::Str),
            ("data.items".to_owned(), FieldType::Int),
            ("data.rest".to_owned(), FieldType::Any),
        ];
        let columns = typed_columns(&rules, &mapped);
        let columns: Vec<_> = columns.iter().map(|column| (&*column.path, column.kind)).collect();
        let expected = [
            ("data.at", ColumnType::Date),
            ("data.price", ColumnType::Number),
            ("data.items", ColumnType::Integer),
        ];
        assert_eq!(columns, expected);
    }
}
