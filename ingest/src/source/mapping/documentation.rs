//! `docs/source-mapping.md` against the code: every key, default and type.

use super::Mapping;
use super::file::{FIELD_KEYS, KEYS, TIME_KEYS};
use crate::source::time::TimeFormat;
use beckon_rules::ast::Path;
use beckon_rules::schema::{FieldType, Resolved};

const PAGE: &str = include_str!("../../../../docs/source-mapping.md");

/// The first two cells of the table that stands `number`th in a section.
fn rows(section: &str, number: usize) -> Vec<(&'static str, &'static str)> {
    let text = PAGE.split("\n## ").find_map(|text| text.strip_prefix(section));
    let paragraphs = text.expect("a section").split("\n\n");
    let mut tables = paragraphs.filter(|paragraph| paragraph.starts_with('|'));
    let table = tables.nth(number).expect("a table");
    let cells = table.lines().skip(2).map(|line| {
        let mut cells = line.trim_start_matches('|').split(" | ").map(str::trim);
        let key = cells.next().expect("a key").trim_matches('`');
        (key, cells.next().expect("a second cell"))
    });
    cells.collect()
}

/// A mapping in which every key has a value, each a line of its own, under its table.
const WHOLE: [(&str, &[(&str, &str)]); 4] = [
    (
        "",
        &[
            ("event_name", "'a'"),
            ("window_key", "{ constant = 'all' }"),
            ("format", "'csv'"),
            ("delimiter", "';'"),
            ("site", "'shop'"),
            ("id", "'b'"),
            ("visitor", "'c'"),
            ("tie", "'d'"),
            ("user", "'e'"),
            ("verified", "true"),
            ("inactivity", "'none'"),
            ("visit_started", "true"),
            ("unknown_fields", "'null'"),
        ],
    ),
    ("time", &[("field", "'t'"), ("format", "'ms'"), ("utc_offset", "'+02:00'")]),
    ("event_names", &[("f", "'G'")]),
    ("fields.NAME", &[("type", "'string'"), ("from", "'h'"), ("several", "true")]),
];

/// The whole mapping with one key changed, or left out; an empty key changes nothing.
fn changed(table: &str, key: &str, value: Option<&str>) -> Result<String, String> {
    let mut text = String::new();
    for (name, entries) in WHOLE {
        // A table that is left out is left out with its keys.
        if table.is_empty()
            && value.is_none()
            && name.split('.').next() == Some(key)
            && !key.is_empty()
        {
            continue;
        }
        if !name.is_empty() {
            text += &format!("[{name}]\n");
        }
        for (entry, whole) in entries {
            let is_changed = (name, *entry) == (table, key);
            if let Some(value) = if is_changed { value } else { Some(*whole) } {
                text += &format!("{entry} = {value}\n");
            }
        }
    }
    let mapping = Mapping::parse(&text).map_err(|errors| format!("{errors:?}\n{text}"))?;
    Ok(format!("{mapping:?}"))
}

#[track_caller]
fn check(section: &str, table: &str, known: &[&str]) {
    let rows = rows(section, 0);
    let mut keys: Vec<_> = rows.iter().map(|(key, _)| *key).collect();
    let mut known = known.to_vec();
    keys.sort_unstable();
    known.sort_unstable();
    assert_eq!(keys, known);
    for (key, default) in rows {
        let without = changed(table, key, None);
        match default.strip_prefix('`') {
            Some(default) => {
                let said = changed(table, key, Some(default.trim_end_matches('`')));
                assert_eq!(said.expect(key), without.expect(key), "the default of {key}");
            }
            None if default == "required" => assert!(without.is_err(), "{key} is not required"),
            None => {
                assert!(["none", "found out", "derived"].contains(&default), "{key}: {default}");
                assert_ne!(without.expect(key), changed("", "", None).expect("whole"), "{key}");
            }
        }
    }
}

#[test]
fn every_key_stands_on_the_page_with_its_default_and_no_other_does() {
    check("Keys", "", KEYS);
    check("`[time]`", "time", TIME_KEYS);
    check("`[fields]`", "fields.NAME", FIELD_KEYS);
}

#[test]
fn the_types_and_time_formats_of_the_page_are_those_that_exist() {
    let types: Vec<_> = rows("`[fields]`", 1).into_iter().map(|(name, _)| name).collect();
    assert_eq!(types, FieldType::NAMES.map(|(name, _)| name));
    let formats = rows("`[time]`", 1);
    assert_eq!(formats.len(), 4);
    for (format, reads) in formats {
        let known = TimeFormat::new(format, None).expect("a format");
        for text in reads.split('`').skip(1).step_by(2).filter(|text| text.starts_with("20")) {
            assert!(known.parse_text(text).is_some(), "{format} {text}");
        }
    }
}

#[test]
fn rules_may_name_what_the_page_says() {
    let mapping = "event_name = 'a'\nwindow_key = 'b'\n[time]\nfield = 't'\nformat = 'ms'\n";
    let schema = Mapping::parse(mapping).expect("a mapping").schema();
    let names = PAGE.split("rules may name\n").nth(1).expect("the last sentence");
    let mut count = 0;
    for name in names.split('`').skip(1).step_by(2) {
        let path = Path { parts: [name.into()].into() };
        assert!(matches!(schema.resolve(&path), Resolved::Declared(_)), "{name}");
        count += 1;
    }
    assert_eq!(count, 10);
}
