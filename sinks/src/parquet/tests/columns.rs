//! Columns are appended, never removed or retyped.

use super::read::{file_rows, rows};
use super::{NOON, epoch_of, event, open, row, write_all};
use crate::parquet::{ColumnType, ParquetConfig, ParquetError, ParquetTables, TypedColumn};
use beckon_engine::model::{EpochOutput, Value};
use parquet::basic::{LogicalType, TimeUnit};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::ColumnDescPtr;
use std::fs::File;
use std::path::{Path, PathBuf};

fn column((path, kind): &(&str, ColumnType)) -> TypedColumn {
    TypedColumn { path: (*path).into(), kind: *kind }
}

fn config(columns: &[(&str, ColumnType)]) -> ParquetConfig {
    let typed_columns = columns.iter().map(column).collect();
    ParquetConfig { typed_columns, ..ParquetConfig::default() }
}

/// The typed columns of each file with events, in the order that it has them in.
fn typed_columns(directory: &Path) -> Vec<String> {
    let mut files = Vec::new();
    super::collect(&directory.join("events"), &mut files);
    files.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
    let of_file = |path: &PathBuf| {
        let reader = SerializedFileReader::new(File::open(path).expect("a file"));
        let reader = reader.expect("Parquet");
        let fields = reader.metadata().file_metadata().schema().get_fields().iter();
        let names: Vec<&str> =
            fields.map(|field| field.name()).filter(|name| name.starts_with("data_")).collect();
        names.join(" ")
    };
    files.iter().map(of_file).collect()
}

fn priced(seq: u64) -> EpochOutput {
    let mut event = event("a", seq);
    let cart = Value::Map(vec![("itemCount".into(), Value::Int(3))]);
    event.fields = vec![
        ("status".into(), Value::Int(404)),
        (
            "data".into(),
            Value::Map(vec![
                ("price".into(), Value::Float(1.5)),
                ("name".into(), Value::Str("lamp".into())),
                ("cart".into(), cart),
                ("gift".into(), Value::Bool(true)),
                ("rooms".into(), Value::Float(3.0)),
            ]),
        ),
    ];
    epoch_of(seq, NOON, vec![row(seq, &event)])
}

#[test]
fn declared_fields_get_columns_of_their_type() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(&[
        ("data.price", ColumnType::Number),
        ("data.cart.itemCount", ColumnType::Number),
        ("data.name", ColumnType::Integer),
        ("data.gift", ColumnType::Boolean),
        ("data.rooms", ColumnType::Integer),
        ("status", ColumnType::Integer),
        ("data.missing", ColumnType::String),
    ]);
    write_all(folder.path(), config, &[priced(1)]);
    let found = rows(folder.path(), "events");
    let check = |column: &str, expected: Field| assert_eq!(found[0][column], expected, "{column}");
    check("data_price", Field::Double(1.5));
    check("data_cart_item_count", Field::Double(3.0));
    check("data_name", Field::Null);
    check("data_gift", Field::Bool(true));
    check("data_rooms", Field::Long(3));
    check("field_status", Field::Long(404));
    check("data_missing", Field::Null);
}

/// Milliseconds of whatever a client may send as a date.
#[test]
fn a_date_has_a_column_of_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = |text: &str| Value::Str(text.into());
    let micros_max = i64::MAX / 1000;
    let cases = [
        (text("2017-08-30T20:47:33Z"), Some(1_504_126_053_000)),
        (text("2017-08-30T22:47:33.250+02:00"), Some(1_504_126_053_250)),
        (text("2017-08-30 15:17:33.1239-0530"), Some(1_504_126_053_123)),
        (text("1969-12-31T23:59:58.5Z"), Some(-1_500)),
        (text("1815-12-10"), Some(-4_861_728_000_000)),
        (Value::Int(-1), Some(-1)),
        (Value::Float(1_504_126_053_250.0), Some(1_504_126_053_250)),
        (Value::Int(micros_max), Some(micros_max)),
        (Value::Int(micros_max + 1), None),
        (Value::Int(i64::MIN), None),
        (Value::Float(0.5), None),
        (text("30.08.2017"), None),
        (text("2017-02-29"), None),
        (text(""), None),
        (Value::Bool(true), None),
        (Value::Null, None),
        (Value::List(vec![text("2017-08-30")]), None),
        (Value::Map(vec![("at".into(), text("2017-08-30"))]), None),
    ];
    let rows_in = (1..).zip(&cases).map(|(seq, (value, _))| {
        let mut event = event("a", seq);
        event.fields = vec![("data".into(), Value::Map(vec![("bornAt".into(), value.clone())]))];
        row(seq, &event)
    });
    let epoch = epoch_of(1, NOON, rows_in.collect());
    write_all(folder.path(), config(&[("data.bornAt", ColumnType::Date)]), &[epoch]);
    let found = rows(folder.path(), "events");
    assert_eq!(found.len(), cases.len());
    for (row, (value, expected)) in found.iter().zip(cases) {
        let expected = expected.map_or(Field::Null, |ms| Field::TimestampMicros(ms * 1000));
        assert_eq!(row["data_born_at"], expected, "{value:?}");
    }
    let column = columns(folder.path(), "events").pop();
    assert_eq!(column.as_deref(), Some("events data_born_at INT64 UTC microseconds"));
}

#[test]
fn columns_are_appended_and_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    write_all(folder.path(), config(&[("data.price", ColumnType::Number)]), &[priced(1)]);
    write_all(folder.path(), config(&[("data.gift", ColumnType::Boolean)]), &[priced(2)]);
    let mut files = Vec::new();
    super::collect(&folder.path().join("events"), &mut files);
    files.sort();
    let typed = |index: usize| -> Vec<String> {
        let row = &file_rows(&files[index])[0];
        row.keys().filter(|name| name.starts_with("data_")).cloned().collect()
    };
    assert_eq!(typed(0), ["data_price"]);
    assert_eq!(typed(1), ["data_gift", "data_price"]);
    assert_eq!(file_rows(&files[1])[0]["data_price"], Field::Double(1.5), "it is filled on");
}

#[test]
fn a_contradiction_is_refused_and_nothing_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    write_all(folder.path(), config(&[("data.price", ColumnType::Number)]), &[priced(1)]);
    for (path, kind) in [("data.price", ColumnType::String), ("data.Price", ColumnType::Number)] {
        let opened = ParquetTables::open(folder.path(), config(&[(path, kind)]));
        assert!(matches!(opened, Err(ParquetError::Contradiction { .. })), "{path}: {opened:?}");
    }
    let opened = ParquetTables::open(folder.path(), config(&[("data.", ColumnType::Number)]));
    assert!(matches!(opened, Err(ParquetError::Path { .. })), "{opened:?}");
    drop(open(folder.path(), config(&[("data.price", ColumnType::Number)])));
}

#[test]
fn there_are_so_many_typed_columns_and_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let two = [("data.a", ColumnType::Number), ("data.b", ColumnType::Number)];
    let at = ParquetConfig { typed_columns_max: 2, ..config(&two) };
    drop(open(folder.path(), at));
    let over = ParquetConfig { typed_columns_max: 2, ..config(&[("data.c", ColumnType::Number)]) };
    let opened = ParquetTables::open(folder.path(), over);
    assert!(matches!(opened, Err(ParquetError::TooManyColumns { found: 3, max: 2 })));
}

#[test]
fn a_field_is_declared_while_the_tables_are_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut tables = open(folder.path(), config(&[("data.price", ColumnType::Number)]));
    let declared = tables.declared();
    tables.write(&priced(1)).expect("written");
    declared.declare(&column(&("data.gift", ColumnType::Boolean))).expect("declared");
    declared.declare(&column(&("data.price", ColumnType::Number))).expect("it stands");
    assert_eq!(written_down(folder.path()), ["data.price"], "the open round goes on without it");
    for number in [2, 3] {
        tables.write(&priced(number)).expect("written");
        assert_eq!(
            written_down(folder.path()),
            ["data.price", "data.gift"],
            "before its file ends"
        );
    }
    tables.finish().expect("finished");
    assert_eq!(typed_columns(folder.path()), ["data_price", "data_price data_gift"]);
    let found = rows(folder.path(), "events");
    assert_eq!(found.len(), 3, "a round that ends for it loses no row");
    assert!(found[1..].iter().all(|row| row["data_gift"] == Field::Bool(true)), "{found:?}");
}

/// The fields that `columns.json` has, in its order.
fn written_down(directory: &Path) -> Vec<String> {
    let text = std::fs::read(directory.join("_manifest/columns.json")).expect("the columns");
    let catalog: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let typed = catalog["typed"].as_array().expect("a list").iter();
    typed.map(|column| column["path"].as_str().expect("a path").to_owned()).collect()
}

#[test]
fn a_declared_contradiction_is_refused_and_the_column_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = ParquetConfig { typed_columns_max: 2, ..config(&[]) };
    let mut tables = open(folder.path(), config);
    let declared = tables.declared();
    let number = column(&("data.price", ColumnType::Number));
    declared.check(std::slice::from_ref(&number)).expect("it is free");
    declared.check(&[column(&("data.price", ColumnType::String))]).expect("nothing was declared");
    declared.declare(&number).expect("declared");
    for wanted in [("data.price", ColumnType::String), ("data.Price", ColumnType::Number)] {
        let wanted = column(&wanted);
        for refused in [declared.check(std::slice::from_ref(&wanted)), declared.declare(&wanted)] {
            let Err(error @ ParquetError::Contradiction { .. }) = refused else {
                panic!("{refused:?}")
            };
            assert!(error.to_string().contains("`data.price` as float"), "{error}");
        }
    }
    let [one, other] = ["data.a", "data.b"].map(|path| column(&(path, ColumnType::String)));
    let too_many = declared.check(&[one.clone(), other.clone()]);
    assert!(matches!(too_many, Err(ParquetError::TooManyColumns { found: 3, max: 2 })));
    declared.declare(&one).expect("there is room");
    assert!(matches!(declared.declare(&other), Err(ParquetError::TooManyColumns { .. })));
    tables.write(&priced(1)).expect("written");
    tables.finish().expect("finished");
    assert_eq!(typed_columns(folder.path()), ["data_price data_a"]);
    assert_eq!(rows(folder.path(), "events")[0]["data_price"], Field::Double(1.5));
}

/// A package declares its fields anew at each start, in the order of its own.
#[test]
fn columns_keep_their_order_over_restarts() {
    let folder = tempfile::tempdir().expect("a folder");
    let [price, gift, name] = [
        ("data.price", ColumnType::Number),
        ("data.gift", ColumnType::Boolean),
        ("data.name", ColumnType::String),
    ]
    .map(|declared| column(&declared));
    let lives = [vec![&price], vec![&gift, &price], vec![&name, &gift, &price]];
    for (number, life) in (1..).zip(&lives) {
        let mut tables = open(folder.path(), ParquetConfig::default());
        let declared = tables.declared();
        for column in life {
            declared.declare(column).expect("it stands or is new");
        }
        let retyped = column(&("data.price", ColumnType::Integer));
        assert!(declared.check(&[retyped]).is_err(), "also if no package declares it any more");
        tables.write(&priced(number)).expect("written");
        tables.finish().expect("finished");
    }
    // Those of a replay are there when it opens the tables.
    let of_replay =
        config(&[("data.name", ColumnType::String), ("data.price", ColumnType::Number)]);
    write_all(folder.path(), of_replay, &[priced(4)]);
    let all = "data_price data_gift data_name";
    assert_eq!(typed_columns(folder.path()), ["data_price", "data_price data_gift", all, all]);
}

/// Names and types that readers rely on. A change here that is not a new line is a break.
#[test]
fn the_columns_are_these() {
    let folder = tempfile::tempdir().expect("a folder");
    write_all(folder.path(), ParquetConfig::default(), &[priced(1)]);
    let tables = ["events", "visits", "actions", "epochs", "deliveries"];
    let found: Vec<_> = tables.iter().flat_map(|table| columns(folder.path(), table)).collect();
    let expected = include_str!("columns.txt");
    assert_eq!(found.join("\n"), expected.trim_end());
}

/// Table, name and physical type of a table's columns, and of times what they are.
fn columns(directory: &Path, table: &str) -> Vec<String> {
    let mut files = Vec::new();
    super::collect(&directory.join(table), &mut files);
    let reader = SerializedFileReader::new(File::open(&files[0]).expect("a file"));
    let reader = reader.expect("Parquet");
    let columns = reader.metadata().file_metadata().schema_descr().columns().to_vec();
    let line = |column: ColumnDescPtr| {
        let time = match column.logical_type_ref() {
            Some(LogicalType::Timestamp(time)) => match (time.is_adjusted_to_u_t_c, time.unit) {
                (true, TimeUnit::MICROS) => " UTC microseconds",
                _ => " another time",
            },
            _ => "",
        };
        format!("{table} {} {:?}{time}", column.path().string(), column.physical_type())
    };
    columns.into_iter().map(line).collect()
}

/// The first column as another version may have written it down.
#[test]
fn built_in_columns_are_neither_retyped_nor_removed() {
    let open_with = |column: serde_json::Value| {
        let folder = tempfile::tempdir().expect("a folder");
        drop(open(folder.path(), ParquetConfig::default()));
        let path = folder.path().join("_manifest/columns.json");
        let text = std::fs::read(&path).expect("the columns");
        let mut catalog: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        catalog["tables"][0]["columns"][0] = column;
        std::fs::write(&path, catalog.to_string()).expect("written");
        ParquetTables::open(folder.path(), ParquetConfig::default())
    };
    drop(open_with(serde_json::json!(["log_sequence", "integer"])).expect("encoded otherwise"));
    let retyped = open_with(serde_json::json!(["log_sequence", "text"]));
    assert!(matches!(retyped, Err(ParquetError::Contradiction { .. })), "{retyped:?}");
    let removed = open_with(serde_json::json!(["of_tomorrow", "text"]));
    assert!(matches!(removed, Err(ParquetError::Damaged { .. })), "{removed:?}");
}
