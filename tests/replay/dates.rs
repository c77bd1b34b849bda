//! A field that is declared as a date: its column, and the rules that read it.

use super::{parquet_files, replay, write};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Dates as they come in JSON, and the microseconds that they are.
const DATES: &[(&str, Option<i64>)] = &[
    ("\"1969-12-31T23:59:58.5Z\"", Some(-1_500_000)),
    ("\"1970-01-01T00:30:00+01:00\"", Some(-1_800_000_000)),
    ("\"1970-01-01\"", Some(0)),
    ("\"2017-08-30T22:47:33.25+02:00\"", Some(1_504_126_053_250_000)),
    ("1504126053250", Some(1_504_126_053_250_000)),
    ("\"soon\"", None),
];

const RULE: &str = "name = \"old\"\nfire = \"every\"\n\
    query = '''Born where FIELD < \"1970-01-01\"'''\n[action]\ntype = \"none\"\n";

/// A column of the rows of a table by another one, of those that have the first.
fn by_column(table: &Path, key: &str, column: &str) -> BTreeMap<String, Field> {
    let mut found = BTreeMap::new();
    for path in parquet_files(table) {
        let reader = SerializedFileReader::new(std::fs::File::open(path).expect("a file"));
        for row in reader.expect("Parquet").get_row_iter(None).expect("rows") {
            let row = row.expect("a row");
            let cell = |name: &str| row.get_column_iter().find(|(known, _)| *known == name);
            let (Some((_, key)), Some((_, cell))) = (cell(key), cell(column)) else { continue };
            if let Field::Str(key) = key {
                found.insert(key.clone(), cell.clone());
            }
        }
    }
    found
}

/// Replays a file with the rule on `field`; its column is `column`.
fn check(events: &str, (field, column): (&str, &str), mapping: Option<&str>) {
    let folder = tempfile::tempdir().expect("a folder");
    let log = write(&folder, "born.ndjson", events);
    write(&folder, "rules/com.example.people/old.toml", &RULE.replace("FIELD", field));
    let rules = folder.path().join("rules").to_str().expect("UTF-8").to_owned();
    let reports = folder.path().join("reports");
    let reports_argument = reports.to_str().expect("UTF-8");
    let mut arguments = vec![log.as_str(), "--rules", &rules, "--reports", reports_argument];
    let mapping = mapping.map(|text| write(&folder, "born.toml", text));
    if let Some(mapping) = &mapping {
        arguments.extend(["--source", mapping]);
    } else {
        write(&folder, "rules/com.example.people/package.toml", "[types]\ndata.at = \"date\"\n");
    }
    replay(&arguments);

    let born = by_column(&reports.join("events"), "event_id", column);
    let dates: BTreeSet<_> = born.values().map(Field::to_string).collect();
    let expected =
        DATES.iter().map(|(_, micros)| micros.map_or(Field::Null, Field::TimestampMicros));
    assert_eq!(dates, expected.map(|date| date.to_string()).collect());
    // What fired is what the column says.
    let is_old = |date: &Field| matches!(date, Field::TimestampMicros(micros) if *micros < 0);
    let old: BTreeSet<_> = born.iter().filter(|(_, date)| is_old(date)).map(|(id, _)| id).collect();
    let fired = by_column(&reports.join("actions"), "action_id", "event_ids");
    let fired: BTreeSet<_> = fired
        .values()
        .map(|ids| match ids {
            Field::ListInternal(ids) => match ids.elements() {
                [Field::Str(id)] => id,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!((fired.len(), &fired), (2, &old));
}

#[test]
fn a_date_of_a_package_is_a_time_in_parquet() {
    let event = |(number, (at, _)): (usize, &(&str, Option<i64>))| {
        format!(
            "{{\"eventName\":\"Born\",\"visitID\":\"{number:032X}\",\
             \"timestamp\":1431857103000,\"data\":{{\"at\":{at}}}}}\n"
        )
    };
    let events: String = DATES.iter().enumerate().map(event).collect();
    check(&events, ("data.at", "data_at"), None);
}

#[test]
fn a_date_of_a_mapping_is_a_time_in_parquet() {
    let event = |(number, (at, _)): (usize, &(&str, Option<i64>))| {
        format!("{{\"kind\":\"Born\",\"who\":\"{number}\",\"ts\":1431857103000,\"bornAt\":{at}}}\n")
    };
    let events: String = DATES.iter().enumerate().map(event).collect();
    let mapping = "event_name = 'kind'\nwindow_key = 'who'\n[time]\nfield = 'ts'\n\
                   format = 'ms'\n[fields]\nbornAt = 'date'\n";
    check(&events, ("bornAt", "field_born_at"), Some(mapping));
}
