//! Parquet columns of their own for the fields that packages declare, also while the server runs.
//!
//! A package whose fields contradict the columns that stand is refused. One that stands all the same,
//! since the tables are those of another server or of an older one, runs: its field has no column.

use crate::typed_columns::typed_columns;
use beckon_engine::catalog::{Admission, NotAdmitted};
use beckon_rules::plan::RuleSet;
use beckon_sinks::parquet::{Declared, ParquetError, TypedColumn};

/// Declares what stands.
#[derive(Debug)]
pub(super) struct Columns(pub(super) Declared);

impl Admission for Columns {
    fn admit(&self, before: &RuleSet, wanted: &RuleSet) -> Result<(), NotAdmitted> {
        self.0.check(&new_columns(before, wanted)).map_err(|error| not_admitted(&error))
    }

    fn stand(&self, before: &RuleSet, now: &RuleSet) {
        for column in new_columns(before, now) {
            if let Err(error) = self.0.declare(&column) {
                tracing::warn!(field = %column.path, %error, "a declared field gets no column");
            }
        }
    }
}

/// What nothing declared before: what stands does not keep others from being deployed.
fn new_columns(before: &RuleSet, now: &RuleSet) -> Vec<TypedColumn> {
    let before = typed_columns(before, &[]);
    let mut columns = typed_columns(now, &[]);
    columns.retain(|column| !before.contains(column));
    columns
}

fn not_admitted(error: &ParquetError) -> NotAdmitted {
    let (code, help) = match error {
        ParquetError::Path { .. } => {
            ("column_unnamed", "declare fields whose names have a Latin letter or a digit")
        }
        ParquetError::TooManyColumns { .. } => {
            ("too_many_columns", "reports.typed_columns_max raises it; columns are never removed")
        }
        _ => (
            "column_contradicted",
            "declare the field in package.toml with the type that stands, or leave it out there",
        ),
    };
    NotAdmitted { code, message: error.to_string(), help }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beckon_rules::ast::Path;
    use beckon_rules::schema::FieldType;
    use beckon_sinks::parquet::{ParquetConfig, ParquetTables};

    fn rules(types: &[(&str, FieldType)]) -> RuleSet {
        let declared = |(path, kind): &(&str, FieldType)| {
            (Path { parts: path.split('.').map(Into::into).collect() }, *kind)
        };
        RuleSet { types: types.iter().map(declared).collect(), ..RuleSet::default() }
    }

    #[test]
    fn what_stands_keeps_its_column_and_does_not_keep_others_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = ParquetConfig { typed_columns_max: 2, ..ParquetConfig::default() };
        let tables = ParquetTables::open(folder.path(), config).expect("tables");
        let columns = Columns(tables.declared());
        let nothing = RuleSet::default();
        columns.stand(&nothing, &rules(&[("data.price", FieldType::Float)]));
        // As it was before columns were looked at.
        let types = [("data.price", FieldType::Str), ("data.n", FieldType::Int)];
        let older = rules(&types);
        columns.stand(&nothing, &older);
        let admit = |field, kind| {
            let wanted = rules(&[&types[..], &[(field, kind)]].concat());
            columns.admit(&older, &wanted).map_err(|refused| refused.code)
        };
        assert_eq!(admit("data.at", FieldType::Any), Ok(()), "it needs no column");
        assert_eq!(admit("data.at", FieldType::Date), Err("too_many_columns"));
        assert_eq!(admit("data.gift", FieldType::Bool), Err("too_many_columns"));
        assert_eq!(admit("data.N", FieldType::Int), Err("column_contradicted"));
        assert_eq!(admit("data._", FieldType::Int), Err("column_unnamed"));
        let retyped = columns.admit(&nothing, &older).expect_err("a text in place of a number");
        assert!(retyped.message.contains("`data.price` as float, and"), "{}", retyped.message);
    }
}
